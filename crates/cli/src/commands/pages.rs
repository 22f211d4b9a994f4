//! `moorline completions` and `moorline man`

use std::path::Path;

use clap::CommandFactory as _;
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;

use crate::args::Cli;
use crate::output;

pub(super) fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "moorline", &mut script);
    output::raw(&script);
    0
}

pub(super) fn man(out: Option<&Path>) -> Result<u8, ApiError> {
    let failed = |error: std::io::Error| {
        ApiError::new(
            ErrorCode::Store,
            format!("can not write the manual pages: {error}"),
        )
        .hint("give a writable directory with `--out DIR`")
    };
    let command = Cli::command();
    if let Some(dir) = out {
        std::fs::create_dir_all(dir).map_err(failed)?;
        clap_mangen::generate_to(command, dir).map_err(failed)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(failed)?;
        output::raw(&page);
    }
    Ok(0)
}

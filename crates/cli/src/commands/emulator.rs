//! `moorline emulator …`: Modal on this machine, for official clients and for Moorline itself.

use std::io::Read as _;
use std::path::Path;

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_modal_emulator::{
    Control, ControlError, Emulator, EmulatorError, EmulatorOptions, FaultPlan,
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{EmulatorArgs, EmulatorCommand, FaultsCommand};
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, args: &EmulatorArgs) -> Result<u8, ApiError> {
    match &args.command {
        None => serve(context, args),
        Some(EmulatorCommand::Coverage { url }) => ask(context, url.as_deref(), coverage),
        Some(EmulatorCommand::Journal { what, url }) => {
            ask(context, url.as_deref(), async |context, control| {
                journal(context, control, what.as_deref()).await
            })
        }
        Some(EmulatorCommand::Faults(FaultsCommand::Set { plan, url })) => {
            let plan = read_plan(&context.env.cwd.join(plan), plan == Path::new("-"))?;
            ask(context, url.as_deref(), async |context, control| {
                set(context, control, plan).await
            })
        }
        Some(EmulatorCommand::Faults(FaultsCommand::Clear { url })) => {
            ask(context, url.as_deref(), async |context, control| {
                set(context, control, FaultPlan::default()).await
            })
        }
    }
}

/// Serves until an interrupt or SIGTERM, then ends everything that runs in it.
fn serve(context: &Context<'_>, args: &EmulatorArgs) -> Result<u8, ApiError> {
    let mut options = options(context)?;
    options.port = args.port;
    options.state = context
        .global
        .state
        .as_ref()
        .map(|dir| context.env.cwd.join(dir));
    if let Some(python) = &args.python {
        options.python = program(context, python);
    }
    if let Some(plan) = &args.faults {
        options.faults = read_plan(&context.env.cwd.join(plan), false)?;
    }
    crate::context::runtime()?.block_on(async {
        // Before anything is printed: whoever reads the first line may send a signal at once.
        let failed =
            |error| ApiError::new(ErrorCode::Internal, "can not wait for signals").because(error);
        let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
        let emulator = start(options).await?;
        announce(context, args, &emulator);
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        emulator.stop().await;
        Ok(0)
    })
}

/// Options with the programs of this installation.
pub(crate) fn options(context: &Context<'_>) -> Result<EmulatorOptions, ApiError> {
    let helper = context.env.program.clone().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Internal,
            "can not find out where this program is",
        )
    })?;
    Ok(EmulatorOptions {
        helper,
        ..EmulatorOptions::default()
    })
}

/// Starts one, with its errors as this program tells them.
pub(crate) async fn start(options: EmulatorOptions) -> Result<Emulator, ApiError> {
    Emulator::start(options)
        .await
        .map_err(|error| match &error {
            EmulatorError::Listen { .. } => ApiError::new(ErrorCode::Config, error.to_string())
                .because(error)
                .hint("give another port with `--port`, or none to take a free one"),
            _ => ApiError::new(ErrorCode::Config, error.to_string())
                .because(error)
                .hint("give a directory that can be written with `--state DIR`"),
        })
}

fn announce(context: &Context<'_>, args: &EmulatorArgs, emulator: &Emulator) {
    if context.json() {
        let environment: serde_json::Map<_, _> = emulator
            .environment()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        output::json_line(&json!({
            "url": emulator.url(),
            "environment": environment,
            "pid": std::process::id(),
        }));
        return;
    }
    for (name, value) in emulator.environment() {
        output::line(&format!("export {name}={value}"));
    }
    if !args.quiet {
        output::note(&format!(
            "Modal is emulated at {}; end it with Ctrl-C. What runs in it ends with it.",
            emulator.url()
        ));
    }
}

/// A name with a slash is a path from here; another is looked for in `PATH` when it is started.
fn program(context: &Context<'_>, name: &Path) -> std::path::PathBuf {
    if name.components().count() > 1 {
        context.env.cwd.join(name)
    } else {
        name.to_owned()
    }
}

fn read_plan(path: &Path, stdin: bool) -> Result<FaultPlan, ApiError> {
    let shown = path.display();
    let text = if stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| {
        ApiError::new(
            ErrorCode::Usage,
            format!("the fault plan {shown} can not be read"),
        )
        .because(error)
    })?;
    serde_json::from_str(&text).map_err(|error| {
        ApiError::new(ErrorCode::Usage, format!("{shown} is not a fault plan: {error}")).hint(
            "write a list such as [{\"rpc\": \"AppList\", \"nth\": 1, \"kind\": \"fail_before\", \"code\": 14}]",
        )
    })
}

fn ask<T>(
    context: &Context<'_>,
    url: Option<&str>,
    question: impl AsyncFnOnce(&Context<'_>, Control) -> Result<T, ControlError>,
) -> Result<u8, ApiError> {
    let url = url.or_else(|| context.env.var("MODAL_SERVER_URL")).ok_or_else(|| {
        ApiError::new(ErrorCode::Usage, "which emulator is meant is not known")
            .hint("give its URL with `--url`, or set MODAL_SERVER_URL as `moorline emulator` prints it")
    })?;
    let failed = |error: ControlError| {
        let code = match &error {
            ControlError::Url { .. } | ControlError::Refused(_) => ErrorCode::Usage,
            _ => ErrorCode::AdapterInvocation,
        };
        ApiError::new(code, error.to_string()).because(error)
    };
    let control = Control::at(url).map_err(failed)?;
    crate::context::runtime()?
        .block_on(question(context, control))
        .map_err(failed)?;
    Ok(0)
}

async fn coverage(context: &Context<'_>, control: Control) -> Result<(), ControlError> {
    let coverage = control.coverage().await?;
    if context.json() {
        output::json(&coverage);
        return Ok(());
    }
    let rows = |state: &str, rpcs: &[moorline_modal_emulator::RpcCount]| {
        let row = |rpc: &moorline_modal_emulator::RpcCount| {
            vec![rpc.rpc.clone(), state.to_owned(), rpc.calls.to_string()]
        };
        rpcs.iter().map(row).collect::<Vec<_>>()
    };
    let mut table = rows("missing", &coverage.missing);
    table.extend(rows("implemented", &coverage.implemented));
    output::table(&["RPC", "STATE", "CALLS"], table);
    output::note(&format!(
        "{} RPCs are implemented; {} others were called and answered UNIMPLEMENTED",
        coverage.implemented.len(),
        coverage.missing.len()
    ));
    Ok(())
}

async fn journal(
    context: &Context<'_>,
    control: Control,
    what: Option<&str>,
) -> Result<(), ControlError> {
    let effects = control.journal(what).await?;
    if context.json() {
        output::json(&effects);
        return Ok(());
    }
    let rows = effects.into_iter().map(|effect| {
        vec![
            effect.id.to_string(),
            effect.what,
            effect.subject,
            effect.key.unwrap_or_default(),
        ]
    });
    output::table(
        &["ID", "EFFECT", "SUBJECT", "IDEMPOTENCY KEY"],
        rows.collect(),
    );
    Ok(())
}

async fn set(context: &Context<'_>, control: Control, plan: FaultPlan) -> Result<(), ControlError> {
    control.set_faults(&plan).await?;
    if context.json() {
        output::json(&json!({"faults": plan}));
    } else {
        output::note(&match plan.faults.len() {
            0 => "no fault is in force".to_owned(),
            1 => "1 fault is in force".to_owned(),
            n => format!("{n} faults are in force"),
        });
    }
    Ok(())
}

//! Printing. A closed pipe is a quiet end, never a panic.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use moorline_core::error_code::RunStatus;
use serde::Serialize;

/// Prints one line to stdout.
pub(crate) fn line(text: &str) {
    // Who closed the pipe does not want the rest.
    let _ignored = writeln!(anstream::stdout().lock(), "{text}");
}

/// Prints text to stdout as it is.
pub(crate) fn raw(text: &[u8]) {
    let _ignored = std::io::stdout().lock().write_all(text);
}

/// Prints one line to stderr.
pub(crate) fn note(text: &str) {
    let _ignored = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints the one JSON document of a command.
pub(crate) fn json<T: Serialize + ?Sized>(document: &T) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => line(&text),
        Err(error) => note(&format!(
            "error: the result can not be written as JSON: {error}"
        )),
    }
}

/// Prints one JSON object on one line, for streams.
pub(crate) fn json_line<T: Serialize + ?Sized>(document: &T) {
    if let Ok(text) = serde_json::to_string(document) {
        line(&text);
    }
}

/// A table without borders, for people; columns are aligned, the last one is free.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(header.iter().copied());
    table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for text in table.to_string().lines() {
        line(text.trim_end());
    }
}

/// A status in its colour. Stripped again where stdout is not a terminal.
pub(crate) fn status(status: RunStatus) -> String {
    let color = match status {
        RunStatus::Success => AnsiColor::Green,
        RunStatus::Queued | RunStatus::Running | RunStatus::Skipped => AnsiColor::Cyan,
        RunStatus::AwaitingApproval => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    paint(color, status.as_str())
}

/// Text in a colour.
pub(crate) fn paint(color: AnsiColor, text: &str) -> String {
    let style = Style::new().fg_color(Some(color.into()));
    format!("{style}{text}{style:#}")
}

/// Bytes for people: `1.5 MiB`.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Seconds for people: `0.012 s`, `75 s`.
pub(crate) fn seconds(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.3} s")
    } else {
        format!("{value:.0} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_unit_that_people_read() {
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }
}

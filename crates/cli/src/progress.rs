//! What `run` shows while a job runs: on a terminal a live line under the job's log, in a pipe plain lines.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use moorline_api::LogLine;
use moorline_core::protocol::{self, Message};

use crate::output;

/// Shows the log of a run as it comes. Everything goes to stderr; stdout is for the result.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A live line when stderr is a terminal.
    pub(crate) fn start(job: &str, run: &str) -> Self {
        if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            output::note(&format!("run {run} of {job}"));
            return Self { bar: None };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
            bar.set_style(style);
        }
        bar.set_message(format!("{job} {run}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar: Some(bar) }
    }

    /// One line of the job's log. Lines of the protocol become progress instead of text.
    pub(crate) fn line(&self, line: &LogLine) {
        match (
            line.stream.as_str(),
            protocol::parse_line(line.text.as_bytes()),
        ) {
            ("stdout", Some(Ok(Message::Progress(progress)))) => {
                let parts = [progress.phase, progress.task, progress.message];
                let words: Vec<String> = parts.into_iter().flatten().collect();
                let percent = progress
                    .pct
                    .map(|pct| format!("{pct:>3.0} % "))
                    .unwrap_or_default();
                let text = format!("{} {percent}{}", line.step, words.join(" · "));
                match &self.bar {
                    Some(bar) => bar.set_message(text),
                    None => output::note(&text),
                }
            }
            ("stdout", Some(_)) => {}
            _ => self.print(&format!("{} | {}", line.step, line.text)),
        }
    }

    /// Text that stays.
    pub(crate) fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Clears the live line.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

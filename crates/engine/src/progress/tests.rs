//! Which messages become events.

use moorline_core::ids::AttemptId;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn telling() -> Telling {
    Telling {
        cursor: LogCursor::default(),
        line: String::new(),
        skipping: false,
        heard: 0,
        choice: Choice {
            step: "load".to_owned(),
            attempt: json!(AttemptId::new(Uuid::nil())),
            second: i64::MIN,
            kept: 0,
            held: None,
            chosen: 0,
            told_of_rate: false,
        },
        pending: Vec::new(),
        from: 0,
        redactor: None,
        fenced: false,
    }
}

fn chunk(at: f64, stream: LogStream, text: &str, ends_line: bool) -> LogChunk {
    #[expect(clippy::cast_possible_truncation, reason = "times of a test are small")]
    let at = Timestamp::from_microsecond((at * 1e6) as i64).unwrap();
    LogChunk {
        at,
        stream,
        text: text.to_owned(),
        ends_line,
        next: LogCursor(1),
    }
}

fn said(at: f64, text: &str) -> LogChunk {
    chunk(at, LogStream::Stdout, text, true)
}

fn pct(n: u32) -> String {
    format!(r#"{PREFIX} {{"type":"progress","pct":{n}}}"#)
}

#[test]
fn messages_become_events_and_all_else_is_log() {
    let mut telling = telling();
    let progress = r#"::moorline {"type":"progress","phase":"download","task":"page 3","pct":40,"message":"so far"}"#;
    let (first, rest) = progress.split_at(40);
    for chunk in [
        said(0.0, "plain log"),
        chunk(0.0, LogStream::Stderr, progress, true),
        chunk(0.1, LogStream::Stdout, first, false),
        chunk(0.1, LogStream::Stdout, rest, true),
        said(
            0.2,
            r#"::moorline {"type":"metric","name":"rows","value":12.5}"#,
        ),
        said(0.2, r#"::moorline {"type":"result","status":"success"}"#),
        said(0.3, "::moorline is not JSON"),
        chunk(0.3, LogStream::Stdout, "a long line ", false),
        chunk(0.3, LogStream::Stdout, progress, true),
    ] {
        telling.take(&chunk);
    }
    let nil = Uuid::nil();
    let event = |kind, data| NewEvent {
        kind,
        level: Level::Info,
        data,
    };
    let expected = [
        event(
            EventKind::RunProgress,
            json!({
                "phase": "download", "task": "page 3", "progress_pct": 40.0, "output": "so far",
                "step": "load", "attempt_id": nil,
            }),
        ),
        event(
            EventKind::RunMetric,
            json!({"metric": "rows", "value": 12.5, "step": "load", "attempt_id": nil}),
        ),
    ];
    assert_eq!(telling.pending, expected);
    assert_eq!(telling.heard, 2);
}

#[test]
fn of_a_busy_second_the_first_ones_and_the_last_progress_are_kept() {
    let mut telling = telling();
    for n in 0..100 {
        telling.take(&said(7.0 + f64::from(n) / 200.0, &pct(n)));
    }
    telling.take(&said(8.0, &pct(100)));
    let kept: Vec<_> = telling
        .pending
        .iter()
        .filter(|event| event.level == Level::Info)
        .map(|event| event.data["progress_pct"].clone())
        .collect();
    let expected: Vec<_> = (0..PER_SECOND)
        .chain([99, 100])
        .map(|n| json!(f64::from(n)))
        .collect();
    assert_eq!(kept, expected);
    let words = telling.pending.len() - kept.len();
    assert_eq!(words, 1, "that something is left out is told once");
}

#[test]
fn of_an_attempt_so_many_are_kept_and_that_is_told_once() {
    let mut telling = telling();
    for n in 0..6_000 {
        telling.take(&said(f64::from(n) / 10.0, &pct(n % 100)));
    }
    let count = u64::try_from(telling.pending.len()).unwrap();
    assert_eq!(count, PER_ATTEMPT + 1);
    let warnings = telling
        .pending
        .iter()
        .filter(|event| event.level == Level::Warn);
    assert_eq!(warnings.count(), 1);
}

#[test]
fn long_texts_are_cut_where_a_character_ends() {
    let mut telling = telling();
    let long = "\u{fc}".repeat(LONGEST_TEXT);
    telling.take(&said(
        0.0,
        &format!(r#"{PREFIX} {{"type":"progress","task":"{long}"}}"#),
    ));
    let task = telling.pending[0].data["task"].as_str().unwrap();
    assert_eq!(task.len(), LONGEST_TEXT + '\u{2026}'.len_utf8());
}

proptest! {
    /// What is chosen follows from the log alone: not from where reading began again, and not from when.
    #[test]
    fn whoever_reads_the_log_again_chooses_the_same(
        gaps in prop::collection::vec(0_u32..400, 1..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut at = 0_u32;
        let log: Vec<_> = gaps
            .iter()
            .zip(0_u32..)
            .map(|(gap, n)| {
                at += gap;
                said(f64::from(at) / 1000.0, &pct(n % 101))
            })
            .collect();
        let mut whole = telling();
        for chunk in &log {
            whole.take(chunk);
        }
        let mut first = telling();
        let cut = cut.index(log.len());
        for chunk in &log[..cut] {
            first.take(chunk);
        }
        let recorded = first.pending.len();
        prop_assert_eq!(&whole.pending[..recorded], &first.pending[..]);
    }
}

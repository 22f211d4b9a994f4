//! The line protocol: what is a message, what is log, what is neither, and what a whole output comes to.
//!
//! The pure parts of L20, L21 and L22; the same through real children is tested where they are started.

use moorline_core::error_code::FailureClass;
use moorline_core::protocol::{
    MAX_LINE, Message, Metric, Progress, Reply, ReplyCollector, StepResult, TaskStatus, parse_line,
};
use moorline_core::spec::ReplyRule;
use proptest::prelude::*;
use serde_json::{Value, json};

fn collect(chunks: &[&[u8]], rule: ReplyRule) -> (Reply, Vec<Message>) {
    let mut messages = Vec::new();
    let mut collector = ReplyCollector::new();
    for chunk in chunks {
        collector.push(chunk, &mut |message| messages.push(message));
    }
    (collector.finish(rule), messages)
}

fn reply(output: &str) -> Reply {
    collect(&[output.as_bytes()], ReplyRule::Optional).0
}

fn bad(reason: &str) -> Reply {
    Reply::Bad {
        reason: reason.to_owned(),
    }
}

#[test]
fn messages_are_read_as_they_are_documented() {
    let cases = [
        (
            r#"{"type":"progress","phase":"download","task":"page 3","pct":40,"message":"m"}"#,
            Message::Progress(Progress {
                phase: Some("download".to_owned()),
                task: Some("page 3".to_owned()),
                pct: Some(40.0),
                message: Some("m".to_owned()),
                ..Progress::default()
            }),
        ),
        (
            r#"{"type":"progress","crew":"c","agent":"a","status":"in_progress","progress_pct":0,"output":[1],"error_message":"e","duration_ms":7}"#,
            Message::Progress(Progress {
                crew: Some("c".to_owned()),
                agent: Some("a".to_owned()),
                status: Some(TaskStatus::InProgress),
                pct: Some(0.0),
                output: Some(json!([1])),
                error_message: Some("e".to_owned()),
                duration_ms: Some(7),
                ..Progress::default()
            }),
        ),
        (
            r#"{"type":"metric","metric":"resonance","value":0}"#,
            Message::Metric(Metric {
                name: "resonance".to_owned(),
                value: 0.0,
            }),
        ),
        (
            r#"{"type":"progress","pct":99.5}"#,
            Message::Progress(Progress {
                pct: Some(99.5),
                ..Progress::default()
            }),
        ),
        (
            r#"{"type":"metric","name":"rows","value":-1.5}"#,
            Message::Metric(Metric {
                name: "rows".to_owned(),
                value: -1.5,
            }),
        ),
        (
            r#"{"type":"result","status":"success","transaction_count":3,"data":{"a":[1]}}"#,
            Message::Result(StepResult::Success {
                transaction_count: Some(3),
                data: json!({"a": [1]}),
            }),
        ),
        (
            r#"{"type":"result","status":"success","outputs":{"rows":7}}"#,
            Message::Result(StepResult::Success {
                transaction_count: None,
                data: json!({"rows": 7}),
            }),
        ),
        (
            r#"{"status":"error","class":"auth","code":"15500","reason":"refused","type":"result"}"#,
            Message::Result(StepResult::Error {
                class: FailureClass::Auth,
                code: Some("15500".to_owned()),
                reason: "refused".to_owned(),
            }),
        ),
    ];
    for (json, expected) in cases {
        for end in ["", "\r", "  "] {
            let line = format!("::moorline {json}{end}");
            assert_eq!(
                parse_line(line.as_bytes()),
                Some(Ok(expected.clone())),
                "{line}"
            );
        }
    }
}

#[test]
fn other_lines_are_log() {
    let lines: [&[u8]; 8] = [
        b"",
        b"hello",
        b" ::moorline {}",
        b"::moorliner {}",
        b"::moorline-x",
        b"::moor",
        b"::group::moorline {}",
        b"\xff\xfe::moorline {}",
    ];
    for line in lines {
        assert_eq!(parse_line(line), None, "{}", line.escape_ascii());
    }
}

/// L20: a line that is not the contract is an error, never a guess.
#[test]
fn lines_that_are_not_the_contract_are_bad() {
    let cases = [
        (
            "::moorline",
            "`::moorline` needs one space and a JSON object after it",
        ),
        (
            "::moorline{\"type\":\"metric\"}",
            "`::moorline` needs one space and a JSON object after it",
        ),
        ("::moorline \n", "no JSON object follows"),
        ("::moorline rows=3", "no JSON object follows"),
        ("::moorline [1]", "no JSON object follows"),
        ("::moorline {", "not JSON: EOF while parsing an object"),
        ("::moorline {} {}", "missing field `type`"),
        (
            r#"::moorline {"type":"log"}"#,
            "unknown variant `log`, expected one of `progress`, `metric`, `result`",
        ),
        (
            r#"::moorline {"type":"metric","name":"n"}"#,
            "missing field `value`",
        ),
        (
            r#"::moorline {"type":"progress"}"#,
            "a progress line says nothing",
        ),
        (
            r#"::moorline {"type":"progress","pct":101}"#,
            "`pct` is not from 0 to 100",
        ),
        (
            r#"::moorline {"type":"progress","pct":1,"progress_pct":1}"#,
            "duplicate field `pct`",
        ),
        (
            r#"::moorline {"type":"progress","progress_pct":-1}"#,
            "`pct` is not from 0 to 100",
        ),
        (
            r#"::moorline {"type":"progress","status":"done"}"#,
            "unknown variant `done`, expected one of `started`, `in_progress`, `completed`, `failed`, `skipped`",
        ),
        (
            r#"::moorline {"type":"metric","name":"n","metric":"n","value":1}"#,
            "duplicate field `name`",
        ),
        (
            r#"::moorline {"type":"progress","percent":1}"#,
            "unknown field `percent`, expected one of `phase`, `crew`, `task`, `agent`, `status`, `pct`, \
             `progress_pct`, `message`, `output`, `error_message`, `duration_ms`",
        ),
        (r#"::moorline {"type":"result"}"#, "missing field `status`"),
        (
            r#"::moorline {"type":"result","status":"done"}"#,
            "unknown variant `done`, expected `success` or `error`",
        ),
        (
            r#"::moorline {"type":"result","status":"error","class":"auth"}"#,
            "missing field `reason`",
        ),
        (
            r#"::moorline {"type":"result","status":"error","class":"leak","reason":"r"}"#,
            "`leak` is not for a job to say: its class is `auth`, `validation`, `runtime` or `config`",
        ),
        (
            r#"::moorline {"type":"result","status":"error","class":"auth","reason":" "}"#,
            "an error result has an empty `reason`",
        ),
        (
            r#"::moorline {"type":"result","status":"success","data":1,"outputs":2}"#,
            "duplicate field `data`",
        ),
    ];
    for (line, reason) in cases {
        let error = parse_line(line.as_bytes()).unwrap().unwrap_err();
        assert_eq!(error.to_string(), reason, "{line}");
    }
    let negative = br#"::moorline {"type":"result","status":"success","transaction_count":-1}"#;
    assert!(parse_line(negative).unwrap().is_err());
}

#[test]
fn an_output_comes_to_its_one_result() {
    let output = "start\n::moorline {\"type\":\"metric\",\"name\":\"n\",\"value\":1}\n\
                  ::moorline {\"type\":\"result\",\"status\":\"success\",\"transaction_count\":0}\nbye\n";
    let done = Reply::Success {
        transaction_count: Some(0),
        data: Value::Null,
    };
    let metric = Message::Metric(Metric {
        name: "n".to_owned(),
        value: 1.0,
    });
    assert_eq!(
        collect(&[output.as_bytes()], ReplyRule::Required),
        (done, vec![metric])
    );
    assert_eq!(reply("just\nlog\n"), Reply::None);
    assert_eq!(reply(""), Reply::None);
    let failed = "::moorline {\"type\":\"result\",\"status\":\"error\",\"class\":\"config\",\"reason\":\"r\"}";
    let expected = Reply::Error {
        class: FailureClass::Config,
        code: None,
        reason: "r".to_owned(),
    };
    assert_eq!(reply(failed), expected);
}

/// L22, the part that is pure: garbage, two results, and none where one is required.
#[test]
fn an_output_that_is_not_the_contract_is_a_bad_reply() {
    let success = "::moorline {\"type\":\"result\",\"status\":\"success\"}\n";
    let cases = [
        (
            format!("{success}log\n{success}"),
            "line 3 of its output: a second result",
        ),
        (
            format!("log\n::moorline garbage\n{success}"),
            "line 2 of its output: no JSON object follows",
        ),
        (
            format!("{success}::moorline {{"),
            "line 2 of its output: not JSON: EOF while parsing an object",
        ),
        (
            format!("::moorline x\n{success}{success}"),
            "line 1 of its output: no JSON object follows",
        ),
    ];
    for (output, reason) in cases {
        assert_eq!(reply(&output), bad(reason), "{output}");
    }
    assert_eq!(
        collect(&[b"log\n"], ReplyRule::Required).0,
        bad("it sent no result line, and its step requires one")
    );
}

#[test]
fn a_protocol_line_without_end_is_bad_and_not_held() {
    let mut collector = ReplyCollector::new();
    collector.push(
        b"::moorline {\"type\":\"result\",\"status\":\"success\",\"data\":\"",
        &mut |_| {},
    );
    for _ in 0..20 {
        collector.push(&vec![b'x'; 64 << 10], &mut |_| {});
    }
    collector.push(
        b"\"}\n::moorline {\"type\":\"result\",\"status\":\"success\"}\n",
        &mut |_| {},
    );
    assert_eq!(
        collector.finish(ReplyRule::Optional),
        bad("line 1 of its output: a protocol line is over 1 MiB")
    );
    // The longest line that is allowed.
    let head = "::moorline {\"type\":\"result\",\"status\":\"success\",\"data\":\"";
    let data = "x".repeat(MAX_LINE - head.len() - 2);
    let done = Reply::Success {
        transaction_count: None,
        data: data.clone().into(),
    };
    assert_eq!(reply(&format!("{head}{data}\"}}\n")), done);
    assert_eq!(
        reply(&format!("{head}{data}x\"}}\n")),
        bad("line 1 of its output: a protocol line is over 1 MiB")
    );
}

#[test]
fn long_log_lines_pass_through() {
    let mut collector = ReplyCollector::new();
    for _ in 0..200 {
        collector.push(&vec![b'x'; 64 << 10], &mut |_| {});
    }
    collector.push(
        b"\n::moorline {\"type\":\"result\",\"status\":\"success\"}",
        &mut |_| {},
    );
    let done = Reply::Success {
        transaction_count: None,
        data: Value::Null,
    };
    assert_eq!(collector.finish(ReplyRule::Optional), done);
}

#[test]
fn replies_are_plain_data() {
    let replies = [
        Reply::None,
        Reply::Success {
            transaction_count: Some(1),
            data: json!([1, {"a": null}]),
        },
        Reply::Error {
            class: FailureClass::Auth,
            code: None,
            reason: "r".to_owned(),
        },
        bad("b"),
    ];
    for reply in replies {
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(
            serde_json::from_str::<Reply>(&text).unwrap(),
            reply,
            "{text}"
        );
    }
}

/// Pieces that an output is put together from.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("plain log".to_owned()),
        Just("::moor".to_owned()),
        Just("::moorline".to_owned()),
        Just("\r".to_owned()),
        Just("::moorline {\"type\":\"progress\",\"pct\":1}".to_owned()),
        Just("::moorline {\"type\":\"result\",\"status\":\"success\"}".to_owned()),
        "\\PC{0,12}",
    ]
}

proptest! {
    /// However the bytes are cut, an output comes to the same.
    #[test]
    fn chunks_do_not_matter(
        pieces in prop::collection::vec(piece(), 0..12),
        cuts in prop::collection::vec(1_usize..60, 0..40),
    ) {
        let text = pieces.join("\n") + "\n";
        let (reply, messages) = collect(&[text.as_bytes()], ReplyRule::Optional);
        let mut chunks = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (chunk, more) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = more;
        }
        chunks.push(rest);
        let (cut_reply, cut_messages) = collect(&chunks, ReplyRule::Optional);
        prop_assert_eq!(cut_reply, reply);
        prop_assert_eq!(&cut_messages, &messages);
        // Line by line it is the same as well.
        let lines = text.split('\n').filter_map(|line| parse_line(line.as_bytes()));
        let by_line: Vec<Message> = lines
            .flatten()
            .filter(|message| !matches!(message, Message::Result(_)))
            .collect();
        prop_assert_eq!(by_line, messages);
    }
}

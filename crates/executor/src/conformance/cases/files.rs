//! What goes into an attempt and what comes out, beside its log.

use std::fs;

use moorline_core::attempt::{Exit, InputFile};
use moorline_core::protocol::Reply;
use moorline_core::spec::Arg;

use crate::executor::{ExecutorError, LogStream};

use super::{Bench, During as _, Failure, Program, ensure, same};

pub(super) async fn outputs_are_collected(bench: &Bench<'_>) -> Result<(), Failure> {
    let files = [
        ("plain", "text"),
        ("a/b/deep", "x\ny"),
        ("empty", ""),
        ("sp ace", "1"),
    ];
    let files: Vec<_> = files
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into();
    let program = Program::WriteOutputs(files.clone());
    let (handle, _) = bench.succeed(&bench.attempt(&program)).await?;
    let mut seen = Vec::new();
    for file in bench
        .bounded("collect", bench.executor.collect(&handle))
        .await?
    {
        let text = fs::read_to_string(&file.local).during("reading a collected file")?;
        same(
            &format!("the size of `{}`", file.path),
            &file.size,
            &(text.len() as u64),
        )?;
        seen.push((file.path, text));
    }
    seen.sort_unstable();
    let mut expected = files;
    expected.sort_unstable();
    same("what was collected", &seen, &expected)
}

pub(super) async fn no_outputs_are_no_error(bench: &Bench<'_>) -> Result<(), Failure> {
    let (handle, _) = bench.finish(&Program::Exit(1)).await?;
    let files = bench
        .bounded("collect", bench.executor.collect(&handle))
        .await?;
    same("what was collected", &files, &vec![])
}

pub(super) async fn nothing_is_collected_of_what_runs(bench: &Bench<'_>) -> Result<(), Failure> {
    let handle = bench.start_ready(&Program::Stay).await?;
    let answer = bench
        .within("collect", bench.executor.collect(&handle))
        .await?;
    ensure(matches!(answer, Err(ExecutorError::StillRunning)), || {
        format!("collecting from an attempt that runs gave {answer:?}")
    })
}

pub(super) async fn arguments_arrive_byte_for_byte(bench: &Bench<'_>) -> Result<(), Failure> {
    let arguments: Vec<Arg> = [
        &b"plain"[..],
        b"",
        b" two  words ",
        b"\"quoted\" 'single' \\back",
        b"$(echo run) `echo run` ${HOME} $HOME ; echo run | cat > /x & #",
        b"line\nfeed\r\ttab",
        b"* ? [a-z] ~ {a,b}",
        b"--",
        "z\u{fc}rich".as_bytes(),
        b"\xff\xfe\x80",
    ]
    .map(|bytes| Arg::from(bytes.to_vec()))
    .into();
    let program = Program::RecordArguments(arguments.clone());
    let (handle, _) = bench.succeed(&bench.attempt(&program)).await?;
    let expected: Vec<u8> = arguments
        .iter()
        .flat_map(|argument| [argument.as_bytes(), b"\0"].concat())
        .collect();
    same(
        "what arrived",
        &bench.output(&handle, "arguments").await?,
        &expected,
    )
}

pub(super) async fn the_environment_is_as_agreed(bench: &Bench<'_>) -> Result<(), Failure> {
    let plain = [("PLAIN", "a value with  spaces and = signs"), ("EMPTY", "")];
    let mut attempt = bench.attempt(&Program::Exit(0));
    attempt.source_id = Some("source".to_owned());
    attempt.env = plain
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let mut expected: Vec<(String, String)> = attempt.env.clone().into_iter().collect();
    let contract = attempt.contract_env().into_iter();
    expected.extend(contract.map(|(name, value)| (name.to_owned(), value)));
    let names = expected.iter().map(|(name, _)| name.clone()).collect();
    attempt.argv = bench.harness.argv(&Program::PrintEnvironment(names));
    let (handle, _) = bench.succeed(&attempt).await?;
    let expected: Vec<String> = expected
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    same(
        "the environment",
        &bench.lines(&handle, LogStream::Stdout).await?,
        &expected,
    )
}

pub(super) async fn inputs_are_where_the_document_says(bench: &Bench<'_>) -> Result<(), Failure> {
    let source = bench.dir().join("statement");
    let content = b"input \0\xff bytes\n";
    fs::write(&source, content).during("writing an input")?;
    let mut attempt = bench.attempt(&Program::CopyInput);
    let path = "statement/checking.ofx".to_owned();
    attempt.inputs.insert(
        "statement".to_owned(),
        InputFile {
            source,
            path,
            size: content.len() as u64,
        },
    );
    attempt.params.insert("days".to_owned(), 30.into());
    let (handle, _) = bench.succeed(&attempt).await?;
    same(
        "the input file",
        &bench.output(&handle, "copy").await?,
        &content.to_vec(),
    )?;
    let document = bench.output(&handle, "document").await?;
    let document: serde_json::Value = serde_json::from_slice(&document)
        .map_err(|error| Failure::new(format!("the input document is not JSON: {error}")))?;
    // Where the input directory is, is the executor's business; all else is given.
    let path = document
        .pointer("/inputs/statement/path")
        .and_then(|path| path.as_str());
    let dir = path.and_then(|path| path.strip_suffix("/statement/checking.ofx"));
    let expected = attempt.input_document(dir.unwrap_or_default());
    same("the input document", &document, &expected)
}

pub(super) async fn a_reply_is_told(bench: &Bench<'_>) -> Result<(), Failure> {
    let result =
        r#"{"type":"result","status":"success","transaction_count":3,"data":{"b":"1.50"}}"#;
    let said = [
        "log".to_owned(),
        format!("::moorline {result}"),
        "more".to_owned(),
    ];
    let program = Program::Print {
        stdout: said.to_vec(),
        stderr: Vec::new(),
    };
    let (_, outcome) = bench.succeed(&bench.attempt(&program)).await?;
    let data = serde_json::json!({"b": "1.50"});
    same(
        "the reply",
        &outcome.reply,
        &Reply::Success {
            transaction_count: Some(3),
            data,
        },
    )?;
    let (_, outcome) = bench.finish(&Program::Exit(0)).await?;
    same(
        "the reply of a job that says nothing",
        &outcome.reply,
        &Reply::None,
    )?;
    let program = Program::Print {
        stdout: vec!["::moorline {".to_owned()],
        stderr: Vec::new(),
    };
    let (_, outcome) = bench.finish(&program).await?;
    same("the exit", &outcome.exit, &Exit::Exited { code: 0 })?;
    ensure(matches!(outcome.reply, Reply::Bad { .. }), || {
        format!(
            "a reply that is not the contract was taken for {:?}",
            outcome.reply
        )
    })
}

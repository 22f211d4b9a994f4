//! The text of a Dockerfile, as instructions.
//!
//! Comments, line continuations, the `escape` directive, JSON (exec) forms, quoting and the expansion of
//! variables follow the Dockerfile reference. Deliberately absent: here-documents and `ONBUILD`, which are
//! refused by name, and the checks that only a real builder can make.

use super::words::words;

/// Why a text is no Dockerfile that can be built here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Dockerfile line {line}: {text}")]
pub(super) struct DockerfileError {
    /// From 1.
    pub(super) line: usize,
    /// What is wrong and what to write.
    pub(super) text: String,
}

/// One instruction with the line on which it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) line: usize,
    /// As written, on one line, for logs.
    pub(super) text: String,
    pub(super) instruction: Instruction,
}

/// What an instruction asks for. Words may still hold quotes and variables: see [`expand`](super::words::expand).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instruction {
    From {
        image: String,
        name: Option<String>,
    },
    Run(Command),
    Copy {
        from: Option<String>,
        chmod: Option<String>,
        sources: Vec<String>,
        target: String,
    },
    /// Raw words `name=value`, or the two of the older form.
    Env(Vec<(String, String)>),
    Arg {
        name: String,
        default: Option<String>,
    },
    Workdir(String),
    User(String),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<String>),
    /// LABEL, EXPOSE, STOPSIGNAL, MAINTAINER, HEALTHCHECK, VOLUME: recorded in the log and nothing else.
    Noted,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// For the shell.
    Shell(String),
    /// Program and arguments.
    Exec(Vec<String>),
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, DockerfileError> {
    let escape = escape(text);
    let mut steps = Vec::new();
    for (line, text) in logical_lines(text, escape) {
        let fail = |text: String| DockerfileError { line, text };
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        let instruction = instruction(word, rest.trim()).map_err(fail)?;
        steps.push(Step {
            line,
            text: text.clone(),
            instruction,
        });
    }
    Ok(steps)
}

/// The escape character: a directive among the first comments may change it.
fn escape(text: &str) -> char {
    for line in text.lines() {
        let Some(comment) = line.trim().strip_prefix('#') else {
            break;
        };
        let Some((name, value)) = comment.split_once('=') else {
            break;
        };
        if name.trim().eq_ignore_ascii_case("escape") {
            return value.trim().chars().next().unwrap_or('\\');
        }
    }
    '\\'
}

/// Instructions on one line each, with the number of their first line; no comments, no empty lines.
fn logical_lines(text: &str, escape: char) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && goes_on) {
            continue;
        }
        let (part, more) = match line.trim_end().strip_suffix(escape) {
            Some(part) => (part, true),
            None => (line.trim_end(), false),
        };
        match lines.last_mut() {
            Some((_, joined)) if goes_on => joined.push_str(part),
            _ if trimmed.is_empty() => continue,
            _ => lines.push((number, part.trim_start().to_owned())),
        }
        goes_on = more;
    }
    lines.retain(|(_, line)| !line.trim().is_empty());
    lines
}

fn instruction(word: &str, rest: &str) -> Result<Instruction, String> {
    let name = word.to_ascii_uppercase();
    let needs = |what: &str| format!("{name} needs {what}");
    if rest.is_empty() && name != "RUN" {
        return Err(needs("an argument"));
    }
    Ok(match name.as_str() {
        "FROM" => from(rest)?,
        "RUN" => Instruction::Run(run(rest)?),
        "COPY" | "ADD" => copy(&name, rest)?,
        "ENV" => Instruction::Env(pairs(rest)?),
        "ARG" => match rest.split_once('=') {
            Some((name, default)) => Instruction::Arg {
                name: name.trim().to_owned(),
                default: Some(default.trim().to_owned()),
            },
            None => Instruction::Arg {
                name: rest.to_owned(),
                default: None,
            },
        },
        "WORKDIR" => Instruction::Workdir(rest.to_owned()),
        "USER" => Instruction::User(rest.to_owned()),
        "CMD" => Instruction::Cmd(command(rest)),
        "ENTRYPOINT" => Instruction::Entrypoint(command(rest)),
        "SHELL" => match command(rest) {
            Command::Exec(argv) if !argv.is_empty() => Instruction::Shell(argv),
            _ => return Err(needs(r#"a JSON list, e.g. ["/bin/bash", "-c"]"#)),
        },
        "LABEL" | "EXPOSE" | "STOPSIGNAL" | "MAINTAINER" | "HEALTHCHECK" | "VOLUME" => {
            Instruction::Noted
        }
        "ONBUILD" => return Err("ONBUILD is not supported: write the instruction itself".into()),
        other => return Err(format!("`{other}` is no instruction of a Dockerfile")),
    })
}

fn from(rest: &str) -> Result<Instruction, String> {
    let words: Vec<&str> = rest
        .split_whitespace()
        .filter(|word| !word.starts_with("--"))
        .collect();
    match words.as_slice() {
        [image] => Ok(Instruction::From {
            image: (*image).to_owned(),
            name: None,
        }),
        [image, is, name] if is.eq_ignore_ascii_case("as") => Ok(Instruction::From {
            image: (*image).to_owned(),
            name: Some(name.to_lowercase()),
        }),
        _ => Err("FROM is written `FROM image` or `FROM image AS name`".to_owned()),
    }
}

fn run(rest: &str) -> Result<Command, String> {
    let mut rest = rest;
    // Mounts of caches and the like change how fast it is, not what comes out.
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let is_cache = flag.starts_with("mount=") && flag.contains("type=cache");
        if !is_cache && !flag.starts_with("network=") && !flag.starts_with("security=") {
            return Err(format!("RUN --{flag} is not supported"));
        }
        rest = after.trim_start();
    }
    if rest.starts_with("<<") {
        return Err("RUN with a here-document is not supported: write `RUN a && b`".to_owned());
    }
    if rest.is_empty() {
        return Err("RUN needs a command".to_owned());
    }
    Ok(command(rest))
}

fn copy(name: &str, rest: &str) -> Result<Instruction, String> {
    let (mut from, mut chmod) = (None, None);
    let mut rest = rest;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("from", value) => from = Some(value.to_owned()),
            ("chmod", value) => chmod = Some(value.to_owned()),
            // There is one user, and layers are shared anyway.
            ("chown" | "link" | "parents", _) => {}
            (other, _) => return Err(format!("{name} --{other} is not supported")),
        }
        rest = after.trim_start();
    }
    let mut words = match command(rest) {
        Command::Exec(words) => words,
        Command::Shell(text) => words(&text)?,
    };
    let target = words.pop().unwrap_or_default();
    if words.is_empty() {
        return Err(format!("{name} needs a source and a destination"));
    }
    if words.iter().any(|word| word.starts_with("<<")) {
        return Err(format!("{name} with a here-document is not supported"));
    }
    if name == "ADD" && words.iter().any(|word| word.contains("://")) {
        return Err("ADD of a URL is not supported: fetch it with RUN".to_owned());
    }
    Ok(Instruction::Copy {
        from,
        chmod,
        sources: words,
        target,
    })
}

/// The JSON form when it is one, else the shell's.
fn command(rest: &str) -> Command {
    match serde_json::from_str::<Vec<String>>(rest) {
        Ok(argv) => Command::Exec(argv),
        Err(_) => Command::Shell(rest.to_owned()),
    }
}

/// `a=1 b="2 3"`, or the older `a 1 2`.
fn pairs(rest: &str) -> Result<Vec<(String, String)>, String> {
    let first = rest.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{word}` is not of the form name=value")),
    };
    words(rest)?.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::words::expand;
    use super::*;

    fn instructions(text: &str) -> Vec<Instruction> {
        parse(text)
            .unwrap()
            .into_iter()
            .map(|step| step.instruction)
            .collect()
    }

    fn shell(text: &str) -> Command {
        Command::Shell(text.to_owned())
    }

    #[test]
    fn an_instruction_may_run_over_lines_with_comments_in_between() {
        let text = "# syntax=x\n\nfrom python:3.11 AS Base\nRUN apt-get update && \\\n  # not this\n\n  \
            apt-get install -y curl\nRUN [\"echo\", \"a b\"]\n";
        let steps = parse(text).unwrap();
        assert_eq!(
            steps.iter().map(|step| step.line).collect::<Vec<_>>(),
            [3, 4, 8]
        );
        let expected = [
            Instruction::From {
                image: "python:3.11".into(),
                name: Some("base".into()),
            },
            Instruction::Run(shell("apt-get update &&   apt-get install -y curl")),
            Instruction::Run(Command::Exec(vec!["echo".into(), "a b".into()])),
        ];
        assert_eq!(instructions(text), expected);
    }

    #[test]
    fn the_forms_of_every_instruction_are_read() {
        let copy = |from: Option<&str>, chmod: Option<&str>, sources: &[&str], target: &str| {
            Instruction::Copy {
                from: from.map(str::to_owned),
                chmod: chmod.map(str::to_owned),
                sources: sources.iter().map(|source| (*source).to_owned()).collect(),
                target: target.to_owned(),
            }
        };
        let cases = [
            ("COPY . /", copy(None, None, &["."], "/")),
            (
                "COPY --chmod=755 --link a b /d/",
                copy(None, Some("755"), &["a", "b"], "/d/"),
            ),
            (
                "COPY --from=build [\"a b\", \"/c\"]",
                copy(Some("build"), None, &["a b"], "/c"),
            ),
            (
                "ENV a=1 b='2 3'",
                Instruction::Env(vec![("a".into(), "1".into()), ("b".into(), "'2 3'".into())]),
            ),
            (
                "ENV a 1 2",
                Instruction::Env(vec![("a".into(), "1 2".into())]),
            ),
            (
                "ARG v=1",
                Instruction::Arg {
                    name: "v".into(),
                    default: Some("1".into()),
                },
            ),
            (
                "ARG v",
                Instruction::Arg {
                    name: "v".into(),
                    default: None,
                },
            ),
            ("WORKDIR /a", Instruction::Workdir("/a".into())),
            ("USER me", Instruction::User("me".into())),
            (
                "CMD [\"sleep\", \"1\"]",
                Instruction::Cmd(Command::Exec(vec!["sleep".into(), "1".into()])),
            ),
            (
                "ENTRYPOINT run me",
                Instruction::Entrypoint(shell("run me")),
            ),
            (
                "SHELL [\"/bin/bash\", \"-c\"]",
                Instruction::Shell(vec!["/bin/bash".into(), "-c".into()]),
            ),
            ("EXPOSE 80", Instruction::Noted),
            (
                "RUN --mount=type=cache,target=/c true",
                Instruction::Run(shell("true")),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(instructions(text), [expected], "{text}");
        }
    }

    #[test]
    fn what_can_not_be_built_is_named_with_its_line() {
        let cases = [
            (
                "FROM a\nFETCH b",
                "Dockerfile line 2: `FETCH` is no instruction of a Dockerfile",
            ),
            ("RUN", "Dockerfile line 1: RUN needs a command"),
            (
                "FROM a b",
                "Dockerfile line 1: FROM is written `FROM image` or `FROM image AS name`",
            ),
            (
                "COPY a",
                "Dockerfile line 1: COPY needs a source and a destination",
            ),
            ("ENV a='1", "Dockerfile line 1: a quote is not closed"),
            (
                "SHELL bash",
                "Dockerfile line 1: SHELL needs a JSON list, e.g. [\"/bin/bash\", \"-c\"]",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(?s).{0,200}") {
            drop(parse(&text));
            drop(expand(&text, &BTreeMap::new()));
        }

        #[test]
        fn a_quoted_value_comes_out_as_it_went_in(value in "[^\\n\\x00-\\x1f']{0,40}") {
            let quoted = format!("ENV k='{value}'");
            let Instruction::Env(pairs) = &instructions(&quoted)[0] else { panic!("no ENV") };
            prop_assert_eq!(expand(&pairs[0].1, &BTreeMap::new()), value);
        }
    }
}

//! Secrets in the files of an artifact: in which line, and by which pattern; never the value (D-SEC-3).
//!
//! Three ways to find one: the pattern redactor, which also keeps them out of logs; forms of other vendors'
//! tokens and of private keys; and a long text without order that is assigned to a name such as `api_key`.
//! Names of files that hold keys by custom count as well. What stands after `password=` and is no literal
//! (a name, an expression, a placeholder) is let pass: code has to name what it reads at run time.

use std::collections::BTreeMap;

use moorline_core::artifact::files::{Entry, Files};
use moorline_core::denial::Detail;
use moorline_secrets::Redactor;

/// What the redactor puts in the place of a secret that it knows by its looks.
const MARKER: &str = "[redacted]";

/// Tokens by how they begin, with the least number of characters that follow, and what they are.
const TOKENS: [(&str, usize, &str); 17] = [
    ("xoxb-", 20, "Slack token"),
    ("xoxp-", 20, "Slack token"),
    ("xapp-", 20, "Slack token"),
    ("glpat-", 20, "GitLab token"),
    ("AIza", 35, "Google API key"),
    ("ya29.", 20, "Google access token"),
    ("SG.", 40, "SendGrid key"),
    ("sk_live_", 16, "Stripe key"),
    ("rk_live_", 16, "Stripe key"),
    ("npm_", 36, "npm token"),
    ("pypi-AgE", 40, "PyPI token"),
    ("hf_", 30, "Hugging Face token"),
    ("ak-", 22, "Modal token id"),
    ("as-", 22, "Modal token secret"),
    ("AGE-SECRET-KEY-1", 40, "age key"),
    ("dop_v1_", 40, "DigitalOcean token"),
    ("eyJhbGciOi", 60, "signed token (JWT)"),
];

/// Names of files that hold keys or passwords by custom.
const FILES: [&str; 13] = [
    ".env",
    ".netrc",
    ".pgpass",
    ".pypirc",
    ".git-credentials",
    ".htpasswd",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "credentials.json",
    "service_account.json",
    "cookies.sqlite",
];

/// Endings of such names.
const ENDINGS: [&str; 6] = [".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx"];

/// Parts of names that secrets are assigned to.
const NAMES: [&str; 9] = [
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "private_key",
    "passwd",
    "credential",
];

/// The least length of a text that can be a key, and the least bits of order that it lacks, by character.
const LONG: usize = 20;
const ENTROPY: f64 = 3.5;

/// Every line that holds what looks like a secret, and every file that is one by its name.
pub(super) fn secrets(files: &Files) -> Vec<Detail> {
    let redactor = Redactor::builder().build();
    let mut found = Vec::new();
    for (path, entry) in files.iter() {
        if let Some(what) = by_name(path) {
            found.push(finding(path.to_owned(), what));
        }
        let Entry::File {
            bytes: Some(bytes), ..
        } = entry
        else {
            continue;
        };
        let text = String::from_utf8_lossy(bytes);
        for (number, line) in (1_u64..).zip(text.lines()) {
            for what in in_line(&redactor, line) {
                found.push(finding(format!("{path}:{number}"), what));
            }
        }
    }
    found
}

fn finding(at: String, what: &str) -> Detail {
    Detail {
        at,
        rule: "D-SEC-3".to_owned(),
        message: format!("holds what looks like a secret: {what}"),
        hint: Some(
            "take it out and rotate it; a job declares its secrets and gets them at run time"
                .to_owned(),
        ),
    }
}

fn by_name(path: &str) -> Option<&'static str> {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let name = name.to_ascii_lowercase();
    let keeps = FILES.contains(&name.as_str())
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || (name.starts_with(".env.") && !name.ends_with(".example"));
    keeps.then_some("a file that holds keys by custom")
}

/// The patterns of which something stands in a line, each once.
fn in_line(redactor: &Redactor, line: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let redacted = redactor.redact(line);
    if redacted != line {
        found.extend(by_redactor(line, &redacted));
    }
    if line.contains("-----BEGIN ") && line.contains("PRIVATE KEY") {
        found.push("private key (PEM)");
    }
    if line.contains("PuTTY-User-Key-File-") {
        found.push("private key (PuTTY)");
    }
    found.extend(
        TOKENS
            .iter()
            .filter(|(begin, least, _)| holds_token(line, begin, *least))
            .map(|(_, _, what)| *what),
    );
    if holds_url_password(line) {
        found.push("password in a URL");
    }
    if assigns_secret(line) {
        found.push("long text without order, assigned to a secret's name");
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What the redactor took out of a line, by name of the pattern.
fn by_redactor(line: &str, redacted: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut rest = line;
    let mut parts = redacted.split(MARKER);
    let mut before = parts.next().unwrap_or_default();
    for part in parts {
        rest = rest.strip_prefix(before).unwrap_or(rest);
        let end = if part.is_empty() {
            rest.len()
        } else {
            rest.find(part).unwrap_or(rest.len())
        };
        let (value, after) = rest.split_at(end);
        let keyword = keyword(before);
        let what = match keyword {
            Some(what) if is_literal(before, value) => Some(what),
            Some(_) => None,
            None => Some(token(value)),
        };
        found.extend(what);
        (rest, before) = (after, part);
    }
    found
}

/// The keyword pattern whose value follows this text.
fn keyword(before: &str) -> Option<&'static str> {
    let words = before
        .trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_ascii_lowercase();
    [
        ("password", "`password=…`"),
        ("bearer", "`Bearer …`"),
        ("basic", "`Basic …`"),
    ]
    .into_iter()
    .find(|(word, _)| words.ends_with(word))
    .map(|(_, what)| what)
}

fn token(value: &str) -> &'static str {
    [
        ("sk-", "`sk-…` token"),
        ("github_pat_", "`github_pat_…` token"),
        ("gh", "`ghp_…` token"),
        ("AKIA", "`AKIA…` key"),
        ("r8_", "`r8_…` token"),
    ]
    .into_iter()
    .find(|(begin, _)| value.starts_with(begin))
    .map_or("known token", |(_, what)| what)
}

/// Whether a value is written out, and not named, computed or left to be filled in.
fn is_literal(before: &str, value: &str) -> bool {
    let computed = |c: char| matches!(c, '(' | ')' | '{' | '}' | '[' | ']' | '<' | '>' | '$' | '%');
    if value.len() < 4 || value.contains(computed) || value.contains("...") || value.contains('…')
    {
        return false;
    }
    let first = value.chars().next();
    if value.chars().all(|c| Some(c) == first) {
        return false;
    }
    let quoted = before.ends_with(['"', '\'']);
    let name = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '.' | ',' | ';');
    quoted || !value.chars().all(name)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '/' | '+')
}

/// Whether a word begins so and goes on for long enough, with letters and digits among it.
fn holds_token(line: &str, begin: &str, least: usize) -> bool {
    line.match_indices(begin).any(|(at, _)| {
        let word_before = line
            .get(..at)
            .and_then(|before| before.chars().next_back())
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let body = line.get(at + begin.len()..).unwrap_or_default();
        let end = body.find(|c| !is_token_char(c)).unwrap_or(body.len());
        let body = body.get(..end).unwrap_or_default();
        !word_before
            && body.len() >= least
            && body.contains(|c: char| c.is_ascii_digit())
            && body.contains(|c: char| c.is_ascii_alphabetic())
    })
}

/// `scheme://user:password@host`, the password written out.
fn holds_url_password(line: &str) -> bool {
    line.match_indices("://").any(|(at, found)| {
        let rest = line.get(at + found.len()..).unwrap_or_default();
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`' | '?' | '#'))
            .unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        let Some((user, password)) = authority
            .rsplit_once('@')
            .and_then(|(account, _)| account.split_once(':'))
        else {
            return false;
        };
        !user.is_empty() && is_literal("\"", password) && password != "password"
    })
}

/// `api_key = "…"` and the like, the value in quotes, long, and of no order.
fn assigns_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    NAMES.iter().any(|name| {
        lower.match_indices(name).any(|(at, _)| {
            let after = line.get(at + name.len()..).unwrap_or_default();
            let sign = after.trim_start_matches(|c: char| {
                c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '"' | '\'' | ']' | ' ')
            });
            let Some(value) = sign.strip_prefix([':', '=']) else {
                return false;
            };
            let value = value.trim_start_matches([' ', '=', '>']);
            let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
                return false;
            };
            let value = value.get(1..).unwrap_or_default();
            let value = value.split(quote).next().unwrap_or_default();
            value.len() >= LONG
                && value.chars().all(is_token_char)
                && value.contains(|c: char| c.is_ascii_digit())
                && value.contains(|c: char| c.is_ascii_alphabetic())
                && entropy(value) >= ENTROPY
        })
    })
}

/// Shannon's entropy of a text, in bits by character.
fn entropy(text: &str) -> f64 {
    let mut counts: BTreeMap<u8, u32> = BTreeMap::new();
    for byte in text.bytes() {
        *counts.entry(byte).or_default() += 1;
    }
    let total: f64 = counts.values().map(|count| f64::from(*count)).sum();
    counts
        .values()
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made of two parts, so that this file holds no secret itself.
    fn joined(parts: &[&str]) -> String {
        parts.concat()
    }

    fn found(line: &str) -> Vec<&'static str> {
        in_line(&Redactor::builder().build(), line)
    }

    #[test]
    fn secrets_are_found_by_their_looks_and_named_by_the_pattern() {
        let cases: [(String, &str); 11] = [
            (
                joined(&["key = 'sk-", "proj-abc123def456ghi789'"]),
                "`sk-…` token",
            ),
            (
                joined(&["ghp_", "abcdefghij0123456789abcdefghij012345"]),
                "`ghp_…` token",
            ),
            (joined(&["AKIA", "IOSFODNN7EXAMPLE"]), "`AKIA…` key"),
            (joined(&["pass", "word=hunter2!x"]), "`password=…`"),
            (
                joined(&["Authorization: Bearer ", "abcdef0123456789abcdef"]),
                "`Bearer …`",
            ),
            (
                joined(&["-----BEGIN ", "RSA PRIVATE KEY-----"]),
                "private key (PEM)",
            ),
            (
                joined(&["xoxb-", "123456789012-abcdefghijkl"]),
                "Slack token",
            ),
            (
                joined(&["as-", "A1b2C3d4E5f6G7h8I9j0K1"]),
                "Modal token secret",
            ),
            (
                joined(&["postgres://ada:", "s3cr3t!x@db.example.com/x"]),
                "password in a URL",
            ),
            (
                joined(&[
                    "AGE-SECRET-KEY-1",
                    "QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8",
                ]),
                "age key",
            ),
            (
                joined(&["client_secret: \"", "q8Zr2LkP0vXyT4nB7mWd\""]),
                "long text without order, assigned to a secret's name",
            ),
        ];
        for (line, what) in cases {
            assert_eq!(found(&line), [what], "{line}");
        }
    }

    #[test]
    fn code_that_names_what_it_reads_at_run_time_passes() {
        for line in [
            "password = os.environ[\"BANK_PASSWORD\"]",
            "password=password",
            "login(user, password=self.password)",
            "password=<your password>",
            "password=********",
            "token = \"first-bank\"",
            "secret_name = \"LONG_HORIZON_AGENT_CHASE_OAUTH\"",
            "image: python@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "b3:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "https://example.com/a:b@c",
            "task-management and as-is and sk-learn",
            "tokens = tokenizer.split(text, '0123456789abcdefghijklmnop')",
        ] {
            assert_eq!(found(line), Vec::<&str>::new(), "{line}");
        }
    }

    #[test]
    fn findings_name_file_line_and_pattern_and_never_the_value() {
        let value = joined(&["sk-", "proj-abc123def456ghi789"]);
        let mut files = Files::default();
        files.insert(
            "a.py",
            Entry::file(false, format!("one\nkey = '{value}'\n")),
        );
        files.insert("keys/server.key", Entry::file(false, "nothing"));
        files.insert(".env.example", Entry::file(false, "A=\n"));
        let found = secrets(&files);
        let at: Vec<&str> = found.iter().map(|finding| finding.at.as_str()).collect();
        assert_eq!(at, ["a.py:2", "keys/server.key"]);
        assert!(
            found
                .iter()
                .all(|finding| !finding.message.contains("abc123"))
        );
    }
}

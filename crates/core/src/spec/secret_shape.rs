//! Whether a text looks like a secret value.
//!
//! The shapes are those that the redactor knows by pattern (D-SEC-6), held more tightly: here a false
//! alarm refuses a document, there it only blackens a word. Deliberately absent: entropy guesses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A prefix that well-known issuers give their tokens, and the least that follows it.
struct Issued {
    prefix: &'static str,
    least: usize,
    what: &'static str,
}

const ISSUED: [Issued; 8] = [
    Issued {
        prefix: "sk-",
        least: 20,
        what: "an API key (`sk-…`)",
    },
    Issued {
        prefix: "ghp_",
        least: 20,
        what: "a GitHub token (`ghp_…`)",
    },
    Issued {
        prefix: "github_pat_",
        least: 20,
        what: "a GitHub token (`github_pat_…`)",
    },
    Issued {
        prefix: "AKIA",
        least: 16,
        what: "an AWS access key (`AKIA…`)",
    },
    Issued {
        prefix: "r8_",
        least: 20,
        what: "a Replicate token (`r8_…`)",
    },
    Issued {
        prefix: "as-",
        least: 20,
        what: "a Modal token secret (`as-…`)",
    },
    Issued {
        prefix: "xoxb-",
        least: 20,
        what: "a Slack token (`xoxb-…`)",
    },
    Issued {
        prefix: "xoxp-",
        least: 20,
        what: "a Slack token (`xoxp-…`)",
    },
];

/// What kind of secret a text holds, by its shape; never the secret itself.
pub(super) fn secret_shape(text: &str) -> Option<&'static str> {
    issued(text)
        .or_else(|| authorization(text))
        .or_else(|| assigned_password(text))
        .or_else(|| private_key(text))
}

fn issued(text: &str) -> Option<&'static str> {
    ISSUED
        .iter()
        .find(|token| occurrences(text, token.prefix).any(|rest| token.fits(rest)))
        .map(|token| token.what)
}

impl Issued {
    fn fits(&self, rest: &str) -> bool {
        let body = leading(rest, |b| {
            b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
        });
        // A digit: `sk-learn-pipeline-with-words` is a name.
        body.len() >= self.least && body.bytes().any(|b| b.is_ascii_digit())
    }
}

/// `Bearer …`, and `Basic …` whose rest is a user and a password in base64 (RFC 7617).
fn authorization(text: &str) -> Option<&'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let bearer = |rest: &str| {
        let body = leading(rest, token);
        body.len() >= 16 && body.bytes().any(|b| b.is_ascii_digit())
    };
    let basic = |rest: &str| {
        STANDARD
            .decode(leading(rest, token))
            .is_ok_and(|credentials| credentials.contains(&b':'))
    };
    let lower = text.to_ascii_lowercase();
    if rests(text, &lower, "bearer ").any(bearer) {
        Some("a bearer token (`Bearer …`)")
    } else if rests(text, &lower, "basic ").any(basic) {
        Some("a user with a password (`Basic …`)")
    } else {
        None
    }
}

/// `password=…` with a value that is not a placeholder.
fn assigned_password(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    rests(text, &lower, "password=")
        .any(|rest| rest.starts_with(|c: char| !c.is_whitespace() && !"$<{%&;\"'".contains(c)))
        .then_some("a password (`password=…`)")
}

/// A private key in PEM form (RFC 7468).
fn private_key(text: &str) -> Option<&'static str> {
    (text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
        .then_some("a private key (`-----BEGIN … PRIVATE KEY-----`)")
}

/// What follows each occurrence of a prefix at the start of a word.
fn occurrences<'a>(text: &'a str, prefix: &'static str) -> impl Iterator<Item = &'a str> {
    rests(text, text, prefix)
}

/// As [`occurrences`], found in `haystack`, which is `text` with other letter case.
fn rests<'a>(
    text: &'a str,
    haystack: &'a str,
    prefix: &'static str,
) -> impl Iterator<Item = &'a str> {
    haystack.match_indices(prefix).filter_map(move |(at, _)| {
        let inside_word = haystack
            .get(..at)
            .and_then(|before| before.chars().next_back())
            .is_some_and(char::is_alphanumeric);
        if inside_word {
            None
        } else {
            text.get(at + prefix.len()..)
        }
    })
}

fn leading(text: &str, allowed: impl Fn(u8) -> bool) -> &str {
    let end = text.bytes().position(|b| !allowed(b)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_shape() {
        // Put together here, so that no scanner takes this file for a leak.
        let filler = "abcd1234".repeat(4);
        let texts = [
            format!("sk-{filler}"),
            format!("key: sk-proj-{filler}"),
            format!("sk-ant-{filler}"),
            format!("--token=ghp_{filler}"),
            format!("github_pat_{filler}"),
            format!("AKIA{}", filler.to_uppercase()),
            format!("r8_{filler}"),
            format!("Authorization: Bearer {filler}"),
            "authorization: basic dXNlcjpwYXNzd29yZA==".to_owned(),
            "host=db password=hunter2".to_owned(),
            "?Password=x".to_owned(),
            format!("-----BEGIN {}PRIVATE KEY-----\nMC4", "RSA "),
        ];
        for text in &texts {
            assert!(secret_shape(text).is_some(), "{text}");
        }
    }

    #[test]
    fn ordinary_texts_pass() {
        let digest = format!("repo/app@sha256:{}", "0123456789abcdef".repeat(4));
        let texts = [
            "",
            "task-1234567890-1234567890-abc",
            "sk-learn-pipeline-with-words",
            "Basic bookkeeping for 2026",
            "bearer of good news from the 12th century",
            "password=$DB_PASSWORD",
            "password=<from the vault>",
            "set the password = none",
            "ask-1234567890123456789012345",
            "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
            &digest,
        ];
        for text in texts {
            assert_eq!(secret_shape(text), None, "{text}");
        }
    }
}

//! What must hold for every text, every set of values and every way to cut a stream (L54).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use moorline_secrets::Redactor;
use proptest::prelude::*;

/// How a program may write a value into its log.
#[derive(Debug, Clone, Copy)]
enum Form {
    Exact,
    Base64 {
        url_safe: bool,
        padded: bool,
        before: usize,
        after: usize,
    },
    Hex {
        upper: bool,
    },
    Percent {
        full: bool,
    },
    Json,
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        Just(Form::Exact),
        (any::<bool>(), any::<bool>(), 0..6_usize, 0..6_usize).prop_map(
            |(url_safe, padded, before, after)| Form::Base64 {
                url_safe,
                padded,
                before,
                after
            }
        ),
        any::<bool>().prop_map(|upper| Form::Hex { upper }),
        any::<bool>().prop_map(|full| Form::Percent { full }),
        Just(Form::Json),
    ]
}

fn bytewise(value: &str, byte: impl Fn(u8) -> String) -> String {
    value.bytes().map(byte).collect::<Vec<_>>().concat()
}

fn written(value: &str, form: Form) -> String {
    match form {
        Form::Exact => value.to_owned(),
        Form::Base64 {
            url_safe,
            padded,
            before,
            after,
        } => {
            let engine = match (url_safe, padded) {
                (false, true) => STANDARD,
                (false, false) => STANDARD_NO_PAD,
                (true, true) => URL_SAFE,
                (true, false) => URL_SAFE_NO_PAD,
            };
            engine.encode(
                [
                    &b"\xffnoise"[..before],
                    value.as_bytes(),
                    &b"\xfeother"[..after],
                ]
                .concat(),
            )
        }
        Form::Hex { upper: true } => bytewise(value, |byte| format!("{byte:02X}")),
        Form::Hex { upper: false } => bytewise(value, |byte| format!("{byte:02x}")),
        Form::Percent { full: true } => bytewise(value, |byte| format!("%{byte:02x}")),
        Form::Percent { full: false } => {
            percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
                .replace("%2D", "-")
                .replace("%5F", "_")
                .replace("%2E", ".")
                .replace("%7E", "~")
        }
        Form::Json => {
            let quoted = serde_json::to_string(value).unwrap();
            let inner = quoted
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            inner.unwrap().to_owned()
        }
    }
}

/// Values without brackets and colons, which markers have, so that a marker and its neighbours do
/// not look like one.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9_+/=.-]{4,40}",
        2 => "[a-zA-Z0-9\"\\\\/%& é~<]{4,24}",
        // Few letters, so that values overlap with themselves and each other.
        2 => "[ab]{4,9}",
        1 => "[a-z]{1,20}\n[a-zA-Z0-9]{16,30}\n[a-z]{1,6}",
    ]
    .prop_filter("white space around a value is not part of it", |value| {
        value.trim().len() >= 4
    })
    .prop_map(|value| value.trim().to_owned())
}

/// Beginnings and ends of patterns, and what may come between.
fn noise() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\n".to_owned()),
        Just(" ".to_owned()),
        Just("sk-".to_owned()),
        Just("ghp_".to_owned()),
        Just("github_pat_".to_owned()),
        Just("AKIA".to_owned()),
        Just("r8_".to_owned()),
        Just("mlt_".to_owned()),
        Just("Bearer ".to_owned()),
        Just("authorization: basic ".to_owned()),
        Just("password=".to_owned()),
        Just("\\\"passWord\\\": \\\"".to_owned()),
        Just("\"password\" : \"".to_owned()),
        Just("[redacted]".to_owned()),
        Just("[redacted:A]".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\u{1b}[31m".to_owned()),
        "[a-zA-Z0-9]{0,14}",
        "[ab]{0,5}",
        "[=\\\\>\"' ]{0,9}",
    ]
}

#[derive(Debug, Clone)]
enum Part {
    Noise(String),
    Value(prop::sample::Index, Form),
    /// Only the first so many bytes of a value.
    Torn(prop::sample::Index, Form, prop::sample::Index),
    Binary(Vec<u8>),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        6 => noise().prop_map(Part::Noise),
        3 => (any::<prop::sample::Index>(), form()).prop_map(|(value, form)| Part::Value(value, form)),
        2 => (any::<prop::sample::Index>(), form(), any::<prop::sample::Index>())
            .prop_map(|(value, form, length)| Part::Torn(value, form, length)),
        1 => prop::collection::vec(any::<u8>(), 0..8).prop_map(Part::Binary),
    ]
}

fn chosen(values: &[String], index: prop::sample::Index) -> &str {
    &values[index.index(values.len())]
}

fn assembled(parts: &[Part], values: &[String]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| match part {
            Part::Noise(text) => text.clone().into_bytes(),
            Part::Value(value, form) => written(chosen(values, *value), *form).into_bytes(),
            Part::Torn(value, form, length) => {
                let whole = written(chosen(values, *value), *form).into_bytes();
                whole[..length.index(whole.len())].to_vec()
            }
            Part::Binary(bytes) => bytes.clone(),
        })
        .collect()
}

fn redactor(values: &[String]) -> Redactor {
    let named = values.iter().enumerate();
    named
        .fold(Redactor::builder(), |all, (at, value)| {
            all.value(&format!("V{at}"), value)
        })
        .build()
}

/// Cuts the text into chunks of these lengths, over and over.
fn streamed(redactor: &Redactor, text: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut stream, mut out, mut rest) = (redactor.stream(), Vec::new(), text);
    for length in lengths.iter().cycle() {
        let (chunk, next) = rest.split_at(rest.len().min(*length));
        stream.push(chunk, &mut out);
        rest = next;
        if rest.is_empty() {
            break;
        }
    }
    stream.finish(&mut out);
    out
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len())
        .any(|window| window == part.as_bytes())
}

proptest! {
    /// L54: a secret that is split over chunks is found as if it were not.
    #[test]
    fn a_stream_gives_what_the_whole_text_gives(
        values in prop::collection::vec(value(), 0..4),
        parts in prop::collection::vec(part(), 0..16),
        lengths in prop::collection::vec(1..20_usize, 1..6),
    ) {
        let values = if values.is_empty() { vec!["no such value".to_owned()] } else { values };
        let text = assembled(&parts, &values);
        let redactor = redactor(&values);
        let whole = redactor.redact_bytes(&text);
        let stream = streamed(&redactor, &text, &lengths);
        prop_assert_eq!(
            String::from_utf8_lossy(&stream),
            String::from_utf8_lossy(&whole),
            "text {:?}", String::from_utf8_lossy(&text)
        );
    }

    /// L54: raw, base64, hex, URL-encoded.
    #[test]
    fn no_form_of_a_value_survives(
        values in prop::collection::vec(value(), 1..4),
        parts in prop::collection::vec(part(), 0..12),
        embedded in any::<prop::sample::Index>(),
        form in form(),
        lengths in prop::collection::vec(1..20_usize, 1..6),
    ) {
        let mut parts = parts;
        parts.push(Part::Value(embedded, form));
        let text = assembled(&parts, &values);
        let out = streamed(&redactor(&values), &text, &lengths);
        for value in &values {
            for form in [
                Form::Exact,
                Form::Hex { upper: true },
                Form::Hex { upper: false },
                Form::Percent { full: true },
                Form::Percent { full: false },
                Form::Json,
            ] {
                prop_assert!(!contains(&out, &written(value, form)), "{form:?} of {value:?}");
            }
            for before in 0..3 {
                for url_safe in [true, false] {
                    let form = Form::Base64 { url_safe, padded: false, before, after: 0 };
                    let digits = written(value, form);
                    // Without the digits that hold bits of what stands before.
                    let own = digits.split_at([0, 2, 3][before]).1;
                    prop_assert!(!contains(&out, own), "{form:?} of {value:?}");
                }
            }
        }
    }

    #[test]
    fn text_without_values_and_triggers_is_left_alone(text in "[a-rt-zA-Z0-9 .,:;/@#-]{0,200}") {
        prop_assume!(!["basic", "akia", "r8_"].iter().any(|&word| text.to_lowercase().contains(word)));
        let redactor = redactor(&["S3CRET~value".to_owned()]);
        prop_assert!(matches!(redactor.redact(&text), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn after_a_complete_line_nothing_stays_behind(
        values in prop::collection::vec("[a-zA-Z0-9_+/=.-]{4,40}", 1..4),
        parts in prop::collection::vec(part(), 0..8),
    ) {
        let mut text = assembled(&parts, &values);
        text.push(b'\n');
        let mut stream = redactor(&values).stream();
        stream.push(&text, &mut Vec::new());
        prop_assert_eq!(stream.pending(), 0);
    }

    #[test]
    fn what_stays_behind_is_no_longer_than_the_longest_form(
        values in prop::collection::vec(value(), 1..4),
        parts in prop::collection::vec(part(), 0..16),
    ) {
        let text = assembled(&parts, &values);
        let mut stream = redactor(&values).stream();
        let longest = values.iter().map(|value| value.len() * 6).max().unwrap_or(0);
        for byte in text {
            stream.push(&[byte], &mut Vec::new());
            prop_assert!(stream.pending() <= longest.max(160), "{} of {longest}", stream.pending());
        }
    }
}

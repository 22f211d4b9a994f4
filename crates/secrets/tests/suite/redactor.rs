//! What is redacted and what survives, case by case (D-SEC-6).

use std::borrow::Cow;

use moorline_secrets::Redactor;
use serde_json::json;

const KEY: &str = "hunter2/correct+horse";

fn redactor() -> Redactor {
    Redactor::builder().value("API_KEY", KEY).build()
}

/// L54: raw, base64, hex, URL-encoded.
#[test]
fn a_value_is_found_in_every_form_that_programs_write_it_in() {
    let redactor = redactor();
    for text in [
        "hunter2/correct+horse",
        // printf %s "$API_KEY" | base64
        "aHVudGVyMi9jb3JyZWN0K2hvcnNl",
        // printf %s "$API_KEY" | xxd -p, and in upper case
        "68756e746572322f636f72726563742b686f727365",
        "68756E746572322F636F72726563742B686F727365",
        // encodeURIComponent, Python's quote, lower-case hex, every byte
        "hunter2%2Fcorrect%2Bhorse",
        "hunter2/correct%2Bhorse",
        "hunter2%2fcorrect%2bhorse",
        "%68%75%6e%74%65%72%32%2f%63%6f%72%72%65%63%74%2b%68%6f%72%73%65",
        // json_encode of PHP
        r"hunter2\/correct+horse",
    ] {
        assert_eq!(
            redactor.redact(&format!("<{text}>")),
            "<[redacted:API_KEY]>",
            "{text}"
        );
    }
}

#[test]
fn a_value_inside_longer_base64_is_found_wherever_it_begins() {
    let redactor = redactor();
    for (longer, expected) in [
        // {"key":"…"} and the same with one and two bytes more in front
        (
            "eyJrZXkiOiJodW50ZXIyL2NvcnJlY3QraG9yc2UifQ==",
            "eyJrZXkiOi[redacted:API_KEY]ifQ==",
        ),
        (
            "IHsia2V5IjoiaHVudGVyMi9jb3JyZWN0K2hvcnNlIn0=",
            "IHsia2V5Ijoi[redacted:API_KEY]In0=",
        ),
        (
            "ICB7ImtleSI6Imh1bnRlcjIvY29ycmVjdCtob3JzZSJ9",
            "ICB7ImtleSI6I[redacted:API_KEY]J9",
        ),
    ] {
        assert_eq!(redactor.redact(longer), expected);
    }
}

#[test]
fn overlapping_values_go_under_one_marker() {
    let redactor = Redactor::builder()
        .value("A", "abcdef")
        .value("B", "efghij")
        .build();
    assert_eq!(redactor.redact("<abcdefghij>"), "<[redacted:A]>");
    assert_eq!(redactor.redact("abcdefabcdef"), "[redacted:A][redacted:A]");
}

#[test]
fn the_longer_of_two_values_gives_the_name() {
    let redactor = Redactor::builder()
        .value("SHORT", "pass")
        .value("LONG", "passphrase")
        .build();
    assert_eq!(
        redactor.redact("passphrase passport"),
        "[redacted:LONG] [redacted:SHORT]port"
    );
}

#[test]
fn values_below_four_bytes_are_left_alone_and_named() {
    let redactor = Redactor::builder()
        .value("PIN", "123")
        .value("CODE", "1234")
        .build();
    assert_eq!(redactor.redact("123 1234"), "123 [redacted:CODE]");
    assert_eq!(redactor.too_short(), ["PIN"]);
}

#[test]
fn a_marker_never_tells_a_value() {
    let redactor = Redactor::builder().value("PROD_KEY", "PROD").build();
    assert_eq!(redactor.redact("in PROD"), "in [redacted]");
    let redactor = Redactor::builder().value("A", "redacted").build();
    assert_eq!(
        redactor.redact("redacted, Bearer abc123def"),
        "***, Bearer ***"
    );
    let redactor = Redactor::builder().value("a b\n]", "hunter2").build();
    assert_eq!(redactor.redact("hunter2"), "[redacted:a_b__]");
}

#[test]
fn tokens_are_known_by_their_looks() {
    let redactor = Redactor::default();
    for token in [
        "sk-abc123",
        "sk-abcdefghijklmnopqrstuvwxyz",
        "sk-ant-api03-AbCd_efGh-1234567890",
        "sk-proj-T3BlbkFJabc_def-xyz",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "r8_Hw0123456789abcdefghijklmnopqrstuvwxy",
        "mlt_default_0190c0de70007000800000000000000a_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE",
        "mlt_a-project-of-the-longest-name-ok_0190c0de70007000800000000000000a_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE",
    ] {
        for (before, after) in [
            ("", ""),
            ("key=", ";"),
            ("'", "'"),
            ("(", ")"),
            ("https://x/?k=", "&n=1"),
            (r"line\n", r"\n"),
            ("k%3D", "%26"),
            ("\u{1b}[1;31m", "\u{1b}[0m"),
            (r"{\u0022", r"\u0022}"),
        ] {
            let text = format!("{before}{token}{after}");
            assert_eq!(
                redactor.redact(&text),
                format!("{before}[redacted]{after}"),
                "{text}"
            );
        }
    }
}

#[test]
fn credentials_are_known_by_the_word_before_them() {
    let redactor = Redactor::default();
    for (text, expected) in [
        (
            "Authorization: Bearer abc",
            "Authorization: Bearer [redacted]",
        ),
        (
            "authorization: bearer a.b-c_d~e+f/g==",
            "authorization: bearer [redacted]",
        ),
        (
            r#"{"Authorization": "Basic dTpw"}"#,
            r#"{"Authorization": "Basic [redacted]"}"#,
        ),
        (
            "curl -H 'AUTHORIZATION: BEARER abc' x",
            "curl -H 'AUTHORIZATION: BEARER [redacted]' x",
        ),
        (
            "got Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
            "got Bearer [redacted]",
        ),
        ("Basic dXNlcjpwYXNz", "Basic [redacted]"),
        ("Basic dTpwYXNz=", "Basic [redacted]"),
        ("password=hunter2 next", "password=[redacted] next"),
        ("PassWord=hunter2&x=1", "PassWord=[redacted]&x=1"),
        ("DB_PASSWORD=a;b,c", "DB_PASSWORD=[redacted]"),
        ("password = \"two words\" x", "password = \"[redacted]\" x"),
        (r#"password="a\"b" x"#, r#"password="[redacted]" x"#),
        (
            r#"{"password":"a b","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#""{\"password\": \"a b\"}""#,
            r#""{\"password\": \"[redacted]\"}""#,
        ),
        ("{'db_password': 'x'}", "{'db_password': '[redacted]'}"),
        (":password => 'x'", ":password => '[redacted]'"),
        ("password=\nnext", "password=\nnext"),
    ] {
        assert_eq!(redactor.redact(text), expected, "{text}");
    }
}

#[test]
fn a_value_behind_a_keyword_keeps_its_name() {
    let redactor = Redactor::builder()
        .value("DB_PASS", "correct horse")
        .build();
    assert_eq!(
        redactor.redact("password='correct horse'"),
        "password='[redacted:DB_PASS]'"
    );
}

#[test]
fn hashes_ids_and_ordinary_words_survive() {
    let redactor = redactor();
    let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    for text in [
        &format!("sha256:{hex}"),
        &format!("b3:{hex}"),
        &format!("ghcr.io/moorline/basic@sha256:{hex}"),
        &format!("{hex} *password.txt"),
        "0190c0de-7000-7000-8000-000000000001",
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        "task-management of desk-tops, risk-assessment-2026 on disk-0123456789abcdef",
        "sk-learn and sk-SK, css .sk-top",
        "an import of ghp_import; r8_usage; github_pat_env; mlt_project; mlt_default_id_secret",
        "AKIA is short, and SLOVAKIA0123456789 is not a key",
        "a bearer of bad news, the Bearer token, Bearer authentication",
        "Basic authentication with Basic HTTP/1.1 and Basic JavaScript",
        "the password is wrong; password: required; forgot password?",
        r#""password": null, "password": {"min": 8}, password_policy=strict"#,
        "secrets: API_KEY, OPENAI_API_KEY",
    ] {
        assert_eq!(redactor.redact(text), *text);
        assert!(matches!(redactor.redact(text), Cow::Borrowed(_)), "{text}");
    }
}

/// L47: as an error text is stored.
#[test]
fn redacting_twice_changes_nothing_more() {
    let redactor = redactor();
    for text in [
        &format!("401 for Authorization: Bearer {KEY}"),
        &format!("password={KEY}"),
        "password=hunter2",
        r#"{"password": "x"}"#,
        "Basic dXNlcjpwYXNz sk-abc123",
    ] {
        let once = redactor.redact(text).into_owned();
        assert_ne!(once, *text);
        assert_eq!(redactor.redact(&once), once);
    }
}

#[test]
fn text_stays_text() {
    let redactor = Redactor::builder().value("A", "é€漢字").build();
    assert_eq!(redactor.redact("ü é€漢字 ß"), "ü [redacted:A] ß");
    assert_eq!(redactor.redact("password=é€ ß"), "password=[redacted] ß");
}

#[test]
fn binary_is_redacted_in_place() {
    assert_eq!(
        redactor()
            .redact_bytes(b"\xff\x00hunter2/correct+horse\x00\xfe")
            .as_ref(),
        b"\xff\x00[redacted:API_KEY]\x00\xfe"
    );
}

const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n\
    MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n\
    Nmoss5aHtW8q\n\
    -----END PRIVATE KEY-----\n";

#[test]
fn a_key_that_a_log_shows_line_by_line_is_caught_by_its_lines_and_as_a_whole() {
    let redactor = Redactor::builder().value("TLS_KEY", PEM).build();
    let prefixed = format!("\n{PEM}").replace('\n', "\nINFO ");
    assert_eq!(
        redactor.redact(&prefixed),
        "\nINFO -----BEGIN PRIVATE KEY-----\n\
         INFO [redacted:TLS_KEY]\n\
         INFO [redacted:TLS_KEY]\n\
         INFO Nmoss5aHtW8q\n\
         INFO -----END PRIVATE KEY-----\n\
         INFO "
    );
    for whole in [PEM.to_owned(), PEM.replace('\n', "\r\n")] {
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        for line in whole.split_inclusive('\n') {
            stream.push(line.as_bytes(), &mut out);
        }
        stream.finish(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap().trim_end(),
            "[redacted:TLS_KEY]"
        );
    }
    let json = json!({ "key": PEM }).to_string();
    assert_eq!(redactor.redact(&json), r#"{"key":"[redacted:TLS_KEY]\n"}"#);
}

#[test]
fn a_live_log_shows_each_line_as_soon_as_it_is_complete() {
    let redactor = Redactor::builder()
        .value("API_KEY", KEY)
        .value("TLS_KEY", PEM)
        .build();
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for (chunk, shown) in [
        ("starting h", "starting "),
        ("unter", ""),
        ("s\nquiet\n", "hunters\nquiet\n"),
        (
            "Authorization: Bearer ab",
            "Authorization: Bearer [redacted]",
        ),
        ("cd", ""),
        ("\nsk", "\n"),
        ("i\n", "ski\n"),
        // It may be the key: its first line stays behind until the next one tells.
        ("-----BEGIN PRIVATE KEY-----\n", ""),
        ("another\n", "-----BEGIN PRIVATE KEY-----\nanother\n"),
        // The digit before base64 of a secret may hold bits of it: the last one waits.
        ("end", "en"),
        (".", "d."),
    ] {
        out.clear();
        stream.push(chunk.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), shown, "after {chunk:?}");
    }
}

#[test]
fn a_stream_tells_whose_values_it_found() {
    let redactor = Redactor::builder()
        .value("A", "abcdef")
        .value("B", "efghij")
        .value("C", "hunter2")
        .value("not a name", "correct horse")
        .build();
    let mut stream = redactor.stream();
    for chunk in ["password=x correct+horse ", "abcdefgh", "ij hunter"] {
        stream.push(chunk.as_bytes(), &mut Vec::new());
    }
    stream.finish(&mut Vec::new());
    assert_eq!(stream.found().collect::<Vec<_>>(), ["A", "B", "not a name"]);
}

#[test]
fn a_stream_can_be_begun_anew() {
    let mut stream = redactor().stream();
    let mut out = Vec::new();
    stream.push(b"password=hun", &mut out);
    stream.finish(&mut out);
    stream.push(b"ter2 hunter2/corr", &mut out);
    stream.finish(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "password=[redacted]ter2 hunter2/corr"
    );
}

/// A pattern's parts may stand apart as far as they can: what a stream remembers must reach as far.
#[test]
fn a_stream_remembers_enough_of_what_it_passed_on() {
    let blanks = " ".repeat(8);
    let quoted = format!(
        r#"password{}"{blanks}====={blanks}{}"a b" c"#,
        r"\".repeat(8),
        r"\".repeat(7)
    );
    let header = format!(
        "authorization{}: {blanks}Bearer        abc d",
        " ".repeat(6)
    );
    for text in [quoted, header] {
        let redactor = Redactor::default();
        let whole = redactor.redact(&text);
        assert!(whole.contains("[redacted]"), "{whole}");
        let (mut stream, mut out) = (redactor.stream(), Vec::new());
        for byte in text.bytes() {
            stream.push(&[byte], &mut out);
        }
        stream.finish(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), whole);
    }
}

#[test]
fn a_text_full_of_triggers_takes_no_longer_than_others() {
    // Half a megabyte of what each begin a run to the end of the text: quadratic work would take a
    // minute.
    let redactor = Redactor::default();
    for trigger in ["password=", "Bearer abc123.", "sk-abc123-"] {
        let text = trigger.repeat(50_000);
        assert!(redactor.redact(&text).len() < text.len());
    }
}

#[test]
fn structured_data_is_redacted_at_any_depth() {
    let redactor = redactor();
    let mut event = json!({
        "message": format!("failed with {KEY}"),
        "nested": [{"deep": [format!("Bearer {KEY}"), 7, null, true]}],
        "password": "x",
        "dbPassword": {"old": "a", "new": ["b", ""]},
        "X-API-Key": "abc",
        "access_token": "abc",
        "CLIENT_SECRET": KEY,
        "authorization": "Digest abc",
        "secret_names": ["API_KEY"],
        "token_count": 17,
        "fencing_token": 17,
        "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        KEY: 1,
        "[redacted:API_KEY]": 2,
    });
    redactor.redact_json(&mut event);
    assert_eq!(
        event,
        json!({
            "message": "failed with [redacted:API_KEY]",
            "nested": [{"deep": ["Bearer [redacted:API_KEY]", 7, null, true]}],
            "password": "[redacted]",
            "dbPassword": {"old": "[redacted]", "new": ["[redacted]", ""]},
            "X-API-Key": "[redacted]",
            "access_token": "[redacted]",
            "CLIENT_SECRET": "[redacted:API_KEY]",
            "authorization": "[redacted]",
            "secret_names": ["API_KEY"],
            "token_count": 17,
            "fencing_token": 17,
            "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "[redacted:API_KEY]": 2,
            "[redacted:API_KEY]#2": 1,
        })
    );
}

#[test]
fn redactors_and_streams_move_between_threads() {
    fn movable<T: Send + Sync>(_: &T) {}
    movable(&redactor());
    movable(&redactor().stream());
}

#[test]
fn nothing_that_redacts_prints_a_value() {
    let redactor = redactor();
    let mut stream = redactor.stream();
    stream.push(b"hunter2/corr", &mut Vec::new());
    let builder = Redactor::builder().value("API_KEY", KEY);
    assert_eq!(
        format!("{redactor:?} {stream:?} {builder:?}"),
        "Redactor { values: 1, .. } StreamRedactor { pending: 12, .. } RedactorBuilder { values: 1, .. }"
    );
}

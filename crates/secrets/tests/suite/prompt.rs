//! The prompt, at a real terminal: a pseudo-terminal whose other end the test holds.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::thread;

use moorline_secrets::{PromptSource, SecretSource as _, SecretValue, SourceError};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// Both ends of a pseudo-terminal: the person's, and the program's.
fn terminal() -> (File, OwnedFd) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let program = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (File::from(person), program)
}

/// What the prompt returns when this is typed, all that the person sees, and whether the echo is on
/// afterwards.
fn asked(typed: &[u8]) -> (Result<SecretValue, SourceError>, String, bool) {
    let (mut person, program) = terminal();
    let source = PromptSource::new(program.try_clone().unwrap(), program.try_clone().unwrap());
    let prompt = thread::spawn(move || source.ask("API_KEY"));
    // The question shows once the echo is off.
    let mut seen = vec![0; "API_KEY: ".len()];
    person.read_exact(&mut seen).unwrap();
    person.write_all(typed).unwrap();
    let answer = prompt.join().unwrap();
    let mut rest = [0; 256];
    let length = person.read(&mut rest).unwrap();
    seen.extend_from_slice(&rest[..length]);
    let echo = tcgetattr(&program)
        .unwrap()
        .local_modes
        .contains(LocalModes::ECHO);
    (answer, String::from_utf8(seen).unwrap(), echo)
}

#[test]
fn what_is_typed_is_not_shown_and_the_echo_comes_back() {
    let (answer, seen, echo) = asked(b"hunter2\r");
    assert_eq!(answer.unwrap().expose(), "hunter2");
    assert_eq!(seen, "API_KEY: \r\n");
    assert!(echo);
}

#[test]
fn typing_can_be_mended() {
    for (typed, value) in [
        ("hunted\u{7f}r2\n", "hunter2"),
        ("wrong\u{15}right\n", "right"),
        ("é\u{8}e\n", "e"),
        ("\u{7f}\u{7f}a b\tc\u{1b}\n", "a b\tc"),
        ("ended\u{4}", "ended"),
        ("\n", ""),
    ] {
        let (answer, _, _) = asked(typed.as_bytes());
        assert_eq!(answer.unwrap().expose(), value, "{typed:?}");
    }
}

/// Longer than the 4,096 bytes that a line of a terminal holds.
#[test]
fn a_long_value_is_read_whole() {
    let value = "x".repeat(10_000);
    let (answer, _, _) = asked(format!("{value}\n").as_bytes());
    assert_eq!(answer.unwrap().expose(), value);
}

#[test]
fn giving_up_is_an_error_and_the_echo_comes_back() {
    for typed in [&b"hun\x03"[..], b"\x04", b"hun\x1c"] {
        let (answer, seen, echo) = asked(typed);
        assert_eq!(
            answer.unwrap_err().to_string(),
            "prompt: the prompt for `API_KEY` was interrupted"
        );
        assert_eq!(seen, "API_KEY: \r\n");
        assert!(echo);
    }
}

fn piped(text: &[u8]) -> PromptSource {
    let (read, write) = std::io::pipe().unwrap();
    File::from(OwnedFd::from(write)).write_all(text).unwrap();
    PromptSource::new(
        read.into(),
        rustix::fs::open("/dev/null", OFlags::WRONLY, Mode::empty()).unwrap(),
    )
}

#[test]
fn from_a_pipe_everything_is_the_one_value() {
    let source = piped(b"-----BEGIN\nkey\n-----END\n");
    assert_eq!(source.origin().as_str(), "standard input");
    let value = source.get(&"A".parse().unwrap()).unwrap().unwrap();
    assert_eq!(value.expose(), "-----BEGIN\nkey\n-----END");
    assert_eq!(
        source.get(&"B".parse().unwrap()).unwrap_err().to_string(),
        "standard input: standard input holds one value, and `B` is the second that was asked for"
    );
}

#[test]
fn a_pipe_that_holds_no_text_is_refused() {
    assert_eq!(
        piped(b"\xff").ask("A").unwrap_err().to_string(),
        "standard input: it is not UTF-8 text"
    );
}

//! Functions and classes with the official JavaScript client, and the same payloads from Python.

use crate::support::{Emu, python, run, scenarios};

#[test]
fn functions_and_classes_are_called_from_javascript_and_in_its_format() {
    let emu = Emu::start();
    let mut command = emu.command(&python());
    command
        .arg(scenarios().join("functions/polyglot.py"))
        .env("MODAL_PAYLOAD_FORMAT", "cbor");
    let ran = run(command);
    assert!(
        ran.status.success() && ran.stdout.contains("cbor: ok"),
        "{ran:#?}"
    );
    let ran = emu.node("functions/calls.mjs");
    assert!(ran.stdout.contains("javascript: ok"), "{ran:#?}");
    emu.stop();
}

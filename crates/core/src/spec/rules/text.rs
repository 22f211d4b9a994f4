//! Rules on every text and number of a document, wherever it stands.

use serde_json::{Number, Value};

use crate::canonical::MAX_SAFE_INTEGER;
use crate::spec::secret_shape::secret_shape;
use crate::spec::violation::{Violation, join};

pub(super) fn check(document: &Value, found: &mut Vec<Violation>) {
    visit(document, "", found);
}

fn visit(value: &Value, pointer: &str, found: &mut Vec<Violation>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &join(pointer, &index.to_string()), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                visit(member, &join(pointer, name), found);
            }
        }
        Value::String(text) => {
            if let Some(shape) = secret_shape(text) {
                let message = format!("looks like a secret: {shape}");
                let hint = "declare it in `secrets`, name it in the step, and set its value in the \
                            lane; if it is a real one, it has leaked: replace it";
                found.push(Violation::new(pointer, "D-SEC-3", message).with_hint(hint));
            }
        }
        Value::Number(number) => {
            if !is_kept(number) {
                let message = "is a number that its canonical form would not keep";
                let hint = "write it as a string: numbers go to 9007199254740991 (RFC 8785)";
                found.push(Violation::new(pointer, "D-SPEC-5", message).with_hint(hint));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Whether canonical JSON keeps a number: see [`canonical`](crate::canonical).
#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 - 1 is the last integer that a double holds"
)]
fn is_kept(number: &Number) -> bool {
    number
        .as_f64()
        .is_some_and(|number| number.abs() <= MAX_SAFE_INTEGER as f64)
}

//! Secrets in the files of an artifact: where, and by which pattern; never the value (D-SEC-3, D-ART-1).

use moorline_core::artifact::files::{Entry, Files};
use moorline_core::denial::Detail;
use moorline_secrets::Redactor;

/// Every line that holds what looks like a secret.
pub(super) fn secrets(files: &Files) -> Vec<Detail> {
    let redactor = Redactor::builder().build();
    let mut found = Vec::new();
    for (path, entry) in files.iter() {
        let Entry::File {
            bytes: Some(bytes), ..
        } = entry
        else {
            continue;
        };
        let text = String::from_utf8_lossy(bytes);
        for (number, line) in (1_u64..).zip(text.lines()) {
            if redactor.redact(line) != line {
                found.push(Detail {
                    at: format!("{path}:{number}"),
                    rule: "D-ART-1".to_owned(),
                    message: "looks like a secret".to_owned(),
                    hint: None,
                });
            }
        }
    }
    found
}

//! What a lane demands on top.

use std::collections::BTreeSet;

use moorline_core::lane::LaneRules;
use moorline_core::spec;
use serde_json::{Value, json};

use crate::spec::samples::{V1, load, task};
use crate::spec::tables::{Case, pairs, set};

/// D-SPEC-3: what a production lane demands on top, all of it at once.
#[test]
fn a_production_lane_demands_more() {
    let digest = format!("ghcr.io/acme/amex@sha256:{}", "0123456789abcdef".repeat(4));
    let prod = |changes: &[(&str, Value)]| {
        let mut document = task();
        for (pointer, value) in changes {
            set(&mut document, pointer, value.clone());
        }
        let spec = load(&document).unwrap();
        assert_eq!(spec::validate_for_lane(&spec, &LaneRules::DEV), Ok(()));
        let found = spec::validate_for_lane(&spec, &LaneRules::PROD).err();
        found.map_or_else(BTreeSet::new, |found| {
            found
                .iter()
                .map(|v| (v.pointer.clone(), v.rule.clone()))
                .collect()
        })
    };
    let cases: &[Case<'_>] = &[
        (&[], &[]),
        (&[("/steps/0/image", json!(digest))], &[]),
        (
            &[("/steps/0/image", json!("ghcr.io/acme/amex:1"))],
            &[("/steps/0/image", "D-SPEC-3k")],
        ),
        (
            &[("/steps/0/executor", json!("modal"))],
            &[("/steps/0/image", "D-SPEC-3k")],
        ),
        (&[("/steps/0/executor", json!("local"))], &[]),
        (&[("/egress", json!("open"))], &[("/egress", "D-SPEC-3l")]),
        (&[("/egress", json!("none"))], &[]),
        (
            &[("/egress/allow/0", json!("*:443"))],
            &[("/egress", "D-SPEC-3l")],
        ),
        (&[("/egress", Value::Null)], &[("/egress", "D-SPEC-3l")]),
        (
            &[("/egress", Value::Null), ("/steps/0/egress", json!("none"))],
            &[],
        ),
        (
            &[("/steps/1/egress", json!("open"))],
            &[("/steps/1/egress", "D-SPEC-3l")],
        ),
        (
            &[
                ("/steps/0/interactive", json!(true)),
                ("/steps/1/installs_dependencies", json!(true)),
                ("/tool_permissions/install_dependencies", json!("allowed")),
            ],
            &[
                ("/steps/0/interactive", "D-SPEC-3n"),
                ("/steps/1/installs_dependencies", "D-SPEC-3m"),
                ("/tool_permissions/install_dependencies", "D-SPEC-3m"),
            ],
        ),
    ];
    for (changes, expected) in cases {
        assert_eq!(prod(changes), pairs(expected), "{changes:?}");
    }
    let v1 = spec::load(V1.as_bytes()).unwrap();
    assert!(spec::validate_for_lane(&v1, &LaneRules::PROD).is_err());
}

/// L05: one digest rule; what only looks pinned is not.
#[test]
fn an_image_is_pinned_by_a_whole_lower_case_digest_or_not_at_all() {
    let hex = "0123456789abcdef".repeat(4);
    let rules = |digest: &str| -> Vec<String> {
        let mut document = task();
        set(
            &mut document,
            "/steps/0/image",
            json!(format!("ghcr.io/acme/amex{digest}")),
        );
        let found = load(&document)
            .and_then(|spec| spec::validate_for_lane(&spec, &LaneRules::PROD))
            .err();
        found.map_or_else(Vec::new, |found| {
            found.iter().map(|v| v.rule.clone()).collect()
        })
    };
    assert_eq!(rules(&format!("@sha256:{hex}")), [""; 0]);
    assert_eq!(rules(&format!(":1.4@sha256:{hex}")), [""; 0]);
    let upper = hex.to_uppercase();
    for digest in [
        "",
        ":latest",
        "@sha256:0123456789",
        "@sha256:pending",
        "@sha256:",
    ] {
        assert_eq!(rules(digest), ["D-SPEC-3k"], "{digest}");
    }
    assert_eq!(rules(&format!("@sha256:{upper}")), ["D-SPEC-3k"]);
    assert_eq!(rules(&format!("@md5:{hex}")), ["D-SPEC-3k"]);
}

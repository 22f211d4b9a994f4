//! The published schema of a type that is written as text accepts what the type writes, and refuses at
//! least what no reader could take.

use moorline_core::app_name::{AppName, EnvironmentName};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, FailureClass, RunStatus, SourceState};
use moorline_core::image::{ImageDigest, ImageRef};
use moorline_core::lane::{Lane, LaneRules};
use moorline_core::money::{Amount, Cost, Currency};
use moorline_core::paths::OutputPath;
use moorline_core::processor_ref::ProcessorRef;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Checks that `accepted` round-trips through the type and its schema, and that both refuse `refused`.
fn agrees<T: JsonSchema + Serialize + DeserializeOwned>(accepted: &[Value], refused: &[Value]) {
    let schema = schemars::schema_for!(T).to_value();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for value in accepted {
        let typed: T = serde_json::from_str(&value.to_string()).unwrap();
        let written: Value = serde_json::from_str(&serde_json::to_string(&typed).unwrap()).unwrap();
        assert_eq!(&written, value);
        assert!(validator.is_valid(value), "{value} against {schema}");
    }
    for value in refused {
        assert!(
            serde_json::from_str::<T>(&value.to_string()).is_err(),
            "{value}"
        );
        assert!(!validator.is_valid(value), "{value} against {schema}");
    }
}

#[test]
fn types_and_their_schemas_agree() {
    let hex = "0123456789abcdef".repeat(4);
    agrees::<ProcessorRef>(
        &[json!("llm/litellm@1"), json!("a_b-c/d@120")],
        &[
            json!("LLM/litellm@1"),
            json!("a/b@01"),
            json!("a/b@1\n"),
            json!(1),
        ],
    );
    agrees::<AppName>(
        &[json!("A.b_c-1")],
        &[json!(""), json!("a b"), json!("a".repeat(65))],
    );
    agrees::<EnvironmentName>(&[json!("main")], &[json!(""), json!("é")]);
    agrees::<Lane>(
        &[json!("prod"), json!("qa-1")],
        &[json!("Dev"), json!("a".repeat(33))],
    );
    agrees::<LaneRules>(
        &[serde_json::to_value(LaneRules::PROD).unwrap()],
        &[json!({"lane": "prod"}), json!({})],
    );
    agrees::<ContentId>(
        &[json!(format!("b3:{hex}"))],
        &[json!(hex), json!(format!("b3:{}", hex.to_uppercase()))],
    );
    agrees::<ImageDigest>(
        &[json!(format!("sha256:{hex}"))],
        &[json!("sha256:pending"), json!(format!("sha256:{hex}0"))],
    );
    agrees::<ImageRef>(
        &[
            json!("localhost:5000/x:1"),
            json!(format!("ghcr.io/a/b:1.2@sha256:{hex}")),
        ],
        &[json!("a@sha256:pending"), json!("a b"), json!("")],
    );
    agrees::<OutputPath>(
        &[json!("a"), json!("exports/é 1.jsonl"), json!("..a/b..")],
        &[json!(""), json!("/a"), json!("a\\b"), json!("a\u{0}b")],
    );
    agrees::<Amount>(&[json!(-12.5), json!(0)], &[json!("12.50"), json!(null)]);
    agrees::<Currency>(&[json!("USD")], &[json!("usd"), json!("USDT")]);
    agrees::<Cost>(
        &[json!({"amount": "0.0042", "currency": "USD"})],
        &[
            json!({"amount": 1, "currency": "USD"}),
            json!({"amount": "1"}),
        ],
    );
    agrees::<ErrorCode>(
        &[json!("ERR_TIMEOUT")],
        &[json!("Timeout"), json!("ERR_NOPE")],
    );
    agrees::<FailureClass>(&[json!("leak")], &[json!("Leak")]);
    agrees::<RunStatus>(&[json!("timed_out")], &[json!("completed")]);
    agrees::<SourceState>(&[json!("needs_reauth")], &[json!("ok")]);
}

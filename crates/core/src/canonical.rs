//! Canonical JSON (RFC 8785, JCS): one text for one value, so that a hash of it is a hash of the value.
//!
//! The canonical form is what [`ContentId::of_json`](crate::content_id::ContentId::of_json) hashes and what
//! an approval approves (`D-SPEC-5`). RFC 8785 writes every number as an IEEE 754 double; values that a
//! double can not tell apart would give the same text. So what a double can not hold is refused here, and
//! not rounded:
//!
//! * integers beyond ±(2^53 - 1), which are to be written as strings;
//! * numbers that are not finite;
//! * in [`read`], which sees text before it becomes values, also objects that name a key twice.
//!
//! Deliberately absent: money. An exact decimal belongs in a string where it is hashed; see
//! [`money`](crate::money).
//!
//! ```
//! use moorline_core::canonical;
//!
//! let value = canonical::read(r#"{"b": 4.50, "a": [1e2, "\u20ac"]}"#)?;
//! assert_eq!(canonical::to_string(&value)?, r#"{"a":[100,"€"],"b":4.5}"#);
//! # Ok::<(), moorline_core::canonical::CanonicalError>(())
//! ```

mod exact;
mod strict;

use serde::Serialize;
use serde_json::Value;

use crate::error_code::ErrorCode;

/// The largest integer up to which every integer is a double of its own: 2^53 - 1.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The value or text has no canonical form that stands for it alone.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// An integer that a double can not hold.
    #[error(
        "{pointer}: the integer {value} is beyond ±(2^53 - 1), where JSON numbers are no longer exact \
         (RFC 8785); write it as a string"
    )]
    Integer {
        /// Where it stands, as a JSON pointer; `(root)` for the value itself.
        pointer: String,
        /// The integer.
        value: String,
    },
    /// NaN or an infinity.
    #[error("{pointer}: {value} is not a number that JSON has (RFC 8785)")]
    NotFinite {
        /// Where it stands, as a JSON pointer; `(root)` for the value itself.
        pointer: String,
        /// `NaN`, `inf` or `-inf`.
        value: f64,
    },
    /// The value can not be written as JSON at all.
    #[error("the value can not be written as canonical JSON: {0}")]
    Value(String),
    /// The text is not JSON, or JSON that different readers read differently.
    #[error("the text is not unambiguous JSON (RFC 8785)")]
    Text(#[source] serde_json::Error),
}

impl CanonicalError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Inputs;
}

/// The canonical text of a value.
///
/// # Errors
/// [`CanonicalError`] when the value holds a number that has no exact canonical form, or a map whose keys
/// are not text, or serializes a key twice.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, CanonicalError> {
    exact::check(value)?;
    serde_json_canonicalizer::to_string(&value)
        .map_err(|error| CanonicalError::Value(error.to_string()))
}

/// Reads JSON text of which a canonical form can be made, refusing what [`serde_json`] would let pass with
/// a loss: keys named twice (it keeps the last), and integers that it rounds.
///
/// # Errors
/// [`CanonicalError::Text`], whose source names line and column.
pub fn read(text: &str) -> Result<Value, CanonicalError> {
    strict::read(text).map_err(CanonicalError::Text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::error::Error as _;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// L10: the sample object of RFC 8785, section 3.2.2.
    #[test]
    fn the_sample_of_the_rfc_has_its_canonical_text() {
        let sample = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let value: Value = serde_json::from_str(sample).unwrap();
        assert_eq!(
            to_string(&value).unwrap(),
            "{\"literals\":[null,true,false],\
             \"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    /// L10: keys are ordered by UTF-16 code units (section 3.2.3), so U+1F600 comes before U+FB33.
    #[test]
    fn keys_are_ordered_by_utf_16_code_units() {
        let value = json!({
            "\u{20ac}": "euro", "\r": "return", "\u{fb33}": "dalet", "1": "one",
            "\u{1f600}": "face", "\u{80}": "control", "\u{f6}": "o",
        });
        assert_eq!(
            to_string(&value).unwrap(),
            "{\"\\r\":\"return\",\"1\":\"one\",\"\u{80}\":\"control\",\"ö\":\"o\",\
             \"€\":\"euro\",\"😀\":\"face\",\"\u{fb33}\":\"dalet\"}"
        );
    }

    /// L10: doubles by their bits, as in appendix B of the RFC.
    #[test]
    fn doubles_have_the_texts_of_the_rfc() {
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(
                to_string(&f64::from_bits(bits)).unwrap(),
                text,
                "{bits:016x}"
            );
        }
    }

    /// 9007199254740993 and ...992 would have one text and one hash.
    #[test]
    fn integers_that_a_double_can_not_hold_are_refused_with_their_place() {
        let edge = i64::try_from(MAX_SAFE_INTEGER).unwrap();
        assert_eq!(
            to_string(&[edge, -edge]).unwrap(),
            format!("[{edge},-{edge}]")
        );
        let document = json!({"steps": [{"a/b": 1}, {"a/b": 9_007_199_254_740_993_i64}]});
        assert_eq!(
            to_string(&document).unwrap_err().to_string(),
            "/steps/1/a~1b: the integer 9007199254740993 is beyond ±(2^53 - 1), where JSON numbers \
             are no longer exact (RFC 8785); write it as a string"
        );
        for refused in [
            json!(edge + 1),
            json!(-edge - 1),
            json!(i64::MIN),
            json!(u64::MAX),
        ] {
            let error = to_string(&refused).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("(root): the integer {refused}")),
                "{error}"
            );
        }
        assert!(to_string(&u128::MAX).is_err() && to_string(&i128::MIN).is_err());
    }

    /// `serde_json` writes `null` for these, at any depth.
    #[test]
    fn numbers_that_are_not_finite_are_refused_at_any_depth() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(to_string(&value).is_err());
            let nested = BTreeMap::from([("a", vec![Some(value)])]);
            let error = to_string(&nested).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("/a/0: {value} is not a number that JSON has (RFC 8785)")
            );
        }
        assert!(to_string(&[f32::NAN]).is_err());
    }

    #[test]
    fn maps_need_keys_that_are_text() {
        let by_number = BTreeMap::from([(1, "one")]);
        assert_eq!(to_string(&by_number).unwrap(), r#"{"1":"one"}"#);
        let by_list = BTreeMap::from([(vec![1], "one")]);
        assert_eq!(
            to_string(&by_list).unwrap_err().to_string(),
            "the value can not be written as canonical JSON: key must be a string"
        );
    }

    #[test]
    fn reading_refuses_what_readers_disagree_about() {
        let reason = |text: &str| read(text).unwrap_err().source().unwrap().to_string();
        assert_eq!(
            reason("{\"a\": 1,\n \"b\": {\"k\": 1, \"\\u006b\": 2}}"),
            "the key `k` stands twice in one object at line 2 column 23"
        );
        assert_eq!(
            reason("[9007199254740993]"),
            "the integer 9007199254740993 is beyond ±(2^53 - 1); write it as a string at line 1 \
             column 17"
        );
        for rounded in [
            "18446744073709551617",
            "-9223372036854775809",
            "9007199254740993.0",
            "1e30",
        ] {
            assert!(reason(rounded).contains("beyond ±(2^53 - 1)"), "{rounded}");
        }
        for broken in ["", "{", "[1,]", "NaN", "1e999", "{} {}", "'a'"] {
            assert!(read(broken).is_err(), "{broken}");
        }
        let text = r#"{"a":[1,-2,0.5,"x",null,true],"b":{"a":{}}}"#;
        assert_eq!(
            read(text).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            (-1e15..1e15_f64).prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec(("\\PC{0,6}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back_to_itself(document in documents()) {
            let text = to_string(&document).unwrap();
            prop_assert_eq!(to_string(&read(&text).unwrap()).unwrap(), text);
        }
    }
}

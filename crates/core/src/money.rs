//! Money: exact decimals, never binary floating point (`D-RUN-6`).
//!
//! An [`Amount`] is read from the digits that stand in the text, be it JSON or not, and written back with
//! the same digits: `12.50` stays `12.50`. A [`Cost`] is an amount in a [`Currency`].
//!
//! Deliberately absent: division and rounding. Nothing that Moorline does with money needs either.
//!
//! # JSON
//! An `Amount` is a JSON *number*, as `tx_v1` has it, taken from and written to the text itself. Go from
//! text to your type in one step ([`serde_json::from_str`]) and back ([`serde_json::to_string`]): a
//! [`serde_json::Value`] in between holds numbers as doubles, in which `12.50` becomes `12.5` and the 17th
//! digit is lost. Where a value goes through a `Value` or is hashed, write the amount as a string, by
//! `#[serde(with = "moorline_core::money::as_text")]`, as `Cost` does.
//!
//! ```
//! use moorline_core::money::Amount;
//!
//! let lines = "[-12.50, 0.1, 0.20]";
//! let amounts: Vec<Amount> = serde_json::from_str(lines)?;
//! assert_eq!(serde_json::to_string(&amounts)?, "[-12.50,0.1,0.20]");
//! let sum = amounts.into_iter().try_fold(Amount::ZERO, Amount::checked_add);
//! assert_eq!(sum.unwrap().to_string(), "-12.20");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod cost;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::error_code::ErrorCode;
use crate::text::quoted;

pub use cost::{Cost, Currency, CurrencyError};

/// The most significant digits, and the most digits after the point.
const MAX_DIGITS: usize = 28;

/// An exact decimal of at most 28 digits.
///
/// Equality and order are those of the number: `12.5` equals `12.50`, though they are written differently.
/// Zero has no sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(Decimal);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The decimal itself, for arithmetic that is not here.
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// The sum, with as many digits after the point as the longer of the two; none when it is too large.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let sum = self.0.checked_add(other.0)?;
        // What does not fit the scale would have been rounded; money is not.
        (sum.scale() == self.0.scale().max(other.0.scale())).then_some(Self(unsigned_zero(sum)))
    }

    /// Whether it is less than zero: a debit, in `tx_v1`.
    pub fn is_negative(self) -> bool {
        self.0.is_sign_negative()
    }
}

fn unsigned_zero(mut decimal: Decimal) -> Decimal {
    if decimal.is_zero() {
        decimal.set_sign_positive(true);
    }
    decimal
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// Reads a number as JSON writes it (RFC 8259): digits, a point with digits on both sides, an exponent.
    /// No `+`, no separators, no currency sign, no white space.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        parse(text).map_err(|problem| AmountError {
            text: text.to_owned(),
            problem,
        })
    }
}

/// The text is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not an amount: {problem} (D-RUN-6)", quoted(.text))]
pub struct AmountError {
    text: String,
    problem: AmountProblem,
}

impl AmountError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Validation;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum AmountProblem {
    #[error("write a decimal number such as `-12.50`")]
    Grammar,
    #[error("it has more than {MAX_DIGITS} digits")]
    TooManyDigits,
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn parse(text: &str) -> Result<Amount, AmountProblem> {
    let (negative, number) = match text.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, text),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (number, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
        Some(_) => return Err(AmountProblem::Grammar),
        None => (mantissa, ""),
    };
    if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return Err(AmountProblem::Grammar);
    }
    let digits = format!("{whole}{fraction}");
    let scale = i64::try_from(fraction.len())
        .unwrap_or(i64::MAX)
        .saturating_sub(exponent);
    exact(negative, digits.trim_start_matches('0'), scale)
}

/// An exponent; one of more digits than fit is as good as the largest.
fn parse_exponent(text: &str) -> Result<i64, AmountProblem> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !is_digits(digits) {
        return Err(AmountProblem::Grammar);
    }
    let size = digits.parse().unwrap_or(i64::MAX);
    Ok(if text.starts_with('-') { -size } else { size })
}

/// `±digits × 10^-scale`, if 28 digits hold it.
fn exact(negative: bool, digits: &str, scale: i64) -> Result<Amount, AmountProblem> {
    let too_many = AmountProblem::TooManyDigits;
    let limit = i64::try_from(MAX_DIGITS).map_err(|_| too_many)?;
    let mut digits = digits.to_owned();
    let mut scale = scale;
    if digits.is_empty() {
        scale = scale.clamp(0, limit);
    }
    if digits.len() > MAX_DIGITS || scale < -limit {
        // trailing zeros of a fraction may go, no other digit
        return Err(too_many);
    }
    while scale > limit && digits.ends_with('0') {
        digits.pop();
        scale -= 1;
    }
    while scale < 0 {
        digits.push('0');
        scale += 1;
    }
    let scale = u32::try_from(scale).map_err(|_| too_many)?;
    if digits.len() > MAX_DIGITS || scale > 28 {
        return Err(too_many);
    }
    let size: i128 = if digits.is_empty() {
        0
    } else {
        digits.parse().map_err(|_| too_many)?
    };
    let signed = if negative { -size } else { size };
    Decimal::try_from_i128_with_scale(signed, scale)
        .map(Amount)
        .map_err(|_| too_many)
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let literal = Box::<RawValue>::deserialize(deserializer)?;
        literal.get().parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "number",
            "description": "Decimal of at most 28 digits, exact in the JSON text (D-RUN-6)",
        })
    }
}

/// An [`Amount`] as a JSON string: for `#[serde(with = "moorline_core::money::as_text")]`, with
/// `#[schemars(with = "String")]` beside it.
pub mod as_text {
    use std::borrow::Cow;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use super::Amount;

    /// Writes the amount as a string.
    pub fn serialize<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    /// Reads the amount from a string; a number is refused.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        Cow::<str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_keep_their_digits() {
        let most = "9".repeat(28);
        let least = format!("0.{}1", "0".repeat(27));
        for text in [
            "0", "0.00", "-12.50", "1200", "0.10", "100.000", &most, &least,
        ] {
            assert_eq!(amount(text).to_string(), text);
        }
        assert_eq!(amount("12.5"), amount("12.50"));
        assert!(amount("-0.01") < amount("0") && amount("-0.01").is_negative());
        for zero in ["-0", "-0.00", "-0e5"] {
            assert_eq!(
                amount(zero).to_string(),
                zero.trim_start_matches('-').replace("e5", "")
            );
            assert!(!amount(zero).is_negative());
        }
    }

    #[test]
    fn exponents_are_exact_decimals_too() {
        for (text, decimal) in [
            ("1e3", "1000"),
            ("-1.25E+2", "-125"),
            ("1.250e2", "125.0"),
            ("125e-2", "1.25"),
            ("0e999999999999999999999", "0"),
            ("1.000e-27", "0.0000000000000000000000000010"),
            ("1e27", "1000000000000000000000000000"),
        ] {
            assert_eq!(amount(text).to_string(), decimal, "{text}");
        }
    }

    #[test]
    fn what_is_no_exact_decimal_is_refused() {
        for text in [
            "", "-", "+1", "1.", ".5", "01", "1,000.00", "$120", "12.5 ", " 1", "1e", "1e+",
            "1e1.5", "NaN", "Infinity", "0x10", "1_000", "١", "--1", "1.2.3", "null", "\"1\"",
        ] {
            let error = text.parse::<Amount>().unwrap_err();
            assert_eq!(error.problem, AmountProblem::Grammar, "{text}");
        }
        let long = "1".repeat(29);
        for text in [
            &*long,
            "1e28",
            "1e-29",
            "1e999999999999999999999",
            "1e-99999999999999999999",
        ] {
            let error = text.parse::<Amount>().unwrap_err();
            assert_eq!(error.problem, AmountProblem::TooManyDigits, "{text}");
        }
        assert_eq!(
            "$120".parse::<Amount>().unwrap_err().to_string(),
            "`$120` is not an amount: write a decimal number such as `-12.50` (D-RUN-6)"
        );
    }

    #[test]
    fn json_numbers_are_read_and_written_by_their_digits() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Line {
            id: u32,
            amount: Amount,
        }
        // a double has neither of these
        let text = r#"{"id":1,"amount":-12345678901234567890.10}"#;
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(
            line,
            Line {
                id: 1,
                amount: amount("-12345678901234567890.10")
            }
        );
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
        for refused in ["\"12.50\"", "null", "true", "[1]", "{}"] {
            let text = format!(r#"{{"id":1,"amount":{refused}}}"#);
            assert!(serde_json::from_str::<Line>(&text).is_err(), "{refused}");
        }
    }

    #[test]
    fn sums_are_exact_or_none() {
        let sum = |a: &str, b: &str| amount(a).checked_add(amount(b)).map(|sum| sum.to_string());
        assert_eq!(sum("0.1", "0.2"), Some("0.3".to_owned()));
        assert_eq!(sum("12.50", "-12.5"), Some("0.00".to_owned()));
        assert_eq!(sum("10", "0.05"), Some("10.05".to_owned()));
        let most = "9".repeat(28);
        assert_eq!(sum(&most, "0.01"), None);
    }

    proptest! {
        #[test]
        fn any_decimal_of_28_digits_round_trips(units in any::<i64>(), scale in 0_u32..=18) {
            let text = Decimal::from_i128_with_scale(units.into(), scale).to_string();
            prop_assert_eq!(&amount(&text).to_string(), &text);
            let exponent = format!("{units}e-{scale}");
            prop_assert_eq!(amount(&exponent).to_string(), text);
        }

        #[test]
        fn no_text_makes_the_reader_fail_otherwise_than_by_refusing(text in "[-+0-9.eE]{0,40}") {
            if let Ok(read) = text.parse::<Amount>() {
                prop_assert_eq!(amount(&read.to_string()), read);
                prop_assert!(serde_json::from_str::<f64>(&text).is_ok(), "not a JSON number");
            }
        }
    }
}

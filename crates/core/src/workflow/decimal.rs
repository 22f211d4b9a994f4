//! Comparing numbers by what they say in decimal: exact, at any size, without arithmetic.

use std::cmp::Ordering;

use serde_json::Value;

/// A decimal number: `0.DIGITS × 10^exponent`. Zero has no digits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// From 0 to 9, without zeros at either end.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// The number that a JSON number says, or a text that is one in the grammar of JSON (RFC 8259), as money
    /// is given. `None` for all else.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(text),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (mantissa, ""),
        };
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !plain(whole) || !plain(fraction) {
            return None;
        }
        let mut digits: Vec<u8> = whole
            .bytes()
            .chain(fraction.bytes())
            .map(|byte| byte - b'0')
            .collect();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        Some(Self {
            negative,
            digits,
            exponent: point + i64::from(exponent),
        })
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .exponent
                .cmp(&other.exponent)
                // Without zeros at the end, the shorter of two that begin alike is the smaller.
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Option<Decimal> {
        Decimal::parse(text)
    }

    #[test]
    fn texts_in_the_grammar_of_json_are_numbers_and_no_others() {
        for number in ["0", "-0", "10", "0.30", "1e-7", "2.5E+3", "-12.050"] {
            assert!(text(number).is_some(), "{number}");
        }
        for other in [
            "",
            "-",
            "+1",
            "01",
            ".5",
            "5.",
            "1e",
            "0x1",
            " 1",
            "1 ",
            "NaN",
            "1,5",
            "1e999999999999",
        ] {
            assert_eq!(text(other), None, "{other}");
        }
        for value in [json!(null), json!(true), json!([1]), json!({})] {
            assert_eq!(Decimal::of(&value), None);
        }
    }

    #[test]
    fn numbers_are_ordered_by_what_they_say() {
        let rising = [
            "-1e400",
            "-100",
            "-99.5",
            "-0.3",
            "-1e-400",
            "0",
            "1e-400",
            "0.29999999999999999999",
            "0.3",
            "0.30000000000000000001",
            "0.7",
            "1",
            "3",
            "10",
            "99.5",
            "9007199254740993",
            "18446744073709551616",
            "1e400",
        ];
        for (left_at, left) in rising.iter().enumerate() {
            for (right_at, right) in rising.iter().enumerate() {
                assert_eq!(
                    text(left).cmp(&text(right)),
                    left_at.cmp(&right_at),
                    "{left} {right}"
                );
            }
        }
        for (left, right) in [
            ("0.30", "0.3"),
            ("-0", "0.000"),
            ("1e2", "100"),
            ("2.50e-1", "0.25"),
        ] {
            assert_eq!(text(left), text(right), "{left} {right}");
        }
    }

    proptest! {
        #[test]
        fn integers_are_ordered_as_integers(left: i64, right: u64) {
            let order = Decimal::of(&json!(left)).cmp(&Decimal::of(&json!(right)));
            prop_assert_eq!(order, i128::from(left).cmp(&i128::from(right)));
        }

        #[test]
        fn doubles_are_ordered_as_doubles(left in prop::num::f64::NORMAL, right in prop::num::f64::NORMAL) {
            let order = Decimal::of(&json!(left)).cmp(&Decimal::of(&json!(right)));
            prop_assert_eq!(Some(order), left.partial_cmp(&right));
        }
    }
}

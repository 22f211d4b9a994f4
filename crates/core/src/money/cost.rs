//! What something cost: an amount in a currency.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amount, as_text};
use crate::error_code::ErrorCode;
use crate::text::{quoted, serde_as_text};

/// A currency by its ISO 4217 code: three upper-case letters. Whether the code is in use is not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

serde_as_text!(
    Currency,
    "^[A-Z]{3}$",
    "Currency code of ISO 4217, such as `USD`"
);

impl Currency {
    /// US dollars, in which Modal bills.
    pub const USD: Self = Self(*b"USD");
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0.map(char::from);
        write!(f, "{a}{b}{c}")
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        match text.as_bytes().try_into() {
            Ok(code) if text.bytes().all(|b| b.is_ascii_uppercase()) => Ok(Self(code)),
            _ => Err(CurrencyError(text.to_owned())),
        }
    }
}

/// The text is not a currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a currency code: write three upper-case letters, such as `USD`", quoted(.0))]
pub struct CurrencyError(String);

impl CurrencyError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Validation;
}

/// What something cost, as in run summaries. The amount is a JSON string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// How much.
    #[serde(with = "as_text")]
    #[schemars(with = "String")]
    pub amount: Amount,
    /// Of what.
    pub currency: Currency,
}

impl Cost {
    /// No dollars.
    pub const fn zero() -> Self {
        Self {
            amount: Amount::ZERO,
            currency: Currency::USD,
        }
    }

    /// The sum; none when the currencies differ or the sum is too large.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        let amount = self.amount.checked_add(other.amount)?;
        Some(Self { amount, ..self })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cost_is_a_string_and_a_currency() {
        let cost = Cost {
            amount: "0.00420".parse().unwrap(),
            currency: Currency::USD,
        };
        let json = json!({"amount": "0.00420", "currency": "USD"});
        assert_eq!(serde_json::to_value(cost).unwrap(), json);
        assert_eq!(serde_json::from_value::<Cost>(json).unwrap(), cost);
        assert_eq!(cost.to_string(), "0.00420 USD");
        assert!(serde_json::from_value::<Cost>(json!({"amount": 1, "currency": "USD"})).is_err());
        assert_eq!(Cost::zero().checked_add(cost), Some(cost));
        let euros = Cost {
            currency: "EUR".parse().unwrap(),
            ..cost
        };
        assert_eq!(cost.checked_add(euros), None);
        for text in ["usd", "US", "USDT", "U$D", "ÄÖ", ""] {
            assert_eq!(
                text.parse::<Currency>(),
                Err(CurrencyError(text.to_owned()))
            );
        }
    }
}

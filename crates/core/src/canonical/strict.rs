//! Reads JSON into a [`Value`] without losing anything on the way.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::MAX_SAFE_INTEGER;

pub(super) fn read(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str::<Strict>(text).map(|Strict(value)| value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl StrictVisitor {
    fn beyond<E: de::Error>(number: impl fmt::Display) -> E {
        E::custom(format_args!(
            "the integer {number} is beyond ±(2^53 - 1); write it as a string"
        ))
    }
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > MAX_SAFE_INTEGER {
            return Err(Self::beyond(value));
        }
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_SAFE_INTEGER {
            return Err(Self::beyond(value));
        }
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // An integer of more than 64 bits arrives here already rounded. At this size every double is an
        // integer, so `1e30` is refused along with it: nothing tells the two apart.
        #[expect(
            clippy::cast_precision_loss,
            reason = "2^53 - 1 is the last that a double holds"
        )]
        if value.abs() > MAX_SAFE_INTEGER as f64 {
            return Err(Self::beyond(value));
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("the number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            match object.entry(key) {
                Entry::Vacant(place) => {
                    let Strict(value) = members.next_value()?;
                    place.insert(value);
                }
                Entry::Occupied(place) => {
                    let key = crate::text::quoted(place.key());
                    let twice = format_args!("the key {key} stands twice in one object");
                    return Err(A::Error::custom(twice));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

//! Walks a value as a serializer would and refuses the numbers that a double can not hold.
//!
//! A pass of its own, since the serializer underneath writes `null` for a nested NaN and rounds integers
//! without a word.

use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize, Serializer};

use super::{CanonicalError, MAX_SAFE_INTEGER};

/// Checks every number of `value`.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), CanonicalError> {
    value.serialize(&mut Exact {
        pointer: String::new(),
    })
}

impl ser::Error for CanonicalError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// The walk: where it is, as a JSON pointer.
struct Exact {
    pointer: String,
}

impl Exact {
    fn pointer(&self) -> String {
        if self.pointer.is_empty() {
            "(root)".to_owned()
        } else {
            self.pointer.clone()
        }
    }

    fn integer(&self, fits: bool, value: impl fmt::Display) -> Result<(), CanonicalError> {
        if fits {
            return Ok(());
        }
        Err(CanonicalError::Integer {
            pointer: self.pointer(),
            value: value.to_string(),
        })
    }

    fn float(&self, value: f64) -> Result<(), CanonicalError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(CanonicalError::NotFinite {
            pointer: self.pointer(),
            value,
        })
    }

    /// Walks a member of a list or an object, whose token is appended to the pointer meanwhile.
    fn member<T: Serialize + ?Sized>(
        &mut self,
        token: impl fmt::Display,
        value: &T,
    ) -> Result<(), CanonicalError> {
        let length = self.pointer.len();
        let token = token.to_string().replace('~', "~0").replace('/', "~1");
        self.pointer.push('/');
        self.pointer.push_str(&token);
        value.serialize(&mut *self)?;
        self.pointer.truncate(length);
        Ok(())
    }
}

/// Types that hold no number, or only small ones.
macro_rules! pass {
    ($($method:ident($type:ty))*) => {
        $(fn $method(self, _: $type) -> Result<(), CanonicalError> {
            Ok(())
        })*
    };
}

impl<'a> Serializer for &'a mut Exact {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = Members<'a>;
    type SerializeTuple = Members<'a>;
    type SerializeTupleStruct = Members<'a>;
    type SerializeTupleVariant = Members<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    pass! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32)
        serialize_unit_struct(&'static str)
    }

    fn serialize_i64(self, value: i64) -> Result<(), CanonicalError> {
        self.integer(value.unsigned_abs() <= MAX_SAFE_INTEGER, value)
    }

    fn serialize_u64(self, value: u64) -> Result<(), CanonicalError> {
        self.integer(value <= MAX_SAFE_INTEGER, value)
    }

    fn serialize_i128(self, value: i128) -> Result<(), CanonicalError> {
        self.integer(value.unsigned_abs() <= MAX_SAFE_INTEGER.into(), value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), CanonicalError> {
        self.integer(value <= MAX_SAFE_INTEGER.into(), value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), CanonicalError> {
        self.float(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), CanonicalError> {
        self.float(value)
    }

    fn serialize_unit(self) -> Result<(), CanonicalError> {
        Ok(())
    }

    fn serialize_none(self) -> Result<(), CanonicalError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CanonicalError> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<(), CanonicalError> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        self.member(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Members<'a>, CanonicalError> {
        Ok(Members::of(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Members<'a>, CanonicalError> {
        Ok(Members::of(self))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Members<'a>, CanonicalError> {
        Ok(Members::of(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members<'a>, CanonicalError> {
        Ok(Members::of_variant(self, variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, CanonicalError> {
        Ok(Members::of(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'a>, CanonicalError> {
        Ok(Members::of(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members<'a>, CanonicalError> {
        Ok(Members::of_variant(self, variant))
    }
}

/// The walk over the members of one list or object.
struct Members<'a> {
    walk: &'a mut Exact,
    /// Length of the pointer before this list or object.
    outside: usize,
    /// Position of the next list member.
    next: usize,
    /// Key of the next map member.
    key: String,
}

impl<'a> Members<'a> {
    fn of(walk: &'a mut Exact) -> Self {
        Self {
            outside: walk.pointer.len(),
            walk,
            next: 0,
            key: String::new(),
        }
    }

    fn of_variant(walk: &'a mut Exact, variant: &str) -> Self {
        let outside = walk.pointer.len();
        // writing to a string does not fail
        _ = write!(walk.pointer, "/{variant}");
        Self {
            outside,
            walk,
            next: 0,
            key: String::new(),
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        let position = self.next;
        self.next += 1;
        self.walk.member(position, value)
    }

    fn finish(self) {
        self.walk.pointer.truncate(self.outside);
    }
}

/// Lists of all kinds are walked by position.
macro_rules! walk_list {
    ($($trait:ident::$method:ident)*) => {
        $(impl ser::$trait for Members<'_> {
            type Ok = ();
            type Error = CanonicalError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
                self.item(value)
            }

            fn end(self) -> Result<(), CanonicalError> {
                self.finish();
                Ok(())
            }
        })*
    };
}

walk_list! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

/// Structs are walked by field name.
macro_rules! walk_struct {
    ($($trait:ident)*) => {
        $(impl ser::$trait for Members<'_> {
            type Ok = ();
            type Error = CanonicalError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), CanonicalError> {
                self.walk.member(key, value)
            }

            fn end(self) -> Result<(), CanonicalError> {
                self.finish();
                Ok(())
            }
        })*
    };
}

walk_struct! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Members<'_> {
    type Ok = ();
    type Error = CanonicalError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CanonicalError> {
        // Only the error message needs the key; what is no text is refused when the value is written.
        self.key = match serde_json::to_value(key) {
            Ok(serde_json::Value::String(key)) => key,
            Ok(other) => other.to_string(),
            Err(error) => return Err(ser::Error::custom(error)),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        let key = std::mem::take(&mut self.key);
        self.walk.member(key, value)
    }

    fn end(self) -> Result<(), CanonicalError> {
        self.finish();
        Ok(())
    }
}

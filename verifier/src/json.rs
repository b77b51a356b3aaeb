//! Strict JSON (RFC 8259, and RFC 7515 section 4 on duplicate names): UTF-8, no duplicate name at any depth, a cap on
//! depth that holds while parsing, and nothing after the value.
//!
//! A duplicate name means that two readers may see two documents, so it is refused rather than resolved. The cap also
//! bounds the recursion when a value is dropped: no value deeper than the cap is ever built.
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The deepest cap that is honoured, whatever is asked: it keeps recursion far from the end of any stack.
pub const DEEPEST: usize = 100;

/// Why a text is not strict JSON. It tells the place, never the text.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// It is no JSON, no UTF-8, or has something after the value.
    Syntax {
        /// line, from 1
        line: usize,
        /// column, from 1
        column: usize,
    },
    /// A name occurs twice in one object.
    DuplicateName,
    /// Arrays and objects are nested deeper than the cap.
    TooDeep,
    /// It is JSON, but no object.
    NotAnObject,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { line, column } => {
                write!(f, "not JSON in UTF-8 (line {line}, column {column})")
            }
            Self::DuplicateName => f.write_str("a name occurs twice in one object"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::NotAnObject => f.write_str("not a JSON object"),
        }
    }
}

impl std::error::Error for JsonError {}

/// The one JSON value that `bytes` hold, with at most `max_depth` arrays and objects inside each other.
///
/// # Errors
/// [`JsonError`] where the text is anything but one strict JSON value.
pub fn parse_value(bytes: &[u8], max_depth: usize) -> Result<Value, JsonError> {
    let mut refusal = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict { depth_left: max_depth.min(DEEPEST), refusal: &mut refusal };
    let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| refusal.unwrap_or(JsonError::Syntax { line: error.line(), column: error.column() }))
}

/// The one JSON object that `bytes` hold; as [`parse_value`].
///
/// # Errors
/// [`JsonError`] where the text is anything but one strict JSON object.
pub fn parse_object(bytes: &[u8], max_depth: usize) -> Result<Map<String, Value>, JsonError> {
    match parse_value(bytes, max_depth)? {
        Value::Object(map) => Ok(map),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Whether two JSON values are the same: objects whatever their order, numbers by value (`1`, `1.0` and `1e0` are one
/// number, as a configuration that arrives as a protobuf `Struct` knows doubles only).
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || (one_is_float(a, b) && a.as_f64() == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn one_is_float(a: &Number, b: &Number) -> bool {
    a.is_f64() || b.is_f64()
}

/// Builds a value, remembering why it stopped: serde's own errors carry text only.
struct Strict<'r> {
    depth_left: usize,
    refusal: &'r mut Option<JsonError>,
}

impl Strict<'_> {
    fn refuse<E: serde::de::Error>(self, why: JsonError) -> E {
        *self.refusal = Some(why);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(self.refuse(JsonError::TooDeep));
        };
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(Strict { depth_left, refusal: &mut *self.refusal })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(self.refuse(JsonError::TooDeep));
        };
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(Strict { depth_left, refusal: &mut *self.refusal })?;
            if map.insert(name, value).is_some() {
                return Err(self.refuse(JsonError::DuplicateName));
            }
        }
        Ok(Value::Object(map))
    }
}

/// Hands each element of an array over as it is read. The array is the only member of the one object that `bytes` hold,
/// and has this name.
///
/// # Errors
/// What is wrong with the text, or what `each` says of an element.
pub(crate) fn each_of(
    bytes: &[u8],
    name: &'static str,
    each: &mut dyn FnMut(Value) -> Result<(), &'static str>,
) -> Result<(), String> {
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let outer = Each { name: Some(name), each, refused: &mut refused };
    let result = outer.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    result.map_err(|error| {
        let syntax = JsonError::Syntax { line: error.line(), column: error.column() };
        refused.map_or_else(|| syntax.to_string(), str::to_owned)
    })
}

/// The object around an array, while there is a `name`; then the array.
struct Each<'e> {
    name: Option<&'static str>,
    each: &'e mut dyn FnMut(Value) -> Result<(), &'static str>,
    refused: &'e mut Option<&'static str>,
}

impl Each<'_> {
    fn refuse<E: serde::de::Error>(&mut self, why: &'static str) -> E {
        *self.refused = Some(why);
        E::custom("refused")
    }

    fn plain<E: serde::de::Error>(mut self) -> E {
        self.refuse("a plain value stands where an object or an array should be")
    }
}

impl<'de> DeserializeSeed<'de> for Each<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Each<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one array")
    }

    // Not left to serde, whose words for what it did not expect print floats too: 16 KB of a module.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Err(self.plain())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Err(self.plain())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Err(self.plain())
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Err(self.plain())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(self.plain())
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(self.plain())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        let Some(name) = self.name else { return Err(self.refuse("an object stands where the array should be")) };
        if access.next_key::<String>()?.as_deref() != Some(name) {
            return Err(self.refuse("the object does not have the one member that it should"));
        }
        access.next_value_seed(Each { name: None, each: &mut *self.each, refused: &mut *self.refused })?;
        match access.next_key::<String>()? {
            None => Ok(()),
            Some(_) => Err(self.refuse("the object has more than the one member that it should")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        if self.name.is_some() {
            return Err(self.refuse("an array stands where the object should be"));
        }
        let mut refusal = None;
        while let Some(value) = access.next_element_seed(Strict { depth_left: 2, refusal: &mut refusal })? {
            (self.each)(value).map_err(|why| self.refuse(why))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_by_value() {
        assert!(same(&json!({"a": [1, 2.0], "b": null}), &json!({"b": null, "a": [1.0, 2]})));
        assert!(!same(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
        assert!(!same(&json!("1"), &json!(1)));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same(&json!([1]), &json!([1, 2])));
    }

    #[test]
    fn a_cap_beyond_the_deepest_is_the_deepest() {
        let deep = format!("{}{}", "[".repeat(DEEPEST + 1), "]".repeat(DEEPEST + 1));
        assert_eq!(parse_value(deep.as_bytes(), usize::MAX), Err(JsonError::TooDeep));
        assert!(parse_value(&deep.as_bytes()[1..deep.len() - 1], usize::MAX).is_ok());
    }
}

//! Strict JSON (RFC 8259, and RFC 7515 section 4 on duplicate names): UTF-8, no duplicate name at any depth, a cap on
//! depth that holds while parsing, and nothing after the value.
//!
//! A duplicate name means that two readers may see two documents, so it is refused rather than resolved. The cap also
//! bounds the recursion when a value is dropped: no value deeper than the cap is ever built.
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

pub use members::{Claims, Members, parse_members};

mod members;

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
    let text = text(bytes)?;
    read(text, max_depth, None)
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

/// The member of an object, by its name. A search would call for each comparison; most objects have so few members that to look at
/// the first byte and the length of each takes less.
#[inline(never)]
pub fn get<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    const FEW: usize = 24;
    if members.len() > FEW {
        return members.get(name);
    }
    let first = name.as_bytes().first();
    for (other, value) in members {
        // they are in the order of their bytes
        if other.as_bytes().first() > first {
            break;
        }
        if other.len() == name.len() && other.as_bytes().first() == first && *other == name {
            return Some(value);
        }
    }
    None
}

/// Hands each element of an array over as it is read, so that no more than one of them is there at a time. The array is the
/// only member of the one object that `bytes` hold, and has this name; its elements are no deeper than two.
///
/// # Errors
/// What is wrong with the text, or what `each` says of an element.
pub fn each_of(
    bytes: &[u8],
    name: &'static str,
    each: &mut dyn FnMut(Value) -> Result<(), &'static str>,
) -> Result<(), String> {
    let mut elements = Elements { name, each, is_in_object: false, was_there: false, refused: None };
    let value = text(bytes).and_then(|text| read(text, 4, Some(Apart::Elements(&mut elements))));
    let Elements { was_there, refused, .. } = elements;
    match value {
        Err(error) => Err(refused.map_or_else(|| error.to_string(), str::to_owned)),
        Ok(_) if was_there => Ok(()),
        Ok(_) => Err(Elements::NOT_ALONE.to_owned()),
    }
}

/// All of it looked at at once, where the parser would look at each string.
fn text(bytes: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(bytes).map_err(|error| end_of(bytes.get(..error.valid_up_to()).unwrap_or_default()))
}

/// Reads the one value that the text holds, but what goes apart.
fn read(text: &str, max_depth: usize, apart: Option<Apart<'_, '_>>) -> Result<Value, JsonError> {
    let mut refusal = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Strict { depth_left: max_depth.min(DEEPEST), refusal: &mut refusal, apart };
    let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| refusal.unwrap_or(JsonError::Syntax { line: error.line(), column: error.column() }))
}

/// A syntax error behind these bytes.
#[cold]
fn end_of(bytes: &[u8]) -> JsonError {
    let line = bytes.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
    let column = bytes.iter().rev().take_while(|byte| **byte != b'\n').count().saturating_add(1);
    JsonError::Syntax { line, column }
}

/// What is not built into the value, but goes elsewhere.
enum Apart<'r, 'e> {
    /// the elements of the one array in the outermost object
    Elements(&'r mut Elements<'e>),
    /// the members of the outermost object
    Members(&'r mut members::Reading<'e>),
}

/// Where the elements of an array go that is not built: the one member, of this name, of the outermost object. Whatever else
/// there is, is refused before it is read, so that nothing large is built.
struct Elements<'e> {
    name: &'static str,
    each: &'e mut dyn FnMut(Value) -> Result<(), &'static str>,
    is_in_object: bool,
    was_there: bool,
    refused: Option<&'static str>,
}

impl Elements<'_> {
    const NOT_ALONE: &'static str = "it is not an object with one array alone";

    fn refuse<E: serde::de::Error>(&mut self, why: &'static str) -> E {
        self.refused = Some(why);
        E::custom("refused")
    }
}

/// Builds a value, remembering why it stopped: serde's own errors carry text only. There is one such visitor, since each
/// that is made for speed weighs 6 KB.
struct Strict<'r, 'e> {
    depth_left: usize,
    refusal: &'r mut Option<JsonError>,
    apart: Option<Apart<'r, 'e>>,
}

impl Strict<'_, '_> {
    fn refuse<E: serde::de::Error>(&mut self, why: JsonError) -> E {
        *self.refusal = Some(why);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_, '_> {
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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(self.refuse(JsonError::TooDeep));
        };
        let mut values = Vec::new();
        let Some(Apart::Elements(elements)) = self.apart.take() else {
            while let Some(value) =
                access.next_element_seed(Strict { depth_left, refusal: &mut *self.refusal, apart: None })?
            {
                values.push(value);
            }
            return Ok(Value::Array(values));
        };
        if !elements.is_in_object {
            return Err(elements.refuse(Elements::NOT_ALONE));
        }
        elements.was_there = true;
        while let Some(value) =
            access.next_element_seed(Strict { depth_left, refusal: &mut *self.refusal, apart: None })?
        {
            (elements.each)(value).map_err(|why| elements.refuse(why))?;
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(self.refuse(JsonError::TooDeep));
        };
        let mut map = Map::new();
        if let Some(Apart::Members(members)) = &mut self.apart {
            while let Some(name) = access.next_key_seed(&mut **members)? {
                let value = access.next_value_seed(Strict { depth_left, refusal: &mut *self.refusal, apart: None })?;
                if !members.add(name, value) {
                    return Err(self.refuse(JsonError::DuplicateName));
                }
            }
            return Ok(Value::Object(map));
        }
        while let Some(name) = access.next_key::<String>()? {
            let apart = match &mut self.apart {
                Some(Apart::Elements(elements)) if elements.is_in_object || elements.name != name => {
                    return Err(elements.refuse(Elements::NOT_ALONE));
                }
                Some(Apart::Elements(elements)) => {
                    elements.is_in_object = true;
                    Some(Apart::Elements(elements))
                }
                _ => None,
            };
            let value = access.next_value_seed(Strict { depth_left, refusal: &mut *self.refusal, apart })?;
            if map.insert(name, value).is_some() {
                return Err(self.refuse(JsonError::DuplicateName));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The elements that were handed over, and how it ended.
    fn elements_of(text: &str) -> (Vec<Value>, Result<(), String>) {
        let mut all = Vec::new();
        let end = each_of(text.as_bytes(), "list", &mut |value| {
            if value == json!("no") {
                return Err("not this one");
            }
            all.push(value);
            Ok(())
        });
        (all, end)
    }

    #[test]
    fn each_element_is_handed_over() {
        let (all, end) = elements_of(r#" { "list" : [1, {"list": [2]}, "x"] } "#);
        assert_eq!((all, end), (vec![json!(1), json!({"list": [2]}), json!("x")], Ok(())));
        assert_eq!(elements_of(r#"{"list":[]}"#), (Vec::new(), Ok(())));
    }

    #[test]
    fn what_is_not_one_array_of_that_name_is_refused() {
        let of = |text| elements_of(text).1.unwrap_err();
        for text in [
            "1",
            "[]",
            "[1]",
            "{}",
            r#"{"list":1}"#,
            r#"{"list":{}}"#,
            r#"{"list":{"list":[1]}}"#,
            r#"{"list":[],"other":1}"#,
            r#"{"other":{"list":[1]},"list":[]}"#,
            r#"{"other":[]}"#,
        ] {
            assert_eq!(of(text), Elements::NOT_ALONE, "{text}");
        }
        // before it is read: what follows is no JSON
        for text in ["[?", r#"{"other":?"#, r#"{"list":{"a":?"#, r#"{"list":[],"other":?"#] {
            assert_eq!(of(text), Elements::NOT_ALONE, "{text}");
        }
        assert_eq!(of(r#"{"list":[1,"no",2]}"#), "not this one");
        assert_eq!(of(r#"{"list":[[[[]]]]}"#), JsonError::TooDeep.to_string());
        assert_eq!(of(r#"{"list":[{"a":1,"a":1}]}"#), JsonError::DuplicateName.to_string());
        assert_eq!(of(r#"{"list":[1],"list":[1]}"#), Elements::NOT_ALONE);
        assert!(of(r#"{"list":[1"#).starts_with("not JSON"));
        // no object in another is taken for it
        assert_eq!(elements_of(r#"{"other":{"list":[1]},"list":[]}"#).0, Vec::<Value>::new());
    }

    #[test]
    fn what_is_no_utf_8_is_told_by_its_place() {
        let at = |text: &[u8]| parse_value(text, 9).unwrap_err();
        assert_eq!(at(b"\xff"), JsonError::Syntax { line: 1, column: 1 });
        assert_eq!(at(b"{\n\"a\":\"\xc3\"}"), JsonError::Syntax { line: 2, column: 6 });
        assert_eq!(at(b"[]\n\n\xe2\x82"), JsonError::Syntax { line: 3, column: 1 });
    }

    #[test]
    fn members_are_found_in_small_and_large_objects() {
        let mut members = Map::new();
        for count in 0..40_u64 {
            assert_eq!(get(&members, ""), members.get(""));
            for number in 0..=count {
                for name in [format!("name{number}"), format!("other{number}"), format!("{number}")] {
                    assert_eq!(get(&members, &name), members.get(&name), "{name} of {count}");
                }
            }
            let name = if count == 7 { String::new() } else { format!("name{count}") };
            members.insert(name, count.into());
        }
        assert_eq!(get(&members, "name39"), Some(&json!(39)));
    }

    #[test]
    fn a_cap_beyond_the_deepest_is_the_deepest() {
        let deep = format!("{}{}", "[".repeat(DEEPEST + 1), "]".repeat(DEEPEST + 1));
        assert_eq!(parse_value(deep.as_bytes(), usize::MAX), Err(JsonError::TooDeep));
        assert!(parse_value(&deep.as_bytes()[1..deep.len() - 1], usize::MAX).is_ok());
    }
}

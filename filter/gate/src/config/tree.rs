//! Reads types out of a JSON value, and knows the path of the field where one does not fit.
//!
//! Reading never stops half way: the first misfit is noted, what is read after it is thrown away. A reader so needs no
//! way out of each field, which would be most of its code in the module. Each shape is read in one way only (a struct
//! from an object, never from an array). `#[derive(FromNode)]` (`filter/derive`) makes the readers of structs and enums.

use std::cell::Cell;

pub(crate) use carded_derive::FromNode;
use serde_json::{Map, Value};

use super::error::ConfigError;

/// A type that is read out of a JSON value.
pub(crate) trait FromNode: Sized {
    /// Reads it. What does not fit is noted in the node, and what is returned then is good for nothing.
    fn from_node(node: &Node<'_>) -> Self;

    /// What a field is that is not there: an error, except for what is optional.
    fn absent(node: &Node<'_>, name: &'static str) -> Self {
        node.note(format!("missing field `{name}`"));
        Self::from_node(&Node { value: &NULL, step: Step::Here, ..*node })
    }
}

static NULL: Value = Value::Null;

/// Reads a value.
pub(crate) fn read<T: FromNode>(value: &Value) -> Result<T, ConfigError> {
    let noted = Cell::new(None);
    let read = T::from_node(&Node { value, above: None, step: Step::Here, noted: &noted });
    noted.into_inner().map_or(Ok(read), Err)
}

/// A value, where it stands, and where misfits are noted.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    above: Option<&'a Node<'a>>,
    step: Step<'a>,
    noted: &'a Cell<Option<ConfigError>>,
}

/// The last step of a value's path.
#[derive(Clone, Copy)]
enum Step<'a> {
    Here,
    Key(&'a str),
    Index(usize),
}

impl<'a> Node<'a> {
    /// Says what does not fit here. The first counts.
    pub(crate) fn note(&self, message: String) {
        let noted = self.noted.take().unwrap_or_else(|| ConfigError::new(self.path(), message));
        self.noted.set(Some(noted));
    }

    fn path(&self) -> String {
        let mut path = self.above.map(Self::path).unwrap_or_default();
        match self.step {
            Step::Here => {}
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Index(index) => {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
        path
    }

    /// Notes that another kind of value is expected here.
    pub(crate) fn misfit(&self, expected: &str) {
        let found = match self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(bool) => format!("boolean `{bool}`"),
            Value::String(text) => format!("string {text:?}"),
            Value::Number(_) => "number".to_owned(),
            Value::Array(_) => "sequence".to_owned(),
            Value::Object(_) => "map".to_owned(),
        };
        self.note(format!("invalid type: {found}, expected {expected}"));
    }

    fn unknown(&self, what: &str, name: &str, known: impl Iterator<Item = &'static str>) {
        let known: Vec<_> = known.map(|known| format!("`{known}`")).collect();
        let known = known.join(", ");
        self.note(format!("unknown {what} `{name}`, expected one of {known}"));
    }

    /// Its text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// Its members, if it is an object.
    pub(crate) fn as_object(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    /// Its elements, if it is an array.
    pub(crate) fn as_array(&self) -> Option<&'a [Value]> {
        self.value.as_array().map(Vec::as_slice)
    }

    /// Something below it.
    fn below<'b>(&'b self, value: &'b Value, step: Step<'b>) -> Node<'b> {
        Node { value, above: Some(self), step, noted: self.noted }
    }

    /// Must be an object, and has no members but these.
    pub(crate) fn object(&self, known: Option<&[&'static str]>) {
        let Some(members) = self.as_object() else { return self.misfit("an object") };
        let Some(known) = known else { return };
        for (name, value) in members {
            if !known.contains(&name.as_str()) {
                self.below(value, Step::Key(name)).unknown("field", name, known.iter().copied());
            }
        }
    }

    #[inline(never)]
    fn member<'b>(&'b self, name: &'static str) -> Option<Node<'b>> {
        let value = self.as_object()?.get(name)?;
        Some(self.below(value, Step::Key(name)))
    }

    /// Reads a member. Only an optional one may be absent.
    pub(crate) fn field<T: FromNode>(&self, name: &'static str) -> T {
        self.member(name).map_or_else(|| T::absent(self, name), |node| T::from_node(&node))
    }

    /// Reads a member that may be absent.
    pub(crate) fn or<T: FromNode>(&self, name: &'static str, default: fn() -> T) -> T {
        self.member(name).map_or_else(default, |node| T::from_node(&node))
    }

    /// Which of these variants it is, and its content: a text, or an object with one member where the variant has a
    /// value (`true` beside its name).
    pub(crate) fn variant<'b>(&'b self, known: &[(&'static str, bool)]) -> (usize, Node<'b>) {
        let nothing = Node { value: &NULL, ..*self };
        let (name, content) = match self.value {
            Value::String(name) => (name, None),
            Value::Object(members) => {
                let mut members = members.iter();
                let (Some((name, value)), None) = (members.next(), members.next()) else {
                    self.note("give exactly one of its fields".to_owned());
                    return (0, nothing);
                };
                (name, Some(self.below(value, Step::Key(name))))
            }
            _ => {
                self.misfit("a text or an object with one field");
                return (0, nothing);
            }
        };
        let at = content.unwrap_or(*self);
        let Some(which) = known.iter().position(|(known, _)| known == name) else {
            at.unknown("variant", name, known.iter().map(|(name, _)| *name));
            return (0, nothing);
        };
        match (known.get(which), content) {
            (Some((_, true)), None) => self.note(format!("`{name}` needs a value")),
            (Some((_, false)), Some(_)) => self.note(format!("`{name}` stands alone, as a text")),
            _ => {}
        }
        (which, content.unwrap_or(nothing))
    }

    /// A text that something is parsed from.
    pub(crate) fn parsed<T>(&self, parse: fn(&str) -> Option<T>, expected: &str) -> Option<T> {
        let text = self.as_text();
        let parsed = text.and_then(parse);
        match (text, &parsed) {
            (None, _) => self.misfit(expected),
            (Some(text), None) => self.note(format!("invalid value: string {text:?}, expected {expected}")),
            (Some(_), Some(_)) => {}
        }
        parsed
    }

    /// A whole number up to a highest.
    fn whole(&self, highest: u64) -> u64 {
        match self.value {
            Value::Number(number) => match number.as_u64() {
                Some(number) if number <= highest => return number,
                _ => self.note(format!("invalid value: expected a whole number between 0 and {highest}")),
            },
            _ => self.misfit("a whole number"),
        }
        0
    }
}

impl FromNode for bool {
    fn from_node(node: &Node<'_>) -> Self {
        node.value.as_bool().unwrap_or_else(|| {
            node.misfit("a boolean");
            false
        })
    }
}

impl FromNode for u64 {
    fn from_node(node: &Node<'_>) -> Self {
        node.whole(Self::MAX)
    }
}

impl FromNode for u32 {
    fn from_node(node: &Node<'_>) -> Self {
        Self::try_from(node.whole(Self::MAX.into())).unwrap_or(0)
    }
}

impl FromNode for u8 {
    fn from_node(node: &Node<'_>) -> Self {
        Self::try_from(node.whole(Self::MAX.into())).unwrap_or(0)
    }
}

impl FromNode for i64 {
    fn from_node(node: &Node<'_>) -> Self {
        node.value.as_i64().unwrap_or_else(|| {
            node.misfit("a whole number");
            0
        })
    }
}

impl FromNode for String {
    fn from_node(node: &Node<'_>) -> Self {
        if node.as_text().is_none() {
            node.misfit("a string");
        }
        node.as_text().unwrap_or_default().to_owned()
    }
}

impl FromNode for Value {
    fn from_node(node: &Node<'_>) -> Self {
        node.value.clone()
    }
}

impl FromNode for Map<String, Value> {
    fn from_node(node: &Node<'_>) -> Self {
        node.object(None);
        node.as_object().cloned().unwrap_or_default()
    }
}

impl<T: FromNode> FromNode for Option<T> {
    fn from_node(node: &Node<'_>) -> Self {
        if node.value.is_null() { None } else { Some(T::from_node(node)) }
    }

    fn absent(_: &Node<'_>, _: &'static str) -> Self {
        None
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node<'_>) -> Self {
        let Some(elements) = node.as_array() else {
            node.misfit("a list");
            return Self::new();
        };
        let mut read = Self::with_capacity(elements.len());
        for (index, value) in elements.iter().enumerate() {
            read.push(T::from_node(&node.below(value, Step::Index(index))));
        }
        read
    }
}

/// The members of an object, in the order of their names.
pub(super) fn members<T: FromNode>(node: &Node<'_>) -> Vec<(String, T)> {
    let Some(members) = node.as_object() else {
        node.misfit("an object");
        return Vec::new();
    };
    let mut read = Vec::with_capacity(members.len());
    for (name, value) in members {
        read.push((name.clone(), T::from_node(&node.below(value, Step::Key(name)))));
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, PartialEq, FromNode)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "in")]
        inner: Vec<Inner>,
        number: Option<u8>,
        #[serde(default = "seven")]
        default: u32,
        #[serde(skip)]
        never: Option<String>,
    }

    #[derive(Debug, PartialEq, FromNode)]
    #[serde(rename_all = "snake_case")]
    enum Inner {
        OneWord,
        Text(String),
        Fields { a: i64, b: bool },
    }

    fn seven() -> u32 {
        7
    }

    fn error(value: Value) -> String {
        read::<Outer>(&value).unwrap_err().to_string()
    }

    #[test]
    fn what_fits_is_read() {
        let value = json!({ "in": ["one_word", { "text": "x" }, { "fields": { "a": -1, "b": true } }], "number": 255 });
        let inner = vec![Inner::OneWord, Inner::Text("x".to_owned()), Inner::Fields { a: -1, b: true }];
        assert_eq!(read::<Outer>(&value).unwrap(), Outer { inner, number: Some(255), default: 7, never: None });
        let none = read::<Outer>(&json!({ "in": [], "number": null, "default": 0 })).unwrap();
        assert_eq!((none.number, none.default), (None, 0));
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_path() {
        for (value, told) in [
            (json!([]), "invalid type: sequence, expected an object"),
            (json!({}), "missing field `in`"),
            (json!({ "in": null }), "in: invalid type: null, expected a list"),
            (
                json!({ "in": [], "never": "x" }),
                "never: unknown field `never`, expected one of `in`, `number`, `default`",
            ),
            (json!({ "in": [], "number": 256 }), "number: invalid value: expected a whole number between 0 and 255"),
            (json!({ "in": [], "number": 1.5 }), "number: invalid value: expected a whole number between 0 and 255"),
            (json!({ "in": [], "number": -1 }), "number: invalid value: expected a whole number between 0 and 255"),
            (json!({ "in": [], "default": null }), "default: invalid type: null, expected a whole number"),
            (json!({ "in": [3] }), "in[0]: invalid type: number, expected a text or an object with one field"),
            (json!({ "in": [{}] }), "in[0]: give exactly one of its fields"),
            (json!({ "in": [{ "one_word": 1, "text": "x" }] }), "in[0]: give exactly one of its fields"),
            (json!({ "in": [{ "one_word": null }] }), "in[0]: `one_word` stands alone, as a text"),
            (json!({ "in": ["one_word", "text"] }), "in[1]: `text` needs a value"),
            (
                json!({ "in": ["OneWord"] }),
                "in[0]: unknown variant `OneWord`, expected one of `one_word`, `text`, `fields`",
            ),
            (
                json!({ "in": [{ "x": 1 }] }),
                "in[0].x: unknown variant `x`, expected one of `one_word`, `text`, `fields`",
            ),
            (json!({ "in": [{ "text": true }] }), "in[0].text: invalid type: boolean `true`, expected a string"),
            (
                json!({ "in": [{ "fields": { "a": "1", "b": 0 } }] }),
                "in[0].fields.a: invalid type: string \"1\", expected a whole number",
            ),
            (json!({ "in": [{ "fields": { "a": 1 } }] }), "in[0].fields: missing field `b`"),
        ] {
            assert_eq!(error(value), told);
        }
    }
}

//! The members of one object in the text that they came in: what a token that is new takes least memory and time for. Names stay
//! where they are, and a few members are looked through faster than a tree is built.
use super::{Apart, JsonError, end_of, get, read};
use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Claims by their names (RFC 7519 section 4): those of an object, or those of a token as it was read.
pub trait Claims {
    /// The claim of this name.
    fn claim(&self, name: &str) -> Option<&Value>;
}

impl Claims for Map<String, Value> {
    fn claim(&self, name: &str) -> Option<&Value> {
        get(self, name)
    }
}

/// The members of one object that was read strictly, as [`parse_value`](super::parse_value) reads. No name occurs twice.
#[derive(Clone, Default)]
pub struct Members {
    /// what the names are parts of
    text: String,
    /// the first of them, in the order in which they came
    few: Vec<Member>,
    /// all others, so that many are not looked through one by one
    more: Map<String, Value>,
}

#[derive(Clone)]
struct Member {
    name: Part,
    value: Value,
}

/// A part of a text, in bytes.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    length: usize,
    /// of what is there
    ends: Ends,
}

impl Part {
    fn of(self, text: &str) -> &[u8] {
        text.as_bytes().get(self.start..self.start.saturating_add(self.length)).unwrap_or_default()
    }
}

/// The first and the last byte of a name: those of most names differ in them, or in their lengths.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ends(u8, u8);

impl Ends {
    #[inline]
    fn of(name: &[u8]) -> Self {
        Self(name.first().copied().unwrap_or_default(), name.last().copied().unwrap_or_default())
    }
}

impl Members {
    /// How many are looked through one by one. Tokens have fewer.
    const FEW: usize = 24;

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let ends = Ends::of(name.as_bytes());
        let is_it = |one: &&Member| {
            one.name.length == name.len() && one.name.ends == ends && one.name.of(&self.text) == name.as_bytes()
        };
        match self.few.iter().find(is_it) {
            Some(member) => Some(&member.value),
            None if self.more.is_empty() => None,
            None => self.more.get(name),
        }
    }

    /// Whether there is a member of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All of them as an object.
    pub fn to_map(&self) -> Map<String, Value> {
        let mut map = self.more.clone();
        for member in &self.few {
            map.insert(String::from_utf8_lossy(member.name.of(&self.text)).into_owned(), member.value.clone());
        }
        map
    }

    /// Drops them. Strings that are dropped by code that is built for size cost as much as to read them.
    #[inline(never)]
    pub fn discard(self) {
        drop(self);
    }
}

impl Claims for Members {
    fn claim(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl fmt::Debug for Members {
    /// How many there are, without any of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} members", self.few.len().saturating_add(self.more.len()))
    }
}

/// The members of the one JSON object that `bytes` hold; as [`parse_object`](super::parse_object).
///
/// # Errors
/// [`JsonError`] where the text is anything but one strict JSON object.
pub fn parse_members(bytes: Vec<u8>, max_depth: usize) -> Result<Members, JsonError> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        end_of(error.as_bytes().get(..valid).unwrap_or_default())
    })?;
    let (few, more) = (Vec::with_capacity(Members::FEW), Map::new());
    let mut reading = Reading { text: &text, unescaped: String::new(), few, more };
    let value = read(&text, max_depth, Some(Apart::Members(&mut reading)))?;
    let Reading { unescaped, few, more, .. } = reading;
    if !value.is_object() {
        return Err(JsonError::NotAnObject);
    }
    text.push_str(&unescaped);
    Ok(Members { text, few, more })
}

/// The members that were read so far.
pub(super) struct Reading<'t> {
    text: &'t str,
    /// names that were written with escapes, which will stand behind the text
    unescaped: String,
    few: Vec<Member>,
    more: Map<String, Value>,
}

impl Reading<'_> {
    fn name(&self, part: Part) -> &[u8] {
        match part.start.checked_sub(self.text.len()) {
            None => part.of(self.text),
            Some(start) => Part { start, ..part }.of(&self.unescaped),
        }
    }

    /// Adds a member; `false` where there is one of this name.
    pub(super) fn add(&mut self, Name(name): Name, value: Value) -> bool {
        let text = self.name(name);
        let is_it = |other: &Member| {
            other.name.length == name.length && other.name.ends == name.ends && self.name(other.name) == text
        };
        if self.few.iter().any(is_it) {
            return false;
        }
        if self.few.len() < Members::FEW {
            self.few.push(Member { name, value });
            return true;
        }
        let text = String::from_utf8_lossy(text).into_owned();
        self.more.insert(text, value).is_none()
    }
}

/// Where a name stands.
pub(super) struct Name(Part);

impl<'de> DeserializeSeed<'de> for &mut Reading<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for &mut Reading<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    /// A name as it stands in the text.
    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name, E> {
        let start = name.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        match self.text.get(start..start.wrapping_add(name.len())) {
            Some(_) => Ok(Name(Part { start, length: name.len(), ends: Ends::of(name.as_bytes()) })),
            None => self.visit_str(name),
        }
    }

    /// A name that was written with escapes.
    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        let start = self.text.len().saturating_add(self.unescaped.len());
        self.unescaped.push_str(name);
        Ok(Name(Part { start, length: name.len(), ends: Ends::of(name.as_bytes()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{DEEPEST, parse_object};
    use serde_json::json;

    fn members(text: &str) -> Result<Members, JsonError> {
        parse_members(text.as_bytes().to_vec(), 9)
    }

    /// That both ways of reading say the same of a text.
    #[track_caller]
    fn same(text: &str) {
        let (members, map) = (members(text), parse_object(text.as_bytes(), 9));
        assert_eq!(members.as_ref().map(Members::to_map).map_err(Clone::clone), map, "{text}");
        let (Ok(members), Ok(map)) = (members, map) else { return };
        for name in map.keys() {
            assert_eq!(members.get(name), map.get(name), "{name} of {text}");
            for other in [format!("{name}x"), format!("x{name}"), name.chars().skip(1).collect(), name.to_uppercase()] {
                assert_eq!(members.get(&other), map.get(&other), "{other} of {text}");
                assert_eq!(members.contains_key(&other), map.contains_key(&other), "{other} of {text}");
            }
        }
        assert_eq!(members.get(""), map.get(""), "{text}");
        assert_eq!(format!("{members:?}"), format!("{} members", map.len()));
    }

    #[test]
    fn it_is_what_an_object_is() {
        for text in [
            "{}",
            " { } ",
            r#"{"a":1}"#,
            r#"{"":1,"a":"","iss":"x","sub":{"iss":["y",{}]},"n":null,"f":1.5,"t":true}"#,
            r#"{"abc":1,"abd":2,"bbc":3,"ab":4,"c":5}"#,
            r#"{"\u0061":1,"b\n":2,"\u00e9":3,"é":4}"#,
            r#"{"\u0061":1,"\u0062":2,"c":3,"\u0064\u0065":[{"f":"\u0067"}]}"#,
            r#"{"Köln":"Straße","日本":"語"}"#,
        ] {
            same(text);
        }
    }

    #[test]
    fn threat_05_what_is_refused_of_an_object_is_refused() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(9), "]".repeat(9));
        for text in [
            "",
            " ",
            "1",
            "null",
            "[]",
            "[{}]",
            "\"a\"",
            "{",
            "{}x",
            "{}{}",
            "{]",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            r#"{1:1}"#,
            r#"{null:1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":1e999}"#,
            r#"{"\ud800":1}"#,
            "{\"a\n\":1}",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"{"\u0061":1,"b":2,"a":3}"#,
            r#"{"\u0061":1,"\u0061":1}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"":1,"":1}"#,
            r#"{"a":1,"a":?"#,
            &deep,
        ] {
            same(text);
            assert!(members(text).is_err(), "{text}");
        }
        assert_eq!(members(&deep).unwrap_err(), JsonError::TooDeep);
        assert_eq!(members(r#"{"a":1,"\u0061":1}"#).unwrap_err(), JsonError::DuplicateName);
        assert_eq!(members("[]").unwrap_err(), JsonError::NotAnObject);
        let at = |bytes: &[u8]| parse_members(bytes.to_vec(), 9).unwrap_err();
        assert_eq!(at(b"{\n\"a\":\"\xc3\"}"), JsonError::Syntax { line: 2, column: 6 });
        let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        assert_eq!(parse_members(nested.into_bytes(), usize::MAX).unwrap_err(), JsonError::TooDeep);
    }

    #[test]
    fn threat_05_many_members_are_as_few() {
        for count in [Members::FEW - 1, Members::FEW, Members::FEW + 1, 3 * Members::FEW] {
            let all: Vec<_> = (0..count).map(|number| format!(r#""name{number}":{number}"#)).collect();
            same(&format!("{{{}}}", all.join(",")));
            // each a second time, as it is and with an escape
            for name in 0..count {
                for again in [format!("name{name}"), format!(r"\u006eame{name}")] {
                    let text = format!(r#"{{{},"{again}":0}}"#, all.join(","));
                    assert_eq!(members(&text).unwrap_err(), JsonError::DuplicateName, "{again} of {count}");
                }
            }
        }
        let escaped: Vec<_> = (0..40).map(|number| format!(r#""\u006eame{number}":{number}"#)).collect();
        let text = format!("{{{}}}", escaped.join(","));
        same(&text);
        assert_eq!(members(&text).unwrap().claim("name39"), Some(&json!(39)));
    }
}

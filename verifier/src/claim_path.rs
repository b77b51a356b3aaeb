//! A path of names into the claims of a token (RFC 7519 section 4), through objects only.
use crate::json::{self, Claims};
use serde_json::{Map, Value};
use std::fmt;

/// Where a claim is: `realm_access.roles`, or a list of names where a name itself has a dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClaimPath(Vec<String>);

/// Why a text names no claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimPathError {
    /// There is no name.
    Empty,
    /// A name between dots, or one of the list, is empty.
    EmptyName,
}

impl fmt::Display for ClaimPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a claim path needs at least one name",
            Self::EmptyName => "a claim path has an empty name",
        })
    }
}

impl std::error::Error for ClaimPathError {}

impl ClaimPath {
    /// From names joined with dots, as `realm_access.roles`.
    ///
    /// # Errors
    /// [`ClaimPathError`] for an empty text or an empty name.
    pub fn parse_dotted(text: &str) -> Result<Self, ClaimPathError> {
        if text.is_empty() {
            return Err(ClaimPathError::Empty);
        }
        Self::from_names(text.split('.').map(str::to_owned).collect())
    }

    /// From a list of names, each taken as it is: `["https://example.com/roles"]`.
    ///
    /// # Errors
    /// [`ClaimPathError`] for an empty list or an empty name.
    pub fn from_names(names: Vec<String>) -> Result<Self, ClaimPathError> {
        if names.is_empty() {
            return Err(ClaimPathError::Empty);
        }
        if names.iter().any(String::is_empty) {
            return Err(ClaimPathError::EmptyName);
        }
        Ok(Self(names))
    }

    /// The names, outermost first; at least one.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The claim at this path. `None` where a name is missing or a step before the last is no object.
    pub fn get<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        self.find(claims)
    }

    /// The same among claims as they were read.
    pub(crate) fn find<'a>(&self, claims: &'a dyn Claims) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.claim(first)?, |value, name| json::get(value.as_object()?, name))
    }
}

impl fmt::Display for ClaimPath {
    /// Names joined with dots, or a JSON array where a name has a dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().any(|name| name.contains('.')) {
            write!(f, "{}", Value::from(self.0.clone()))
        } else {
            f.write_str(&self.0.join("."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn walks_objects_only() {
        let Value::Object(claims) = json!({"a": {"b": {"c": 1}}, "list": [{"b": 2}], "x.y": 3, "0": 4, "s": "text"})
        else {
            panic!()
        };
        let get = |path: &str| ClaimPath::parse_dotted(path).unwrap().get(&claims).cloned();
        assert_eq!(get("a.b.c"), Some(json!(1)));
        assert_eq!(get("0"), Some(json!(4)));
        for absent in ["a.c", "a.b.c.d", "list.0", "list.b", "x.y", "s.0", "missing"] {
            assert_eq!(get(absent), None, "{absent}");
        }
        let names = ClaimPath::from_names(vec!["x.y".into()]).unwrap();
        assert_eq!(names.get(&claims), Some(&json!(3)));
        assert_eq!(names.to_string(), r#"["x.y"]"#);
        assert_eq!(ClaimPath::parse_dotted("a.b").unwrap().to_string(), "a.b");
    }

    #[test]
    fn empty_names_are_no_path() {
        for bad in ["", ".", "a.", ".a", "a..b"] {
            assert!(ClaimPath::parse_dotted(bad).is_err(), "{bad:?}");
        }
        assert_eq!(ClaimPath::from_names(vec![]), Err(ClaimPathError::Empty));
    }
}

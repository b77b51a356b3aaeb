//! What a policy requires among the claims beyond those that every token has.
use crate::claim_path::ClaimPath;
use crate::json::{self, Claims};
use serde_json::{Map, Value};

/// A claim and what it must be.
#[derive(Clone, PartialEq, Debug)]
pub struct RequiredClaim {
    /// Where it is.
    pub path: ClaimPath,
    /// What it must be.
    pub test: ClaimTest,
}

/// What a claim must be. Values are compared as JSON, numbers by value; nothing is converted.
#[derive(Clone, PartialEq, Debug)]
pub enum ClaimTest {
    /// This value.
    Equals(Value),
    /// One of these values.
    OneOf(Vec<Value>),
    /// An array with this value among its members, or a string with this word among those that single spaces part (as
    /// `scope` is written, RFC 6749 section 3.3).
    Contains(Value),
}

impl ClaimTest {
    /// Whether the value passes.
    pub fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equals(wanted) => json::same(value, wanted),
            Self::OneOf(wanted) => wanted.iter().any(|wanted| json::same(value, wanted)),
            Self::Contains(wanted) => match (value, wanted) {
                (Value::Array(members), _) => members.iter().any(|member| json::same(member, wanted)),
                (Value::String(text), Value::String(word)) => {
                    !word.is_empty() && text.split(' ').any(|part| part == word)
                }
                _ => false,
            },
        }
    }
}

impl RequiredClaim {
    /// Whether the claim is there and passes. An absent claim never does.
    pub fn holds(&self, claims: &Map<String, Value>) -> bool {
        self.is_met(claims)
    }

    /// The same of claims as they were read.
    pub(crate) fn is_met(&self, claims: &dyn Claims) -> bool {
        self.path.find(claims).is_some_and(|value| self.test.holds(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_holds() {
        let equals = |v| ClaimTest::Equals(v);
        let contains = |v| ClaimTest::Contains(v);
        for (test, value, holds) in [
            (equals(json!("a")), json!("a"), true),
            (equals(json!("a")), json!("A"), false),
            (equals(json!("a")), json!(["a"]), false),
            (equals(json!(true)), json!("true"), false),
            (equals(json!(1.0)), json!(1), true),
            (equals(json!(null)), json!(null), true),
            (ClaimTest::OneOf(vec![json!("a"), json!("b")]), json!("b"), true),
            (ClaimTest::OneOf(vec![json!("a"), json!("b")]), json!("c"), false),
            (ClaimTest::OneOf(vec![]), json!("c"), false),
            (contains(json!("staff")), json!(["x", "staff"]), true),
            (contains(json!("staff")), json!(["x", "staffer"]), false),
            (contains(json!("staff")), json!([["staff"]]), false),
            (contains(json!("read")), json!("write read"), true),
            (contains(json!("read")), json!("write:read"), false),
            (contains(json!("read")), json!("write\tread"), false),
            (contains(json!("")), json!("a  b"), false),
            (contains(json!("write read")), json!("write read"), false),
            (contains(json!(7)), json!([7]), true),
            (contains(json!(7)), json!("7"), false),
            (contains(json!("a")), json!({"a": 1}), false),
        ] {
            assert_eq!(test.holds(&value), holds, "{test:?} {value}");
        }
        let missing =
            RequiredClaim { path: ClaimPath::parse_dotted("hd").unwrap(), test: ClaimTest::Equals(Value::Null) };
        assert!(!missing.holds(&Map::new()));
    }
}

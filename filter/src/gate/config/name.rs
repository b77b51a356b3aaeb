//! Names of claims: `corp.realm_access.roles`, or a list of names where one of them has a dot.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// A claim's name as its members, outermost first. Never empty, and no member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub Vec<String>);

impl Name {
    /// Reads names joined by dots; nothing where one of them is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let members: Vec<String> = text.split('.').map(str::to_owned).collect();
        members.iter().all(|member| !member.is_empty()).then_some(Self(members))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a claim: names joined by dots, or a list of names")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                Name::parse(text).ok_or_else(|| E::custom(format!("`{text}` has an empty name")))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Name, A::Error> {
                let members = collect(seq)?;
                if members.is_empty() || members.iter().any(String::is_empty) {
                    return Err(de::Error::custom("a claim needs at least one name, and none may be empty"));
                }
                Ok(Name(members))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// Reads one text or a list of texts.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
    expecting: &'static str,
) -> Result<Vec<String>, D::Error> {
    struct Texts(&'static str);
    impl<'de> Visitor<'de> for Texts {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            collect(seq)
        }
    }
    deserializer.deserialize_any(Texts(expecting))
}

fn collect<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Vec<String>, A::Error> {
    let mut members = Vec::new();
    while let Some(member) = seq.next_element::<String>()? {
        members.push(member);
    }
    Ok(members)
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimName".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A claim: names joined by dots, or a list of names where one of them has a dot.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 }
            ]
        })
    }
}

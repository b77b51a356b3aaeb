//! Claims as a person reads them: a label and a value for each leaf, without the members that only machines need.

use carded_verifier::dcql::{ConcretePathElement as Step, Format, PathElement};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::issuer::Label;

/// A claim as a person reads it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Row {
    /// Where it is.
    pub(crate) path: Vec<Value>,
    /// The same, as the verifier's crate has it.
    #[serde(skip)]
    pub(crate) steps: Vec<Step>,
    /// What it is.
    pub(crate) label: String,
    /// What it says.
    pub(crate) value: String,
}

/// Members of an SD-JWT VC that say something about the credential, not about its holder (SD-JWT VC section 2.2.2.2).
const TECHNICAL: [&str; 11] =
    ["iss", "iat", "nbf", "exp", "cnf", "vct", "vct#integrity", "status", "jti", "_sd_alg", "aka"];
const LONGEST_VALUE: usize = 400;

/// The claims of a credential as rows.
pub(crate) fn rows(format: &Format, claims: &Map<String, Value>, labels: &[Label]) -> Vec<Row> {
    let mut rows = Vec::new();
    match format {
        Format::JwtVcJson => {
            if let Some(subject) = claims.get("credentialSubject") {
                let mut path = vec![Step::Name("credentialSubject".to_owned())];
                leaves(subject, &mut path, &mut |path, value| {
                    if path.len() > 1 && !matches!(path.get(1), Some(Step::Name(name)) if name == "id") {
                        rows.push(row(path, path.get(1..).unwrap_or_default(), value, labels));
                    }
                });
            }
        }
        _ => {
            let mut named: Vec<_> = claims.iter().filter(|(name, _)| !TECHNICAL.contains(&name.as_str())).collect();
            named.sort_by_key(|(name, _)| rank(name));
            for (name, value) in named {
                leaves(value, &mut vec![Step::Name(name.clone())], &mut |path, value| {
                    rows.push(row(path, path, value, labels));
                });
            }
        }
    }
    rows
}

/// People first look for who a card is about, and read an address from the street on.
fn rank(name: &str) -> usize {
    let order = [
        "given_name",
        "family_name",
        "name",
        "birthdate",
        "birth_date",
        "address",
        "street_address",
        "locality",
        "region",
        "postal_code",
        "country",
    ];
    let last = usize::from(name.starts_with("age_")) + order.len();
    order.iter().position(|known| *known == name).unwrap_or(last)
}

/// What the first member on a claim's path is, in words.
pub(crate) fn whole(row: &Row) -> String {
    let first = row.path.iter().filter_map(Value::as_str).find(|name| *name != "credentialSubject");
    words(&[Step::Name(first.unwrap_or_default().to_owned())])
}

fn leaves(value: &Value, path: &mut Vec<Step>, found: &mut impl FnMut(&[Step], &Value)) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            let mut named: Vec<_> = object.iter().collect();
            named.sort_by_key(|(name, _)| rank(name));
            for (name, value) in named {
                path.push(Step::Name(name.clone()));
                leaves(value, path, found);
                path.pop();
            }
        }
        Value::Array(array) if array.iter().any(|element| element.is_object() || element.is_array()) => {
            for (index, value) in array.iter().enumerate() {
                path.push(Step::Index(index));
                leaves(value, path, found);
                path.pop();
            }
        }
        leaf => found(path, leaf),
    }
}

fn row(path: &[Step], named: &[Step], value: &Value, labels: &[Label]) -> Row {
    let label = labels.iter().find(|label| is_at(&label.path, path)).map(|label| label.name.clone());
    Row {
        path: path.iter().map(step_value).collect(),
        steps: path.to_vec(),
        label: label.unwrap_or_else(|| words(named)),
        value: text(value),
    }
}

fn is_at(label: &[Value], path: &[Step]) -> bool {
    label.len() == path.len()
        && label.iter().zip(path).all(|(label, step)| match step {
            Step::Name(name) => label.as_str() == Some(name),
            Step::Index(index) => label.is_null() || label.as_u64() == u64::try_from(*index).ok(),
        })
}

fn step_value(step: &Step) -> Value {
    match step {
        Step::Name(name) => name.as_str().into(),
        Step::Index(index) => (*index).into(),
    }
}

/// What a path means, in words: "Over 21" for the ages of SD-JWT VC and ISO 18013-5, else its names.
pub(crate) fn words(path: &[Step]) -> String {
    let names: Vec<&str> = path
        .iter()
        .filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    if let Some(age) = age_of(&names) {
        return format!("Over {age}");
    }
    // the parts of an address (OpenID Connect Core section 5.1.1) speak for themselves
    let names = match names.as_slice() {
        ["address", parts @ ..] if !parts.is_empty() => parts.to_vec(),
        _ => names,
    };
    let humanize = |name: &str| match name {
        "birthdate" | "birth_date" => "birth date".to_owned(),
        "sub" => "identifier".to_owned(),
        name => name.replace(['_', '-'], " "),
    };
    let mut words = names.iter().map(|name| humanize(name)).collect::<Vec<_>>().join(", ");
    if let Some(first) = words.get(..1) {
        words = format!("{}{}", first.to_ascii_uppercase(), words.get(1..).unwrap_or_default());
    }
    words
}

/// The threshold of an age claim.
pub(crate) fn age_of<'a>(names: &[&'a str]) -> Option<&'a str> {
    let threshold = match names {
        [.., "age_equal_or_over", threshold] => threshold,
        [.., last] => last.strip_prefix("age_over_")?,
        [] => return None,
    };
    (!threshold.is_empty() && threshold.bytes().all(|byte| byte.is_ascii_digit())).then_some(threshold)
}

/// What a query asks for, in words.
pub(crate) fn asked(path: &[PathElement]) -> String {
    let steps: Vec<Step> = path
        .iter()
        .filter_map(|element| match element {
            PathElement::Name(name) if name != "credentialSubject" => Some(Step::Name(name.clone())),
            _ => None,
        })
        .collect();
    words(&steps)
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::Bool(true) => "Yes".to_owned(),
        Value::Bool(false) => "No".to_owned(),
        Value::Null => "Nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(array) => array.iter().map(text_of_element).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    if text.chars().count() > LONGEST_VALUE { text.chars().take(LONGEST_VALUE).chain(['…']).collect() } else { text }
}

fn text_of_element(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels_and_values(format: &Format, claims: &Value) -> Vec<(String, String)> {
        rows(format, claims.as_object().unwrap(), &[]).into_iter().map(|row| (row.label, row.value)).collect()
    }

    #[test]
    fn a_digital_id_in_words() {
        let claims = json!({
            "iss": "https://dmv.example", "exp": 1, "cnf": {}, "vct": "x",
            "given_name": "Ada",
            "address": {"locality": "London"},
            "age_equal_or_over": {"21": true},
            "nationalities": ["GB", "FR"],
        });
        let expected = [("Given name", "Ada"), ("Locality", "London"), ("Nationalities", "GB, FR"), ("Over 21", "Yes")];
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(labels_and_values(&Format::DcSdJwt, &claims), expected);
    }

    #[test]
    fn a_statement_of_a_clerk_in_words() {
        let claims =
            json!({"type": ["VerifiableCredential"], "credentialSubject": {"id": "did:jwk:x", "age_over_21": true}});
        assert_eq!(labels_and_values(&Format::JwtVcJson, &claims), [("Over 21".to_owned(), "Yes".to_owned())]);
    }

    #[test]
    fn the_issuer_may_name_its_claims() {
        let label = Label { path: vec![json!("given_name")], name: "First name".to_owned() };
        let claims = json!({"given_name": "Ada"});
        assert_eq!(rows(&Format::DcSdJwt, claims.as_object().unwrap(), &[label])[0].label, "First name");
    }
}

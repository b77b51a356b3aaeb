//! The bytes that a proxy hands over as configuration: JSON text (`google.protobuf.StringValue` arrives as its text) or
//! a `google.protobuf.Struct`, which arrives in its protobuf encoding.

use carded_verifier::json;
use serde_json::{Number, Value};

use super::{Config, ConfigError, protobuf};

/// How deep a configuration may nest.
const MAX_DEPTH: usize = 64;

/// Reads a configuration from the bytes of a plugin's configuration.
///
/// # Errors
/// What is wrong, with the path of the field where there is one.
pub fn parse(bytes: &[u8]) -> Result<Config, Vec<ConfigError>> {
    let fail = |message: String| vec![ConfigError::new("", message)];
    if bytes.is_empty() {
        return Err(fail("there is no configuration: give the plugin a `configuration`".to_owned()));
    }
    // A Struct begins with the tag 0x0a, which is also a line feed: text is tried first.
    let looks_like_json = bytes.trim_ascii_start().first() == Some(&b'{');
    let as_json = json::parse_object(bytes, MAX_DEPTH);
    let object = match as_json {
        Ok(object) => object,
        Err(error) if looks_like_json => return Err(fail(format!("the configuration is no valid JSON: {error}"))),
        Err(_) => protobuf::structure(bytes, MAX_DEPTH).ok_or_else(|| {
            fail(
                "the configuration is neither a JSON object nor a google.protobuf.Struct, or nests too deep".to_owned(),
            )
        })?,
    };
    Config::from_value(Value::Object(object))
}

/// Struct knows doubles only; whole numbers become integers again, as JSON would have had them.
pub(super) fn number_to_value(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::value::Kind;
    use serde_json::json;

    fn to_struct(value: &Value) -> prost_types::Value {
        let kind = match value {
            Value::Null => Kind::NullValue(0),
            Value::Bool(bool) => Kind::BoolValue(*bool),
            Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
            Value::String(text) => Kind::StringValue(text.clone()),
            Value::Array(values) => {
                Kind::ListValue(prost_types::ListValue { values: values.iter().map(to_struct).collect() })
            }
            Value::Object(map) => Kind::StructValue(prost_types::Struct {
                fields: map.iter().map(|(key, value)| (key.clone(), to_struct(value))).collect(),
            }),
        };
        prost_types::Value { kind: Some(kind) }
    }

    #[test]
    fn a_struct_is_read_like_the_json_it_came_from() {
        let value = json!({
            "rules": [{ "match": { "path": ["/a", "/b"] }, "allow": "anyone" }],
            "limits": { "waiting_requests": 7 }
        });
        let Some(Kind::StructValue(message)) = to_struct(&value).kind else { unreachable!() };
        let from_struct = parse(&message.encode_to_vec()).unwrap();
        let from_json = parse(value.to_string().as_bytes()).unwrap();
        assert_eq!(format!("{from_struct:?}"), format!("{from_json:?}"));
        assert_eq!(from_struct.limits.waiting_requests, Some(7));
    }

    #[test]
    fn a_duplicate_field_is_refused() {
        let error = parse(br#"{"rules": [], "rules": []}"#).unwrap_err();
        assert!(error[0].message.contains("no valid JSON"), "{error:?}");
    }

    #[test]
    fn neither_json_nor_struct_is_refused() {
        for bytes in [&b""[..], b"rules: []", b"\xff\xff\xff", b"[]", b"null"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}

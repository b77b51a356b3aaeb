//! Encodes JSON as a `google.protobuf.Struct`, the way Envoy hands a plugin's configuration over when it is written as YAML:
//! numbers are doubles and the order of keys is lost (`google/protobuf/struct.proto`).

use serde_json::Value;

/// The protobuf encoding of a JSON object as a `Struct`; anything else encodes as an empty one. Keys come in reverse
/// order, so that nothing can rely on theirs.
pub fn struct_bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(object) = value.as_object() {
        for (key, value) in object.iter().rev() {
            let mut entry = Vec::new();
            field(&mut entry, 1, key.as_bytes()); // key
            field(&mut entry, 2, &value_bytes(value)); // value
            field(&mut out, 1, &entry); // fields
        }
    }
    out
}

fn value_bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Null => out.extend([0x08, 0]),
        Value::Number(number) => {
            out.push(0x11);
            out.extend(number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
        }
        Value::String(text) => field(&mut out, 3, text.as_bytes()),
        Value::Bool(truth) => out.extend([0x20, u8::from(*truth)]),
        Value::Object(_) => field(&mut out, 5, &struct_bytes(value)),
        Value::Array(items) => {
            let mut list = Vec::new();
            for item in items {
                field(&mut list, 1, &value_bytes(item));
            }
            field(&mut out, 6, &list);
        }
    }
    out
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push((number << 3) | 2); // length-delimited
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_encoded_as_protobuf_says() {
        let value = serde_json::json!({ "a": true });
        assert_eq!(struct_bytes(&value), [0x0a, 7, 0x0a, 1, b'a', 0x12, 2, 0x20, 1]);
        let value = serde_json::json!({ "n": 1.5 });
        assert_eq!(struct_bytes(&value)[5..7], [0x12, 9]);
    }
}

//! Strict JSON (RFC 8259, and RFC 7515 section 4 on duplicate names), and when two values are the same. What reads it is in
//! `verifier/text`, which is built for speed.
use serde_json::{Number, Value};

pub(crate) use carded_text::json::{Claims, Members, each_of, get, parse_members};
pub use carded_text::json::{DEEPEST, JsonError, parse_object, parse_value};

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
}

//! `google.protobuf.Struct` from its encoding (protobuf.dev "Encoding", struct.proto): the one message that is read, so a
//! page of code in place of a library. Bounded in depth; anything that is not a Struct is nothing.

use serde_json::{Map, Value};

use super::wire::number_to_value;

/// The members of an encoded Struct.
pub(super) fn structure(bytes: &[u8], depth: usize) -> Option<Map<String, Value>> {
    let depth = depth.checked_sub(1)?;
    let mut members = Map::new();
    for field in Fields(bytes) {
        // map<string, Value> fields = 1, each an entry { string key = 1; Value value = 2; }
        if let (1, Content::Bytes(entry)) = field? {
            let (mut key, mut value) = (String::new(), Value::Null);
            for field in Fields(entry) {
                match field? {
                    (1, Content::Bytes(text)) => key = std::str::from_utf8(text).ok()?.to_owned(),
                    (2, Content::Bytes(bytes)) => value = self::value(bytes, depth)?,
                    _ => {}
                }
            }
            members.insert(key, value);
        }
    }
    Some(members)
}

fn value(bytes: &[u8], depth: usize) -> Option<Value> {
    let mut value = Value::Null;
    // of several members of a oneof the last counts
    for field in Fields(bytes) {
        match field? {
            (1, Content::Number(_)) => value = Value::Null,
            (2, Content::Fixed64(bits)) => value = number_to_value(f64::from_le_bytes(bits)),
            (3, Content::Bytes(text)) => value = Value::from(std::str::from_utf8(text).ok()?),
            (4, Content::Number(number)) => value = Value::Bool(number != 0),
            (5, Content::Bytes(bytes)) => value = Value::Object(structure(bytes, depth)?),
            (6, Content::Bytes(bytes)) => value = Value::Array(list(bytes, depth)?),
            _ => {}
        }
    }
    Some(value)
}

fn list(bytes: &[u8], depth: usize) -> Option<Vec<Value>> {
    let depth = depth.checked_sub(1)?;
    let mut members = Vec::new();
    for field in Fields(bytes) {
        if let (1, Content::Bytes(bytes)) = field? {
            members.push(value(bytes, depth)?);
        }
    }
    Some(members)
}

enum Content<'a> {
    Number(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a message: their numbers and contents; nothing, once, where the encoding is broken.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Content<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Content<'a>)> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Number(self.varint()?),
            1 => Content::Fixed64(*self.take(8)?.first_chunk()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Content::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Content::Fixed32
            }
            _ => return None,
        };
        Some((tag >> 3, content))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn whatever_is_cut_off_is_no_struct_and_nothing_panics() {
        let text =
            |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.to_owned())) };
        let message = prost_types::Struct { fields: [("a".to_owned(), text("b")), ("c".to_owned(), text("d"))].into() };
        let bytes = message.encode_to_vec();
        assert_eq!(structure(&bytes, 4).map(|members| members.len()), Some(2));
        for end in 0..bytes.len() {
            assert!(structure(&bytes[..end], 4).is_none_or(|members| members.len() < 2), "{end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = structure(&changed, 4);
            }
        }
        assert_eq!(structure(&[0x80; 20], 4), None);
    }

    #[test]
    fn depth_is_bounded() {
        let mut value = prost_types::Value { kind: Some(prost_types::value::Kind::BoolValue(true)) };
        for _ in 0..10 {
            let list = prost_types::ListValue { values: vec![value] };
            value = prost_types::Value { kind: Some(prost_types::value::Kind::ListValue(list)) };
        }
        let bytes = prost_types::Struct { fields: [("a".to_owned(), value)].into() }.encode_to_vec();
        assert!(structure(&bytes, 11).is_some());
        assert!(structure(&bytes, 10).is_none());
    }
}

//! Reads types out of a JSON value, and knows the path of the field where one does not fit.
//!
//! Each shape is read in one way only (a struct from an object, never from an array): what no text of ours is written in
//! needs no code in the module.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// What does not fit, and where.
#[derive(Debug)]
pub(in crate::gate) struct Misfit {
    /// The path of the field, once it is known.
    pub(in crate::gate) path: Option<String>,
    pub(in crate::gate) message: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }
}

/// Reads a value.
pub(in crate::gate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Misfit> {
    T::deserialize(Node { value, place: &Place::Top })
}

/// Where a value stands.
enum Place<'a> {
    Top,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Key(Self::Top, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Place<'_> {
    /// The innermost place counts: it is named first.
    fn name(&self, misfit: Misfit) -> Misfit {
        Misfit { path: misfit.path.or_else(|| Some(self.to_string())), ..misfit }
    }
}

#[derive(Clone, Copy)]
struct Node<'a> {
    value: &'a Value,
    place: &'a Place<'a>,
}

impl<'a> Node<'a> {
    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Value::Number(number) = self.value else { return self.misfit(&visitor) };
        let read = match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => visitor.visit_u64(number),
            (_, Some(number), _) => visitor.visit_i64(number),
            (_, _, Some(number)) => visitor.visit_f64(number),
            _ => Err(de::Error::custom("a number that cannot be read")),
        };
        read.map_err(|misfit| self.place.name(misfit))
    }

    fn sequence<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Value::Array(members) = self.value else { return self.misfit(&visitor) };
        let members = Members { members, next: 0, place: self.place };
        visitor.visit_seq(members).map_err(|misfit| self.place.name(misfit))
    }

    fn object<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Value::Object(members) = self.value else { return self.misfit(&visitor) };
        let fields = Fields { members: members.iter(), value: None, place: self.place };
        visitor.visit_map(fields).map_err(|misfit| self.place.name(misfit))
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Value::String(text) = self.value else { return self.misfit(&visitor) };
        visitor.visit_str(text).map_err(|misfit| self.place.name(misfit))
    }

    fn truth<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Value::Bool(bool) = self.value else { return self.misfit(&visitor) };
        visitor.visit_bool(*bool).map_err(|misfit| self.place.name(misfit))
    }

    fn misfit<T>(self, expected: &dyn de::Expected) -> Result<T, Misfit> {
        Err(self.place.name(de::Error::invalid_type(self.unexpected(), expected)))
    }

    fn unexpected(self) -> Unexpected<'a> {
        match self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(bool) => Unexpected::Bool(*bool),
            Value::String(text) => Unexpected::Str(text),
            Value::Number(_) => Unexpected::Other("number"),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.value {
            Value::Null => visitor.visit_unit().map_err(|misfit| self.place.name(misfit)),
            Value::Bool(_) => self.truth(visitor),
            Value::String(_) => self.text(visitor),
            Value::Number(_) => self.number(visitor),
            Value::Array(_) => self.sequence(visitor),
            Value::Object(_) => self.object(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.object(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.object(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.sequence(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.text(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.text(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.truth(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let read = match self.value {
            Value::String(name) => visitor.visit_enum(Variant { name, content: None, place: self.place }),
            Value::Object(members) => match single(members) {
                Some((name, content)) => {
                    visitor.visit_enum(Variant { name, content: Some(content), place: self.place })
                }
                None => Err(de::Error::custom("give exactly one of its fields")),
            },
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a text or an object with one field")),
        };
        read.map_err(|misfit| self.place.name(misfit))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

fn single(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut members = members.iter();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Some((name, value)),
        _ => None,
    }
}

struct Members<'a> {
    members: &'a [Value],
    next: usize,
    place: &'a Place<'a>,
}

impl<'de> SeqAccess<'de> for Members<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(value) = self.members.get(self.next) else { return Ok(None) };
        let place = Place::Index(self.place, self.next);
        self.next = self.next.saturating_add(1);
        seed.deserialize(Node { value, place: &place }).map(Some).map_err(|misfit| place.name(misfit))
    }
}

struct Fields<'a> {
    members: serde_json::map::Iter<'a>,
    value: Option<(&'a str, &'a Value)>,
    place: &'a Place<'a>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((key, value)) = self.members.next() else { return Ok(None) };
        self.value = Some((key, value));
        let read: StrDeserializer<'_, Misfit> = key.as_str().into_deserializer();
        seed.deserialize(read).map(Some).map_err(|misfit| Place::Key(self.place, key).name(misfit))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some((key, value)) = self.value.take() else { return Err(de::Error::custom("a value without a name")) };
        let place = Place::Key(self.place, key);
        seed.deserialize(Node { value, place: &place }).map_err(|misfit| place.name(misfit))
    }
}

struct Variant<'a> {
    name: &'a str,
    content: Option<&'a Value>,
    place: &'a Place<'a>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Misfit> {
        let read: StrDeserializer<'_, Misfit> = self.name.into_deserializer();
        match seed.deserialize(read) {
            Ok(variant) => Ok((variant, self)),
            Err(misfit) if self.content.is_some() => Err(Place::Key(self.place, self.name).name(misfit)),
            Err(misfit) => Err(misfit),
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(de::Error::custom(format!("`{}` stands alone, as a text", self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        let Some(value) = self.content else {
            return Err(de::Error::custom(format!("`{}` needs a value", self.name)));
        };
        let place = Place::Key(self.place, self.name);
        seed.deserialize(Node { value, place: &place }).map_err(|misfit| place.name(misfit))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Misfit> {
        Err(de::Error::custom("no field is of this shape"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Misfit> {
        let Some(value) = self.content else {
            return Err(de::Error::custom(format!("`{}` needs an object", self.name)));
        };
        Node { value, place: &Place::Key(self.place, self.name) }.object(visitor)
    }
}

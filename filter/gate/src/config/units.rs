//! Spans of time (`250ms`, `2s`, `10m`, `8h`) and sizes (`512B`, `16KiB`, `1MiB`): always with their unit.

use std::time::Duration;

use carded_verifier::time::parse_span;

use super::tree::{FromNode, Node};

/// A span of time, written as a whole number and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The span as the standard library's.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        parse_span(text).map(Self)
    }
}

/// A number of bytes, written with `B`, `KiB` or `MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(usize);

impl ByteSize {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let factor: u64 = match unit {
            "B" => 1,
            "KiB" => 1024,
            "MiB" => 1024 * 1024,
            _ => return None,
        };
        number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok()).map(Self)
    }
}

/// The whole number at the start, and what follows it.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

macro_rules! from_text {
    ($type:ty, $expecting:literal, $name:literal, $pattern:literal, $example:literal) => {
        impl FromNode for $type {
            fn from_node(node: &Node<'_>) -> Self {
                node.parsed(Self::parse, $expecting).unwrap_or(Self(Default::default()))
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "description": $expecting, "pattern": $pattern, "examples": [$example]
                })
            }
        }
    };
}

from_text!(Span, "a time with its unit, such as 250ms, 2s, 10m, 8h or 1d", "Span", "^[0-9]+(ms|s|m|h|d)$", "10m");
from_text!(ByteSize, "a size with its unit, such as 512B, 16KiB or 1MiB", "ByteSize", "^[0-9]+(B|KiB|MiB)$", "16KiB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_needed() {
        assert_eq!(Span::parse("250ms"), Some(Span(Duration::from_millis(250))));
        assert_eq!(Span::parse("8h"), Some(Span::from_secs(28_800)));
        assert_eq!(ByteSize::parse("16KiB"), Some(ByteSize(16_384)));
        for bad in ["", "5", "s", "-1s", "1.5s", "1 s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
            assert_eq!(ByteSize::parse(bad), None, "{bad}");
        }
    }
}

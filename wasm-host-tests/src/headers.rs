//! Header maps as Envoy keeps them: an ordered list, names in lower case, values as raw bytes (RFC 9110, section 5.5 allows
//! obs-text), the same name as often as it came.

use std::fmt;

use crate::abi::Pair;

/// An ordered multi-map of headers or trailers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderMap(Vec<(String, Vec<u8>)>);

impl fmt::Debug for HeaderMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, value)| format!("{name}: {}", shown(value)))).finish()
    }
}

/// Bytes as a failing test shows them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl HeaderMap {
    /// A map of these pairs, in this order.
    pub fn from_pairs<N: Into<String>, V: Into<Vec<u8>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut map = Self::default();
        for (name, value) in pairs {
            map.add(&name.into(), value);
        }
        map
    }

    /// Adds one more header of this name.
    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Sets the first header of this name and removes its repetitions.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let name = name.to_ascii_lowercase();
        match self.0.iter().position(|(have, _)| *have == name) {
            Some(first) => {
                self.0[first].1 = value.into();
                let mut index = 0;
                self.0.retain(|(have, _)| {
                    index += 1;
                    *have != name || index == first + 1
                });
            }
            None => self.0.push((name, value.into())),
        }
    }

    /// Removes every header of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The first value of this name as text; what is not UTF-8 in it is replaced.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Every value of this name, in order.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.0.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice()).collect()
    }

    /// Whether there is a header of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in bytes, as Envoy counts them.
    pub fn byte_size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The first header whose value no HTTP codec would write: CR, LF or NUL (RFC 9110, section 5.5).
    pub fn illegal(&self) -> Option<&str> {
        let bad = |value: &[u8]| value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        self.0.iter().find(|(_, value)| bad(value)).map(|(name, _)| name.as_str())
    }

    pub(crate) fn to_pairs(&self) -> Vec<Pair> {
        self.0.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect()
    }

    pub(crate) fn from_raw(pairs: Vec<Pair>) -> Self {
        Self::from_pairs(pairs.into_iter().map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_replaces_the_first_and_drops_the_rest() {
        let mut map = HeaderMap::from_pairs([("A", "1"), ("b", "2"), ("a", "3"), ("c", "4")]);
        map.set("a", "9");
        let names: Vec<_> = map.iter().collect();
        assert_eq!(names, [("a", &b"9"[..]), ("b", b"2"), ("c", b"4")]);
        map.set("d", "5");
        assert_eq!(map.text("D").as_deref(), Some("5"));
    }

    #[test]
    fn remove_takes_every_repetition() {
        let mut map = HeaderMap::from_pairs([("a", "1"), ("b", "2"), ("A", "3")]);
        map.remove("a");
        assert_eq!(map.len(), 1);
        assert!(!map.contains("a"));
    }

    #[test]
    fn illegal_names_the_header() {
        assert_eq!(HeaderMap::from_pairs([("x", "a\r\nb")]).illegal(), Some("x"));
        assert_eq!(HeaderMap::from_pairs([("x", vec![0xe4u8])]).illegal(), None);
    }
}

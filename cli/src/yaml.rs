//! YAML 1.2 with the line of every key and value, and scalars typed as Envoy types them, so that what is checked here is
//! what the filter is given there (`source/common/protobuf/yaml_utility.cc` of Envoy, and yaml-cpp for its words).
//!
//! JSON is read by the same code: it is a subset of YAML, but for its scalars.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub content: Content,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A scalar that is no text: null, a truth value, a number.
    Plain(Value),
    /// Text, and the line on which it begins (below the `|` of a block).
    Text(String, usize),
    /// A list.
    List(Vec<Node>),
    /// Keys with their lines, and values, in order.
    Map(Vec<(String, usize, Node)>),
}

/// Something that cannot be read, and its line from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// Who will read the text after us, which decides what a bare word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// YAML as Envoy reads it: `yes` is true, an integer beyond 32 bits is text.
    Envoy,
    /// JSON: only its own literals.
    Json,
}

/// How deep a document may nest, as the filter's own bound.
const MAX_DEPTH: usize = 64;
/// How many values a document may have once its aliases are put in ("billion laughs").
const MAX_NODES: usize = 1_000_000;

/// Reads all documents of a text.
///
/// # Errors
/// The first thing that is no YAML, a key that is given twice, nesting or aliases beyond bounds.
pub fn parse(text: &str, dialect: Dialect) -> Result<Vec<Node>, SyntaxError> {
    let mut reader = Reader { parser: Parser::new_from_str(text), dialect, anchors: HashMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (event, span) => documents.push(reader.node(event, span, 0)?),
        }
    }
}

impl Node {
    /// The value of a key, where this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Content::Map(entries) = &self.content else { return None };
        entries.iter().find(|(name, _, _)| name == key).map(|(_, _, node)| node)
    }

    /// The text, where this is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Content::Text(text, _) = &self.content { Some(text) } else { None }
    }

    /// The same without lines.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Plain(value) => value.clone(),
            Content::Text(text, _) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Content::Map(entries) => Value::Object(
                entries.iter().map(|(key, _, node)| (key.clone(), node.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The line of a field by its path (`rules[2].require.token`): that of its key, or of its list item. Where the path
    /// leads further than the document, the line of the last part that is there.
    #[must_use]
    pub fn line_of(&self, path: &str) -> usize {
        let (mut node, mut line, mut rest) = (self, self.line, path);
        while let Some((next, next_line, next_rest)) = node.step(rest) {
            (node, line, rest) = (next, next_line, next_rest);
        }
        line
    }

    /// One part of a path: the child, its line, and what is left.
    fn step<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Self, usize, &'p str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        match &self.content {
            Content::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item, item.line, rest))
            }
            // a key may itself have dots (`idp.example.com`): the longest that fits is meant
            Content::Map(entries) => entries
                .iter()
                .filter_map(|(key, line, node)| {
                    let rest = path.strip_prefix(key.as_str())?;
                    (rest.is_empty() || rest.starts_with(['.', '['])).then_some((node, *line, rest))
                })
                .min_by_key(|(_, _, rest)| rest.len()),
            _ => None,
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    dialect: Dialect,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), SyntaxError> {
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(SyntaxError { line: error.marker().line(), message: format!("no valid YAML: {}", error.info()) })
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, SyntaxError> {
        let line = span.start.line();
        let fail = |message: &str| SyntaxError { line, message: message.to_owned() };
        if depth > MAX_DEPTH {
            return Err(fail("nests too deep"));
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(fail("the document is too large"));
        }
        let (anchor, content) = match event {
            Event::Alias(id) => {
                let node = self.anchors.get(&id).ok_or_else(|| fail("an alias to what is not complete"))?.clone();
                self.nodes += count(&node);
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, _) => {
                let quoted = style != ScalarStyle::Plain;
                // a block's span begins at its first line that is not empty
                let empty = text.len() - text.trim_start_matches('\n').len();
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let begins = if block { line.saturating_sub(empty).max(1) } else { line };
                let content = match self.dialect.scalar(&text) {
                    Some(value) if !quoted => Content::Plain(value),
                    None if !quoted && self.dialect == Dialect::Json => {
                        return Err(fail(&format!("no valid JSON: `{text}` is not quoted")));
                    }
                    _ => Content::Text(text.into_owned(), begins),
                };
                (anchor, content)
            }
            Event::SequenceStart(anchor, _) => (anchor, Content::List(self.list(depth)?)),
            Event::MappingStart(anchor, _) => (anchor, Content::Map(self.map(depth)?)),
            _ => return Err(fail("no valid YAML")),
        };
        let node = Node { line, content };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(String, usize, Node)>, SyntaxError> {
        let mut entries: Vec<(String, usize, Node)> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (key, line) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(key, ..), span) => (key.into_owned(), span.start.line()),
                (_, span) => {
                    let message = "a key that is no text".to_owned();
                    return Err(SyntaxError { line: span.start.line(), message });
                }
            };
            // readers differ in which of two they take: one of them would not do what was checked
            if let Some(first) = lines.insert(key.clone(), line) {
                let message = format!("the key `{key}` is given twice (first on line {first})");
                return Err(SyntaxError { line, message });
            }
            let (event, span) = self.next()?;
            entries.push((key, line, self.node(event, span, depth + 1)?));
        }
    }
}

fn count(node: &Node) -> usize {
    match &node.content {
        Content::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Content::Map(entries) => 1 + entries.iter().map(|(_, _, node)| count(node)).sum::<usize>(),
        _ => 1,
    }
}

impl Dialect {
    /// What an unquoted word means, where it is no text.
    fn scalar(self, word: &str) -> Option<Value> {
        if self == Self::Json {
            return serde_json::from_str(word).ok();
        }
        if ["", "~", "null", "Null", "NULL"].contains(&word) {
            return Some(Value::Null);
        }
        if let Some(truth) = truth(word) {
            return Some(Value::Bool(truth));
        }
        if let Some(integer) = integer(word) {
            // Envoy makes text of integers beyond 32 bits
            return i32::try_from(integer).ok().map(Value::from).or_else(|| Some(Value::String(integer.to_string())));
        }
        if word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
            return number(word.parse().ok()?);
        }
        None
    }
}

/// A Struct knows doubles only; the filter makes whole ones integers again.
fn number(double: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
    if double.fract() == 0.0 && double.abs() < 1e15 {
        return Some(Value::from(double as i64));
    }
    Number::from_f64(double).map(Value::Number)
}

/// yaml-cpp's words for true and false: in lower case, upper case, or with a capital.
fn truth(word: &str) -> Option<bool> {
    let lower = word.to_ascii_lowercase();
    let capital = word.get(1..).is_some_and(|rest| lower.get(1..) == Some(rest));
    if word != lower && word != word.to_ascii_uppercase() && !capital {
        return None;
    }
    match lower.as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

fn integer(word: &str) -> Option<i64> {
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    let digits = if negative { digits } else { digits.strip_prefix('+').unwrap_or(digits) };
    let magnitude = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        i64::from_str_radix(digits, 8).ok()? // as C++ streams read it with std::ios_base::basefield unset
    } else if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()?
    } else {
        return None;
    };
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Node {
        let mut documents = parse(text, Dialect::Envoy).expect("valid");
        assert_eq!(documents.len(), 1);
        documents.remove(0)
    }

    #[test]
    fn every_field_has_its_line() {
        let node =
            one("a: 1\nlist:\n  - x: 1\n  - y:\n      z: [1, 2]\nhosts:\n  idp.example.com: idp\n  idp: other\n");
        for (path, line) in [
            ("", 1),
            ("a", 1),
            ("list", 2),
            ("list[0].x", 3),
            ("list[1]", 4),
            ("list[1].y.z[1]", 5),
            ("hosts.idp.example.com", 7),
            ("hosts.idp", 8),
            ("list[1].y.nothing.here", 4),
            ("list[7]", 2),
        ] {
            assert_eq!(node.line_of(path), line, "{path}");
        }
    }

    #[test]
    fn scalars_mean_what_they_mean_to_envoy() {
        let node =
            one("[yes, Off, ON, oN, 12, 0x10, 010, -3, +4, 5000000000, 1.5, '12', ~, 10m, 1e3, '', .inf, 2026-11-21]");
        assert_eq!(
            node.to_value(),
            json!([
                true,
                false,
                true,
                "oN",
                12,
                16,
                8,
                -3,
                4,
                "5000000000",
                1.5,
                "12",
                null,
                "10m",
                1000,
                "",
                ".inf",
                "2026-11-21"
            ])
        );
    }

    #[test]
    fn a_key_twice_is_an_error_with_both_lines() {
        let error = parse("a:\n  b: 1\n  c: 2\n  b: 3\n", Dialect::Envoy).unwrap_err();
        assert_eq!(error, SyntaxError { line: 4, message: "the key `b` is given twice (first on line 2)".to_owned() });
    }

    #[test]
    fn aliases_are_put_in_within_bounds() {
        let node = one("a: &x { b: 1 }\nc: *x\n");
        assert_eq!(node.to_value(), json!({ "a": { "b": 1 }, "c": { "b": 1 } }));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            let aliases = vec![format!("*a{before}"); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert_eq!(parse(&bomb, Dialect::Envoy).unwrap_err().message, "the document is too large");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth| parse(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)), Dialect::Envoy);
        assert!(nested(60).is_ok());
        assert_eq!(nested(80).unwrap_err().message, "nests too deep");
        assert!(nested(100_000).is_err(), "the parser's own bound comes first");
    }

    #[test]
    fn json_is_read_with_its_own_literals() {
        let text = "{\n\t\"a\": [true, null, 5000000000, \"yes\"],\n\t\"b\": \"x\"\n}";
        let node = parse(text, Dialect::Json).expect("valid").remove(0);
        assert_eq!(node.to_value(), json!({ "a": [true, null, 5_000_000_000_u64, "yes"], "b": "x" }));
        assert_eq!(node.line_of("b"), 3);
        assert!(parse("{\"a\": yes}", Dialect::Json).is_err());
    }

    #[test]
    fn a_block_knows_where_its_text_begins() {
        for (text, line) in
            [("v: |\n  {\n", 2), ("v: |\n\n\n  {\n", 2), ("a: 1\nv: >-\n  x\n", 3), ("v:\n  \"x\"\n", 2)]
        {
            let node = one(text);
            let begins = node.get("v").map(|node| node.content.clone());
            assert!(matches!(begins, Some(Content::Text(_, found)) if found == line), "{text:?}: {begins:?}");
        }
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n", Dialect::Envoy).unwrap_err();
        assert!(error.line >= 2 && error.message.starts_with("no valid YAML"), "{error:?}");
    }
}

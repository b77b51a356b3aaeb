//! Patterns over the segments of a normal path: literal segments, `*` for one whole segment, `**` for any number of
//! them, and in policies `{corp.sub}` for a segment that equals a claim.
//!
//! At most one `**` a pattern, so that a match is one pass over the segments (no backtracking, threat 92).

use super::path::{Path, decode, segments};

/// A compiled pattern. `B` is what a `{…}` segment is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern<B> {
    /// The segments before `**`, or all of them.
    head: Vec<Segment<B>>,
    /// The segments after `**`; nothing where there is no `**`.
    tail: Option<Vec<Segment<B>>>,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment<B> {
    /// This text, in normal form.
    Literal(String),
    /// Any one segment that is not empty.
    Any,
    /// The segment that, decoded, equals the claim.
    Bound(B),
}

/// A pattern that binds nothing, as rules use it.
pub(super) type PlainPattern = Pattern<std::convert::Infallible>;

impl<B> Pattern<B> {
    /// Compiles a pattern. `bind` resolves the text between braces.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub(super) fn parse(text: &str, mut bind: impl FnMut(&str) -> Result<B, String>) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{text}` does not start with /"));
        }
        let mut head = Vec::new();
        let mut tail: Option<Vec<Segment<B>>> = None;
        let mut raws = segments(text).peekable();
        while let Some(raw) = raws.next() {
            if raw.is_empty() && raws.peek().is_some() {
                return Err(format!("`{text}` has two slashes in a row and can never match"));
            }
            if raw == "**" {
                if tail.is_some() {
                    return Err(format!("`{text}` has more than one **"));
                }
                tail = Some(Vec::new());
                continue;
            }
            let segment = parse_segment(text, raw, &mut bind)?;
            tail.as_mut().unwrap_or(&mut head).push(segment);
        }
        Ok(Self { head, tail })
    }

    /// Whether the segments match; `bound` says whether a decoded segment equals what a `{…}` is bound to.
    #[inline]
    pub(super) fn matches(&self, path: &[&str], bound: impl FnMut(&B, &str) -> bool) -> bool {
        self.matches_behind(0, path, bound)
    }

    /// The same where the first so many segments, literals all of them, are known to match.
    #[inline]
    pub(super) fn matches_behind(&self, known: usize, path: &[&str], mut bound: impl FnMut(&B, &str) -> bool) -> bool {
        let Some((start, rest)) = path.split_at_checked(self.head.len()) else { return false };
        let mut all = |pattern: &[Segment<B>], path: &[&str]| {
            pattern.iter().zip(path).all(|(segment, text)| segment.matches(text, &mut bound))
        };
        let ends = match &self.tail {
            None => rest.is_empty(),
            Some(tail) => match rest.len().checked_sub(tail.len()).and_then(|skip| rest.get(skip..)) {
                Some(end) => all(tail, end),
                None => false,
            },
        };
        ends && all(self.head.get(known..).unwrap_or_default(), start.get(known..).unwrap_or_default())
    }

    /// The literals that the path must begin with. Policies are looked up by them.
    pub(super) fn literal_head(&self) -> impl Iterator<Item = &str> {
        self.head.iter().map_while(|segment| match segment {
            Segment::Literal(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// What the `{…}` segments are bound to.
    pub(super) fn bindings(&self) -> impl Iterator<Item = &B> {
        self.head.iter().chain(self.tail.iter().flatten()).filter_map(|segment| match segment {
            Segment::Bound(binding) => Some(binding),
            _ => None,
        })
    }

    /// Whether every path that `other` matches is certainly matched by this pattern too.
    #[must_use]
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covers = |ours: &Segment<B>, theirs: &Segment<B>| match (ours, theirs) {
            (Segment::Any, Segment::Literal(text)) => !text.is_empty(),
            (Segment::Any, Segment::Any | Segment::Bound(_)) => true,
            (Segment::Literal(ours), Segment::Literal(theirs)) => ours == theirs,
            _ => false,
        };
        let all = |ours: &[Segment<B>], theirs: &[Segment<B>]| {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| covers(a, b))
        };
        match (&self.tail, &other.tail) {
            (None, None) => all(&self.head, &other.head),
            (None, Some(_)) => false,
            (Some(tail), None) => {
                let theirs = &other.head;
                theirs.len() >= self.head.len().saturating_add(tail.len())
                    && theirs.get(..self.head.len()).is_some_and(|start| all(&self.head, start))
                    && theirs.get(theirs.len().saturating_sub(tail.len())..).is_some_and(|end| all(tail, end))
            }
            (Some(tail), Some(theirs)) => {
                other.head.get(..self.head.len()).is_some_and(|start| all(&self.head, start))
                    && theirs.len() >= tail.len()
                    && theirs.get(theirs.len().saturating_sub(tail.len())..).is_some_and(|end| all(tail, end))
            }
        }
    }
}

impl<B> Segment<B> {
    #[inline]
    fn matches(&self, text: &str, bound: &mut impl FnMut(&B, &str) -> bool) -> bool {
        match self {
            Self::Literal(literal) => literal == text,
            Self::Any => !text.is_empty(),
            Self::Bound(binding) if text.contains('%') => decode(text).is_some_and(|text| bound(binding, &text)),
            Self::Bound(binding) => !text.is_empty() && bound(binding, text),
        }
    }
}

fn parse_segment<B>(
    pattern: &str,
    raw: &str,
    bind: &mut impl FnMut(&str) -> Result<B, String>,
) -> Result<Segment<B>, String> {
    if raw == "*" {
        return Ok(Segment::Any);
    }
    if let Some(name) = raw.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return bind(name).map(Segment::Bound);
    }
    if raw.contains(['*', '{', '}']) {
        return Err(format!("in `{pattern}`, `*`, `**` and `{{…}}` stand for whole segments only"));
    }
    // A literal is compared in normal form; one that is not normal could never match.
    match Path::parse(format!("/{raw}").as_bytes()) {
        Ok(path) if path.query().is_none() => {
            Ok(Segment::Literal(path.as_str().strip_prefix('/').unwrap_or_default().to_owned()))
        }
        _ => Err(format!("in `{pattern}`, `{raw}` can never be part of a normal path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> PlainPattern {
        Pattern::parse(text, |_| Err("no".to_owned())).unwrap()
    }

    fn matches(pattern: &str, path: &str) -> bool {
        let path = Path::parse(path.as_bytes()).unwrap();
        plain(pattern).matches(&path.segments().collect::<Vec<_>>(), |never, _| match *never {})
    }

    #[test]
    fn patterns_match_whole_segments() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a", "/A", false),
            ("/a/", "/a/", true),
            ("/*", "/a", true),
            ("/*", "/", false),
            ("/a/*", "/a/", false),
            ("/*", "/a/b", false),
            ("/wine/**", "/wine", true),
            ("/wine/**", "/wine/", true),
            ("/wine/**", "/wine/a/b", true),
            ("/wine/**", "/winery", false),
            ("/**", "/", true),
            ("/**", "/a/b/c", true),
            ("/a/**/z", "/a/z", true),
            ("/a/**/z", "/a/b/c/z", true),
            ("/a/**/z", "/a/z/y", false),
            ("/a/**/a", "/a", false),
            ("/%61", "/a", true),
            ("/caf%c3%a9", "/caf%C3%A9", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn bound_segments_equal_the_decoded_text() {
        let pattern = Pattern::parse("/u/{sub}/**", |name| Ok::<_, String>(name.to_owned())).unwrap();
        let check = |path: &str, value: &str| {
            let path = Path::parse(path.as_bytes()).unwrap();
            pattern.matches(&path.segments().collect::<Vec<_>>(), |_, text| text == value)
        };
        assert!(check("/u/auth0%7C1/x", "auth0|1"));
        assert!(check("/u/auth0|1", "auth0|1"));
        assert!(!check("/u/auth0%7C1/x", "auth0%7C1"));
        assert!(!check("/u/", ""), "an empty claim never opens an empty segment");
        assert!(!check("/u", ""));
    }

    #[test]
    fn what_cannot_match_or_costs_too_much_is_refused() {
        for text in ["a", "", "/a*", "/**/x/**", "/a{b}", "/a//b", "/../a", "/a?b", "/a%2fb"] {
            assert!(PlainPattern::parse(text, |_| Err("no".to_owned())).is_err(), "{text}");
        }
    }

    #[test]
    fn covering_is_never_claimed_wrongly() {
        for (wide, narrow, expected) in [
            ("/**", "/a/*", true),
            ("/**", "/**", true),
            ("/a/**", "/a", true),
            ("/a/**", "/a/b/**", true),
            ("/a/**", "/**", false),
            ("/*", "/a", true),
            ("/a", "/*", false),
            ("/*", "/**", false),
            ("/**/z", "/a/z", true),
            ("/**/z", "/a/**", false),
            ("/a/**/z", "/a/b/**/y/z", true),
        ] {
            assert_eq!(plain(wide).covers(&plain(narrow)), expected, "{wide} over {narrow}");
        }
    }
}

//! What every token is written in, read fast: strict JSON, and parts with dots between.
//!
//! This is a crate of its own so that these lines are built for speed in the module: most of what is there is built for
//! size, and half of what the check of a new token costs us was spent here.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

pub mod json;

/// What stands before and after the first dot; `None` where there is no dot.
pub fn cut_at_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, after) = text.split_at_checked(memchr::memchr(b'.', text)?)?;
    Some((before, after.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_dot_counts() {
        assert_eq!(cut_at_dot(b""), None);
        assert_eq!(cut_at_dot(b"abc"), None);
        assert_eq!(cut_at_dot(b"."), Some((&b""[..], &b""[..])));
        assert_eq!(cut_at_dot(b".."), Some((&b""[..], &b"."[..])));
        assert_eq!(cut_at_dot(b"abc.de.f"), Some((&b"abc"[..], &b"de.f"[..])));
    }
}

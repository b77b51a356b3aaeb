//! Which copy of a card a site sees. A copy belongs to the first site that it was shown to: that site sees it again,
//! another site a fresh one, so that no two sites can tell that they have met the same person. Never a silent reuse.

use serde::{Deserialize, Serialize};

/// A copy, as far as the choice goes.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct CopyState {
    /// Its name in the wallet.
    pub(crate) id: String,
    /// The origin that it belongs to; none yet for a fresh one.
    pub(crate) site: Option<String>,
    /// When it expires, in Unix seconds.
    pub(crate) expires: Option<i64>,
}

/// The choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pick {
    /// The copy that this site has seen before.
    Again,
    /// One that no site has seen.
    Fresh,
    /// Every copy belongs to another site. The one that is named is for a person who insists.
    UsedUp,
    /// All have expired.
    None,
}

/// Picks the copy that a site sees at a time.
pub(crate) fn pick<'a>(copies: &'a [CopyState], site: &str, now: i64) -> (Pick, Option<&'a CopyState>) {
    let living = || copies.iter().filter(|copy| copy.expires.is_none_or(|expires| expires > now));
    if let Some(copy) = living().find(|copy| copy.site.as_deref() == Some(site)) {
        return (Pick::Again, Some(copy));
    }
    if let Some(copy) = living().find(|copy| copy.site.is_none()) {
        return (Pick::Fresh, Some(copy));
    }
    match living().next() {
        Some(copy) => (Pick::UsedUp, Some(copy)),
        None => (Pick::None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(id: &str, site: Option<&str>, expires: Option<i64>) -> CopyState {
        CopyState { id: id.to_owned(), site: site.map(str::to_owned), expires }
    }

    #[test]
    fn a_copy_belongs_to_its_first_site() {
        let copies = [copy("a", Some("https://shop.example"), None), copy("b", None, None)];
        let of = |site| {
            let (pick, copy) = pick(&copies, site, 10);
            (pick, copy.map(|copy| copy.id.as_str()))
        };
        assert_eq!(of("https://shop.example"), (Pick::Again, Some("a")));
        assert_eq!(of("https://bar.example"), (Pick::Fresh, Some("b")));
        // the origin is compared whole
        assert_eq!(of("http://shop.example"), (Pick::Fresh, Some("b")));
    }

    #[test]
    fn a_used_copy_is_never_shown_silently_to_another_site() {
        let copies = [copy("a", Some("https://shop.example"), None), copy("b", None, Some(5))];
        assert_eq!(pick(&copies, "https://bar.example", 10).0, Pick::UsedUp);
        assert_eq!(pick(&[copy("b", None, Some(5))], "https://bar.example", 10), (Pick::None, None));
        assert_eq!(pick(&[], "https://bar.example", 10), (Pick::None, None));
    }
}

//! One request, as all that decide on it see it.

use carded_verifier::Documents;

use super::path::Path;
use super::reply::Refusal;
use super::request::Request;

/// A request, where it is for, and the documents that are known.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) request: &'a Request,
    /// Its path in normal form, with the query.
    pub(super) path: &'a Path<'a>,
    /// Its authority, in lower case.
    pub(super) authority: &'a str,
    /// Which of our own origins it is for, where that was asked and is one.
    pub(super) origin: Option<&'a str>,
    pub(super) known: &'a Documents,
}

impl<'a> At<'a> {
    /// Our own origin, of which addresses are built.
    ///
    /// # Errors
    /// 421: the request is for none of `origins` (threat 93).
    pub(super) fn origin(&self) -> Result<&'a str, Refusal> {
        self.origin.ok_or_else(Refusal::not_ours)
    }

    /// The query, empty where there is none.
    pub(super) fn query(&self) -> &'a [u8] {
        self.path.query().unwrap_or_default()
    }
}

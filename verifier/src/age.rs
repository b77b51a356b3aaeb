//! "At least so old", whichever way a credential says it.
use crate::dcql::{ClaimsQuery, Format};
use crate::time::Timestamp;
use serde_json::{Map, Value};

/// A lowest age, and which claims prove it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgePolicy {
    /// The age in years.
    pub at_least: u8,
    /// Higher ages whose claims do as well; lower ones are refused.
    pub higher: Vec<u8>,
    /// Whether a birth date may be asked for, last of all.
    pub birth_date: bool,
}

impl AgePolicy {
    /// The claims to ask for, and the sets of them that do, the least telling first: for [`CredentialQuery::claims`]
    /// and [`CredentialQuery::claim_sets`].
    ///
    /// [`CredentialQuery::claims`]: crate::dcql::CredentialQuery::claims
    /// [`CredentialQuery::claim_sets`]: crate::dcql::CredentialQuery::claim_sets
    pub fn claims(&self, format: &Format) -> (Vec<ClaimsQuery>, Vec<Vec<String>>) {
        let _ = format;
        (Vec::new(), Vec::new())
    }

    /// Whether the claims prove the age on the UTC day of `today`.
    pub fn satisfied(&self, format: &Format, claims: &Map<String, Value>, today: Timestamp) -> bool {
        let _ = (format, claims, today);
        false
    }
}

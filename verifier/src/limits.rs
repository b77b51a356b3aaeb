//! The bounds on everything that comes from outside, with defaults that serve most.
use crate::url::UrlPolicy;
use std::time::Duration;

/// How large and how old things may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The longest token, in bytes.
    pub token_bytes: usize,
    /// The longest presentation of a credential, in bytes.
    pub presentation_bytes: usize,
    /// How many disclosures a presentation may have.
    pub disclosures: usize,
    /// The largest document, in bytes.
    pub document_bytes: usize,
    /// The deepest nesting of JSON in a token or document.
    pub json_depth: usize,
    /// What URLs may be fetched.
    pub url_policy: UrlPolicy,
    /// How long a document is fresh.
    pub lifetime: LifetimeBounds,
    /// How long a status list is fresh: what its `ttl` says, else its reply. An expired one never serves.
    pub status_lifetime: LifetimeBounds,
    /// The largest status list once inflated, in bytes.
    pub status_list_bytes: usize,
    /// About how many bytes all status lists together may take. The oldest go first.
    pub status_memory: usize,
    /// How long an expired document serves while it cannot be fetched anew.
    pub stale: Duration,
    /// The shortest time between two fetches of one document: after a failure, and for a `kid` that is not known.
    pub cooldown: Duration,
    /// How many documents are kept. Those of tenants that no policy names go first.
    pub max_documents: usize,
}

/// How long a document is fresh: what its reply says, within bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LifetimeBounds {
    /// where the reply says nothing
    pub default: Duration,
    /// at least
    pub min: Duration,
    /// at most
    pub max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token_bytes: 16 * 1024,
            presentation_bytes: 64 * 1024,
            disclosures: 256,
            document_bytes: 256 * 1024,
            json_depth: 32,
            url_policy: UrlPolicy::default(),
            lifetime: LifetimeBounds::default(),
            status_lifetime: LifetimeBounds {
                default: Duration::from_secs(300),
                min: Duration::from_secs(5),
                max: Duration::from_secs(24 * 3600),
            },
            status_list_bytes: 8 * 1024 * 1024,
            status_memory: 64 * 1024 * 1024,
            stale: Duration::from_secs(3600),
            cooldown: Duration::from_secs(30),
            max_documents: 16 * 1024,
        }
    }
}

impl Default for LifetimeBounds {
    fn default() -> Self {
        Self { default: Duration::from_secs(600), min: Duration::from_secs(60), max: Duration::from_secs(24 * 3600) }
    }
}

impl Limits {
    /// Whether the bounds make sense together.
    ///
    /// # Errors
    /// What is out of order.
    pub fn check(&self) -> Result<(), &'static str> {
        let ordered = |bounds: LifetimeBounds| bounds.min <= bounds.default && bounds.default <= bounds.max;
        let second = Duration::from_secs(1);
        let checks = [
            (self.token_bytes > 0, "token_bytes is zero"),
            (self.presentation_bytes > 0, "presentation_bytes is zero"),
            (self.status_list_bytes > 0, "status_list_bytes is zero"),
            (self.status_memory >= self.status_list_bytes, "status_memory is below status_list_bytes"),
            (self.document_bytes > 0, "document_bytes is zero"),
            (self.json_depth > 0, "json_depth is zero"),
            (self.json_depth <= crate::json::DEEPEST, "json_depth is over 100"),
            (self.max_documents > 1, "max_documents is below 2"),
            (self.cooldown >= second, "cooldown is below a second"),
            (self.lifetime.min >= second, "lifetime.min is below a second"),
            (ordered(self.lifetime), "lifetime: min, default and max are out of order"),
            (self.status_lifetime.min >= second, "status_lifetime.min is below a second"),
            (ordered(self.status_lifetime), "status_lifetime: min, default and max are out of order"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, which)) => Err(which),
            None => Ok(()),
        }
    }
}

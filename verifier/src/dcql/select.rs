//! Which credentials answer a query, and with which claims (OpenID4VP 1.0 section 6.4).
use super::{
    Candidate, ClaimsQuery, CredentialQuery, Fitting, Format, Match, Meta, Query, SelectedSet, Selection,
    TrustedAuthority,
};
use crate::ordered::Ordered;
use serde_json::{Map, Value};

impl Query {
    /// Which of the credentials that are held answer it.
    pub fn select(&self, held: &[Candidate<'_>]) -> Selection {
        let credentials: Vec<Fitting> = self
            .credentials
            .iter()
            .map(|query| Fitting {
                id: query.id.clone(),
                candidates: held
                    .iter()
                    .enumerate()
                    .filter_map(|(n, candidate)| query.matches(candidate).map(|found| (n, found)))
                    .collect(),
            })
            .collect();
        let answered: Ordered<&str> = credentials
            .iter()
            .filter(|fitting| !fitting.candidates.is_empty())
            .map(|fitting| fitting.id.as_str())
            .collect();
        let credential_sets: Vec<SelectedSet> = self
            .credential_sets
            .iter()
            .map(|set| SelectedSet {
                required: set.required,
                options: set
                    .options
                    .iter()
                    .enumerate()
                    .filter(|(_, option)| option.iter().all(|id| answered.contains_key(id.as_str())))
                    .map(|(n, _)| n)
                    .collect(),
            })
            .collect();
        let satisfiable = if credential_sets.is_empty() {
            answered.len() == credentials.len()
        } else {
            credential_sets.iter().all(|set| !set.required || !set.options.is_empty())
        };
        Selection { credentials, credential_sets, satisfiable }
    }

    /// Whether answers to these credential queries (by `id`) are what was asked for: all of them, or at least one
    /// option of every set that is required, and nothing that no set names.
    pub fn is_answered_by(&self, ids: &Ordered<&str>) -> bool {
        if self.credential_sets.is_empty() {
            return ids.len() == self.credentials.len()
                && self.credentials.iter().all(|query| ids.contains_key(query.id.as_str()));
        }
        let whole = |option: &Vec<String>| option.iter().all(|id| ids.contains_key(id.as_str()));
        let required = self.credential_sets.iter().all(|set| !set.required || set.options.iter().any(whole));
        let named: Ordered<&str> =
            self.credential_sets.iter().flat_map(|set| set.options.iter().flatten()).map(String::as_str).collect();
        required && ids.keys().all(|id| named.contains_key(id))
    }
}

impl CredentialQuery {
    /// Whether a credential answers it, and with which claims: by the first of `claim_sets` that it can answer whole.
    pub fn matches(&self, candidate: &Candidate<'_>) -> Option<Match> {
        let fits = self.format == candidate.format
            && !matches!(self.format, Format::Other(_))
            && self.meta.admits(candidate.types)
            && (candidate.holder_binding || !self.require_cryptographic_holder_binding)
            && self.trusts(candidate.authority_key_ids);
        if !fits {
            return None;
        }
        let paths = if self.claim_sets.is_empty() {
            paths(&self.claims.iter().collect::<Vec<_>>(), candidate.claims)?
        } else {
            self.claim_sets.iter().find_map(|set| paths(&self.named(set)?, candidate.claims))?
        };
        Some(Match { paths })
    }

    /// The claims queries of a claim set. `None` where one is missing, which parsing rules out.
    fn named(&self, set: &[String]) -> Option<Vec<&ClaimsQuery>> {
        set.iter().map(|id| self.claims.iter().find(|claim| claim.id.as_deref() == Some(id))).collect()
    }

    fn trusts(&self, authority_key_ids: &[Vec<u8>]) -> bool {
        self.trusted_authorities.is_empty()
            || self.trusted_authorities.iter().any(|TrustedAuthority::AuthorityKeyId(values)| {
                values.iter().any(|value| authority_key_ids.contains(value))
            })
    }
}

/// Where all of the claims are, each path once. `None` where one is missing.
fn paths(queries: &[&ClaimsQuery], claims: &Map<String, Value>) -> Option<Vec<Vec<super::ConcretePathElement>>> {
    let mut paths = Vec::new();
    let mut seen = Ordered::new();
    for query in queries {
        for (path, _) in query.find(claims)? {
            if seen.insert(path.clone(), ()).is_none() {
                paths.push(path);
            }
        }
    }
    Some(paths)
}

impl Meta {
    /// Whether a credential of these types is one that was asked for.
    pub(crate) fn admits(&self, types: &[String]) -> bool {
        let has = |wanted: &str| types.iter().any(|one| plain_type(one) == plain_type(wanted));
        (self.vct_values.is_empty() || types.iter().any(|one| self.vct_values.contains(one)))
            && (self.type_values.is_empty()
                || self.type_values.iter().any(|alternative| alternative.iter().all(|wanted| has(wanted))))
    }
}

/// The one type of which both forms are known without processing JSON-LD: every credential has it (appendix B.1.1 asks
/// for expanded types; VCDM 2.0 section 4.5).
fn plain_type(name: &str) -> &str {
    match name {
        "https://www.w3.org/2018/credentials#VerifiableCredential" => "VerifiableCredential",
        other => other,
    }
}

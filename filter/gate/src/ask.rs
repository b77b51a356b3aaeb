//! What is asked of a wallet where a rule's requirement is not met yet: which sets of credentials would meet it, and the
//! DCQL query that asks for one of them (OpenID4VP 1.0 §6).

use carded_verifier::Trust;
use carded_verifier::dcql::{CredentialQuery, CredentialSetQuery, Query};

use super::credential::Credential;
use super::facts::Facts;
use super::requirement::Requirement;

/// Sets of credentials (by their place in the configuration, in order), each of which would be enough.
pub(super) type Options = Vec<Vec<usize>>;

/// The most sets that are looked at; a requirement with more is answered by the first.
const MAX_OPTIONS: usize = 32;

/// The sets of credentials that would meet what is required, together with what is known already. None where no credential
/// could: a token is missing.
pub(super) fn options(requirement: &Requirement, facts: &Facts<'_>) -> Options {
    let mut options = sets(requirement, facts);
    options.retain(|set| !set.is_empty());
    // a set that holds another asks for more than is needed
    let all = options.clone();
    options.retain(|set| !all.iter().any(|other| other != set && other.iter().all(|one| set.contains(one))));
    options.dedup();
    options
}

fn sets(requirement: &Requirement, facts: &Facts<'_>) -> Options {
    match requirement {
        met if met.is_met(facts) => vec![Vec::new()],
        Requirement::Token(_)
        | Requirement::TokenFor(..)
        | Requirement::Tokens(_)
        | Requirement::Certificate(_)
        | Requirement::Login(_) => Vec::new(),
        Requirement::Credential(index) => vec![vec![*index]],
        Requirement::Any(members) => members.iter().flat_map(|member| sets(member, facts)).take(MAX_OPTIONS).collect(),
        Requirement::All(members) => members.iter().fold(vec![Vec::new()], |so_far, member| {
            let more = sets(member, facts);
            let joined = so_far.iter().flat_map(|a| more.iter().map(move |b| union(a, b)));
            joined.take(MAX_OPTIONS).collect()
        }),
    }
}

/// What is in one of them or in both, in order.
fn union(one: &[usize], other: &[usize]) -> Vec<usize> {
    let mut both = one.to_vec();
    for index in other {
        if let Err(at) = both.binary_search(index) {
            both.insert(at, *index);
        }
    }
    both
}

/// The query that asks for one of the sets. Every way of a credential is one credential query.
pub(super) fn query(options: &Options, credentials: &[Credential], trust: &Trust) -> Query {
    let wanted = options.iter().fold(Vec::new(), |wanted, option| union(&wanted, option));
    let asked = |index: &usize| credentials.get(*index);
    let queries: Vec<CredentialQuery> = wanted
        .iter()
        .filter_map(asked)
        .flat_map(|credential| &credential.ways)
        .filter_map(|way| trust.credential(*way).map(|policy| policy.query.clone()))
        .collect();
    let mut sets: Vec<Vec<String>> = Vec::new();
    for option in options {
        let mut so_far: Vec<Vec<String>> = vec![Vec::new()];
        for credential in option.iter().filter_map(asked) {
            let ids: Vec<&String> = credential
                .ways
                .iter()
                .filter_map(|way| trust.credential(*way).map(|policy| &policy.query.id))
                .collect();
            so_far = so_far
                .iter()
                .flat_map(|set| {
                    ids.iter().map(move |id| set.iter().cloned().chain([(*id).clone()]).collect::<Vec<_>>())
                })
                .take(MAX_OPTIONS)
                .collect();
        }
        sets.extend(so_far);
    }
    sets.truncate(MAX_OPTIONS);
    // one set that has every query needs no saying
    let plain = sets.len() == 1 && sets.first().is_some_and(|set| set.len() == queries.len());
    let credential_sets = if plain { Vec::new() } else { vec![CredentialSetQuery { options: sets, required: true }] };
    Query { credentials: queries, credential_sets }
}

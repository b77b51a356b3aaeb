//! What is known about the caller of one request, and the names by which rules, policies and headers speak of it.
//!
//! A claim is named with the evidence it comes from (`corp.sub`). Who someone is, is the issuer together with the claim
//! (threat 53): a bare name is legal only where exactly one issuer and one tenant can supply it.

use std::borrow::Cow;

use carded_verifier::{ClaimPath, IssuerIndex, Trust, Verified};
use serde_json::Value;

use super::config::Name;

/// The evidence of one request that holds, by issuer.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    verified: Vec<&'a Verified>,
}

impl<'a> Facts<'a> {
    /// Adds what a token proved. Two tokens of one issuer must speak of the same subject; the first then counts.
    ///
    /// # Errors
    /// Where they speak of different ones.
    pub(super) fn add(&mut self, verified: &'a Verified) -> Result<(), Ambiguous> {
        match self.of(verified.issuer_index()) {
            None => {
                self.verified.push(verified);
                Ok(())
            }
            Some(first) if first.iss() == verified.iss() && first.subject() == verified.subject() => Ok(()),
            Some(_) => Err(Ambiguous),
        }
    }

    /// What the named issuer vouched for.
    pub(super) fn of(&self, issuer: IssuerIndex) -> Option<&'a Verified> {
        self.verified.iter().copied().find(|verified| verified.issuer_index() == issuer)
    }

    /// All of it.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Verified> + '_ {
        self.verified.iter().copied()
    }
}

/// Two tokens of one issuer speak of different subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// A claim with the evidence it comes from, resolved at configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimRef {
    pub(super) issuer: IssuerIndex,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Claim(ClaimPath),
    /// The tenant that the issuer's pattern matched.
    Tenant,
}

impl ClaimRef {
    /// Resolves a name: qualified with an issuer, or bare where only one can supply it.
    ///
    /// # Errors
    /// What to write instead.
    pub(super) fn resolve(name: &Name, trust: &Trust) -> Result<Self, String> {
        let (issuer, rest) = match name.0.split_first() {
            Some((first, rest)) if trust.index_of(first).is_some() => {
                (trust.index_of(first).ok_or_else(String::new)?, rest.to_vec())
            }
            _ => (only_issuer(trust).map_err(|why| format!("`{name}`: {why}"))?, name.0.clone()),
        };
        if rest.is_empty() {
            return Err(format!("`{name}` names an issuer, not a claim: write `{name}.sub` or the like"));
        }
        let is_pattern = trust.issuer(issuer).is_some_and(|issuer| issuer.issuer.is_pattern());
        if is_pattern && rest == ["tenant"] {
            return Ok(Self { issuer, source: Source::Tenant });
        }
        let path = ClaimPath::from_names(rest).map_err(|error| format!("`{name}`: {error}"))?;
        Ok(Self { issuer, source: Source::Claim(path) })
    }

    /// Whether this is the tenant of a multi-tenant issuer.
    pub(super) fn is_tenant(&self) -> bool {
        matches!(self.source, Source::Tenant)
    }

    /// The claim's value, where the evidence is there and has it.
    pub(super) fn value<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, Value>> {
        let verified = facts.of(self.issuer)?;
        match &self.source {
            Source::Claim(path) => verified.claim(path).map(Cow::Borrowed),
            Source::Tenant => verified.tenant().map(|tenant| Cow::Owned(Value::from(tenant))),
        }
    }

    /// Whether the claim is a text or a whole number equal to this text.
    pub(super) fn equals(&self, facts: &Facts<'_>, text: &str) -> bool {
        match self.value(facts).as_deref() {
            Some(Value::String(value)) => value == text,
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string() == text,
            _ => false,
        }
    }
}

/// The one issuer that a bare name can mean.
pub(super) fn only_issuer(trust: &Trust) -> Result<IssuerIndex, String> {
    let mut issuers = trust.issuers();
    match (issuers.next(), issuers.next()) {
        (Some((index, issuer)), None) if !issuer.issuer.is_pattern() => Ok(index),
        (Some(_), None) => {
            Err("a bare name is ambiguous with a multi-tenant issuer: name the issuer before it".to_owned())
        }
        (None, _) => Err("there is no issuer that could supply it".to_owned()),
        _ => Err("a bare name is ambiguous with several issuers: name the issuer before it".to_owned()),
    }
}

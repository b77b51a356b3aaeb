//! The evidence that a request brings itself: the tokens in the places that its rule reads, and the client certificate. Each
//! token is found among the verdicts or verified, asked for revocation and, where it is bound, for its holder's proof.

use std::rc::Rc;
use std::sync::Arc;

use carded_verifier::dpop::VerifiedDpop;
use carded_verifier::{Basis, Condensed, Denied, Documents, Evidence, Outcome, Verified, verify};

use super::Gate;
use super::api_token;
use super::at::At;
use super::cache::Key;
use super::certificate::Certificate;
use super::decide::{Around, Decision, Halt};
use super::exchange;
use super::place::{Place, PlaceKind};
use super::possession::{self, Use};
use super::reply::Refusal;
use super::request::Request;
use super::rule::{Asks, Rule};
use super::slow::{Tried, not_slowed};
use super::trace::{Event, Trace};
use super::xfcc;

/// The most tokens that one request may present.
const MAX_TOKENS: usize = 8;

/// A token that holds, and where it stood.
pub(super) struct Held<'g> {
    pub(super) place: &'g Place,
    pub(super) verified: Rc<Condensed>,
    /// Under which it is remembered.
    pub(super) key: Option<Key>,
    /// That its holder has the key that it is bound to.
    pub(super) proof: Option<VerifiedDpop>,
}

impl Gate {
    /// All tokens in the places that the rule reads. All that are presented must hold (threat 76).
    pub(super) fn evidence<'g>(
        &'g self,
        rule: &'g Rule,
        at: At<'_>,
        around: &mut Around<'_>,
        trace: &mut impl Trace,
        decision: &mut Decision,
    ) -> Result<Vec<Held<'g>>, Halt> {
        // with room from the start: to grow takes a few calls more than to begin
        let mut held = Vec::with_capacity(rule.places.len().min(MAX_TOKENS));
        let mut tokens = Vec::with_capacity(rule.places.len().min(1));
        for place in &rule.places {
            tokens.clear();
            place.kind.tokens(at.request, at.path.query(), &mut tokens);
            for token in &tokens {
                if rule.reads_credentials && possession::is_sealed(&place.kind, token) {
                    continue;
                }
                if held.len() >= MAX_TOKENS {
                    return Err(Refusal::request_malformed(format!("more than {MAX_TOKENS} tokens")).into());
                }
                trace.tell(|| Event::Found(place.kind.describe()));
                let (verified, key) = if self.exchange.is_some() && exchange::sealed_in(token).is_some() {
                    self.exchanged(token, place, at, around, trace, &mut decision.verified)?
                } else {
                    self.verdict(token, place, at.known, around, trace, &mut decision.verified)?
                };
                let by_scheme = possession::is_scheme(&place.kind);
                let target = at.path.as_str();
                let by = Use { request: at.request, target, authority: at.authority, by_scheme, token: Some(token) };
                let proof = self.possession(&verified, by, around)?;
                held.push(Held { place, verified, key, proof });
            }
        }
        Ok(held)
    }

    /// The verdict on a token, remembered or new, and the key under which it is remembered. `checked` counts new ones.
    pub(super) fn verdict(
        &self,
        token: &[u8],
        place: &Place,
        known: &Documents,
        around: &mut Around<'_>,
        trace: &mut impl Trace,
        checked: &mut u32,
    ) -> Result<(Rc<Condensed>, Option<Key>), Halt> {
        let now = around.now;
        let password;
        let token = match place.kind {
            PlaceKind::Basic => {
                password = api_token::password(token).unwrap_or_default();
                password.as_slice()
            }
            _ => token,
        };
        // The size limit stands before everything, also before the hash.
        let key = if token.len() <= self.limits.token_bytes { around.verdicts.key_of_token(token, None) } else { None };
        let found = key.and_then(|key| around.verdicts.token(&key, token, None, place, &self.trust, known, now));
        if let Some(verified) = found {
            self.not_revoked(verified.marks(), known, now)?;
            return Ok((verified, key));
        }
        not_slowed(Tried::Tokens, around)?;
        *checked = checked.saturating_add(1);
        self.judge(token, key, place, known, around, trace).map(|verified| (verified, key))
    }

    /// Verifies a token, and remembers the verdict where it holds.
    pub(super) fn judge(
        &self,
        token: &[u8],
        key: Option<Key>,
        place: &Place,
        known: &Documents,
        around: &mut Around<'_>,
        trace: &mut impl Trace,
    ) -> Result<Rc<Condensed>, Halt> {
        let now = around.now;
        if self.is_api_token(token, place) {
            return match self.api_token(token, place, known, now) {
                Outcome::Verified((condensed, basis)) => self.remember(condensed, basis, key, known, around),
                Outcome::Denied(denied) => Err(denied_token(&denied, around, trace)),
                Outcome::Need(fetch) => Err(Halt::Need(fetch)),
            };
        }
        if let Some(issuer) = self.asked_about(token, &place.issuers) {
            let denied = self.introspect(token, key, issuer, known, around)?;
            return Err(denied_token(&denied, around, trace));
        }
        let evidence = Evidence::access_token(token).holder_proves().accepted_issuers(&place.issuers);
        let verified = self.checked(&evidence, known, around, trace)?;
        let none = Arc::default();
        let asked = self.asked_claims(verified.issuer_index()).unwrap_or(&none);
        let (condensed, basis) = verified.condensed(&self.trust, asked);
        self.remember(condensed, basis, key, known, around)
    }

    /// Verifies an issuer's token; a failure counts against who brought it.
    pub(super) fn checked(
        &self,
        evidence: &Evidence<'_>,
        known: &Documents,
        around: &mut Around<'_>,
        trace: &mut impl Trace,
    ) -> Result<Verified, Halt> {
        match verify(evidence, &self.trust, known, around.now) {
            Outcome::Verified(verified) => {
                trace.tell(|| Event::Verified(&verified));
                Ok(verified)
            }
            Outcome::Denied(denied) => Err(denied_token(&denied, around, trace)),
            Outcome::Need(fetch) => Err(Halt::Need(fetch)),
        }
    }

    fn remember(
        &self,
        condensed: Condensed,
        basis: Basis,
        key: Option<Key>,
        known: &Documents,
        around: &mut Around<'_>,
    ) -> Result<Rc<Condensed>, Halt> {
        let condensed = Rc::new(condensed);
        if let Some(key) = key {
            around.verdicts.put_token(key, &condensed, basis, around.now);
        }
        self.not_revoked(condensed.marks(), known, around.now)?;
        Ok(condensed)
    }
}

/// A token that does not hold: it counts against who brought it.
fn denied_token(denied: &Denied, around: &mut Around<'_>, trace: &mut impl Trace) -> Halt {
    trace.tell(|| Event::Denied(denied));
    around.budget.failures.note(Tried::Tokens, denied, around.connection, around.now);
    Refusal::from_denied(denied).into()
}

impl Rule {
    /// The caller's certificate, where the rule names it. One that it does not name is no evidence.
    /// With the request that says all its names, where these are read.
    #[inline]
    pub(super) fn certificate(
        &self,
        around: &mut Around<'_>,
        forwarded: Option<&Request>,
    ) -> Result<Option<Certificate>, Refusal> {
        if self.reads_certificate { self.named_certificate(around, forwarded) } else { Ok(None) }
    }

    fn named_certificate(
        &self,
        around: &mut Around<'_>,
        forwarded: Option<&Request>,
    ) -> Result<Option<Certificate>, Refusal> {
        let (Asks::Require(requirement) | Asks::Optional(requirement)) = &self.asks else { return Ok(None) };
        let Some(mut certificate) = Certificate::of(around.connection) else { return Ok(None) };
        if let Some(request) = forwarded {
            xfcc::add_names(&mut certificate, request)?;
        }
        Ok(Some(certificate).filter(|certificate| requirement.names_certificate(Some(certificate))))
    }
}

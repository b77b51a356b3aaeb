//! Proof of possession: that whoever brings a token holds what it is bound to, a key (DPoP, RFC 9449 §4.3 and §7) or a
//! client certificate (RFC 8705 §3). Proven on each request, also where the verdict on the token is remembered.
//!
//! A bound token is never taken without its proof, whatever the configuration says: who has stolen it must not profit from a
//! rule that asks for less.

use std::time::Duration;

use carded_verifier::Condensed;
use carded_verifier::dpop::{self, DpopRequest, VerifiedDpop};

use super::Gate;
use super::certificate::Certificate;
use super::config::BindingConfig;
use super::decide::{Around, Halt};
use super::once::{NotSpent, spend};
use super::place::PlaceKind;
use super::reply::Refusal;
use super::request::Request;
use super::seal::{Binding, Purpose};
use super::slow::{Tried, not_slowed};

/// What stands before a token that is bound to a key (RFC 9449 §7.1).
pub(super) const SCHEME: &str = "DPoP ";

/// How long a nonce for proofs is good.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// The longest nonce that is opened.
const LONGEST_NONCE: usize = 256;

/// Whether what stands there is a token of ours for programs, which is sealed and has no dot, and no issuer's.
#[inline]
pub(super) fn is_sealed(place: &PlaceKind, token: &[u8]) -> bool {
    is_scheme(place) && !token.contains(&b'.')
}

/// Whether tokens that are bound to a key are read there.
#[inline]
pub(super) fn is_scheme(place: &PlaceKind) -> bool {
    matches!(place, PlaceKind::Header { prefix, .. } if prefix == SCHEME)
}

/// Where and how a token was brought.
#[derive(Clone, Copy)]
pub(super) struct Use<'a> {
    pub(super) request: &'a Request,
    /// The normal path.
    pub(super) target: &'a str,
    /// The authority in lower case.
    pub(super) authority: &'a str,
    /// Whether it was brought as one that is bound to a key.
    pub(super) by_scheme: bool,
    /// As it stood there, where the proof has to name it.
    pub(super) token: Option<&'a [u8]>,
}

impl Gate {
    /// Whether the token's holder proves what it is bound to. The proof of a key, which works once, comes back: it is used
    /// up when no document is needed any more.
    #[inline]
    pub(super) fn possession(
        &self,
        verified: &Condensed,
        by: Use<'_>,
        around: &mut Around<'_>,
    ) -> Result<Option<VerifiedDpop>, Halt> {
        let binding = self.issuers.get(verified.issuer_index().as_usize()).map_or(BindingConfig::None, |it| it.binding);
        let bound = verified.confirmation();
        if bound.is_none() && binding == BindingConfig::None {
            return Ok(None);
        }
        self.proven(verified, binding, by, around)
    }

    /// The same for a token that is bound, or has to be.
    fn proven(
        &self,
        verified: &Condensed,
        binding: BindingConfig,
        by: Use<'_>,
        around: &mut Around<'_>,
    ) -> Result<Option<VerifiedDpop>, Halt> {
        let bound = verified.confirmation();
        let (key, certificate) = bound.map_or((None, None), |bound| (bound.key(), bound.certificate()));
        let by_scheme = by.by_scheme;
        let unbound = match binding {
            BindingConfig::None => {
                let why =
                    "it is bound to its holder (`cnf`), and no proof is asked for here: set the issuer's `binding`";
                return Err(Refusal::token_bound(why).into());
            }
            BindingConfig::IfPresent => false,
            BindingConfig::Dpop => key.is_none(),
            BindingConfig::Certificate => certificate.is_none(),
            BindingConfig::Any => bound.is_none(),
        };
        if unbound || by_scheme && key.is_none() {
            let why = if by_scheme || binding == BindingConfig::Dpop { "to a key (`cnf.jkt`)" } else { "(`cnf`)" };
            return Err(Refusal::token_unbound(format!("this token is not bound to its holder {why}")).into());
        }
        if let Some(thumbprint) = certificate {
            let ours = Certificate::of(around.connection).map(|certificate| certificate.thumbprint());
            if ours.as_deref() != Some(thumbprint) {
                let why = "it is bound to a client certificate that this connection was not made with";
                return Err(Refusal::token_bound(why).into());
            }
        }
        let Some(thumbprint) = key else { return Ok(None) };
        if !by_scheme {
            let why = "it is bound to a key: bring it with the scheme DPoP and a proof (RFC 9449 section 7.1)";
            return Err(Refusal::token_bound(why).into());
        }
        let origin = self.origins.of(by.request, by.authority).ok_or_else(Refusal::not_ours)?;
        let proof = self.proof_of_key(by.request, by.target, origin, by.token, thumbprint, around)?;
        if self.issuers.get(verified.issuer_index().as_usize()).is_some_and(|it| it.dpop_nonce) {
            self.nonce_is_ours(&proof, origin, around)?;
        }
        Ok(Some(proof))
    }

    /// Whether a proof was made for a nonce that was given out here a moment ago (RFC 9449 §9). Nothing is kept of it: what is
    /// sealed says itself when and where that was.
    fn nonce_is_ours(&self, proof: &VerifiedDpop, origin: &str, around: &mut Around<'_>) -> Result<(), Refusal> {
        let binding = Binding { purpose: Purpose::Nonce, origin, to: b"" };
        let sealer = self.sessions.as_ref().map(|sessions| &sessions.sealer);
        let ours = proof.nonce().zip(sealer).is_some_and(|(nonce, sealer)| {
            sealer.open_long::<String>(binding, nonce.as_bytes(), around.now, NONCE_LIFETIME, LONGEST_NONCE).is_some()
        });
        if ours {
            return Ok(());
        }
        let mut refusal = Refusal::use_dpop_nonce("make a proof with the nonce in the header DPoP-Nonce");
        refusal.nonce =
            sealer.and_then(|sealer| sealer.seal(binding, &"", around.now, around.random)).map(String::into_boxed_str);
        Err(refusal)
    }

    /// The proof of a key in the header `dpop`, for this request and this token. One that does not hold counts against whoever
    /// tries this token from there.
    pub(super) fn proof_of_key(
        &self,
        request: &Request,
        target: &str,
        origin: &str,
        token: Option<&[u8]>,
        thumbprint: &str,
        around: &mut Around<'_>,
    ) -> Result<VerifiedDpop, Refusal> {
        let proof = match request.single("dpop") {
            Ok(Some(proof)) => proof,
            Ok(None) => {
                return Err(Refusal::dpop_proof_invalid(
                    "the header `dpop` is missing: prove the holder's key with each use",
                ));
            }
            Err(_) => return Err(Refusal::dpop_proof_invalid("there is more than one `dpop`")),
        };
        not_slowed(Tried::Of(thumbprint), around)?;
        let method = request.single(":method").ok().flatten().unwrap_or_default();
        let method = std::str::from_utf8(method).unwrap_or_default();
        let uri = format!("{origin}{target}");
        let asked = DpopRequest { method, uri: &uri, access_token: token, thumbprint: Some(thumbprint) };
        dpop::verify(proof, &asked, self.trust.provider(), self.limits(), around.now).map_err(|why| {
            around.budget.failures.count(Tried::Of(thumbprint), around.connection, around.now);
            Refusal::dpop_proof_invalid(why.to_string())
        })
    }
}

/// Uses a proof up. Last, when no document is needed any more: a decision that starts again must not find its own proof
/// used.
pub(super) fn spend_proof(proof: &VerifiedDpop, around: &mut Around<'_>) -> Result<(), Refusal> {
    spend(around.once, "dpop", proof.identity(), proof.until(), around.now).map_err(|why| match why {
        NotSpent::Again => Refusal::dpop_proof_invalid("this proof was used before: make a new one for each request"),
        NotSpent::Full => {
            Refusal::too_many_presentations("too many proofs at once: try again").retry_after(Duration::from_secs(5))
        }
    })
}

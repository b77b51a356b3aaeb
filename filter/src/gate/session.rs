//! Sessions and tokens for programs: proofs that were shown, carried sealed by those who showed them, so that no state is
//! kept and any Envoy with the same key can read them. A session satisfies `{ credential: X }` and never `{ token: X }`.
//!
//! A damaged or ended cookie is none (threats 66 and 76). A method that changes something, and a WebSocket handshake, count
//! only where they come from our own pages (threat 86).

use std::time::Duration;

use carded_verifier::dpop::{self, DpopRequest, VerifiedDpop};
use carded_verifier::{Documents, Fetch, Outcome, Timestamp, verify_status};
use serde::{Deserialize, Serialize};

use super::cookie;
use super::decide::Halt;
use super::once::{NotSpent, Once};
use super::proof::{Proof, Shown};
use super::reply::Refusal;
use super::request::Request;
use super::seal::{Binding, Purpose, Random, Sealer};
use super::{Gate, place};

/// How long sessions and tokens last, and what seals them.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) sealer: Sealer,
    pub(super) lifetime: Duration,
    pub(super) token_lifetime: Duration,
}

/// What a session's cookie holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Session {
    #[serde(rename = "p")]
    pub(super) proofs: Vec<Proof>,
}

/// What a token for programs holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    #[serde(rename = "p")]
    pub(super) proofs: Vec<Proof>,
    /// The thumbprint of the holder's key (RFC 7638), which each use must prove.
    #[serde(rename = "k")]
    pub(super) thumbprint: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "e")]
    pub(super) ends: i64,
}

/// What a request brings that was shown before.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub(super) shown: Vec<Shown>,
    /// Whether it came by the session's cookie, which a browser sends unasked.
    pub(super) by_cookie: bool,
    /// Whether it came by a token for programs.
    pub(super) by_token: bool,
    /// Why something that was brought no longer holds.
    pub(super) lapsed: Option<Refusal>,
}

/// The most proofs in one session.
const MAX_PROOFS: usize = 8;

impl Session {
    /// Adds proofs; a newer one of the same credential takes the place of the older.
    pub(super) fn add(&mut self, proofs: Vec<Proof>, now: Timestamp) {
        self.proofs.retain(|old| !old.has_ended(now) && proofs.iter().all(|new| new.name != old.name));
        self.proofs.extend(proofs);
        let surplus = self.proofs.len().saturating_sub(MAX_PROOFS);
        self.proofs.drain(..surplus);
    }

    /// When the last of its proofs ends.
    fn ends(&self) -> i64 {
        self.proofs.iter().map(|proof| proof.ends).max().unwrap_or(0)
    }
}

impl Sessions {
    /// The session that a request brings, whatever is in it; an empty one where there is none that opens.
    pub(super) fn read(&self, request: &Request, origin: &str, now: Timestamp) -> Session {
        let binding = Binding { purpose: Purpose::Session, origin, to: b"" };
        let opened = cookie::values(request, cookie::SESSION)
            .take(4)
            .find_map(|value| self.sealer.open::<Session>(binding, value, now, self.lifetime));
        opened.unwrap_or_default()
    }

    /// `set-cookie` for a session; nothing where it would outgrow what browsers carry (threat 70).
    pub(super) fn cookie(&self, session: &Session, origin: &str, now: Timestamp, random: Random<'_>) -> Option<String> {
        let binding = Binding { purpose: Purpose::Session, origin, to: b"" };
        let sealed = self.sealer.seal(binding, session, now, random)?;
        let left = Timestamp::from_unix(session.ends()).saturating_since(now).min(self.lifetime);
        let cookie = cookie::set(cookie::SESSION, &sealed, left);
        (cookie.len() <= super::seal::LONGEST).then_some(cookie)
    }
}

impl Gate {
    /// The proofs that a request brings and that hold now: by the session's cookie, or by a token that is bound to the
    /// holder's key.
    pub(super) fn brought(
        &self,
        request: &Request,
        target: &str,
        origin: Option<&str>,
        known: &Documents,
        once: &mut dyn Once,
        now: Timestamp,
    ) -> Result<Brought, Halt> {
        let (Some(sessions), Some(origin)) = (&self.sessions, origin) else { return Ok(Brought::default()) };
        let mut brought = Brought::default();
        let mut use_ = None;
        let proofs = match dpop_token(request)? {
            Some(token) => {
                brought.by_token = true;
                let (proofs, dpop) = self.token_proofs(sessions, token, request, target, origin, now)?;
                use_ = Some(dpop);
                proofs
            }
            None => {
                let session = sessions.read(request, origin, now);
                brought.by_cookie = !session.proofs.is_empty();
                session.proofs
            }
        };
        for proof in proofs {
            match self.still_holds(proof, known, now) {
                Ok(Some(shown)) => brought.shown.push(shown),
                Ok(None) => {}
                Err(Lapse::Need(fetch)) => return Err(Halt::Need(fetch)),
                Err(Lapse::Refused(refusal)) => brought.lapsed = Some(refusal),
            }
        }
        // Last, when no document is needed any more: a decision that starts again must not find its own proof used.
        if let Some(dpop) = use_ {
            super::once::spend(once, "dpop", dpop.identity(), dpop.until(), now).map_err(|why| match why {
                NotSpent::Again => {
                    Refusal::dpop_proof_invalid("this proof was used before: make a new one for each request")
                }
                NotSpent::Full => Refusal::too_many_presentations("too many proofs at once: try again")
                    .retry_after(Duration::from_secs(5)),
            })?;
        }
        if brought.by_cookie && !brought.shown.is_empty() && !is_from_our_pages(self, request, origin) {
            return Err(
                Refusal::cross_site("this request changes something and does not come from our own pages").into()
            );
        }
        Ok(brought)
    }

    /// A proof that was shown before and holds now. None where it ended, or is of a way that is no longer there.
    fn still_holds(&self, proof: Proof, known: &Documents, now: Timestamp) -> Result<Option<Shown>, Lapse> {
        let credential = self.credentials.iter().position(|credential| credential.name == proof.name);
        let way = self.trust.credential_of(&proof.way);
        let (Some(credential), Some(way)) = (credential, way) else { return Ok(None) };
        let belongs = self.credentials.get(credential).is_some_and(|credential| credential.ways.contains(&way));
        if !belongs || proof.has_ended(now) {
            return Ok(None);
        }
        if let Some(status) = &proof.status {
            match verify_status(status, &proof.issuer, way, &self.trust, known, now) {
                Outcome::Verified(_) => {}
                Outcome::Need(fetch) => return Err(Lapse::Need(fetch)),
                Outcome::Denied(denied) => return Err(Lapse::Refused(Refusal::from_denied(&denied))),
            }
        }
        Ok(Some(Shown { credential, proof }))
    }

    /// The proofs in a token for programs, each use of which proves the holder's key (RFC 9449 §4.3 and §7.1).
    fn token_proofs(
        &self,
        sessions: &Sessions,
        token: &[u8],
        request: &Request,
        target: &str,
        origin: &str,
        now: Timestamp,
    ) -> Result<(Vec<Proof>, VerifiedDpop), Halt> {
        let binding = Binding { purpose: Purpose::Token, origin, to: b"" };
        let opened: Option<Token> = sessions.sealer.open(binding, token, now, sessions.token_lifetime);
        let Some(token_content) = opened.filter(|token| Timestamp::from_unix(token.ends) > now) else {
            return Err(
                Refusal::access_token_invalid("the token has ended or is not ours: show the credential again").into()
            );
        };
        let proof = match request.single("dpop") {
            Ok(Some(proof)) => proof,
            Ok(None) => {
                return Err(Refusal::dpop_proof_invalid(
                    "the header `dpop` is missing: prove the holder's key with each use",
                )
                .into());
            }
            Err(_) => return Err(Refusal::dpop_proof_invalid("there is more than one `dpop`").into()),
        };
        let method = request.single(":method").ok().flatten().unwrap_or_default();
        let method = std::str::from_utf8(method).unwrap_or_default();
        let uri = format!("{origin}{target}");
        let asked =
            DpopRequest { method, uri: &uri, access_token: Some(token), thumbprint: Some(&token_content.thumbprint) };
        let verified = dpop::verify(proof, &asked, self.trust.provider(), self.limits(), now)
            .map_err(|why| Refusal::dpop_proof_invalid(why.to_string()))?;
        Ok((token_content.proofs, verified))
    }
}

/// Why a proof does not hold now.
enum Lapse {
    Need(Fetch),
    Refused(Refusal),
}

/// The token of `Authorization: DPoP`, there once.
pub(super) fn dpop_token(request: &Request) -> Result<Option<&[u8]>, Refusal> {
    let mut tokens = request.values("authorization").filter_map(|value| place::strip_prefix(value, "DPoP "));
    match (tokens.next(), tokens.next()) {
        (_, Some(_)) => Err(Refusal::request_malformed("there is more than one token of the scheme DPoP")),
        (first, None) => Ok(first),
    }
}

/// Whether a request that a session carries may act: it only reads, or it comes from our own pages.
fn is_from_our_pages(gate: &Gate, request: &Request, origin: &str) -> bool {
    let method = request.single(":method").ok().flatten().unwrap_or_default();
    let reads = matches!(method, b"GET" | b"HEAD" | b"OPTIONS");
    if reads && !request.has("upgrade") {
        return true;
    }
    match (request.single("origin"), request.single("sec-fetch-site")) {
        (Ok(Some(from)), _) => gate.origins.same(from, origin),
        (Ok(None), Ok(Some(site))) => site == b"same-origin",
        _ => false,
    }
}

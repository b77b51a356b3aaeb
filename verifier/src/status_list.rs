//! Whether a credential has been taken back: Token Status List in JWT form (draft-ietf-oauth-status-list-21 sections 4,
//! 5.1, 6.2 and 8.3).
//!
//! A list is a document of its own, with its own signer. It is inflated only after its signature holds, under a cap, and
//! read from its packed bits. That costs, so what came of it is remembered with the list; it is a pure function of the
//! list and the key.
#[cfg(feature = "sign")]
mod encode;

#[cfg(feature = "sign")]
pub use encode::{EncodeError, StatusListClaims, encode_status_list};

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::checks::{Steps, Stop, deny, time, unavailable};
use crate::credential::{CompiledCredential, CredentialIndex, StatusRule, StatusUnavailable};
use crate::documents::{Documents, Found};
use crate::fetch::{DocumentKind, Fetch};
use crate::jwk::PublicKey;
use crate::jwt::{self, Token, bare_type};
use crate::limits::Limits;
use crate::outcome::{Check, Code, Outcome};
use crate::presentation::Context;
use crate::provider::SignatureProvider;
use crate::signer::{self, World};
use crate::time::Timestamp;
use crate::trust::Trust;
use crate::url::HttpsUrl;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the status of a credential is (section 6.2). It tells one credential from all others: it is kept as a session
/// is, and shown to nobody.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusReference {
    /// The address of the list, and its `sub`.
    pub uri: String,
    /// The place in the list, from 0.
    pub idx: u64,
}

/// A status that was looked up and is good. It cannot be built outside this crate.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct CheckedStatus {
    until: Timestamp,
}

impl CheckedStatus {
    /// Until when it counts.
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// Looks a status up again, as a session does after each `ttl`. `issuer` is who signed the credential
/// ([`crate::VerifiedCredential::issuer`]).
pub fn verify_status(
    reference: &StatusReference,
    issuer: &str,
    credential: CredentialIndex,
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
) -> Outcome<CheckedStatus> {
    let mut steps = Steps::begin();
    steps.next(Check::Status);
    let result = match trust.compiled_credential(credential) {
        Some(compiled) => check(reference, issuer, compiled, World { trust, known, now }),
        None => deny(Code::CredentialTypeMismatch, "no policy asks for it"),
    };
    steps.finish(result, |until, _| CheckedStatus { until })
}

/// The reference in a credential's `status`; `None` where there is none and the policy takes that.
pub(crate) fn reference(claims: &Map<String, Value>, context: &Context<'_>) -> Result<Option<StatusReference>, Stop> {
    let status = match claims.get("status") {
        None if context.compiled.policy.status == StatusRule::Require => {
            return deny(Code::StatusMissing, "it has no status, and the policy requires one");
        }
        None => return Ok(None),
        Some(Value::Object(status)) => status,
        Some(_) => return deny(Code::StatusInvalid, "`status` is no object"),
    };
    // a way of telling the status that is not understood is no reason to let it be
    let Some(Value::Object(list)) = status.get("status_list") else {
        return deny(Code::StatusInvalid, "its `status` has no `status_list`");
    };
    match (list.get("uri"), list.get("idx").and_then(Value::as_u64)) {
        (Some(Value::String(uri)), Some(idx)) => Ok(Some(StatusReference { uri: uri.clone(), idx })),
        (Some(Value::String(_)), None) => deny(Code::StatusInvalid, "`idx` is no place in a list"),
        _ => deny(Code::StatusInvalid, "`uri` is missing"),
    }
}

/// Looks a status up. Answers with until when it counts.
pub(crate) fn check(
    reference: &StatusReference,
    issuer: &str,
    compiled: &CompiledCredential,
    world: World<'_>,
) -> Result<Timestamp, Stop> {
    let World { trust, known, now } = world;
    let url = match HttpsUrl::parse(&reference.uri, trust.limits().url_policy) {
        Ok(url) => url,
        Err(why) => return deny(Code::StatusInvalid, format!("the address of its status list: {why}")),
    };
    let fetch = Fetch::named(DocumentKind::StatusList, &reference.uri, url, false);
    let (token, until) = match known.find(fetch.slot(), Some(&fetch), now) {
        Found::Document(document) => match document.status_list() {
            Some(token) => (token, document.expires()),
            None => return Err(Stop::Need(fetch)),
        },
        Found::Need => return Err(Stop::Need(fetch)),
        Found::Unavailable(left) if compiled.policy.status_unavailable == StatusUnavailable::Accept => {
            return Ok(now.saturating_add(left.max(Duration::from_secs(1))));
        }
        Found::Unavailable(left) => {
            return unavailable(Code::StatusUnavailable, "the status list could not be fetched", left);
        }
    };
    match read(token, reference, issuer, compiled, world) {
        Ok((status, end)) => {
            judge(status)?;
            Ok(end.map_or(until, |end| end.min(until)))
        }
        // its signer's keys cannot be had, so neither can the status
        Err(Stop::Denied(_, _, Some(left))) if compiled.policy.status_unavailable == StatusUnavailable::Accept => {
            Ok(now.saturating_add(left.max(Duration::from_secs(1))))
        }
        // a list that is not sound may be an old one, or one that was being replaced
        Err(Stop::Denied(_, _, None)) if known.may_refetch(fetch.slot(), now) => Err(Stop::Need(fetch)),
        Err(stop) => Err(stop),
    }
}

/// What a status means (section 7.1).
fn judge(status: u8) -> Result<(), Stop> {
    match status {
        0 => Ok(()),
        1 => deny(Code::CredentialRevoked, "its issuer has revoked it"),
        2 => deny(Code::CredentialSuspended, "its issuer has suspended it"),
        _ => deny(Code::StatusInvalid, "its status is not one that is understood"),
    }
}

/// The status in a list, after all that section 8.3 asks of the list; and until when that holds beside the list's age: its
/// `exp`, and the time for which its signer's keys are fresh.
fn read(
    stored: &StatusListToken,
    reference: &StatusReference,
    issuer: &str,
    compiled: &CompiledCredential,
    world: World<'_>,
) -> Result<(u8, Option<Timestamp>), Stop> {
    let (policy, limits) = (&compiled.policy, world.trust.limits());
    let token = &stored.token;
    let own = compiled.status_issuers.is_empty();
    let candidates: Vec<_> = match own {
        false => compiled.status_issuers.iter().collect(),
        true => compiled.issuers.iter().filter(|signer| signer.may_be(issuer)).collect(),
    };
    let trusted = match signer::choose(&candidates, token, true) {
        Err(Stop::Denied(..)) => return deny(Code::StatusInvalid, "the status list is not by one trusted for it"),
        other => other?,
    };
    let algorithm = match signer::algorithm(token, &policy.algorithms) {
        Err(Stop::Denied(..)) => return deny(Code::StatusInvalid, "the status list's `alg` is not on the list"),
        other => other?,
    };
    // a list need not say by whom it is; one by the credential's issuer is by a certificate that may speak as it
    let instead = own.then_some(issuer);
    let signer = match signer::find(trusted, token, instead, algorithm, &policy.algorithms, world) {
        Err(Stop::Denied(code, why, left)) if left.is_none() => {
            return deny(Code::StatusInvalid, format!("the key of the status list: {code}: {why}"));
        }
        other => other?,
    };
    if own && signer.name != issuer {
        return deny(Code::StatusInvalid, "the status list is not by the credential's issuer");
    }
    let list = stored
        .list(algorithm, signer.key.get(), world.trust.provider(), limits)
        .map_err(|why| (Code::StatusInvalid, format!("the status list {why}")))?;
    if token.typ.as_deref().map(bare_type).as_deref() != Some("statuslist+jwt") {
        return deny(Code::StatusInvalid, "the `typ` of the status list is another");
    }
    match token.claims.get("sub") {
        Some(Value::String(sub)) if *sub == reference.uri => {}
        _ => return deny(Code::StatusInvalid, "the `sub` of the status list is another"),
    }
    let latest = world.now.saturating_add(policy.clock_skew);
    match time(&token.claims, "iat", f64::floor)? {
        Some(iat) if iat <= latest => {}
        Some(_) => return deny(Code::StatusInvalid, "the status list is of the future"),
        None => return deny(Code::StatusInvalid, "the status list has no `iat`"),
    }
    if time(&token.claims, "nbf", f64::ceil)?.is_some_and(|nbf| nbf > latest) {
        return deny(Code::StatusInvalid, "the status list is of the future");
    }
    let exp = time(&token.claims, "exp", f64::floor)?;
    if exp.is_some_and(|exp| exp <= world.now) {
        return deny(Code::StatusInvalid, "the status list has expired");
    }
    let end = [exp, signer.until].into_iter().flatten().min();
    match list.get(reference.idx) {
        Some(status) => Ok((status, end)),
        None => deny(Code::StatusInvalid, "its place is outside the status list"),
    }
}

/// A status list as it was fetched: its shape is sound, nothing in it is true yet.
#[derive(Debug)]
pub(crate) struct StatusListToken {
    /// without the list itself
    token: Token<'static>,
    bytes: Vec<u8>,
    /// how many bytes of them are signed
    message: usize,
    bits: u8,
    deflated: Vec<u8>,
    ttl: Option<Duration>,
    /// what came of it with the last key
    memo: Mutex<Option<Memo>>,
}

#[derive(Debug)]
struct Memo {
    algorithm: Algorithm,
    key: Vec<u8>,
    list: Result<Arc<List>, &'static str>,
}

impl StatusListToken {
    /// Takes the body of a reply (section 5.1). Nothing is inflated.
    pub(crate) fn parse(body: &[u8], limits: &Limits) -> Result<Self, String> {
        // some servers end a text with a line
        let bytes = body.trim_ascii_end();
        let parsed = jwt::parse(bytes, limits).map_err(|(_, why)| why)?;
        let message = parsed.message.len();
        let mut token = Token { message: b"", ..parsed };
        let Some(Value::Object(mut list)) = token.claims.remove("status_list") else {
            return Err("it has no `status_list`".to_owned());
        };
        let bits = match list.get("bits").and_then(Value::as_u64) {
            Some(bits @ (1 | 2 | 4 | 8)) => bits as u8,
            _ => return Err("its `bits` is not 1, 2, 4 or 8".to_owned()),
        };
        let Some(Value::String(lst)) = list.remove("lst") else { return Err("it has no `lst`".to_owned()) };
        let deflated = base64url::decode(&lst).map_err(|error| format!("its `lst` is {error}"))?;
        let ttl = match token.claims.get("ttl") {
            None => None,
            Some(Value::Number(ttl)) => {
                let seconds = ttl.as_f64().filter(|seconds| *seconds > 0.0).ok_or("its `ttl` is not positive")?;
                // a cast from a float stops at the ends of the range
                Some(Duration::from_secs(seconds as u64))
            }
            Some(_) => return Err("its `ttl` is no number".to_owned()),
        };
        Ok(Self { token, bytes: bytes.to_vec(), message, bits, deflated, ttl, memo: Mutex::new(None) })
    }

    pub(crate) fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// What it takes beyond its own bytes.
    pub(crate) fn inflated_bytes(&self) -> usize {
        let inflated = match self.memo.lock() {
            Ok(memo) => memo.as_ref().and_then(|memo| memo.list.as_ref().ok()).map_or(0, |list| list.packed.len()),
            Err(_) => 0,
        };
        self.deflated.len() + inflated
    }

    /// The list, if its signature holds by this key. The error ends a sentence on the list.
    fn list(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        provider: &dyn SignatureProvider,
        limits: &Limits,
    ) -> Result<Arc<List>, &'static str> {
        let name = key.spki_der().unwrap_or_default();
        // nobody panics while holding it; if so, it is worked out again
        let mut memo = self.memo.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(memo) = memo.as_ref().filter(|memo| memo.algorithm == algorithm && memo.key == name) {
            return memo.list.clone();
        }
        let message = self.bytes.get(..self.message).unwrap_or_default();
        let list = match provider.verify(algorithm, key, message, &self.token.signature) {
            Ok(()) => List::inflate(self.bits, &self.deflated, limits.status_list_bytes).map(Arc::new),
            Err(_) => Err("is not signed by one trusted for it"),
        };
        *memo = Some(Memo { algorithm, key: name.to_vec(), list: list.clone() });
        list
    }
}

/// A list of statuses, packed: the first in the lowest bits of the first byte (section 4.1).
#[derive(Debug)]
struct List {
    bits: u8,
    packed: Vec<u8>,
}

impl List {
    /// Inflates a list (zlib, section 4.1), never to more than `most` bytes.
    fn inflate(bits: u8, deflated: &[u8], most: usize) -> Result<Self, &'static str> {
        match miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(deflated, most) {
            Ok(packed) => Ok(Self { bits, packed }),
            Err(error) if error.status == miniz_oxide::inflate::TINFLStatus::HasMoreOutput => {
                Err("inflates to more than the limit")
            }
            Err(_) => Err("cannot be inflated"),
        }
    }

    /// The status at a place; `None` outside.
    fn get(&self, idx: u64) -> Option<u8> {
        let in_a_byte = u64::from(8 / self.bits);
        let byte = self.packed.get(usize::try_from(idx / in_a_byte).ok()?)?;
        let shift = u32::try_from(idx % in_a_byte).ok()? * u32::from(self.bits);
        let mask = 0xff_u8.checked_shr(8 - u32::from(self.bits))?;
        Some(byte.checked_shr(shift)? & mask)
    }
}

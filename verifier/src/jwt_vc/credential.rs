//! A credential out of the claims of its JWT (VCDM 1.1 section 6.3.1; vc-jose-cose sections 3.1.1 and 3.1.3).
//!
//! What the JWT and the credential both say must be the same, and the tighter of their times counts.
use super::{base_context, id_of, malformed, types};
use crate::checks::{Stop, deny, time};
use crate::date::{self, DateTime};
use crate::outcome::Code;
use crate::time::Timestamp;
use serde_json::{Map, Value};

const V1: &str = "https://www.w3.org/2018/credentials/v1";
const V2: &str = "https://www.w3.org/ns/credentials/v2";

/// A credential whose shape is sound. Nothing in it is true yet.
pub(super) struct Credential {
    /// the credential, with what its JWT alone says put in, and `status` and `cnf` of the JWT
    pub(super) claims: Map<String, Value>,
    pub(super) types: Vec<String>,
    pub(super) issuer: String,
    /// `credentialSubject.id`
    pub(super) subject: Option<String>,
    pub(super) end: Option<Timestamp>,
    pub(super) begin: Option<Timestamp>,
    pub(super) issued: Option<Timestamp>,
}

pub(super) fn take(mut jwt: Map<String, Value>) -> Result<Credential, Stop> {
    let v1 = jwt.contains_key("vc");
    let mut vc = match jwt.remove("vc") {
        Some(Value::Object(vc)) => vc,
        Some(_) => return malformed("`vc` is no object"),
        // VCDM 2.0: the payload is the credential
        None => jwt.clone(),
    };
    if jwt.contains_key("vp") {
        return malformed("a credential with `vp`");
    }
    if base_context(&vc) != Some(if v1 { V1 } else { V2 }) {
        return malformed("`@context` is not that of a credential");
    }
    let Some(types) = types(&vc).filter(|types| types.iter().any(|one| one == "VerifiableCredential")) else {
        return malformed("`type` is not that of a credential");
    };
    if !vc.get("credentialSubject").is_some_and(Value::is_object) {
        return malformed("`credentialSubject` is not one object");
    }
    let issuer = agree(&jwt, "iss", vc.get("issuer").map(id_of), "issuer")?;
    let Some(issuer) = issuer else {
        return deny(Code::ClaimMissing, "`issuer` is missing");
    };
    let subject = agree(&jwt, "sub", member(&vc, "credentialSubject").map(|id| id.and_then(Value::as_str)), "sub")?;
    let id = agree(&jwt, "jti", vc.get("id").map(Value::as_str), "jti")?;
    let (end, begin, issued) = times(&jwt, &vc, v1)?;

    if v1 {
        for name in ["status", "cnf"] {
            if let Some(value) = jwt.remove(name)
                && vc.insert(name.to_owned(), value.clone()).is_some_and(|other| other != value)
            {
                return malformed("the JWT and its credential say different things");
            }
        }
        put(&mut vc, "issuer", Some(issuer.clone()));
        put(&mut vc, "id", id);
        put(&mut vc, "issuanceDate", begin.and_then(date::format));
        put(&mut vc, "expirationDate", end.and_then(date::format));
    }
    if let Some(Value::Object(about)) = vc.get_mut("credentialSubject") {
        put(about, "id", subject.clone());
    }
    Ok(Credential { claims: vc, types, issuer, subject, end, begin, issued })
}

fn put(object: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        object.entry(name).or_insert_with(|| value.into());
    }
}

/// The `id` of a member that is an object; the inner `None` where it has none.
fn member<'a>(vc: &'a Map<String, Value>, name: &str) -> Option<Option<&'a Value>> {
    vc.get(name)?.as_object()?.get("id").map(Some)
}

/// What the JWT says by a claim of its own and the credential by a member: one text, if any. `inner` is what the
/// credential has, and `Some(None)` where that is no text.
fn agree(
    jwt: &Map<String, Value>,
    claim: &str,
    inner: Option<Option<&str>>,
    what: &str,
) -> Result<Option<String>, Stop> {
    let outer = match jwt.get(claim) {
        None => None,
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => return deny(Code::ClaimInvalid, format!("`{claim}` is no text")),
    };
    match (outer, inner) {
        (_, Some(None)) => deny(Code::ClaimInvalid, format!("what `{what}` says of the credential is no text")),
        (Some(outer), Some(Some(inner))) if outer != inner => {
            malformed("the JWT and its credential say different things")
        }
        (outer, inner) => Ok(outer.or(inner.flatten()).map(str::to_owned)),
    }
}

type Times = (Option<Timestamp>, Option<Timestamp>, Option<Timestamp>);

/// The earliest end, the latest beginning, and when it was issued.
fn times(jwt: &Map<String, Value>, vc: &Map<String, Value>, v1: bool) -> Result<Times, Stop> {
    let date = |name: &str| match vc.get(name) {
        None => Ok(None),
        Some(value) => match value.as_str().and_then(DateTime::parse) {
            Some(time) => Ok(Some(time)),
            None => deny(Code::ClaimInvalid, format!("`{name}` is no point in time with a time zone")),
        },
    };
    let exp = time(jwt, "exp", f64::floor)?;
    let nbf = time(jwt, "nbf", f64::ceil)?;
    let iat = time(jwt, "iat", f64::floor)?;
    let (issuance, expiration) = (date("issuanceDate")?, date("expirationDate")?);
    let (from, until) = (date("validFrom")?, date("validUntil")?);
    if v1 {
        // `nbf` stands for `issuanceDate` and `exp` for `expirationDate`, to the second
        let differ = |claim: Option<Timestamp>, member: Option<DateTime>| matches!((claim, member), (Some(claim), Some(member)) if claim != member.floor && claim != member.ceil);
        if differ(nbf, issuance) || differ(exp, expiration) {
            return malformed("the JWT and its credential say different times");
        }
        if nbf.is_none() && issuance.is_none() {
            return deny(Code::ClaimMissing, "`issuanceDate` is missing");
        }
    }
    let ends = [exp, expiration.map(|time| time.floor), until.map(|time| time.floor)];
    let begins = [nbf, issuance.map(|time| time.ceil), from.map(|time| time.ceil)];
    let begin = begins.into_iter().flatten().max();
    Ok((ends.into_iter().flatten().min(), begin, iat.or(begin)))
}

//! What JavaScript is told, as JSON: what holds, what was refused and why.

use carded_verifier::{Denied, Report, Timestamp, Verified, VerifiedCredential};
use serde_json::{Value, json};

/// A JWT that holds.
pub(crate) fn token(verified: &Verified) -> Value {
    json!({
        "outcome": "verified",
        "issuer": verified.issuer_name(),
        "iss": verified.iss(),
        "tenant": verified.tenant(),
        "algorithm": verified.algorithm().name(),
        "kid": verified.kid(),
        "expires": verified.expires().map(Timestamp::unix),
        "claims": verified.claims(),
        "report": report(&verified.report()),
    })
}

/// A credential that was shown and holds. Of the holder's key its thumbprint alone (RFC 7638).
pub(crate) fn credential(verified: &VerifiedCredential) -> Value {
    json!({
        "id": verified.id(),
        "issuer": verified.issuer(),
        "types": verified.types(),
        "claims": verified.claims(),
        "satisfied": verified.satisfied(),
        "expires": verified.expires().map(Timestamp::unix),
        "holder": verified.holder().map(|holder| json!({ "thumbprint": holder.thumbprint(), "did": holder.did() })),
        "status": verified.status(),
        "status_until": verified.status_until().map(Timestamp::unix),
        "report": report(&verified.report()),
    })
}

/// A refusal by a check.
pub(crate) fn denied(denied: &Denied) -> Value {
    json!({
        "outcome": "denied",
        "code": denied.code().as_str(),
        "check": denied.check().as_str(),
        "detail": denied.detail(),
        "hint": denied.code().description(),
        "retry_after": denied.retry_after().map(|after| after.as_secs()),
        "report": report(&denied.report()),
    })
}

/// A refusal before or after the checks: the answer as a whole is not what was asked for.
pub(crate) fn refused(code: &str, detail: &str, hint: &str) -> Value {
    json!({ "outcome": "denied", "code": code, "detail": detail, "hint": hint, "report": [] })
}

fn report(report: &Report) -> Value {
    report
        .lines()
        .map(|(check, passed, note)| json!({ "check": check.as_str(), "passed": passed, "note": note }))
        .collect()
}

//! The requests to an issuer and what it replies: token (OpenID4VCI 1.0 section 6), nonce (section 7), credential
//! (section 8). Every error comes out as a sentence for the person; `error_description` is for developers and not shown.

use carded_verifier::json;
use serde_json::{Map, Value, json};

use crate::offer::Offer;
use crate::query;
use crate::refusal::{Refusal, Step};

const DEPTH: usize = 16;
const LARGEST: usize = 2 * 1024 * 1024;

/// The form that asks for a token (section 6.1).
pub(crate) fn token_request(offer: &Offer, tx_code: Option<&str>) -> String {
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:pre-authorized_code"),
        ("pre-authorized_code", offer.code.as_str()),
    ];
    fields.extend(tx_code.map(|code| ("tx_code", code)));
    query::form(fields)
}

/// Reads the token reply: `{access_token, identifiers: {configuration: identifier}}`.
///
/// # Errors
/// `tx_code_wrong` where the code may be typed again, `offer_used` where it is over, else `issuer_failed`.
pub(crate) fn token(status: u16, body: &[u8], with_tx_code: bool) -> Step {
    let reply = object(body);
    if !(200..300).contains(&status) {
        return Err(match error(&reply) {
            Some("invalid_grant") if with_tx_code => Refusal::new(
                "tx_code_wrong",
                "The issuer did not take that code. Check it and try again; if the offer is old, ask for a new one.",
            ),
            Some("invalid_grant") => {
                Refusal::new("offer_used", "This offer was used already, or is too old. Ask the issuer for a new one.")
            }
            Some("invalid_client" | "unauthorized_client") => {
                Refusal::new("issuer_refused", "This issuer gives credentials only to wallets that it knows.")
            }
            _ => failed(status),
        });
    }
    let reply = reply.ok_or_else(garbled)?;
    let access_token = reply.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let access_token = access_token.ok_or_else(garbled)?;
    if access_token.bytes().any(|byte| !(0x21..0x7f).contains(&byte)) {
        return Err(garbled());
    }
    // RFC 6749 section 5.1: the type is told, without regard to case; one that needs proofs (DPoP) is not for us
    let kind = reply.get("token_type").and_then(Value::as_str).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::new("issuer_not_supported", "The issuer wants a kind of proof that this wallet lacks."));
    }
    let mut identifiers = Map::new();
    for detail in reply.get("authorization_details").and_then(Value::as_array).into_iter().flatten() {
        let configuration = detail.get("credential_configuration_id").and_then(Value::as_str);
        let first = detail.get("credential_identifiers").and_then(|list| list.get(0)).and_then(Value::as_str);
        if let (Some(configuration), Some(first)) = (configuration, first) {
            identifiers.insert(configuration.to_owned(), first.into());
        }
    }
    Ok(json!({ "access_token": access_token, "identifiers": identifiers }))
}

/// Reads the nonce reply: `{c_nonce}`.
///
/// # Errors
/// `issuer_failed`.
pub(crate) fn nonce(status: u16, body: &[u8]) -> Step {
    if !(200..300).contains(&status) {
        return Err(failed(status));
    }
    let reply = object(body).ok_or_else(garbled)?;
    let c_nonce = reply.get("c_nonce").and_then(Value::as_str).ok_or_else(garbled)?;
    Ok(json!({ "c_nonce": c_nonce }))
}

/// The body that asks for credentials (section 8.2).
pub(crate) fn credential_request(configuration: &str, identifier: Option<&str>, proofs: &[String]) -> Value {
    match identifier {
        Some(identifier) => json!({ "credential_identifier": identifier, "proofs": { "jwt": proofs } }),
        None => json!({ "credential_configuration_id": configuration, "proofs": { "jwt": proofs } }),
    }
}

/// Reads the credential reply (section 8.3): `{credentials: […]}`, or `{deferred: {seconds}}`.
///
/// # Errors
/// `nonce_stale` where another try with a fresh nonce helps, else `issuer_failed` or `issuer_refused`.
pub(crate) fn credentials(status: u16, body: &[u8], proofs: usize) -> Step {
    let reply = object(body);
    if !(200..300).contains(&status) {
        return Err(match error(&reply) {
            Some("invalid_nonce") => Refusal::new("nonce_stale", "The issuer's nonce has run out. Please try again."),
            Some("invalid_proof") => {
                Refusal::new("issuer_refused", "The issuer did not take this wallet's proof that it holds the keys.")
            }
            Some("credential_request_denied") => Refusal::new("issuer_refused", "The issuer will not issue this card."),
            Some("unknown_credential_configuration" | "unknown_credential_identifier") => {
                Refusal::new("issuer_refused", "The issuer does not know the card that it offered.")
            }
            _ => failed(status),
        });
    }
    let reply = reply.ok_or_else(garbled)?;
    if reply.contains_key("transaction_id") {
        if reply.contains_key("credentials") {
            return Err(garbled());
        }
        let seconds = reply.get("interval").and_then(Value::as_u64);
        return Ok(json!({ "deferred": { "seconds": seconds } }));
    }
    let issued = reply.get("credentials").and_then(Value::as_array).ok_or_else(garbled)?;
    let credentials: Option<Vec<&str>> =
        issued.iter().map(|item| item.get("credential").and_then(Value::as_str)).collect();
    let credentials = credentials.ok_or_else(garbled)?;
    // fewer than asked for may come, more may not
    if credentials.is_empty() || credentials.len() > proofs {
        return Err(garbled());
    }
    Ok(json!({ "credentials": credentials }))
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    if body.len() > LARGEST { None } else { json::parse_object(body, DEPTH).ok() }
}

fn error(reply: &Option<Map<String, Value>>) -> Option<&str> {
    reply.as_ref()?.get("error")?.as_str()
}

fn failed(status: u16) -> Refusal {
    Refusal::new("issuer_failed", format!("The issuer could not do it (status {status}). Try again in a while."))
}

fn garbled() -> Refusal {
    Refusal::new("issuer_failed", "The issuer replied with something that cannot be read.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_what_goes_wrong() {
        let good = br#"{"access_token":"abc","token_type":"Bearer","authorization_details":[{"type":"openid_credential","credential_configuration_id":"id","credential_identifiers":["one"]}]}"#;
        let read = token(200, good, false).unwrap();
        assert_eq!(read["access_token"], "abc");
        assert_eq!(read["identifiers"]["id"], "one");
        let grant = br#"{"error":"invalid_grant"}"#;
        for (status, body, with_code, code) in [
            (400, grant.as_slice(), true, "tx_code_wrong"),
            (400, grant, false, "offer_used"),
            (401, br#"{"error":"invalid_client"}"#, false, "issuer_refused"),
            (500, b"<html>", true, "issuer_failed"),
            (200, b"{}", false, "issuer_failed"),
            (200, br#"{"access_token":"a\r\nb","token_type":"bearer"}"#, false, "issuer_failed"),
            (200, br#"{"access_token":"abc","token_type":"DPoP"}"#, false, "issuer_not_supported"),
        ] {
            assert_eq!(token(status, body, with_code).unwrap_err().code, code);
        }
    }

    #[test]
    fn credentials_now_or_later() {
        let two = br#"{"credentials":[{"credential":"a"},{"credential":"b"}]}"#;
        assert_eq!(credentials(200, two, 2).unwrap()["credentials"], json!(["a", "b"]));
        assert_eq!(credentials(200, two, 1).unwrap_err().code, "issuer_failed", "more than was asked for");
        let later = br#"{"transaction_id":"t","interval":60}"#;
        assert_eq!(credentials(202, later, 2).unwrap()["deferred"]["seconds"], 60);
        assert_eq!(credentials(400, br#"{"error":"invalid_nonce"}"#, 2).unwrap_err().code, "nonce_stale");
        assert_eq!(credentials(200, br#"{"credentials":[]}"#, 2).unwrap_err().code, "issuer_failed");
        assert_eq!(credentials(200, br#"{"credentials":[{"credential":{}}]}"#, 2).unwrap_err().code, "issuer_failed");
    }
}

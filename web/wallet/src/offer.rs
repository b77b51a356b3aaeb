//! Credential offers (OpenID4VCI 1.0 section 4.1): by value, by reference, as a link, as a QR code's text or pasted.
//!
//! Nothing of an offer is trusted (section 13.6): it only says where to look.

use carded_verifier::json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::link;
use crate::query;
use crate::refusal::Refusal;

const LONGEST: usize = 32 * 1024;
const DEPTH: usize = 12;
const MOST_CONFIGURATIONS: usize = 16;
const PRE_AUTHORIZED: &str = "urn:ietf:params:oauth:grant-type:pre-authorized_code";

/// An offer that this wallet can take up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// `credential_issuer`, as it came: metadata must call itself the same.
    pub(crate) issuer: String,
    /// Where its metadata is.
    pub(crate) metadata_url: String,
    /// `credential_configuration_ids`.
    pub(crate) configuration_ids: Vec<String>,
    /// `pre-authorized_code`.
    pub(crate) code: String,
    /// What code the person has to type, if any.
    pub(crate) tx_code: Option<TxCode>,
    /// `authorization_server` of the grant.
    pub(crate) authorization_server: Option<String>,
}

/// `tx_code` (section 4.1.1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TxCode {
    /// Digits only.
    pub(crate) numeric: bool,
    /// How long it is, where the issuer says so.
    pub(crate) length: Option<u64>,
    /// The issuer's own words, at most 300 characters.
    pub(crate) description: Option<String>,
}

/// What a text turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Read {
    /// The offer itself.
    Offer(Offer),
    /// It is to be fetched from here.
    Fetch(String),
}

/// Reads what a person opened, scanned or pasted: a link with `credential_offer` or `credential_offer_uri` in its query,
/// that query alone, or the offer's JSON.
///
/// # Errors
/// `offer_malformed`, `offer_not_supported` or `link_refused`.
pub(crate) fn read(text: &str) -> Result<Read, Refusal> {
    let text = text.trim();
    if text.len() > LONGEST {
        return Err(malformed("it is too long"));
    }
    if text.starts_with('{') {
        return parse(text.as_bytes()).map(Read::Offer);
    }
    let parameters = query::parameters(text.split_once('?').map_or(text, |(_, query)| query))
        .map_err(|_| malformed("its link cannot be read"))?;
    match (parameters.get("credential_offer"), parameters.get("credential_offer_uri")) {
        (Some(offer), None) => parse(offer.as_bytes()).map(Read::Offer),
        (None, Some(uri)) => Ok(Read::Fetch(link::take(uri, "The offer's address")?.as_str().to_owned())),
        (Some(_), Some(_)) => Err(malformed("it comes both by value and by reference")),
        (None, None) => Err(malformed("there is no offer in it")),
    }
}

/// Takes an offer's JSON.
///
/// # Errors
/// As [`read`].
pub(crate) fn parse(bytes: &[u8]) -> Result<Offer, Refusal> {
    if bytes.len() > LONGEST {
        return Err(malformed("it is too long"));
    }
    let object = json::parse_object(bytes, DEPTH).map_err(|why| malformed(&why.to_string()))?;
    let issuer = text(&object, "credential_issuer").ok_or_else(|| malformed("it names no issuer"))?;
    let metadata_url = link::well_known(&issuer, "openid-credential-issuer", "The issuer's address")?;
    let configuration_ids = configuration_ids(&object)?;
    let Some(grant) = object.get("grants").and_then(|grants| grants.get(PRE_AUTHORIZED)) else {
        return Err(Refusal::new(
            "offer_not_supported",
            "This issuer wants you to sign in at its own site first, which this wallet does not do yet.",
        ));
    };
    let code = grant.get("pre-authorized_code").and_then(Value::as_str).filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| malformed("it carries no code"))?.to_owned();
    let authorization_server = match grant.get("authorization_server") {
        None => None,
        Some(Value::String(server)) => Some(server.clone()),
        Some(_) => return Err(malformed("its authorization server is no text")),
    };
    let tx_code = match grant.get("tx_code") {
        None => None,
        Some(Value::Object(tx_code)) => Some(read_tx_code(tx_code)?),
        Some(_) => return Err(malformed("its tx_code is no object")),
    };
    Ok(Offer {
        issuer,
        metadata_url: metadata_url.as_str().to_owned(),
        configuration_ids,
        code,
        tx_code,
        authorization_server,
    })
}

fn configuration_ids(object: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    let named = object.get("credential_configuration_ids").and_then(Value::as_array);
    let named = named.ok_or_else(|| malformed("it names no credential"))?;
    let mut ids: Vec<String> = Vec::new();
    for id in named {
        let id = id.as_str().ok_or_else(|| malformed("a credential's name is no text"))?;
        if ids.iter().any(|seen| seen == id) {
            return Err(malformed("it names a credential twice"));
        }
        ids.push(id.to_owned());
    }
    if ids.is_empty() || ids.len() > MOST_CONFIGURATIONS {
        return Err(malformed("it names no credential, or too many"));
    }
    Ok(ids)
}

fn read_tx_code(tx_code: &Map<String, Value>) -> Result<TxCode, Refusal> {
    let numeric = match tx_code.get("input_mode").and_then(Value::as_str) {
        None | Some("numeric") => true,
        Some("text") => false,
        Some(_) => return Err(malformed("its tx_code has an unknown input mode")),
    };
    let length = tx_code.get("length").and_then(Value::as_u64).filter(|length| (1..=64).contains(length));
    let description = text(tx_code, "description").map(|words| words.chars().take(300).collect());
    Ok(TxCode { numeric, length, description })
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn malformed(why: &str) -> Refusal {
    Refusal::new("offer_malformed", format!("This is no credential offer that can be read: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn offer() -> Value {
        json!({
            "credential_issuer": "https://dmv.example",
            "credential_configuration_ids": ["id"],
            "grants": { PRE_AUTHORIZED: { "pre-authorized_code": "c", "tx_code": { "length": 6 } } },
        })
    }

    #[test]
    fn by_value_by_query_and_by_link() {
        let json = offer().to_string();
        let Read::Offer(plain) = read(&json).unwrap() else { panic!("an offer") };
        assert_eq!(plain.code, "c");
        assert_eq!(plain.tx_code, Some(TxCode { numeric: true, length: Some(6), description: None }));
        let encoded: String = json.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for text in [
            format!("credential_offer={encoded}"),
            format!("?credential_offer={encoded}"),
            format!("openid-credential-offer://?credential_offer={encoded}"),
            format!("https://wallet.example/receive?credential_offer={encoded}"),
        ] {
            assert_eq!(read(&text).unwrap(), Read::Offer(plain.clone()), "{text}");
        }
        assert_eq!(
            read("openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fdmv.example%2Foffers%2F1").unwrap(),
            Read::Fetch("https://dmv.example/offers/1".to_owned())
        );
    }

    #[test]
    fn what_is_no_offer_is_refused_with_its_reason() {
        let mut cases = vec![("hello".to_owned(), "offer_malformed"), ("{".to_owned(), "offer_malformed")];
        cases.push(("credential_offer={}&credential_offer={}".to_owned(), "offer_malformed"));
        cases.push((
            "credential_offer=%7B%7D&credential_offer_uri=https%3A%2F%2Fa.example".to_owned(),
            "offer_malformed",
        ));
        for (change, code) in [
            (json!({"credential_issuer": "javascript:alert(1)"}), "link_refused"),
            (json!({"credential_issuer": "http://dmv.example"}), "link_refused"),
            (json!({"credential_issuer": 1}), "offer_malformed"),
            (json!({"credential_configuration_ids": []}), "offer_malformed"),
            (json!({"credential_configuration_ids": ["a", "a"]}), "offer_malformed"),
            (json!({"grants": {"authorization_code": {}}}), "offer_not_supported"),
            (json!({"grants": {PRE_AUTHORIZED: {}}}), "offer_malformed"),
            (json!({"grants": {PRE_AUTHORIZED: {"pre-authorized_code": "c", "tx_code": 1}}}), "offer_malformed"),
        ] {
            let mut changed = offer();
            for (name, value) in change.as_object().unwrap() {
                changed[name] = value.clone();
            }
            cases.push((changed.to_string(), code));
        }
        for (text, code) in cases {
            assert_eq!(read(&text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn threat_94_an_offer_by_reference_is_fetched_over_https_only() {
        for bad in ["javascript:alert(1)", "data:application/json,{}", "http://dmv.example/o", "blob:x"] {
            let encoded: String = bad.bytes().map(|byte| format!("%{byte:02X}")).collect();
            assert_eq!(read(&format!("?credential_offer_uri={encoded}")).unwrap_err().code, "link_refused", "{bad}");
        }
    }
}

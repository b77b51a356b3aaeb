//! The metadata of credential issuers (OpenID4VCI 1.0 section 12.2) and of their authorization servers (RFC 8414), as far
//! as the wallet needs them. Names and descriptions in it are the issuer's own words: the page shows them as text, marked
//! as unverified, and never loads a logo (threat 101).

use carded_verifier::{dcql::Format, json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::link;
use crate::offer::Offer;
use crate::refusal::Refusal;

const LARGEST: usize = 1024 * 1024;
const DEPTH: usize = 24;
/// More copies than this are never asked for at once.
const MOST_COPIES: u64 = 20;
const LONGEST_NAME: usize = 80;

/// An offer together with what its issuer says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Issuance {
    /// The issuer's URL.
    pub(crate) issuer: String,
    /// Scheme and host of it: what is certain.
    pub(crate) origin: String,
    /// What it calls itself.
    pub(crate) name: Option<String>,
    /// Where credentials are had.
    pub(crate) credential_endpoint: String,
    /// Where a nonce is had.
    pub(crate) nonce_endpoint: Option<String>,
    /// How many copies are asked for at once.
    pub(crate) batch: u64,
    /// Where the authorization server's metadata is.
    pub(crate) authorization_server_metadata: String,
    /// What that metadata must call itself.
    pub(crate) authorization_server: String,
    /// The credentials of the offer.
    pub(crate) configurations: Vec<Configuration>,
}

/// One of `credential_configurations_supported`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Configuration {
    /// Its name in the metadata.
    pub(crate) id: String,
    /// `dc+sd-jwt` or `jwt_vc_json`.
    pub(crate) format: String,
    /// `vct` alone, or the VC types.
    pub(crate) types: Vec<String>,
    /// What it calls itself.
    pub(crate) title: String,
    /// The issuer's description of it.
    pub(crate) description: Option<String>,
    /// How the key is named in a proof: `jwk`, `did:jwk` or `did:key`.
    pub(crate) binding: String,
    /// The algorithms for proofs that the issuer takes and this wallet has, its favourite first.
    pub(crate) algorithms: Vec<String>,
    /// What the issuer calls its claims, by path.
    pub(crate) labels: Vec<Label>,
}

/// What the issuer calls a claim.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Label {
    /// Where it is: names, and null for all elements.
    pub(crate) path: Vec<Value>,
    /// Its name.
    pub(crate) name: String,
}

/// Reads the metadata of an offer's issuer.
///
/// # Errors
/// `issuer_mismatch`, `issuer_malformed`, `issuer_not_supported` or `link_refused`.
pub(crate) fn read(offer: &Offer, metadata: &[u8], locale: &str) -> Result<Issuance, Refusal> {
    if metadata.len() > LARGEST {
        return Err(malformed("it is too long"));
    }
    let metadata = json::parse_object(metadata, DEPTH).map_err(|why| malformed(&why.to_string()))?;
    // section 12.2.4: identical, or nothing in it may be used
    if text(&metadata, "credential_issuer") != Some(&offer.issuer) {
        return Err(Refusal::new(
            "issuer_mismatch",
            "The issuer's metadata speaks of another issuer, so nothing in it can be trusted.",
        ));
    }
    let issuer = link::take(&offer.issuer, "The issuer's address")?;
    let credential_endpoint =
        endpoint(&metadata, "credential_endpoint")?.ok_or_else(|| malformed("it names no credential endpoint"))?;
    if required_encryption(&metadata) {
        return Err(not_supported("it insists on encrypted messages"));
    }
    let authorization_server = authorization_server(offer, &metadata)?;
    let server_metadata =
        link::well_known(&authorization_server, "oauth-authorization-server", "The authorization server's address")?;
    let all = metadata.get("credential_configurations_supported").and_then(Value::as_object);
    let all = all.ok_or_else(|| malformed("it describes no credentials"))?;
    let mut configurations = Vec::new();
    let mut reason = None;
    for id in &offer.configuration_ids {
        let described = all.get(id).and_then(Value::as_object);
        let described = described.ok_or_else(|| malformed("it does not know the credential that is offered"))?;
        match configuration(id, described, locale) {
            Ok(configuration) => configurations.push(configuration),
            Err(why) => reason = Some(why),
        }
    }
    if let (true, Some(reason)) = (configurations.is_empty(), reason) {
        return Err(reason);
    }
    Ok(Issuance {
        issuer: offer.issuer.clone(),
        origin: link::origin(&issuer),
        name: display(&metadata, locale).and_then(|display| short(display, "name")),
        credential_endpoint,
        nonce_endpoint: endpoint(&metadata, "nonce_endpoint")?,
        batch: batch(&metadata)?,
        authorization_server_metadata: server_metadata.as_str().to_owned(),
        authorization_server,
        configurations,
    })
}

/// Reads the authorization server's metadata: its token endpoint.
///
/// # Errors
/// `issuer_mismatch`, `issuer_malformed` or `link_refused`.
pub(crate) fn token_endpoint(issuance: &Issuance, metadata: &[u8]) -> Result<String, Refusal> {
    if metadata.len() > LARGEST {
        return Err(malformed("it is too long"));
    }
    let metadata = json::parse_object(metadata, DEPTH).map_err(|why| malformed(&why.to_string()))?;
    // RFC 8414 section 3.3
    if text(&metadata, "issuer") != Some(&issuance.authorization_server) {
        return Err(Refusal::new(
            "issuer_mismatch",
            "The authorization server's metadata speaks of another server, so nothing in it can be trusted.",
        ));
    }
    endpoint(&metadata, "token_endpoint")?.ok_or_else(|| malformed("it names no token endpoint"))
}

fn authorization_server(offer: &Offer, metadata: &Map<String, Value>) -> Result<String, Refusal> {
    let Some(servers) = metadata.get("authorization_servers") else {
        return Ok(offer.issuer.clone());
    };
    let servers: Option<Vec<&str>> = servers.as_array().map(|list| list.iter().filter_map(Value::as_str).collect());
    let servers = servers.filter(|list| !list.is_empty()).ok_or_else(|| malformed("its servers are no list"))?;
    match &offer.authorization_server {
        // section 4.1.1: one that the metadata does not name ends it
        Some(named) if servers.contains(&named.as_str()) => Ok(named.clone()),
        Some(_) => Err(malformed("the offer names an authorization server that the issuer does not")),
        None => Ok(servers.first().copied().unwrap_or_default().to_owned()),
    }
}

fn batch(metadata: &Map<String, Value>) -> Result<u64, Refusal> {
    let Some(batch) = metadata.get("batch_credential_issuance") else { return Ok(1) };
    let size = batch.get("batch_size").and_then(Value::as_u64).filter(|size| *size >= 2);
    size.map(|size| size.min(MOST_COPIES)).ok_or_else(|| malformed("its batch size is no number above one"))
}

fn required_encryption(metadata: &Map<String, Value>) -> bool {
    ["credential_request_encryption", "credential_response_encryption"].iter().any(|name| {
        metadata.get(*name).and_then(|member| member.get("encryption_required")).and_then(Value::as_bool) == Some(true)
    })
}

fn configuration(id: &str, described: &Map<String, Value>, locale: &str) -> Result<Configuration, Refusal> {
    let format = text(described, "format").ok_or_else(|| malformed("a credential has no format"))?;
    let types: Vec<String> = match Format::parse(format) {
        Format::DcSdJwt => text(described, "vct").map(str::to_owned).into_iter().collect(),
        Format::JwtVcJson => described
            .get("credential_definition")
            .and_then(|definition| definition.get("type"))
            .and_then(Value::as_array)
            .map(|types| types.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
        _ => return Err(not_supported("the credential has a format that this wallet does not know yet")),
    };
    if types.is_empty() {
        return Err(malformed("a credential has no type"));
    }
    let methods = strings(described.get("cryptographic_binding_methods_supported"));
    let preferred: &[&str] = match Format::parse(format) {
        Format::DcSdJwt => &["jwk", "did:jwk", "did:key"],
        _ => &["did:jwk", "did:key", "jwk"],
    };
    let binding = preferred.iter().find(|method| methods.contains(method));
    let binding =
        binding.ok_or_else(|| not_supported("the credential is not bound to a key that this wallet can make"))?;
    let proof = described.get("proof_types_supported").and_then(|types| types.get("jwt"));
    let proof = proof.ok_or_else(|| not_supported("it does not take proofs as JWT"))?;
    if proof.get("key_attestations_required").is_some() {
        return Err(not_supported("it wants an attestation of the device, which a browser does not give"));
    }
    let taken = strings(proof.get("proof_signing_alg_values_supported"));
    let algorithms: Vec<String> = ["ES256", "EdDSA", "Ed25519"]
        .iter()
        .filter(|algorithm| taken.contains(algorithm))
        .map(|algorithm| (*algorithm).to_owned())
        .collect();
    if algorithms.is_empty() {
        return Err(not_supported("it takes no signature that this wallet makes"));
    }
    // `credential_metadata` of the final text; `display` and `claims` beside the format in drafts before it
    let metadata = described.get("credential_metadata").and_then(Value::as_object).unwrap_or(described);
    let shown = display(metadata, locale);
    let last = types.last().map_or("", String::as_str);
    let fallback = last.rsplit(['/', ':', '#']).find(|part| !part.is_empty()).unwrap_or(id);
    Ok(Configuration {
        id: id.to_owned(),
        format: format.to_owned(),
        title: shown.and_then(|display| short(display, "name")).unwrap_or_else(|| cut(fallback)),
        description: shown.and_then(|display| short(display, "description")),
        types,
        binding: (*binding).to_owned(),
        algorithms,
        labels: labels(metadata.get("claims"), locale),
    })
}

fn labels(claims: Option<&Value>, locale: &str) -> Vec<Label> {
    let label = |claim: &Value| {
        let claim = claim.as_object()?;
        let path = claim.get("path")?.as_array()?.clone();
        let name = short(display(claim, locale)?, "name")?;
        Some(Label { path, name })
    };
    claims
        .and_then(Value::as_array)
        .map(|claims| claims.iter().take(128).filter_map(label).collect())
        .unwrap_or_default()
}

/// Of several descriptions the one in the person's language, else the first.
fn display<'a>(object: &'a Map<String, Value>, locale: &str) -> Option<&'a Map<String, Value>> {
    let all: Vec<&Map<String, Value>> =
        object.get("display")?.as_array()?.iter().filter_map(Value::as_object).collect();
    let language = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let in_language =
        |display: &&&Map<String, Value>| text(display, "locale").is_some_and(|tag| language(tag) == language(locale));
    all.iter().find(in_language).or(all.first()).copied()
}

fn endpoint(metadata: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match metadata.get(name) {
        None => Ok(None),
        Some(Value::String(url)) => Ok(Some(link::take(url, "An address of the issuer")?.as_str().to_owned())),
        Some(_) => Err(malformed("one of its addresses is no text")),
    }
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

fn short(object: &Map<String, Value>, name: &str) -> Option<String> {
    text(object, name).map(cut).filter(|text| !text.is_empty())
}

/// Of words of others no more than fits, without what could reorder or hide text (control and bidirectional marks).
pub(crate) fn cut(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(|c| !hides(*c)).take(LONGEST_NAME).collect::<String>().trim().to_owned()
}

fn malformed(why: &str) -> Refusal {
    Refusal::new("issuer_malformed", format!("What the issuer says about itself cannot be used: {why}."))
}

fn not_supported(why: &str) -> Refusal {
    Refusal::new("issuer_not_supported", format!("This wallet cannot take what is offered: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn offer() -> Offer {
        Offer {
            issuer: "https://dmv.example".to_owned(),
            metadata_url: String::new(),
            configuration_ids: vec!["id".to_owned()],
            code: "c".to_owned(),
            tx_code: None,
            authorization_server: None,
        }
    }

    fn metadata() -> Value {
        json!({
            "credential_issuer": "https://dmv.example",
            "credential_endpoint": "https://dmv.example/credential",
            "nonce_endpoint": "https://dmv.example/nonce",
            "batch_credential_issuance": { "batch_size": 10 },
            "display": [{ "name": "DMV", "locale": "en" }, { "name": "Amt", "locale": "de-DE" }],
            "credential_configurations_supported": { "id": {
                "format": "dc+sd-jwt",
                "vct": "https://dmv.example/credentials/id",
                "cryptographic_binding_methods_supported": ["jwk"],
                "proof_types_supported": { "jwt": { "proof_signing_alg_values_supported": ["ES256", "EdDSA"] } },
                "credential_metadata": {
                    "display": [{ "name": "Digital ID\u{202e}", "locale": "en-US" }],
                    "claims": [{ "path": ["given_name"], "display": [{ "name": "First name" }] }],
                },
            } },
        })
    }

    fn read_changed(change: impl Fn(&mut Value)) -> Result<Issuance, Refusal> {
        let mut metadata = metadata();
        change(&mut metadata);
        read(&offer(), metadata.to_string().as_bytes(), "de")
    }

    #[test]
    fn what_the_wallet_needs() {
        let issuance = read_changed(|_| ()).unwrap();
        assert_eq!(issuance.name.as_deref(), Some("Amt"));
        assert_eq!(issuance.batch, 10);
        assert_eq!(issuance.authorization_server, "https://dmv.example");
        let configuration = &issuance.configurations[0];
        assert_eq!(configuration.title, "Digital ID", "marks that reorder text are cut out");
        assert_eq!((configuration.binding.as_str(), configuration.algorithms[0].as_str()), ("jwk", "ES256"));
        assert_eq!(configuration.labels[0].name, "First name");
        let server = json!({"issuer": "https://dmv.example", "token_endpoint": "https://dmv.example/token"});
        assert_eq!(token_endpoint(&issuance, server.to_string().as_bytes()).unwrap(), "https://dmv.example/token");
        let other = json!({"issuer": "https://evil.example", "token_endpoint": "https://dmv.example/token"});
        assert_eq!(token_endpoint(&issuance, other.to_string().as_bytes()).unwrap_err().code, "issuer_mismatch");
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        let code = |change: &dyn Fn(&mut Value)| read_changed(change).unwrap_err().code;
        assert_eq!(code(&|m| m["credential_issuer"] = "https://dmv.example/".into()), "issuer_mismatch");
        assert_eq!(code(&|m| m["credential_endpoint"] = "javascript:alert(1)".into()), "link_refused");
        assert_eq!(code(&|m| m["nonce_endpoint"] = "http://dmv.example/nonce".into()), "link_refused");
        assert_eq!(code(&|m| m["batch_credential_issuance"]["batch_size"] = 1.into()), "issuer_malformed");
        assert_eq!(code(&|m| m["authorization_servers"] = json!(["data:x,y"])), "link_refused");
        let id = "credential_configurations_supported";
        assert_eq!(code(&|m| m[id]["id"]["format"] = "mso_mdoc".into()), "issuer_not_supported");
        assert_eq!(
            code(&|m| m[id]["id"]["cryptographic_binding_methods_supported"] = json!([])),
            "issuer_not_supported"
        );
        assert_eq!(code(&|m| m[id] = json!({})), "issuer_malformed");
        assert_eq!(
            code(&|m| m["credential_response_encryption"] = json!({"encryption_required": true})),
            "issuer_not_supported"
        );
        let attested = json!({"proof_signing_alg_values_supported": ["ES256"], "key_attestations_required": {}});
        assert_eq!(code(&|m| m[id]["id"]["proof_types_supported"]["jwt"] = attested.clone()), "issuer_not_supported");
    }
}

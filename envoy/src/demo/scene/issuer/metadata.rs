//! What an issuer says about itself: Credential Issuer Metadata (OpenID4VCI 1.0 section 12.2) and the metadata of its own
//! authorization server (RFC 8414, OpenID4VCI 1.0 section 12.3).

use serde_json::{Value, json};

use super::BATCH;

/// The one credential that an issuer makes.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// Its id in `credential_configurations_supported`.
    pub(crate) id: &'static str,
    /// The members that depend on its format: `format`, `vct` or `credential_definition`, …
    pub(crate) members: Value,
    /// How holders' keys may be named.
    pub(crate) binding_methods: &'static [&'static str],
    /// What the card is called.
    pub(crate) title: &'static str,
    /// Its colours: behind the text and of the text.
    pub(crate) colours: [&'static str; 2],
    /// Its claims: each path with a name for people.
    pub(crate) claims: Vec<(Value, &'static str)>,
}

/// Credential Issuer Metadata.
pub(super) fn issuer(url: &str, name: &str, credential: &Configuration) -> Value {
    let claims: Vec<Value> = credential
        .claims
        .iter()
        .map(|(path, name)| json!({ "path": path, "display": [{ "name": name, "locale": "en" }] }))
        .collect();
    let mut configuration = json!({
        "scope": credential.id,
        "cryptographic_binding_methods_supported": credential.binding_methods,
        "credential_signing_alg_values_supported": ["ES256"],
        "proof_types_supported": { "jwt": { "proof_signing_alg_values_supported": super::proof::ALGORITHMS } },
        "credential_metadata": {
            "display": [{
                "name": credential.title,
                "locale": "en",
                "background_color": credential.colours[0],
                "text_color": credential.colours[1],
            }],
            "claims": claims,
        },
    });
    if let (Some(all), Value::Object(members)) = (configuration.as_object_mut(), credential.members.clone()) {
        all.extend(members);
    }
    json!({
        "credential_issuer": url,
        "credential_endpoint": format!("{url}/credential"),
        "nonce_endpoint": format!("{url}/nonce"),
        "batch_credential_issuance": { "batch_size": BATCH },
        "display": [{ "name": name, "locale": "en" }],
        "credential_configurations_supported": { credential.id: configuration },
    })
}

/// Authorization server metadata. Only the pre-authorized code grant is there, so there is no authorization endpoint and
/// `response_types_supported` is empty.
pub(super) fn server(url: &str) -> Value {
    json!({
        "issuer": url,
        "token_endpoint": format!("{url}/token"),
        "response_types_supported": [],
        "grant_types_supported": ["urn:ietf:params:oauth:grant-type:pre-authorized_code"],
        "token_endpoint_auth_methods_supported": ["none"],
        "pre-authorized_grant_anonymous_access_supported": true,
    })
}

//! Who we are at a provider: a client with a secret (RFC 6749 §2.3.1) or a key (RFC 7523 §2.2), and how it is told in a call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carded_verifier::{GatewayKey, Timestamp, json};
use form_urlencoded::Serializer;
use serde_json::Map;

use super::compile::{Environment, read_secret};
use super::config::{ConfigError, Field, LoginConfig, SecretConfig};

/// How long what we sign for a provider is good, in seconds.
const LIFETIME: i64 = 60;
/// How deep a JWK is nested at most.
const DEPTH: usize = 4;
/// The fewest characters of a secret.
const SHORTEST_SECRET: usize = 8;

/// Whether a text is one word that a provider may know us by.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads our secret at a provider. One that is missing, short or undecodable is an error (threat 99).
pub(super) fn read_client_secret(
    secret: &SecretConfig,
    field: &Field,
    environment: Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> String {
    match read_secret(secret, field, environment).map(String::from_utf8) {
        Ok(Ok(secret)) if secret.len() >= SHORTEST_SECRET && !secret.contains(char::is_control) => return secret,
        Ok(_) => {
            errors.push(field.error(format!("it needs at least {SHORTEST_SECRET} characters, and no line break")));
        }
        Err(error) => errors.push(error),
    }
    String::new()
}

/// Reads the secret or the key of a login, of which it has one.
pub(super) fn read_credentials(
    login: &LoginConfig,
    field: &Field,
    environment: Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> (String, Option<GatewayKey>) {
    match (&login.client_secret, &login.private_key_jwt) {
        (Some(secret), None) => (read_client_secret(secret, &field.key("client_secret"), environment, errors), None),
        (None, Some(key)) => {
            if login.auth_method.is_some() {
                errors.push(field.key("auth_method").error("it is how a secret is sent, and there is a key"));
            }
            let field = field.key("private_key_jwt");
            let read = read_secret(key, &field, environment).and_then(|text| {
                let jwk =
                    json::parse_object(&text, DEPTH).map_err(|_| field.error(format!("{} is no JWK", key.env)))?;
                GatewayKey::from_jwk(&jwk).map_err(|why| field.error(format!("{}: {why}", key.env)))
            });
            (String::new(), read.map_err(|error| errors.push(error)).ok())
        }
        _ => {
            errors.push(field.error("it needs either `client_secret` or `private_key_jwt`"));
            (String::new(), None)
        }
    }
}

/// Tells who we are by a signature (RFC 7523 §3, OpenID Connect Core 1.0 §9): `aud` is the issuer, so that it is of use at this
/// provider alone, and `jti` is new each time. Nothing where it cannot be signed.
pub(super) fn assert_client(
    form: &mut Serializer<'_, String>,
    key: &GatewayKey,
    id: &str,
    issuer: &str,
    jti: String,
    now: Timestamp,
) -> Option<()> {
    let mut claims = Map::new();
    for (name, value) in [("iss", id), ("sub", id), ("aud", issuer), ("jti", &jti)] {
        claims.insert(name.to_owned(), value.into());
    }
    for (name, time) in [("iat", now.unix()), ("exp", now.unix().saturating_add(LIFETIME))] {
        claims.insert(name.to_owned(), time.into());
    }
    let assertion = key.sign(&claims)?;
    form.append_pair("client_id", id)
        .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .append_pair("client_assertion", &assertion);
    Some(())
}

/// Tells who we are: in the form, or in `authorization`, which comes back.
pub(super) fn authenticate(form: &mut Serializer<'_, String>, id: &str, secret: &str, in_form: bool) -> Option<String> {
    if in_form {
        form.append_pair("client_id", id).append_pair("client_secret", secret);
        return None;
    }
    // RFC 6749 §2.3.1: both are form-encoded first; a space as `%20`, which those understand too who decode `%` alone
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))))
}

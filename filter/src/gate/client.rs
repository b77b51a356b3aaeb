//! Who we are at a provider: a client with a secret (RFC 6749 §2.3.1), and how it is told in a call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::Serializer;

use super::compile::{Environment, read_secret};
use super::config::{ConfigError, Field, SecretConfig};

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

/// Tells who we are: in the form, or in `authorization`, which comes back.
pub(super) fn authenticate(form: &mut Serializer<'_, String>, id: &str, secret: &str, in_form: bool) -> Option<String> {
    if in_form {
        form.append_pair("client_id", id).append_pair("client_secret", secret);
        return None;
    }
    // RFC 6749 §2.3.1: both are form-encoded first
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))))
}

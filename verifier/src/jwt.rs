//! The parts of a compact JWS that holds a JWT, strictly (RFC 7515 sections 3 to 5, RFC 7519 sections 5 and 7.2, RFC
//! 8725).
//!
//! Of the header only `alg`, `kid` and `typ` are used. `jwk`, `jku`, `x5u` and `x5t` are ignored: providers do send
//! them, and nothing here ever takes a key or an address from a token. `x5c` counts for credentials alone, where a
//! policy names the root that its chain must lead to. What would change how the token is read
//! (`crit`, `b64`, `zip`, a nested `cty`, `enc`) is refused.
use crate::base64url;
use crate::json;
use crate::limits::Limits;
use crate::outcome::Code;
use serde_json::{Map, Value};

/// A token whose shape is sound. Nothing in it is true yet.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    /// what else the header holds
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    /// what is signed: header and payload as they came, with their dot
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

type Refusal = (Code, String);

fn malformed(why: impl Into<String>) -> Refusal {
    (Code::TokenMalformed, why.into())
}

/// Splits and decodes a token that is within the size limit.
pub(crate) fn parse<'a>(token: &'a [u8], limits: &Limits) -> Result<Token<'a>, Refusal> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (header, payload, signature) = match (parts.next(), parts.next(), parts.next(), parts.count()) {
        (Some(header), Some(payload), Some(signature), 0) => (header, payload, signature),
        (_, _, _, 2) => return Err((Code::EncryptedToken, "five parts: a JWE".to_owned())),
        _ => return Err(malformed("not three parts with dots between")),
    };
    if header.is_empty() || payload.is_empty() {
        return Err(malformed("an empty part"));
    }
    let mut header = object(header, limits, "header")?;
    let alg = text(&mut header, "alg")?.ok_or_else(|| malformed("the header has no `alg`"))?;
    if signature.is_empty() {
        // refused either way; the code says what was tried
        return Err(if alg.eq_ignore_ascii_case("none") {
            (Code::AlgorithmNotAllowed, "`alg` is none: the token is not signed".to_owned())
        } else {
            malformed("an empty part")
        });
    }
    let kid = text(&mut header, "kid")?;
    let typ = text(&mut header, "typ")?;
    refuse_unusual(&header)?;
    let claims = object(payload, limits, "payload")?;
    let signature = base64url::decode(signature).map_err(|error| malformed(format!("the signature is {error}")))?;
    // the first two parts and the dot between them
    let end = token.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
    let message = token.get(..end).unwrap_or_default();
    Ok(Token { alg, kid, typ, header, claims, message, signature })
}

fn object(part: &[u8], limits: &Limits, which: &str) -> Result<Map<String, Value>, Refusal> {
    let bytes = base64url::decode(part).map_err(|error| malformed(format!("the {which} is {error}")))?;
    json::parse_object(&bytes, limits.json_depth).map_err(|error| malformed(format!("the {which}: {error}")))
}

fn text(header: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match header.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(malformed(format!("`{name}` in the header is no text"))),
    }
}

/// Whatever asks for another reading of the token than the plain one.
fn refuse_unusual(header: &Map<String, Value>) -> Result<(), Refusal> {
    // no extension is understood, so any `crit` is one too many (RFC 7515 section 4.1.11); `b64` comes only with it
    // (RFC 7797 section 6), and `zip` only in a JWE (RFC 7516 section 4.1.3)
    for name in ["crit", "b64", "zip"] {
        if header.contains_key(name) {
            return Err((Code::CriticalHeader, format!("`{name}` in the header is not supported")));
        }
    }
    if header.contains_key("enc") {
        return Err((Code::EncryptedToken, "`enc` in the header".to_owned()));
    }
    match header.get("cty") {
        Some(Value::String(cty)) if bare_type(cty) == "jwt" => {
            Err((Code::EncryptedToken, "a token within the token (`cty`)".to_owned()))
        }
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(malformed("`cty` in the header is no text")),
    }
}

/// A media type in lower case and without the `application/` that may be left out (RFC 7515 section 4.1.9).
pub(crate) fn bare_type(typ: &str) -> String {
    let lower = typ.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(bare) if !bare.contains('/') => bare.to_owned(),
        _ => lower,
    }
}

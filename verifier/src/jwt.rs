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
use carded_text::cut_at_dot;
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
    let (header, rest) = cut_at_dot(token).ok_or_else(|| not_three(token))?;
    let (payload, signature) = cut_at_dot(rest).ok_or_else(|| not_three(token))?;
    // a dot is no base64url, so that only what cannot be decoded may have more of them
    let decoded = base64url::decode(signature);
    if decoded.is_err() && signature.contains(&b'.') {
        return Err(not_three(token));
    }
    if header.is_empty() || payload.is_empty() {
        return Err(malformed("an empty part"));
    }
    let part_lengths = header.len().saturating_add(payload.len());
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
    let signature = decoded.map_err(|error| malformed(format!("the signature is {error}")))?;
    // the first two parts and the dot between them
    let end = part_lengths.saturating_add(1);
    let message = token.get(..end).unwrap_or_default();
    Ok(Token { alg, kid, typ, header, claims, message, signature })
}

#[cold]
fn not_three(token: &[u8]) -> Refusal {
    match token.iter().filter(|byte| **byte == b'.').count() {
        4 => (Code::EncryptedToken, "five parts: a JWE".to_owned()),
        _ => malformed("not three parts with dots between"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_01_the_number_of_dots_is_seen_before_all_else() {
        let code = |token: &str| parse(token.as_bytes(), &Limits::default()).map(|_| ()).unwrap_err();
        let three = "not three parts with dots between";
        for token in ["", "a", "a.b", "a.b.c.d", "...", "a.b.c.d.e.f", ".....", "e30.e30.c2ln.", "e30.e30.c2ln.x"] {
            assert_eq!(code(token), malformed(three), "{token}");
        }
        for token in ["a.b.c.d.e", "....", "e30.e30.c2ln.e30.e30", "?.?.?.?.?"] {
            assert_eq!(code(token).0, Code::EncryptedToken, "{token}");
        }
        // in the order of the parts
        assert_eq!(code("..?"), malformed("an empty part"));
        assert_eq!(code("?.?.?").1, "the header is not canonical base64url without padding");
        assert_eq!(code("e30.?.?").1, "the header has no `alg`");
        let header = base64url::encode(r#"{"alg":"EdDSA"}"#);
        assert_eq!(code(&format!("{header}.?.?")).1, "the payload is not canonical base64url without padding");
        assert_eq!(code(&format!("{header}.e30.?")).1, "the signature is not canonical base64url without padding");
        assert_eq!(code(&format!("{header}.e30.")), malformed("an empty part"));
        let token = format!("{header}.e30.c2ln");
        let parsed = parse(token.as_bytes(), &Limits::default()).unwrap();
        assert_eq!((parsed.message, parsed.signature.as_slice()), (format!("{header}.e30").as_bytes(), &b"sig"[..]));
    }
}

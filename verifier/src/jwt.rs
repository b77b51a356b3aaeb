//! The parts of a compact JWS that holds a JWT, strictly (RFC 7515 sections 3 to 5, RFC 7519 sections 5 and 7.2, RFC
//! 8725).
//!
//! Of the header only `alg`, `kid` and `typ` are used. `jwk`, `jku`, `x5u` and `x5t` are ignored: providers do send
//! them, and nothing here ever takes a key or an address from a token. `x5c` counts for credentials alone, where a
//! policy names the root that its chain must lead to. What would change how the token is read
//! (`crit`, `b64`, `zip`, a nested `cty`, `enc`) is refused.
use crate::base64url;
use crate::json::{self, JsonError, Members};
use crate::limits::Limits;
use crate::outcome::Code;
use carded_text::cut_at_dot;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::{Arc, Mutex};

/// A token whose shape is sound. Nothing in it is true yet.
#[derive(Debug)]
pub(crate) struct Token<'a, C = Map<String, Value>> {
    pub(crate) alg: Arc<str>,
    pub(crate) kid: Option<Arc<str>>,
    pub(crate) typ: Option<Arc<str>>,
    /// what else the header holds
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: C,
    /// what is signed: header and payload as they came, with their dot
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
    /// whether its header was met before
    pub(crate) known: bool,
}

type Refusal = (Code, String);

fn malformed(why: impl Into<String>) -> Refusal {
    (Code::TokenMalformed, why.into())
}

/// The headers of tokens that held, as they were read: most tokens of an issuer have the same.
///
/// There are few, and none gets in by a token that does not hold. Only those that say nothing but `alg`, `kid` and `typ`.
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    heads: [Option<Head>; Heads::MOST],
    next: usize,
}

#[derive(Debug)]
struct Head {
    /// as it came, in base64url
    text: Box<[u8]>,
    alg: Arc<str>,
    kid: Option<Arc<str>>,
    typ: Option<Arc<str>>,
}

impl Heads {
    const MOST: usize = 8;
    /// The longest that is kept, in bytes.
    const LONGEST: usize = 512;

    /// `alg`, `kid` and `typ` of a header that says nothing else.
    fn find(&self, text: &[u8]) -> Option<Header> {
        let kept = self.0.try_lock().ok()?;
        let head = kept.heads.iter().flatten().find(|head| *head.text == *text)?;
        Some((Arc::clone(&head.alg), head.kid.clone(), head.typ.clone(), Map::new()))
    }

    /// Keeps the header of a token that holds.
    pub(crate) fn keep(&self, token: &Token<'_, Members>) {
        if token.known || !token.header.is_empty() {
            return;
        }
        let Some((text, _)) = cut_at_dot(token.message).filter(|(text, _)| text.len() <= Self::LONGEST) else { return };
        let Ok(mut kept) = self.0.try_lock() else { return };
        let next = kept.next % Self::MOST;
        kept.next = next.wrapping_add(1);
        if let Some(place) = kept.heads.get_mut(next) {
            let (alg, kid, typ) = (Arc::clone(&token.alg), token.kid.clone(), token.typ.clone());
            *place = Some(Head { text: text.into(), alg, kid, typ });
        }
    }
}

/// Splits and decodes a token that is within the size limit.
pub(crate) fn parse<'a>(token: &'a [u8], limits: &Limits) -> Result<Token<'a>, Refusal> {
    parse_with(token, limits, None, |bytes, depth| json::parse_object(&bytes, depth))
}

/// The same for claims that are looked at and left, with the headers that were met before under the same limits.
pub(crate) fn parse_among<'a>(token: &'a [u8], limits: &Limits, heads: &Heads) -> Result<Token<'a, Members>, Refusal> {
    parse_with(token, limits, Some(heads), json::parse_members)
}

#[inline]
fn parse_with<'a, C>(
    token: &'a [u8],
    limits: &Limits,
    heads: Option<&Heads>,
    claims_of: fn(Vec<u8>, usize) -> Result<C, JsonError>,
) -> Result<Token<'a, C>, Refusal> {
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
    let found = heads.and_then(|heads| heads.find(header));
    let known = found.is_some();
    let (alg, kid, typ, header) = match found {
        Some(found) => found,
        None => read_header(header, signature, limits)?,
    };
    if signature.is_empty() {
        return Err(malformed("an empty part"));
    }
    let claims = object(payload, limits, "payload", claims_of)?;
    let signature = decoded.map_err(|error| malformed(format!("the signature is {error}")))?;
    // the first two parts and the dot between them
    let end = part_lengths.saturating_add(1);
    let message = token.get(..end).unwrap_or_default();
    Ok(Token { alg, kid, typ, header, claims, message, signature, known })
}

type Header = (Arc<str>, Option<Arc<str>>, Option<Arc<str>>, Map<String, Value>);

/// `alg`, `kid`, `typ` and what else a header holds; the signature only says what to refuse it for.
fn read_header(part: &[u8], signature: &[u8], limits: &Limits) -> Result<Header, Refusal> {
    let mut header = object(part, limits, "header", |bytes, depth| json::parse_object(&bytes, depth))?;
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
    Ok((alg, kid, typ, header))
}

#[cold]
fn not_three(token: &[u8]) -> Refusal {
    match token.iter().filter(|byte| **byte == b'.').count() {
        4 => (Code::EncryptedToken, "five parts: a JWE".to_owned()),
        _ => malformed("not three parts with dots between"),
    }
}

fn object<C>(
    part: &[u8],
    limits: &Limits,
    which: &str,
    read: fn(Vec<u8>, usize) -> Result<C, JsonError>,
) -> Result<C, Refusal> {
    let bytes = base64url::decode(part).map_err(|error| malformed(format!("the {which} is {error}")))?;
    read(bytes, limits.json_depth).map_err(|error| malformed(format!("the {which}: {error}")))
}

fn text(header: &mut Map<String, Value>, name: &str) -> Result<Option<Arc<str>>, Refusal> {
    match header.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.into())),
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
pub(crate) fn bare_type(typ: &str) -> Cow<'_, str> {
    let bare = |lower: &str| match lower.strip_prefix("application/") {
        Some(bare) if !bare.contains('/') => lower.len().saturating_sub(bare.len()),
        _ => 0,
    };
    if typ.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let mut lower = typ.to_ascii_lowercase();
        lower.drain(..bare(&lower));
        return Cow::Owned(lower);
    }
    Cow::Borrowed(typ.get(bare(typ)..).unwrap_or(typ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_was_met_is_read_as_the_first_time() {
        let limits = Limits::default();
        let heads = Heads::default();
        let part = |text: &str| base64url::encode(text);
        let of = |header: &str, rest: &str| format!("{}.{rest}", part(header));
        let plain = r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#;
        let keep = |token: &str| heads.keep(&parse_among(token.as_bytes(), &limits, &heads).unwrap());
        keep(&of(plain, "e30.c2ln"));
        for rest in ["e30.c2ln", "eyJhIjoxfQ.c2k", "e30.", ".c2ln", "?.c2ln", "e30.?", "e30.c2ln.", "e30", ""] {
            let token = of(plain, rest);
            let met = parse_among(token.as_bytes(), &limits, &heads);
            let expected = parse(token.as_bytes(), &limits);
            assert_eq!(met.as_ref().map(|met| met.known).ok(), expected.as_ref().map(|_| true).ok(), "{rest}");
            let met = met.map(|met| (met.alg, met.kid, met.typ, met.header, met.claims.to_map(), met.signature));
            let expected = expected.map(|it| (it.alg, it.kid, it.typ, it.header, it.claims, it.signature));
            assert_eq!(met, expected, "{rest}");
        }
        // what says more is read each time
        let more = of(r#"{"alg":"ES256","x5c":[]}"#, "e30.c2ln");
        keep(&more);
        assert!(!parse_among(more.as_bytes(), &limits, &heads).unwrap().known);
        // few are kept
        for number in 0..Heads::MOST {
            keep(&of(&format!(r#"{{"alg":"ES256","kid":"{number}"}}"#), "e30.c2ln"));
        }
        assert!(!parse_among(of(plain, "e30.c2ln").as_bytes(), &limits, &heads).unwrap().known);
        let long = of(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(Heads::LONGEST)), "e30.c2ln");
        keep(&long);
        assert!(!parse_among(long.as_bytes(), &limits, &heads).unwrap().known);
    }

    #[test]
    fn a_media_type_is_bare_in_any_case() {
        for (typ, bare) in [
            ("JWT", "jwt"),
            ("at+jwt", "at+jwt"),
            ("application/at+jwt", "at+jwt"),
            ("Application/AT+JWT", "at+jwt"),
            ("application/x/jwt", "application/x/jwt"),
            ("APPLICATION/x/jwt", "application/x/jwt"),
            ("application/", ""),
            ("text/jwt", "text/jwt"),
            ("\u{c9}/jwt", "\u{c9}/jwt"),
            ("", ""),
        ] {
            assert_eq!(bare_type(typ), bare, "{typ}");
        }
    }

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

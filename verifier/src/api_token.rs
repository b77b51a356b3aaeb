//! API tokens, in the way of personal access tokens: opaque, with a prefix and a checksum by which scanners find them,
//! known to us by their SHA-256 only.
//!
//! `carded_`, 30 random letters and digits (178 bits), and the CRC-32 of these 30 in six more (base 62, `0-9A-Za-z`). A text
//! whose checksum does not hold is refused before anything is looked up. What is looked up is the whole SHA-256, so that
//! the time a comparison takes tells nothing that helps: nobody can choose a token by its hash.
use crate::condensed::{Basis, Condensed, Window};
use crate::date::DateTime;
use crate::documents::{Documents, Found, Stored};
use crate::fetch::Fetch;
use crate::json;
use crate::limits::Limits;
use crate::outcome::{Check, Code, Denied, Outcome};
use crate::time::Timestamp;
use crate::trust::{Compiled, IssuerIndex, Trust};
use crate::url::HttpsUrl;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;

/// What every token begins with.
pub const PREFIX: &str = "carded_";
const RANDOM: usize = 30;
const CHECKSUM: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// One token, as it is known.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    sha256: [u8; 32],
    owner: String,
    scopes: Vec<String>,
    expires: Option<Timestamp>,
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken").finish_non_exhaustive()
    }
}

/// The tokens of one name in the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiTokens {
    /// The name: `[a-z0-9_-]+`.
    pub name: String,
    /// Where they are.
    pub source: ApiTokenSource,
}

/// Where the tokens of one name are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApiTokenSource {
    /// Here.
    Inline(Vec<ApiToken>),
    /// In the document at this address: `{"tokens": [{"sha256", "owner", "scopes", "expires"}, …]}`.
    Uri(HttpsUrl),
}

impl ApiToken {
    /// A token by its SHA-256 in hex, its owner and scopes, and when it ends: a time in RFC 3339, in UTC.
    ///
    /// # Errors
    /// What is wrong.
    pub fn new(sha256: &str, owner: &str, scopes: Vec<String>, expires: Option<&str>) -> Result<Self, &'static str> {
        let sha256 = from_hex(sha256).ok_or("`sha256` is no SHA-256 in hex")?;
        if owner.is_empty() {
            return Err("`owner` is empty");
        }
        if scopes.iter().any(|scope| scope.is_empty() || scope.contains(' ')) {
            return Err("a scope is empty or has a space");
        }
        let expires = match expires {
            None => None,
            Some(text) => Some(DateTime::parse(text).ok_or("`expires` is no time like 2027-01-31T00:00:00Z")?.floor),
        };
        Ok(Self { sha256, owner: owner.to_owned(), scopes, expires })
    }
}

/// Reads the document that lists tokens.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Vec<ApiToken>, String> {
    let mut document = json::parse_object(bytes, limits.json_depth).map_err(|error| error.to_string())?;
    let Some(Value::Array(entries)) = document.remove("tokens") else {
        return Err("it has no array `tokens`".to_owned());
    };
    let tokens: Result<Vec<_>, _> = entries.iter().map(of_json).collect();
    Ok(tokens?)
}

fn of_json(entry: &Value) -> Result<ApiToken, &'static str> {
    let text = |name: &str| match entry.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err("a member of a token is no text"),
    };
    let scopes = match entry.get("scopes") {
        None => Vec::new(),
        Some(Value::Array(scopes)) => {
            let scopes = scopes.iter().map(|scope| scope.as_str().map(str::to_owned)).collect::<Option<_>>();
            scopes.ok_or("a scope is no text")?
        }
        Some(_) => return Err("`scopes` is no array"),
    };
    let known = ["sha256", "owner", "scopes", "expires"];
    if !entry.as_object().is_some_and(|entry| entry.keys().all(|name| known.contains(&name.as_str()))) {
        return Err("a token has a member that is not known");
    }
    ApiToken::new(text("sha256")?.unwrap_or_default(), text("owner")?.unwrap_or_default(), scopes, text("expires")?)
}

/// Makes a token from random bytes; nothing where there are none. The token, and the SHA-256 by which it is to be known.
pub fn generate(random: &mut dyn FnMut(&mut [u8]) -> bool) -> Option<(String, String)> {
    let mut text = String::from(PREFIX);
    while text.len() < PREFIX.len() + RANDOM {
        let mut byte = [0];
        if !random(&mut byte) {
            return None;
        }
        // the largest multiple of 62 in a byte: each character is as likely as any other
        if byte[0] < 248 {
            text.push(char::from(*BASE62.get(usize::from(byte[0] % 62))?));
        }
    }
    let checksum = checksum(text.as_bytes().get(PREFIX.len()..)?);
    text.extend(checksum.map(char::from));
    let hash = to_hex(&sha256(text.as_bytes()));
    Some((text, hash))
}

/// Whether it is a token of ours in form: the prefix, the length, the alphabet and the checksum.
pub fn is_well_formed(text: &[u8]) -> bool {
    let Some((random, sum)) = text.strip_prefix(PREFIX.as_bytes()).and_then(|rest| rest.split_at_checked(RANDOM))
    else {
        return false;
    };
    random.iter().all(u8::is_ascii_alphanumeric) && sum == checksum(random)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    // CRC-32 of ISO 3309, as in gzip
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    let mut left = !crc;
    let mut text = [b'0'; CHECKSUM];
    for digit in text.iter_mut().rev() {
        *digit = BASE62.get((left % 62) as usize).copied().unwrap_or(b'0');
        left /= 62;
    }
    text
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = pair.iter().try_fold(0_u8, |all, digit| Some(all << 4 | char::from(*digit).to_digit(16)? as u8))?;
    }
    Some(bytes)
}

fn to_hex(bytes: &[u8; 32]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What `iss` is of the owners of a set's tokens.
pub(crate) fn iss(name: &str) -> String {
    format!("urn:carded:api_tokens:{name}")
}

/// Verifies an API token against the sets that are accepted, at `now`.
///
/// Its claims are `owner` (and the same as `sub`) and `scope`, an array.
pub fn verify_api_token(
    text: &[u8],
    accepted: &[IssuerIndex],
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
    paths: impl Fn(IssuerIndex) -> std::sync::Arc<[crate::ClaimPath]>,
) -> Outcome<(Condensed, Basis)> {
    if !is_well_formed(text) {
        return denied(Check::Parse, Code::TokenMalformed, "this is no API token: its checksum does not hold", None);
    }
    let hash = sha256(text);
    for compiled in accepted.iter().filter_map(|index| trust.compiled(*index)) {
        let Some(source) = &compiled.api_tokens else { continue };
        let (tokens, basis) = match tokens_of(compiled, source, known, now) {
            Ok(found) => found,
            Err(Missing::Need(fetch)) => return Outcome::Need(fetch),
            Err(Missing::Unavailable(left)) => {
                let why = "the list of API tokens could not be fetched";
                return denied(Check::Key, Code::KeysUnavailable, why, Some(left));
            }
        };
        let Some(token) = tokens.iter().find(|token| token.sha256 == hash) else { continue };
        if token.expires.is_some_and(|expires| expires <= now) {
            return denied(Check::Time, Code::TokenExpired, "the API token has expired: get a new one", None);
        }
        let until = token.expires.unwrap_or(Timestamp::from_unix(i64::MAX));
        let window = Window { from: Timestamp::from_unix(i64::MIN), until };
        let mut claims = Map::new();
        for name in ["sub", "owner"] {
            claims.insert(name.to_owned(), Value::from(token.owner.as_str()));
        }
        claims.insert("scope".to_owned(), Value::from(token.scopes.as_slice()));
        let paths = paths(compiled.index);
        return Outcome::Verified((
            Condensed::of_api_token(compiled, window, &claims, &to_hex(&hash), trust, &paths),
            basis,
        ));
    }
    denied(Check::Signature, Code::ApiTokenUnknown, "this API token is not known here", None)
}

fn denied<T>(check: Check, code: Code, detail: &str, retry_after: Option<Duration>) -> Outcome<T> {
    Outcome::Denied(Denied { code, check, detail: detail.to_owned(), retry_after, passed: Vec::new() })
}

enum Missing {
    Need(Fetch),
    Unavailable(Duration),
}

fn tokens_of<'a>(
    compiled: &'a Compiled,
    source: &'a ApiTokenSource,
    known: &'a Documents,
    now: Timestamp,
) -> Result<(&'a [ApiToken], Basis), Missing> {
    let (ApiTokenSource::Uri(_), Some(fetch)) = (source, &compiled.first) else {
        let ApiTokenSource::Inline(tokens) = source else { return Err(Missing::Unavailable(Duration::from_secs(1))) };
        return Ok((tokens, Basis { revision: None, until: None, version: known.version() }));
    };
    match known.find(fetch.slot(), Some(fetch), now) {
        Found::Need => Err(Missing::Need(fetch.clone())),
        Found::Unavailable(left) => Err(Missing::Unavailable(left)),
        Found::Document(document) => {
            let basis = basis_of(document, known);
            document.api_tokens().map(|tokens| (tokens, basis)).ok_or_else(|| Missing::Need(fetch.clone()))
        }
    }
}

fn basis_of(document: &Stored, known: &Documents) -> Basis {
    Basis { revision: Some(document.revision()), until: Some(document.expires()), version: known.version() }
}

/// What a verdict on a token of a set rests on now.
pub(crate) fn basis(compiled: &Compiled, known: &Documents, now: Timestamp) -> Option<Basis> {
    tokens_of(compiled, compiled.api_tokens.as_ref()?, known, now).ok().map(|(_, basis)| basis)
}

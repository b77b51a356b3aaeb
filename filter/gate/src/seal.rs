//! What a person carries for us, sealed: XChaCha20-Poly1305 with random nonces of 192 bits, safe for a fleet that shares
//! a key (draft-irtf-cfrg-xchacha §3.1).
//!
//! Authenticated with the text are the purpose, the public origin, what evidence means in this configuration, what it is
//! bound to (a browser's secret, or nothing) and the time of sealing, each with its length (threats 67 and 100). Nothing
//! sealed for one of them opens for another; what does not open says nothing about why.

use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, PAD, URL_SAFE_NO_PAD};
use carded_verifier::{Timestamp, json};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;
use std::time::Duration;

use super::compile::Environment;
use super::config::tree::{self, FromNode};
use super::config::{ConfigError, Field, KeyReference};

/// The first byte of everything that is sealed.
const VERSION: u8 = 1;
const NONCE: usize = 24;
/// version, time, nonce
const HEAD: usize = 1 + 8 + NONCE;
const TAG: usize = 16;
/// The most keys that are tried.
const MAX_KEYS: usize = 8;
/// The longest text that is opened: as long as a cookie may be (RFC 6265 §6.1).
pub(super) const LONGEST: usize = 4096;

/// What something is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What was asked of a wallet: `state` of the request.
    Asked,
    /// What the browser keeps of a transaction: its cookie.
    Transaction,
    /// What came of it: `response_code`.
    Answer,
    /// What was shown: the session's cookie.
    Session,
    /// A nonce for programs.
    Challenge,
    /// A token for programs.
    Token,
    /// A provider's token.
    Exchanged,
    /// What the browser keeps of a login: its cookie.
    Login,
    /// A nonce for DPoP proofs.
    Nonce,
    /// A provider's refresh token.
    Refresh,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Transaction => "transaction",
            Self::Answer => "answer",
            Self::Session => "session",
            Self::Challenge => "challenge",
            Self::Token => "token",
            Self::Exchanged => "exchanged",
            Self::Login => "login",
            Self::Nonce => "nonce",
            Self::Refresh => "refresh",
        }
    }
}

/// Where and for what something is sealed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) purpose: Purpose,
    /// Our public origin.
    pub(super) origin: &'a str,
    /// What else it belongs to: the hash of a browser's secret, or nothing.
    pub(super) to: &'a [u8],
}

/// A source of random bytes; false where there are none.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]) -> bool;

/// The keys: the first seals, all open.
pub(super) struct Sealer {
    keys: Vec<XChaCha20Poly1305>,
    meaning: [u8; 32],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Reads the keys. One that is missing, short or undecodable is an error (threat 99).
    pub(super) fn new(
        keys: &[KeyReference],
        meaning: [u8; 32],
        field: &Field,
        environment: Environment<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Self> {
        if keys.is_empty() || keys.len() > MAX_KEYS {
            errors.push(field.error(format!("name between one and {MAX_KEYS} keys: the first seals, all open")));
            return None;
        }
        let mut ciphers = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            match read_key(&key.env, environment) {
                Ok(cipher) => ciphers.push(cipher),
                Err(why) => errors.push(field.at(index).error(why)),
            }
        }
        (ciphers.len() == keys.len()).then_some(Self { keys: ciphers, meaning })
    }

    /// Seals a value.
    pub(super) fn seal(
        &self,
        binding: Binding<'_>,
        value: &impl Serialize,
        now: Timestamp,
        random: Random<'_>,
    ) -> Option<String> {
        let text = serde_json::to_vec(value).ok()?;
        let mut nonce = [0; NONCE];
        if !random(&mut nonce) {
            return None;
        }
        let time = now.unix();
        let payload = Payload { msg: &text, aad: &self.authenticated(binding, time) };
        let sealed = self.keys.first()?.encrypt(&XNonce::from(nonce), payload).ok()?;
        let mut bytes = Vec::with_capacity(HEAD.saturating_add(sealed.len()));
        bytes.push(VERSION);
        bytes.extend(time.to_be_bytes());
        bytes.extend(nonce);
        bytes.extend(sealed);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens what was sealed at most `longest` ago.
    pub(super) fn open<T: FromNode>(
        &self,
        binding: Binding<'_>,
        text: &[u8],
        now: Timestamp,
        longest: Duration,
    ) -> Option<T> {
        self.open_dated(binding, text, now, longest).map(|(value, _)| value)
    }

    /// The same, and when it was sealed.
    pub(super) fn open_dated<T: FromNode>(
        &self,
        binding: Binding<'_>,
        text: &[u8],
        now: Timestamp,
        longest: Duration,
    ) -> Option<(T, Timestamp)> {
        self.open_long(binding, text, now, longest, LONGEST)
    }

    /// The same of a text of at most so many bytes.
    pub(super) fn open_long<T: FromNode>(
        &self,
        binding: Binding<'_>,
        text: &[u8],
        now: Timestamp,
        longest: Duration,
        most: usize,
    ) -> Option<(T, Timestamp)> {
        let (opened, issued) = self.open_value(binding, text, now, longest, most)?;
        Some((tree::read(&opened).ok()?, issued))
    }

    /// What was sealed, whatever it is.
    fn open_value(
        &self,
        binding: Binding<'_>,
        text: &[u8],
        now: Timestamp,
        longest: Duration,
        most: usize,
    ) -> Option<(Value, Timestamp)> {
        if text.len() > most {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        if bytes.len() < HEAD.saturating_add(TAG) {
            return None;
        }
        let (version, rest) = bytes.split_first()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let time = i64::from_be_bytes(*time);
        let issued = Timestamp::from_unix(time);
        if *version != VERSION || !is_in_time(issued, now, longest) {
            return None;
        }
        let aad = self.authenticated(binding, time);
        let nonce = XNonce::from(*nonce);
        let opened = self.keys.iter().find_map(|key| key.decrypt(&nonce, Payload { msg: sealed, aad: &aad }).ok())?;
        Some((json::parse_value(&opened, json::DEEPEST).ok()?, issued))
    }

    fn authenticated(&self, binding: Binding<'_>, time: i64) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(time.to_be_bytes());
        bytes.extend(self.meaning);
        for part in [binding.purpose.name().as_bytes(), binding.origin.as_bytes(), binding.to] {
            bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// When a text was sealed, as it says itself: true for one that was opened.
pub(super) fn issued_of(text: &[u8]) -> Option<Timestamp> {
    // version and time, nine bytes, are twelve characters
    let bytes = URL_SAFE_NO_PAD.decode(text.get(..12)?).ok()?;
    let (_, time) = bytes.split_first()?;
    Some(Timestamp::from_unix(i64::from_be_bytes(time.try_into().ok()?)))
}

/// By so much the clocks of a fleet may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);

/// Whether what was sealed then is good now, if it is good for so long.
pub(super) fn is_in_time(issued: Timestamp, now: Timestamp, longest: Duration) -> bool {
    issued <= now.saturating_add(LEEWAY) && issued.saturating_add(longest) > now
}

/// Whether a text says itself that it is good now: one that does and does not open was never sealed here.
pub(super) fn claims_to_hold(text: &[u8], now: Timestamp, longest: Duration) -> bool {
    issued_of(text).is_some_and(|issued| is_in_time(issued, now, longest))
}

/// A key from its environment variable: at least 32 bytes in base64.
fn read_key(name: &str, environment: Environment<'_>) -> Result<XChaCha20Poly1305, String> {
    let secret = read_secret(name, environment)?;
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, &secret)
        .expand(b"carded sealed 1", &mut key)
        .map_err(|_| format!("{name} cannot be used"))?;
    Ok(XChaCha20Poly1305::new(&key.into()))
}

/// A secret from its environment variable: at least 32 bytes in base64, of either alphabet, padded or not.
pub(super) fn read_secret(name: &str, environment: Environment<'_>) -> Result<Vec<u8>, String> {
    const LENIENT: GeneralPurposeConfig = PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = environment(name).ok_or_else(|| {
        format!("the environment variable {name} is not there: name it in vm_config.environment_variables.host_env_keys and set it for the proxy")
    })?;
    let text = text.trim();
    let url_safe = text.contains(['-', '_']);
    let alphabet = if url_safe { &base64::alphabet::URL_SAFE } else { &base64::alphabet::STANDARD };
    let secret = GeneralPurpose::new(alphabet, LENIENT)
        .decode(text)
        .map_err(|_| format!("{name} is no base64: make one with `openssl rand -base64 32`"))?;
    if secret.len() < 32 {
        return Err(format!(
            "{name} has {} bytes, 32 are needed: make it with `openssl rand -base64 32`",
            secret.len()
        ));
    }
    Ok(secret)
}

/// HMAC-SHA-256 (RFC 2104), which is what the first step of HKDF is (RFC 5869 §2.2).
pub(super) fn hmac(secret: &[u8], message: &[u8]) -> [u8; 32] {
    Hkdf::<Sha256>::extract(Some(secret), message).0.into()
}

/// Random bytes as text.
pub(super) fn random_text<const N: usize>(random: Random<'_>) -> Option<String> {
    let mut bytes = [0; N];
    random(&mut bytes).then(|| URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    pub(crate) fn counting() -> impl FnMut(&mut [u8]) -> bool {
        let mut next = 0_u8;
        move |bytes: &mut [u8]| {
            for byte in bytes {
                next = next.wrapping_add(1);
                *byte = next;
            }
            true
        }
    }

    fn sealer(names: &[&str], meaning: [u8; 32]) -> Sealer {
        let keys: Vec<_> = names.iter().map(|name| KeyReference { env: (*name).to_owned() }).collect();
        let environment = |name: &str| Some(STANDARD.encode(format!("{name}-0123456789abcdef0123456789abcdef")));
        Sealer::new(&keys, meaning, &Field::top("sessions"), &environment, &mut Vec::new()).unwrap()
    }

    const AT: Binding<'_> = Binding { purpose: Purpose::Session, origin: "https://a.example", to: b"x" };

    fn now(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_790_000_000 + seconds)
    }

    #[test]
    fn threat_100_what_is_sealed_for_one_purpose_origin_or_configuration_opens_for_no_other() {
        let ours = sealer(&["A"], [1; 32]);
        let sealed = ours.seal(AT, &"text", now(0), &mut counting()).unwrap();
        let open = |sealer: &Sealer, binding: Binding<'_>| {
            sealer.open::<String>(binding, sealed.as_bytes(), now(5), Duration::from_secs(60))
        };
        assert_eq!(open(&ours, AT).as_deref(), Some("text"));
        assert_eq!(open(&sealer(&["B", "A"], [1; 32]), AT).as_deref(), Some("text"), "an older key still opens");
        assert_eq!(open(&sealer(&["B"], [1; 32]), AT), None);
        assert_eq!(open(&sealer(&["A"], [2; 32]), AT), None);
        assert_eq!(open(&ours, Binding { purpose: Purpose::Token, ..AT }), None);
        assert_eq!(open(&ours, Binding { origin: "https://a.example.evil", ..AT }), None);
        assert_eq!(open(&ours, Binding { to: b"", ..AT }), None);
    }

    #[test]
    fn threat_67_the_border_between_two_authenticated_parts_cannot_be_moved() {
        let ours = sealer(&["A"], [1; 32]);
        let sealed = ours.seal(AT, &"text", now(0), &mut counting()).unwrap();
        let moved = Binding { origin: "https://a.examplex", to: b"", ..AT };
        assert_eq!(ours.open::<String>(moved, sealed.as_bytes(), now(5), Duration::from_secs(60)), None);
        assert_ne!(ours.authenticated(AT, 0), ours.authenticated(moved, 0));
    }

    #[test]
    fn it_ends_when_its_time_is_over_and_the_time_cannot_be_changed() {
        let ours = sealer(&["A"], [1; 32]);
        let sealed = ours.seal(AT, &"text", now(0), &mut counting()).unwrap();
        let open = |text: &[u8], at| ours.open::<String>(AT, text, now(at), Duration::from_secs(60));
        assert!(open(sealed.as_bytes(), 59).is_some());
        assert!(open(sealed.as_bytes(), 60).is_none());
        assert!(open(sealed.as_bytes(), -61).is_none());
        let mut later = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        later[8] += 30;
        assert!(open(URL_SAFE_NO_PAD.encode(later).as_bytes(), 70).is_none());
    }

    #[test]
    fn threat_66_a_damaged_one_is_a_strangers() {
        let ours = sealer(&["A"], [1; 32]);
        let sealed = ours.seal(AT, &"text", now(0), &mut counting()).unwrap();
        let open = |text: &[u8]| ours.open::<String>(AT, text, now(0), Duration::from_secs(60));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            assert!(open(&damaged).is_none(), "{at}");
            assert!(open(&sealed.as_bytes()[..at]).is_none(), "{at}");
        }
        assert!(open(b"").is_none());
        assert!(open(&[b'A'; LONGEST + 1]).is_none());
        assert!(open("é".as_bytes()).is_none());
    }

    #[test]
    fn threat_99_a_key_that_is_missing_short_or_undecodable_is_refused() {
        let read = |text: Option<&str>| read_key("K", &|_| text.map(str::to_owned)).err();
        assert!(read(None).unwrap().contains("not there"));
        assert!(read(Some("short")).is_some());
        assert!(read(Some(&STANDARD.encode([7; 31]))).unwrap().contains("31 bytes"));
        assert!(read(Some("!!!")).unwrap().contains("no base64"));
        assert!(read(Some("")).is_some());
        assert!(read(Some(&STANDARD.encode([7; 32]))).is_none());
        assert!(read(Some(&format!("{}\n", URL_SAFE_NO_PAD.encode([0xff; 33])))).is_none());
    }
}

//! Public keys as multibase texts of multicodec bytes (Multikey: W3C Controlled Identifiers 1.0 sections 2.2.2 and 2.4;
//! did:key method specification section 2).
use super::DidError;
use crate::algorithm::KeyType;
use crate::jwk::{KeyError, PublicKey};
use ssi_multicodec::MultiEncoded;

/// Longer than the text of any key here; base58 takes quadratic time.
const LONGEST: usize = 128;

/// The kinds of keys: type, multicodec, length of the key.
const KINDS: [(KeyType, u64, usize); 3] = [
    (KeyType::Ed25519, ssi_multicodec::ED25519_PUB, 32),
    (KeyType::P256, ssi_multicodec::P256_PUB, 33),
    (KeyType::P384, ssi_multicodec::P384_PUB, 49),
];

/// Whether the text could be a multikey, by its alphabet and length alone.
pub(super) fn check(text: &str) -> Result<(), DidError> {
    let base58 = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
    match text.strip_prefix('z') {
        Some(digits) if text.len() <= LONGEST && !digits.is_empty() && digits.bytes().all(base58) => Ok(()),
        _ => Err(DidError::Malformed),
    }
}

/// The key that a text of base58btc (multibase prefix `z`) stands for.
pub(super) fn decode(text: &str) -> Result<PublicKey, DidError> {
    check(text)?;
    let bytes = bs58::decode(text.get(1..).unwrap_or_default()).into_vec().map_err(|_| DidError::Malformed)?;
    // `new` takes a minimal varint only, so that a key has one text
    let encoded = MultiEncoded::new(&bytes).map_err(|_| DidError::Malformed)?;
    let (codec, data) = encoded.parts();
    let (key_type, _, length) =
        KINDS.iter().find(|kind| kind.1 == codec).ok_or(DidError::Key(KeyError::Unsupported))?;
    if data.len() != *length {
        return Err(DidError::Malformed);
    }
    let key = match key_type {
        KeyType::Ed25519 => PublicKey::ed25519(data),
        other => PublicKey::ec_compressed(*other, data),
    };
    key.map_err(DidError::Key)
}

/// The text of a key. `None` for a type that has none here.
#[cfg(feature = "sign")]
pub(super) fn encode(key: &PublicKey) -> Option<String> {
    let (_, codec, length) = KINDS.iter().find(|kind| kind.0 == key.key_type())?;
    let spki = key.spki_der()?;
    let data = if key.key_type() == KeyType::Ed25519 {
        spki.get(spki.len().checked_sub(*length)?..)?.to_vec()
    } else {
        // x and y stand last; the compressed point is the parity of y, and x (SEC 1 section 2.3.3)
        let coordinate = length - 1;
        let (x, y) = spki.get(spki.len().checked_sub(2 * coordinate)?..)?.split_at_checked(coordinate)?;
        [&[2 + (y.last()? & 1)], x].concat()
    };
    let bytes = ssi_multicodec::MultiEncodedBuf::encode_bytes(*codec, &data);
    Some(format!("z{}", bs58::encode(bytes.as_bytes()).into_string()))
}

//! Making a status list: its packed bits, deflated, and the claims of its token (Token Status List sections 4 and 5.1).
use crate::base64url;
use crate::time::Timestamp;
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

/// Why there is no list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// A status has 1, 2, 4 or 8 bits.
    Bits,
    /// The status at this place needs more bits.
    Status(usize),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bits => f.write_str("a status has 1, 2, 4 or 8 bits"),
            Self::Status(place) => write!(f, "the status at {place} needs more bits"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// The `status_list` of these statuses: `bits` and `lst`.
///
/// # Errors
/// [`EncodeError`] where the statuses do not fit into so many bits.
pub fn encode_status_list(bits: u8, statuses: &[u8]) -> Result<Value, EncodeError> {
    if !matches!(bits, 1 | 2 | 4 | 8) {
        return Err(EncodeError::Bits);
    }
    let in_a_byte = usize::from(8 / bits);
    let mut packed = vec![0_u8; statuses.len().div_ceil(in_a_byte)];
    for (place, status) in statuses.iter().enumerate() {
        if u16::from(*status) >= 1 << bits {
            return Err(EncodeError::Status(place));
        }
        if let Some(byte) = packed.get_mut(place / in_a_byte) {
            *byte |= status << (place % in_a_byte * usize::from(bits));
        }
    }
    // the best compression, as section 4.1 recommends
    let deflated = miniz_oxide::deflate::compress_to_vec_zlib(&packed, 9);
    Ok(json!({"bits": bits, "lst": base64url::encode(deflated)}))
}

/// The claims of a Status List Token. Its header has `typ: statuslist+jwt`.
#[derive(Clone, Debug)]
pub struct StatusListClaims<'a> {
    /// The address of the list, as credentials name it.
    pub sub: &'a str,
    /// Who signs, where the token shall say so.
    pub iss: Option<&'a str>,
    /// When it is signed.
    pub iat: Timestamp,
    /// How long it is valid.
    pub lifetime: Option<Duration>,
    /// How long a copy serves before a fresh one is fetched.
    pub ttl: Option<Duration>,
    /// How many bits a status has.
    pub bits: u8,
    /// The statuses, from place 0.
    pub statuses: &'a [u8],
}

impl StatusListClaims<'_> {
    /// The claims, to be signed.
    ///
    /// # Errors
    /// [`EncodeError`] where the statuses do not fit into so many bits.
    pub fn to_claims(&self) -> Result<Map<String, Value>, EncodeError> {
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), self.sub.into());
        claims.insert("iat".to_owned(), self.iat.unix().into());
        claims.insert("status_list".to_owned(), encode_status_list(self.bits, self.statuses)?);
        if let Some(iss) = self.iss {
            claims.insert("iss".to_owned(), iss.into());
        }
        if let Some(lifetime) = self.lifetime {
            claims.insert("exp".to_owned(), self.iat.saturating_add(lifetime).unix().into());
        }
        if let Some(ttl) = self.ttl {
            claims.insert("ttl".to_owned(), ttl.as_secs().into());
        }
        Ok(claims)
    }
}

//! What a host can lend: Envoy's foreign function `verify_signature` (`source/extensions/common/wasm/foreign.cc`), with `ring` in
//! the place of BoringSSL. Bytes in, bytes out, so that it also serves tests without a VM.

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

/// Its name.
pub const NAME: &str = "verify_signature";
/// The encoded reply to a signature that holds.
pub const HOLDS: [u8; 2] = [0x08, 1];

/// Checks the signature of an encoded `VerifySignatureArguments` and answers with an encoded `VerifySignatureResult`. `None`
/// (`BadArgument`) where the argument is no message, or the key none.
pub fn verify_signature(argument: &[u8]) -> Option<Vec<u8>> {
    let fields = fields(argument)?;
    let field = |number: u8| {
        let found = fields.iter().rev().find(|(tag, _)| *tag == number << 3 | 2);
        found.map(|(_, bytes)| *bytes).unwrap_or_default()
    };
    let (hash, spki, signature, text) = (field(1), field(2), field(3), field(4));
    // the key's type by where its SubjectPublicKeyInfo becomes the key itself (RFC 5480 section 2, RFC 3279 section 2.3.1)
    let (kind, key) = match spki.len() {
        91 => ("P-256", &spki[26..]),
        120 => ("P-384", &spki[23..]),
        length if length > 290 && spki.starts_with(&[0x30, 0x82]) => ("RSA", &spki[24..]),
        _ => return None,
    };
    let algorithm: &'static dyn VerificationAlgorithm = match (kind, hash) {
        ("RSA", b"sha256") => &signature::RSA_PKCS1_2048_8192_SHA256,
        ("RSA", b"sha384") => &signature::RSA_PKCS1_2048_8192_SHA384,
        ("RSA", b"sha512") => &signature::RSA_PKCS1_2048_8192_SHA512,
        ("P-256", b"sha256") => &signature::ECDSA_P256_SHA256_ASN1,
        ("P-256", b"sha384") => &signature::ECDSA_P256_SHA384_ASN1,
        ("P-384", b"sha256") => &signature::ECDSA_P384_SHA256_ASN1,
        ("P-384", b"sha384") => &signature::ECDSA_P384_SHA384_ASN1,
        // BoringSSL would pair the curves with SHA-512 too, but nothing that holds is signed so here
        ("P-256" | "P-384", b"sha512") => return Some(refusal("Failed to verify digest. Error code: 0")),
        _ => return Some(refusal(&format!("{} is not supported.", String::from_utf8_lossy(hash)))),
    };
    Some(match UnparsedPublicKey::new(algorithm, key).verify(text, signature) {
        Ok(()) => HOLDS.to_vec(),
        Err(_) => refusal("Failed to verify digest. Error code: 0"),
    })
}

/// The encoded reply to a signature that does not hold.
pub fn refusal(error: &str) -> Vec<u8> {
    let mut reply = vec![0x12, error.len() as u8];
    reply.extend(error.as_bytes());
    reply
}

/// Tags and contents of the fields, which are all bytes.
fn fields(mut message: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut fields = Vec::new();
    while let Some((tag, mut rest)) = message.split_first() {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return None;
            }
        }
        let (contents, after) = rest.split_at_checked(length)?;
        fields.push((*tag, contents));
        message = after;
    }
    Some(fields)
}

//! SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7). What stands before the key itself is fixed where each curve's
//! key has one length; for RSA it is written here, in a page, where the `der` crates take a dozen kilobytes of the module.

/// id-ecPublicKey, secp256r1 (RFC 5480 section 2.1.1)
pub(super) const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// id-ecPublicKey, secp384r1
pub(super) const P384: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];
/// id-Ed25519 (RFC 8410 section 4)
pub(super) const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// rsaEncryption with its NULL (RFC 3279 section 2.3.1)
const RSA: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// That of an RSA key: both numbers big-endian, without zeros in front.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = tagged(0x30, &[&integer(modulus), &integer(exponent)]);
    tagged(0x30, &[RSA, &tagged(0x03, &[&[0], &key])])
}

fn integer(number: &[u8]) -> Vec<u8> {
    let negative = number.first().is_some_and(|first| first & 0x80 != 0);
    tagged(0x02, &[if negative { &[0] } else { &[] }, number])
}

/// A tag, the length in its shortest form (X.690 section 10.1), and the content.
fn tagged(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = content.len().to_be_bytes();
    let octets = length.iter().position(|octet| *octet != 0).and_then(|first| length.get(first..)).unwrap_or(&[0]);
    let mut whole = vec![tag];
    if content.len() > 0x7f {
        whole.push(0x80 | octets.len() as u8);
    }
    whole.extend_from_slice(octets);
    whole.extend_from_slice(&content);
    whole
}

#[cfg(test)]
mod tests {
    use crate::jwk::{Material, PublicKey};
    use rsa::pkcs8::EncodePublicKey;

    #[test]
    fn the_spki_of_rsa_keys_is_that_of_the_rsa_crate() {
        for (bytes, first, exponent) in [
            (256, 0x80, vec![1, 0, 1]),
            (256, 0xff, vec![3]),
            (385, 0x01, vec![0x80, 0, 0, 1]),
            (1024, 0xc3, vec![1, 0xff, 0xff, 0xff, 0xff]),
        ] {
            let mut modulus: Vec<u8> = (0..bytes).map(|at| (at * 7 + 1) as u8 | 1).collect();
            modulus[0] = first;
            let key = PublicKey::rsa(&[&[0], &modulus[..]].concat(), &exponent).unwrap();
            let Material::Rsa(theirs) = &key.material else { unreachable!() };
            assert_eq!(key.spki_der().unwrap(), theirs.to_public_key_der().unwrap().as_bytes(), "{bytes} {first}");
        }
    }
}

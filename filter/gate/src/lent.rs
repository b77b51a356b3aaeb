//! Signatures checked by crypto that the host lends: Envoy's foreign function `verify_signature`, which takes RSASSA-PKCS1-v1_5
//! and ECDSA (RFC 7518 sections 3.3 and 3.4). Each algorithm must prove itself on known answers, good and bad, before the host
//! is asked; all else is checked by the module's own provider, and so is what the host fails to answer.

mod known;

use carded_verifier::algorithm::{HashFunction, KeyType, Scheme};
use carded_verifier::{Algorithm, PublicKey, SignatureError, SignatureProvider};

/// Calls the host's function with an encoded `VerifySignatureArguments`; its reply is an encoded `VerifySignatureResult`. `None`
/// where there is no such function, or the call failed.
pub type Call = fn(&[u8]) -> Option<Vec<u8>>;

/// The host for what it has proven, and a provider of our own for the rest.
pub struct Lent<P> {
    call: Call,
    proven: Vec<Algorithm>,
    own: P,
}

impl<P> Lent<P> {
    /// Puts the host to the test, which takes a few dozen calls.
    pub fn new(call: Call, own: P) -> Self {
        let proven = KNOWN.iter().filter_map(|known| known.proves(call)).collect();
        Self { call, proven, own }
    }

    /// The algorithms whose signatures the host checks, in the order of the table.
    pub fn proven(&self) -> &[Algorithm] {
        &self.proven
    }
}

impl<P: SignatureProvider> SignatureProvider for Lent<P> {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if self.proven.contains(&algorithm) && key.fits(algorithm) {
            match ask(self.call, algorithm, key, message, signature) {
                Some(true) => return Ok(()),
                Some(false) => return Err(SignatureError),
                // the host fails: nothing is accepted for that, and nothing refused
                None => {}
            }
        }
        self.own.verify(algorithm, key, message, signature)
    }

    fn name(&self) -> &'static str {
        if self.proven.is_empty() { self.own.name() } else { "the host, and for what it does not lend RustCrypto" }
    }
}

/// What the host says of a signature as JOSE writes it. `None` where it says nothing clear.
fn ask(call: Call, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> Option<bool> {
    let hash = hash_name(algorithm.hash());
    let spki = key.spki_der()?;
    match (algorithm.scheme(), algorithm.key_type()) {
        (Scheme::RsaPkcs1, _) => {
            // as long as the modulus (RFC 8017 section 8.2.2, step 1)
            let fits = signature.len() == key.bits().div_ceil(8);
            if fits { verify_signature(call, hash, spki, signature, message) } else { Some(false) }
        }
        (Scheme::Ecdsa, KeyType::P256) => match halves(signature, &ORDER_P256) {
            Some((r, s)) => verify_signature(call, hash, spki, &ecdsa_sig_value(r, s), message),
            None => Some(false),
        },
        (Scheme::Ecdsa, KeyType::P384) => match halves(signature, &ORDER_P384) {
            Some((r, s)) => verify_signature(call, hash, spki, &ecdsa_sig_value(r, s), message),
            None => Some(false),
        },
        _ => None,
    }
}

/// The number of points of P-256 (SEC 2 section 2.4.2).
const ORDER_P256: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// The number of points of P-384 (SEC 2 section 2.5.1).
const ORDER_P384: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0,
    0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// r and s, each as long as the order and in 1..order (RFC 7518 section 3.4, FIPS 186-5 section 6.4.2).
fn halves<'a>(signature: &'a [u8], order: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (r, s) = signature.split_at_checked(order.len())?;
    let in_range =
        |number: &[u8]| number.len() == order.len() && number < order && number.iter().any(|byte| *byte != 0);
    (in_range(r) && in_range(s)).then_some((r, s))
}

/// r and s in DER (`Ecdsa-Sig-Value`, RFC 3279 section 2.2.3). Both are far too short for a length of two bytes.
fn ecdsa_sig_value(r: &[u8], s: &[u8]) -> Vec<u8> {
    const INTEGER: u8 = 0x02;
    const SEQUENCE: u8 = 0x30;
    let mut numbers = Vec::with_capacity(128);
    for number in [r, s] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let number = number.get(zeros..).unwrap_or_default();
        // what begins with a high bit, or is zero, has a zero in front
        let zero = number.first().is_none_or(|first| *first >= 0x80);
        numbers.extend([INTEGER, short(number.len().saturating_add(usize::from(zero)))]);
        numbers.extend(zero.then_some(0));
        numbers.extend_from_slice(number);
    }
    [&[SEQUENCE, short(numbers.len())], numbers.as_slice()].concat()
}

fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn hash_name(hash: HashFunction) -> &'static str {
    match hash {
        HashFunction::Sha256 => "sha256",
        HashFunction::Sha384 => "sha384",
        HashFunction::Sha512 => "sha512",
    }
}

/// One call: `{ string hash_function = 1; bytes public_key = 2; bytes signature = 3; bytes text = 4; }`, answered with
/// `{ bool result = 1; string error = 2; }`. True is one encoding exactly; what is neither that nor a refusal is no answer.
fn verify_signature(call: Call, hash: &str, spki: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
    let fields = [hash.as_bytes(), spki, signature, text];
    let room = fields.iter().fold(0_usize, |room, field| room.saturating_add(field.len()).saturating_add(6));
    let mut argument = Vec::with_capacity(room);
    // a field of bytes is its number and the wire type 2, its length as a varint, and the bytes
    for (tag, field) in [0x0a, 0x12, 0x1a, 0x22].into_iter().zip(fields) {
        argument.push(tag);
        let mut length = field.len();
        while length >= 0x80 {
            argument.push(short(length & 0x7f) | 0x80);
            length >>= 7;
        }
        argument.push(short(length));
        argument.extend_from_slice(field);
    }
    match call(&argument)?.as_slice() {
        [0x08, 1] => Some(true),
        [] | [0x08, 0, ..] | [0x12, ..] => Some(false),
        _ => None,
    }
}

/// A key and a signature that are known to belong together.
struct Known {
    algorithm: &'static str,
    key: &'static [u8],
    /// the byte of the key whose last bit makes another key of it
    other_at: usize,
    signature: &'static [u8],
}

/// The answers, in the order of the table of algorithms.
static KNOWN: [Known; 5] = [
    Known { algorithm: "RS256", key: &known::RSA_N, other_at: 99, signature: &known::RS256 },
    Known { algorithm: "RS384", key: &known::RSA_N, other_at: 99, signature: &known::RS384 },
    Known { algorithm: "RS512", key: &known::RSA_N, other_at: 99, signature: &known::RS512 },
    // the other point with the same x
    Known { algorithm: "ES256", key: &known::ES256_KEY, other_at: 0, signature: &known::ES256 },
    Known { algorithm: "ES384", key: &known::ES384_KEY, other_at: 0, signature: &known::ES384 },
];

impl Known {
    /// The algorithm, where the host takes the good signature and refuses every bad one.
    fn proves(&self, call: Call) -> Option<Algorithm> {
        let algorithm = Algorithm::parse(self.algorithm)?;
        let key = |bytes: &[u8]| match algorithm.key_type() {
            KeyType::Rsa => PublicKey::rsa(bytes, &[1, 0, 1]).ok(),
            curve => PublicKey::ec_compressed(curve, bytes).ok(),
        };
        let (good, message) = (self.signature, known::MESSAGE);
        let last = good.len().saturating_sub(1);
        let (right, other) = (key(self.key)?, key(&flipped(self.key, self.other_at))?);
        let says = |key: &PublicKey, message: &[u8], signature: &[u8]| ask(call, algorithm, key, message, signature);
        let wrong_hash = match algorithm.hash() {
            HashFunction::Sha256 => HashFunction::Sha512,
            _ => HashFunction::Sha256,
        };
        // past the checks of our own, so that the host shows that it has them too
        let raw = |hash: HashFunction, signature: &[u8]| {
            verify_signature(call, hash_name(hash), right.spki_der()?, signature, message)
        };
        let (wire, empty) = match algorithm.scheme() {
            Scheme::Ecdsa => {
                let (r, s) = good.split_at_checked(good.len() / 2)?;
                (ecdsa_sig_value(r, s), [ecdsa_sig_value(r, &[]), ecdsa_sig_value(&[], s), ecdsa_sig_value(&[], &[])])
            }
            _ => {
                let zero = vec![0; good.len()];
                (good.to_vec(), [flipped(&zero, last), zero, Vec::new()])
            }
        };
        let holds = says(&right, message, good) == Some(true)
            && says(&right, message, &flipped(good, 0)) == Some(false)
            && says(&right, message, &flipped(good, last)) == Some(false)
            && says(&right, b"Carded", good) == Some(false)
            && says(&other, message, good) == Some(false)
            && raw(wrong_hash, &wire) == Some(false)
            && empty.iter().all(|signature| raw(algorithm.hash(), signature) == Some(false))
            && says(&right, message, good) == Some(true);
        holds.then_some(algorithm)
    }
}

/// The bytes with the last bit of one of them turned.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    bytes
}

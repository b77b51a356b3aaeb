//! Strict base64url without padding (RFC 7515 section 2, RFC 4648 section 5).
//!
//! One value has one encoding: padding, stray bits, other alphabets, white space and line ends are all refused, so that
//! no two texts decode to the same bytes (RFC 4648 section 3.5).
//!
//! Every new token is decoded by it: in the filter, sixteen letters at once.
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Why a text is not canonical base64url. It tells nothing of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base64UrlError;

impl std::fmt::Display for Base64UrlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not canonical base64url without padding")
    }
}

impl std::error::Error for Base64UrlError {}

/// The bytes that `text` stands for.
///
/// # Errors
/// [`Base64UrlError`] where it is not the one canonical encoding of any bytes.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64UrlError> {
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| Base64UrlError)
}

/// The canonical encoding of `bytes`.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_taken() {
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode("Zg").unwrap(), b"f");
        assert_eq!(decode("_-8").unwrap(), [0xff, 0xef]);
        for bad in ["Zg==", "Zg=", "Zh", "Z", "Zm9", "Zm 9", "Zm9v\n", "Zm+v", "Zm/v", "Zm9v=", "\u{e9}A"] {
            assert_eq!(decode(bad), Err(Base64UrlError), "{bad:?}");
        }
    }

    /// What decodes is what the `base64` crate decodes: texts of all lengths, with each byte at each place.
    #[test]
    fn another_decoder_says_the_same_of_each_byte_at_each_place() {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for length in 0..=100 {
            let mut text: Vec<u8> = LETTERS.iter().cycle().skip(length * 7).step_by(11).take(length).copied().collect();
            assert_eq!(decode(&text).ok(), URL_SAFE_NO_PAD.decode(&text).ok(), "{length} letters");
            for place in 0..length {
                let letter = text[place];
                for byte in 0..=u8::MAX {
                    text[place] = byte;
                    assert_eq!(decode(&text).ok(), URL_SAFE_NO_PAD.decode(&text).ok(), "{byte} at {place} of {length}");
                }
                text[place] = letter;
            }
        }
    }
}

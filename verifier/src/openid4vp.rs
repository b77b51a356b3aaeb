//! The messages of OpenID4VP 1.0, both sides: the request that a verifier sends a browser with (section 5), and the
//! response that the wallet posts (section 8).
//!
//! Requests carry the client id prefix `redirect_uri:` and plain query parameters, responses come by `direct_post`. All
//! that is known of who asks under that prefix is where the answer goes (section 5.9.3).
mod request;
mod response;

pub use request::{AuthorizationRequest, RequestError};
pub use response::{AuthorizationResponse, ResponseError};

use crate::ordered::Ordered;
use std::borrow::Cow;

/// The parameters of an `application/x-www-form-urlencoded` text that are among `known`; others are ignored, as RFC 6749
/// section 3.1 asks. An empty one counts as absent (same section).
fn parameters<'a>(text: &'a [u8], known: &[&'static str]) -> Result<Ordered<&'static str, Cow<'a, str>>, FormError> {
    let mut found = Ordered::new();
    for (name, value) in form_urlencoded::parse(text) {
        let Some(name) = known.iter().find(|known| **known == name) else {
            continue;
        };
        // what decoding puts in the place of bytes that are no UTF-8
        if value.contains('\u{fffd}') {
            return Err(FormError::NotUtf8(name));
        }
        if found.insert(*name, value).is_some() {
            return Err(FormError::Repeated(name));
        }
    }
    for name in known {
        if found.get(name).is_some_and(|value| value.is_empty()) {
            found.remove(name);
        }
    }
    Ok(found)
}

enum FormError {
    NotUtf8(&'static str),
    Repeated(&'static str),
}

/// Parameters as `application/x-www-form-urlencoded`. A space becomes `%20`, which every reader takes, also one that
/// reads it as a URL's query.
fn form<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut serializer = form_urlencoded::Serializer::new(String::new());
    serializer.extend_pairs(parameters);
    // a plus sign of the values is `%2B` already
    serializer.finish().replace('+', "%20")
}

/// "ASCII URL safe characters" of section 5.2: what `nonce` and `state` are made of.
fn is_url_safe(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

//! The authorization response by `direct_post` (OpenID4VP 1.0 sections 8.1, 8.2 and 8.5).
use super::{FormError, form, is_url_safe, parameters};
use crate::json::{self, JsonError};
use crate::limits::Limits;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

const KNOWN: [&str; 5] = ["error", "error_description", "response", "state", "vp_token"];
const MOST_QUERIES: usize = 64;
const MOST_PRESENTATIONS: usize = 16;
const LONGEST_STATE: usize = 4096;
const LONGEST_ERROR: usize = 64;
const LONGEST_DESCRIPTION: usize = 1024;

/// What a wallet answers.
#[derive(Clone, PartialEq, Eq)]
pub enum AuthorizationResponse {
    /// Presentations, by the `id` of the credential query that they answer; each list has at least one.
    Presented {
        /// `vp_token`
        vp_token: BTreeMap<String, Vec<String>>,
        /// the request's `state`
        state: Option<String>,
    },
    /// Nothing is shown.
    Error {
        /// `access_denied` and others of section 8.5
        error: String,
        /// for developers; comes from outside, to be escaped wherever it is shown
        description: Option<String>,
        /// the request's `state`
        state: Option<String>,
    },
}

impl fmt::Debug for AuthorizationResponse {
    /// Never shows what is presented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Presented { vp_token, .. } => {
                f.debug_struct("Presented").field("ids", &vp_token.keys().collect::<Vec<_>>()).finish_non_exhaustive()
            }
            Self::Error { error, .. } => f.debug_struct("Error").field("error", error).finish_non_exhaustive(),
        }
    }
}

/// Why a body is no response. It tells nothing of what was presented.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ResponseError {
    /// The body, or a presentation in it, is larger than the limits say.
    TooLarge,
    /// A parameter is no UTF-8.
    NotUtf8(&'static str),
    /// A parameter comes twice.
    Repeated(&'static str),
    /// It has neither `vp_token` nor `error`.
    Empty,
    /// It has both `vp_token` and `error`.
    Both,
    /// It is encrypted, which was not asked for.
    Encrypted,
    /// A parameter has characters that it may not have.
    Malformed(&'static str),
    /// `vp_token` is not strict JSON.
    Json(JsonError),
    /// `vp_token` is no object of lists of texts.
    VpToken,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the response is too large"),
            Self::NotUtf8(name) => write!(f, "`{name}` is not UTF-8"),
            Self::Repeated(name) => write!(f, "`{name}` comes twice"),
            Self::Empty => f.write_str("neither `vp_token` nor `error`"),
            Self::Both => f.write_str("both `vp_token` and `error`"),
            Self::Encrypted => f.write_str("an encrypted response was not asked for"),
            Self::Malformed(name) => write!(f, "`{name}` is malformed"),
            Self::Json(error) => write!(f, "`vp_token`: {error}"),
            Self::VpToken => f.write_str("`vp_token` is no object of lists of presentations"),
        }
    }
}

impl std::error::Error for ResponseError {}

impl From<FormError> for ResponseError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::NotUtf8(name) => Self::NotUtf8(name),
            FormError::Repeated(name) => Self::Repeated(name),
        }
    }
}

impl AuthorizationResponse {
    /// The largest body that is worth reading: four presentations of the largest size.
    pub fn largest_body(limits: &Limits) -> usize {
        limits.presentation_bytes.saturating_mul(4)
    }

    /// Takes the body of the wallet's POST. Whether its `id`s are those that were asked for is the caller's to see to.
    ///
    /// # Errors
    /// [`ResponseError`] for anything that is neither an answer nor an error.
    pub fn parse_form(body: &[u8], limits: &Limits) -> Result<Self, ResponseError> {
        if body.len() > Self::largest_body(limits) {
            return Err(ResponseError::TooLarge);
        }
        let mut found = parameters(body, &KNOWN)?;
        if found.contains_key("response") {
            return Err(ResponseError::Encrypted);
        }
        let state = found.remove("state").map(|state| state.into_owned());
        if state.as_ref().is_some_and(|state| state.len() > LONGEST_STATE || !is_url_safe(state)) {
            return Err(ResponseError::Malformed("state"));
        }
        match (found.remove("vp_token"), found.remove("error")) {
            (Some(_), Some(_)) => Err(ResponseError::Both),
            (None, None) => Err(ResponseError::Empty),
            (Some(vp_token), None) => Ok(Self::Presented { vp_token: presentations(&vp_token, limits)?, state }),
            (None, Some(error)) if error.len() <= LONGEST_ERROR && is_error_text(&error) => {
                // a description is a courtesy: one that may not be there is as good as none
                let description = found
                    .remove("error_description")
                    .filter(|text| text.len() <= LONGEST_DESCRIPTION && is_error_text(text))
                    .map(|text| text.into_owned());
                Ok(Self::Error { error: error.into_owned(), description, state })
            }
            (None, Some(_)) => Err(ResponseError::Malformed("error")),
        }
    }

    /// The body of the POST, for wallets.
    pub fn to_form(&self) -> String {
        match self {
            Self::Presented { vp_token, state } => {
                let token =
                    Value::from_iter(vp_token.iter().map(|(id, texts)| (id.clone(), Value::from(texts.clone()))));
                let token = token.to_string();
                form([("vp_token", token.as_str())].into_iter().chain(state.as_deref().map(|state| ("state", state))))
            }
            Self::Error { error, description, state } => {
                let description = description.as_deref().map(|text| ("error_description", text));
                let state = state.as_deref().map(|state| ("state", state));
                form([("error", error.as_str())].into_iter().chain(description).chain(state))
            }
        }
    }
}

/// `vp_token` (section 8.1): an object of lists of presentations. The formats here present texts.
fn presentations(text: &str, limits: &Limits) -> Result<BTreeMap<String, Vec<String>>, ResponseError> {
    let object = json::parse_object(text.as_bytes(), 3).map_err(ResponseError::Json)?;
    if object.len() > MOST_QUERIES {
        return Err(ResponseError::VpToken);
    }
    let mut taken = BTreeMap::new();
    for (id, list) in object {
        let Value::Array(list) = list else {
            return Err(ResponseError::VpToken);
        };
        if list.is_empty() || list.len() > MOST_PRESENTATIONS {
            return Err(ResponseError::VpToken);
        }
        let texts = list
            .into_iter()
            .map(|presentation| match presentation {
                Value::String(text) if text.len() > limits.presentation_bytes => Err(ResponseError::TooLarge),
                Value::String(text) if !text.is_empty() => Ok(text),
                _ => Err(ResponseError::VpToken),
            })
            .collect::<Result<_, _>>()?;
        taken.insert(id, texts);
    }
    Ok(taken)
}

/// The characters of `error` and `error_description` (RFC 6749 section 5.2).
fn is_error_text(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

//! The authorization request (OpenID4VP 1.0 section 5) with the client id prefix `redirect_uri:`.
use super::{FormError, form, is_url_safe, parameters};
use crate::dcql::{DcqlError, Query};
use crate::json::{self, JsonError};
use crate::url::{HttpsUrl, UrlError, UrlPolicy};
use serde_json::Value;
use std::fmt;

const PREFIX: &str = "redirect_uri:";
/// Longer than any URL that browsers and servers pass on.
const LONGEST: usize = 64 * 1024;
const LONGEST_VALUE: usize = 4096;
const DEPTH: usize = 24;

const KNOWN: [&str; 14] = [
    "client_id",
    "client_metadata",
    "dcql_query",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "request_uri_method",
    "response_mode",
    "response_type",
    "response_uri",
    "scope",
    "state",
    "transaction_data",
];

/// A request for presentations, to be answered by `direct_post`.
#[derive(Clone, PartialEq, Debug)]
pub struct AuthorizationRequest {
    /// Where the answer goes. With its prefix it is the client id.
    pub response_uri: String,
    /// Binds the answer to this request; of letters, digits and `-._~`.
    pub nonce: String,
    /// Comes back with the answer; of letters, digits and `-._~`.
    pub state: Option<String>,
    /// What is asked for.
    pub dcql_query: Query,
    /// What the verifier says of itself. Nothing vouches for it.
    pub client_metadata: Option<Value>,
}

/// Why a wallet refuses a request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// It is longer than 64 KiB, or one of its parameters longer than 4 KiB.
    TooLong,
    /// A parameter is no UTF-8.
    NotUtf8(&'static str),
    /// A parameter comes twice (RFC 6749 section 3.1).
    Repeated(&'static str),
    /// A parameter is missing.
    Missing(&'static str),
    /// A parameter has characters that it may not have.
    Malformed(&'static str),
    /// The client id has no prefix, or another one than `redirect_uri:`.
    ClientId,
    /// A request object: under the prefix `redirect_uri:` there can be none (section 5.9.3).
    RequestObject,
    /// `response_type` is not `vp_token`.
    ResponseType,
    /// `response_mode` is not `direct_post`.
    ResponseMode,
    /// `response_uri` is not what the client id says (section 5.9.3).
    ResponseUriMismatch,
    /// `response_uri` is no URL that an answer may go to.
    ResponseUri(UrlError),
    /// `redirect_uri` beside `direct_post` (section 8.2).
    RedirectUri,
    /// `scope`: no scope is known to stand for a query.
    Scope,
    /// `dcql_query` or `client_metadata` is not strict JSON.
    Json(&'static str, JsonError),
    /// `dcql_query` is no query.
    Query(DcqlError),
    /// `transaction_data`, of which no type is understood (section 5.1).
    TransactionData,
}

impl RequestError {
    /// The error that a wallet answers with (section 8.5).
    pub fn error_code(&self) -> &'static str {
        match self {
            Self::TransactionData => "invalid_transaction_data",
            Self::Scope => "invalid_scope",
            Self::ResponseType => "unsupported_response_type",
            _ => "invalid_request",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the request is too long"),
            Self::NotUtf8(name) => write!(f, "`{name}` is not UTF-8"),
            Self::Repeated(name) => write!(f, "`{name}` comes twice"),
            Self::Missing(name) => write!(f, "`{name}` is missing"),
            Self::Malformed(name) => write!(f, "`{name}` is malformed"),
            Self::ClientId => f.write_str("only client ids with the prefix `redirect_uri:` are supported"),
            Self::RequestObject => f.write_str("signed requests are not supported with `redirect_uri:`"),
            Self::ResponseType => f.write_str("`response_type` is not `vp_token`"),
            Self::ResponseMode => f.write_str("`response_mode` is not `direct_post`"),
            Self::ResponseUriMismatch => f.write_str("`response_uri` is not that of the client id"),
            Self::ResponseUri(error) => write!(f, "`response_uri`: {error}"),
            Self::RedirectUri => f.write_str("`redirect_uri` may not stand beside `direct_post`"),
            Self::Scope => f.write_str("`scope` is not supported"),
            Self::Json(name, error) => write!(f, "`{name}`: {error}"),
            Self::Query(error) => write!(f, "the query: {error}"),
            Self::TransactionData => f.write_str("`transaction_data` is not supported"),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<FormError> for RequestError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::NotUtf8(name) => Self::NotUtf8(name),
            FormError::Repeated(name) => Self::Repeated(name),
        }
    }
}

impl AuthorizationRequest {
    /// The client id: `redirect_uri:` and the response URI. Presentations carry the whole of it as their audience.
    pub fn client_id(&self) -> String {
        format!("{PREFIX}{}", self.response_uri)
    }

    /// The URL that a browser is sent to: the wallet's authorization endpoint with the request in its query.
    pub fn to_url(&self, authorization_endpoint: &str) -> String {
        let separator = if authorization_endpoint.contains('?') { '&' } else { '?' };
        format!("{authorization_endpoint}{separator}{}", self.to_query())
    }

    /// The request as a query, without `?`.
    pub fn to_query(&self) -> String {
        let (client_id, query) = (self.client_id(), self.dcql_query.to_value().to_string());
        let metadata = self.client_metadata.as_ref().map(Value::to_string);
        let mut parameters = vec![
            ("response_type", "vp_token"),
            ("response_mode", "direct_post"),
            ("client_id", client_id.as_str()),
            ("response_uri", self.response_uri.as_str()),
            ("nonce", self.nonce.as_str()),
        ];
        parameters.extend(self.state.as_deref().map(|state| ("state", state)));
        parameters.push(("dcql_query", &query));
        parameters.extend(metadata.as_deref().map(|metadata| ("client_metadata", metadata)));
        form(parameters)
    }

    /// Takes a request out of the query of the URL that a wallet was opened with. `policy` says which response URIs are
    /// taken: plain https.
    ///
    /// # Errors
    /// [`RequestError`] for a request that a wallet should not even show.
    pub fn parse(query: &str, policy: UrlPolicy) -> Result<Self, RequestError> {
        if query.len() > LONGEST {
            return Err(RequestError::TooLong);
        }
        let mut found = parameters(query.strip_prefix('?').unwrap_or(query).as_bytes(), &KNOWN)?;
        let mut take = |name: &'static str| found.remove(name).map(|value| value.into_owned());
        // what changes the meaning of all the rest comes first
        if take("transaction_data").is_some() {
            return Err(RequestError::TransactionData);
        }
        if [take("request"), take("request_uri"), take("request_uri_method")].iter().any(Option::is_some) {
            return Err(RequestError::RequestObject);
        }
        let client_id = take("client_id").ok_or(RequestError::Missing("client_id"))?;
        let response_uri = client_id.strip_prefix(PREFIX).ok_or(RequestError::ClientId)?;
        if take("response_type").ok_or(RequestError::Missing("response_type"))? != "vp_token" {
            return Err(RequestError::ResponseType);
        }
        // without one it is `fragment` (section 5.6)
        if take("response_mode").as_deref() != Some("direct_post") {
            return Err(RequestError::ResponseMode);
        }
        if take("redirect_uri").is_some() {
            return Err(RequestError::RedirectUri);
        }
        // it may be left out under this prefix
        if take("response_uri").is_some_and(|named| named != response_uri) {
            return Err(RequestError::ResponseUriMismatch);
        }
        HttpsUrl::parse(response_uri, policy).map_err(RequestError::ResponseUri)?;
        if take("scope").is_some() {
            return Err(RequestError::Scope);
        }
        let nonce = take("nonce").ok_or(RequestError::Missing("nonce"))?;
        let state = take("state");
        for (name, value) in [("nonce", Some(&nonce)), ("state", state.as_ref())] {
            if value.is_some_and(|value| value.len() > LONGEST_VALUE) {
                return Err(RequestError::TooLong);
            }
            if value.is_some_and(|value| !is_url_safe(value)) {
                return Err(RequestError::Malformed(name));
            }
        }
        let text = take("dcql_query").ok_or(RequestError::Missing("dcql_query"))?;
        let value =
            json::parse_value(text.as_bytes(), DEPTH).map_err(|error| RequestError::Json("dcql_query", error))?;
        let dcql_query = Query::parse(&value).map_err(RequestError::Query)?;
        // without holder binding nothing but `state` binds the answer to the request (section 5.3)
        let unbound = dcql_query.credentials.iter().any(|query| !query.require_cryptographic_holder_binding);
        if unbound && state.is_none() {
            return Err(RequestError::Missing("state"));
        }
        let client_metadata = take("client_metadata")
            .map(|text| json::parse_object(text.as_bytes(), DEPTH))
            .transpose()
            .map_err(|error| RequestError::Json("client_metadata", error))?
            .map(Value::Object);
        Ok(Self { response_uri: response_uri.to_owned(), nonce, state, dcql_query, client_metadata })
    }
}

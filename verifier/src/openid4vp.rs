//! Requests and responses of OpenID4VP 1.0 (placeholder of the merge: replaced whole).
use crate::dcql::Query;
use crate::limits::Limits;
use serde_json::Value;
use std::collections::BTreeMap;

/// A request.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct AuthorizationRequest {
    pub response_uri: String,
    pub nonce: String,
    pub state: Option<String>,
    pub dcql_query: Query,
    pub client_metadata: Option<Value>,
}

impl AuthorizationRequest {
    /// The address that asks.
    pub fn to_url(&self, endpoint: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("response_type", "vp_token")
            .append_pair("response_mode", "direct_post")
            .append_pair("client_id", &format!("redirect_uri:{}", self.response_uri))
            .append_pair("response_uri", &self.response_uri)
            .append_pair("nonce", &self.nonce)
            .append_pair("dcql_query", &self.dcql_query.to_value().to_string());
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        format!("{endpoint}?{}", query.finish())
    }
}

/// A response.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum AuthorizationResponse {
    Presented { vp_token: BTreeMap<String, Vec<String>>, state: Option<String> },
    Error { error: String, description: Option<String>, state: Option<String> },
}

impl AuthorizationResponse {
    /// Reads the form.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse_form(body: &[u8], _: &Limits) -> Result<Self, String> {
        let mut parameters: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let state = parameters.remove("state");
        if let Some(error) = parameters.remove("error") {
            return Ok(Self::Error { error, description: parameters.remove("error_description"), state });
        }
        let vp_token = parameters.remove("vp_token").ok_or("no vp_token")?;
        let vp_token = serde_json::from_str(&vp_token).map_err(|error| error.to_string())?;
        Ok(Self::Presented { vp_token, state })
    }
}

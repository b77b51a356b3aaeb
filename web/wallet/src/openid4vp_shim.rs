//! Stand-in until the verifier's own module is here.
use carded_verifier::{Limits, dcql::Query};
use serde_json::Value;
use std::collections::BTreeMap;
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest {
    pub response_uri: String,
    pub nonce: String,
    pub state: Option<String>,
    pub dcql_query: Query,
    pub client_metadata: Option<Value>,
}
#[derive(Debug)]
pub(crate) struct RequestError(&'static str);
impl RequestError {
    pub fn code(&self) -> &'static str {
        self.0
    }
}
impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}
impl AuthorizationRequest {
    pub(crate) fn client_id(&self) -> String {
        format!("redirect_uri:{}", self.response_uri)
    }
    pub(crate) fn parse(query: &str, _limits: &Limits) -> Result<Self, RequestError> {
        let p = crate::query::parameters(query).map_err(|_| RequestError("request_malformed"))?;
        let get = |n: &str| p.get(n).cloned();
        if p.contains_key("transaction_data") {
            return Err(RequestError("transaction_data_unsupported"));
        }
        if p.contains_key("request") || p.contains_key("request_uri") {
            return Err(RequestError("request_by_reference"));
        }
        if get("response_type").as_deref() != Some("vp_token") || get("response_mode").as_deref() != Some("direct_post")
        {
            return Err(RequestError("response_mode_unsupported"));
        }
        let response_uri = get("response_uri").ok_or(RequestError("response_uri_invalid"))?;
        if get("client_id") != Some(format!("redirect_uri:{response_uri}")) {
            return Err(RequestError("client_id_mismatch"));
        }
        crate::link::take(&response_uri, "x").map_err(|_| RequestError("response_uri_invalid"))?;
        let dcql = get("dcql_query").ok_or(RequestError("query_missing"))?;
        let dcql: Value = serde_json::from_str(&dcql).map_err(|_| RequestError("query_malformed"))?;
        let dcql_query = Query::parse(&dcql).map_err(|_| RequestError("query_malformed"))?;
        Ok(Self {
            response_uri,
            nonce: get("nonce").ok_or(RequestError("nonce_missing"))?,
            state: get("state"),
            dcql_query,
            client_metadata: get("client_metadata").and_then(|m| serde_json::from_str(&m).ok()),
        })
    }
}
pub(crate) enum AuthorizationResponse {
    Presented { vp_token: BTreeMap<String, Vec<String>>, state: Option<String> },
    Error { error: String, description: Option<String>, state: Option<String> },
}
impl AuthorizationResponse {
    pub(crate) fn to_form(&self) -> String {
        match self {
            Self::Presented { vp_token, state } => {
                let t = serde_json::to_string(vp_token).unwrap_or_default();
                let mut f = vec![("vp_token", t.as_str())];
                if let Some(s) = state {
                    f.push(("state", s));
                }
                crate::query::form(f)
            }
            Self::Error { error, state, .. } => {
                let mut f = vec![("error", error.as_str())];
                if let Some(s) = state {
                    f.push(("state", s));
                }
                crate::query::form(f)
            }
        }
    }
}

//! A provider's metadata: who it is and where its keys are (OpenID Connect Discovery 1.0 sections 3 and 4, RFC 8414).
use crate::json;
use crate::url::{HttpsUrl, UrlError, UrlPolicy};
use serde_json::Value;

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Where the metadata of an issuer is: a `/` at its end goes, then the well-known path comes (section 4.1).
pub(crate) fn url_of(iss: &str, policy: UrlPolicy) -> Result<HttpsUrl, UrlError> {
    let base = iss.strip_suffix('/').unwrap_or(iss);
    HttpsUrl::parse(&format!("{base}{WELL_KNOWN}"), policy)
}

/// The `jwks_uri` of a metadata document whose `issuer` is exactly `iss` (section 4.3).
pub(crate) fn jwks_uri(body: &[u8], iss: &str, depth: usize, policy: UrlPolicy) -> Result<HttpsUrl, String> {
    let document = json::parse_object(body, depth).map_err(|error| error.to_string())?;
    match document.get("issuer") {
        Some(Value::String(issuer)) if issuer == iss => {}
        Some(Value::String(_)) => return Err("its `issuer` is another".to_owned()),
        _ => return Err("it has no text `issuer`".to_owned()),
    }
    match document.get("jwks_uri") {
        Some(Value::String(url)) => HttpsUrl::parse(url, policy).map_err(|error| format!("its `jwks_uri`: {error}")),
        _ => Err("it has no text `jwks_uri`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slash_at_the_end_goes() {
        for iss in ["https://a.example", "https://a.example/"] {
            let url = url_of(iss, UrlPolicy::default()).unwrap();
            assert_eq!(url.as_str(), "https://a.example/.well-known/openid-configuration");
        }
        let url = url_of("https://a.example/t/v2.0", UrlPolicy::default()).unwrap();
        assert_eq!(url.path_and_query(), "/t/v2.0/.well-known/openid-configuration");
    }

    #[test]
    fn only_the_same_issuer_and_a_safe_uri() {
        let read = |body: &str| jwks_uri(body.as_bytes(), "https://a.example", 8, UrlPolicy::default());
        let good = r#"{"issuer":"https://a.example","jwks_uri":"https://keys.example/k","x":[]}"#;
        assert_eq!(read(good).unwrap().as_str(), "https://keys.example/k");
        for bad in [
            r#"{"issuer":"https://a.example/","jwks_uri":"https://keys.example/k"}"#,
            r#"{"issuer":"https://A.example","jwks_uri":"https://keys.example/k"}"#,
            r#"{"issuer":["https://a.example"],"jwks_uri":"https://keys.example/k"}"#,
            r#"{"jwks_uri":"https://keys.example/k"}"#,
            r#"{"issuer":"https://a.example"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"http://keys.example/k"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"https://169.254.169.254/"}"#,
            r#"{"issuer":"https://a.example","issuer":"https://a.example","jwks_uri":"https://k.example/"}"#,
            r#"["https://a.example"]"#,
            "<html>",
            "",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

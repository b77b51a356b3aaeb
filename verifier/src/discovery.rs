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

/// What a provider says of itself for those who send people to it (section 3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderMetadata {
    /// Where a person signs in (RFC 6749 section 3.1).
    pub authorization_endpoint: HttpsUrl,
    /// Where a code becomes tokens (RFC 6749 section 3.2).
    pub token_endpoint: HttpsUrl,
    /// Where an authorization request is left before the browser is sent (RFC 9126 §5).
    pub pushed_endpoint: Option<HttpsUrl>,
    /// Whether it takes no request in another way (`require_pushed_authorization_requests`).
    pub requires_pushed: bool,
    /// Where a person leaves (OpenID Connect RP-Initiated Logout 1.0 section 2).
    pub end_session_endpoint: Option<HttpsUrl>,
    /// Where it is asked about tokens (RFC 7662 section 2, RFC 8414 section 2).
    pub introspection_endpoint: Option<HttpsUrl>,
    /// Where more claims of a person are (OpenID Connect Core 1.0 section 5.3).
    pub userinfo_endpoint: Option<HttpsUrl>,
    /// Whether `client_secret_post` is offered at the token endpoint, and `client_secret_basic` is not.
    pub secret_in_form: bool,
    /// Whether every authorization response names its issuer (RFC 9207 section 3).
    pub names_itself: bool,
}

/// What is kept of a metadata document: where the keys are, and what a login needs, where that is all there.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) jwks_uri: HttpsUrl,
    pub(crate) provider: Option<ProviderMetadata>,
}

/// Reads a metadata document whose `issuer` is exactly `iss` (section 4.3). Endpoints that are no URLs to trust count as
/// missing: the keys serve all the same.
pub(crate) fn parse(body: &[u8], iss: &str, depth: usize, policy: UrlPolicy) -> Result<Metadata, String> {
    let document = json::parse_object(body, depth).map_err(|error| error.to_string())?;
    match document.get("issuer") {
        Some(Value::String(issuer)) if issuer == iss => {}
        Some(Value::String(_)) => return Err("its `issuer` is another".to_owned()),
        _ => return Err("it has no text `issuer`".to_owned()),
    }
    let jwks_uri = match document.get("jwks_uri") {
        Some(Value::String(url)) => HttpsUrl::parse(url, policy).map_err(|error| format!("its `jwks_uri`: {error}"))?,
        _ => return Err("it has no text `jwks_uri`".to_owned()),
    };
    let url = |name: &str| document.get(name)?.as_str().and_then(|url| HttpsUrl::parse(url, policy).ok());
    let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    let offers = |method: &str| methods.is_some_and(|methods| methods.iter().any(|one| one.as_str() == Some(method)));
    let provider = url("authorization_endpoint").zip(url("token_endpoint"));
    let says = |name: &str| document.get(name) == Some(&Value::Bool(true));
    let provider = provider.map(|(authorization_endpoint, token_endpoint)| ProviderMetadata {
        authorization_endpoint,
        token_endpoint,
        pushed_endpoint: url("pushed_authorization_request_endpoint"),
        requires_pushed: says("require_pushed_authorization_requests"),
        end_session_endpoint: url("end_session_endpoint"),
        userinfo_endpoint: url("userinfo_endpoint"),
        introspection_endpoint: url("introspection_endpoint"),
        // `client_secret_basic` is the default where nothing is said
        secret_in_form: offers("client_secret_post") && !offers("client_secret_basic"),
        names_itself: says("authorization_response_iss_parameter_supported"),
    });
    Ok(Metadata { jwks_uri, provider })
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
        let read = |body: &str| {
            parse(body.as_bytes(), "https://a.example", 8, UrlPolicy::default()).map(|metadata| metadata.jwks_uri)
        };
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

    #[test]
    fn what_a_login_needs_is_there_as_a_whole_or_not_at_all() {
        let read = |more: &str| {
            let body = format!(r#"{{"issuer":"https://a.example","jwks_uri":"https://a.example/k"{more}}}"#);
            parse(body.as_bytes(), "https://a.example", 8, UrlPolicy::default()).unwrap().provider
        };
        let both = r#","authorization_endpoint":"https://a.example/a?x=1","token_endpoint":"https://a.example/t""#;
        let plain = read(both).unwrap();
        assert_eq!(plain.authorization_endpoint.as_str(), "https://a.example/a?x=1");
        assert_eq!(plain.token_endpoint.as_str(), "https://a.example/t");
        assert_eq!((plain.secret_in_form, plain.names_itself, plain.end_session_endpoint), (false, false, None));
        let more = r#","end_session_endpoint":"https://a.example/e","authorization_response_iss_parameter_supported":true,"token_endpoint_auth_methods_supported":["client_secret_post"]"#;
        let rich = read(&format!("{both}{more}")).unwrap();
        assert!(rich.secret_in_form && rich.names_itself && rich.end_session_endpoint.is_some());
        let two = r#","token_endpoint_auth_methods_supported":["client_secret_post","client_secret_basic"]"#;
        assert!(!read(&format!("{both}{two}")).unwrap().secret_in_form);
        for lacking in [
            "",
            r#","authorization_endpoint":"https://a.example/a""#,
            r#","authorization_endpoint":"http://a.example/a","token_endpoint":"https://a.example/t""#,
            r#","authorization_endpoint":"https://a.example/a","token_endpoint":"https://10.0.0.1/t""#,
            r#","authorization_endpoint":"javascript:alert(1)","token_endpoint":"https://a.example/t""#,
            r#","authorization_endpoint":["https://a.example/a"],"token_endpoint":"https://a.example/t""#,
        ] {
            assert_eq!(read(lacking), None, "{lacking}");
        }
    }
}

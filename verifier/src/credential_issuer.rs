//! The metadata of an issuer of credentials: who it is and where its keys are (SD-JWT VC draft, "JWT VC Issuer
//! Metadata").
use crate::json;
use crate::jwks::KeySet;
use crate::limits::Limits;
use crate::url::{HttpsUrl, UrlError, UrlPolicy};
use serde_json::Value;

const WELL_KNOWN: &str = "/.well-known/jwt-vc-issuer";

/// The keys of an issuer, or where they are.
pub(crate) enum IssuerKeys {
    At(HttpsUrl),
    Here(KeySet),
}

/// Where the metadata of an issuer is: the well-known path comes between its host and its path, whose `/` at the end
/// goes.
pub(crate) fn url_of(iss: &str, policy: UrlPolicy) -> Result<HttpsUrl, UrlError> {
    let url = HttpsUrl::parse(iss, policy)?;
    if iss.contains('?') {
        return Err(UrlError::Query);
    }
    let path = url.path_and_query().strip_suffix('/').unwrap_or(url.path_and_query());
    HttpsUrl::parse(&format!("{}://{}{WELL_KNOWN}{path}", url.scheme(), url.authority()), policy)
}

/// The keys of a metadata document whose `issuer` is exactly `iss`: `jwks` or `jwks_uri`, not both.
pub(crate) fn parse(body: &[u8], iss: &str, limits: &Limits) -> Result<IssuerKeys, String> {
    let document = json::parse_object(body, limits.json_depth).map_err(|error| error.to_string())?;
    match document.get("issuer") {
        Some(Value::String(issuer)) if issuer == iss => {}
        Some(Value::String(_)) => return Err("its `issuer` is another".to_owned()),
        _ => return Err("it has no text `issuer`".to_owned()),
    }
    match (document.get("jwks"), document.get("jwks_uri")) {
        (Some(Value::Object(set)), None) => {
            // nothing symmetric is ever taken from the network
            KeySet::from_object(set, &[]).map(IssuerKeys::Here).map_err(|error| format!("its `jwks`: {error}"))
        }
        (None, Some(Value::String(url))) => HttpsUrl::parse(url, limits.url_policy)
            .map(IssuerKeys::At)
            .map_err(|error| format!("its `jwks_uri`: {error}")),
        (Some(_), Some(_)) => Err("it has both `jwks` and `jwks_uri`".to_owned()),
        (None, None) => Err("it has neither `jwks` nor `jwks_uri`".to_owned()),
        _ => Err("its keys are of a wrong type".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISS: &str = "https://dmv.example/a";

    #[test]
    fn the_well_known_path_comes_before_the_path() {
        for (iss, url) in [
            ("https://dmv.example", "https://dmv.example/.well-known/jwt-vc-issuer"),
            ("https://dmv.example/", "https://dmv.example/.well-known/jwt-vc-issuer"),
            ("https://dmv.example/tenant/1234", "https://dmv.example/.well-known/jwt-vc-issuer/tenant/1234"),
            ("https://dmv.example/tenant/", "https://dmv.example/.well-known/jwt-vc-issuer/tenant"),
        ] {
            assert_eq!(url_of(iss, UrlPolicy::default()).unwrap().as_str(), url);
        }
        for bad in ["https://dmv.example/?a=b", "http://dmv.example", "https://dmv.example/#a", "did:web:dmv.example"] {
            assert!(url_of(bad, UrlPolicy::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_same_issuer_and_one_place_for_its_keys() {
        let read = |body: &str| parse(body.as_bytes(), ISS, &Limits::default());
        assert!(matches!(
            read(r#"{"issuer":"https://dmv.example/a","jwks_uri":"https://dmv.example/keys"}"#),
            Ok(IssuerKeys::At(url)) if url.as_str() == "https://dmv.example/keys"
        ));
        assert!(matches!(
            read(r#"{"issuer":"https://dmv.example/a","jwks":{"keys":[]}}"#),
            Ok(IssuerKeys::Here(set)) if set.is_empty()
        ));
        for bad in [
            r#"{"issuer":"https://dmv.example","jwks":{"keys":[]}}"#,
            r#"{"issuer":"https://dmv.example/a/","jwks":{"keys":[]}}"#,
            r#"{"jwks":{"keys":[]}}"#,
            r#"{"issuer":"https://dmv.example/a"}"#,
            r#"{"issuer":"https://dmv.example/a","jwks":{"keys":[]},"jwks_uri":"https://dmv.example/keys"}"#,
            r#"{"issuer":"https://dmv.example/a","jwks":[]}"#,
            r#"{"issuer":"https://dmv.example/a","jwks":{"keys":[{"kty":"oct","k":"AAAA"}]}}"#,
            r#"{"issuer":"https://dmv.example/a","jwks":{"keys":[{"kty":"EC","d":"AA"}]}}"#,
            r#"{"issuer":"https://dmv.example/a","jwks_uri":"http://dmv.example/keys"}"#,
            r#"{"issuer":"https://dmv.example/a","jwks_uri":"https://169.254.169.254/"}"#,
            "[]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

//! The links that others give to the wallet (threat 94): `https` alone, to a named host, without a port or user
//! information. The demo's build alone admits `http` and ports for hosts that end in `.localhost`.

use carded_verifier::{HttpsUrl, Limits, UrlPolicy};

use crate::refusal::Refusal;

/// What links may be in this build.
pub(crate) const POLICY: UrlPolicy = UrlPolicy { allow_http_localhost: cfg!(feature = "demo"), allow_port: false };

/// What the page and the build's checks read to tell one build from the other.
pub(crate) const BUILD: &str =
    if cfg!(feature = "demo") { "carded-wallet-build:demo" } else { "carded-wallet-build:production" };

/// The verifier's limits, with the links of this build.
pub(crate) fn limits() -> Limits {
    Limits { url_policy: POLICY, ..Limits::default() }
}

/// Takes a link that others gave; `what` names it in the refusal.
///
/// # Errors
/// `link_refused` for anything but a link that may be followed.
pub(crate) fn take(text: &str, what: &str) -> Result<HttpsUrl, Refusal> {
    HttpsUrl::parse(text, POLICY).map_err(|why| {
        Refusal::new("link_refused", format!("{what} is a link that this wallet does not follow: {why}."))
    })
}

/// Scheme and authority: what a person is shown and what copies belong to.
pub(crate) fn origin(url: &HttpsUrl) -> String {
    format!("{}://{}", url.scheme(), url.authority())
}

/// Where metadata of `issuer` lies: the well-known name stands between host and path (OpenID4VCI 1.0 section 12.2.2,
/// RFC 8414 section 3.1).
///
/// # Errors
/// `link_refused` where the issuer carries a query, or is no link that may be followed.
pub(crate) fn well_known(issuer: &str, name: &str, what: &str) -> Result<HttpsUrl, Refusal> {
    let url = take(issuer, what)?;
    if url.path_and_query().contains('?') {
        return Err(Refusal::new("link_refused", format!("{what} carries a query.")));
    }
    let path = url.path_and_query().trim_end_matches('/');
    take(&format!("{}/.well-known/{name}{path}", origin(&url)), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_94_only_https_links_are_followed() {
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "blob:https://shop.example/1",
            "JavaScript://shop.example/%0aalert(1)",
            "http://shop.example/",
            "https://user@shop.example/",
            "https://127.0.0.1/",
            "//shop.example/",
            "",
        ] {
            assert_eq!(take(bad, "It").unwrap_err().code, "link_refused", "{bad}");
        }
        assert!(take("https://shop.example/a?b=c", "It").is_ok());
    }

    #[cfg(not(feature = "demo"))]
    #[test]
    fn threat_94_a_build_for_people_has_no_exception() {
        assert!(take("http://shop.localhost/", "It").is_err());
        assert!(take("http://shop.localhost:8080/", "It").is_err());
        assert!(take("https://shop.example:8443/", "It").is_err());
        assert!(BUILD.ends_with("production"));
    }

    #[cfg(feature = "demo")]
    #[test]
    fn threat_94_the_demo_excepts_localhost_names_only() {
        assert!(take("http://shop.localhost:8080/", "It").is_ok());
        for bad in ["http://localhost:8080/", "http://shop.example/", "http://127.0.0.1:8080/", "javascript:alert(1)"] {
            assert!(take(bad, "It").is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata_lies_between_host_and_path() {
        let at = |issuer| well_known(issuer, "openid-credential-issuer", "It").unwrap().as_str().to_owned();
        assert_eq!(at("https://dmv.example"), "https://dmv.example/.well-known/openid-credential-issuer");
        assert_eq!(at("https://dmv.example/"), "https://dmv.example/.well-known/openid-credential-issuer");
        assert_eq!(at("https://dmv.example/a/b"), "https://dmv.example/.well-known/openid-credential-issuer/a/b");
        assert!(well_known("https://dmv.example/?a", "x", "It").is_err());
    }
}

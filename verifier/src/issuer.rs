//! An issuer that may vouch for a caller (`iss`, RFC 7519 section 4.1.1), alone or as a pattern of tenants.
use crate::algorithm::Algorithm;
use crate::jwks::KeySet;
use crate::ordered::Ordered;
use crate::required_claim::RequiredClaim;
use crate::url::{HttpsUrl, UrlError, UrlPolicy};
use std::fmt;
use std::time::Duration;

const PLACEHOLDER: &str = "{tenant}";
const LONGEST: usize = 1024;

/// An issuer and what is asked of its tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name in the configuration: `[a-z0-9_-]+`.
    pub name: String,
    /// What `iss` must be.
    pub issuer: IssuerId,
    /// For a pattern: the only tenants that are trusted. `None` trusts every tenant.
    pub tenants: Option<Ordered<String>>,
    /// `aud` must name one of these; at least one.
    pub audiences: Vec<String>,
    /// The only algorithms that its tokens may use; at least one.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// What must be among the claims besides; all of it.
    pub required_claims: Vec<RequiredClaim>,
    /// The longest that `exp - iat` may be.
    pub max_lifetime: Option<Duration>,
    /// How far its clock may be off, at most five minutes.
    pub clock_skew: Duration,
    /// Whether a token without `exp` is refused.
    pub require_exp: bool,
    /// The `typ` values that are accepted, compared without case and without `application/`. `None` accepts an absent
    /// one, `JWT` and `at+jwt` (RFC 9068 section 2.1).
    pub typ: Option<Vec<String>>,
    /// Whether it is asked about tokens that only it can read ([`crate::introspection`]). It may have no keys then.
    pub introspects: bool,
    /// The `client_id`s of logins at this issuer: a token whose `aud` names one is an ID token and refused.
    pub login_client_ids: Vec<String>,
}

impl Issuer {
    /// An issuer with the defaults: a skew of one minute, `exp` required, nothing else asked.
    pub fn new(
        name: &str,
        issuer: IssuerId,
        audiences: Vec<String>,
        algorithms: Vec<Algorithm>,
        keys: KeySource,
    ) -> Self {
        Self {
            name: name.to_owned(),
            issuer,
            tenants: None,
            audiences,
            algorithms,
            keys,
            required_claims: Vec::new(),
            max_lifetime: None,
            clock_skew: Duration::from_secs(60),
            require_exp: true,
            typ: None,
            introspects: false,
            login_client_ids: Vec::new(),
        }
    }
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Its discovery document names them (OpenID Connect Discovery 1.0 section 4).
    Discovery,
    /// At this URL; for a pattern, one set for all its tenants.
    JwksUri(HttpsUrl),
    /// Here; for a pattern, one set for all its tenants.
    Inline(KeySet),
}

/// What `iss` must be: an exact string, or a URL in which `{tenant}` stands for one whole path segment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IssuerId {
    text: String,
    /// for a pattern: where `{tenant}` starts
    placeholder: Option<usize>,
    /// for an `http(s)` URL
    url: Option<HttpsUrl>,
}

/// Why a text is no issuer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IssuerIdError {
    /// It is empty, longer than 1024 bytes, or has a character that is not visible ASCII.
    Malformed,
    /// It is a URL, but not one to trust.
    Url(UrlError),
    /// A brace that is not `{tenant}` as one whole path segment, once.
    Placeholder,
}

impl fmt::Display for IssuerIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not an issuer: 1 to 1024 visible ASCII characters"),
            Self::Url(error) => write!(f, "not a URL to trust: {error}"),
            Self::Placeholder => f.write_str("`{tenant}` may stand once, for one whole path segment"),
        }
    }
}

impl std::error::Error for IssuerIdError {}

impl IssuerId {
    /// Takes an issuer: an `https` URL without query and fragment, or a string that is no URL of the web (RFC 7519
    /// section 4.1.1 allows both), which can only be compared.
    ///
    /// # Errors
    /// [`IssuerIdError`] where nothing safe can be compared or fetched by it.
    pub fn parse(text: &str, policy: UrlPolicy) -> Result<Self, IssuerIdError> {
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(IssuerIdError::Malformed);
        }
        let placeholder = find_placeholder(text)?;
        let of_the_web = text
            .split_once(':')
            .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"));
        if !of_the_web {
            if placeholder.is_some() {
                return Err(IssuerIdError::Placeholder);
            }
            return Ok(Self { text: text.to_owned(), placeholder, url: None });
        }
        // What the pattern would be for a tenant must be a URL to trust; the braces themselves are none of a URL.
        let concrete = text.replace(PLACEHOLDER, "tenant");
        let url = HttpsUrl::parse(&concrete, policy).map_err(IssuerIdError::Url)?;
        if concrete.contains('?') {
            return Err(IssuerIdError::Url(UrlError::Query));
        }
        if let Some(at) = placeholder {
            // after the authority, where the third slash or a later one starts the segment
            let in_path = text.match_indices('/').nth(2).is_some_and(|(slash, _)| slash < at);
            if !in_path {
                return Err(IssuerIdError::Placeholder);
            }
        }
        Ok(Self { text: text.to_owned(), placeholder, url: Some(url) })
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for many tenants.
    pub fn is_pattern(&self) -> bool {
        self.placeholder.is_some()
    }

    /// Whether it is a URL, as discovery needs.
    pub fn is_url(&self) -> bool {
        self.url.is_some()
    }

    /// For a pattern: the tenant that `iss` names. It never crosses a `/` or a host.
    pub fn tenant_of<'a>(&self, iss: &'a str) -> Option<&'a str> {
        let (before, after) = self.around()?;
        let tenant = iss.strip_prefix(before)?.strip_suffix(after)?;
        is_tenant(tenant).then_some(tenant)
    }

    /// The issuer of one tenant; the text itself where this is no pattern.
    pub fn for_tenant(&self, tenant: Option<&str>) -> String {
        match (self.around(), tenant) {
            (Some((before, after)), Some(tenant)) => format!("{before}{tenant}{after}"),
            _ => self.text.clone(),
        }
    }

    /// Scheme and authority as written: what patterns are grouped by.
    pub(crate) fn origin(&self) -> &str {
        origin_of(&self.text)
    }

    /// Whether some `iss` could be of both patterns.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.text.split('/'), other.text.split('/'));
        self.text.split('/').count() == other.text.split('/').count()
            && mine
                .zip(theirs)
                .all(|(a, b)| a == b || (a == PLACEHOLDER && is_tenant(b)) || (b == PLACEHOLDER && is_tenant(a)))
    }

    fn around(&self) -> Option<(&str, &str)> {
        let at = self.placeholder?;
        Some((self.text.get(..at)?, self.text.get(at + PLACEHOLDER.len()..)?))
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The part of an `iss` before its path: `https://host`. The whole where it has no path.
pub(crate) fn origin_of(iss: &str) -> &str {
    match iss.match_indices('/').nth(2) {
        Some((slash, _)) => iss.get(..slash).unwrap_or(iss),
        None => iss,
    }
}

/// Whether a text can be a tenant: unreserved characters only (RFC 3986 section 2.3), neither `.` nor `..`.
pub fn is_tenant(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

fn find_placeholder(text: &str) -> Result<Option<usize>, IssuerIdError> {
    if !text.contains(['{', '}']) {
        return Ok(None);
    }
    let segments = text.split('/').filter(|segment| *segment == PLACEHOLDER).count();
    let braces = text.matches(['{', '}']).count();
    if segments != 1 || braces != 2 {
        return Err(IssuerIdError::Placeholder);
    }
    Ok(text.find(PLACEHOLDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> IssuerId {
        IssuerId::parse(text, UrlPolicy::default()).unwrap()
    }

    #[test]
    fn what_an_issuer_may_be() {
        for good in [
            "https://idp.example.com",
            "https://idp.example.com/",
            "https://idp.example.com/realms/a",
            "https://login.example.com/{tenant}/v2.0",
            "https://login.example.com/a/{tenant}",
            "accounts.example.com",
            "kubernetes/serviceaccount",
            "urn:example:issuer",
            "spiffe://example.org",
        ] {
            assert!(IssuerId::parse(good, UrlPolicy::default()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "has space",
            "http://idp.example.com",
            "HTTPS://idp.example.com",
            "https:idp.example.com",
            "https://user@idp.example.com",
            "https://idp.example.com:8443",
            "https://10.0.0.1",
            "spiffe://example.org/{tenant}",
            "https://idp.example.com?x=1",
            "https://idp.example.com#x",
            "https://{tenant}/v2.0",
            "https://{tenant}.example.com/",
            "{tenant}",
            "a/{tenant}",
            "https://login.example.com/{tenant}x",
            "https://login.example.com/x{tenant}/v2.0",
            "https://login.example.com/{tenant}/{tenant}",
            "https://login.example.com/{other}",
            "https://login.example.com/{tenant}/{",
            "https://login.example.com/../{tenant}",
            "https://idp.example.com/\u{e9}",
        ] {
            assert!(IssuerId::parse(bad, UrlPolicy::default()).is_err(), "{bad}");
        }
        assert!(IssuerId::parse(&format!("https://a.example/{}", "x".repeat(2000)), UrlPolicy::default()).is_err());
    }

    #[test]
    fn a_tenant_never_crosses_a_slash_or_a_host() {
        let pattern = id("https://login.example.com/{tenant}/v2.0");
        assert_eq!(pattern.tenant_of("https://login.example.com/a-1/v2.0"), Some("a-1"));
        for iss in [
            "https://login.example.com//v2.0",
            "https://login.example.com/v2.0",
            "https://login.example.com/a/b/v2.0",
            "https://login.example.com/a%2fb/v2.0",
            "https://login.example.com/../v2.0",
            "https://login.example.com/./v2.0",
            "https://login.example.com/a/v2.0/",
            "https://login.example.com/a/v2.0?x",
            "https://login.example.com/a?/v2.0",
            "https://login.example.com/a#/v2.0",
            "https://login.example.com/{tenant}/v2.0",
            "https://login.example.com.evil.com/a/v2.0",
            "https://evil.com/https://login.example.com/a/v2.0",
            "https://login.example.com@evil.com/a/v2.0",
            "https://LOGIN.example.com/a/v2.0",
            "http://login.example.com/a/v2.0",
            "https://login.example.com\\evil/a/v2.0",
            "https://login.example.com/a\n/v2.0",
            "https://login.example.com/\u{e9}/v2.0",
        ] {
            assert_eq!(pattern.tenant_of(iss), None, "{iss}");
        }
        assert_eq!(pattern.for_tenant(Some("a")), "https://login.example.com/a/v2.0");
        assert_eq!(id("https://a.example").tenant_of("https://a.example"), None);
    }

    #[test]
    fn patterns_that_overlap() {
        let pattern = id("https://l.example/{tenant}/x");
        assert!(pattern.overlaps(&id("https://l.example/y/{tenant}")));
        assert!(pattern.overlaps(&id("https://l.example/{tenant}/x")));
        assert!(!pattern.overlaps(&id("https://l.example/{tenant}/z")));
        assert!(!pattern.overlaps(&id("https://l.example/{tenant}")));
        assert!(!pattern.overlaps(&id("https://m.example/{tenant}/x")));
    }
}

//! Rules: which requests they are for, and what they ask for. The first that matches decides.

use std::rc::Rc;

use carded_verifier::IssuerIndex;

use super::config::{Allow, ConfigError, Field, HeaderMatch, MatchConfig, Named, Otherwise, RuleConfig};
use super::facts::Names;
use super::pattern::PlainPattern;
use super::place::{Place, PlaceKind};
use super::request::{Repeated, Request};
use super::requirement::Requirement;
use super::step_up::StepUp;

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Rc<str>,
    matches: Match,
    pub(super) asks: Asks,
    /// Where tokens are read.
    pub(super) places: Vec<Place>,
    /// Whether what a session holds counts here.
    pub(super) reads_credentials: bool,
    /// Whether client certificates count here.
    pub(super) reads_certificate: bool,
    /// Where a browser is sent that lacks what is required.
    pub(super) otherwise: Option<Otherwise>,
    /// How somebody must have signed in.
    pub(super) step_up: Option<Box<StepUp>>,
    pub(super) authorize: bool,
    /// Whether the services get a token of our own.
    pub(super) gateway_token: bool,
    actions: Named<String>,
}

/// What a rule asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nothing; no evidence is read.
    Nothing,
    /// Evidence that is enough.
    Require(Requirement),
    /// Evidence that holds where it is there.
    Optional(Requirement),
}

/// The requests that a rule is for.
#[derive(Debug, PartialEq, Eq)]
struct Match {
    paths: Vec<PlainPattern>,
    methods: Option<Vec<String>>,
    hosts: Option<Vec<Host>>,
    headers: Vec<(String, HeaderMatch)>,
    preflight: bool,
}

/// A host of the authority (RFC 9110 §7.2), in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// With its port.
    WithPort(String),
    /// On any port.
    AnyPort(String),
    /// Any labels before this (which starts with a dot), on any port.
    Under(String),
}

/// What a rule is matched on.
pub(super) struct Subject<'a> {
    pub(super) request: &'a Request,
    pub(super) segments: &'a [&'a str],
    pub(super) method: &'a str,
    /// The authority in lower case; empty where there is none.
    pub(super) authority: &'a str,
}

impl Rule {
    pub(super) fn compile(
        configured: &RuleConfig,
        index: usize,
        names: Names<'_>,
        sources: &[Vec<PlaceKind>],
        errors: &mut Vec<ConfigError>,
    ) -> Option<Self> {
        let field = Field::top("rules").at(index);
        let matches = Match::compile(&configured.matches, &field.key("match"), errors);
        let asks = match (configured.allow, &configured.require, &configured.optional) {
            (Some(Allow::Anyone), None, None) => Some(Asks::Nothing),
            (None, Some(require), None) => {
                Requirement::compile(require, &field.key("require"), names, errors).map(Asks::Require)
            }
            (None, None, Some(optional)) => {
                Requirement::compile(optional, &field.key("optional"), names, errors).map(Asks::Optional)
            }
            _ => {
                errors.push(field.error("a rule has exactly one of `allow`, `require` and `optional`"));
                None
            }
        };
        if configured.authorize && asks == Some(Asks::Nothing) {
            errors.push(field.key("authorize").error("`allow: anyone` reads no evidence that policies could speak of"));
        }
        if configured.gateway_token == Some(true) && asks == Some(Asks::Nothing) {
            errors.push(field.key("gateway_token").error("`allow: anyone` reads no evidence to make a token of"));
        }
        if configured.otherwise == Some(Otherwise::Present) {
            let requires = matches!(&asks, Some(Asks::Require(requirement)) if requirement.names_credential(None));
            if !requires && asks.is_some() {
                errors.push(field.key("otherwise").error("there is no credential in `require` that could be shown"));
            }
        }
        if configured.otherwise == Some(Otherwise::Login) {
            let requires = matches!(&asks, Some(Asks::Require(requirement)) if requirement.names_login(None));
            if !requires && asks.is_some() {
                errors.push(field.key("otherwise").error("there is no login in `require`"));
            }
        }
        let name: Rc<str> = configured.name.as_deref().map_or_else(|| index.to_string().into(), Rc::from);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            errors.push(
                field.key("name").error("a rule's name has letters, digits, `-` and `_` only (it names metrics)"),
            );
        }
        for method in configured.actions.keys().filter(|method| !is_token(method)) {
            errors.push(field.key("actions").key(method).error("this is no method"));
        }
        let required = match &asks {
            Some(Asks::Require(requirement)) => Some(requirement),
            _ => None,
        };
        let step_up = StepUp::compile(configured, required, &field, errors);
        let asks = asks?;
        Some(Self {
            name,
            matches: matches?,
            places: places(&asks, sources),
            reads_credentials: match &asks {
                Asks::Nothing => false,
                Asks::Require(requirement) | Asks::Optional(requirement) => {
                    requirement.names_credential(None) || requirement.names_login(None)
                }
            },
            reads_certificate: match &asks {
                Asks::Nothing => false,
                Asks::Require(requirement) | Asks::Optional(requirement) => requirement.names_certificate(None),
            },
            otherwise: configured.otherwise,
            step_up,
            asks,
            authorize: configured.authorize,
            gateway_token: configured.gateway_token.unwrap_or(true),
            actions: configured.actions.clone(),
        })
    }

    #[inline]
    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.matches.matches(subject)
    }

    /// The name of a method in the policies.
    #[inline]
    pub(super) fn action<'a>(&'a self, method: &'a str) -> &'a str {
        self.actions.get(method).map_or(method, String::as_str)
    }

    /// Whether this rule, standing before, leaves nothing for the other.
    pub(super) fn shadows(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.matches, &other.matches);
        let covers_all = |ours: &Option<Vec<_>>, theirs: &Option<Vec<String>>| match (ours, theirs) {
            (None, _) => true,
            (Some(ours), Some(theirs)) => theirs.iter().all(|one| ours.contains(one)),
            (Some(_), None) => false,
        };
        let hosts_cover = match (&ours.hosts, &theirs.hosts) {
            (None, _) => true,
            (Some(ours), Some(theirs)) => theirs.iter().all(|theirs| ours.iter().any(|ours| ours.covers(theirs))),
            (Some(_), None) => false,
        };
        theirs.paths.iter().all(|theirs| ours.paths.iter().any(|ours| ours.covers(theirs)))
            && covers_all(&ours.methods, &theirs.methods)
            && hosts_cover
            && ours.headers.iter().all(|header| theirs.headers.contains(header))
            && (!ours.preflight || theirs.preflight)
    }
}

/// The places where the tokens of a rule's issuers are read, each once.
fn places(asks: &Asks, sources: &[Vec<PlaceKind>]) -> Vec<Place> {
    let issuers: Vec<IssuerIndex> = match asks {
        Asks::Nothing => Vec::new(),
        Asks::Require(requirement) | Asks::Optional(requirement) => requirement.issuers(),
    };
    let mut places: Vec<Place> = Vec::new();
    // in their order, and so in each place
    for issuer in issuers {
        for kind in sources.get(issuer.as_usize()).into_iter().flatten() {
            match places.iter_mut().find(|place| place.kind.is_same(kind)) {
                Some(place) => place.issuers.push(issuer),
                None => places.push(Place { kind: kind.clone(), issuers: vec![issuer] }),
            }
        }
    }
    places
}

impl Match {
    fn compile(configured: &MatchConfig, field: &Field, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let before = errors.len();
        let path_field = field.key("path");
        let mut paths = Vec::new();
        if configured.path.0.is_empty() {
            errors.push(path_field.error("name at least one path pattern; `/**` matches all"));
        }
        for pattern in &configured.path.0 {
            let bind = |name: &str| Err(format!("`{{{name}}}` has a meaning in policies only: write `*` here"));
            match PlainPattern::parse(pattern, bind) {
                Ok(pattern) => paths.push(pattern),
                Err(why) => errors.push(path_field.error(why)),
            }
        }
        for (index, method) in configured.methods.iter().flatten().enumerate() {
            if !is_token(method) || method.bytes().any(|byte| byte.is_ascii_lowercase()) {
                errors.push(
                    field.key("methods").at(index).error(format!("`{method}` is no method: write it in capitals")),
                );
            }
        }
        if configured.methods.as_ref().is_some_and(Vec::is_empty) {
            errors.push(field.key("methods").error("an empty list could never match: leave it out for all methods"));
        }
        let hosts = configured.hosts.as_ref().map(|hosts| {
            if hosts.is_empty() {
                errors.push(field.key("hosts").error("an empty list could never match: leave it out for all hosts"));
            }
            let parsed = hosts.iter().enumerate().filter_map(|(index, text)| {
                let host = Host::parse(text);
                if host.is_none() {
                    errors.push(
                        field
                            .key("hosts")
                            .at(index)
                            .error(format!("`{text}` is no host: write host, host:port or *.domain")),
                    );
                }
                host
            });
            parsed.collect()
        });
        let mut headers = Vec::new();
        for (name, test) in &configured.headers {
            if !is_token(name) {
                errors.push(field.key("headers").key(name).error("this is no header's name"));
            }
            headers.push((name.to_ascii_lowercase(), test.clone()));
        }
        (errors.len() == before).then(|| Self {
            paths,
            methods: configured.methods.clone(),
            hosts,
            headers,
            preflight: configured.preflight,
        })
    }

    #[inline]
    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.paths.iter().any(|pattern| pattern.matches(subject.segments, |never, _| match *never {}))
            && self.methods.as_ref().is_none_or(|methods| methods.iter().any(|method| method == subject.method))
            && self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|host| host.matches(subject.authority)))
            && (!self.preflight || is_preflight(subject))
            && self.headers.iter().all(|(name, test)| header_matches(name, test, subject.request))
    }
}

/// A CORS preflight (Fetch standard, CORS protocol).
fn is_preflight(subject: &Subject<'_>) -> bool {
    subject.method == "OPTIONS" && subject.request.has("origin") && subject.request.has("access-control-request-method")
}

/// A header that is there more than once equals nothing: services could take either copy.
fn header_matches(name: &str, test: &HeaderMatch, request: &Request) -> bool {
    match (test, request.single(name)) {
        (HeaderMatch::Present(expected), value) => *expected != matches!(value, Ok(None)),
        (HeaderMatch::Equals(expected), Ok(Some(value))) => value == expected.as_bytes(),
        (HeaderMatch::Prefix(expected), Ok(Some(value))) => value.starts_with(expected.as_bytes()),
        (_, Ok(None) | Err(Repeated)) => false,
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        };
        if let Some(rest) = lower.strip_prefix("*.") {
            return is_name(rest).then(|| Self::Under(format!(".{rest}")));
        }
        let (name, port) = split_port(&lower);
        let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_address = bracketed.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        if !is_name(name) && !is_address {
            return None;
        }
        match port {
            None => Some(Self::AnyPort(lower)),
            Some(port) => port.parse::<u16>().ok().map(|_| Self::WithPort(lower.clone())),
        }
    }

    #[inline]
    fn matches(&self, authority: &str) -> bool {
        let (name, _) = split_port(authority);
        // The root label may be written out; it is the same host (RFC 3986 §3.2.2).
        let name = name.strip_suffix('.').unwrap_or(name);
        match self {
            Self::WithPort(host) => host == authority,
            Self::AnyPort(host) => host == name,
            Self::Under(suffix) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Under(ours), Self::Under(theirs)) => theirs.ends_with(ours.as_str()),
            (_, Self::Under(_)) => false,
            (Self::WithPort(_), Self::AnyPort(_)) => false,
            (ours, Self::AnyPort(host) | Self::WithPort(host)) => ours.matches(host),
        }
    }
}

/// The host and the port of an authority; a port is what follows the last colon outside of brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A token of RFC 9110 §5.6.2, as methods and header names are.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_case_and_ports_only_where_named() {
        for (pattern, authority, expected) in [
            ("Shop.Example.com", "shop.example.com", true),
            ("shop.example.com", "shop.example.com:8443", true),
            ("shop.example.com:443", "shop.example.com:8443", false),
            ("shop.example.com:443", "shop.example.com", false),
            ("shop.example.com", "shop.example.com.", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("[::1]", "[::1]:80", true),
            ("shop.example.com", "", false),
        ] {
            assert_eq!(Host::parse(pattern).unwrap().matches(authority), expected, "{pattern} on {authority}");
        }
        for bad in ["", "a b", "https://a", "a:b", "[x]", "*.", "a/b", "user@a"] {
            assert!(Host::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_repeated_header_equals_nothing() {
        let request = Request::from_pairs([(&b"x"[..], &b"1"[..]), (b"x", b"1"), (b"y", b"abc")]);
        assert!(!header_matches("x", &HeaderMatch::Equals("1".into()), &request));
        assert!(header_matches("x", &HeaderMatch::Present(true), &request));
        assert!(header_matches("y", &HeaderMatch::Prefix("ab".into()), &request));
        assert!(header_matches("z", &HeaderMatch::Present(false), &request));
    }
}

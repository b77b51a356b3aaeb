//! API tokens: where they are configured, and where requests carry them (RFC 6750 §2.1, RFC 7617). Each set of them stands
//! among the issuers, so that rules, policies and headers speak of `ci.owner` and `scope:ci.deploy` as of any claim.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carded_verifier::api_token::PREFIX;
use carded_verifier::{
    ApiToken, ApiTokenSource, ApiTokens, Basis, ClaimPath, Condensed, Documents, HttpsUrl, Outcome, Timestamp,
    verify_api_token,
};

use super::Gate;
use super::compile::{Fetching, IssuerExtra, url_policy};
use super::config::{ApiTokensConfig, BindingConfig, Config, ConfigError, Field};
use super::place::{Place, PlaceKind};

/// What stands before the credentials of HTTP Basic.
pub(super) const BASIC: &str = "Basic ";

/// The sets, and what each is beside.
pub(super) fn compile(
    config: &Config,
    fetching: &Fetching,
    errors: &mut Vec<ConfigError>,
) -> Vec<(ApiTokens, IssuerExtra)> {
    let mut sets = Vec::new();
    for (name, configured) in &config.api_tokens {
        let field = Field::top("api_tokens").key(name);
        if config.issuers.contains_key(name) || config.credentials.contains_key(name) {
            errors.push(field.error("an issuer or a credential has this name too: claims would be called the same"));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if super::facts::is_taken(name) {
            errors.push(field.error("claims of client certificates or sessions are called so: take another name"));
        }
        if name.is_empty() || !name.bytes().all(plain) {
            errors.push(field.error("the name of API tokens has a-z, 0-9, `-` and `_` only"));
        }
        let Some(source) = source(configured, config, fetching, &field, errors) else { continue };
        let Ok(roles) = ClaimPath::from_names(vec!["roles".to_owned()]) else { continue };
        let mut places = vec![PlaceKind::Header { name: "authorization".into(), prefix: "Bearer ".to_owned() }];
        if configured.basic {
            places.push(PlaceKind::Basic);
        }
        let extra = IssuerExtra {
            places,
            forward: configured.forward,
            binding: BindingConfig::None,
            dpop_nonce: false,
            roles,
            introspection: None,
        };
        sets.push((ApiTokens { name: name.clone(), source }, extra));
    }
    sets
}

fn source(
    configured: &ApiTokensConfig,
    config: &Config,
    fetching: &Fetching,
    field: &Field,
    errors: &mut Vec<ConfigError>,
) -> Option<ApiTokenSource> {
    match (&configured.tokens, &configured.uri) {
        (Some(tokens), None) => {
            let mut known = Vec::with_capacity(tokens.len());
            for (index, token) in tokens.iter().enumerate() {
                match ApiToken::new(&token.sha256, &token.owner, token.scopes.clone(), token.expires.as_deref()) {
                    Ok(token) => known.push(token),
                    Err(why) => errors.push(field.key("tokens").at(index).error(why)),
                }
            }
            Some(ApiTokenSource::Inline(known))
        }
        (None, Some(uri)) => {
            let field = field.key("uri");
            match HttpsUrl::parse(uri, url_policy(config)) {
                Ok(url) if fetching.clusters.contains_key(&url.authority().to_ascii_lowercase()) => {
                    return Some(ApiTokenSource::Uri(url));
                }
                Ok(url) => errors.push(field.error(format!(
                    "it would be fetched from `{}`, which `fetch.clusters` does not name",
                    url.authority()
                ))),
                Err(why) => errors.push(field.error(why.to_string())),
            }
            None
        }
        _ => {
            errors.push(field.error("give exactly one of `tokens` and `uri`"));
            None
        }
    }
}

impl Gate {
    /// Verifies an API token for a place.
    pub(super) fn api_token(
        &self,
        token: &[u8],
        place: &Place,
        known: &Documents,
        now: Timestamp,
    ) -> Outcome<(Condensed, Basis)> {
        let asked = |issuer| self.asked_claims(issuer).map_or_else(Arc::default, Arc::clone);
        verify_api_token(token, &place.issuers, &self.trust, known, now, asked)
    }

    /// Whether a text is to be taken for an API token in a place.
    pub(super) fn is_api_token(&self, token: &[u8], place: &Place) -> bool {
        token.starts_with(PREFIX.as_bytes()) && place.issuers.iter().any(|issuer| self.trust.is_api_tokens(*issuer))
    }
}

/// The password of Basic credentials, where it is an API token. Whoever it is said to be of, the token says itself.
pub(super) fn password(credentials: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = STANDARD.decode(credentials).ok()?;
    let at = decoded.iter().position(|byte| *byte == b':')?;
    let password = decoded.split_off(at.saturating_add(1));
    password.starts_with(PREFIX.as_bytes()).then_some(password)
}

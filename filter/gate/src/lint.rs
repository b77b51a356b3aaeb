//! Warnings: what is legal, but rarely meant. `lint-config` prints them; the filter logs them once.

use carded_verifier::{IssuerIndex, Ordered};

use super::Gate;
use super::config::{Config, ConfigError, Field, OnFailure, StatusConfig, UnavailableConfig};
use super::rule::Asks;

pub(super) fn warnings(config: &Config, gate: &Gate) -> Vec<ConfigError> {
    let mut warnings = Vec::new();
    if config.danger_allow_http_localhost {
        warnings.push(
            Field::top("danger_allow_http_localhost").error("http is admitted for *.localhost: for development only"),
        );
    }
    if config.client_certificate.forwarded {
        warnings.push(Field::top("client_certificate").key("forwarded").error(
            "set `forward_client_cert_details: SANITIZE_SET` and `set_current_client_cert_details: { uri: true, dns: true }` on the listener",
        ));
    }
    let rules = Field::top("rules");
    for (index, rule) in gate.rules.iter().enumerate() {
        let earlier = gate.rules.iter().take(index).position(|earlier| earlier.shadows(rule));
        if let Some(earlier) = earlier {
            warnings.push(
                rules.at(index).error(format!("this rule can never match: rules[{earlier}] takes all its requests")),
            );
        }
        let same_name = gate.rules.iter().take(index).any(|earlier| earlier.name == rule.name);
        if same_name {
            warnings.push(
                rules.at(index).key("name").error("another rule has this name: their metrics are counted together"),
            );
        }
    }
    let named: Ordered<IssuerIndex> = gate
        .rules
        .iter()
        .flat_map(|rule| match &rule.asks {
            Asks::Nothing => Vec::new(),
            Asks::Require(requirement) | Asks::Optional(requirement) => requirement.issuers(),
        })
        .collect();
    for (name, issuer) in &config.issuers {
        let field = Field::top("issuers").key(name);
        if !issuer.require_exp {
            warnings.push(field.key("require_exp").error("tokens of this issuer may never expire"));
        }
        if let Some(asked) = &issuer.introspection {
            let field = field.key("introspection");
            if !asked.require_audience {
                warnings.push(
                    field.key("require_audience").error("tokens that the issuer gave out for other services pass too"),
                );
            }
            if !asked.require_token_type {
                warnings.push(field.key("require_token_type").error("a refresh token may pass for an access token"));
            }
        }
        if issuer.from_params.is_some() {
            warnings.push(
                field.key("from_params").error("tokens in addresses end up in logs and histories (RFC 6750 §5.3)"),
            );
        }
        if issuer.algorithms.iter().any(|algorithm| algorithm.starts_with("HS")) {
            warnings.push(field.key("algorithms").error("whoever can check an HS* token can also make one"));
        }
        if issuer.issuer.contains("{tenant}") && issuer.tenants.is_none() {
            warnings
                .push(field.key("tenants").error("every tenant of the provider is trusted: list those that are yours"));
        }
        if !config.login.contains_key(name)
            && !gate.trust.index_of(name).is_some_and(|index| named.contains_key(&index))
        {
            warnings.push(field.error("no rule asks for a token of this issuer"));
        }
    }
    for login in &gate.logins {
        let named = gate.rules.iter().any(|rule| match &rule.asks {
            Asks::Nothing => false,
            Asks::Require(requirement) | Asks::Optional(requirement) => requirement.names_login(Some(login.issuer)),
        });
        if !named {
            warnings.push(Field::top("login").key(&login.name).error("no rule asks for this login"));
        }
    }
    for (name, configured) in &config.credentials {
        let field = Field::top("credentials").key(name);
        let ways = std::iter::once((field.clone(), configured))
            .chain(configured.alternatives.iter().enumerate().map(|(at, way)| (field.key("alternatives").at(at), way)));
        for (field, way) in ways {
            if !way.holder_binding {
                warnings.push(field.key("holder_binding").error("whoever gets a copy of this credential can show it"));
            }
            if way.status == StatusConfig::IfPresent {
                warnings.push(field.key("status").error("a credential without a status cannot be taken back"));
            }
            if way.status_unavailable == UnavailableConfig::Accept {
                warnings.push(
                    field
                        .key("status_unavailable")
                        .error("a credential that was taken back passes while its status list is down"),
                );
            }
            if way.accept_vc_sd_jwt {
                warnings.push(field.key("accept_vc_sd_jwt").error("the old `typ` vc+sd-jwt is admitted"));
            }
            if way.age.as_ref().is_some_and(|age| age.birth_date) {
                warnings.push(field.key("age").key("birth_date").error("people may be asked for their birth date"));
            }
        }
        let index = gate.credentials.iter().position(|credential| credential.name == *name);
        let named = gate.rules.iter().any(|rule| match &rule.asks {
            Asks::Nothing => false,
            Asks::Require(requirement) | Asks::Optional(requirement) => requirement.names_credential(index),
        });
        if !named {
            warnings.push(field.error("no rule asks for this credential"));
        }
    }
    for (header, claim) in &config.forward.headers {
        let is_bare = claim.0.first().is_some_and(|first| {
            !super::facts::is_taken(first)
                && gate.trust.index_of(first).is_none()
                && gate.credentials.iter().all(|credential| credential.name != *first)
        });
        if is_bare && claim.0.len() > 1 {
            warnings.push(Field::top("forward").key("headers").key(header).error(format!(
                "`{claim}` is taken for a claim inside a claim: no issuer is named `{}`",
                claim.0.first().map_or("", String::as_str)
            )));
        }
    }
    if let Some(token) = &config.forward.token {
        let field = Field::top("forward").key("token");
        if token.audiences.len() > 1 {
            warnings.push(field.key("audiences").error("each of these services can use the token at the others"));
        }
        for (index, claim) in token.claims.iter().enumerate() {
            if token.pairwise.is_some() && claim.0.last().is_some_and(|name| name == "sub") {
                warnings.push(field.key("claims").at(index).error("it tells what `pairwise` hides"));
            }
        }
    }
    if let Some(revocation) = &config.revocation
        && let OnFailure::Stale(_) = revocation.on_failure
    {
        warnings.push(
            Field::top("revocation")
                .key("on_failure")
                .error("what is revoked while the list cannot be had passes for so long"),
        );
    }
    for (name, set) in &config.api_tokens {
        let field = Field::top("api_tokens").key(name);
        for (index, token) in set.tokens.iter().flatten().enumerate() {
            if token.expires.is_none() {
                warnings.push(field.key("tokens").at(index).error("this token never ends: give it `expires`"));
            }
        }
        if !gate.trust.index_of(name).is_some_and(|index| named.contains_key(&index)) {
            warnings.push(field.error("no rule asks for a token of this set"));
        }
    }
    if !config.policies.is_empty() && !gate.policies.has_deny() && !gate.rules.iter().any(|rule| rule.authorize) {
        warnings
            .push(Field::top("policies").error("no rule says `authorize: true`, so these statements decide nothing"));
    }
    warnings
}

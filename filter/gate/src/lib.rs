//! The gate: which request may go on, decided purely. It knows no host call, no clock and no randomness: it gets a view
//! of the request, the documents that are known and the time, and answers with one step. Where a document is missing it
//! says which, and is asked again from the start when it is there.

// Nothing that a client, a provider or a wallet sends may panic: a panic kills the worker's VM.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::arithmetic_side_effects,
        clippy::string_slice
    )
)]

mod api_token;
mod ask;
mod at;
mod backchannel;
mod budget;
mod cache;
mod callback;
mod certificate;
mod changes;
mod client;
mod compile;
pub mod config;
mod cookie;
mod credential;
mod decide;
mod effect;
mod ended;
mod endpoint;
mod evidence;
mod exchange;
mod facts;
mod forward;
mod introspection;
mod key;
mod lent;
mod lint;
mod login;
mod logout;
mod minting;
mod once;
mod origin;
mod page;
mod path;
mod pattern;
mod place;
mod policy;
mod possession;
mod presentation;
mod program;
mod proof;
mod pushed;
mod quiet;
mod refresh;
mod reply;
mod request;
mod requirement;
mod revoke;
mod rule;
mod seal;
mod session;
mod signed_in;
mod slow;
mod step_up;
mod token_endpoint;
mod trace;
mod undecided;
mod userinfo;
mod verdicts;
mod xfcc;

use std::sync::Arc;

use carded_verifier::{ClaimPath, IssuerIndex, Limits, SignatureProvider, Trust};

pub use budget::Budget;
pub use certificate::Connection;
pub use changes::Changes;
pub use compile::{Environment, Fetching, Waiting};
pub use config::{AccessLog, Config, ConfigError};
pub use cookie::sets_ours as sets_our_cookie;
pub use decide::{Around, Decision, Step};
pub use effect::{Came, Effect, EffectKind, Effected};
pub use ended::Cells;
pub use introspection::Inquiry;
pub use lent::{Call, Lent};
pub use once::{InMemory, Once, Spent};
pub use reply::{Refusal, Reply};
pub use request::{Repeated, Request};
pub use seal::Random;
pub use trace::{Event, Silent, Trace};
pub use verdicts::Verdicts;

use compile::IssuerExtra;
use credential::Credential;
use exchange::Exchange;
use facts::{ClaimRef, Names};
use forward::Forward;
use login::Login;
use minting::Minting;
use origin::Origins;
use policy::Policies;
use presentation::Presenting;
use rule::Rule;
use session::Sessions;

/// What an admitted request leaves in the filter state, for access logs.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// That it was admitted, as `carded.code`.
    pub code: bool,
    /// The rule that matched, as `carded.rule`.
    pub rule: bool,
    /// The issuer of its token, as `carded.issuer`.
    pub issuer: bool,
}

impl Left {
    fn compile(configured: Option<&[AccessLog]>) -> Self {
        let has = |what| configured.is_none_or(|list| list.contains(&what));
        Self { code: has(AccessLog::Code), rule: has(AccessLog::Rule), issuer: has(AccessLog::Issuer) }
    }
}

/// A compiled configuration.
#[derive(Debug)]
pub struct Gate {
    trust: Trust,
    limits: Limits,
    issuers: Vec<IssuerExtra>,
    /// Whether any of them is asked about tokens.
    asks_issuers: bool,
    credentials: Vec<Credential>,
    /// The claims that a proof keeps, by credential.
    kept: Vec<Vec<ClaimPath>>,
    /// The claims that a verdict on a token keeps, by issuer.
    asked: Vec<Arc<[ClaimPath]>>,
    origins: Origins,
    presenting: Option<Presenting>,
    logins: Vec<Login>,
    sessions: Option<Sessions>,
    rules: Vec<Rule>,
    policies: Policies,
    forward: Forward,
    minting: Option<Minting>,
    exchange: Option<Exchange>,
    /// Whether all names of client certificates are read from a header.
    reads_forwarded: bool,
    fetching: Fetching,
    waiting: Waiting,
    cached_verdicts: usize,
    /// What is left of an admitted request for access logs.
    left: Left,
    warnings: Vec<ConfigError>,
}

impl Gate {
    /// Compiles a configuration. Secrets are read from the environment.
    ///
    /// # Errors
    /// Everything that is wrong, each with the path of its field.
    pub fn new(
        config: &Config,
        environment: Environment<'_>,
        provider: Arc<dyn SignatureProvider>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        compile::origins(config, &mut errors);
        let limits = compile::limits(config, &mut errors);
        let fetching = compile::fetching(config, &limits, &mut errors);
        let waiting = compile::waiting(config, &mut errors);
        let (mut issuers, mut extras) = (Vec::new(), Vec::new());
        for (name, issuer) in &config.issuers {
            let compiled = compile::issuer(name, issuer, config, &fetching, environment, &mut errors);
            if let Some((issuer, extra)) = compiled {
                issuers.push(issuer);
                extras.push(extra);
            }
        }
        let policy = compile::url_policy(config);
        let (credentials, policies) = credential::compile(config, &fetching.clusters, policy, &mut errors);
        let origins = Origins::new(&config.origins);
        let presenting = config.presentation.as_ref().map(|one| Presenting::compile(one, policy, &mut errors));
        let sessions = compile::sessions(config, environment, &mut errors);
        let revocations = revoke::compile(config, &fetching, &mut errors);
        let (sets, more): (Vec<_>, Vec<_>) = api_token::compile(config, &fetching, &mut errors).into_iter().unzip();
        extras.extend(more);
        if !errors.is_empty() {
            return Err(errors);
        }
        let trust = Trust::new(issuers, limits.clone(), provider)
            .map_err(|why| vec![ConfigError::new("issuers", why.to_string())])?
            .with_credentials(policies)
            .map_err(|why| vec![ConfigError::new("credentials", why.to_string())])?
            .with_revocations(revocations)
            .with_api_tokens(sets)
            .map_err(|why| vec![ConfigError::new("api_tokens", why.to_string())])?;
        let credentials = credential::resolve(credentials, &trust);
        let logins = login::compile(config, &trust, environment, &mut errors);
        let names = Names { trust: &trust, credentials: &credentials, logins: &logins };
        let sources: Vec<_> = extras.iter().map(|extra| extra.places.clone()).collect();
        if config.rules.is_empty() {
            errors.push(ConfigError::new("rules", "without a rule every request is refused: write at least one"));
        }
        let rules: Vec<_> = config
            .rules
            .iter()
            .enumerate()
            .filter_map(|(index, rule)| Rule::compile(rule, index, names, &sources, &mut errors))
            .collect();
        introspection::check_rules(&rules, &extras, &mut errors);
        let roles: Vec<_> = extras.iter().map(|extra| extra.roles.clone()).collect();
        let policies = Policies::compile(&config.policies, names, &roles, &mut errors);
        let forward = Forward::compile(&config.forward, names, &mut errors);
        let minting = config.forward.token.as_ref().and_then(|token| {
            minting::check_issuers(token, config, &mut errors);
            Minting::compile(token, config, names, environment, &mut errors)
        });
        let exchange = config.exchange.as_ref().map(|one| Exchange::compile(one, config, &trust, &mut errors));
        compile::presentable(config, &rules, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut kept = vec![Vec::new(); credentials.len()];
        let named = || forward.claims().chain(policies.claims()).chain(minting.iter().flat_map(Minting::claims));
        for (credential, path) in named().filter_map(ClaimRef::kept) {
            if let Some(paths) = kept.get_mut(credential).filter(|paths| !paths.contains(path)) {
                paths.push(path.clone());
            }
        }
        let of_all = minting.as_ref().map_or(&[][..], Minting::known);
        let asked = facts::asked_of_tokens(&trust, named(), of_all, &policies, &rules);
        let mut gate = Self {
            trust,
            limits,
            asks_issuers: extras.iter().any(|extra| extra.introspection.is_some()),
            issuers: extras,
            credentials,
            kept,
            asked,
            origins,
            presenting,
            logins,
            sessions,
            rules,
            policies,
            forward,
            minting,
            exchange,
            reads_forwarded: config.client_certificate.forwarded,
            fetching,
            waiting,
            cached_verdicts: usize::try_from(config.limits.cached_verdicts.unwrap_or(10_000)).unwrap_or(0),
            left: Left::compile(config.access_log.as_deref()),
            warnings: Vec::new(),
        };
        gate.warnings = lint::warnings(config, &gate);
        Ok(gate)
    }

    /// What a careful operator would want to know, although it is legal.
    #[must_use]
    pub fn warnings(&self) -> &[ConfigError] {
        &self.warnings
    }

    /// Whom is trusted, and for what.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The verifier's limits, for the documents.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How documents are fetched.
    #[must_use]
    pub fn fetching(&self) -> &Fetching {
        &self.fetching
    }

    /// How many requests may wait for documents, and how long.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// How many verdicts on tokens and sessions are remembered.
    #[must_use]
    pub fn cached_verdicts(&self) -> usize {
        self.cached_verdicts
    }

    /// The claims of a credential that are kept once it was shown.
    fn kept_claims(&self, credential: &str) -> &[ClaimPath] {
        let index = self.credentials.iter().position(|one| one.name == credential);
        index.and_then(|index| self.kept.get(index)).map_or(&[], Vec::as_slice)
    }

    /// The claims of an issuer's tokens that anything here asks for.
    fn asked_claims(&self, issuer: IssuerIndex) -> Option<&Arc<[ClaimPath]>> {
        self.asked.get(issuer.as_usize())
    }

    fn names_of(&self) -> Names<'_> {
        Names { trust: &self.trust, credentials: &self.credentials, logins: &self.logins }
    }

    /// What an admitted request leaves for access logs.
    #[must_use]
    pub fn left(&self) -> Left {
        self.left
    }

    /// Whether cookies of ours are in use, which services must neither see nor set (threat 85).
    #[must_use]
    pub fn has_sessions(&self) -> bool {
        self.sessions.is_some()
    }

    /// The names of the rules, in their order, for metrics.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// The name of a rule.
    #[must_use]
    pub fn rule_name(&self, rule: usize) -> Option<&str> {
        self.rules.get(rule).map(|rule| &*rule.name)
    }

    /// The name of an issuer.
    #[must_use]
    pub fn issuer_name(&self, issuer: IssuerIndex) -> &str {
        self.trust.issuer(issuer).map_or("", |issuer| issuer.name.as_str())
    }
}

#[cfg(test)]
mod tests;

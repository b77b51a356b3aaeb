//! The gate: which request may go on, decided purely. It knows no host call, no clock and no randomness: it gets a view
//! of the request, the documents that are known and the time, and answers with one step. Where a document is missing it
//! says which, and is asked again from the start when it is there.

mod compile;
pub mod config;
mod decide;
mod facts;
mod forward;
mod lint;
mod path;
mod pattern;
mod place;
mod policy;
mod reply;
mod request;
mod requirement;
mod rule;
mod trace;
mod verdicts;

use std::sync::Arc;

use carded_verifier::{IssuerIndex, Limits, SignatureProvider, Trust};

pub use compile::{Environment, Fetching, Waiting};
pub use config::{Config, ConfigError};
pub use decide::{Changes, Decision, Step};
pub use reply::{Refusal, Reply};
pub use request::{Repeated, Request};
pub use trace::{Event, Silent, Trace};
pub use verdicts::Verdicts;

use compile::IssuerExtra;
use forward::Forward;
use policy::Policies;
use rule::Rule;

/// A compiled configuration.
#[derive(Debug)]
pub struct Gate {
    trust: Trust,
    limits: Limits,
    issuers: Vec<IssuerExtra>,
    rules: Vec<Rule>,
    policies: Policies,
    forward: Forward,
    fetching: Fetching,
    waiting: Waiting,
    cached_verdicts: usize,
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
            let compiled = compile::issuer(name, issuer, config, &fetching.clusters, environment, &mut errors);
            if let Some((issuer, extra)) = compiled {
                issuers.push(issuer);
                extras.push(extra);
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let trust = Trust::new(issuers, limits.clone(), provider)
            .map_err(|why| vec![ConfigError::new("issuers", why.to_string())])?;
        let sources: Vec<_> = extras.iter().map(|extra| extra.places.clone()).collect();
        if config.rules.is_empty() {
            errors.push(ConfigError::new("rules", "without a rule every request is refused: write at least one"));
        }
        let rules: Vec<_> = config
            .rules
            .iter()
            .enumerate()
            .filter_map(|(index, rule)| Rule::compile(rule, index, &trust, &sources, &mut errors))
            .collect();
        let roles: Vec<_> = extras.iter().map(|extra| extra.roles.clone()).collect();
        let policies = Policies::compile(&config.policies, &trust, &roles, &mut errors);
        let forward = Forward::compile(&config.forward, &trust, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut gate = Self {
            trust,
            limits,
            issuers: extras,
            rules,
            policies,
            forward,
            fetching,
            waiting,
            cached_verdicts: usize::try_from(config.limits.cached_verdicts.unwrap_or(10_000)).unwrap_or(0),
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

    /// How many verified tokens are remembered.
    #[must_use]
    pub fn cached_verdicts(&self) -> usize {
        self.cached_verdicts
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

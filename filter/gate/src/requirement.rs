//! What a rule asks for: tokens of named issuers and named credentials, nested in `any` and `all`.

use carded_verifier::{ClaimPath, Condensed, IssuerIndex, Ordered};
use serde_json::Value;

use super::certificate::{Certificate, Wanted};
use super::config::{ConfigError, Field, Requirement as Configured, TokenForConfig, TokenRequirement};
use super::facts::{Facts, Names};

/// How deep requirements may nest.
const MAX_DEPTH: usize = 8;

/// So many issuers are named one by one.
const FEW: usize = 8;

/// A requirement with its names resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requirement {
    Token(IssuerIndex),
    /// A token of this issuer whose `aud` names one of these.
    TokenFor(IssuerIndex, Audiences),
    /// A token of any of these, in order: where many are named, a member is found without looking at each.
    Tokens(Vec<IssuerIndex>),
    /// One of these client certificates.
    Certificate(Wanted),
    /// A credential by its place in the configuration.
    Credential(usize),
    /// A login at this issuer.
    Login(IssuerIndex),
    Any(Vec<Requirement>),
    All(Vec<Requirement>),
}

/// Audiences of an issuer that are good enough for a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Audiences {
    names: Vec<String>,
    /// Of `aud` in a token.
    pub(super) claim: ClaimPath,
}

impl Audiences {
    /// Whether a token of the issuer is for one of these: its `aud` is a text or a list of texts, which was checked.
    fn admit(&self, token: &Condensed) -> bool {
        let ours = |aud: &Value| aud.as_str().is_some_and(|aud| self.names.iter().any(|name| name == aud));
        match token.claim(&self.claim) {
            Some(Value::Array(all)) => all.iter().any(ours),
            one => one.is_some_and(ours),
        }
    }
}

impl Requirement {
    pub(super) fn compile(
        configured: &Configured,
        field: &Field,
        names: Names<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Self> {
        Self::compile_within(configured, field, names, errors, MAX_DEPTH)
    }

    fn compile_within(
        configured: &Configured,
        field: &Field,
        names: Names<'_>,
        errors: &mut Vec<ConfigError>,
        depth: usize,
    ) -> Option<Self> {
        let Some(depth) = depth.checked_sub(1) else {
            errors.push(field.error(format!("requirements nest at most {MAX_DEPTH} deep")));
            return None;
        };
        let mut members = |key: &str, members: &[Configured]| {
            let field = field.key(key);
            if members.is_empty() {
                errors.push(field.error("name at least one requirement: an empty list could never be met, or always"));
                return None;
            }
            let compiled: Vec<_> = members
                .iter()
                .enumerate()
                .map(|(index, member)| Self::compile_within(member, &field.at(index), names, errors, depth))
                .collect();
            compiled.into_iter().collect::<Option<Vec<_>>>()
        };
        match configured {
            Configured::Any(list) => members("any", list).map(Self::any),
            Configured::All(list) => members("all", list).map(Self::All),
            Configured::Token(TokenRequirement::For(configured)) => {
                Self::token_for(configured, &field.key("token"), names, errors)
            }
            Configured::Token(TokenRequirement::Of(name)) | Configured::ApiToken(name) => {
                let (key, kind, list) = match configured {
                    Configured::ApiToken(_) => ("api_token", "set", "api_tokens"),
                    _ => ("token", "issuer", "issuers"),
                };
                let index = names.trust.index_of(name);
                let index = index.filter(|index| names.trust.is_api_tokens(*index) == (key == "api_token"));
                if index.is_none() {
                    errors.push(field.key(key).error(format!("there is no {kind} `{name}` under `{list}`")));
                }
                index.map(Self::Token)
            }
            Configured::ClientCertificate(configured) => {
                Wanted::compile(configured, &field.key("client_certificate"), errors).map(Self::Certificate)
            }
            Configured::Credential(name) => {
                let index = names.credentials.iter().position(|credential| credential.name == *name);
                if index.is_none() {
                    errors.push(
                        field.key("credential").error(format!("there is no credential `{name}` under `credentials`")),
                    );
                }
                index.map(Self::Credential)
            }
            Configured::Login(name) => {
                let login = names.logins.iter().find(|login| login.name == *name);
                if login.is_none() {
                    errors.push(field.key("login").error(format!("there is no login `{name}` under `login`")));
                }
                login.map(|login| Self::Login(login.issuer))
            }
        }
    }

    /// A rule may only narrow what the issuer's tokens are for.
    fn token_for(
        configured: &TokenForConfig,
        field: &Field,
        names: Names<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Self> {
        let TokenForConfig { issuer: name, audiences } = configured;
        let index = names.trust.index_of(name).filter(|index| !names.trust.is_api_tokens(*index));
        let Some((index, issuer)) = index.and_then(|index| Some((index, names.trust.issuer(index)?))) else {
            errors.push(field.key("issuer").error(format!("there is no issuer `{name}` under `issuers`")));
            return None;
        };
        let other = audiences.iter().find(|audience| !issuer.audiences.contains(audience));
        if other.is_some() || audiences.is_empty() {
            let why = format!("name one or more of issuers.{name}.audiences: a rule can only narrow them");
            errors.push(field.key("audiences").error(why));
        }
        let claim = ClaimPath::from_names(vec!["aud".to_owned()]).ok()?;
        Some(Self::TokenFor(index, Audiences { names: audiences.clone(), claim }))
    }

    /// Any of these; tokens among them are looked up together where there are many.
    fn any(members: Vec<Self>) -> Self {
        let (tokens, mut others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| matches!(member, Self::Token(_)));
        if tokens.len() <= FEW {
            others.splice(0..0, tokens);
            return Self::Any(others);
        }
        let issuers: Ordered<IssuerIndex> = tokens.iter().flat_map(Self::issuers).collect();
        others.insert(0, Self::Tokens(issuers.keys().copied().collect()));
        Self::Any(others)
    }

    /// Whether the evidence is enough.
    pub(super) fn is_met(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Token(issuer) => facts.token(*issuer).is_some(),
            Self::TokenFor(issuer, audiences) => facts.token(*issuer).is_some_and(|token| audiences.admit(token)),
            Self::Tokens(issuers) => {
                facts.all().any(|verified| issuers.binary_search(&verified.issuer_index()).is_ok())
            }
            Self::Certificate(wanted) => facts.certificate().is_some_and(|certificate| wanted.admits(certificate)),
            Self::Credential(credential) => facts.proof(*credential).is_some(),
            Self::Login(issuer) => facts.login(*issuer).is_some(),
            Self::Any(members) => members.iter().any(|member| member.is_met(facts)),
            Self::All(members) => members.iter().all(|member| member.is_met(facts)),
        }
    }

    /// The tokens that must be for an audience, with their issuers.
    pub(super) fn audiences<'a>(&'a self, found: &mut Vec<(IssuerIndex, &'a Audiences)>) {
        match self {
            Self::TokenFor(issuer, audiences) => found.push((*issuer, audiences)),
            Self::Any(members) | Self::All(members) => members.iter().for_each(|member| member.audiences(found)),
            _ => {}
        }
    }

    /// Whether a token is there that would be enough but for what it is for.
    pub(super) fn is_for_another(&self, facts: &Facts<'_>) -> bool {
        let mut wanted = Vec::new();
        self.audiences(&mut wanted);
        wanted.iter().any(|(issuer, audiences)| facts.token(*issuer).is_some_and(|token| !audiences.admit(token)))
    }

    /// Every issuer that is named, once, in their order.
    pub(super) fn issuers(&self) -> Vec<IssuerIndex> {
        let mut found = Vec::new();
        self.collect(&mut found);
        let found: Ordered<IssuerIndex> = found.into_iter().collect();
        found.keys().copied().collect()
    }

    /// Whether a credential is named: this one, or any.
    pub(super) fn names_credential(&self, which: Option<usize>) -> bool {
        match self {
            Self::Token(_) | Self::TokenFor(..) | Self::Tokens(_) | Self::Certificate(_) | Self::Login(_) => false,
            Self::Credential(credential) => which.is_none_or(|which| which == *credential),
            Self::Any(members) | Self::All(members) => members.iter().any(|member| member.names_credential(which)),
        }
    }

    /// Whether a client certificate is named: one that admits this, or any.
    pub(super) fn names_certificate(&self, which: Option<&Certificate>) -> bool {
        match self {
            Self::Token(_) | Self::TokenFor(..) | Self::Tokens(_) | Self::Credential(_) | Self::Login(_) => false,
            Self::Certificate(wanted) => which.is_none_or(|which| wanted.admits(which)),
            Self::Any(members) | Self::All(members) => members.iter().any(|member| member.names_certificate(which)),
        }
    }

    /// Whether a login is named: at this issuer, or any.
    pub(super) fn names_login(&self, which: Option<IssuerIndex>) -> bool {
        match self {
            Self::Token(_) | Self::TokenFor(..) | Self::Tokens(_) | Self::Credential(_) | Self::Certificate(_) => false,
            Self::Login(issuer) => which.is_none_or(|which| which == *issuer),
            Self::Any(members) | Self::All(members) => members.iter().any(|member| member.names_login(which)),
        }
    }

    /// The logins of which one brings a person further. None where a token is missing, which no login gives; an empty list
    /// where nothing is missing that a login could give.
    pub(super) fn wanted_logins(&self, facts: &Facts<'_>) -> Option<Vec<IssuerIndex>> {
        match self {
            met if met.is_met(facts) => Some(Vec::new()),
            Self::Token(_) | Self::TokenFor(..) | Self::Tokens(_) | Self::Certificate(_) => None,
            Self::Credential(_) => Some(Vec::new()),
            Self::Login(issuer) => Some(vec![*issuer]),
            Self::Any(members) => {
                let wanted: Vec<_> = members.iter().filter_map(|member| member.wanted_logins(facts)).collect();
                (!wanted.is_empty()).then(|| wanted.concat())
            }
            Self::All(members) => {
                let wanted: Option<Vec<_>> = members.iter().map(|member| member.wanted_logins(facts)).collect();
                wanted.map(|wanted| wanted.concat())
            }
        }
    }

    fn collect(&self, found: &mut Vec<IssuerIndex>) {
        match self {
            Self::Credential(_) | Self::Certificate(_) | Self::Login(_) => {}
            Self::Token(issuer) | Self::TokenFor(issuer, _) => found.push(*issuer),
            Self::Tokens(issuers) => found.extend(issuers),
            Self::Any(members) | Self::All(members) => members.iter().for_each(|member| member.collect(found)),
        }
    }

    /// What it asks for, for denial texts: `a token of corp, or both …`.
    pub(super) fn describe(&self, names: Names<'_>) -> String {
        let list = |members: &[Self], word: &str| {
            let texts: Vec<_> = members.iter().map(|member| member.describe(names)).collect();
            if texts.len() == 1 { texts.concat() } else { format!("({})", texts.join(word)) }
        };
        let name = |issuer: &IssuerIndex| {
            names.trust.issuer(*issuer).map_or("an unknown issuer", |issuer| issuer.name.as_str())
        };
        match self {
            Self::Token(issuer) => format!("a token of {}", name(issuer)),
            Self::TokenFor(issuer, audiences) => {
                format!("a token of {} for {}", name(issuer), audiences.names.join(" or "))
            }
            Self::Tokens(issuers) => {
                let first: Vec<_> = issuers.iter().take(FEW).map(name).collect();
                let more = issuers.len().saturating_sub(FEW);
                format!("a token of {} or of {more} more issuers", first.join(", "))
            }
            Self::Credential(index) => {
                format!(
                    "the credential {}",
                    names.credentials.get(*index).map_or("of no name", |credential| credential.name.as_str())
                )
            }
            Self::Certificate(_) => "a client certificate of those that are admitted here".to_owned(),
            Self::Login(issuer) => format!("a login at {}", name(issuer)),
            Self::Any(members) => list(members, " or "),
            Self::All(members) => list(members, " and "),
        }
    }
}

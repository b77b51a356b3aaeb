//! What is known about the caller of one request, and the names by which rules, policies and headers speak of it.
//!
//! A claim is named with the evidence it comes from (`corp.sub`). Who someone is, is the issuer together with the claim
//! (threat 53): a bare name is legal only where exactly one issuer and one tenant can supply it.

use std::borrow::Cow;
use std::sync::Arc;

use carded_verifier::{ClaimPath, Condensed, IssuerIndex, Trust};
use serde_json::Value;

use super::certificate::{self, Certificate, Part};
use super::config::Name;
use super::credential::Credential;
use super::login::Login;
use super::policy::Policies;
use super::proof::Shown;
use super::rule::{Asks, Rule};
use super::session::Brought;
use super::signed_in::KnownLogin;

/// The evidence of one request that holds, by issuer.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    verified: Vec<&'a Condensed>,
    brought: Option<&'a Brought>,
    certificate: Option<&'a Certificate>,
}

/// Who can supply claims, by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) trust: &'a Trust,
    pub(super) credentials: &'a [Credential],
    pub(super) logins: &'a [Login],
}

/// What an issuer vouched for, by a token or when somebody signed in there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word<'a> {
    Token(&'a Condensed),
    Login(&'a KnownLogin),
}

impl<'a> Word<'a> {
    #[inline]
    pub(super) fn issuer_index(self) -> IssuerIndex {
        match self {
            Self::Token(verified) => verified.issuer_index(),
            Self::Login(login) => login.issuer,
        }
    }

    #[inline]
    pub(super) fn iss(self) -> &'a str {
        match self {
            Self::Token(verified) => verified.iss(),
            Self::Login(login) => &login.signed_in.iss,
        }
    }

    #[inline]
    pub(super) fn subject(self) -> Option<&'a str> {
        match self {
            Self::Token(verified) => verified.subject(),
            Self::Login(login) => Some(&login.signed_in.sub),
        }
    }

    #[inline]
    pub(super) fn tenant(self) -> Option<&'a str> {
        match self {
            Self::Token(verified) => verified.tenant(),
            Self::Login(_) => None,
        }
    }

    #[inline]
    pub(super) fn claim(self, path: &ClaimPath) -> Option<&'a Value> {
        match self {
            Self::Token(verified) => verified.claim(path),
            Self::Login(login) => path.get(&login.signed_in.claims),
        }
    }
}

impl<'a> Facts<'a> {
    /// What credentials that were shown prove, before any token.
    #[inline]
    pub(super) fn of_brought(brought: &'a Brought, tokens: usize) -> Self {
        Self { verified: Vec::with_capacity(tokens), brought: Some(brought), certificate: None }
    }

    /// Adds the client certificate, one that the rule names.
    #[inline]
    pub(super) fn with_certificate(self, certificate: Option<&'a Certificate>) -> Self {
        Self { certificate, ..self }
    }

    /// The client certificate.
    #[inline]
    pub(super) fn certificate(&self) -> Option<&'a Certificate> {
        self.certificate
    }

    /// The proof of a credential, by its place in the configuration.
    #[inline]
    pub(super) fn proof(&self, credential: usize) -> Option<&'a Shown> {
        self.brought?.shown().find(|shown| shown.credential == credential)
    }

    /// Whether nothing is known.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.verified.is_empty()
            && self.certificate.is_none()
            && self.brought.is_none_or(|brought| !brought.is_anything())
    }

    /// Adds what a token proved. Two tokens of one issuer, and a token beside a login there, must speak of the same subject;
    /// the first token then counts.
    ///
    /// # Errors
    /// Where they speak of different ones.
    #[inline]
    pub(super) fn add(&mut self, verified: &'a Condensed) -> Result<(), Ambiguous> {
        let issuer = verified.issuer_index();
        if let Some(first) = self.token(issuer) {
            let same = first.iss() == verified.iss() && first.subject() == verified.subject();
            return if same { Ok(()) } else { Err(Ambiguous) };
        }
        if self.login(issuer).is_some_and(|login| verified.subject() != Some(&login.signed_in.sub)) {
            return Err(Ambiguous);
        }
        self.verified.push(verified);
        Ok(())
    }

    /// The token of the named issuer.
    #[inline]
    pub(super) fn token(&self, issuer: IssuerIndex) -> Option<&'a Condensed> {
        self.verified.iter().copied().find(|verified| verified.issuer_index() == issuer)
    }

    /// Who signed in at the named issuer.
    #[inline]
    pub(super) fn login(&self, issuer: IssuerIndex) -> Option<&'a KnownLogin> {
        self.brought?.logins().find(|login| login.issuer == issuer)
    }

    /// What the named issuer vouched for: by a token, or else by a login.
    #[inline]
    pub(super) fn of(&self, issuer: IssuerIndex) -> Option<Word<'a>> {
        self.token(issuer).map(Word::Token).or_else(|| self.login(issuer).map(Word::Login))
    }

    /// What all issuers vouched for, once for each.
    #[inline]
    pub(super) fn words(&self) -> impl Iterator<Item = Word<'a>> + '_ {
        let logins = self.brought.into_iter().flat_map(Brought::logins);
        let logins = logins.filter(|login| self.token(login.issuer).is_none());
        self.all().map(Word::Token).chain(logins.map(Word::Login))
    }

    /// All tokens.
    #[inline]
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Condensed> + '_ {
        self.verified.iter().copied()
    }
}

/// For each issuer, the claims of its tokens that headers, policies, rules and our own token ask for: all that a verdict has to
/// keep. `of_all` are asked of every issuer.
pub(super) fn asked_of_tokens<'a>(
    trust: &Trust,
    claims: impl Iterator<Item = &'a ClaimRef>,
    of_all: &[ClaimPath],
    policies: &Policies,
    rules: &[Rule],
) -> Vec<Arc<[ClaimPath]>> {
    let mut asked: Vec<Vec<ClaimPath>> =
        trust.issuers().map(|(issuer, _)| policies.claims_of_subjects(issuer)).collect();
    for paths in &mut asked {
        for path in of_all {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
    }
    for claim in claims {
        if let Source::Claim(issuer, path) = &claim.source
            && let Some(paths) = asked.get_mut(issuer.as_usize()).filter(|paths| !paths.contains(path))
        {
            paths.push(path.clone());
        }
    }
    for rule in rules {
        let mut for_audiences = Vec::new();
        if let Asks::Require(requirement) | Asks::Optional(requirement) = &rule.asks {
            requirement.audiences(&mut for_audiences);
        }
        for (issuer, audiences) in for_audiences {
            let Some(paths) = asked.get_mut(issuer.as_usize()) else { continue };
            if !paths.contains(&audiences.claim) {
                paths.push(audiences.claim.clone());
            }
        }
        let (Some(step_up), Asks::Require(requirement)) = (&rule.step_up, &rule.asks) else { continue };
        for issuer in requirement.issuers() {
            let Some(paths) = asked.get_mut(issuer.as_usize()) else { continue };
            let more: Vec<_> = step_up.claims().filter(|path| !paths.contains(path)).cloned().collect();
            paths.extend(more);
        }
    }
    // thousands of issuers of whom nothing in particular is asked share one list
    let same: Arc<[ClaimPath]> = of_all.into();
    asked.into_iter().map(|paths| if *paths == *same { Arc::clone(&same) } else { paths.into() }).collect()
}

/// The claim that every credential that was shown has, whichever way it was reached.
const SATISFIED: &str = "satisfied";
/// The claim that names the session, by which it can be revoked; and what sessions are called where nothing in particular was
/// shown in them: `session.id`.
const SESSION: &str = "session";

/// Whether claims of other things are called so: no issuer, credential or set of API tokens can be.
pub(super) fn is_taken(name: &str) -> bool {
    name == certificate::NAME || name == SESSION
}

/// Two tokens of one issuer speak of different subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// A claim with the evidence it comes from, resolved at configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimRef {
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A claim of a token or a login.
    Claim(IssuerIndex, ClaimPath),
    /// The tenant that the issuer's pattern matched.
    Tenant(IssuerIndex),
    /// A claim of a credential that was shown, by the credential's place in the configuration.
    Shown(usize, ClaimPath),
    /// Whether the credential was shown.
    Satisfied(usize),
    /// The name of the session or token for programs in which it was shown.
    Session(usize),
    /// The name of whatever session or token for programs there is.
    AnySession,
    /// A part of the client certificate.
    Certificate(Part),
}

impl ClaimRef {
    /// Resolves a name: qualified with an issuer or a credential, or bare where only one issuer can supply it.
    ///
    /// # Errors
    /// What to write instead.
    pub(super) fn resolve(name: &Name, names: Names<'_>) -> Result<Self, String> {
        let Names { trust, credentials, .. } = names;
        let path = |rest: Vec<String>| ClaimPath::from_names(rest).map_err(|error| format!("`{name}`: {error}"));
        if let Some((first, rest)) = name.0.split_first()
            && let Some(index) = credentials.iter().position(|credential| credential.name == *first)
        {
            return match rest {
                [] => Err(format!("`{name}` names a credential, not a claim: write `{name}.satisfied` or the like")),
                [satisfied] if satisfied == SATISFIED => Ok(Self { source: Source::Satisfied(index) }),
                [session] if session == SESSION => Ok(Self { source: Source::Session(index) }),
                rest => Ok(Self { source: Source::Shown(index, path(rest.to_vec())?) }),
            };
        }
        if let Some((first, rest)) = name.0.split_first()
            && first == certificate::NAME
        {
            let part = Part::parse(rest).ok_or_else(|| format!("`{name}`: write `uri_san`, `dns_san` or `sha256`"))?;
            return Ok(Self { source: Source::Certificate(part) });
        }
        if name.0.first().is_some_and(|first| first == SESSION) {
            let is_id = name.0.get(1..).is_some_and(|rest| rest == ["id"]);
            return is_id
                .then_some(Self { source: Source::AnySession })
                .ok_or_else(|| format!("`{name}`: write `session.id`"));
        }
        let (issuer, rest) = match name.0.split_first() {
            Some((first, rest)) if trust.index_of(first).is_some() => {
                (trust.index_of(first).ok_or_else(String::new)?, rest.to_vec())
            }
            _ => (only_issuer(trust).map_err(|why| format!("`{name}`: {why}"))?, name.0.clone()),
        };
        if rest.is_empty() {
            return Err(format!("`{name}` names an issuer, not a claim: write `{name}.sub` or the like"));
        }
        let is_pattern = trust.issuer(issuer).is_some_and(|issuer| issuer.issuer.is_pattern());
        if is_pattern && rest == ["tenant"] {
            return Ok(Self { source: Source::Tenant(issuer) });
        }
        Ok(Self { source: Source::Claim(issuer, path(rest)?) })
    }

    /// For a claim of a credential that has to be kept with the proof: the credential and the claim.
    pub(super) fn kept(&self) -> Option<(usize, &ClaimPath)> {
        match &self.source {
            Source::Shown(credential, path) => Some((*credential, path)),
            _ => None,
        }
    }

    /// For a claim of a token: its issuer.
    pub(super) fn issuer(&self) -> Option<IssuerIndex> {
        match &self.source {
            Source::Claim(issuer, _) | Source::Tenant(issuer) => Some(*issuer),
            Source::Shown(..)
            | Source::Satisfied(_)
            | Source::Session(_)
            | Source::AnySession
            | Source::Certificate(_) => None,
        }
    }

    /// Whether this is the tenant of a multi-tenant issuer.
    pub(super) fn is_tenant(&self) -> bool {
        matches!(self.source, Source::Tenant(_))
    }

    /// The claim's value, where the evidence is there and has it.
    #[inline]
    pub(super) fn value<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, Value>> {
        match &self.source {
            Source::Claim(issuer, path) => facts.of(*issuer)?.claim(path).map(Cow::Borrowed),
            Source::Tenant(issuer) => facts.of(*issuer)?.tenant().map(|tenant| Cow::Owned(Value::from(tenant))),
            Source::Shown(credential, path) => path.get(&facts.proof(*credential)?.proof.claims).map(Cow::Borrowed),
            Source::Session(credential) => {
                facts.proof(*credential).and(facts.brought?.id()).map(|id| Cow::Owned(Value::from(id)))
            }
            Source::AnySession => {
                let brought = facts.brought.filter(|brought| brought.is_anything())?;
                brought.id().map(|id| Cow::Owned(Value::from(id)))
            }
            Source::Certificate(part) => facts.certificate()?.part(*part).map(Cow::Owned),
            Source::Satisfied(credential) => facts.proof(*credential).map(|_| Cow::Owned(Value::Bool(true))),
        }
    }

    /// Whether the claim is a text or a whole number equal to this text.
    pub(super) fn equals(&self, facts: &Facts<'_>, text: &str) -> bool {
        match self.value(facts).as_deref() {
            Some(Value::String(value)) => value == text,
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string() == text,
            _ => false,
        }
    }
}

/// The one issuer that a bare name can mean.
pub(super) fn only_issuer(trust: &Trust) -> Result<IssuerIndex, String> {
    let mut issuers = trust.issuers();
    match (issuers.next(), issuers.next()) {
        (Some((index, issuer)), None) if !issuer.issuer.is_pattern() => Ok(index),
        (Some(_), None) => {
            Err("a bare name is ambiguous with a multi-tenant issuer: name the issuer before it".to_owned())
        }
        (None, _) => Err("there is no issuer that could supply it".to_owned()),
        _ => Err("a bare name is ambiguous with several issuers: name the issuer before it".to_owned()),
    }
}

//! The way of one request through the gate: normal path → rule → tokens → verdicts → requirement → policies → headers.

use std::rc::Rc;
use std::time::Duration;

use carded_verifier::{Documents, Evidence, Fetch, IssuerIndex, Outcome, Timestamp, Verified, verify};

use super::Gate;
use super::facts::Facts;
use super::path::Path;
use super::place::{Place, PlaceKind, without_cookies, without_parameters};
use super::policy::{Question, Says};
use super::reply::{Refusal, Reply};
use super::request::{Repeated, Request};
use super::rule::{Asks, Rule, Subject, is_token};
use super::trace::{Event, Trace};
use super::verdicts::Verdicts;

/// Everything under this prefix is ours and never forwarded.
const RESERVED: &str = ".carded";
/// The most tokens that one request may present.
const MAX_TOKENS: usize = 8;

/// What was decided, and what it rests on.
#[derive(Debug)]
pub struct Decision {
    /// What is to be done.
    pub step: Step,
    /// The number of the rule that matched.
    pub rule: Option<usize>,
    /// The first issuer whose token holds.
    pub issuer: Option<IssuerIndex>,
    /// How many signatures were checked (not taken from memory).
    pub verified: u32,
}

/// One step.
#[derive(Debug)]
pub enum Step {
    /// The request goes on, with these changes.
    Forward(Changes),
    /// The request is answered here.
    Reply(Reply),
    /// This document first; then the same question again.
    Need(Fetch),
}

/// Changes to the headers of a request that goes on. First remove, then set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Headers to remove, every copy.
    pub remove: Vec<Vec<u8>>,
    /// Headers to set.
    pub set: Vec<(Rc<str>, Vec<u8>)>,
}

/// A refusal, or a document that is needed.
enum Halt {
    Refuse(Refusal),
    Need(Fetch),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

/// A token that holds, and where it stood.
struct Held<'g> {
    place: &'g Place,
    verified: Rc<Verified>,
}

impl Gate {
    /// Decides on a request.
    ///
    /// `verdicts` is what earlier decisions of the same worker remember; `known` the documents; `now` the time.
    pub fn decide(
        &self,
        request: &Request,
        known: &Documents,
        verdicts: &mut Verdicts,
        now: Timestamp,
        trace: &mut impl Trace,
    ) -> Decision {
        let mut decision = Decision { step: Step::Forward(Changes::default()), rule: None, issuer: None, verified: 0 };
        decision.step = match self.pass(request, known, verdicts, now, trace, &mut decision) {
            Ok(changes) => Step::Forward(changes),
            Err(Halt::Refuse(refusal)) => Step::Reply(refusal.reply(request.is_grpc())),
            Err(Halt::Need(fetch)) => Step::Need(fetch),
        };
        decision
    }

    fn pass(
        &self,
        request: &Request,
        known: &Documents,
        verdicts: &mut Verdicts,
        now: Timestamp,
        trace: &mut impl Trace,
        decision: &mut Decision,
    ) -> Result<Changes, Halt> {
        let method = method(request)?;
        let raw_path = required(request, ":path")?;
        let authority = match request.single(":authority") {
            Ok(value) => String::from_utf8_lossy(value.unwrap_or_default()).to_ascii_lowercase(),
            Err(Repeated) => return Err(Refusal::request_malformed("there is more than one :authority").into()),
        };
        if method == "CONNECT" {
            return Err(Refusal::request_malformed("CONNECT is not let through").into());
        }
        let path = Path::parse(raw_path)
            .map_err(|why| Refusal::path_ambiguous(format!("{}: send the path in its normal form", why.0)))?;
        trace.tell(|| Event::Path(path.as_str()));
        let segments: Vec<&str> = path.segments().collect();
        if segments.first() == Some(&RESERVED) {
            return Err(Refusal::not_found("paths under /.carded/ are the proxy's own").into());
        }
        let subject = Subject { request, segments: &segments, method, authority: &authority };
        let found = self.rules.iter().enumerate().find(|(_, rule)| rule.matches(&subject));
        let Some((index, rule)) = found else {
            return Err(Refusal::no_rule("no rule of the proxy matches this method and path").into());
        };
        decision.rule = Some(index);
        trace.tell(|| Event::Rule(index, &rule.name));

        let held = self.evidence(rule, request, &path, known, verdicts, now, trace, decision)?;
        let mut facts = Facts::default();
        for held in &held {
            facts.add(&held.verified).map_err(|_| {
                Refusal::token_ambiguous("the tokens in this request are of different subjects: send one")
            })?;
        }
        decision.issuer = facts.all().next().map(Verified::issuer_index);
        self.requirement(rule, &facts, trace)?;
        self.authorize(rule, method, &segments, &facts, trace)?;
        self.changes(request, &path, &held, &facts)
    }

    /// All tokens in the places that the rule reads. All that are presented must hold (threat 76).
    #[expect(clippy::too_many_arguments, reason = "the parts of one decision, each of another owner")]
    fn evidence<'g>(
        &'g self,
        rule: &'g Rule,
        request: &Request,
        path: &Path<'_>,
        known: &Documents,
        verdicts: &mut Verdicts,
        now: Timestamp,
        trace: &mut impl Trace,
        decision: &mut Decision,
    ) -> Result<Vec<Held<'g>>, Halt> {
        let mut held = Vec::new();
        let mut tokens = Vec::new();
        for place in &rule.places {
            tokens.clear();
            place.kind.tokens(request, path.query(), &mut tokens);
            for token in &tokens {
                if held.len() >= MAX_TOKENS {
                    return Err(Refusal::request_malformed(format!("more than {MAX_TOKENS} tokens")).into());
                }
                trace.tell(|| Event::Found(place.kind.describe()));
                let verified = self.verdict(token, &place.issuers, known, verdicts, now, trace, decision)?;
                held.push(Held { place, verified });
            }
        }
        Ok(held)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one decision, each of another owner")]
    fn verdict(
        &self,
        token: &[u8],
        issuers: &[IssuerIndex],
        known: &Documents,
        verdicts: &mut Verdicts,
        now: Timestamp,
        trace: &mut impl Trace,
        decision: &mut Decision,
    ) -> Result<Rc<Verified>, Halt> {
        // The size limit stands before everything, also before the hash.
        let key =
            (token.len() <= self.limits.token_bytes && self.cached_verdicts > 0).then(|| Verdicts::key(token, issuers));
        if let Some(verified) = key.as_ref().and_then(|key| verdicts.get(key, &self.trust, known, now)) {
            trace.tell(|| Event::Verified(&verified));
            return Ok(verified);
        }
        decision.verified = decision.verified.saturating_add(1);
        match verify(&Evidence::access_token(token).accepted_issuers(issuers), &self.trust, known, now) {
            Outcome::Verified(verified) => {
                let verified = Rc::new(verified);
                trace.tell(|| Event::Verified(&verified));
                if let Some(key) = key {
                    verdicts.put(key, token, &verified, known);
                }
                Ok(verified)
            }
            Outcome::Denied(denied) => {
                trace.tell(|| Event::Denied(&denied));
                Err(Refusal::from_denied(&denied).into())
            }
            Outcome::Need(fetch) => Err(Halt::Need(fetch)),
        }
    }

    fn requirement(&self, rule: &Rule, facts: &Facts<'_>, trace: &mut impl Trace) -> Result<(), Refusal> {
        let requirement = match &rule.asks {
            Asks::Nothing => return Ok(()),
            Asks::Optional(requirement) if facts.all().next().is_none() => {
                trace.tell(|| Event::Requirement(true, format!("{}, or none", requirement.describe(&self.trust))));
                return Ok(());
            }
            Asks::Require(requirement) | Asks::Optional(requirement) => requirement,
        };
        let met = requirement.is_met(facts);
        trace.tell(|| Event::Requirement(met, requirement.describe(&self.trust)));
        if met {
            return Ok(());
        }
        let mut places: Vec<_> = rule.places.iter().map(|place| place.kind.describe()).collect();
        places.dedup();
        Err(Refusal::token_missing(format!(
            "this needs {}, in {}",
            requirement.describe(&self.trust),
            places.join(" or ")
        )))
    }

    fn authorize(
        &self,
        rule: &Rule,
        method: &str,
        segments: &[&str],
        facts: &Facts<'_>,
        trace: &mut impl Trace,
    ) -> Result<(), Refusal> {
        if !rule.authorize && !self.policies.has_deny() {
            return Ok(());
        }
        let action = rule.action(method);
        let says = self.policies.ask(&Question { method, action, segments }, facts);
        let (permitted, text) = match says {
            Says::Deny(name) => (false, format!("statement {name} denies {action}")),
            Says::Allow(name) => (true, format!("statement {name} allows {action}")),
            Says::Nothing if rule.authorize => (false, format!("no statement allows {action}")),
            Says::Nothing => (true, format!("no statement denies {action}")),
        };
        trace.tell(|| Event::Policy(text));
        if permitted {
            Ok(())
        } else {
            Err(Refusal::policy_denied(format!("{action} on this path is not allowed for you")))
        }
    }

    fn changes(
        &self,
        request: &Request,
        path: &Path<'_>,
        held: &[Held<'_>],
        facts: &Facts<'_>,
    ) -> Result<Changes, Halt> {
        let mut changes =
            Changes { remove: self.forward.client_copies(request).map(<[u8]>::to_vec).collect(), set: Vec::new() };
        let headers = self.forward.headers(facts).map_err(|error| {
            Refusal::claim_not_forwardable(format!(
                "{}: the claim for the header {} cannot be sent",
                error.why, error.header
            ))
        })?;
        changes.set.extend(headers.into_iter().map(|(name, value)| (name, value.into_bytes())));
        let kept_back: Vec<&PlaceKind> = held
            .iter()
            .filter(|held| {
                self.issuers.get(held.verified.issuer_index().as_usize()).is_some_and(|extra| !extra.forward)
            })
            .map(|held| &held.place.kind)
            .collect();
        let (mut cookies, mut parameters) = (Vec::new(), Vec::new());
        for kind in kept_back {
            match kind {
                PlaceKind::Header { name, .. } => changes.remove.push(name.as_bytes().to_vec()),
                PlaceKind::Cookie(name) => cookies.push(name.as_str()),
                PlaceKind::Parameter(name) => parameters.push(name.as_str()),
            }
        }
        if !cookies.is_empty() {
            changes.remove.push(b"cookie".to_vec());
            changes.set.extend(without_cookies(request, &cookies).map(|value| ("cookie".into(), value)));
        }
        if path.is_changed() || !parameters.is_empty() {
            let mut target = path.as_str().as_bytes().to_vec();
            let query = match path.query() {
                Some(query) if !parameters.is_empty() => without_parameters(query, &parameters),
                query => query.map(<[u8]>::to_vec),
            };
            if let Some(query) = query {
                target.push(b'?');
                target.extend(query);
            }
            changes.set.push((":path".into(), target));
        }
        Ok(changes)
    }
}

/// The method: a token (RFC 9110 §9.1), there once.
fn method(request: &Request) -> Result<&str, Refusal> {
    let value = required(request, ":method")?;
    std::str::from_utf8(value)
        .ok()
        .filter(|method| is_token(method))
        .ok_or_else(|| Refusal::request_malformed(":method is no token"))
}

fn required<'a>(request: &'a Request, name: &'static str) -> Result<&'a [u8], Refusal> {
    match request.single(name) {
        Ok(Some(value)) if !value.is_empty() => Ok(value),
        Ok(_) => Err(Refusal::request_malformed(format!("{name} is missing"))),
        Err(Repeated) => Err(Refusal::request_malformed(format!("there is more than one {name}"))),
    }
}

impl Gate {
    /// The reply to a request that waited for a document in vain.
    #[must_use]
    pub fn waited_in_vain(&self, request: &Request) -> Reply {
        Refusal::keys_unavailable("the issuer's keys did not come in time: try again")
            .retry_after(Duration::from_secs(1))
            .reply(request.is_grpc())
    }

    /// The reply to a request that cannot even wait.
    #[must_use]
    pub fn too_many_waiting(&self, request: &Request) -> Reply {
        Refusal::too_many_waiting("too many requests wait for the issuer's keys: try again")
            .retry_after(Duration::from_secs(1))
            .reply(request.is_grpc())
    }
}

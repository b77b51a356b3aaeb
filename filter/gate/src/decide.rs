//! The way of one request through the gate: normal path → rule → tokens → verdicts → requirement → policies → headers.

use std::borrow::Cow;

use carded_verifier::{Documents, Fetch, IssuerIndex, Timestamp};

use super::Gate;
use super::ask;
use super::at::At;
use super::budget::Budget;
use super::certificate::{Certificate, Connection};
use super::changes::Changes;
use super::config::Otherwise;
use super::effect::Effect;
use super::endpoint::{self, Endpoint, RESERVED};
use super::evidence::Held;
use super::facts::{Facts, Word};
use super::introspection::Inquiry;
use super::once::Once;
use super::path::Path;
use super::place::PlaceKind;
use super::policy::{Question, Says};
use super::possession::{is_scheme, spend_proof};
use super::reply::{Refusal, Reply, dpop_challenge};
use super::request::{Repeated, Request};
use super::requirement::Requirement;
use super::rule::{Asks, Rule, Subject, is_token};
use super::seal::Random;
use super::session::Brought;
use super::trace::{Event, Trace};
use super::verdicts::Verdicts;

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
    /// `set-cookie` of the response of a request that goes on; replies have theirs among their headers.
    pub cookies: Vec<String>,
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
    /// The whole body first, of at most so many bytes; then the same question again with it.
    Body(usize),
    /// This call, once; then the same question again with what came of it ([`Request::with_effected`]).
    Call(Effect),
    /// This question about a token; when [`Gate::answered`] has its answer, the same question again.
    Ask(Inquiry),
}

/// What a decision uses of its surroundings, beside the documents.
pub struct Around<'a> {
    /// What earlier decisions of the same worker remember.
    pub verdicts: &'a mut Verdicts,
    /// What works once within a process.
    pub once: &'a mut dyn Once,
    /// How many more costly checks may fail in this second.
    pub budget: &'a mut Budget,
    /// Random bytes of the host.
    pub random: Random<'a>,
    /// What the host knows of the request's connection.
    pub connection: Connection<'a>,
    /// The time.
    pub now: Timestamp,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Why a request does not go on.
#[derive(Debug)]
pub(super) enum Halt {
    Refuse(Refusal),
    /// It is answered in another way than by a refusal.
    Answer(Reply),
    Need(Fetch),
    Body(usize),
    Call(Effect),
    Ask(Box<Inquiry>),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl Gate {
    /// Decides on a request, with the documents that are known.
    pub fn decide(
        &self,
        request: &Request,
        known: &Documents,
        around: &mut Around<'_>,
        trace: &mut impl Trace,
    ) -> Decision {
        // until it is decided: a step that has nothing to drop
        let step = Step::Body(0);
        let mut decision = Decision { step, rule: None, issuer: None, verified: 0, cookies: Vec::new() };
        let mut endpoint = None;
        decision.step = match self.pass(request, known, around, trace, &mut decision, &mut endpoint) {
            Ok(changes) => Step::Forward(changes),
            Err(Halt::Refuse(refusal)) => Step::Reply(refusal.reply(request.is_grpc())),
            Err(Halt::Answer(reply)) => Step::Reply(reply),
            Err(Halt::Need(fetch)) => Step::Need(fetch),
            Err(Halt::Body(limit)) => Step::Body(limit),
            Err(Halt::Call(effect)) => Step::Call(effect),
            Err(Halt::Ask(question)) => Step::Ask(*question),
        };
        if let Step::Reply(reply) = &mut decision.step {
            endpoint::open_to_others(endpoint, reply);
            reply.set_cookies(decision.cookies.drain(..));
            let rule = decision.rule.and_then(|rule| self.rules.get(rule));
            if reply.code == "token_missing"
                && rule.is_some_and(|rule| rule.places.iter().any(|place| is_scheme(&place.kind)))
            {
                reply.headers.push(("www-authenticate", dpop_challenge("")));
            }
            if reply.status == 401 && rule.is_some_and(|rule| asks_for_basic(rule, request)) {
                let challenge = r#"Basic realm="carded", charset="UTF-8""#.to_owned();
                reply.headers.push(("www-authenticate", challenge));
            }
        }
        decision
    }

    fn pass(
        &self,
        request: &Request,
        known: &Documents,
        around: &mut Around<'_>,
        trace: &mut impl Trace,
        decision: &mut Decision,
        endpoint: &mut Option<Endpoint>,
    ) -> Result<Changes, Halt> {
        let method = method(request)?;
        let raw_path = required(request, ":path")?;
        let authority = match request.single(":authority") {
            Ok(value) => match std::str::from_utf8(value.unwrap_or_default()) {
                Ok(text) => lower(Cow::Borrowed(text)),
                Err(_) => lower(String::from_utf8_lossy(value.unwrap_or_default())),
            },
            Err(Repeated) => return Err(Refusal::request_malformed("there is more than one :authority").into()),
        };
        if method == "CONNECT" {
            return Err(Refusal::request_malformed("CONNECT is not let through").into());
        }
        let path = Path::parse(raw_path)
            .map_err(|why| Refusal::path_ambiguous(format!("{}: send the path in its normal form", why.0)))?;
        trace.tell(|| Event::Path(path.as_str()));
        let mut at = At { request, path: &path, authority: &authority, origin: None, known };
        let mut segments = Vec::with_capacity(8);
        for segment in path.segments() {
            segments.push(segment);
        }
        if segments.first() == Some(&RESERVED) {
            *endpoint = Endpoint::of(&segments);
            let Some(endpoint) = *endpoint else {
                return Err(Refusal::not_found("paths under /.carded/ are the proxy's own").into());
            };
            if matches!(endpoint, Endpoint::Response | Endpoint::Present | Endpoint::BackchannelLogout)
                && request.body().is_some()
            {
                decision.verified = 1;
            }
            return Err(match self.serve(endpoint, method, at, around, &mut decision.verified) {
                Ok(reply) => Halt::Answer(reply),
                Err(halt) => halt,
            });
        }
        let subject = Subject { request, segments: &segments, method, authority: &authority };
        let found = self.rules.iter().enumerate().find(|(_, rule)| rule.matches(&subject));
        let Some((index, rule)) = found else {
            return Err(Refusal::no_rule("no rule of the proxy matches this method and path").into());
        };
        decision.rule = Some(index);
        trace.tell(|| Event::Rule(index, &rule.name));

        if rule.reads_credentials || self.exchange.is_some() {
            at.origin = self.origins.of(request, &authority);
        }
        let held = self.evidence(rule, at, around, trace, decision)?;
        let mut brought = Brought::default();
        if rule.reads_credentials {
            brought = self.brought(at, around, &mut decision.cookies)?;
        }
        if brought.due {
            self.refresh(&mut brought, at, around, &mut decision.cookies)?;
        }
        for proof in held.iter().filter_map(|held| held.proof.as_ref()) {
            spend_proof(proof, around)?;
        }
        for shown in brought.shown() {
            trace.tell(|| Event::Shown(&shown.proof.name, &shown.proof.issuer));
        }
        let certificate = rule.certificate(around, self.reads_forwarded.then_some(request))?;
        // A rule hears of what it names, and so do the services: who shows an age where somebody signed in stays without a name.
        // The policies hear all, since a deny applies to everything that is known.
        let limited = match &rule.asks {
            Asks::Nothing => None,
            Asks::Require(requirement) | Asks::Optional(requirement) => brought.limited_to(requirement),
        };
        let named = limited.as_ref().unwrap_or(&brought);
        let facts = together(named, certificate.as_ref(), &held)?;
        decision.issuer = facts.words().next().map(Word::issuer_index);
        if let Err(refusal) = self.requirement(rule, &facts, trace) {
            return Err(self.otherwise(rule, refusal, &facts, &brought, at, around));
        }
        if let (Some(step_up), Asks::Require(requirement)) = (&rule.step_up, &rule.asks)
            && !step_up.is_met(requirement, &facts, around.now)
        {
            let mut wanted: Vec<_> = self.logins.iter().map(|login| login.issuer).collect();
            wanted.retain(|issuer| requirement.names_login(Some(*issuer)));
            if wanted.iter().any(|issuer| facts.login(*issuer).is_some()) {
                wanted.retain(|issuer| facts.login(*issuer).is_some());
            }
            let sent = rule.otherwise.is_some() && !wanted.is_empty() && is_navigation(request);
            return Err(self.sign_in(&wanted, step_up.refusal(), sent, Some(step_up), at, around));
        }
        if matches!(rule.asks, Asks::Optional(_))
            && let Some(halt) = self.quiet_login(rule, &facts, at, around, &mut decision.cookies)
        {
            return Err(halt);
        }
        if limited.is_some() {
            let all = together(&brought, certificate.as_ref(), &held)?;
            self.authorize(rule, method, &segments, &all, trace)?;
        } else {
            self.authorize(rule, method, &segments, &facts, trace)?;
        }
        if self.sessions.as_ref().is_some_and(|sessions| sessions.idle.is_some())
            && is_navigation(request)
            && let Some(reply) = self.renewed(&brought, at, around)
        {
            return Err(Halt::Answer(reply));
        }
        self.changes(at, &held, &facts, named, rule.gateway_token, around)
    }

    /// What follows where the requirement is not met: a browser is sent to a wallet where the rule says so and a credential
    /// would be enough; everyone else is told what is missing.
    fn otherwise(
        &self,
        rule: &Rule,
        refusal: Refusal,
        facts: &Facts<'_>,
        brought: &Brought,
        at: At<'_>,
        around: &mut Around<'_>,
    ) -> Halt {
        let Asks::Require(requirement) = &rule.asks else { return refusal.into() };
        let options = ask::options(requirement, facts);
        if options.is_empty() || rule.otherwise == Some(Otherwise::Login) {
            let wanted = requirement.wanted_logins(facts).unwrap_or_default();
            if !wanted.is_empty() {
                let sent = rule.otherwise.is_some() && is_navigation(at.request);
                return self.sign_in(&wanted, refusal, sent, None, at, around);
            }
        }
        if options.is_empty() {
            return refusal.into();
        }
        let origin = match at.origin() {
            Ok(origin) => origin,
            Err(refusal) => return refusal.into(),
        };
        // what was shown before and no longer holds says more than that it is missing
        if let Some(lapsed) = &brought.lapsed
            && lapsed.status >= 500
        {
            return lapsed.clone().into();
        }
        if rule.otherwise.is_some() && self.presenting.is_some() && is_navigation(at.request) {
            return match self.begin(&options, at, brought.lapsed.as_ref(), around) {
                Ok(reply) => Halt::Answer(reply),
                Err(halt) => halt,
            };
        }
        match &brought.lapsed {
            Some(lapsed) => lapsed.clone().into(),
            None => Refusal::presentation_required(format!(
                "this needs {}: POST {origin}/.carded/challenge gives a nonce, and what can be shown",
                requirement.describe(self.names_of())
            ))
            .into(),
        }
    }

    fn requirement(&self, rule: &Rule, facts: &Facts<'_>, trace: &mut impl Trace) -> Result<(), Refusal> {
        let requirement = match &rule.asks {
            Asks::Nothing => return Ok(()),
            Asks::Optional(requirement) if facts.is_empty() => {
                trace.tell(|| Event::Requirement(true, format!("{}, or none", requirement.describe(self.names_of()))));
                return Ok(());
            }
            Asks::Require(requirement) | Asks::Optional(requirement) => requirement,
        };
        let met = requirement.is_met(facts);
        trace.tell(|| Event::Requirement(met, requirement.describe(self.names_of())));
        if met {
            return Ok(());
        }
        Err(self.unmet(rule, requirement, facts))
    }

    /// What a requirement lacks.
    fn unmet(&self, rule: &Rule, requirement: &Requirement, facts: &Facts<'_>) -> Refusal {
        let what = || format!("this needs {}", requirement.describe(self.names_of()));
        if requirement.is_for_another(facts) {
            return Refusal::audience_mismatch(format!("{}, and the token is for another audience", what()));
        }
        if rule.places.is_empty() {
            return if !rule.reads_credentials {
                Refusal::client_certificate_required(what())
            } else if requirement.names_login(None) {
                Refusal::login_required(what())
            } else {
                Refusal::presentation_required(what())
            };
        }
        let mut places: Vec<_> = rule.places.iter().map(|place| place.kind.describe()).collect();
        places.dedup();
        Refusal::token_missing(format!("{}, in {}", what(), places.join(" or ")))
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
        trace.tell(|| {
            Event::Policy(match says {
                Says::Deny(name) => format!("statement {name} denies {action}"),
                Says::Allow(name) => format!("statement {name} allows {action}"),
                Says::Nothing if rule.authorize => format!("no statement allows {action}"),
                Says::Nothing => format!("no statement denies {action}"),
            })
        });
        match says {
            Says::Allow(_) => Ok(()),
            Says::Nothing if !rule.authorize => Ok(()),
            Says::Deny(_) | Says::Nothing => {
                Err(Refusal::policy_denied(format!("{action} on this path is not allowed for you")))
            }
        }
    }
}

/// All evidence of a request. Tokens, and what was brought, that contradict each other are none.
#[inline]
fn together<'f>(
    brought: &'f Brought,
    certificate: Option<&'f Certificate>,
    held: &'f [Held<'_>],
) -> Result<Facts<'f>, Refusal> {
    let mut facts = Facts::of_brought(brought, held.len()).with_certificate(certificate);
    for held in held {
        facts
            .add(&held.verified)
            .map_err(|_| Refusal::token_ambiguous("the tokens in this request are of different subjects: send one"))?;
    }
    Ok(facts)
}

/// Whether a program may be asked for an API token as a password (RFC 7617 §2). A browser would ask the person, who has
/// none.
fn asks_for_basic(rule: &Rule, request: &Request) -> bool {
    rule.places.iter().any(|place| place.kind == PlaceKind::Basic)
        && !request.has("sec-fetch-mode")
        && !is_navigation(request)
}

/// The text in lower case; the same text where it is.
#[inline]
fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(text.to_ascii_lowercase()) } else { text }
}

/// Whether a person's browser goes somewhere, rather than a script or a program asking for something: it reads, and it
/// would show a page (Fetch metadata where there is some).
pub(super) fn is_navigation(request: &Request) -> bool {
    let reads = matches!(request.single(":method"), Ok(Some(b"GET")));
    let shows_pages = request.values("accept").any(|value| {
        value.split(|byte| *byte == b',').any(|part| {
            let media_type = part.split(|byte| *byte == b';').next().unwrap_or_default();
            media_type.trim_ascii().eq_ignore_ascii_case(b"text/html")
        })
    });
    let navigates = match request.single("sec-fetch-mode") {
        Ok(None) => true,
        Ok(Some(mode)) => mode == b"navigate",
        Err(Repeated) => false,
    };
    reads && shows_pages && navigates && !request.has("upgrade")
}

/// The method: a token (RFC 9110 §9.1), there once.
#[inline]
fn method(request: &Request) -> Result<&str, Refusal> {
    let value = required(request, ":method")?;
    std::str::from_utf8(value)
        .ok()
        .filter(|method| is_token(method))
        .ok_or_else(|| Refusal::request_malformed(":method is no token"))
}

#[inline]
fn required<'a>(request: &'a Request, name: &'static str) -> Result<&'a [u8], Refusal> {
    match request.single(name) {
        Ok(Some(value)) if !value.is_empty() => Ok(value),
        Ok(_) => Err(Refusal::request_malformed(format!("{name} is missing"))),
        Err(Repeated) => Err(Refusal::request_malformed(format!("there is more than one {name}"))),
    }
}

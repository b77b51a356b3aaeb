//! `POST /.carded/exchange`: a provider's token in, an opaque one out that only the gateway can open (the words are those of
//! RFC 8693). What a program then carries, and what ends up in its logs, is of no use anywhere else.
//!
//! The provider's token is sealed in it and judged again as if it had come itself: the same keys, claims and times, the same
//! question to its issuer where only that can read it, the same proof of what it is bound to. That is why it satisfies
//! `{ token: X }` like the original, and never for longer. It is bound to the origin that it was made at, and ends with
//! `exchange.lifetime`.

use std::rc::Rc;
use std::time::Duration;

use carded_verifier::{Condensed, Timestamp, Trust};
use serde_json::json;

use super::Gate;
use super::at::At;
use super::cache::Key;
use super::config::{Config, ConfigError, ExchangeConfig, Field};
use super::decide::{Around, Halt};
use super::place::{Place, PlaceKind};
use super::possession::{Use, spend_proof};
use super::reply::{Refusal, Reply};
use super::seal::{Binding, Purpose, claims_to_hold};
use super::session::Sessions;
use super::slow::{Tried, not_slowed};
use super::trace::{Silent, Trace};

/// What an exchanged token begins with, by which scanners of secrets find it. No JWT and nothing else of ours does.
const PREFIX: &[u8] = b"carded.";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The compiled `exchange`.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Where they are read, and of whom.
    place: Place,
    lifetime: Duration,
}

impl Exchange {
    pub(super) fn compile(
        configured: &ExchangeConfig,
        config: &Config,
        trust: &Trust,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let field = Field::top("exchange");
        let mut issuers = Vec::new();
        let mut is_asked = false;
        for (at, name) in configured.issuers.iter().enumerate() {
            let field = field.key("issuers").at(at);
            let issuer = config.issuers.get(name);
            match trust.index_of(name).filter(|_| issuer.is_some()) {
                Some(index) => issuers.push(index),
                None => errors.push(field.error(format!("there is no issuer `{name}` under `issuers`"))),
            }
            if issuer.is_some_and(|issuer| issuer.introspection.is_some()) && std::mem::replace(&mut is_asked, true) {
                errors.push(field.error("two of them would be asked about a token (`introspection`): name one"));
            }
            if issuer.is_some_and(|issuer| issuer.forward) {
                errors.push(
                    field.error(
                        "its tokens are passed on (`forward: true`), and services cannot open what is exchanged",
                    ),
                );
            }
        }
        if issuers.is_empty() {
            errors.push(field.key("issuers").error("name those whose tokens are exchanged"));
        }
        if config.sessions.is_none() || config.origins.is_empty() {
            errors.push(field.error("it needs the keys of `sessions`, and `origins`, to which the tokens are bound"));
        }
        let lifetime = configured.lifetime.map_or(Duration::from_secs(3600), |span| span.duration());
        if lifetime < Duration::from_secs(10) || lifetime > Duration::from_secs(24 * 3600) {
            errors.push(field.key("lifetime").error("between 10s and 24h"));
        }
        issuers.sort_unstable();
        Self { place: Place { kind: PlaceKind::Parameter("subject_token".to_owned()), issuers }, lifetime }
    }
}

/// What is sealed in an exchanged token; nothing for any other.
pub(super) fn sealed_in(token: &[u8]) -> Option<&[u8]> {
    token.strip_prefix(PREFIX)
}

fn binding(origin: &str) -> Binding<'_> {
    Binding { purpose: Purpose::Exchanged, origin, to: b"" }
}

fn ended() -> Refusal {
    Refusal::access_token_invalid("the token has ended or is not ours: exchange one again")
}

impl Gate {
    /// The answer to a form with a token.
    pub(super) fn token_exchange(
        &self,
        form: &[u8],
        at: At<'_>,
        around: &mut Around<'_>,
        checked: &mut u32,
    ) -> Result<Reply, Halt> {
        let exchange = self.exchange.as_ref().ok_or_else(|| Refusal::not_found("no tokens are exchanged here"))?;
        let parameter = |wanted: &str| {
            let mut values = form_urlencoded::parse(form).filter(|(name, _)| name == wanted).map(|(_, value)| value);
            // none may be there twice (RFC 6749 §3.2)
            values.next().filter(|_| values.next().is_none())
        };
        let malformed = |why: &str| Halt::from(Refusal::response_malformed(why));
        if parameter("grant_type").as_deref() != Some(GRANT) {
            return Err(malformed("`grant_type` is that of token exchange (RFC 8693 section 2.1)"));
        }
        if !matches!(parameter("subject_token_type").as_deref(), Some(ACCESS_TOKEN | JWT)) {
            return Err(malformed("`subject_token_type` is that of an access token or a JWT (RFC 8693 section 3)"));
        }
        if parameter("actor_token").is_some() {
            return Err(malformed("`actor_token` is not taken here"));
        }
        let token = parameter("subject_token").ok_or_else(|| malformed("`subject_token` is there once"))?;
        let (verified, _) = self.verdict(token.as_bytes(), &exchange.place, at.known, around, &mut Silent, checked)?;
        // the proof of a key is one for this address, as with any other token request (RFC 9449 §5)
        let by_scheme = at.request.has("dpop");
        let by =
            Use { request: at.request, target: "/.carded/exchange", authority: at.authority, by_scheme, token: None };
        if let Some(proof) = self.possession(&verified, by, around)? {
            spend_proof(&proof, around)?;
        }
        let sessions = self.sessions.as_ref().ok_or_else(|| Refusal::not_found("nothing is sealed here"))?;
        let sealed = sessions.sealer.seal(binding(at.origin()?), &&*token, around.now, around.random);
        let sealed = sealed.ok_or_else(|| Refusal::internal_error("the token could not be sealed"))?;
        let text = format!("{}{sealed}", String::from_utf8_lossy(PREFIX));
        if text.len() > self.limits.token_bytes {
            return Err(Refusal::body_too_large("the exchanged token would be longer than `limits.token_bytes`").into());
        }
        let ends = self.token_ends(&verified).saturating_since(around.now).min(exchange.lifetime);
        let key = verified.confirmation().and_then(|bound| bound.key());
        Ok(Reply::json(
            200,
            "ok",
            &json!({
                "access_token": text,
                "issued_token_type": ACCESS_TOKEN,
                "token_type": if key.is_some() { "DPoP" } else { "Bearer" },
                "expires_in": ends.as_secs(),
            }),
        ))
    }

    /// The verdict on what an exchanged token was made of, and the key under which that is remembered: for this origin, and
    /// for the lifetime of the exchanged token, which is compared each time.
    pub(super) fn exchanged(
        &self,
        token: &[u8],
        place: &Place,
        at: At<'_>,
        around: &mut Around<'_>,
        trace: &mut impl Trace,
        checked: &mut u32,
    ) -> Result<(Rc<Condensed>, Option<Key>), Halt> {
        let (origin, known) = (at.origin()?, at.known);
        let (Some(exchange), Some(sessions), Some(sealed)) = (&self.exchange, &self.sessions, sealed_in(token)) else {
            return Err(ended().into());
        };
        if token.len() > self.limits.token_bytes {
            return Err(ended().into());
        }
        let (now, bound) = (around.now, Some(origin));
        let key = around.verdicts.key_of_token(token, bound);
        if let Some(key) = key
            && let Some(verified) = around.verdicts.token(&key, token, bound, place, &self.trust, known, now)
        {
            self.not_revoked(verified.marks(), known, now)?;
            // what is remembered under the whole text was opened once, so that its time is authentic
            let holds = claims_to_hold(sealed, now, exchange.lifetime);
            return holds.then_some((verified, Some(key))).ok_or_else(|| ended().into());
        }
        let original = self.original(sealed, origin, exchange, sessions, around)?;
        *checked = checked.saturating_add(1);
        let verified = self.judge(original.as_bytes(), key, place, known, around, trace)?;
        // an issuer whose tokens are no longer exchanged
        if !exchange.place.admits(verified.issuer_index()) {
            return Err(ended().into());
        }
        Ok((verified, key))
    }

    /// The token that another was exchanged for.
    fn original(
        &self,
        sealed: &[u8],
        origin: &str,
        exchange: &Exchange,
        sessions: &Sessions,
        around: &mut Around<'_>,
    ) -> Result<String, Halt> {
        let now = around.now;
        not_slowed(Tried::Tokens, around)?;
        let longest = self.limits.token_bytes;
        let original = sessions.sealer.open_long::<String>(binding(origin), sealed, now, exchange.lifetime, longest);
        original.map(|(original, _)| original).ok_or_else(|| {
            // what is in time and does not open was never sealed here
            if claims_to_hold(sealed, now, exchange.lifetime) {
                around.budget.failures.count(Tried::Tokens, around.connection, now);
            }
            ended().into()
        })
    }

    /// When a token ends by its own word: a verdict holds for the clock skew beyond, and nothing is promised for that time.
    pub(super) fn token_ends(&self, token: &Condensed) -> Timestamp {
        let skew = self.trust.issuer(token.issuer_index()).map_or(Duration::ZERO, |issuer| issuer.clock_skew);
        token.ends().saturating_sub(skew)
    }
}

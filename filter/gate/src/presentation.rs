//! Showing a credential in a browser: OpenID4VP 1.0 by redirect on the same device, with the client id prefix
//! `redirect_uri:` (§5.9.3), the request in plain query parameters, and `response_mode=direct_post` (§8.2).
//!
//! Nothing is kept between the steps: what was asked travels sealed as `state`, what belongs to the browser in a cookie of
//! its own for each transaction, and the answer sealed as `response_code`, which opens only with that cookie (threat 49).
//! Any worker and any Envoy with the same key finishes what another began.

use std::collections::BTreeMap;
use std::time::Duration;

use carded_verifier::openid4vp::{AuthorizationRequest, AuthorizationResponse};
use carded_verifier::{Documents, HttpsUrl, Outcome, Presentation, UrlPolicy, verify_presentation};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Gate;
use super::ask::{self, Options};
use super::at::At;
use super::config::tree::FromNode;
use super::config::{ConfigError, Field, PresentationConfig};
use super::cookie;
use super::decide::{Around, Halt};
use super::once;
use super::page::Page;
use super::proof::Proof;
use super::reply::{Refusal, Reply};
use super::seal::{Binding, LEEWAY, Purpose, random_text};
use super::slow::{PRESENTATION, not_slowed};

/// How credentials are asked for.
#[derive(Debug)]
pub(super) struct Presenting {
    pub(super) wallets: Vec<Wallet>,
    /// How long a request can be answered.
    pub(super) lifetime: Duration,
}

/// A wallet that is reached by its address.
#[derive(Debug)]
pub(super) struct Wallet {
    pub(super) name: String,
    pub(super) endpoint: String,
}

/// What was asked, as `state`.
#[derive(Debug, Serialize, FromNode)]
struct Asked {
    /// The transaction.
    #[serde(rename = "t")]
    id: String,
    #[serde(rename = "n")]
    nonce: String,
    /// The hash of the secret in the browser's cookie.
    #[serde(rename = "b")]
    browser: String,
    /// Sets of credentials by name, each of which is enough.
    #[serde(rename = "o")]
    options: Vec<Vec<String>>,
    /// Whether it must end in the browser where it began. Always, until there are other ways.
    #[serde(rename = "s")]
    same_device: bool,
}

/// What the browser keeps, in a cookie of its own for each transaction.
#[derive(Debug, Serialize, FromNode)]
struct Transaction {
    #[serde(rename = "k")]
    secret: String,
    /// Where the browser was going: path and query.
    #[serde(rename = "u")]
    target: String,
}

/// What came of it, as `response_code`.
#[derive(Debug, Serialize, FromNode)]
enum Answer {
    #[serde(rename = "g")]
    Granted(Vec<Proof>),
    #[serde(rename = "r")]
    Refused { code: String, detail: String },
}

/// The longest address that is returned to, so that its cookie stays one.
const LONGEST_TARGET: usize = 1500;
/// The longest answer in an address.
const LONGEST_ANSWER: usize = 3500;
/// What a wallet may post.
pub(super) const LONGEST_BODY: usize = 128 * 1024;

impl Presenting {
    pub(super) fn compile(configured: &PresentationConfig, policy: UrlPolicy, errors: &mut Vec<ConfigError>) -> Self {
        let field = Field::top("presentation");
        if configured.wallets.is_empty() || configured.wallets.len() > 16 {
            errors.push(field.key("wallets").error("name between one and 16 wallets"));
        }
        let mut wallets: Vec<Wallet> = Vec::new();
        for (index, wallet) in configured.wallets.iter().enumerate() {
            let field = field.key("wallets").at(index);
            if wallet.name.is_empty() || wallets.iter().any(|other| other.name == wallet.name) {
                errors.push(field.key("name").error("each wallet needs a name of its own"));
            }
            match HttpsUrl::parse(&wallet.authorization_endpoint, policy) {
                Ok(url) => wallets.push(Wallet { name: wallet.name.clone(), endpoint: url.as_str().to_owned() }),
                Err(why) => errors.push(field.key("authorization_endpoint").error(why.to_string())),
            }
        }
        let lifetime = configured.lifetime.map_or(Duration::from_secs(300), |span| span.duration());
        if !(Duration::from_secs(30)..=Duration::from_secs(900)).contains(&lifetime) {
            errors.push(field.key("lifetime").error("between 30s and 15m"));
        }
        Self { wallets, lifetime }
    }
}

impl Gate {
    /// Sends a browser to a wallet, or lets it choose one. `why`: what it should read first.
    pub(super) fn begin(
        &self,
        options: &Options,
        at: At<'_>,
        why: Option<&Refusal>,
        around: &mut Around<'_>,
    ) -> Result<Reply, Halt> {
        let origin = at.origin()?;
        let (Some(sessions), Some(presenting)) = (&self.sessions, &self.presenting) else {
            return Err(Refusal::internal_error("there is nothing to show a credential with").into());
        };
        let target = way_back(at.request.single(":path").ok().flatten().unwrap_or_default())?;
        let no_random = || Halt::from(Refusal::internal_error("there are no random bytes to be had"));
        let id = random_text::<9>(around.random).ok_or_else(no_random)?;
        let secret = random_text::<32>(around.random).ok_or_else(no_random)?;
        let nonce = random_text::<24>(around.random).ok_or_else(no_random)?;
        let asked = Asked {
            id: id.clone(),
            nonce: nonce.clone(),
            browser: thumb(&secret),
            options: self.names(options),
            same_device: true,
        };
        let binding = |purpose| Binding { purpose, origin, to: b"" };
        let state = sessions.sealer.seal(binding(Purpose::Asked), &asked, around.now, around.random);
        let kept = Transaction { secret, target: target.to_owned() };
        let kept = sessions.sealer.seal(binding(Purpose::Transaction), &kept, around.now, around.random);
        let (Some(state), Some(kept), Some(name)) = (state, kept, cookie::transaction(&id)) else {
            return Err(no_random());
        };
        let authorization = AuthorizationRequest {
            response_uri: format!("{origin}/.carded/response"),
            nonce,
            state: Some(state),
            dcql_query: ask::query(options, &self.credentials, &self.trust),
            client_metadata: Some(self.client_metadata(options)),
        };
        let set_cookie = cookie::set(&name, &kept, presenting.lifetime);
        let mut reply = match (presenting.wallets.as_slice(), why) {
            ([wallet], None) => redirect(authorization.to_url(&wallet.endpoint), "presentation_required"),
            (wallets, why) => {
                let mut page = Page { title: "Show a credential to go on", ..Page::default() };
                if let Some(why) = why {
                    page.title = why.title;
                    page.text.push(sentence(&why.detail));
                    page.small = Some(format!("Code: {}", why.code));
                } else {
                    page.text
                        .push("This page needs proof of something about you. Choose where you keep it.".to_owned());
                }
                page.ways = wallets
                    .iter()
                    .map(|wallet| (format!("Show with {}", wallet.name), authorization.to_url(&wallet.endpoint)))
                    .collect();
                page.reply(401, why.map_or("presentation_required", |why| why.code))
            }
        };
        reply.headers.push(("set-cookie", set_cookie));
        let surplus = cookie::surplus_transactions(at.request);
        reply.headers.extend(surplus.iter().map(|name| ("set-cookie", cookie::clear(name))));
        Ok(reply)
    }

    /// `POST /.carded/response`: the wallet's answer.
    pub(super) fn response(
        &self,
        body: &[u8],
        origin: &str,
        known: &Documents,
        around: &mut Around<'_>,
    ) -> Result<Reply, Halt> {
        let (Some(sessions), Some(presenting)) = (&self.sessions, &self.presenting) else {
            return Err(Refusal::not_found("no credentials are asked for here").into());
        };
        let answer = self.read_answer(body)?;
        let (AuthorizationResponse::Presented { state, .. } | AuthorizationResponse::Error { state, .. }) = &answer;
        let binding = Binding { purpose: Purpose::Asked, origin, to: b"" };
        let asked: Option<Asked> = state
            .as_ref()
            .and_then(|state| sessions.sealer.open(binding, state.as_bytes(), around.now, presenting.lifetime));
        let Some(asked) = asked.filter(|asked| asked.same_device) else {
            return Err(Refusal::state_unknown(
                "`state` is not of a request that was made here a moment ago: begin again",
            )
            .into());
        };
        let granted = match &answer {
            AuthorizationResponse::Error { error, description, .. } => Err(wallet_error(error, description.as_deref())),
            AuthorizationResponse::Presented { vp_token, .. } => {
                let client_id = format!("redirect_uri:{origin}/.carded/response");
                match self.check_presentations(vp_token, &client_id, &asked.nonce, known, around) {
                    Ok(presented) => self.finish(presented, &asked, presenting.lifetime, around),
                    // what was not looked at can come again
                    Err(Halt::Refuse(refusal)) if refusal.status < 500 && refusal.status != 429 => Err(refusal),
                    Err(halt) => return Err(halt),
                }
            }
        };
        let outcome = match granted {
            Ok(proofs) => Answer::Granted(proofs),
            Err(refusal) if refusal.status >= 500 => return Err(refusal.into()),
            Err(refusal) => Answer::Refused { code: refusal.code.to_owned(), detail: refusal.detail },
        };
        let binding = Binding { purpose: Purpose::Answer, origin, to: asked.browser.as_bytes() };
        let sealed = sessions.sealer.seal(binding, &outcome, around.now, around.random);
        let sealed = sealed
            .filter(|sealed| sealed.len() <= LONGEST_ANSWER)
            .ok_or_else(|| Refusal::internal_error("the answer could not be sealed, or outgrows an address"))?;
        let back = format!("{origin}/.carded/done?response_code={}.{sealed}", asked.id);
        Ok(Reply::json(200, "ok", &json!({ "redirect_uri": back })))
    }

    /// A wallet's form (§8.2), or a program's.
    pub(super) fn read_answer(&self, body: &[u8]) -> Result<AuthorizationResponse, Refusal> {
        AuthorizationResponse::parse_form(body, self.limits())
            .map_err(|why| Refusal::response_malformed(why.to_string()))
    }

    /// That what was presented is what was asked for (threat 51), and that its nonce was not used before (threat 47).
    fn finish(
        &self,
        presented: Vec<Proven>,
        asked: &Asked,
        window: Duration,
        around: &mut Around<'_>,
    ) -> Result<Vec<Proof>, Refusal> {
        let has = |name: &String| presented.iter().any(|proven| proven.proof.name == *name);
        if !asked.options.iter().any(|option| option.iter().all(has)) {
            return Err(Refusal::presentation_incomplete("not everything that was asked for was shown"));
        }
        if !presented.iter().all(|proven| asked.options.iter().flatten().any(|name| *name == proven.proof.name)) {
            return Err(Refusal::presentation_unrequested("something was shown that was not asked for"));
        }
        spend_nonce(&asked.nonce, window, around)?;
        Ok(presented.into_iter().map(|proven| proven.proof).collect())
    }

    /// Verifies every presentation of a `vp_token`.
    pub(super) fn check_presentations(
        &self,
        vp_token: &BTreeMap<String, Vec<String>>,
        client_id: &str,
        nonce: &str,
        known: &Documents,
        around: &mut Around<'_>,
    ) -> Result<Vec<Proven>, Halt> {
        let sessions = self.sessions.as_ref().ok_or_else(|| Refusal::not_found("no credentials are asked for here"))?;
        let latest = around.now.saturating_add(sessions.lifetime);
        not_slowed(PRESENTATION, around)?;
        let mut proven: Vec<Proven> = Vec::new();
        for (id, presentations) in vp_token {
            let way = self.trust.credential_of(id);
            let credential = way.and_then(|way| self.credentials.iter().find(|one| one.ways.contains(&way)));
            let (Some(way), Some(credential)) = (way, credential) else {
                return Err(Refusal::presentation_unrequested("`vp_token` has an id that was not asked for").into());
            };
            let [presentation] = presentations.as_slice() else {
                return Err(Refusal::response_malformed("one presentation answers one query").into());
            };
            if !around.budget.take(around.now) {
                return Err(Refusal::too_many_presentations("too many presentations are being checked: try again")
                    .retry_after(Duration::from_secs(1))
                    .into());
            }
            let shown = Presentation::new(way, presentation.as_bytes(), client_id, nonce);
            match verify_presentation(&shown, &self.trust, known, around.now) {
                Outcome::Verified(verified) => {
                    around.budget.give_back();
                    let keep = self.kept_claims(&credential.name);
                    proven.push(Proven {
                        proof: Proof::of(&verified, &credential.name, keep, latest),
                        thumbprint: verified.holder().map(|holder| holder.thumbprint().to_owned()),
                    });
                }
                Outcome::Denied(denied) => {
                    around.budget.failures.note(PRESENTATION, &denied, around.connection, around.now);
                    return Err(Refusal::from_denied(&denied).into());
                }
                Outcome::Need(fetch) => {
                    around.budget.give_back();
                    return Err(Halt::Need(fetch));
                }
            }
        }
        Ok(proven)
    }

    /// `GET /.carded/done`: the browser comes back with the answer.
    pub(super) fn done(&self, at: At<'_>, around: &mut Around<'_>) -> Result<Reply, Halt> {
        let origin = at.origin()?;
        let (Some(sessions), Some(presenting)) = (&self.sessions, &self.presenting) else {
            return Err(Refusal::not_found("no credentials are asked for here").into());
        };
        let code = form_urlencoded::parse(at.query()).find(|(name, _)| name == "response_code");
        let Some((id, sealed)) = code.as_ref().and_then(|(_, code)| code.split_once('.')) else {
            return Ok(stray("This address has no answer from a wallet in it.", "response_malformed", 400));
        };
        // The answer opens only in the browser that asked (threat 49).
        let name = cookie::transaction(id);
        let kept = |name: &String| {
            let binding = Binding { purpose: Purpose::Transaction, origin, to: b"" };
            cookie::values(at.request, name)
                .take(2)
                .find_map(|value| sessions.sealer.open::<Transaction>(binding, value, around.now, presenting.lifetime))
        };
        let Some((name, kept)) = name.and_then(|name| kept(&name).map(|kept| (name, kept))) else {
            return Ok(stray(
                "This answer belongs to another browser, or the request is too old. Nothing was opened here. Go back to where you were and begin again.",
                "transaction_unknown",
                400,
            ));
        };
        let browser = thumb(&kept.secret);
        let binding = Binding { purpose: Purpose::Answer, origin, to: browser.as_bytes() };
        let answer: Option<Answer> = sessions.sealer.open(binding, sealed.as_bytes(), around.now, presenting.lifetime);
        let mut reply = match answer {
            None => stray(
                "This answer is damaged or too old. Go back to where you were and begin again.",
                "response_code_invalid",
                400,
            ),
            Some(Answer::Refused { code, detail }) => {
                let page = Page {
                    title: if code == "presentation_declined" {
                        "Nothing was shown"
                    } else {
                        "That could not be accepted"
                    },
                    text: vec![sentence(&detail)],
                    small: Some(format!("Code: {code}")),
                    ways: vec![("Try again".to_owned(), kept.target.clone())],
                    form: None,
                };
                page.reply(403, known_code(&code))
            }
            Some(Answer::Granted(proofs)) => {
                let mut session = self.session_to_add_to(sessions, at, around)?;
                if session.id.is_empty() {
                    session.id = random_text::<16>(around.random)
                        .ok_or_else(|| Refusal::internal_error("there are no random bytes to be had"))?;
                }
                session.add(proofs, around.now);
                let sealed = sessions.seal(&session, at.request, origin, around.now, around.random)?;
                let mut reply = redirect(kept.target, "ok");
                reply.set_cookies(sealed.cookies);
                reply
            }
        };
        reply.headers.push(("set-cookie", cookie::clear(&name)));
        Ok(reply)
    }

    fn names(&self, options: &Options) -> Vec<Vec<String>> {
        let name = |index: &usize| self.credentials.get(*index).map(|credential| credential.name.clone());
        options.iter().map(|option| option.iter().filter_map(name).collect()).collect()
    }

    /// `client_metadata` (§5.1, §11.1): which formats and algorithms are understood.
    fn client_metadata(&self, options: &Options) -> Value {
        let ways = options.iter().flatten().filter_map(|index| self.credentials.get(*index)).flat_map(|one| &one.ways);
        let mut formats = serde_json::Map::new();
        for policy in ways.filter_map(|way| self.trust.credential(*way)) {
            let names: Vec<&str> = policy.algorithms.iter().map(|algorithm| algorithm.name()).collect();
            let (format, members) = match &policy.query.format {
                carded_verifier::dcql::Format::DcSdJwt => {
                    ("dc+sd-jwt", json!({ "sd-jwt_alg_values": names, "kb-jwt_alg_values": names }))
                }
                _ => ("jwt_vc_json", json!({ "alg_values": names })),
            };
            formats.insert(format.to_owned(), members);
        }
        json!({ "vp_formats_supported": formats })
    }
}

/// A presentation that holds.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) proof: Proof,
    /// The thumbprint of the holder's key.
    pub(super) thumbprint: Option<String>,
}

/// Uses a nonce up: once within this process, for as long as it could be used (threat 47).
pub(super) fn spend_nonce(nonce: &str, window: Duration, around: &mut Around<'_>) -> Result<(), Refusal> {
    // its time of issue is sealed with it, so it is over a window from now at the latest, by the clock that is most ahead
    let until = around.now.saturating_add(window).saturating_add(LEEWAY);
    once::spend(around.once, "nonce", nonce.as_bytes(), until, around.now).map_err(|why| match why {
        once::NotSpent::Again => Refusal::nonce_used("this was shown before: begin again"),
        once::NotSpent::Full => Refusal::too_many_presentations("too many presentations at once: try again")
            .retry_after(Duration::from_secs(5)),
    })
}

/// What a wallet says instead of a presentation (§8.5).
fn wallet_error(error: &str, description: Option<&str>) -> Refusal {
    if error == "access_denied" {
        return Refusal::presentation_declined("The wallet showed nothing.");
    }
    let known =
        ["invalid_request", "invalid_scope", "invalid_client", "vp_formats_not_supported", "wallet_unavailable"];
    let error = known.iter().find(|known| **known == error).copied().unwrap_or("another error");
    let description: String = description.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
    let detail = if description.is_empty() {
        format!("The wallet says: {error}")
    } else {
        format!("The wallet says: {error}, {description}")
    };
    Refusal::wallet_failed(detail)
}

/// The codes that a sealed answer may carry back into metrics: those that are known here.
fn known_code(code: &str) -> &'static str {
    let own = Refusal::OWN.iter().map(|(code, _, _)| *code);
    let verifiers = carded_verifier::Code::ALL.iter().map(|code| code.as_str());
    own.chain(verifiers).find(|known| *known == code).unwrap_or("presentation_refused")
}

pub(super) fn stray(text: &str, code: &'static str, status: u16) -> Reply {
    Page {
        title: "This cannot be opened",
        text: vec![text.to_owned()],
        small: Some(format!("Code: {code}")),
        ..Page::default()
    }
    .reply(status, code)
}

/// An address of ours that a person is sent back to: a path with its query, and never another origin (threat 64).
pub(super) fn way_back(target: &[u8]) -> Result<&str, Refusal> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'\\';
    if target.len() > LONGEST_TARGET {
        return Err(Refusal::request_malformed("the address is too long to come back to"));
    }
    let is_ours = super::path::Path::parse(target).is_ok() && !target.starts_with(b"//") && target.iter().all(plain);
    std::str::from_utf8(target)
        .ok()
        .filter(|_| is_ours)
        .ok_or_else(|| Refusal::request_malformed("this is no address of ours to come back to"))
}

/// 303, so that whatever came before, the browser asks with GET (threat 65).
pub(super) fn redirect(to: String, code: &'static str) -> Reply {
    let headers =
        vec![("cache-control", "no-store".to_owned()), ("location", to), ("referrer-policy", "no-referrer".to_owned())];
    Reply { status: 303, code, headers, body: String::new(), grpc_status: None }
}

pub(super) fn sentence(detail: &str) -> String {
    let mut characters = detail.chars();
    let Some(first) = characters.next() else { return String::new() };
    let end = if detail.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{end}", first.to_ascii_uppercase(), characters.as_str())
}

fn thumb(secret: &str) -> String {
    carded_verifier::base64url::encode(Sha256::digest(secret))
}

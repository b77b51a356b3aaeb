//! Signing in at a provider: OpenID Connect Core 1.0 §3.1, the authorization code flow, with PKCE S256 (RFC 7636). This file
//! sends a browser there; `callback.rs` takes it back.
//!
//! Nothing is kept between the two: `state` is the random name of a cookie of this login's own, in which everything that
//! belongs to it is sealed, bound to that name (threat 62). Tabs do not get in each other's way, any Envoy with the same
//! key finishes what another began, and what another browser began opens nowhere.

use std::time::Duration;

use carded_verifier::{Documents, GatewayKey, IssuerIndex, Outcome, ProviderMetadata, Trust};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Gate;
use super::at::At;
use super::client;
use super::compile::Environment;
use super::config::tree::FromNode;
use super::config::{AuthMethod, Config, ConfigError, Field};
use super::cookie;
use super::decide::{Around, Halt};
use super::effect::EffectKind;
use super::page::Page;
use super::presentation::{redirect, sentence, way_back};
use super::reply::{Refusal, Reply};
use super::request::Request;
use super::seal::{Binding, Purpose, random_text};
use super::step_up::StepUp;

/// How long a person may take to sign in.
pub(super) const LIFETIME: Duration = Duration::from_secs(900);
/// The longest name of a person that is passed on to the provider, in bytes.
const LONGEST_HINT: usize = 256;
/// The most logins, so that a choice stays one.
const MOST: usize = 16;

/// A login, compiled.
pub(super) struct Login {
    /// Its name, which is its issuer's.
    pub(super) name: String,
    pub(super) issuer: IssuerIndex,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    /// What signs who we are, instead of the secret.
    pub(super) key: Option<GatewayKey>,
    pub(super) auth_method: Option<AuthMethod>,
    pub(super) max_age: Option<Duration>,
    pub(super) acr_values: Vec<String>,
    pub(super) post_logout_path: Option<String>,
    /// Whether more claims come from the provider's UserInfo endpoint.
    pub(super) userinfo: bool,
    /// Whether the provider is asked again before its tokens end.
    pub(super) refresh: bool,
    pub(super) silent: bool,
    scope: String,
    prompt: Option<String>,
    title: String,
}

impl std::fmt::Debug for Login {
    /// Never shows the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Login").field(&self.name).finish()
    }
}

/// How a login begins.
#[derive(Debug, Default)]
pub(super) struct Begins<'a> {
    /// What a rule needs beyond the login.
    pub(super) step_up: Option<&'a StepUp>,
    /// The provider may ask nobody.
    pub(super) quiet: bool,
    /// Who it probably is (`login_hint`, §3.1.2.1).
    pub(super) hint: Option<String>,
}

/// What the browser keeps of a login that is under way.
#[derive(Debug, Serialize, FromNode)]
pub(super) struct Begun {
    /// The login's name.
    #[serde(rename = "l")]
    pub(super) login: String,
    #[serde(rename = "n")]
    pub(super) nonce: String,
    /// `code_verifier` (RFC 7636 §4.1).
    #[serde(rename = "v")]
    pub(super) verifier: String,
    /// Where the browser was going: path and query.
    #[serde(rename = "u")]
    pub(super) target: String,
    /// The contexts of authentication that were asked for: the answer must be one of them.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) acr_values: Vec<String>,
    /// Whether nobody asked for it, and nobody may be asked.
    #[serde(rename = "q", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) quiet: bool,
    /// The age that was asked for, in seconds.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(super) max_age: Option<u64>,
}

/// Compiles the logins. Each is at the issuer of its name.
pub(super) fn compile(
    config: &Config,
    trust: &Trust,
    environment: Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> Vec<Login> {
    let top = Field::top("login");
    if config.login.len() > MOST {
        errors.push(top.error(format!("at most {MOST} logins")));
    }
    let mut logins = Vec::new();
    for (name, login) in &config.login {
        let field = top.key(name);
        let Some(issuer) = trust.index_of(name) else {
            errors
                .push(field.error(format!("there is no issuer `{name}` under `issuers`, at which one could sign in")));
            continue;
        };
        let configured = config.issuers.get(name);
        let discovers = configured.is_some_and(|one| one.keys.discovery.is_some() && !one.issuer.contains("{tenant}"));
        if !discovers {
            errors.push(field.error(format!(
                "the provider's endpoints come from its metadata: issuers.{name} needs `keys: {{ discovery: true }}`, and no {{tenant}}"
            )));
        }
        let visible = client::is_word;
        if !visible(&login.client_id) {
            errors.push(field.key("client_id").error("between 1 and 256 visible characters"));
        }
        if configured.is_some_and(|one| one.audiences.contains(&login.client_id)) {
            errors.push(
                field.key("client_id").error(format!(
                    "it is among issuers.{name}.audiences: an ID token would look like an access token"
                )),
            );
        }
        let (secret, key) = client::read_credentials(login, &field, environment, errors);
        if !login.scopes.iter().any(|scope| scope == "openid") || !login.scopes.iter().all(|scope| visible(scope)) {
            errors.push(field.key("scopes").error("`openid` is one of them, and each is one word"));
        }
        if !login.acr_values.iter().all(|value| visible(value)) {
            errors.push(field.key("acr_values").error("each is one word"));
        }
        if login.prompt.as_deref().is_some_and(|prompt| !visible(prompt) || prompt == "none") {
            errors.push(field.key("prompt").error("`login`, `consent` or `select_account`"));
        }
        if login.post_logout_path.as_deref().is_some_and(|path| way_back(path.as_bytes()).is_err()) {
            errors.push(field.key("post_logout_path").error("a path of ours, such as `/bye`"));
        }
        if login.refresh && cookie::refresh(name).is_none() {
            errors.push(
                field.key("refresh").error("the login's name is in that of a cookie then: at most 32 characters"),
            );
        }
        logins.push(Login {
            name: name.clone(),
            issuer,
            client_id: login.client_id.clone(),
            client_secret: secret,
            key,
            auth_method: login.auth_method,
            max_age: login.max_age.map(|span| span.duration()),
            acr_values: login.acr_values.clone(),
            post_logout_path: login.post_logout_path.clone(),
            userinfo: login.userinfo,
            refresh: login.refresh,
            silent: login.silent,
            scope: login.scopes.join(" "),
            prompt: login.prompt.clone(),
            title: login.title.clone().unwrap_or_else(|| name.clone()),
        });
    }
    logins
}

impl Login {
    /// The address that the provider sends people back to.
    pub(super) fn redirect_uri(&self, origin: &str) -> String {
        format!("{origin}/.carded/callback/{}", self.name)
    }
}

impl Gate {
    /// What follows where somebody has to sign in: a browser that may be sent is sent, or chooses first; everyone else reads
    /// the refusal.
    pub(super) fn sign_in(
        &self,
        wanted: &[IssuerIndex],
        refusal: Refusal,
        sent: bool,
        step_up: Option<&StepUp>,
        at: At<'_>,
        around: &mut Around<'_>,
    ) -> Halt {
        if !sent {
            return refusal.into();
        }
        let target = match way_back(at.request.single(":path").ok().flatten().unwrap_or_default()) {
            Ok(target) => target,
            Err(refusal) => return refusal.into(),
        };
        let mut logins = self.logins.iter().filter(|login| wanted.contains(&login.issuer));
        match (logins.next(), logins.next()) {
            (Some(login), None) => {
                match self.begin_login(login, target, &Begins { step_up, ..Begins::default() }, at, around) {
                    Ok(reply) => Halt::Answer(reply),
                    Err(halt) => halt,
                }
            }
            _ => Halt::Answer(self.choose_login(wanted, target)),
        }
    }

    /// The page on which a person chooses a provider.
    fn choose_login(&self, wanted: &[IssuerIndex], target: &str) -> Reply {
        let logins = self.logins.iter().filter(|login| wanted.contains(&login.issuer));
        let target: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let way = |login: &Login| (login.title.clone(), format!("/.carded/login/{}?to={target}", login.name));
        Page {
            title: "Sign in to go on",
            text: vec!["Choose where you have an account.".to_owned()],
            ways: logins.map(way).collect(),
            ..Page::default()
        }
        .reply(401, "login_required")
    }

    /// `GET /.carded/login/{login}?to=…&login_hint=…`: begins a login that somebody chose.
    pub(super) fn chosen_login(&self, login: &Login, at: At<'_>, around: &mut Around<'_>) -> Result<Reply, Halt> {
        let parameter = |named: &str| form_urlencoded::parse(at.query()).find(|(name, _)| name == named);
        let to = parameter("to").map_or_else(|| "/".to_owned(), |(_, to)| to.into_owned());
        let hint = parameter("login_hint").map(|(_, hint)| hint.into_owned());
        if hint.as_ref().is_some_and(|hint| hint.len() > LONGEST_HINT || hint.contains(char::is_control)) {
            return Err(
                Refusal::request_malformed("`login_hint` is too long, or has characters that no name has").into()
            );
        }
        let begins = Begins { step_up: None, quiet: false, hint };
        self.begin_login(login, way_back(to.as_bytes())?, &begins, at, around)
    }

    /// Sends a browser to the provider (§3.1.2.1). What a rule needs counts before what the login asks of everyone.
    pub(super) fn begin_login(
        &self,
        login: &Login,
        target: &str,
        begins: &Begins<'_>,
        at: At<'_>,
        around: &mut Around<'_>,
    ) -> Result<Reply, Halt> {
        let Begins { step_up, quiet, hint } = begins;
        let origin = at.origin()?;
        let sessions = self.sessions.as_ref().ok_or_else(nobody)?;
        let provider = match self.provider(login, at.known, around) {
            Ok(provider) => provider,
            // whoever waits in front of a browser reads a page
            Err(Halt::Refuse(refusal)) => return Ok(page(&refusal, ("Try again", target.to_owned()))),
            Err(halt) => return Err(halt),
        };
        if let Some(came) = at.request.came(EffectKind::Pushed) {
            let pushed = self.pushed(login, provider, came, at.request);
            return Ok(pushed.unwrap_or_else(|refusal| page(&refusal, ("Try again", target.to_owned()))));
        }
        let no_random = || Halt::from(Refusal::internal_error("there are no random bytes to be had"));
        let state = random_text::<24>(around.random).ok_or_else(no_random)?;
        let nonce = random_text::<24>(around.random).ok_or_else(no_random)?;
        let verifier = random_text::<32>(around.random).ok_or_else(no_random)?;
        let challenge = carded_verifier::base64url::encode(Sha256::digest(&verifier));
        let acr_values = step_up.map(|asked| &asked.acr_values).filter(|values| !values.is_empty());
        let acr_values = acr_values.unwrap_or(&login.acr_values).clone();
        let max_age = [login.max_age, step_up.and_then(|asked| asked.max_age)].into_iter().flatten().min();
        let max_age = max_age.map(|age| age.as_secs());
        let begun = Begun {
            login: login.name.clone(),
            nonce: nonce.clone(),
            verifier,
            target: target.to_owned(),
            acr_values,
            quiet: *quiet,
            max_age,
        };
        let binding = Binding { purpose: Purpose::Login, origin, to: state.as_bytes() };
        let sealed = sessions.sealer.seal(binding, &begun, around.now, around.random);
        let (Some(sealed), Some(name)) = (sealed, cookie::transaction(&state)) else { return Err(no_random()) };

        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("response_type", "code"),
            ("redirect_uri", login.redirect_uri(origin).as_str()),
            ("scope", login.scope.as_str()),
            ("state", state.as_str()),
            ("nonce", nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ] {
            query.append_pair(name, value);
        }
        if let Some(hint) = hint {
            query.append_pair("login_hint", hint);
        }
        if let Some(prompt) = if *quiet { Some("none") } else { login.prompt.as_deref() } {
            query.append_pair("prompt", prompt);
        }
        if let Some(max_age) = max_age {
            query.append_pair("max_age", &max_age.to_string());
        }
        if !begun.acr_values.is_empty() {
            query.append_pair("acr_values", &begun.acr_values.join(" "));
        }
        let sent = Sent { name, sealed };
        if let Some(endpoint) = self.pushes_to(provider) {
            if around.budget.take_push(around.now) {
                return Err(self.push(login, provider, endpoint, query, &sent, around));
            }
            // a flood of strangers is no flood at the provider: the others go the plain way, where there is one (threat 79)
            if provider.requires_pushed {
                let refusal = Refusal::login_unavailable("too many people sign in at once");
                return Ok(page(&refusal, ("Try again", target.to_owned())));
            }
        }
        query.append_pair("client_id", &login.client_id);
        Ok(sent.reply(provider, &query.finish(), at.request))
    }

    /// What the provider of a login says of itself.
    pub(super) fn provider<'k>(
        &self,
        login: &Login,
        known: &'k Documents,
        around: &Around<'_>,
    ) -> Result<&'k ProviderMetadata, Halt> {
        match carded_verifier::provider_metadata(login.issuer, &self.trust, known, around.now) {
            Outcome::Verified(provider) => Ok(provider),
            Outcome::Need(fetch) => Err(Halt::Need(fetch)),
            Outcome::Denied(denied) => Err(Refusal::login_unavailable(denied.detail()).into()),
        }
    }
}

/// What goes with a browser that is sent to a provider: the cookie by which it is known again.
pub(super) struct Sent {
    /// The cookie's name.
    pub(super) name: String,
    /// What is sealed in it.
    pub(super) sealed: String,
}

impl Sent {
    /// The reply that sends it, with what is asked of the provider.
    pub(super) fn reply(&self, provider: &ProviderMetadata, query: &str, request: &Request) -> Reply {
        let endpoint = provider.authorization_endpoint.as_str();
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        let mut reply = redirect(format!("{endpoint}{joint}{query}"), "login_required");
        reply.headers.push(("set-cookie", cookie::set(&self.name, &self.sealed, LIFETIME)));
        let surplus = cookie::surplus_transactions(request);
        reply.headers.extend(surplus.iter().map(|name| ("set-cookie", cookie::clear(name))));
        reply
    }
}

/// Nothing is configured here to sign in with.
pub(super) fn nobody() -> Halt {
    Refusal::not_found("nobody signs in here").into()
}

/// A refusal as a page for people, with a way on.
pub(super) fn page(refusal: &Refusal, way: (&str, String)) -> Reply {
    let mut reply = Page {
        title: refusal.title,
        text: vec![sentence(&refusal.detail)],
        small: Some(format!("Code: {}", refusal.code)),
        ways: vec![(way.0.to_owned(), way.1)],
        form: None,
    }
    .reply(refusal.status, refusal.code);
    reply.headers.extend(refusal.wait());
    reply
}

//! The gateway's own token for the services behind: a short-lived JWT in the form of RFC 9068, which says who calls, who
//! vouched for that and how. Services need to trust one issuer, this gateway, and the caller's own token stays here.
//!
//! `sub` is the configured name of the issuer, a colon, for an issuer of many tenants the tenant and a colon, and its
//! `sub`: two issuers may call two people the same (threat 53). Where the evidence names nobody, as a credential does, there
//! is no `sub`; for a client certificate alone it is `client_certificate:` and the name in it. `client_id`, `acr`, `amr` and `auth_time` are those of the caller's token, where it has them. `evidence` has
//! a member for each piece of evidence, by its configured name: `kind` (`token`, `login`, `credential`, `certificate`), `iss`, and what is of its
//! kind (`sub`, `tenant`, `types`); under `claims` those that the configuration names.
//!
//! It is minted once for a caller and half a lifetime, and ends no later than any of the evidence. It is found by the
//! evidence itself, which is judged anew for each request: what is withdrawn finds nothing.

use std::rc::Rc;
use std::time::Duration;

use carded_verifier::{Algorithm, ClaimPath, GatewayKey, Timestamp, base64url};
use serde_json::{Map, Value, json};

use super::Gate;
use super::cache::Key;
use super::certificate;
use super::compile::Environment;
use super::config::{Config, ConfigError, Field, SigningKeyConfig, TokenConfig};
use super::decide::{Around, Halt};
use super::facts::{ClaimRef, Facts, Names, Word};
use super::proof::put;
use super::reply::{Refusal, Reply};
use super::seal::{hmac, random_text, read_secret};
use super::session::Brought;

/// The header where none is named. Not `authorization`: what stands there may be for the service itself.
const HEADER: &str = "x-carded-token";
/// The most keys that are published.
const MAX_KEYS: usize = 8;
/// The longest token, as of any header that is made here.
const MAX_TOKEN: usize = 8 * 1024;
/// How long a set of keys may be kept (RFC 9111 §5.2.2.1).
const KEYS_FRESH: &str = "public, max-age=300";
/// The claims of the caller's token that are passed on under their own names (RFC 9068 §2.2 and §2.2.1).
const KNOWN: [&str; 5] = ["client_id", "azp", "acr", "amr", "auth_time"];

/// The compiled `forward.token`.
#[derive(Debug)]
pub(super) struct Minting {
    pub(super) header: Rc<str>,
    issuer: String,
    /// A text, or a list of them.
    audience: Value,
    lifetime: Duration,
    keys: Vec<GatewayKey>,
    /// The evidence's name, the claim's place in it, and where its value comes from.
    claims: Vec<(String, Vec<String>, ClaimRef)>,
    known: Vec<ClaimPath>,
    pairwise: Option<Vec<u8>>,
}

/// A token that was minted.
#[derive(Debug)]
pub(super) struct Minted {
    /// What the header says.
    text: Vec<u8>,
    /// When another is minted.
    pub(super) renew: Timestamp,
}

impl Minted {
    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>().saturating_add(self.text.capacity())
    }
}

impl Minting {
    pub(super) fn compile(
        configured: &TokenConfig,
        config: &Config,
        names: Names<'_>,
        environment: Environment<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Self> {
        let field = Field::top("forward").key("token");
        let before = errors.len();
        let issuer = configured.issuer.as_ref().or(config.origins.first());
        if issuer.is_none_or(|issuer| !config.origins.contains(issuer)) {
            errors.push(field.key("issuer").error("its issuer is one of `origins`: name it there"));
        }
        if configured.audiences.is_empty() || configured.audiences.iter().any(String::is_empty) {
            errors.push(field.key("audiences").error("name at least one service: without it any would take the token"));
        }
        let lifetime = configured.lifetime.map_or(Duration::from_secs(300), |span| span.duration());
        if lifetime < Duration::from_secs(60) || lifetime > Duration::from_secs(3600) {
            errors.push(field.key("lifetime").error("between 60s and 1h"));
        }
        let keys = keys(&configured.keys, config, &field.key("keys"), environment, errors);
        let mut claims = Vec::new();
        for (index, name) in configured.claims.iter().enumerate() {
            match claim(name.0.as_slice(), ClaimRef::resolve(name, names), names) {
                Ok(claim) => claims.push(claim),
                Err(why) => errors.push(field.key("claims").at(index).error(why)),
            }
        }
        let pairwise = configured.pairwise.as_ref().and_then(|key| {
            read_secret(&key.env, environment).map_err(|why| errors.push(field.key("pairwise").error(why))).ok()
        });
        if errors.len() != before {
            return None;
        }
        let audience = match configured.audiences.as_slice() {
            [one] => Value::from(one.as_str()),
            several => Value::from(several),
        };
        Some(Self {
            header: header(configured).into(),
            issuer: issuer?.clone(),
            audience,
            lifetime,
            keys,
            claims,
            known: KNOWN.iter().filter_map(|name| ClaimPath::from_names(vec![(*name).to_owned()]).ok()).collect(),
            pairwise,
        })
    }

    /// The claims that are named.
    pub(super) fn claims(&self) -> impl Iterator<Item = &ClaimRef> {
        self.claims.iter().map(|(_, _, claim)| claim)
    }

    /// The claims that are passed on from every token.
    pub(super) fn known(&self) -> &[ClaimPath] {
        &self.known
    }

    /// The claims of a new token.
    fn content(&self, gate: &Gate, facts: &Facts<'_>, brought: &Brought) -> Map<String, Value> {
        let mut content = Map::new();
        let mut evidence = Map::new();
        for (at, word) in facts.words().enumerate() {
            let name = gate.issuer_name(word.issuer_index());
            let subject = word.subject().map(|sub| match word.tenant() {
                Some(tenant) => format!("{name}:{tenant}:{sub}"),
                None => format!("{name}:{sub}"),
            });
            let mut one = Map::new();
            set(&mut one, "kind", if matches!(word, Word::Token(_)) { "token" } else { "login" });
            set(&mut one, "iss", word.iss());
            if let Some(tenant) = word.tenant() {
                set(&mut one, "tenant", tenant);
            }
            if let (None, Some(sub)) = (&self.pairwise, word.subject()) {
                set(&mut one, "sub", sub);
            }
            // the first is the caller; the others vouch for more about the same request
            if at == 0 {
                self.describe_caller(word, subject.as_deref(), &mut content);
            }
            evidence.insert(name.to_owned(), Value::Object(one));
        }
        if let Some(certificate) = facts.certificate() {
            let mut one = Map::new();
            set(&mut one, "kind", "certificate");
            let subject = certificate.subject();
            if self.pairwise.is_none() {
                set(&mut one, "sub", &subject);
            }
            if evidence.is_empty() {
                self.name_caller(&format!("{}:{subject}", certificate::NAME), "", &mut content);
            }
            evidence.insert(certificate::NAME.to_owned(), Value::Object(one));
        }
        for shown in brought.shown() {
            let mut one = Map::new();
            set(&mut one, "kind", "credential");
            set(&mut one, "iss", &shown.proof.issuer);
            if let Some(types) = gate.trust.credential(shown.way).and_then(|policy| sole_type(&policy.query.meta)) {
                one.insert("types".to_owned(), types);
            }
            evidence.insert(shown.proof.name.clone(), Value::Object(one));
        }
        for (name, path, claim) in &self.claims {
            if let (Some(Value::Object(one)), Some(value)) = (evidence.get_mut(name), claim.value(facts)) {
                put(one, path, &value);
            }
        }
        content.insert("evidence".to_owned(), Value::Object(evidence));
        content
    }

    /// `sub`, or what stands for it at these audiences.
    fn name_caller(&self, subject: &str, iss: &str, content: &mut Map<String, Value>) {
        match &self.pairwise {
            None => set(content, "sub", subject),
            Some(secret) => {
                let message = format!("{}\n{iss}\n{subject}", self.audience);
                set(content, "sub", &base64url::encode(hmac(secret, message.as_bytes())));
            }
        }
    }

    /// Who calls, by the caller's own token or by where they signed in.
    fn describe_caller(&self, word: Word<'_>, subject: Option<&str>, content: &mut Map<String, Value>) {
        if let Some(subject) = subject {
            self.name_caller(subject, word.iss(), content);
        }
        for (name, path) in KNOWN.iter().zip(&self.known) {
            let Some(value) = word.claim(path) else { continue };
            match *name {
                // RFC 9068 has `client_id`; OpenID providers write `azp`
                "client_id" | "azp" if !value.is_string() => {}
                "azp" if content.contains_key("client_id") => {}
                "azp" => put(content, &["client_id".to_owned()], value),
                name => put(content, &[name.to_owned()], value),
            }
        }
    }
}

/// A caller's own token and ours cannot both be sent on in one header.
pub(super) fn check_issuers(configured: &TokenConfig, config: &Config, errors: &mut Vec<ConfigError>) {
    let header = header(configured);
    for (name, issuer) in &config.issuers {
        let named = issuer.from_headers.iter().flatten().any(|place| place.name.eq_ignore_ascii_case(&header));
        let by_default = issuer.from_headers.is_none()
            && issuer.from_cookies.is_none()
            && issuer.from_params.is_none()
            && header == "authorization";
        if issuer.forward && (named || by_default) {
            let field = Field::top("issuers").key(name).key("forward");
            errors.push(
                field.error(format!("`forward.token` is sent on in the header {header}, where its tokens stand")),
            );
        }
    }
}

/// The header that carries it, in lower case.
pub(super) fn header(configured: &TokenConfig) -> String {
    configured.header.as_deref().unwrap_or(HEADER).to_ascii_lowercase()
}

fn set(object: &mut Map<String, Value>, name: &str, value: &str) {
    object.insert(name.to_owned(), value.into());
}

/// The type of a credential, where its query admits only one.
fn sole_type(meta: &carded_verifier::dcql::Meta) -> Option<Value> {
    match (meta.vct_values.as_slice(), meta.type_values.as_slice()) {
        ([vct], []) => Some(json!([vct])),
        ([], [types]) => Some(json!(types)),
        _ => None,
    }
}

/// Where a claim goes: under the evidence that it comes from, whose name stands before it or is the only one.
fn claim(
    name: &[String],
    claim: Result<ClaimRef, String>,
    names: Names<'_>,
) -> Result<(String, Vec<String>, ClaimRef), String> {
    let claim = claim?;
    let (first, rest) = name.split_first().ok_or_else(String::new)?;
    let issuer = claim.issuer().and_then(|issuer| names.trust.issuer(issuer)).map(|issuer| issuer.name.as_str());
    let rest = if issuer.is_some_and(|issuer| issuer != first) { name } else { rest };
    let mut path = vec!["claims".to_owned()];
    path.extend_from_slice(rest);
    Ok((issuer.unwrap_or(first).to_owned(), path, claim))
}

/// Reads the keys. One that is missing, of another length or undecodable is an error (threat 99).
fn keys(
    configured: &[SigningKeyConfig],
    config: &Config,
    field: &Field,
    environment: Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> Vec<GatewayKey> {
    if configured.is_empty() || configured.len() > MAX_KEYS {
        errors.push(field.error(format!("name between one and {MAX_KEYS} keys: the first signs, all are published")));
    }
    let mut keys: Vec<GatewayKey> = Vec::new();
    for (index, SigningKeyConfig { env, algorithm }) in configured.iter().enumerate() {
        let field = field.at(index);
        if config.sessions.iter().flat_map(|sessions| &sessions.keys).any(|key| key.env == *env) {
            errors.push(field.key("env").error("this key seals sessions: a key is for one purpose"));
        }
        let Some(algorithm) = Algorithm::parse(algorithm.as_deref().unwrap_or("EdDSA")) else {
            errors.push(field.key("algorithm").error("EdDSA or ES256"));
            continue;
        };
        let key = read_secret(env, environment)
            .and_then(|secret| GatewayKey::from_secret(algorithm, &secret).map_err(|why| format!("{env}: {why}")));
        match key {
            Ok(key) if keys.iter().any(|known| known.kid() == key.kid()) => {
                errors.push(field.error("the same key twice"))
            }
            Ok(key) => keys.push(key),
            Err(why) => errors.push(field.error(why)),
        }
    }
    keys
}

impl Gate {
    /// `GET /.carded/jwks.json`: the keys that services check the tokens with (RFC 7517 §5).
    pub(super) fn jwks(&self, method: &str) -> Result<Reply, Refusal> {
        let Some(minting) = &self.minting else { return Err(Refusal::not_found("no tokens are signed here")) };
        if method != "GET" {
            return Err(Refusal::method_not_allowed("use GET here"));
        }
        let keys: Vec<Value> = minting.keys.iter().map(|key| Value::Object(key.jwk().clone())).collect();
        let headers = vec![
            ("cache-control", KEYS_FRESH.to_owned()),
            ("content-type", "application/jwk-set+json".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
        ];
        Ok(Reply {
            status: 200,
            code: "ok",
            headers,
            body: format!("{}\n", json!({ "keys": keys })),
            grpc_status: None,
        })
    }

    /// What the header for the services says. `evidence` are the keys under which the caller's evidence is remembered, all
    /// of it; nothing where some of it is not.
    pub(super) fn minted(
        &self,
        minting: &Minting,
        evidence: Option<&[Key]>,
        facts: &Facts<'_>,
        brought: &Brought,
        around: &mut Around<'_>,
    ) -> Result<Vec<u8>, Halt> {
        let now = around.now;
        let digest = facts.certificate().map_or(&[][..], |certificate| certificate.sha256());
        let key = evidence
            .filter(|keys| !keys.is_empty() || !digest.is_empty())
            .and_then(|keys| around.verdicts.key_of_minted(keys, brought.all_that_holds(), digest));
        if let Some(minted) = key.and_then(|key| around.verdicts.minted(&key)).filter(|minted| now < minted.renew) {
            return Ok(minted.text.clone());
        }
        let mut content = minting.content(self, facts, brought);
        let lasts = minting.lifetime.min(self.evidence_ends(facts, brought).saturating_since(now));
        let jti = random_text::<16>(around.random)
            .ok_or_else(|| Refusal::internal_error("there are no random bytes to be had"))?;
        set(&mut content, "jti", &jti);
        set(&mut content, "iss", &minting.issuer);
        content.insert("aud".to_owned(), minting.audience.clone());
        content.insert("iat".to_owned(), now.unix().into());
        content.insert("exp".to_owned(), now.saturating_add(lasts).unix().into());
        let token = minting.keys.first().and_then(|key| key.sign(&content));
        let token = token.ok_or_else(|| Refusal::internal_error("the token for the service could not be signed"))?;
        let prefix = if &*minting.header == "authorization" { "Bearer " } else { "" };
        if token.len() > MAX_TOKEN {
            return Err(Refusal::claim_not_forwardable("the token for the service would be too long").into());
        }
        let text = [prefix.as_bytes(), token.as_bytes()].concat();
        if let Some(key) = key {
            // half of it is left when another is minted: a service gets none that ends at once
            let renew = now.saturating_add(Duration::from_secs((lasts.as_secs() / 2).max(1)));
            around.verdicts.put_minted(key, &Rc::new(Minted { text: text.clone(), renew }), now);
        }
        Ok(text)
    }

    /// When the first of the evidence ends.
    fn evidence_ends(&self, facts: &Facts<'_>, brought: &Brought) -> Timestamp {
        let tokens = facts.all().map(|token| self.token_ends(token));
        let shown = brought.shown().map(|shown| Timestamp::from_unix(shown.proof.ends));
        let logins = brought.logins().map(|login| login.signed_in.until());
        tokens
            .chain(shown)
            .chain(logins)
            .chain([self.brought_ends(brought)])
            .fold(Timestamp::from_unix(i64::MAX), Timestamp::min)
    }
}

//! A shop at which people sign in, their browser with its cookies, and the provider as a script.

use std::collections::BTreeMap;

use carded_verifier::{FetchFailure, base64url};
use sha2::Digest;

use super::shop::{Answered, SHOP, key};
use super::*;

pub(super) const IDP: &str = "https://idp.example.com";

/// A configuration in which `/account` needs a login.
pub(super) fn config() -> Value {
    json!({
        "origins": [SHOP],
        "issuers": { "corp": {
            "issuer": IDP, "audiences": ["api"], "algorithms": ["ES256"], "keys": { "discovery": true }, "roles": "groups",
        } },
        "login": { "corp": {
            "client_id": "shop", "client_secret": { "env": "KEY_client" }, "scopes": ["openid", "email"],
        } },
        "sessions": { "keys": [{ "env": "KEY_session" }] },
        "rules": [
            { "match": { "path": "/open" }, "allow": "anyone" },
            { "match": { "path": "/account/**" }, "require": { "login": "corp" }, "otherwise": "login" },
            { "match": { "path": "/quiet" }, "require": { "login": "corp" } },
            { "match": { "path": "/api" }, "require": { "token": "corp" } },
            { "match": { "path": "/either" }, "require": { "any": [{ "token": "corp" }, { "login": "corp" }] }, "otherwise": "login" },
            { "match": { "path": "/both" }, "require": { "all": [{ "token": "corp" }, { "login": "corp" }] }, "otherwise": "login" },
        ],
        "forward": { "headers": { "x-carded-subject": "corp.sub", "x-carded-email": "corp.email" } },
        "fetch": { "clusters": { "idp.example.com": "idp" } },
    })
}

/// What came of a request.
pub(super) fn is(answered: &Answered) -> (u16, &'static str) {
    (answered.status, answered.code)
}

/// The shop, a browser and the provider.
pub(super) struct Door {
    pub(super) gate: Gate,
    pub(super) known: Documents,
    pub(super) verdicts: Verdicts,
    pub(super) once: InMemory,
    budget: Budget,
    counter: u64,
    pub(super) now: i64,
    /// What the browser keeps.
    pub(super) cookies: BTreeMap<String, String>,
    /// What the discovery document says in place of or beside the usual.
    pub(super) metadata: Value,
    /// The calls that were made: their form and `authorization`.
    pub(super) calls: Vec<(String, Option<String>)>,
    /// Other calls: what for, their form and `authorization`.
    pub(super) others: Vec<(EffectKind, String, Option<String>)>,
    /// What is answered to these.
    pub(super) to_others: Vec<(EffectKind, Effected)>,
    /// What the token endpoint answers.
    pub(super) effected: Effected,
    /// Which of its hosts the shop is asked by.
    pub(super) host: &'static str,
    /// Where requests come from.
    pub(super) address: &'static str,
    /// What is sent where a body is read.
    pub(super) body: String,
}

impl Door {
    pub(super) fn new(config: Value) -> Self {
        let environment = |name: &str| match name {
            "KEY_session" => Some(base64url::encode([5; 32])),
            "KEY_client" => Some("a secret: of+the client".to_owned()),
            "KEY_private" => Some(private_key().to_string()),
            name => environment(name),
        };
        let gate = Gate::new(&Config::from_value(config).unwrap(), &environment, Arc::new(RustCrypto));
        let gate = gate.unwrap_or_else(|errors| panic!("{errors:?}"));
        Self {
            known: Documents::new(gate.limits()),
            verdicts: Verdicts::new(10, &mut secret),
            once: InMemory::default(),
            budget: Budget::default(),
            counter: 0,
            now: NOW,
            cookies: BTreeMap::new(),
            metadata: json!({}),
            calls: Vec::new(),
            others: Vec::new(),
            to_others: Vec::new(),
            effected: Err(FetchFailure::Unreachable),
            host: "shop.example.com",
            address: "192.0.2.1:1",
            body: String::new(),
            gate,
        }
    }

    fn random(counter: &mut u64, bytes: &mut [u8]) -> bool {
        for chunk in bytes.chunks_mut(8) {
            *counter += 1;
            let block = sha2::Sha256::digest(counter.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        true
    }

    /// A request without what the browser would send by itself.
    pub(super) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
        let pseudo = [(":method", method), (":path", path), (":authority", self.host), (":scheme", "https")];
        let pairs = pseudo.iter().chain(headers).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut request = Request::from_pairs(pairs);
        for _ in 0..8 {
            let counter = &mut self.counter;
            let mut random = |bytes: &mut [u8]| Self::random(counter, bytes);
            let now = Timestamp::from_unix(self.now);
            let mut around = Around {
                verdicts: &mut self.verdicts,
                once: &mut self.once,
                budget: &mut self.budget,
                connection: &mut |name| (name == "source.address").then(|| self.address.as_bytes().to_vec()),
                random: &mut random,
                now,
            };
            let decision = self.gate.decide(&request, &self.known, &mut around, &mut Silent);
            match decision.step {
                Step::Forward(changes) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let mut headers: Vec<_> = changes.set.iter().map(|(n, v)| (n.to_string(), text(v))).collect();
                    headers.extend(decision.cookies.into_iter().map(|set| ("set-cookie".to_owned(), set)));
                    headers.extend(changes.removed().map(|name| (format!("-{}", text(name)), String::new())));
                    return Answered { status: 200, code: "forwarded", headers, body: String::new() };
                }
                Step::Reply(reply) => {
                    let headers = reply.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    return Answered { status: reply.status, code: reply.code, headers, body: reply.body };
                }
                Step::Body(limit) => {
                    assert!(self.body.len() <= limit);
                    request = request.with_body(self.body.clone().into_bytes());
                }
                Step::Call(effect) => {
                    let is_token = matches!(effect.kind, EffectKind::Code | EffectKind::Refresh);
                    assert_eq!(effect.url.as_str() == format!("{IDP}/token"), is_token, "{}", effect.url.as_str());
                    assert!(request.effected(effect.kind).is_none(), "called twice for one request");
                    let answer = if is_token {
                        self.calls.push((effect.form, effect.authorization));
                        self.effected.clone()
                    } else {
                        self.others.push((effect.kind, effect.form, effect.authorization));
                        let found = self.to_others.iter().find(|(kind, _)| *kind == effect.kind);
                        found.map_or(Err(FetchFailure::Unreachable), |(_, answer)| answer.clone())
                    };
                    request = request.with_effected(Came { kind: effect.kind, effected: answer, kept: effect.kept });
                }
                Step::Ask(question) => panic!("{question:?}"),
                Step::Need(fetch) => {
                    let body = self.document(fetch.url().as_str());
                    let reply = carded_verifier::Reply { status: 200, body: body.into_bytes(), max_age: None };
                    let _ = self.known.insert(&fetch, &reply, now);
                }
            }
        }
        panic!("too many documents are asked for");
    }

    fn document(&self, url: &str) -> String {
        match url.strip_prefix(IDP) {
            Some("/.well-known/openid-configuration") => {
                let mut document = json!({
                    "issuer": IDP, "jwks_uri": format!("{IDP}/keys"),
                    "authorization_endpoint": format!("{IDP}/auth"), "token_endpoint": format!("{IDP}/token"),
                    "end_session_endpoint": format!("{IDP}/end"),
                });
                for (name, value) in self.metadata.as_object().unwrap() {
                    document[name] = value.clone();
                }
                document.to_string()
            }
            Some("/keys") => json!({ "keys": [key("idp").public_jwk()] }).to_string(),
            _ => panic!("nobody is asked for {url}"),
        }
    }

    /// The browser goes somewhere, with its cookies, and keeps those that are set.
    pub(super) fn browse(&mut self, path: &str) -> Answered {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let answered = self.ask("GET", path, &[("accept", "text/html"), ("cookie", &cookies)]);
        for (_, set) in answered.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            assert!(set.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{set}");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answered
    }

    /// The browser is sent to the provider: the parameters that arrive there.
    pub(super) fn begin(&mut self, path: &str) -> BTreeMap<String, String> {
        let answered = self.browse(path);
        assert_eq!(answered.status, 303, "{}", answered.body);
        let (endpoint, query) = answered.header("location").unwrap().split_once('?').unwrap();
        assert_eq!(endpoint, format!("{IDP}/auth"));
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// The token endpoint will answer with this ID token.
    pub(super) fn grants(&mut self, id_token: &str) {
        self.answers(
            200,
            &json!({ "access_token": "opaque", "token_type": "Bearer", "id_token": id_token, "expires_in": 60 }),
        );
    }

    /// What another endpoint will answer.
    pub(super) fn says(&mut self, kind: EffectKind, status: u16, body: &str) {
        self.to_others.retain(|(of, _)| *of != kind);
        let reply = carded_verifier::Reply { status, body: body.as_bytes().to_vec(), max_age: None };
        self.to_others.push((kind, Ok(reply)));
    }

    pub(super) fn answers(&mut self, status: u16, body: &Value) {
        self.effected = Ok(carded_verifier::Reply { status, body: body.to_string().into_bytes(), max_age: None });
    }

    /// Alice signs in from beginning to end; the page that she is sent to.
    pub(super) fn enter(&mut self, path: &str) -> Answered {
        let sent = self.begin(path);
        self.grants(&id_token(&sent, json!({})));
        self.browse(&format!("/.carded/callback/corp?code=c0de&state={}", sent["state"]))
    }
}

/// An ID token for a login, with claims of its own or in place of the usual ones (null takes one out).
pub(super) fn id_token(sent: &BTreeMap<String, String>, claims: Value) -> String {
    signed("idp", None, sent, claims)
}

pub(super) fn signed(by: &str, typ: Option<&str>, sent: &BTreeMap<String, String>, claims: Value) -> String {
    let mut all = json!({
        "iss": IDP, "aud": "shop", "sub": "alice", "nonce": sent["nonce"], "iat": NOW, "exp": NOW + 300,
        "email": "alice@example.com", "groups": ["clerk"], "phone": "secret",
    });
    for (name, value) in claims.as_object().unwrap() {
        if value.is_null() {
            all.as_object_mut().unwrap().remove(name);
        } else {
            all[name] = value.clone();
        }
    }
    let mut header = key(by).header();
    header.insert("kid".to_owned(), json!("idp"));
    header.remove("typ");
    if let Some(typ) = typ {
        header.insert("typ".to_owned(), json!(typ));
    }
    key(by).sign(carded_verifier::sign::prepare(&header, all.as_object().unwrap())).unwrap()
}

/// The private key of RFC 8037, appendix A.1: our own at the provider.
pub(super) fn private_key() -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "ours",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    })
}

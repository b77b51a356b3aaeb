//! Credentials in the benchmarks: the over-21 scene with an agency, its status list and a wallet of our own. A browser shows the
//! card once and then has a sealed session; a program shows it by `/.carded/present`.

use anyhow::{Context, Result, ensure};
use carded_verifier::dcql::{ConcretePathElement, PathElement};
use carded_verifier::sd_jwt::SdHash;
use carded_verifier::sd_jwt::issue::Issue;
use carded_verifier::sd_jwt::present::HeldSdJwt;
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::status_list::StatusListClaims;
use carded_verifier::{Algorithm, Limits, Timestamp};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

use super::tokens::key;
use crate::client::{Connection, Reply, Request};
use crate::idp::Idp;
use crate::keys::now;

/// The environment variable with the key that seals sessions.
pub(super) const SESSION_KEY: &str = "CARDED_SESSION_KEY";
/// The page that needs the card.
const PATH: &str = "/wine/red";
/// The shop. Plain `http`, as the listeners are, so that the development option is set.
pub(super) const HOST: &str = "shop.localhost";
const AGENCY: &str = "https://dmv.example";
const LIST: &str = "https://dmv.example/status/1";

/// The agency's server, and somebody with its card.
pub(super) struct Scene {
    server: Idp,
    wallet: Wallet,
}

/// A card and its holder's key.
struct Wallet {
    card: String,
    holder: SigningKey,
}

impl Scene {
    /// Starts the agency's server and issues a card.
    ///
    /// # Errors
    /// When no port can be had.
    pub(super) async fn start() -> Result<Self> {
        let (agency, holder) = (key("ES256", "dmv", 21)?, key("ES256", "holder", 22)?);
        let server = Idp::start(None).await?;
        let metadata = json!({ "issuer": AGENCY, "jwks": { "keys": [agency.public_jwk()] } });
        server.put("/.well-known/jwt-vc-issuer", metadata, None);
        server.put_text("/status/1", status_list(&agency)?);
        Ok(Self { server, wallet: Wallet { card: card(&agency, &holder)?, holder } })
    }

    /// Where the agency's server is: the cluster `dmv`.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Carded's configuration for the shop.
    pub(super) fn configuration() -> Value {
        json!({
            "origins": [format!("http://{HOST}")],
            "danger_allow_http_localhost": true,
            "credentials": { "over21": {
                "query": { "format": "dc+sd-jwt", "meta": { "vct_values": ["https://dmv.example/id"] } },
                "age": { "at_least": 21 },
                "trusted_issuers": [AGENCY],
            } },
            "presentation":
                { "wallets": [{ "name": "W", "authorization_endpoint": "https://wallet.example.com/present" }] },
            "sessions": { "keys": [{ "env": SESSION_KEY }] },
            "rules":
                [{ "match": { "path": "/wine/**" }, "require": { "credential": "over21" }, "otherwise": "present" }],
            "forward": { "headers": { "x-carded-over-21": "over21.satisfied" } },
            "access_log": [],
            "fetch": { "clusters": { "dmv.example": "dmv" } },
        })
    }

    /// Goes the way of a browser, and returns the request that it sends from then on.
    ///
    /// # Errors
    /// When a step does not do what it should.
    pub(super) async fn session(&self, shop: SocketAddr) -> Result<Vec<u8>> {
        let asked = page().send(shop).await?;
        ensure!(asked.status == 303, "without a session the shop says {} {}", asked.status, asked.text());
        let location = asked.header("location").context("nobody is sent to the wallet")?;
        let query = location.split_once('?').context("a request has parameters")?.1;
        let parameter = |wanted: &str| {
            let mut all = form_urlencoded::parse(query.as_bytes());
            all.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).context("a parameter is missing")
        };
        let form = self.wallet.form(&parameter("client_id")?, &parameter("nonce")?, ("state", &parameter("state")?))?;
        let said = post("/.carded/response", &form).send(shop).await?;
        ensure!(said.status == 200, "the answer is refused: {} {}", said.status, said.text());
        let back = said.json()["redirect_uri"].as_str().context("no way back")?.to_owned();
        let path = back.strip_prefix(&format!("http://{HOST}")).context("a way back to the shop")?.to_owned();
        let done = Request::get(path)
            .header("host", HOST)
            .header("accept", "text/html")
            .header("cookie", cookie(&asked, "__Host-carded-tx-")?)
            .send(shop)
            .await?;
        let request = page().header("cookie", cookie(&done, "__Host-carded=")?);
        let reply = request.send(shop).await?;
        ensure!(reply.status == 200, "with a session the shop says {} {}", reply.status, reply.text());
        Ok(request.bytes())
    }

    /// So many requests that each show the card once, for nonces of this shop's.
    ///
    /// # Errors
    /// When the shop gives no nonces.
    pub(super) async fn presentations(&self, shop: SocketAddr, number: usize) -> Result<Vec<Vec<u8>>> {
        self.wallet.presentations(shop, number).await
    }

    /// That the shop takes a presentation, and takes none twice, nor from somebody else.
    ///
    /// # Errors
    /// When it does otherwise.
    pub(super) async fn check(&self, shop: SocketAddr) -> Result<()> {
        // Envoy closes a connection with a 400, so each goes on a connection of its own
        for request in self.wallet.presentations(shop, 2).await? {
            let reply = Connection::open(shop).await?.exchange(&request).await?;
            ensure!(reply.status == 200, "a presentation is refused: {} {}", reply.status, reply.text());
            let again = Connection::open(shop).await?.exchange(&request).await?;
            ensure!(again.status != 200, "a presentation is taken twice");
        }
        let thief = Wallet { card: self.wallet.card.clone(), holder: key("ES256", "holder", 23)? };
        for request in thief.presentations(shop, 1).await? {
            let reply = Connection::open(shop).await?.exchange(&request).await?;
            ensure!(reply.status != 200, "a card is taken from somebody who is not its holder");
        }
        Ok(())
    }
}

impl Wallet {
    async fn presentations(&self, shop: SocketAddr, number: usize) -> Result<Vec<Vec<u8>>> {
        let mut connection = Connection::open(shop).await?;
        let mut all = Vec::with_capacity(number);
        for _ in 0..number {
            let challenge = connection.exchange(&post("/.carded/challenge", "").bytes()).await?;
            ensure!(challenge.status == 200, "no challenge: {} {}", challenge.status, challenge.text());
            let challenge = challenge.json();
            let text = |name: &str| challenge[name].as_str().with_context(|| format!("a challenge without {name}"));
            let form = self.form(text("client_id")?, text("nonce")?, ("nonce", text("nonce")?))?;
            all.push(post("/.carded/present", &form).bytes());
        }
        Ok(all)
    }

    /// The form that shows the card, with one more parameter.
    fn form(&self, client_id: &str, nonce: &str, more: (&str, &str)) -> Result<String> {
        let held = HeldSdJwt::parse(&self.card, &Limits::default()).ok().context("a card")?;
        let name = |text: &str| ConcretePathElement::Name(text.to_owned());
        let shown = held.disclose(&[vec![name("age_equal_or_over"), name("21")]]);
        let algorithm = Algorithm::parse("ES256").context("ES256")?;
        let prepared = shown.prepare_key_binding(algorithm, client_id, nonce, Timestamp::from_unix(now()));
        let signature = self.holder.signature(prepared.bytes())?;
        let vp_token = json!({ "over21": [prepared.finish(&signature)] }).to_string();
        let mut form = form_urlencoded::Serializer::new(String::new());
        Ok(form.append_pair("vp_token", &vp_token).append_pair(more.0, more.1).finish())
    }
}

/// A status list (draft-ietf-oauth-status-list) in which everybody is well, for longer than any run.
fn status_list(agency: &SigningKey) -> Result<String> {
    let hours = Some(Duration::from_secs(6 * 3600));
    let (iat, statuses) = (Timestamp::from_unix(now()), &[0; 16]);
    let claims = StatusListClaims { sub: LIST, iss: Some(AGENCY), iat, lifetime: hours, ttl: hours, bits: 1, statuses };
    let mut header = agency.header();
    header.insert("typ".to_owned(), json!("statuslist+jwt"));
    let claims = claims.to_claims().ok().context("the claims of a status list")?;
    Ok(agency.sign(prepare(&header, &claims))?)
}

/// A card that says that its holder is over 21, bound to the holder's key.
fn card(agency: &SigningKey, holder: &SigningKey) -> Result<String> {
    let mut header = agency.header();
    header.insert("typ".to_owned(), json!("dc+sd-jwt"));
    let claims = json!({
        "iss": AGENCY, "vct": "https://dmv.example/id", "iat": now(), "exp": now() + 7 * 86_400,
        "cnf": { "jwk": holder.public_jwk() },
        "status": { "status_list": { "uri": LIST, "idx": 3 } },
        "given_name": "Ada", "family_name": "Lovelace", "age_equal_or_over": { "18": true, "21": true },
    });
    let Value::Object(claims) = claims else { return Ok(String::new()) };
    let name = |text: &str| PathElement::Name(text.to_owned());
    let age = |years: &str| vec![name("age_equal_or_over"), name(years)];
    let disclosable = vec![vec![name("given_name")], vec![name("family_name")], age("18"), age("21")];
    let issue = Issue { header, claims, disclosable, decoys: 1, hash: SdHash::SHA_256 };
    let mut counter = 0_u8;
    let mut salt = |bytes: &mut [u8]| {
        counter = counter.wrapping_add(1);
        bytes.fill(counter);
    };
    let prepared = issue.prepare(&mut salt).ok().context("a card")?;
    let signature = agency.signature(prepared.bytes())?;
    Ok(prepared.finish(&signature))
}

fn page() -> Request {
    Request::get(PATH).header("host", HOST).header("accept", "text/html")
}

fn post(path: &str, form: &str) -> Request {
    let request = Request::new("POST", path).header("host", HOST);
    request.header("content-type", "application/x-www-form-urlencoded").body(form)
}

/// The cookie of a reply whose name and value begin so, as it is sent back.
pub(super) fn cookie(reply: &Reply, start: &str) -> Result<String> {
    let all = reply.headers("set-cookie");
    let found = all.iter().find(|set| set.starts_with(start));
    let found = found.with_context(|| format!("{} {}: no cookie {start}", reply.status, reply.text()))?;
    Ok(found.split(';').next().unwrap_or_default().to_owned())
}

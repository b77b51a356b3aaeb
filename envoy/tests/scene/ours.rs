//! The verifier of this project, run as a native program runs it: ask, fetch what it needs, ask again.

use anyhow::{Context, Result, bail, ensure};
use carded_envoy::client::Request;
use carded_envoy::keys::now;
use carded_verifier::dcql::CredentialQuery;
use carded_verifier::{
    Algorithm, CredentialPolicy, Denied, Documents, FetchFailure, Limits, Outcome, Presentation, Reply, RustCrypto,
    StatusRule, Timestamp, Trust, TrustedIssuer, UrlPolicy, VerifiedCredential, verify_presentation,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the development option admits.
const LOCAL: UrlPolicy = UrlPolicy { allow_http_localhost: true, allow_port: true };

/// A verifier with one policy.
pub(crate) struct Ours {
    trust: Trust,
    limits: Limits,
    edge: Option<SocketAddr>,
    documents: BTreeMap<String, Vec<u8>>,
}

impl Ours {
    /// A verifier that asks `query` (with its id) of credentials by `issuers`. What is not among `documents` is fetched from
    /// `edge` by the name in the URL, or cannot be had.
    pub(crate) fn new(query: &Value, issuers: &[&str], edge: Option<SocketAddr>) -> Result<Self> {
        let limits = Limits { url_policy: LOCAL, ..Limits::default() };
        let query = CredentialQuery::parse(query).map_err(|error| anyhow::anyhow!("{error}"))?;
        let trusted = issuers.iter().map(|issuer| TrustedIssuer::parse(issuer, LOCAL)).collect::<Result<_, _>>()?;
        let algorithms = ["ES256", "EdDSA"].into_iter().filter_map(Algorithm::parse).collect();
        let mut policy = CredentialPolicy::new(query, trusted, algorithms);
        policy.status = StatusRule::IfPresent;
        let trust = Trust::new(vec![], limits.clone(), Arc::new(RustCrypto))
            .and_then(|trust| trust.with_credentials(vec![policy]))
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self { trust, limits, edge, documents: BTreeMap::new() })
    }

    /// Lets a document be had.
    pub(crate) fn with(mut self, url: &str, document: &Value) -> Self {
        let body = document.as_str().map_or_else(|| document.to_string(), str::to_owned);
        self.documents.insert(url.to_owned(), body.into_bytes());
        self
    }

    /// Verifies a presentation.
    pub(crate) async fn verify(
        &self,
        presentation: &str,
        audience: &str,
        nonce: &str,
    ) -> Result<Result<VerifiedCredential, Denied>> {
        let (index, _) = self.trust.credentials().next().context("a policy")?;
        let mut known = Documents::new(&self.limits);
        for _ in 0..8 {
            let now = Timestamp::from_unix(now());
            let asked = Presentation::new(index, presentation.as_bytes(), audience, nonce);
            let fetch = match verify_presentation(&asked, &self.trust, &known, now) {
                Outcome::Verified(credential) => return Ok(Ok(credential)),
                Outcome::Denied(denied) => return Ok(Err(denied)),
                Outcome::Need(fetch) => fetch,
            };
            let url = fetch.url().as_str();
            let body = match (self.documents.get(url), self.edge) {
                (Some(body), _) => Some(body.clone()),
                (None, Some(edge)) => {
                    let request = Request::get(fetch.url().path_and_query()).header("host", fetch.url().authority());
                    let reply = request.send(edge).await?;
                    (reply.status == 200).then(|| reply.text().into_bytes())
                }
                (None, None) => None,
            };
            match body {
                Some(body) => known.insert(&fetch, &Reply { status: 200, body, max_age: None }, now)?,
                None => known.fail(&fetch, FetchFailure::Unreachable, now),
            }
        }
        bail!("more than eight fetches")
    }

    /// Verifies a presentation that must hold.
    pub(crate) async fn passes(&self, presentation: &str, audience: &str, nonce: &str) -> Result<VerifiedCredential> {
        let said = self.verify(presentation, audience, nonce).await?;
        said.map_err(|denied| anyhow::anyhow!("{}: {}", denied.code().as_str(), denied.detail()))
    }

    /// Verifies a presentation that must be refused, for this reason.
    pub(crate) async fn refuses(&self, presentation: &str, audience: &str, nonce: &str, code: &str) -> Result<()> {
        match self.verify(presentation, audience, nonce).await? {
            Ok(_) => bail!("it passed, and should be refused with {code}"),
            Err(denied) => {
                ensure!(
                    denied.code().as_str() == code,
                    "{} instead of {code}: {}",
                    denied.code().as_str(),
                    denied.detail()
                );
                Ok(())
            }
        }
    }
}

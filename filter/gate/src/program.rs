//! Showing a credential without a browser: a program asks for a nonce, presents, and gets a short-lived token that is
//! bound to the holder's key (RFC 9449), good for the same rules as the session of a person.

use std::time::Duration;

use carded_verifier::openid4vp::AuthorizationResponse;
use carded_verifier::{Documents, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::Gate;
use super::ask;
use super::config::tree::FromNode;
use super::decide::{Around, Halt};
use super::presentation::spend_nonce;
use super::reply::{Refusal, Reply};
use super::seal::{Binding, Purpose, random_text};
use super::session::Token;

/// How long a challenge can be answered.
const WINDOW: Duration = Duration::from_secs(120);

/// What is sealed as a nonce for programs. It holds only itself: which credentials are shown is the program's choice.
#[derive(Debug, Serialize, FromNode)]
struct Challenge {
    #[serde(rename = "r")]
    random: String,
}

impl Gate {
    /// `POST /.carded/challenge`: a nonce, and what can be shown.
    pub(super) fn challenge(&self, origin: &str, around: &mut Around<'_>) -> Result<Reply, Halt> {
        let sessions = self.sessions.as_ref().ok_or_else(|| Refusal::not_found("no credentials are asked for here"))?;
        let failed = || Refusal::internal_error("there are no random bytes to be had");
        let random = random_text::<24>(around.random).ok_or_else(failed)?;
        let binding = Binding { purpose: Purpose::Challenge, origin, to: b"" };
        let nonce =
            sessions.sealer.seal(binding, &Challenge { random }, around.now, around.random).ok_or_else(failed)?;
        let any = (0..self.credentials.len()).map(|index| [index].into()).collect();
        Ok(Reply::json(
            200,
            "ok",
            &json!({
                "nonce": nonce,
                "expires_in": WINDOW.as_secs(),
                "client_id": client_id(origin),
                "response_uri": response_uri(origin),
                "dcql_query": ask::query(&any, &self.credentials, &self.trust).to_value(),
            }),
        ))
    }

    /// `POST /.carded/present`: a presentation in, a token out (RFC 6749 §5.1, RFC 9449 §5).
    pub(super) fn present(
        &self,
        body: &[u8],
        origin: &str,
        known: &Documents,
        around: &mut Around<'_>,
    ) -> Result<Reply, Halt> {
        let sessions = self.sessions.as_ref().ok_or_else(|| Refusal::not_found("no credentials are asked for here"))?;
        let nonce = form_urlencoded::parse(body).find(|(name, _)| name == "nonce").map(|(_, nonce)| nonce.into_owned());
        let nonce = nonce.ok_or_else(|| {
            Refusal::response_malformed("the parameter `nonce` is missing: send the one of /.carded/challenge")
        })?;
        let binding = Binding { purpose: Purpose::Challenge, origin, to: b"" };
        if sessions.sealer.open::<Challenge>(binding, nonce.as_bytes(), around.now, WINDOW).is_none() {
            return Err(Refusal::state_unknown(
                "`nonce` was not given out here a moment ago: ask /.carded/challenge for one",
            )
            .into());
        }
        let AuthorizationResponse::Presented { vp_token, .. } = self.read_answer(body)? else {
            return Err(Refusal::response_malformed("the parameter `vp_token` is missing").into());
        };
        let proven = self.check_presentations(&vp_token, &client_id(origin), &nonce, known, around)?;
        let mut thumbprints: Vec<_> = proven.iter().map(|proven| proven.thumbprint.clone()).collect();
        thumbprints.dedup();
        let [Some(thumbprint)] = thumbprints.as_slice() else {
            return Err(Refusal::holder_key_needed(
                "all presentations must be by one holder's key, which the token is bound to",
            )
            .into());
        };
        spend_nonce(&nonce, WINDOW, around)?;
        let latest = around.now.saturating_add(sessions.token_lifetime).unix();
        let ends = proven.iter().map(|proven| proven.proof.ends).fold(latest, i64::min);
        let token = Token {
            thumbprint: thumbprint.clone(),
            proofs: proven.into_iter().map(|proven| proven.proof).collect(),
            ends,
            id: random_text::<16>(around.random)
                .ok_or_else(|| Refusal::internal_error("there are no random bytes to be had"))?,
        };
        let binding = Binding { purpose: Purpose::Token, origin, to: b"" };
        let sealed = sessions.sealer.seal(binding, &token, around.now, around.random);
        let sealed = sealed.ok_or_else(|| Refusal::internal_error("the token could not be sealed"))?;
        let left = Timestamp::from_unix(ends).saturating_since(around.now).as_secs();
        Ok(Reply::json(200, "ok", &json!({ "access_token": sealed, "token_type": "DPoP", "expires_in": left })))
    }
}

/// Whom a program's presentation is for.
fn client_id(origin: &str) -> String {
    format!("redirect_uri:{}", response_uri(origin))
}

fn response_uri(origin: &str) -> String {
    format!("{origin}/.carded/present")
}

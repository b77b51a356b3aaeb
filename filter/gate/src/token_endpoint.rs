//! A provider's token endpoint (RFC 6749 §3.2, OpenID Connect Core 1.0 §3.1.3 and §12.1): what is sent to it, as whom, and what comes
//! back.

use carded_verifier::{FetchFailure, ProviderMetadata, json};
use serde_json::Value;

use super::Gate;
use super::client;
use super::config::AuthMethod;
use super::decide::{Around, Halt};
use super::effect::{Effect, EffectKind, Effected};
use super::login::Login;
use super::reply::Refusal;
use super::seal::random_text;

/// The longest reply of a token endpoint, in bytes.
const LONGEST_REPLY: usize = 64 * 1024;

/// What a token endpoint gives (OpenID Connect Core 1.0 §3.1.3.3, RFC 6749 §5.1).
pub(super) struct Tokens {
    pub(super) access_token: String,
    /// There after a code, and maybe after a refresh.
    pub(super) id_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    /// For how many seconds the access token is good.
    pub(super) expires_in: Option<u64>,
}

/// Why there are no tokens.
pub(super) enum NoTokens {
    /// The provider cannot be reached, or failed.
    Unavailable(String),
    /// It said no (RFC 6749 §5.2).
    Refused(&'static str),
    /// What it said cannot be read.
    Malformed,
}

impl NoTokens {
    /// What a person reads who brought a `code`.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Unavailable(why) => Refusal::login_unavailable(why),
            Self::Refused(error) => Refusal::login_failed(format!("the provider refused the code: {error}")),
            Self::Malformed => Refusal::login_failed("the provider's reply to the code cannot be read"),
        }
    }
}

impl Gate {
    /// A request to the token endpoint.
    pub(super) fn token_request(
        &self,
        login: &Login,
        kind: EffectKind,
        provider: &ProviderMetadata,
        parameters: &[(&str, &str)],
        around: &mut Around<'_>,
    ) -> Halt {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in parameters {
            form.append_pair(name, value);
        }
        self.client_request(login, provider, form, around)
            .map(|(authorization, form)| {
                let url = provider.token_endpoint.clone();
                Halt::Call(Effect { kind, url, authorization, form, kept: String::new() })
            })
            .unwrap_or_else(Halt::from)
    }

    /// A form with who we are (RFC 6749 §2.3.1, RFC 7523 §2.2), and `authorization` where that is told there. The form names
    /// the client unless `authorization` does.
    pub(super) fn client_request(
        &self,
        login: &Login,
        provider: &ProviderMetadata,
        mut form: form_urlencoded::Serializer<'_, String>,
        around: &mut Around<'_>,
    ) -> Result<(Option<String>, String), Refusal> {
        let in_form = match login.auth_method {
            Some(method) => method == AuthMethod::ClientSecretPost,
            None => provider.secret_in_form,
        };
        let mut authorization = None;
        if let Some(key) = &login.key {
            let issuer = self.trust.issuer(login.issuer).map_or("", |issuer| issuer.issuer.as_str());
            let jti = random_text::<16>(around.random);
            let id = &login.client_id;
            if jti.and_then(|jti| client::assert_client(&mut form, key, id, issuer, jti, around.now)).is_none() {
                return Err(Refusal::internal_error("who we are cannot be signed"));
            }
        } else {
            authorization = client::authenticate(&mut form, &login.client_id, &login.client_secret, in_form);
        }
        Ok((authorization, form.finish()))
    }
}

/// Reads the reply of a token endpoint.
pub(super) fn read_tokens(effected: &Effected, depth: usize) -> Result<Tokens, NoTokens> {
    let reply = match effected {
        Ok(reply) if reply.status >= 500 => return Err(NoTokens::Unavailable("the provider failed".to_owned())),
        Ok(reply) => reply,
        Err(FetchFailure::HostNotConfigured) => {
            return Err(NoTokens::Unavailable(
                "`fetch.clusters` does not name the provider's token endpoint".to_owned(),
            ));
        }
        Err(why) => return Err(NoTokens::Unavailable(format!("the provider did not answer: {why}"))),
    };
    if reply.body.len() > LONGEST_REPLY {
        return Err(NoTokens::Malformed);
    }
    let body = json::parse_object(&reply.body, depth).ok();
    if reply.status != 200 {
        // an error of our own making is worth naming (RFC 6749 §5.2)
        let known = ["invalid_client", INVALID_GRANT, "invalid_request", "unauthorized_client"];
        let error = body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
        return Err(NoTokens::Refused(known.into_iter().find(|known| Some(*known) == error).unwrap_or("an error")));
    }
    let mut body = body.ok_or(NoTokens::Malformed)?;
    let mut text = |name: &str| match body.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(NoTokens::Malformed),
    };
    let (id_token, access_token, refresh_token) = (text("id_token")?, text("access_token")?, text("refresh_token")?);
    if !text("token_type")?.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(NoTokens::Malformed);
    }
    let access_token = access_token.ok_or(NoTokens::Malformed)?;
    let expires_in = body.get("expires_in").and_then(Value::as_u64);
    Ok(Tokens { access_token, id_token, refresh_token, expires_in })
}

/// The code or the refresh token is worth nothing, or nothing any more.
pub(super) const INVALID_GRANT: &str = "invalid_grant";

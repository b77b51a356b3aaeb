//! What a provider says of a person besides the ID token: its UserInfo endpoint (OpenID Connect Core 1.0 §5.3). JSON only: a
//! client that is registered for signed or encrypted replies is told so.

use carded_verifier::{ProviderMetadata, json};
use serde_json::{Map, Value};

use super::Gate;
use super::decide::Halt;
use super::effect::{Effect, EffectKind};
use super::login::Login;
use super::reply::Refusal;
use super::request::Request;

impl Gate {
    /// More claims of the person who is the `sub` of an ID token; nothing where the login does not ask for them.
    ///
    /// # Errors
    /// 503 where they cannot be had now; 403 where they are of somebody else (§5.3.2) or cannot be read.
    pub(super) fn userinfo(
        &self,
        login: &Login,
        provider: &ProviderMetadata,
        access_token: &str,
        sub: &str,
        request: &Request,
    ) -> Result<Option<Map<String, Value>>, Halt> {
        if !login.userinfo {
            return Ok(None);
        }
        let Some(effected) = request.effected(EffectKind::UserInfo) else {
            let Some(url) = &provider.userinfo_endpoint else {
                return Err(Refusal::login_unavailable("the provider's metadata names no `userinfo_endpoint`").into());
            };
            // RFC 6750 §2.1
            if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Refusal::login_failed("the provider's access token is none").into());
            }
            let authorization = Some(["Bearer ", access_token].concat());
            let (kind, form) = (EffectKind::UserInfo, String::new());
            return Err(Halt::Call(Effect { kind, url: url.clone(), authorization, form, kept: String::new() }));
        };
        let reply = match effected {
            Ok(reply) if reply.status < 500 => reply,
            _ => return Err(Refusal::login_unavailable("the provider's UserInfo endpoint did not answer").into()),
        };
        let claims = json::parse_object(&reply.body, self.limits().json_depth).ok().filter(|_| reply.status == 200);
        let Some(claims) = claims else {
            return Err(Refusal::login_failed("the provider's UserInfo endpoint gave no claims as JSON").into());
        };
        if claims.get("sub").and_then(Value::as_str) != Some(sub) {
            return Err(Refusal::login_failed("the provider's UserInfo endpoint speaks of somebody else").into());
        }
        Ok(Some(claims))
    }
}

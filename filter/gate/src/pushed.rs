//! Pushed authorization requests (RFC 9126): where a provider has an endpoint for them, what is asked of it goes there first, from
//! us and with who we are, and the browser carries a reference only: nobody on the way reads or changes it.

use carded_verifier::{HttpsUrl, ProviderMetadata, json};
use form_urlencoded::Serializer;
use serde_json::Value;

use super::Gate;
use super::decide::{Around, Halt};
use super::effect::{Came, Effect, EffectKind};
use super::login::{Login, Sent};
use super::reply::{Refusal, Reply};
use super::request::Request;

/// The longest reference, in bytes.
const LONGEST: usize = 1024;

impl Gate {
    /// Where requests are left before a browser is sent to this provider. A provider that only offers it is not asked where
    /// `fetch.clusters` does not lead there; one that wants nothing else is.
    pub(super) fn pushes_to<'p>(&self, provider: &'p ProviderMetadata) -> Option<&'p HttpsUrl> {
        let endpoint = provider.pushed_endpoint.as_ref()?;
        let leads = self.fetching.clusters.contains_key(&endpoint.authority().to_ascii_lowercase());
        (leads || provider.requires_pushed).then_some(endpoint)
    }

    /// Leaves a request at the provider (§2.1).
    pub(super) fn push(
        &self,
        login: &Login,
        provider: &ProviderMetadata,
        endpoint: &HttpsUrl,
        query: Serializer<'_, String>,
        sent: &Sent,
        around: &mut Around<'_>,
    ) -> Halt {
        let (authorization, mut form) = match self.client_request(login, provider, query, around) {
            Ok(request) => request,
            Err(refusal) => return refusal.into(),
        };
        if authorization.is_some() {
            let mut more = Serializer::for_suffix(form, 0);
            form = more.append_pair("client_id", &login.client_id).finish();
        }
        // all of them are of characters of base64url, and of names
        let kept = format!("{} {} {}", login.name, sent.name, sent.sealed);
        Halt::Call(Effect { kind: EffectKind::Pushed, url: endpoint.clone(), authorization, form, kept })
    }

    /// Sends the browser with the reference that the provider gave (§2.2, §4).
    pub(super) fn pushed(
        &self,
        login: &Login,
        provider: &ProviderMetadata,
        came: &Came,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        let again = || Refusal::login_unavailable("the provider was asked for another sign-in");
        let (of, rest) = came.kept.split_once(' ').ok_or_else(again)?;
        let (name, sealed) = rest.split_once(' ').filter(|_| of == login.name).ok_or_else(again)?;
        let reply = match &came.effected {
            Ok(reply) if reply.status < 500 => reply,
            Ok(_) => return Err(Refusal::login_unavailable("the provider failed")),
            Err(why) => return Err(Refusal::login_unavailable(format!("the provider did not answer: {why}"))),
        };
        let body = json::parse_object(&reply.body, self.limits().json_depth).ok();
        if reply.status != 201 {
            let known = ["invalid_client", "invalid_request", "unauthorized_client", "invalid_scope"];
            let error = body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
            let error = known.into_iter().find(|known| Some(*known) == error).unwrap_or("an error");
            return Err(Refusal::login_failed(format!("the provider refused the request: {error}")));
        }
        let reference = body.as_ref().and_then(|body| body.get("request_uri")).and_then(Value::as_str);
        let reference = reference
            .filter(|text| {
                !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic())
            })
            .ok_or_else(|| Refusal::login_failed("the provider's reply to the request cannot be read"))?;
        let mut query = Serializer::new(String::new());
        query.append_pair("client_id", &login.client_id).append_pair("request_uri", reference);
        let sent = Sent { name: name.to_owned(), sealed: sealed.to_owned() };
        Ok(sent.reply(provider, &query.finish(), request))
    }
}

//! The addresses of our own, under `/.carded/`. Whatever else is under it is 404 and never forwarded. Wallets are web pages
//! of other origins, so every reply of the presentation endpoints can be read across origins, errors too.

use super::Gate;
use super::at::At;
use super::decide::{Around, Halt};
use super::presentation::LONGEST_BODY;
use super::reply::{Refusal, Reply};
use super::request::Request;

/// Everything under this prefix is ours and never forwarded.
pub(super) const RESERVED: &str = ".carded";

/// An address of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The wallet posts its answer.
    Response,
    /// The browser comes back.
    Done,
    /// A program asks for a nonce.
    Challenge,
    /// A program presents.
    Present,
    /// The keys of the tokens that we sign.
    Jwks,
    /// A program exchanges a provider's token.
    Exchange,
    /// A person chose where to sign in.
    Login,
    /// A provider sends a person back.
    Callback,
    /// A person leaves.
    Logout,
    /// A provider says that somebody left.
    BackchannelLogout,
}

impl Endpoint {
    /// The endpoint of a path, by its exact segments.
    pub(super) fn of(segments: &[&str]) -> Option<Self> {
        match segments {
            [first, "response"] if *first == RESERVED => Some(Self::Response),
            [first, "done"] if *first == RESERVED => Some(Self::Done),
            [first, "challenge"] if *first == RESERVED => Some(Self::Challenge),
            [first, "present"] if *first == RESERVED => Some(Self::Present),
            [first, "exchange"] if *first == RESERVED => Some(Self::Exchange),
            [first, "jwks.json"] if *first == RESERVED => Some(Self::Jwks),
            [first, "login", _] if *first == RESERVED => Some(Self::Login),
            [first, "callback", _] if *first == RESERVED => Some(Self::Callback),
            [first, "logout"] if *first == RESERVED => Some(Self::Logout),
            [first, "backchannel-logout", _] if *first == RESERVED => Some(Self::BackchannelLogout),
            _ => None,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Done | Self::Jwks | Self::Login | Self::Callback => "GET",
            Self::Response
            | Self::Challenge
            | Self::Present
            | Self::Exchange
            | Self::Logout
            | Self::BackchannelLogout => "POST",
        }
    }

    /// Whether pages of other origins may call it.
    fn is_open_to_others(self) -> bool {
        matches!(self, Self::Response | Self::Challenge | Self::Present)
    }
}

/// Makes a reply readable across origins where its endpoint is for others (Fetch standard, CORS protocol). No credentials
/// are ever read there, so any origin may.
pub(super) fn open_to_others(endpoint: Option<Endpoint>, reply: &mut Reply) {
    if endpoint.is_some_and(Endpoint::is_open_to_others) {
        reply.headers.push(("access-control-allow-origin", "*".to_owned()));
    }
}

impl Gate {
    /// Answers a request to an address of our own. `checked` counts the tokens that were verified.
    pub(super) fn serve(
        &self,
        endpoint: Endpoint,
        method: &str,
        at: At<'_>,
        around: &mut Around<'_>,
        checked: &mut u32,
    ) -> Result<Reply, Halt> {
        // the keys are the same under every name: a service behind asks for them by an inner one
        if endpoint == Endpoint::Jwks {
            return Ok(self.jwks(method)?);
        }
        let login = at.path.segments().nth(2);
        let login = login.and_then(|name| self.logins.iter().find(|login| login.name == name));
        let is_here = match endpoint {
            Endpoint::Login | Endpoint::Callback | Endpoint::BackchannelLogout => login.is_some(),
            Endpoint::Logout => true,
            Endpoint::Exchange => self.exchange.is_some(),
            _ => !self.credentials.is_empty(),
        };
        if self.sessions.is_none() || !is_here {
            return Err(Refusal::not_found("nothing of the kind is asked for here").into());
        }
        if method == "OPTIONS" && endpoint.is_open_to_others() {
            let headers = vec![
                ("cache-control", "no-store".to_owned()),
                ("access-control-allow-methods", "POST".to_owned()),
                ("access-control-allow-headers", "content-type".to_owned()),
                ("access-control-max-age", "600".to_owned()),
            ];
            return Ok(Reply { status: 204, code: "ok", headers, body: String::new(), grpc_status: None });
        }
        if method != endpoint.method() && !(endpoint == Endpoint::Logout && method == "GET") {
            return Err(Refusal::method_not_allowed(format!("use {} here", endpoint.method())).into());
        }
        // a provider may know us by an inner name: its token says whom it is for
        if let (Endpoint::BackchannelLogout, Some(login)) = (endpoint, login) {
            return self.backchannel_logout(login, form(at.request)?, at.known, around);
        }
        let at = At { origin: Some(self.origins.of(at.request, at.authority).ok_or_else(Refusal::not_ours)?), ..at };
        match (endpoint, login) {
            (Endpoint::Done, _) => self.done(at, around),
            (Endpoint::Login, Some(login)) => self.chosen_login(login, at, around),
            (Endpoint::Callback, Some(login)) => self.callback(login, at, around),
            (Endpoint::Logout, _) => self.logout(method == "POST", at, around),
            (Endpoint::Login | Endpoint::Callback | Endpoint::BackchannelLogout, _) => Err(super::login::nobody()),
            (Endpoint::Jwks, _) => Ok(self.jwks(method)?),
            (Endpoint::Exchange, _) => self.token_exchange(form(at.request)?, at, around, checked),
            (Endpoint::Challenge, _) => self.challenge(at.origin()?, around),
            (Endpoint::Response, _) => self.response(form(at.request)?, at.origin()?, at.known, around),
            (Endpoint::Present, _) => self.present(form(at.request)?, at.origin()?, at.known, around),
        }
    }
}

/// The body of a form; asks for it where it is not here yet.
fn form(request: &Request) -> Result<&[u8], Halt> {
    let content_type = request.single("content-type").ok().flatten().unwrap_or_default();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        return Err(Refusal::response_malformed("send a form: content-type application/x-www-form-urlencoded").into());
    }
    request.body().ok_or(Halt::Body(LONGEST_BODY))
}

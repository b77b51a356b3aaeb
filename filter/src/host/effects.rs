//! Calls with an effect, each made once for one request and never shared: no lease, no document. The root context owns
//! them as it owns fetches; what comes back for a request that is gone is dropped.

use carded_verifier::FetchFailure;

use super::fetches::{GRACE, read_reply};
use super::{Nanos, abi};
use carded_gate::{Came, Effect, EffectKind, Fetching};

/// The calls of one VM. Lists: as many as people who sign in at this moment.
#[derive(Default)]
pub(super) struct Effects {
    queued: Vec<(u32, Effect)>,
    running: Vec<Running>,
}

/// The stream that a call was for, and what came of it.
pub(super) type Done = (u32, Came);

struct Running {
    token: u32,
    kind: EffectKind,
    kept: String,
    /// The stream that it is for.
    context: u32,
    /// After this time it is lost.
    until: Nanos,
}

impl Effects {
    /// Wants a call for a request. The root context must be woken to begin it.
    pub(super) fn want(&mut self, context: u32, effect: Effect) {
        self.queued.push((context, effect));
    }

    /// Makes what is queued for requests that still wait. Called in the root context. Gives what failed at once, or was lost.
    pub(super) fn advance(&mut self, how: &Fetching, now: Nanos, waits: impl Fn(u32) -> bool) -> Vec<Done> {
        let mut failed = Vec::new();
        for (context, effect) in std::mem::take(&mut self.queued) {
            if !waits(context) {
                continue;
            }
            match call(&effect, how) {
                Ok(token) => {
                    let until = now.after(how.timeout.saturating_add(GRACE));
                    self.running.push(Running { token, kind: effect.kind, kept: effect.kept, context, until });
                }
                Err(why) => failed.push((context, Came { kind: effect.kind, effected: Err(why), kept: effect.kept })),
            }
        }
        self.running.retain_mut(|running| {
            let lost = running.until <= now;
            if lost {
                let (kind, kept) = (running.kind, std::mem::take(&mut running.kept));
                failed.push((running.context, Came { kind, effected: Err(FetchFailure::Timeout), kept }));
            }
            !lost
        });
        failed
    }

    /// The reply to a call has come, or its failure; nothing where the call is none of these.
    pub(super) fn replied(&mut self, token: u32, headers: usize, body_size: usize, how: &Fetching) -> Option<Done> {
        let at = self.running.iter().position(|running| running.token == token)?;
        let running = self.running.swap_remove(at);
        let Running { context, kind, kept, .. } = running;
        Some((context, Came { kind, effected: read_reply(headers, body_size, how), kept }))
    }
}

pub(super) fn call(effect: &Effect, how: &Fetching) -> Result<u32, FetchFailure> {
    let authority = effect.url.authority().to_ascii_lowercase();
    let cluster = how.clusters.get(&authority).ok_or(FetchFailure::HostNotConfigured)?;
    let mut headers = vec![
        (":method", "POST"),
        (":scheme", effect.url.scheme()),
        (":authority", authority.as_str()),
        (":path", effect.url.path_and_query()),
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", "carded"),
    ];
    headers.extend(effect.authorization.as_deref().map(|value| ("authorization", value)));
    abi::http_call(cluster, headers, Some(effect.form.as_bytes()), how.timeout).ok_or(FetchFailure::Unreachable)
}

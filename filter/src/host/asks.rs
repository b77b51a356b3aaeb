//! Questions about tokens that only their issuer can read, each asked once at a time by a VM, however many requests bring the
//! token. The root context owns the calls as it owns fetches.

use carded_verifier::FetchFailure;

use super::Nanos;
use super::effects::call;
use super::fetches::{GRACE, read_reply};
use carded_gate::{Effected, Fetching, Inquiry};

/// A question, and who waits for its answer.
pub(super) struct Asked {
    pub(super) question: Inquiry,
    pub(super) waiters: Vec<u32>,
    /// The call, once it was made.
    token: Option<u32>,
    /// After this time it is lost.
    until: Nanos,
}

/// The questions of one VM. A list: as many as the gate's budget lets begin while one takes.
#[derive(Default)]
pub(super) struct Asks(Vec<Asked>);

impl Asks {
    /// Wants the answer for a request. True where the question is new: the root context must be woken to ask it.
    pub(super) fn want(&mut self, question: Inquiry, context: u32) -> bool {
        match self.0.iter_mut().find(|asked| asked.question.is_same(&question)) {
            Some(asked) => asked.waiters.push(context),
            None => {
                self.0.push(Asked { question, waiters: vec![context], token: None, until: Nanos(0) });
                return true;
            }
        }
        false
    }

    /// Asks what was not asked yet. Called in the root context. Gives what failed at once, or was lost.
    pub(super) fn advance(&mut self, how: &Fetching, now: Nanos) -> Vec<(Asked, Effected)> {
        let mut failed = Vec::new();
        for mut asked in std::mem::take(&mut self.0) {
            if asked.token.is_none() {
                match call(&asked.question.effect, how) {
                    Ok(token) => {
                        asked.token = Some(token);
                        asked.until = now.after(how.timeout.saturating_add(GRACE));
                    }
                    Err(why) => {
                        failed.push((asked, Err(why)));
                        continue;
                    }
                }
            }
            if asked.until <= now {
                failed.push((asked, Err(FetchFailure::Timeout)));
            } else {
                self.0.push(asked);
            }
        }
        failed
    }

    /// The reply to a call has come, or its failure; nothing where the call is none of these.
    pub(super) fn replied(
        &mut self,
        token: u32,
        headers: usize,
        body_size: usize,
        how: &Fetching,
    ) -> Option<(Asked, Effected)> {
        let at = self.0.iter().position(|asked| asked.token == Some(token))?;
        Some((self.0.swap_remove(at), read_reply(headers, body_size, how)))
    }
}

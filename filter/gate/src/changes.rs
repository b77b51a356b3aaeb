//! What becomes of the headers of a request that goes on: the client's own copies of ours go, claims and our own token come, and
//! the caller's tokens and our cookies stay here.

use std::rc::Rc;

use carded_verifier::Condensed;

use super::Gate;
use super::at::At;
use super::cache::Key;
use super::cookie;
use super::decide::{Around, Halt};
use super::evidence::Held;
use super::facts::Facts;
use super::forward::NotForwardable;
use super::minting::Minting;
use super::place::{PlaceKind, cookies_where, without_parameters};
use super::reply::Refusal;
use super::session::Brought;

/// Changes to the headers of a request that goes on. First remove, then set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Headers to remove, every copy.
    pub remove: Vec<Rc<str>>,
    /// Headers to remove by the names under which the client sent them.
    pub sent: Vec<Vec<u8>>,
    /// Headers to set.
    pub set: Vec<(Rc<str>, Vec<u8>)>,
}

impl Changes {
    /// The names of all headers to remove.
    #[inline]
    pub fn removed(&self) -> impl Iterator<Item = &[u8]> {
        let sent = self.sent.iter().map(Vec::as_slice);
        sent.chain(self.remove.iter().map(|name| name.as_bytes()))
    }
}

impl Gate {
    /// What becomes of the headers of a request that goes on; whether with a token of our own says its rule.
    #[inline]
    pub(super) fn changes(
        &self,
        at: At<'_>,
        held: &[Held<'_>],
        facts: &Facts<'_>,
        brought: &Brought,
        mints: bool,
        around: &mut Around<'_>,
    ) -> Result<Changes, Halt> {
        // with room from the start: to grow takes a few calls more than to begin
        let mut changes = Changes {
            remove: Vec::with_capacity(held.len()),
            sent: Vec::new(),
            set: Vec::with_capacity(self.forward.len()),
        };
        for (name, _) in at.request.headers() {
            if self.forward.is_ours(name) {
                changes.sent.push(name.to_vec());
            }
        }
        self.forward.add_headers(facts, &mut changes.set).map_err(not_forwardable)?;
        if let Some(minting) = self.minting.as_ref().filter(|_| mints) {
            self.add_minted(minting, held, facts, brought, around, &mut changes)?;
        }
        let mut elsewhere = brought.by_token;
        for held in held.iter().filter(|held| !self.passes_on(&held.verified)) {
            elsewhere |= held.proof.is_some();
            match &held.place.kind {
                PlaceKind::Header { name, .. } => changes.remove.push(Rc::clone(name)),
                _ => elsewhere = true,
            }
        }
        let ours = self.sessions.is_some() && cookie::any(at.request);
        if elsewhere || ours || at.path.is_changed() {
            self.remove_elsewhere(at, held, brought, ours, &mut changes);
        }
        Ok(changes)
    }

    /// A token of our own.
    fn add_minted(
        &self,
        minting: &Minting,
        held: &[Held<'_>],
        facts: &Facts<'_>,
        brought: &Brought,
        around: &mut Around<'_>,
        changes: &mut Changes,
    ) -> Result<(), Halt> {
        if facts.is_empty() {
            return Ok(());
        }
        let opened = brought.opened.iter().map(|opened| opened.key());
        let keys: Option<Vec<Key>> = held.iter().map(|held| held.key).chain(opened).collect();
        let token = self.minted(minting, keys.as_deref(), facts, brought, around)?;
        changes.set.push((Rc::clone(&minting.header), token));
        Ok(())
    }

    /// What stays here of that which is not a header by itself: tokens in other places, proofs, our cookies (where there are any,
    /// `ours`); and the path, where its normal form is another.
    #[inline]
    fn remove_elsewhere(&self, at: At<'_>, held: &[Held<'_>], brought: &Brought, ours: bool, changes: &mut Changes) {
        let (mut cookies, mut parameters) = (Vec::new(), Vec::new());
        for held in held.iter().filter(|held| !self.passes_on(&held.verified)) {
            if held.proof.is_some() {
                changes.remove.push("dpop".into());
            }
            match &held.place.kind {
                PlaceKind::Header { .. } => {}
                PlaceKind::Basic => changes.remove.push("authorization".into()),
                PlaceKind::Cookie(name) => cookies.push(name.as_str()),
                PlaceKind::Parameter(name) => parameters.push(name.as_str()),
            }
        }
        if brought.by_token {
            changes.remove.extend(["authorization", "dpop"].map(Rc::from));
        }
        if !cookies.is_empty() || ours {
            changes.remove.push("cookie".into());
            let kept = cookies_where(at.request, |name| {
                !(ours && cookie::is_ours(name)) && cookies.iter().all(|cut| name != cut.as_bytes())
            });
            changes.set.extend(kept.map(|value| ("cookie".into(), value)));
        }
        if at.path.is_changed() || !parameters.is_empty() {
            let mut target = at.path.as_str().as_bytes().to_vec();
            let query = match at.path.query() {
                Some(query) if !parameters.is_empty() => without_parameters(query, &parameters),
                query => query.map(<[u8]>::to_vec),
            };
            if let Some(query) = query {
                target.push(b'?');
                target.extend(query);
            }
            changes.set.push((":path".into(), target));
        }
    }

    /// Whether the services get the caller's token too.
    #[inline]
    fn passes_on(&self, token: &Condensed) -> bool {
        self.issuers.get(token.issuer_index().as_usize()).is_some_and(|extra| extra.forward)
    }
}

fn not_forwardable(error: NotForwardable) -> Refusal {
    Refusal::claim_not_forwardable(format!("{}: the claim for the header {} cannot be sent", error.why, error.header))
}

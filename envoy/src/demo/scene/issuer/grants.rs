//! Offers, access tokens and nonces of an issuer (OpenID4VCI 1.0 sections 4, 6 and 7): all short-lived, used once, bounded in
//! number. Where a table is full its oldest entry goes: a demo prefers the newest visitor.

use std::collections::VecDeque;

use crate::demo::scene::people::Person;
use crate::demo::scene::random;

use super::BATCH;

/// How long an offer can be redeemed, in seconds.
const OFFER_LIFETIME: i64 = 600;
/// How long an access token is good, in seconds.
pub(super) const TOKEN_LIFETIME: i64 = 300;
/// How long a nonce is good, in seconds.
const NONCE_LIFETIME: i64 = 120;
/// After so many wrong transaction codes an offer is gone (section 13.5, replay and guessing).
const TRIES: u8 = 5;
/// Entries of each table.
const MOST: usize = 1024;

/// An offer that waits for its wallet.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// Its name in URLs. It is not the code: who sees the page's address cannot redeem it.
    pub(crate) id: String,
    /// The pre-authorized code.
    pub(crate) code: String,
    /// The transaction code: six digits.
    pub(crate) tx_code: String,
    /// Who it is about.
    pub(crate) person: &'static Person,
    lifetime: Option<i64>,
    tries: u8,
    expires: i64,
}

/// What an access token allows.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) token: String,
    pub(super) person: &'static Person,
    pub(super) lifetime: Option<i64>,
    copies: usize,
    expires: i64,
}

/// Why a code is not redeemed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// There is no such offer any more.
    Unknown,
    /// The transaction code is wrong.
    WrongTxCode,
}

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Grants {
    offers: VecDeque<Offer>,
    grants: VecDeque<Grant>,
    nonces: VecDeque<(String, i64)>,
}

impl Grants {
    /// A new offer.
    pub(super) fn offer(&mut self, person: &'static Person, lifetime: Option<i64>, now: i64) -> Offer {
        self.forget(now);
        let tx_code = format!("{:06}", random::below(1_000_000));
        let (id, code) = (random::token(), random::token());
        let offer = Offer { id, code, tx_code, person, lifetime, tries: 0, expires: now + OFFER_LIFETIME };
        push(&mut self.offers, offer.clone());
        offer
    }

    /// An offer that can still be redeemed, by its name.
    pub(super) fn open_offer(&mut self, id: &str, now: i64) -> Option<Offer> {
        self.forget(now);
        self.offers.iter().find(|offer| offer.id == id).cloned()
    }

    /// Redeems a code for an access token, once.
    pub(super) fn redeem(&mut self, code: &str, tx_code: &str, now: i64) -> Result<String, Refusal> {
        self.forget(now);
        let at = self.offers.iter().position(|offer| offer.code == code).ok_or(Refusal::Unknown)?;
        if self.offers[at].tx_code != tx_code {
            self.offers[at].tries += 1;
            if self.offers[at].tries >= TRIES {
                self.offers.remove(at);
            }
            return Err(Refusal::WrongTxCode);
        }
        let offer = self.offers.remove(at).ok_or(Refusal::Unknown)?;
        let grant = Grant {
            token: random::token(),
            person: offer.person,
            lifetime: offer.lifetime,
            copies: BATCH,
            expires: now + TOKEN_LIFETIME,
        };
        push(&mut self.grants, grant.clone());
        Ok(grant.token)
    }

    /// What a token allows.
    pub(super) fn authorized(&mut self, token: &str, now: i64) -> Option<Grant> {
        self.forget(now);
        self.grants.iter().find(|grant| grant.token == token).cloned()
    }

    /// Takes copies from what a token allows; false where there are not so many left.
    pub(super) fn spend(&mut self, token: &str, copies: usize, now: i64) -> bool {
        self.forget(now);
        let grant = self.grants.iter_mut().find(|grant| grant.token == token && grant.copies >= copies);
        grant.map(|grant| grant.copies -= copies).is_some()
    }

    /// A fresh nonce.
    pub(super) fn nonce(&mut self, now: i64) -> String {
        self.forget(now);
        let nonce = random::token();
        push(&mut self.nonces, (nonce.clone(), now + NONCE_LIFETIME));
        nonce
    }

    /// Uses a nonce up; false where it is not a fresh one of ours.
    pub(super) fn use_nonce(&mut self, nonce: &str, now: i64) -> bool {
        self.forget(now);
        let at = self.nonces.iter().position(|(known, _)| known == nonce);
        at.is_some_and(|at| self.nonces.remove(at).is_some())
    }

    fn forget(&mut self, now: i64) {
        self.offers.retain(|offer| offer.expires > now);
        self.grants.retain(|grant| grant.expires > now);
        self.nonces.retain(|(_, expires)| *expires > now);
    }
}

fn push<T>(table: &mut VecDeque<T>, entry: T) {
    if table.len() >= MOST {
        table.pop_front();
    }
    table.push_back(entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scene::people::PEOPLE;

    const ADA: &Person = &PEOPLE[0];

    #[test]
    fn a_code_works_once_and_only_with_its_transaction_code() {
        let mut grants = Grants::default();
        let offer = grants.offer(ADA, None, 0);
        let wrong = if offer.tx_code == "000000" { "000001" } else { "000000" };
        assert_eq!(grants.redeem("foreign", &offer.tx_code, 1), Err(Refusal::Unknown));
        assert_eq!(grants.redeem(&offer.code, wrong, 1), Err(Refusal::WrongTxCode));
        let token = grants.redeem(&offer.code, &offer.tx_code, 1).expect("a token");
        assert_eq!(grants.redeem(&offer.code, &offer.tx_code, 1), Err(Refusal::Unknown));
        assert!(grants.spend(&token, BATCH, 2) && !grants.spend(&token, 1, 2));
        assert!(grants.authorized(&token, 1 + TOKEN_LIFETIME).is_none());
    }

    #[test]
    fn transaction_codes_cannot_be_guessed_by_trying() {
        let mut grants = Grants::default();
        let offer = grants.offer(ADA, None, 0);
        for _ in 0..TRIES {
            assert_eq!(grants.redeem(&offer.code, "wrong", 1), Err(Refusal::WrongTxCode));
        }
        assert_eq!(grants.redeem(&offer.code, &offer.tx_code, 1), Err(Refusal::Unknown));
    }

    #[test]
    fn nonces_work_once_and_expire_and_tables_are_bounded() {
        let mut grants = Grants::default();
        let nonce = grants.nonce(0);
        assert!(grants.use_nonce(&nonce, 1) && !grants.use_nonce(&nonce, 1));
        let old = grants.nonce(0);
        assert!(!grants.use_nonce(&old, NONCE_LIFETIME));
        for _ in 0..2 * MOST {
            grants.nonce(0);
            grants.offer(ADA, None, 0);
        }
        assert_eq!((grants.nonces.len(), grants.offers.len()), (MOST, MOST));
    }
}

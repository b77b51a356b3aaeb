//! Our cookies (RFC 6265bis): `__Host-` and Secure, so that no other host and no plain connection can set one, HttpOnly,
//! SameSite=Lax. They are cut out before a request goes on, and an upstream cannot set one (threat 85).

use std::time::Duration;

use super::place::cookie_pairs;
use super::request::Request;

/// What every cookie of ours begins with.
pub(super) const PREFIX: &str = "__Host-carded";
/// The session's cookie.
pub(super) const SESSION: &str = "__Host-carded";
/// What the cookie of a transaction begins with; its id follows.
const TRANSACTION: &str = "__Host-carded-tx-";
/// What the cookie of a refresh token begins with; its login's name follows.
const REFRESH: &str = "__Host-carded-rt-";
/// How many transactions a browser has open.
const MOST_TRANSACTIONS: usize = 8;
/// How many cookies one reply clears.
const MOST_CLEARED: usize = 32;
/// The longest id of a transaction.
const LONGEST_ID: usize = 32;

/// The name of a transaction's cookie; nothing for what is no id of ours.
pub(super) fn transaction(id: &str) -> Option<String> {
    named(TRANSACTION, id)
}

/// The name of the cookie of a login's refresh token; nothing for a login whose name cannot be in one.
pub(super) fn refresh(login: &str) -> Option<String> {
    named(REFRESH, login)
}

fn named(start: &str, id: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (!id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(plain)).then(|| [start, id].concat())
}

/// The names of the cookies of transactions that a browser has too many of, the oldest first as browsers send them
/// (RFC 6265 §5.4): they would outgrow what proxies take (threat 70).
pub(super) fn surplus_transactions(request: &Request) -> Vec<String> {
    let names = request.values("cookie").flat_map(cookie_pairs).map(|(name, _)| name);
    let ids = names.filter_map(|name| name.strip_prefix(TRANSACTION.as_bytes()));
    let all: Vec<String> = ids.filter_map(|id| transaction(std::str::from_utf8(id).ok()?)).collect();
    let surplus = all.len().saturating_sub(MOST_TRANSACTIONS.saturating_sub(1));
    all.into_iter().take(surplus.min(MOST_CLEARED)).collect()
}

/// The names of the cookies that belong to a session beside its own, as a browser has them.
pub(super) fn of_session(request: &Request) -> Vec<String> {
    let names = request.values("cookie").flat_map(cookie_pairs).map(|(name, _)| name);
    let ids = names.filter_map(|name| name.strip_prefix(REFRESH.as_bytes()));
    ids.filter_map(|id| refresh(std::str::from_utf8(id).ok()?)).take(MOST_CLEARED).collect()
}

/// All values of a cookie.
pub(super) fn values<'a>(request: &'a Request, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = request.values("cookie").flat_map(cookie_pairs);
    pairs.filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}

/// `set-cookie` for a value of ours.
pub(super) fn set(name: &str, value: &str, lifetime: Duration) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}", lifetime.as_secs())
}

/// `set-cookie` that takes a cookie of ours away.
pub(super) fn clear(name: &str) -> String {
    format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// Whether a request brings any cookie of ours.
pub(super) fn any(request: &Request) -> bool {
    request.values("cookie").flat_map(cookie_pairs).any(|(key, _)| is_ours(key))
}

/// Whether a cookie of this name is ours. Browsers compare the prefix without case.
pub(super) fn is_ours(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// Whether an upstream's `set-cookie` would set a cookie of ours.
pub fn sets_ours(value: &[u8]) -> bool {
    let name = value.split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
    is_ours(name.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_85_ours_are_known_in_every_spelling() {
        for (value, expected) in [
            (&b"__Host-carded=x; Path=/"[..], true),
            (b" __host-Carded-tx-abc =x", true),
            (b"__Host-carded", true),
            (b"carded=__Host-carded", false),
            (b"__Host-card=1", false),
            (b"", false),
        ] {
            assert_eq!(sets_ours(value), expected, "{:?}", String::from_utf8_lossy(value));
        }
        let request = Request::from_pairs([
            (&b"cookie"[..], &b"a=1; __Host-carded=s; __Host-carded-tx-1=t"[..]),
            (b"cookie", b"b=2"),
        ]);
        assert!(any(&request));
        let kept = super::super::place::cookies_where(&request, |name| !is_ours(name));
        assert_eq!(kept.as_deref(), Some(&b"a=1; b=2"[..]));
    }

    #[test]
    fn threat_70_transactions_do_not_pile_up() {
        let cookies: Vec<String> = (0..20).map(|number| format!("__Host-carded-tx-{number}=x")).collect();
        let surplus = |count: usize| {
            let header = cookies[..count].join("; ");
            surplus_transactions(&Request::from_pairs([(&b"cookie"[..], header.as_bytes())]))
        };
        assert!(surplus(7).is_empty(), "one more makes eight");
        assert_eq!(surplus(8), ["__Host-carded-tx-0"]);
        assert_eq!(surplus(20).len(), 13);
    }

    #[test]
    fn only_ids_of_ours_name_a_cookie() {
        assert_eq!(transaction("aB-_9").as_deref(), Some("__Host-carded-tx-aB-_9"));
        for bad in ["", "a b", "a;b", "a=b", "é", &"a".repeat(33)] {
            assert_eq!(transaction(bad), None, "{bad}");
        }
    }
}

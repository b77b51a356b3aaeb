//! Our cookies (RFC 6265bis): `__Host-` and Secure, so that no other host and no plain connection can set one, HttpOnly,
//! SameSite=Lax. They are cut out before a request goes on, and an upstream cannot set one (threat 85).

use std::borrow::Cow;
use std::time::Duration;

use super::place::{cookies, has_cookie};
use super::request::{Request, is_same};

/// What every cookie of ours begins with.
pub(super) const PREFIX: &str = "__Host-carded";
/// The session's cookie.
pub(super) const SESSION: &str = "__Host-carded";
/// That it was tried to sign a browser in without a question, or that somebody has left.
pub(super) const QUIET: &str = "__Host-carded-quiet";
/// What the cookie of a transaction begins with; its id follows.
const TRANSACTION: &str = "__Host-carded-tx-";
/// What the cookies begin with that carry the rest of a session; their number follows.
const PART: &str = "__Host-carded-part-";
/// How many cookies carry one session at most.
const MOST_PARTS: usize = 3;
/// The longest value of one of them: a cookie has 4096 bytes with its name and its attributes (RFC 6265 §6.1).
const LONGEST_PART: usize = 4096 - 128;
/// The longest text that carries a session.
pub(super) const LONGEST_SESSION: usize = MOST_PARTS * LONGEST_PART;
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
    let names = cookies(request).map(|(name, _)| name);
    let ids = names.filter_map(|name| name.strip_prefix(TRANSACTION.as_bytes()));
    let all: Vec<String> = ids.filter_map(|id| transaction(std::str::from_utf8(id).ok()?)).collect();
    let surplus = all.len().saturating_sub(MOST_TRANSACTIONS.saturating_sub(1));
    all.into_iter().take(surplus.min(MOST_CLEARED)).collect()
}

/// The names of the cookies that belong to a session beside its own, as a browser has them.
pub(super) fn of_session(request: &Request) -> Vec<String> {
    let names = cookies(request).filter_map(|(name, _)| std::str::from_utf8(name).ok());
    let ours = |name: &str| {
        [REFRESH, PART].into_iter().find_map(|start| name.strip_prefix(start).and_then(|id| named(start, id)))
    };
    names.filter_map(ours).take(MOST_CLEARED).collect()
}

/// `set-cookie` for a session that is sealed: in one cookie, or in parts where that forces it, of which the first says how many
/// there are. Parts of before that the browser has and that are none now are taken away. Nothing where it is too long
/// (threat 70).
pub(super) fn set_session(request: &Request, sealed: &str, lifetime: Duration) -> Option<Vec<String>> {
    let count = sealed.len().div_ceil(LONGEST_PART);
    if count > MOST_PARTS {
        return None;
    }
    let mut sets = Vec::new();
    for (number, part) in sealed.as_bytes().chunks(LONGEST_PART).enumerate() {
        let part = std::str::from_utf8(part).ok()?;
        sets.push(match number {
            0 if count == 1 => set(SESSION, part, lifetime),
            0 => set(SESSION, &format!("{count}.{part}"), lifetime),
            _ => set(&format!("{PART}{number}"), part, lifetime),
        });
    }
    for number in count..MOST_PARTS {
        let name = format!("{PART}{number}");
        if values(request, &name).next().is_some() {
            sets.push(clear(&name));
        }
    }
    Some(sets)
}

/// The whole sealed session of which this is the value of the session's cookie; nothing where a part is missing. Parts of two
/// sessions make a text that does not open.
#[inline]
pub(super) fn whole<'a>(request: &Request, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let [count, b'.', first @ ..] = value else { return Some(Cow::Borrowed(value)) };
    let count = usize::from(count.checked_sub(b'0')?);
    if !(2..=MOST_PARTS).contains(&count) {
        return None;
    }
    let mut all = first.to_vec();
    for number in 1..count {
        all.extend_from_slice(values(request, &format!("{PART}{number}")).next()?);
        if all.len() > LONGEST_SESSION {
            return None;
        }
    }
    Some(Cow::Owned(all))
}

/// All values of a cookie.
#[inline]
pub(super) fn values<'a>(request: &'a Request, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = cookies(request);
    pairs.filter(move |(key, _)| is_same(key, name.as_bytes())).map(|(_, value)| value)
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
#[inline]
pub(super) fn any(request: &Request) -> bool {
    has_cookie(request, is_ours)
}

/// Whether a cookie of this name is ours. Browsers compare the prefix without case.
#[inline]
pub(super) fn is_ours(name: &[u8]) -> bool {
    let prefix = PREFIX.as_bytes();
    name.get(..PREFIX.len()).is_some_and(|start| is_same(start, prefix) || start.eq_ignore_ascii_case(prefix))
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
    fn threat_70_a_session_is_split_only_where_it_must_be_and_never_without_end() {
        let none = Request::default();
        let lifetime = Duration::from_secs(100_000_000);
        let text = |length: usize| "0123456789".chars().cycle().take(length).collect::<String>();
        for (length, expected) in [
            (1, 1),
            (LONGEST_PART, 1),
            (LONGEST_PART + 1, 2),
            (2 * LONGEST_PART, 2),
            (2 * LONGEST_PART + 1, 3),
            (LONGEST_SESSION, 3),
        ] {
            let sealed = text(length);
            let sets = set_session(&none, &sealed, lifetime).unwrap();
            assert_eq!(sets.len(), expected, "{length}");
            assert!(sets.iter().all(|set| set.len() <= 4096 && sets_ours(set.as_bytes())));
            let pairs: Vec<&str> = sets.iter().map(|set| set.split(';').next().unwrap()).collect();
            let request = Request::from_pairs([(&b"cookie"[..], pairs.join("; ").as_bytes())]);
            let value = values(&request, SESSION).next().unwrap();
            assert_eq!(whole(&request, value).as_deref(), Some(sealed.as_bytes()), "{length}");
            assert_eq!(matches!(whole(&request, value), Some(Cow::Borrowed(_))), expected == 1);
            // one part less is nothing
            let fewer = Request::from_pairs([(&b"cookie"[..], pairs[..pairs.len() - 1].join("; ").as_bytes())]);
            assert!(values(&fewer, SESSION).next().is_none_or(|value| whole(&fewer, value).is_none()));
            // a shorter one takes the place of all of it
            let shorter = set_session(&request, "x", lifetime).unwrap();
            assert_eq!(shorter.len(), expected);
            assert!(shorter[1..].iter().all(|set| set.contains("=; ") && set.contains("Max-Age=0")), "{shorter:?}");
            assert_eq!(of_session(&request).len(), expected - 1);
        }
        assert_eq!(set_session(&none, &text(LONGEST_SESSION + 1), lifetime), None);
        for odd in [&b"0.x"[..], b"1.x", b"4.x", b"9.x", b"..x", b"/.x", b"2."] {
            assert_eq!(whole(&none, odd), None, "{}", String::from_utf8_lossy(odd));
        }
        let long = format!("__Host-carded-part-1={}; __Host-carded-part-2=x", "x".repeat(LONGEST_SESSION));
        assert_eq!(whole(&Request::from_pairs([(&b"cookie"[..], long.as_bytes())]), b"3.x"), None);
    }

    #[test]
    fn only_ids_of_ours_name_a_cookie() {
        assert_eq!(transaction("aB-_9").as_deref(), Some("__Host-carded-tx-aB-_9"));
        for bad in ["", "a b", "a;b", "a=b", "é", &"a".repeat(33)] {
            assert_eq!(transaction(bad), None, "{bad}");
        }
    }
}

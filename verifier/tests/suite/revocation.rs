//! The lists of what is revoked: both forms, how long they count, and that nothing but a list is taken for one.
use crate::support::{ISS, NOW, World, sign, sign_header, with, without};
use carded_verifier::revocation::compact::{self, Compact, NotTaken, PAGE, Taken, build, pages_of};
use carded_verifier::revocation::{Entry, Kind, Mark, Marks, RevocationSource, Standing};
use carded_verifier::{Documents, Fetch, HttpsUrl, Limits, Reply, RustCrypto, Timestamp, Trust, UrlPolicy};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const T: i64 = 1_790_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(T + seconds)
}

fn subject(number: u64) -> Mark {
    Mark::of(Kind::Subject, "https://idp.example", &format!("user-{number}"))
}

fn any(mark: Mark) -> Entry {
    Entry { mark, before: None }
}

fn world() -> (Trust, Documents, Fetch) {
    let limits = Limits::default();
    let url = HttpsUrl::parse("https://ops.example/revoked", UrlPolicy::default()).unwrap();
    let source = RevocationSource { url, refresh: Duration::from_secs(5), serves: Duration::from_secs(14) };
    let trust = Trust::new(vec![], limits.clone(), Arc::new(RustCrypto)).unwrap().with_revocations(vec![source]);
    let fetch = trust.first_fetches().remove(0);
    (trust, Documents::new(&limits), fetch)
}

fn reply(body: impl Into<Vec<u8>>) -> Reply {
    Reply { status: 200, body: body.into(), max_age: None }
}

fn json_list(entries: &[Value]) -> Reply {
    reply(json!({ "revoked": entries }).to_string())
}

#[test]
fn every_kind_is_found_and_nothing_else() {
    let (trust, mut known, fetch) = world();
    let iss = "https://idp.example";
    let list = json_list(&[
        json!({ "session": "abc" }),
        json!({ "sub": "alice", "iss": iss, "before": T }),
        json!({ "jti": "j1", "iss": iss }),
        json!({ "sid": "s1", "iss": iss }),
        json!({ "kid": "k1", "iss": iss, "before": T + 100 }),
        json!({ "api_token": "00ff" }),
    ]);
    known.insert(&fetch, &list, at(0)).unwrap();
    let stands = |kind, iss, value, issued: Option<i64>| {
        Marks::new(vec![Mark::of(kind, iss, value)], issued.map(Timestamp::from_unix)).standing(&trust, &known, at(1))
    };
    let revoked = |kind, iss, value, issued| matches!(stands(kind, iss, value, issued), Standing::Revoked);
    assert!(revoked(Kind::Session, "", "abc", Some(T)));
    assert!(revoked(Kind::TokenId, iss, "j1", Some(T)));
    assert!(revoked(Kind::ProviderSession, iss, "s1", None));
    assert!(revoked(Kind::ApiToken, "", "00ff", None));
    // issued before, then, and at no time that anybody knows
    assert!(revoked(Kind::Subject, iss, "alice", Some(T - 1)));
    assert!(!revoked(Kind::Subject, iss, "alice", Some(T)));
    assert!(revoked(Kind::Subject, iss, "alice", None));
    assert!(revoked(Kind::Key, iss, "k1", Some(T + 99)));
    assert!(!revoked(Kind::Key, iss, "k1", Some(T + 100)));
    // another kind, issuer or value, and the border between the two
    for (kind, iss, value) in [
        (Kind::Session, "", "abd"),
        (Kind::TokenId, "", "abc"),
        (Kind::TokenId, "https://other.example", "j1"),
        (Kind::ProviderSession, iss, "j1"),
        (Kind::TokenId, "https://idp.example1", "j"),
        (Kind::TokenId, "https://idp.examplej", "1"),
        (Kind::ApiToken, "", "00fe"),
    ] {
        assert!(!revoked(kind, iss, value, Some(T)), "{kind:?} {iss} {value}");
    }
}

#[test]
fn a_list_that_cannot_be_read_whole_is_not_taken() {
    let (trust, mut known, fetch) = world();
    let marks = || Marks::new(vec![Mark::of(Kind::Session, "", "a")], None);
    known.insert(&fetch, &json_list(&[json!({ "session": "a" })]), at(0)).unwrap();
    for entry in [
        json!({ "session": "" }),
        json!({ "session": 7 }),
        json!({ "sub": "a" }),
        json!({ "sub": "a", "iss": "" }),
        json!({ "session": "a", "iss": "https://idp.example" }),
        json!({ "session": "a", "jti": "b", "iss": "c" }),
        json!({ "session": "a", "until": 7 }),
        json!({ "session": "a", "before": "2026" }),
        json!({ "session": "a", "before": -1 }),
        json!({ "session": "a", "before": 1.5 }),
        json!({ "session": "a", "before": 1_u64 << 40 }),
        json!({ "iss": "https://idp.example" }),
        json!({}),
        json!("a"),
        json!([]),
    ] {
        let list = json_list(&[json!({ "session": "b" }), entry.clone()]);
        assert!(known.insert(&fetch, &list, at(1)).is_err(), "{entry}");
    }
    let entry = r#"{"session":"b"}"#;
    for text in [
        String::new(),
        "{}".into(),
        "[]".into(),
        "null".into(),
        format!("[{entry}]"),
        format!(r#"{{"other":[{entry}]}}"#),
        format!(r#"{{"revoked":[{entry}],"more":1}}"#),
        format!(r#"{{"revoked":[{entry}],"revoked":[]}}"#),
        format!(r#"{{"revoked":{entry}}}"#),
        format!(r#"{{"revoked":[{entry}]}} x"#),
        format!(r#"{{"revoked":[{entry}"#),
        format!(r#"{{"revoked":[{entry},]}}"#),
        r#"{"revoked":[{"session":"b","session":"c"}]}"#.into(),
        r#"{"revoked":null}"#.into(),
        "<html>".into(),
        "carded".into(),
        format!(r#"{{"revoked":[{}]}}"#, vec![entry; 10_001].join(",")),
        format!("{}{{\"revoked\":[]}}", " ".repeat(2 * 1024 * 1024)),
    ] {
        assert!(known.insert(&fetch, &reply(text.clone()), at(1)).is_err(), "{}", &text[..text.len().min(60)]);
    }
    for status in [204, 206, 301, 404, 500] {
        assert!(known.insert(&fetch, &Reply { status, ..json_list(&[]) }, at(1)).is_err());
    }
    // what was there is still there, and serves its time
    assert!(matches!(marks().standing(&trust, &known, at(13)), Standing::Revoked));
    assert!(matches!(marks().standing(&trust, &known, at(14)), Standing::Need(_)));
    // ten thousand are no more than it takes
    let most: Vec<_> = (0..10_000).map(|number| json!({ "session": format!("s{number}") })).collect();
    known.insert(&fetch, &json_list(&most), at(2)).unwrap();
    assert!(matches!(marks().standing(&trust, &known, at(13)), Standing::Good));
}

#[test]
fn threat_98_a_list_that_is_too_old_or_was_never_there_refuses() {
    let (trust, mut known, fetch) = world();
    let marks = Marks::new(vec![subject(1)], Some(at(0)));
    let is_due = |known: &Documents, now| !known.due(&trust, now).is_empty();
    assert!(matches!(marks.standing(&trust, &known, at(0)), Standing::Need(_)) && is_due(&known, at(0)));
    known.fail(&fetch, carded_verifier::FetchFailure::Timeout, at(0));
    for (now, needs) in [(0, false), (4, false), (5, true)] {
        match marks.standing(&trust, &known, at(now)) {
            Standing::Unavailable(left) => assert!(!needs && left <= Duration::from_secs(5), "{now}"),
            Standing::Need(_) => assert!(needs, "{now}"),
            other => panic!("{other:?} at {now}"),
        }
        assert_eq!(is_due(&known, at(now)), needs);
    }
    known.insert(&fetch, &json_list(&[]), at(10)).unwrap();
    assert!(matches!(marks.standing(&trust, &known, at(23)), Standing::Good));
    assert!(!is_due(&known, at(14)) && is_due(&known, at(15)));
    // the publisher is down: the last list serves its time, and not a second more, remembered or not
    known.fail(&fetch, carded_verifier::FetchFailure::Unreachable, at(22));
    assert!(matches!(marks.standing(&trust, &known, at(23)), Standing::Good));
    assert!(matches!(marks.standing(&trust, &known, at(24)), Standing::Unavailable(_)));
    // it says that nothing changed
    assert!(known.renew(&fetch, at(30)));
    assert!(matches!(marks.standing(&trust, &known, at(43)), Standing::Good));
    assert!(matches!(marks.standing(&trust, &known, at(44)), Standing::Need(_)));
    // to say so of a list that is not there is a failure
    let (_, mut nothing, fetch) = world();
    assert!(!nothing.renew(&fetch, at(0)));
    assert!(nothing.insert(&fetch, &Reply { status: 304, ..json_list(&[]) }, at(0)).is_err());
}

#[test]
fn what_was_asked_once_is_asked_again_when_the_list_changes() {
    let (trust, mut known, fetch) = world();
    let marks = Marks::new(vec![subject(1), subject(2)], Some(at(0)));
    known.insert(&fetch, &json_list(&[]), at(0)).unwrap();
    assert!(matches!(marks.standing(&trust, &known, at(1)), Standing::Good));
    let sub = |number| json!({ "sub": format!("user-{number}"), "iss": "https://idp.example" });
    known.insert(&fetch, &json_list(&[sub(3)]), at(1)).unwrap();
    assert!(matches!(marks.standing(&trust, &known, at(1)), Standing::Good));
    known.insert(&fetch, &json_list(&[sub(3), sub(2)]), at(2)).unwrap();
    assert!(matches!(marks.standing(&trust, &known, at(2)), Standing::Revoked));
    assert!(matches!(marks.standing(&trust, &known, at(3)), Standing::Revoked), "every time");
    known.insert(&fetch, &json_list(&[sub(3)]), at(4)).unwrap();
    assert!(matches!(marks.standing(&trust, &known, at(4)), Standing::Good), "taken back");
}

#[test]
fn a_token_is_revoked_by_its_subject_its_id_its_session_and_the_key_that_signed_it() {
    let mut claims = with("sid", json!("s1"));
    claims.insert("jti".to_owned(), json!("j1"));
    let token = sign(&claims);
    // it names no key; the set does
    let nameless = sign_header(json!({ "alg": "EdDSA" }));
    let revoked = |token: &str, entry: Value| {
        let mut world = World::new();
        let fetch = self::world().2;
        let source = RevocationSource {
            url: fetch.url().clone(),
            refresh: Duration::from_secs(5),
            serves: Duration::from_secs(10),
        };
        world.trust = world.trust.with_revocations(vec![source]);
        world.known.insert(&fetch, &json_list(&[entry]), Timestamp::from_unix(NOW)).unwrap();
        let (condensed, _) = world.ok(token).condensed(&world.trust, &Arc::default());
        let marks = condensed.marks().unwrap();
        matches!(marks.standing(&world.trust, &world.known, Timestamp::from_unix(NOW + 1)), Standing::Revoked)
    };
    for (word, value) in [("sub", "alice"), ("jti", "j1"), ("sid", "s1"), ("kid", "EdDSA")] {
        assert!(revoked(&token, json!({ word: value, "iss": ISS })), "{word}");
        assert!(!revoked(&token, json!({ word: value, "iss": "https://other.example.com" })), "{word}");
        assert!(!revoked(&token, json!({ word: "another", "iss": ISS })), "{word}");
    }
    assert!(revoked(&nameless, json!({ "kid": "EdDSA", "iss": ISS })));
    // `iat` is ten seconds ago
    assert!(revoked(&token, json!({ "sub": "alice", "iss": ISS, "before": NOW - 9 })));
    assert!(!revoked(&token, json!({ "sub": "alice", "iss": ISS, "before": NOW - 10 })));
    assert!(revoked(&sign(&without("iat")), json!({ "sub": "alice", "iss": ISS, "before": 1 })));
    // where nothing can be revoked nothing is kept for it
    let world = World::new();
    assert!(world.ok(&token).condensed(&world.trust, &Arc::default()).0.marks().is_none());
}

#[test]
fn a_million_entries_are_found_in_five_megabytes() {
    let entries: Vec<Entry> = (0..1_000_000).map(|number| any(subject(number))).collect();
    let built = build(&entries, [7; 16]).unwrap();
    assert_eq!(built.len(), 36 + 4 * (1 << 15) + 4 + 5 * 1_000_000);
    let list = Compact::of_slice(&built).unwrap();
    assert_eq!((list.len(), list.size(), list.salt()), (1_000_000, built.len(), [7; 16]));
    assert!((0..1_000_000).step_by(997).all(|number| list.covers(subject(number), None)));
    assert!(list.covers(subject(999_999), Some(at(0))));
    assert!((1_000_000..1_020_000).all(|number| !list.covers(subject(number), None)));
}

#[test]
fn both_tables_of_every_size_hold_what_was_put_in() {
    for (any_count, timed) in [(0, 0), (1, 0), (0, 1), (15, 17), (16, 31), (1000, 33), (40_000, 9_000)] {
        let mut entries: Vec<Entry> = (0..any_count).map(|number| any(subject(number))).collect();
        let time = |number: u64| Timestamp::from_unix(T + i64::try_from(number % 100).unwrap());
        entries
            .extend((0..timed).map(|number| Entry { mark: subject(1_000_000 + number), before: Some(time(number)) }));
        let built = build(&entries, [3; 16]).unwrap();
        let list = Compact::of_slice(&built).unwrap();
        assert_eq!(list.len(), entries.len());
        assert!((0..any_count).all(|number| list.covers(subject(number), Some(at(1 << 30)))));
        for number in 0..timed {
            let mark = subject(1_000_000 + number);
            let just_before = Timestamp::from_unix(time(number).unix() - 1);
            assert!(list.covers(mark, None) && list.covers(mark, Some(just_before)));
            assert!(!list.covers(mark, Some(time(number))));
        }
        assert!((2_000_000..2_010_000).all(|number| !list.covers(subject(number), None)));
        // it is its own pages
        let pages: Vec<u8> = list.pages().flatten().copied().collect();
        assert_eq!(pages, built);
    }
    // the last time that there is
    let last = Timestamp::from_unix((1 << 40) - 1);
    let list = Compact::of_slice(&build(&[Entry { mark: subject(1), before: Some(last) }], [0; 16]).unwrap()).unwrap();
    assert!(
        list.covers(subject(1), Some(Timestamp::from_unix(last.unix() - 1))) && !list.covers(subject(1), Some(last))
    );
    // too many that are alike
    assert!(build(&vec![any(subject(1)); 1025], [0; 16]).is_none());
    assert!(build(&vec![any(subject(1)); 1024], [0; 16]).is_some());
}

#[test]
fn nothing_but_the_compact_form_is_taken_for_it() {
    let entries: Vec<Entry> =
        (0..20_000).map(|number| Entry { mark: subject(number), before: (number % 3 == 0).then(|| at(0)) }).collect();
    let good = build(&entries, [1; 16]).unwrap();
    assert!(Compact::of_slice(&good).is_some() && good.len() > 2 * PAGE);
    for length in (0..good.len()).step_by(1009).chain([good.len() - 1]) {
        assert!(Compact::of_slice(&good[..length]).is_none(), "{length}");
    }
    assert!(Compact::of_slice(&[&good[..], &[0]].concat()).is_none());
    // every bit of the head but the salt counts, and so do the indexes
    for at in (0..8).chain(24..36) {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(Compact::of_slice(&bad).is_none(), "{at} {bit}");
        }
    }
    let index = 4 * ((1 << 9) + (1 << 8));
    for at in (36..36 + index).step_by(4) {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&[0xff; 4]);
        assert!(Compact::of_slice(&bad).is_none(), "{at}");
    }
    // whatever else is in it, looking something up ends
    let mut other = good.clone();
    other[36 + index..].fill(0);
    assert!(!Compact::of_slice(&other).unwrap().covers(subject(1), None));
    assert!(Compact::of_slice(&[]).is_none());
    assert!(Compact::of_slice(&[0xff; 100]).is_none());
}

#[test]
fn a_newer_list_takes_the_place_of_the_older_one_or_leaves_it_whole() {
    let list = |from: u64, to: u64| build(&(from..to).map(|n| any(subject(n))).collect::<Vec<_>>(), [2; 16]).unwrap();
    let (long, short, other) = (list(0, 90_000), list(0, 10), list(5_000, 95_000));
    let mut held = Compact::of_slice(&long).unwrap();
    assert_eq!(held.replace(long.len(), &mut pages_of(&long)), Ok(Taken::Same));
    assert_eq!(held.replace(short.len(), &mut pages_of(&short)), Ok(Taken::Changed));
    assert!(held.covers(subject(9), None) && !held.covers(subject(10), None));
    assert_eq!(held.pages().map(<[u8]>::len).sum::<usize>(), short.len());
    assert_eq!(held.replace(long.len(), &mut pages_of(&long)), Ok(Taken::Changed));
    // a bad one, known by its first page, by its last, by its length
    let mut bad = other.clone();
    bad[0] = b'C';
    assert_eq!(held.replace(bad.len(), &mut pages_of(&bad)), Err(NotTaken::Malformed));
    let mut last_is_missing = |number| if (number + 1) * PAGE < other.len() { pages_of(&other)(number) } else { None };
    assert_eq!(held.replace(other.len(), &mut last_is_missing), Err(NotTaken::Malformed));
    assert_eq!(held.replace(other.len() - 1, &mut pages_of(&other)), Err(NotTaken::Malformed));
    assert_eq!(held.replace(usize::MAX, &mut pages_of(&other)), Err(NotTaken::Malformed));
    assert!(held.covers(subject(0), None) && held.covers(subject(89_999), None) && !held.covers(subject(90_000), None));
    // it goes away while it is read
    let mut reads = 0;
    let pages = other.len().div_ceil(PAGE);
    let mut torn = |number| {
        reads += 1;
        if reads <= pages + 1 { pages_of(&other)(number) } else { None }
    };
    assert_eq!(held.replace(other.len(), &mut torn), Err(NotTaken::Torn));
    // and what held it has none any more: everything is refused until it comes again
    let (trust, mut known, fetch) = world();
    known.insert(&fetch, &reply(long), at(0)).unwrap();
    let marks = Marks::new(vec![subject(94_000)], None);
    assert!(matches!(marks.standing(&trust, &known, at(1)), Standing::Good));
    let mut reads = 0;
    let mut torn = |number| {
        reads += 1;
        if reads <= pages + 1 { pages_of(&other)(number) } else { None }
    };
    assert!(known.insert_pages(&fetch, other.len(), &mut torn, None, at(2)).is_err());
    assert!(matches!(marks.standing(&trust, &known, at(3)), Standing::Unavailable(_)));
    known.insert_pages(&fetch, other.len(), &mut pages_of(&other), Some("\"2\""), at(4)).unwrap();
    assert!(matches!(marks.standing(&trust, &known, at(5)), Standing::Revoked));
    assert_eq!(known.revocation_list(&fetch).and_then(|(_, etag)| etag), Some("\"2\""));
}

#[test]
fn the_compact_form_is_what_the_readme_says() {
    // written by hand: one entry of each table, no index bits
    let (salt, mark) = ([9; 16], Mark::of(Kind::Session, "", "s"));
    let built = build(&[any(mark), Entry { mark, before: Some(Timestamp::from_unix(0x01_0203_0405)) }], salt).unwrap();
    let mut hash = <sha2::Sha256 as sha2::Digest>::digest([&[1][..], &[0; 8], b"s"].concat()).to_vec();
    hash.truncate(8);
    let salted = <sha2::Sha256 as sha2::Digest>::digest([&salt[..], &hash].concat());
    let stored = &salted[4..9];
    let by_hand = [
        b"carded\0\x01",
        &salt[..],
        &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        &[0, 0, 0, 1],
        &[0, 0, 0, 1],
        stored,
        stored,
        &[1, 2, 3, 4, 5],
    ]
    .concat();
    assert_eq!(built, by_hand);
    assert_eq!(compact::MEDIA_TYPE, "application/vnd.carded.revocations");
}

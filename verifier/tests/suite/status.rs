//! Threats 55 to 60: whether the issuer has taken a credential back. And the vectors of the Token Status List draft.
use crate::shop::*;
use crate::support::*;
use crate::vector_files;
use carded_verifier::sign::SigningKey;
use carded_verifier::status_list::{EncodeError, encode_status_list};
use carded_verifier::{
    Class, Code, DocumentKind, Fetch, FetchFailure, LifetimeBounds, Limits, Outcome, StatusReference, StatusRule,
    StatusUnavailable, base64url, verify_status,
};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A shop that knows the DMV, and the fetch of its status list.
fn before_the_list() -> (Shop, Fetch, String) {
    let mut shop = Shop::empty(vec![policy()]);
    let presentation = present(&issue(ada()));
    let fetch = shop.need_at(&presentation, 0);
    shop.put(&fetch, metadata(DMV, &[&dmv_key()]), 0);
    let fetch = shop.need_at(&presentation, 0);
    assert_eq!((fetch.kind(), fetch.url().as_str()), (DocumentKind::StatusList, LIST));
    (shop, fetch, presentation)
}

fn code_with(list: &str) -> Code {
    let (mut shop, fetch, presentation) = before_the_list();
    shop.put(&fetch, list, 0);
    shop.code(presentation)
}

#[test]
fn what_a_status_means() {
    assert_eq!(code_with(&status_list(&[(5, 1)])), Code::CredentialRevoked);
    assert_eq!(code_with(&status_list(&[(5, 2)])), Code::CredentialSuspended);
    assert_eq!(code_with(&status_list(&[(5, 3)])), Code::StatusInvalid);
    let (mut shop, fetch, presentation) = before_the_list();
    // all others are none of its business
    let others: Vec<(usize, u8)> = (0..16).filter(|place| *place != 5).map(|place| (place, 1)).collect();
    shop.put(&fetch, status_list(&others), 0);
    shop.accepts(presentation);
}

#[test]
fn threat_55_the_list_is_sound_by_itself() {
    let list = |change: fn(&mut Map<String, Value>, &mut Map<String, Value>)| status_list_by(&dmv_key(), &[], change);
    let (mut shop, fetch, presentation) = before_the_list();
    shop.put(&fetch, list(|_, _| {}), 0);
    shop.accepts(presentation);
    for (what, bad) in [
        ("typ", list(|header, _| drop(header.insert("typ".to_owned(), json!("JWT"))))),
        ("no typ", list(|header, _| drop(header.remove("typ")))),
        ("alg", list(|header, _| drop(header.insert("alg".to_owned(), json!("HS256"))))),
        ("kid", list(|header, _| drop(header.insert("kid".to_owned(), json!("dmv-9"))))),
        ("sub", list(|_, claims| drop(claims.insert("sub".to_owned(), json!("https://dmv.example/status/2"))))),
        ("no sub", list(|_, claims| drop(claims.remove("sub")))),
        ("exp", list(|_, claims| drop(claims.insert("exp".to_owned(), json!(NOW))))),
        ("exp text", list(|_, claims| drop(claims.insert("exp".to_owned(), json!("never"))))),
        ("iat", list(|_, claims| drop(claims.insert("iat".to_owned(), json!(NOW + 100))))),
        ("no iat", list(|_, claims| drop(claims.remove("iat")))),
        ("iss", list(|_, claims| drop(claims.insert("iss".to_owned(), json!("https://evil.example"))))),
        ("foreign key", status_list_by(&thief_key(), &[], |_, _| {})),
    ] {
        let code = code_with(&bad);
        assert!(matches!(code, Code::StatusInvalid | Code::ClaimInvalid), "{what}: {code}");
    }
    // a list whose shape is not sound is not even kept
    let (mut shop, fetch, presentation) = before_the_list();
    for bad in [
        "{}".to_owned(),
        list(|_, claims| drop(claims.remove("status_list"))),
        list(|_, claims| claims["status_list"]["bits"] = json!(3)),
        list(|_, claims| claims["status_list"]["lst"] = json!("a+b")),
        list(|_, claims| drop(claims.insert("ttl".to_owned(), json!(-1)))),
        list(|_, claims| drop(claims.insert("ttl".to_owned(), json!("15")))),
    ] {
        assert!(shop.known.insert(&fetch, &reply(bad), at(0)).is_err());
        assert_eq!(shop.code(&presentation), Code::StatusUnavailable);
    }
}

#[test]
fn threat_55_the_signer_is_trusted_for_it() {
    const STATE: &str = "https://state.example";
    let state = SigningKey::generate(es256(), "state", &[51; 32]).unwrap();
    let by_state = |iss: Option<&str>| {
        status_list_by(&state, &[], |_, claims| {
            if let Some(iss) = iss {
                claims.insert("iss".to_owned(), json!(iss));
            }
        })
    };
    // one who is trusted for credentials is not so for another's status
    let mut policy = policy();
    policy.trusted_issuers.push(trusted(STATE));
    let mut shop = Shop::empty(vec![policy.clone()]);
    shop.learn(&by_state(Some(STATE)), 0);
    assert_eq!(shop.code(present(&issue(ada()))), Code::StatusInvalid);
    // one who is named for status lists is, and the issuer itself then is not
    policy.trusted_issuers.pop();
    policy.status_issuers = vec![trusted(STATE)];
    for iss in [None, Some(STATE)] {
        let mut shop = Shop::empty(vec![policy.clone()]);
        let presentation = present(&issue(ada()));
        while let Outcome::Need(fetch) = shop.verify_at(&presentation, 0) {
            let body = match fetch.url().authority() {
                "state.example" => metadata(STATE, &[&state]),
                _ if fetch.kind() == DocumentKind::StatusList => by_state(iss).into_bytes(),
                _ => metadata(DMV, &[&dmv_key()]),
            };
            shop.put(&fetch, body, 0);
        }
        shop.accepts(&presentation);
        let Outcome::Need(fetch) = shop.verify_at(&presentation, 20) else { panic!() };
        shop.put(&fetch, status_list(&[]), 20);
        assert_eq!(denied(shop.verify_at(&presentation, 20)).code(), Code::StatusInvalid);
    }
}

#[test]
fn threat_56_a_place_outside_the_list_refuses() {
    let (mut shop, fetch, _) = before_the_list();
    shop.put(&fetch, status_list(&[]), 0);
    let at_place = |idx: Value| present(&issue(ada_with("status", json!({"status_list": {"idx": idx, "uri": LIST}}))));
    shop.accepts(at_place(json!(15)));
    for idx in [json!(16), json!(64), json!(u64::MAX), json!(-1), json!(1.5), json!("5"), json!(null)] {
        assert_eq!(shop.code(at_place(idx.clone())), Code::StatusInvalid, "{idx}");
    }
}

#[test]
fn a_status_that_is_not_understood_refuses() {
    let lax = Shop::with(|policy| policy.status = StatusRule::IfPresent);
    lax.accepts(present(&issue(ada_without("status"))));
    for status in [
        json!(null),
        json!("https://dmv.example/status/1"),
        json!({}),
        json!({"other": {"uri": LIST}}),
        json!({"status_list": []}),
        json!({"status_list": {"idx": 5}}),
        json!({"status_list": {"uri": LIST}}),
        json!({"status_list": {"idx": 5, "uri": [LIST]}}),
        json!({"status_list": {"idx": 5, "uri": "http://dmv.example/status/1"}}),
        json!({"status_list": {"idx": 5, "uri": "https://10.0.0.1/status/1"}}),
    ] {
        let presentation = present(&issue(ada_with("status", status.clone())));
        assert_eq!(lax.code(presentation), Code::StatusInvalid, "{status}");
    }
}

#[test]
fn threat_58_a_bomb_refuses() {
    let (mut shop, fetch, presentation) = before_the_list();
    // 16 MiB of zeros are 16 KiB
    let bomb = base64url::encode(miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 16 << 20], 9));
    let list = |lst: &str| status_list_by(&dmv_key(), &[], |_, claims| claims["status_list"]["lst"] = json!(lst));
    shop.put(&fetch, list(&bomb), 0);
    let denied = shop.denied(&presentation);
    assert_eq!(
        (denied.code(), denied.detail()),
        (Code::StatusInvalid, "the status list inflates to more than the limit")
    );
    assert!(shop.known.memory() < 100_000, "nothing of it is kept: {}", shop.known.memory());
    // the largest that is taken
    let largest = base64url::encode(miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 8 << 20], 9));
    let (mut shop, fetch, presentation) = before_the_list();
    shop.put(&fetch, list(&largest), 0);
    shop.accepts(&presentation);
    assert!(shop.known.memory() > 8 << 20, "it is kept inflated");
    for bad in ["", "AAAA", &bomb[..100]] {
        assert_eq!(code_with(&list(bad)), Code::StatusInvalid);
    }
    // before its signature holds nothing is inflated
    let forged = status_list_by(&thief_key(), &[], |_, claims| claims["status_list"]["lst"] = json!(bomb));
    let (mut shop, fetch, presentation) = before_the_list();
    shop.put(&fetch, forged, 0);
    assert_eq!(shop.denied(&presentation).detail(), "the status list is not signed by one trusted for it");
}

#[test]
fn threat_82_all_lists_together_are_bounded() {
    let limits = Limits { status_list_bytes: 100_000, status_memory: 250_000, ..Limits::default() };
    let mut shop = Shop::limited(vec![policy()], limits);
    let lst = base64url::encode(miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 100_000], 9));
    for number in 0..20 {
        let uri = format!("https://dmv.example/status/{number}");
        let presentation = present(&issue(ada_with("status", json!({"status_list": {"idx": 5, "uri": uri}}))));
        while let Outcome::Need(fetch) = shop.verify_at(&presentation, number) {
            let body = match fetch.kind() {
                DocumentKind::StatusList => status_list_by(&dmv_key(), &[], |_, claims| {
                    claims.insert("sub".to_owned(), json!(uri));
                    claims["status_list"]["lst"] = json!(lst);
                }),
                _ => String::from_utf8(metadata(DMV, &[&dmv_key()])).unwrap(),
            };
            shop.put(&fetch, body, number);
        }
        drop(verified(shop.verify_at(&presentation, number)));
        assert!(shop.known.memory() < 400_000, "{}", shop.known.memory());
    }
}

#[test]
fn threat_59_ttl_is_kept_within_bounds() {
    let bounds = LifetimeBounds {
        default: Duration::from_secs(50),
        min: Duration::from_secs(10),
        max: Duration::from_secs(100),
    };
    for (ttl, max_age, fresh) in [
        (Some(json!(15)), None, 15),
        (Some(json!(15)), Some(60), 15),
        (Some(json!(1)), None, 10),
        (Some(json!(0.25)), None, 10),
        (Some(json!(1e300)), None, 100),
        (Some(json!(u64::MAX)), None, 100),
        (None, Some(60), 60),
        (None, Some(0), 10),
        (None, None, 50),
    ] {
        let limits = Limits { status_lifetime: bounds, ..Limits::default() };
        let mut shop = Shop::limited(vec![policy()], limits);
        let list = status_list_by(&dmv_key(), &[], |_, claims| {
            match &ttl {
                Some(ttl) => claims.insert("ttl".to_owned(), ttl.clone()),
                None => claims.remove("ttl"),
            };
        });
        let presentation = present(&issue(ada()));
        while let Outcome::Need(fetch) = shop.verify_at(&presentation, 0) {
            let status = fetch.kind() == DocumentKind::StatusList;
            let body = if status { list.clone().into_bytes() } else { metadata(DMV, &[&dmv_key()]) };
            let max_age = max_age.filter(|_| status).map(Duration::from_secs);
            shop.known.insert(&fetch, &carded_verifier::Reply { status: 200, body, max_age }, at(0)).unwrap();
        }
        assert_eq!(shop.ok(&presentation).status_until(), Some(at(fresh)), "{ttl:?} {max_age:?}");
        drop(verified(shop.verify_at(&presentation, fresh - 1)));
        assert_eq!(shop.need_at(&presentation, fresh).kind(), DocumentKind::StatusList);
    }
    // no longer than the list itself is valid
    let (mut shop, fetch, presentation) = before_the_list();
    let list = status_list_by(&dmv_key(), &[], |_, claims| drop(claims.insert("exp".to_owned(), json!(NOW + 7))));
    shop.put(&fetch, list, 0);
    assert_eq!(shop.ok(&presentation).status_until(), Some(at(7)));
    assert_eq!(denied(shop.verify_at(&presentation, 7)).code(), Code::StatusInvalid);
}

#[test]
fn threat_60_a_status_that_cannot_be_had_refuses_unless_the_policy_says_otherwise() {
    let (mut shop, fetch, presentation) = before_the_list();
    shop.known.fail(&fetch, FetchFailure::Timeout, at(0));
    let refused = shop.denied(&presentation);
    assert_eq!((refused.code(), refused.class()), (Code::StatusUnavailable, Class::Unavailable));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)));
    // a list of before never serves once it is old, as keys do
    let (mut shop, fetch, presentation) = before_the_list();
    shop.put(&fetch, status_list(&[]), 0);
    shop.known.fail(&fetch, FetchFailure::Timeout, at(16));
    assert_eq!(denied(shop.verify_at(&presentation, 16)).code(), Code::StatusUnavailable);

    let accept = |list: Option<String>| {
        let mut shop = Shop::with(|policy| policy.status_unavailable = StatusUnavailable::Accept);
        let Outcome::Need(fetch) = shop.verify_at(&presentation, 20) else { panic!() };
        match list {
            Some(list) => shop.put(&fetch, list, 20),
            None => shop.known.fail(&fetch, FetchFailure::Unreachable, at(20)),
        }
        shop.verify_at(&presentation, 20)
    };
    assert_eq!(verified(accept(None)).status_until(), Some(at(50)), "it is looked up again after the cooldown");
    // what can be had counts
    assert_eq!(denied(accept(Some(status_list(&[(5, 1)])))).code(), Code::CredentialRevoked);
    assert_eq!(denied(accept(Some(status_list_by(&thief_key(), &[], |_, _| {})))).code(), Code::StatusInvalid);
}

#[test]
fn threat_60_nor_one_whose_signer_cannot_be_looked_up() {
    let presentation = present(&issue(ada()));
    for (unavailable, code) in
        [(StatusUnavailable::Refuse, Some(Code::KeysUnavailable)), (StatusUnavailable::Accept, None)]
    {
        let mut policy = policy();
        policy.status_issuers = vec![trusted("https://state.example")];
        policy.status_unavailable = unavailable;
        let mut shop = Shop::empty(vec![policy]);
        while let Outcome::Need(fetch) = shop.verify_at(&presentation, 0) {
            match (fetch.kind(), fetch.url().authority()) {
                (DocumentKind::StatusList, _) => shop.put(&fetch, status_list(&[]), 0),
                (_, "state.example") => shop.known.fail(&fetch, FetchFailure::Timeout, at(0)),
                _ => shop.put(&fetch, metadata(DMV, &[&dmv_key()]), 0),
            }
        }
        match code {
            Some(code) => assert_eq!(shop.code(&presentation), code),
            None => assert_eq!(shop.ok(&presentation).status_until(), Some(at(30))),
        }
    }
}

#[test]
fn a_list_that_is_not_sound_is_fetched_again_a_cooldown_later() {
    let (mut shop, fetch, presentation) = before_the_list();
    let long = |_: &mut Map<String, Value>, claims: &mut Map<String, Value>| {
        drop(claims.insert("ttl".to_owned(), json!(3600)))
    };
    shop.put(&fetch, status_list_by(&thief_key(), &[], long), 0);
    assert_eq!(denied(shop.verify_at(&presentation, 29)).code(), Code::StatusInvalid);
    assert_eq!(shop.need_at(&presentation, 30), fetch);
    shop.put(&fetch, status_list(&[]), 30);
    drop(verified(shop.verify_at(&presentation, 30)));
}

#[test]
fn a_session_looks_the_status_up_again() {
    let (mut shop, fetch, presentation) = before_the_list();
    shop.put(&fetch, status_list(&[]), 0);
    let credential = shop.ok(&presentation);
    let kept: StatusReference =
        serde_json::from_str(&serde_json::to_string(credential.status().unwrap()).unwrap()).unwrap();
    let version = shop.known.version();
    let look = |shop: &Shop, issuer: &str, offset: i64| {
        verify_status(&kept, issuer, shop.index(), &shop.trust, &shop.known, at(offset))
    };
    assert_eq!(verified(look(&shop, DMV, 10)).until(), at(15));
    assert!(matches!(look(&shop, DMV, 15), Outcome::Need(again) if again == fetch));
    shop.put(&fetch, status_list(&[(5, 1)]), 15);
    assert_eq!(denied(look(&shop, DMV, 15)).code(), Code::CredentialRevoked);
    assert_ne!(
        shop.known.version(),
        version,
        "who remembers a status looks it up again as soon as the list says anything else"
    );
    assert_eq!(denied(look(&shop, "https://evil.example", 15)).code(), Code::StatusInvalid);
}

#[test]
fn lists_are_encoded_as_they_are_read() {
    for bits in [1, 2, 4, 8] {
        let most = ((1_u16 << bits) - 1) as u8;
        let statuses: Vec<u8> = (0..999_u16).map(|n| (n * 7 % 256) as u8 & most).collect();
        assert_eq!(read_all(&encode_status_list(bits, &statuses).unwrap(), statuses.len()), statuses);
        if bits < 8 {
            assert_eq!(encode_status_list(bits, &[0, most + 1]), Err(EncodeError::Status(1)));
        }
    }
    for bits in [0, 3, 5, 16] {
        assert_eq!(encode_status_list(bits, &[]), Err(EncodeError::Bits));
    }
}

/// The statuses of a list, read through the verifier: 0 is good, 1 revoked, 2 suspended, and all else invalid.
fn read_all(list: &Value, length: usize) -> Vec<u8> {
    let bits = list["bits"].as_u64().unwrap();
    let lst: String = list["lst"].as_str().unwrap().split_whitespace().collect();
    let packed = miniz_oxide::inflate::decompress_to_vec_zlib(&base64url::decode(lst).unwrap()).unwrap();
    let status = |place: u64| {
        let byte = packed[usize::try_from(place * bits / 8).unwrap()];
        byte >> (place * bits % 8) & (((1_u16 << bits) - 1) as u8)
    };
    (0..length as u64).map(status).collect()
}

/// `byte_array` and `encoded` of a vector.
fn encoding(text: &str) -> (Vec<u8>, Value) {
    let (head, encoded) = text.split_once("encoded:").unwrap();
    let bytes = head.split("0x").skip(1).map(|hex| u8::from_str_radix(&hex[..2], 16).unwrap()).collect();
    let joined: String = encoded.lines().map(str::trim).collect();
    (bytes, serde_json::from_str(&joined).unwrap())
}

#[test]
fn threat_57_bit_order_by_the_vectors_of_the_draft() {
    let Some(folder) = vector_files::folder("token-status-list") else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    // section 4.1 and appendix: each status of each list is what the draft says
    for (name, statuses) in [
        ("status_list_encoding_json.md", vec![1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]),
        ("status_list_encoding2_json.md", vec![1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]),
    ] {
        let (bytes, list) = encoding(&read(name));
        assert_eq!(read_all(&list, statuses.len()), statuses, "{name}");
        for (place, status) in statuses.iter().enumerate() {
            assert_eq!(through_the_verifier(&list, place as u64), code_of(*status), "{name} {place}");
        }
        // and what is made here is packed as theirs
        let bits = u8::try_from(list["bits"].as_u64().unwrap()).unwrap();
        let made = encode_status_list(bits, &statuses).unwrap();
        let lst = base64url::decode(made["lst"].as_str().unwrap()).unwrap();
        assert_eq!(miniz_oxide::inflate::decompress_to_vec_zlib(&lst).unwrap(), bytes, "{name}");
    }
}

fn code_of(status: u8) -> Option<Code> {
    match status {
        0 => None,
        1 => Some(Code::CredentialRevoked),
        2 => Some(Code::CredentialSuspended),
        _ => Some(Code::StatusInvalid),
    }
}

/// What the verifier says of a place in a list: `None` where the status is good.
fn through_the_verifier(list: &Value, idx: u64) -> Option<Code> {
    let mut shop = Shop::empty(vec![policy()]);
    let presentation = present(&issue(ada_with("status", json!({"status_list": {"idx": idx, "uri": LIST}}))));
    while let Outcome::Need(fetch) = shop.verify_at(&presentation, 0) {
        let body = match fetch.kind() {
            DocumentKind::StatusList => status_list_by(&dmv_key(), &[], |_, claims| {
                let lst: String = list["lst"].as_str().unwrap().split_whitespace().collect();
                claims.insert("status_list".to_owned(), json!({"bits": list["bits"], "lst": lst}));
            })
            .into_bytes(),
            _ => metadata(DMV, &[&dmv_key()]),
        };
        shop.put(&fetch, body, 0);
    }
    match shop.verify_at(&presentation, 0) {
        Outcome::Verified(_) => None,
        Outcome::Denied(denied) => Some(denied.code()),
        Outcome::Need(_) => panic!(),
    }
}

/// The draft's test vectors for compressed lists of a million places and more.
#[test]
fn threat_57_long_lists_by_the_vectors_of_the_draft() {
    let Some(folder) = vector_files::folder("token-status-list") else { return };
    let mut read = 0;
    for name in [
        "status_list_encoding1_long_json.md",
        "status_list_encoding2_long_json.md",
        "status_list_encoding4_json.md",
        "status_list_encoding8_json.md",
    ] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let start = text.find('{').unwrap();
        let joined: String = text[start..].lines().map(str::trim).collect();
        let list: Value = serde_json::from_str(&joined).unwrap();
        for (place, status) in long_places(name) {
            let mut statuses = read_all(&list, usize::try_from(place).unwrap() + 1);
            assert_eq!(statuses.pop(), Some(status), "{name} {place}");
            assert_eq!(through_the_verifier(&list, place), code_of(status), "{name} {place}");
            read += 1;
        }
    }
    assert!(read > 20);
}

/// Appendix "Test vectors for Status List encoding": what is not named there is 0.
fn long_places(name: &str) -> Vec<(u64, u8)> {
    match name {
        "status_list_encoding1_long_json.md" => vec![
            (0, 1),
            (1993, 1),
            (25460, 1),
            (159495, 1),
            (495669, 1),
            (554353, 1),
            (645645, 1),
            (723232, 1),
            (854545, 1),
            (934534, 1),
            (1000345, 1),
            (1, 0),
            (1994, 0),
        ],
        "status_list_encoding2_long_json.md" => vec![
            (0, 1),
            (1993, 2),
            (25460, 1),
            (159495, 3),
            (495669, 1),
            (554353, 1),
            (645645, 2),
            (723232, 1),
            (854545, 1),
            (934534, 2),
            (1000345, 3),
            (1, 0),
        ],
        "status_list_encoding4_json.md" => vec![
            (0, 1),
            (1993, 2),
            (35460, 3),
            (459495, 4),
            (595669, 5),
            (754353, 6),
            (845645, 7),
            (923232, 8),
            (924445, 9),
            (934534, 10),
            (1004534, 11),
            (1000345, 12),
            (1030203, 13),
            (1030204, 14),
            (1030205, 15),
        ],
        _ => vec![(233478, 0), (52451, 1), (576778, 2), (513575, 3), (468106, 4), (292632, 5), (214947, 6)],
    }
}

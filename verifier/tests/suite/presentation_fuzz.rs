//! No presentation verifies after any single change, and any bytes at all are refused without harm.
use crate::shop::*;
use crate::support::*;
use carded_verifier::Outcome;
use proptest::prelude::*;
use std::sync::LazyLock;

static WORLD: LazyLock<Shop> = LazyLock::new(Shop::new);
static ISSUED: LazyLock<String> = LazyLock::new(|| issue(ada()));
static GOOD: LazyLock<String> = LazyLock::new(|| {
    present_paths(&ISSUED, &[place(&["age_equal_or_over", "21"]), place(&["nationalities"]), place(&["address"])])
});

fn verifies(bytes: impl AsRef<[u8]>) -> bool {
    matches!(WORLD.verify_at(bytes, 0), Outcome::Verified(_))
}

#[test]
fn no_byte_of_a_presentation_can_be_another_be_missing_or_be_added() {
    let good = GOOD.as_bytes();
    assert!(verifies(good));
    for place in 0..good.len() {
        for byte in [good[place] ^ 1, good[place] ^ 32, b'~', b'.', 0] {
            if byte != good[place] {
                let mut other = good.to_vec();
                other[place] = byte;
                assert!(!verifies(&other), "byte {place} as {byte}");
            }
        }
        let mut shorter = good.to_vec();
        shorter.remove(place);
        assert!(!verifies(&shorter), "without byte {place}");
        assert!(!verifies(&good[..place]), "cut at {place}");
        for byte in [b'~', b'A'] {
            let mut longer = good.to_vec();
            longer.insert(place, byte);
            assert!(!verifies(&longer), "with {byte} at {place}");
        }
    }
    for end in ["~", "A", "\n", " ", "~~"] {
        assert!(!verifies(format!("{}{end}", *GOOD)));
    }
}

#[test]
fn no_part_can_be_dropped_doubled_moved_or_taken_from_another() {
    let parts: Vec<&str> = GOOD.split('~').collect();
    assert!(parts.len() > 5);
    let other = present_paths(&issue(ada_with("jti", serde_json::json!("2"))), &over_21());
    let others: Vec<&str> = other.split('~').collect();
    for place in 0..parts.len() {
        let mut dropped = parts.clone();
        dropped.remove(place);
        assert!(!verifies(dropped.join("~")), "without part {place}");
        let mut doubled = parts.clone();
        doubled.insert(place, parts[place]);
        assert!(!verifies(doubled.join("~")), "part {place} twice");
        for other in place + 1..parts.len() {
            let mut moved = parts.clone();
            moved.swap(place, other);
            assert!(!verifies(moved.join("~")), "parts {place} and {other} swapped");
        }
        for foreign in &others {
            let mut mixed = parts.clone();
            mixed[place] = foreign;
            assert!(*foreign == parts[place] || !verifies(mixed.join("~")), "a foreign part at {place}");
        }
    }
    // every other disclosure of the very same credential, put in
    for held in ISSUED.split('~').skip(1).filter(|part| !part.is_empty() && !parts.contains(part)) {
        let mut more = parts.clone();
        more.insert(1, held);
        assert!(!verifies(more.join("~")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(!verifies(&bytes));
    }

    #[test]
    fn any_text_of_its_letters_is_refused(text in "[A-Za-z0-9_.~-]{0,300}") {
        prop_assert!(!verifies(&text));
    }

    #[test]
    fn any_document_is_looked_at_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), value in any_json()) {
        let presentation = present(&ISSUED);
        let mut shop = Shop::empty(vec![policy()]);
        for body in [bytes, value.to_string().into_bytes(), metadata(DMV, &[&dmv_key()])] {
            if let Outcome::Need(fetch) = shop.verify_at(&presentation, 0) {
                let _ = shop.known.insert(&fetch, &reply(body), at(0));
            }
            prop_assert!(!matches!(shop.verify_at(&presentation, 0), Outcome::Verified(_)));
        }
    }

    #[test]
    fn any_change_of_a_stretch_is_refused(
        at in any::<prop::sample::Index>(),
        length in 0_usize..40,
        with in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let start = at.index(GOOD.len());
        let end = (start + length).min(GOOD.len());
        let mut other = GOOD.as_bytes().to_vec();
        other.splice(start..end, with);
        prop_assert!(other == GOOD.as_bytes() || !verifies(&other));
    }

    #[test]
    fn any_payload_and_disclosures_are_looked_at_without_harm(
        members in prop::collection::btree_map("_sd|\\.\\.\\.|[a-z]{1,3}", any_json(), 0..4),
        disclosures in prop::collection::vec(any_json(), 0..4),
    ) {
        let texts: Vec<String> = disclosures.into_iter().map(disclosure).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let presentation = raw(payload(members.into_iter().collect()), &texts);
        // a decoy or an open claim verifies, and a disclosure without its digest never
        prop_assert!(texts.is_empty() || !verifies(presentation));
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        "[a-z]{0,4}|_sd|\\.\\.\\.".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("_sd|\\.\\.\\.|[a-z]{1,3}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

//! What is remembered of tokens, weighed by an allocator that counts: how much a full cache takes, that it does not grow,
//! and what a request allocates whose token is remembered.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carded_gate::{Around, Budget, Config, Decision, Gate, InMemory, Request, Silent, Step, Verdicts};
use carded_verifier::{Documents, RustCrypto, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

const NOW: i64 = 1_790_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// As many verdicts as are remembered unless the configuration says otherwise.
const CAPACITY: usize = 10_000;

/// The system's allocator, counted. The tests run in one thread: there is one test.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// What the allocator itself takes for each block, and the blocks' granularity, about as dlmalloc does it in Wasm.
fn weight(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16)
}

// SAFETY: every call goes to the system's allocator as it came; the counters allocate nothing.
#[allow(unsafe_code, reason = "an allocator cannot be made without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(weight(layout), Ordering::Relaxed);
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(weight(layout), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn gate() -> Gate {
    let config = json!({
        "issuers": { "corp": {
            "issuer": "https://idp.example.com", "audiences": ["api"], "algorithms": ["HS256"],
            "keys": { "secret": { "env": "SECRET" } }, "roles": "realm_access.roles",
        } },
        "rules": [{ "match": { "path": "/api/**" }, "require": { "token": "corp" }, "authorize": true }],
        "policies": [{ "effect": "allow", "subjects": ["role:corp.clerk", "scope:corp.none"], "actions": ["*"],
                       "resources": ["/api/**"] }],
        "forward": { "headers": { "x-subject": "corp.sub", "x-email": "corp.email" } },
    });
    let environment = |_: &str| Some(SECRET.to_owned());
    Gate::new(&Config::from_value(config).unwrap(), &environment, Arc::new(RustCrypto)).unwrap()
}

/// A token of ten claims and about 900 bytes, with `more` claims that nobody asks for.
fn token(number: usize, more: usize) -> String {
    let mut claims = json!({
        "iss": "https://idp.example.com", "aud": "api", "iat": NOW, "exp": NOW + 3600,
        "sub": format!("6f2c4f0e-5b0a-4c53-9e5e-{number:012}"), "jti": format!("b3c1e7f0-2f6d-4d0c-8a55-{number:012}"),
        "email": format!("person-{number}@mail.example.com"), "scope": "openid profile email read write",
        "realm_access": { "roles": ["clerk", "auditor", "staff", "offline_access"] },
        "address": { "street": "1 Long Street", "city": "Springfield", "note": "x".repeat(200) },
    });
    for extra in 0..more {
        claims[format!("extra-{extra}")] = json!([extra, "text"]);
    }
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"at+jwt"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn request(token: &str) -> Request {
    let authorization = format!("Bearer {token}");
    let pairs =
        [(":method", "GET"), (":path", "/api/x"), (":authority", "api.example.com"), ("authorization", &authorization)];
    Request::from_pairs(pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

fn decide(gate: &Gate, known: &Documents, verdicts: &mut Verdicts, request: &Request) -> Decision {
    let mut around = Around {
        verdicts,
        once: &mut InMemory::default(),
        budget: &mut Budget::default(),
        random: &mut |_| false,
        connection: &mut |_| None,
        now: Timestamp::from_unix(NOW),
    };
    let decision = gate.decide(request, known, &mut around, &mut Silent);
    assert!(matches!(decision.step, Step::Forward(_)), "{:?}", decision.step);
    decision
}

/// Decides on a request whose token is remembered: how often it allocates, and how many bytes.
fn cost_of_a_hit(gate: &Gate, known: &Documents, verdicts: &mut Verdicts, more: usize) -> (usize, usize) {
    let request = request(&token(1_000_000 + more, more));
    assert_eq!(decide(gate, known, verdicts, &request).verified, 1);
    // with the first hit the key is kept at hand, where it is short enough
    assert_eq!(decide(gate, known, verdicts, &request).verified, 0);
    let before = (CALLS.load(Ordering::Relaxed), ASKED.load(Ordering::Relaxed));
    assert_eq!(decide(gate, known, verdicts, &request).verified, 0);
    (CALLS.load(Ordering::Relaxed) - before.0, ASKED.load(Ordering::Relaxed) - before.1)
}

#[test]
fn threat_82_a_full_cache_of_verdicts_takes_less_than_ten_megabytes_and_grows_no_more() {
    let gate = gate();
    let known = Documents::new(gate.limits());
    let length = token(1, 0).len();
    assert!((850..1_000).contains(&length), "{length}");
    let before = HELD.load(Ordering::Relaxed);
    let mut verdicts = Verdicts::new(CAPACITY, &mut |bytes| {
        bytes.fill(7);
        true
    });
    let mut fill = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            decide(&gate, &known, &mut verdicts, &request(&token(number, 0)));
        }
        (verdicts.len(), verdicts.bytes(), HELD.load(Ordering::Relaxed) - before)
    };
    let (count, counted, taken) = fill(0..CAPACITY);
    println!("{count} verdicts, counted for {counted} bytes, take {taken}");
    assert!(count > CAPACITY * 9 / 10, "{count}");
    assert!(taken < 10_000_000, "{taken} bytes");
    assert!(counted.abs_diff(taken) < taken / 4, "{counted} bytes are counted for {taken}");
    let (count, counted, later) = fill(CAPACITY..2 * CAPACITY);
    println!("{count} verdicts, counted for {counted} bytes, take {later}");
    assert!(later < taken + taken / 20, "{taken} and then {later} bytes");

    let few = cost_of_a_hit(&gate, &known, &mut verdicts, 0);
    let many = cost_of_a_hit(&gate, &known, &mut verdicts, 200);
    println!("a hit allocates {} times, {} bytes together", few.0, few.1);
    assert_eq!(few, many, "what a hit allocates does not grow with the claims");
}

//! The checks as this machine runs them itself: prints how long each takes, in µs.

use carded_crypto_cost::{ed25519, ed25519_multiples, p256_0_13, p256_0_14, rsa_0_9, rsa_0_10};
use std::time::Instant;

const ROUNDS: usize = 15;
const TIMES: u32 = 20;

fn main() {
    let checks: [(&str, extern "C" fn(u32, u32) -> u32); 6] = [
        ("p256_0_13", p256_0_13),
        ("p256_0_14", p256_0_14),
        ("rsa_0_9", rsa_0_9),
        ("rsa_0_10", rsa_0_10),
        ("ed25519", ed25519),
        ("ed25519_multiples", ed25519_multiples),
    ];
    for (name, check) in checks {
        let mut times: Vec<f64> = (0..=ROUNDS)
            .map(|_| {
                let start = Instant::now();
                let held = check(TIMES, 1);
                let time = start.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES);
                assert!(held == TIMES && check(1, 0) == 0, "{name}: {held} of {TIMES} held");
                time
            })
            // the first round warms up
            .skip(1)
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{name} {:.1}", times.get(ROUNDS / 2).copied().unwrap_or(f64::NAN));
    }
}

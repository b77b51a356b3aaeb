//! What checking one signature costs in Wasm where the host lends nothing, with the versions of `p256` and `rsa` that could be
//! used, as Wasm is today and with its proposal for wide arithmetic (64 × 64 bits to 128 in one instruction): how far a check is
//! from 150 µs, and what would bring it there; and the same natively, as a service behind `ext_authz` would check it. All is built by
//! `cargo xtask bench crypto`, which gives the paths.

use std::time::Instant;

use wasmtime::{Config, Engine, Instance, Module, OptLevel, Store, TypedFunc};

const ROUNDS: usize = 15;
const TIMES: u32 = 20;
/// The exports, and which of them the filter carries.
const CHECKS: [(&str, &str, bool); 6] = [
    ("ES256, p256 0.13", "p256_0_13", false),
    ("ES256, p256 0.14", "p256_0_14", true),
    ("RS256 with 2048 bits, rsa 0.9", "rsa_0_9", false),
    ("RS256 with 2048 bits, rsa 0.10", "rsa_0_10", true),
    ("EdDSA, ed25519-dalek 3", "ed25519", true),
    ("EdDSA, with multiples of the key", "ed25519_multiples", true),
];

type Check = TypedFunc<(u32, u32), u32>;

/// An instance and its checks.
struct World {
    store: Store<()>,
    checks: Vec<Check>,
}

impl World {
    fn new(path: &str, wide: bool) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::Speed).wasm_wide_arithmetic(wide);
        let engine = Engine::new(&config)?;
        let module = Module::from_file(&engine, path)?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        let checks: wasmtime::Result<Vec<_>> =
            CHECKS.iter().map(|(_, export, _)| instance.get_typed_func(&mut store, export)).collect();
        Ok(Self { checks: checks?, store })
    }

    /// How long one check takes, in µs.
    fn time(&mut self, which: usize) -> Result<f64, String> {
        let check = self.checks.get(which).ok_or("no such check")?;
        let start = Instant::now();
        let held = check.call(&mut self.store, (TIMES, 1)).map_err(|error| error.to_string())?;
        let time = start.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES);
        let bad = check.call(&mut self.store, (1, 0)).map_err(|error| error.to_string())?;
        // what says yes to everything, or no, is fast and worth nothing
        if held == TIMES && bad == 0 { Ok(time) } else { Err(format!("{held} of {TIMES} held, and {bad} of none")) }
    }
}

fn main() -> Result<(), String> {
    let mut paths = std::env::args().skip(1);
    let (Some(plain), Some(wide), Some(native)) = (paths.next(), paths.next(), paths.next()) else {
        return Err("usage: crypto_cost PLAIN.wasm WIDE.wasm NATIVE (cargo xtask bench crypto)".to_owned());
    };
    let world = |path: &str, wide| World::new(path, wide).map_err(|error| format!("{path}: {error:?}"));
    let mut worlds = [world(&plain, false)?, world(&wide, true)?];
    let mut times = vec![[const { Vec::new() }; 2]; CHECKS.len()];
    for round in 0..=ROUNDS {
        for (which, times) in times.iter_mut().enumerate() {
            for (world, times) in worlds.iter_mut().zip(times) {
                let time = world.time(which)?;
                // the first round warms up
                if round > 0 {
                    times.push(time);
                }
            }
        }
    }
    let native = natively(&native)?;
    println!(
        "| check (median of {ROUNDS} rounds), in µs | in wasmtime | with wide arithmetic | natively | in the filter |"
    );
    println!("|---|---:|---:|---:|---|");
    for ((name, export, ours), [plain, wide]) in CHECKS.into_iter().zip(&mut times) {
        let native = native.iter().find(|(name, _)| name == export).ok_or_else(|| format!("no {export} natively"))?.1;
        let ours = if ours { "yes" } else { "" };
        println!("| {name} | {:.0} | {:.0} | {native:.0} | {ours} |", median(plain), median(wide));
    }
    Ok(())
}

/// How long each check takes natively, in µs.
fn natively(program: &str) -> Result<Vec<(String, f64)>, String> {
    let output = std::process::Command::new(program).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let times = text.lines().filter_map(|line| {
        let (name, time) = line.split_once(' ')?;
        Some((name.to_owned(), time.parse().ok()?))
    });
    Ok(times.collect())
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

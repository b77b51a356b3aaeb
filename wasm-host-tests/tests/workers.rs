//! One VM for the main thread and one per worker: they share what was fetched, and whoever dies holds up nobody for long.

use std::time::Duration;

use carded_wasm_host::{Answer, Host};

use crate::support::{Claims, Key, MINUTE, Provider, SECOND, api, config, host_with};

fn four_workers(delay: Duration) -> (Host, Provider, Key) {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    idp.delay(delay);
    (host_with(&config(), &idp).workers(4).start().expect("starts"), idp, key)
}

fn documents(idp: &Provider) -> (usize, usize) {
    (idp.asked("/.well-known/openid-configuration"), idp.asked_for_keys())
}

#[test]
fn five_vms_fetch_once() {
    let (mut host, idp, key) = four_workers(Duration::from_millis(200));
    let ids: Vec<_> = (0..4).map(|worker| host.send(worker, api(&key.good()))).collect();
    host.advance(SECOND * 2);
    for id in ids {
        host.outcome(id).passed();
    }
    assert_eq!(documents(&idp), (1, 1));
}

#[test]
fn five_vms_refresh_once() {
    let (mut host, idp, _) = four_workers(Duration::from_millis(200));
    for _ in 0..60 {
        host.advance(MINUTE);
    }
    let (discovery, keys) = documents(&idp);
    assert!((5..=12).contains(&keys) && (5..=12).contains(&discovery), "an hour: {discovery} and {keys}");
}

#[test]
fn a_new_key_is_fetched_once_for_all() {
    let (mut host, idp, old) = four_workers(Duration::from_millis(200));
    host.advance(MINUTE);
    let before = idp.asked_for_keys();
    let new = Key::new(2, "k2");
    idp.rotate(&[&old, &new]);
    let token = new.token(&Claims::of("alice").at(host.now()));
    let ids: Vec<_> = (0..4).map(|worker| host.send(worker, api(&token))).collect();
    host.advance(SECOND * 2);
    for id in ids {
        host.outcome(id).passed();
    }
    assert_eq!(idp.asked_for_keys() - before, 1);
}

#[test]
fn a_key_that_one_worker_learns_is_withdrawn_is_soon_withdrawn_in_all() {
    let (mut host, idp, old) = four_workers(Duration::ZERO);
    host.advance(MINUTE);
    let new = Key::new(2, "k2");
    idp.rotate(&[&new]);
    let old_token = old.token(&Claims::of("alice").at(host.now()));
    let ask = |host: &mut Host, worker: usize, token: &str| {
        let id = host.send(worker, api(token));
        host.advance(Duration::from_millis(100));
        host.outcome(id)
    };
    ask(&mut host, 1, &old_token).passed();
    // Worker 0 meets a key that it does not know, and fetches the set in which the old one is missing.
    let new_token = new.token(&Claims::of("alice").at(host.now()));
    ask(&mut host, 0, &new_token).passed();
    host.advance(SECOND * 2);
    let asked = idp.asked_for_keys();
    for worker in 0..4 {
        ask(&mut host, worker, &old_token).refused(401, "key_not_found");
        ask(&mut host, worker, &new_token).passed();
    }
    assert_eq!(idp.asked_for_keys(), asked, "the others take the set from the first");
}

#[test]
fn a_provider_that_is_down_is_asked_once_for_all() {
    let (mut host, idp, key) = four_workers(Duration::from_millis(200));
    host.advance(MINUTE);
    idp.broken(Answer::refused());
    let before = idp.asked_for_keys();
    let unknown = Key::new(2, "k2").token(&Claims::of("alice").at(host.now()));
    for _ in 0..25 {
        for worker in 0..4 {
            host.send(worker, api(&unknown));
        }
        host.advance(SECOND);
    }
    assert!(idp.asked_for_keys() - before <= 2, "asked {} times in 25 s", idp.asked_for_keys() - before);
    let token = key.token(&Claims::of("alice").at(host.now()));
    host.ask(api(&token)).passed();
}

#[test]
fn the_one_who_fetches_dies_and_the_others_are_served_after_its_lease() {
    let (mut host, idp, key) = four_workers(Duration::from_millis(500));
    let mut ids: Vec<_> = (0..4).map(|worker| host.send(worker, api(&key.good()))).collect();
    host.advance(Duration::from_millis(100));
    let fetcher = host.calls()[0].vm;
    if fetcher == 0 {
        host.kill_main();
    } else {
        host.kill(fetcher - 1);
        ids.remove(fetcher - 1);
    }
    // the lease ends with the timeout of the fetch (2 s) and a second of grace
    host.advance(SECOND * 5);
    for id in ids {
        host.outcome(id).passed();
    }
    assert_eq!(idp.asked("/.well-known/openid-configuration"), 2);
}

#[test]
fn a_worker_that_comes_back_finds_the_documents_of_the_others() {
    let (mut host, idp, key) = four_workers(Duration::from_millis(100));
    host.advance(SECOND * 3);
    let before = documents(&idp);
    host.kill(2);
    let id = host.send(2, api(&key.good()));
    host.advance(Duration::from_millis(100));
    host.outcome(id).passed();
    assert_eq!(documents(&idp), before);
}

#[test]
fn shared_data_does_not_grow() {
    let (mut host, _, _) = four_workers(Duration::ZERO);
    host.advance(MINUTE);
    let (keys, bytes) = host.shared_data_size();
    let stranger = Key::new(9, "k9");
    for number in 0..200 {
        let header = serde_json::json!({ "alg": "EdDSA", "kid": format!("u{number}") });
        let token = stranger.token_with(&header, &Claims::of("x").at(host.now()));
        host.send(number % 4, api(&token));
        host.advance(SECOND);
    }
    host.advance(MINUTE * 30);
    let (keys_after, bytes_after) = host.shared_data_size();
    assert_eq!(keys_after, keys);
    assert!(bytes_after <= bytes + 1024, "{bytes} bytes became {bytes_after}");
}

#[test]
fn each_worker_is_woken_by_its_own_queue() {
    let (mut host, idp, old) = four_workers(Duration::ZERO);
    host.advance(MINUTE + Duration::from_millis(500)); // everyone is idle: no tick comes soon
    let new = Key::new(2, "k2");
    idp.rotate(&[&old, &new]);
    let token = new.token(&Claims::of("alice").at(host.now()));
    for worker in 0..4 {
        let id = host.send(worker, api(&token));
        host.advance(Duration::from_millis(10));
        host.outcome(id).passed();
    }
}

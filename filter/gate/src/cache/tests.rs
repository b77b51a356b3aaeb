use super::*;

const LATER: Timestamp = Timestamp::from_unix(100);
const NOW: Timestamp = Timestamp::from_unix(0);

/// Keys as random as those of a hash (splitmix64), another sequence for each `set`.
fn key(set: u64, number: u64) -> Key {
    let mix = |word: u64| {
        let mut z = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    Key(mix(set << 40 | number), mix(set << 40 | number | 1 << 63))
}

fn put(cache: &mut Cache<u64>, key: Key, value: u64) {
    cache.put(key, value, 100, LATER, NOW);
}

/// Looks a key up as the gate does: what is not there is worked out and put in. Whether it was there.
fn use_(cache: &mut Cache<u64>, key: Key) -> bool {
    if cache.get(&key).is_some() {
        return true;
    }
    put(cache, key, 0);
    false
}

/// The lists hold exactly the values that are found, in both directions, and are counted right.
fn check(cache: &mut Cache<u64>) {
    let mut found = 0;
    for part in [Part::Window, Part::Main] {
        let (mut at, mut before, mut len, mut bytes) = (cache.list(part).first, NONE, 0, 0);
        while at != NONE {
            let node = &cache.nodes[at as usize];
            assert!(node.value.is_some() && node.part == part && node.before == before);
            assert_eq!(cache.places.get(&node.key), Some(&at));
            (len, bytes, before, at) = (len + 1, bytes + node.bytes, at, node.after);
        }
        let list = cache.list(part);
        assert_eq!((list.last, list.len, list.bytes), (before, len, bytes));
        assert!(list.len <= list.most && list.bytes <= list.most_bytes, "{list:?}");
        found += len;
    }
    assert_eq!(found, cache.len());
    let free = cache.nodes.iter().filter(|node| node.value.is_none()).count();
    assert_eq!(found + free, cache.nodes.len());
}

#[test]
fn what_was_put_in_is_found_until_it_is_removed() {
    let mut cache = Cache::new(100, 1 << 20);
    for number in 0..50 {
        put(&mut cache, key(1, number), number);
    }
    for number in 0..50 {
        assert_eq!(cache.get(&key(1, number)).copied(), Some(number));
        assert_eq!(cache.get(&key(2, number)), None);
    }
    put(&mut cache, key(1, 7), 70);
    assert_eq!((cache.get(&key(1, 7)).copied(), cache.len()), (Some(70), 50));
    cache.remove(&key(1, 7));
    cache.remove(&key(1, 7));
    assert_eq!(cache.get(&key(1, 7)), None);
    assert_eq!(cache.len(), 49);
    check(&mut cache);
}

/// Both words of a key count: of two keys that share one, neither finds the other's value.
#[test]
fn threat_27_half_a_key_finds_nothing() {
    let mut cache = Cache::new(100, 1 << 20);
    put(&mut cache, Key(1, 2), 3);
    assert_eq!(cache.get(&Key(1, 3)), None);
    assert_eq!(cache.get(&Key(2, 2)), None);
    assert_eq!(cache.get(&Key(1, 2)).copied(), Some(3));
}

#[test]
fn threat_82_it_is_bounded_in_number_and_in_bytes_whatever_comes() {
    for (capacity, bytes) in [(1, 1 << 20), (2, 1 << 20), (17, 1 << 20), (300, 1 << 20), (300, 40_000)] {
        let mut cache = Cache::new(capacity, bytes);
        for number in 0..5_000_u64 {
            let key = key(1, number * number % 700);
            match number % 7 {
                0 => cache.remove(&key),
                1 | 2 => drop(cache.get(&key)),
                size => cache.put(key, number, size as usize * 50, LATER, NOW),
            }
            if number % 16 == 0 {
                check(&mut cache);
            }
            assert!(cache.len() <= capacity && cache.bytes() <= bytes, "{capacity} {bytes}");
        }
        assert!(cache.nodes.len() <= capacity + 1, "{capacity}: {}", cache.nodes.len());
        assert!(cache.len() > 0 || capacity == 1, "{capacity} {bytes}");
    }
    let mut cache = Cache::new(100, 100_000);
    cache.put(key(1, 1), 1, 10_000, LATER, NOW);
    assert_eq!(cache.len(), 0, "what takes more than its share is not kept");
}

/// The working set is used in turn while new keys come, `each` of them between two uses, each shown so many `times`; some of
/// them again only when many others have come.
fn hit_rate_under_a_flood(flood: u64, each: u64, times: u64, apart: u64) -> f64 {
    const WORKING: u64 = 1_000;
    let mut cache = Cache::new(10_000, 10_000 * 1_000);
    for _ in 0..4 {
        for number in 0..WORKING {
            use_(&mut cache, key(1, number));
        }
    }
    let (mut hits, mut uses) = (0_u32, 0_u32);
    for number in 0..flood {
        use_(&mut cache, key(2, number));
        for again in 1..times {
            use_(&mut cache, key(2, number.saturating_sub(again * apart)));
        }
        if number % each == 0 {
            hits += u32::from(use_(&mut cache, key(1, number / each % WORKING)));
            uses += 1;
        }
    }
    check(&mut cache);
    assert!(cache.len() <= 10_000);
    f64::from(hits) / f64::from(uses)
}

#[test]
fn threat_82_a_flood_of_distinct_keys_does_not_push_out_the_working_set() {
    // each key of the working set is used once for so many thousand others
    for (flood, each) in [(1_000_000, 10), (100_000, 2), (100_000, 25)] {
        let rate = hit_rate_under_a_flood(flood, each, 1, 0);
        assert!(rate >= 0.95, "one use for {each} others: {rate}");
    }
}

#[test]
fn threat_82_a_flood_of_keys_that_are_each_shown_twice_does_not_push_out_the_working_set() {
    for (each, apart) in [(2, 0), (10, 0), (10, 300), (10, 5_000), (10, 50_000)] {
        let rate = hit_rate_under_a_flood(100_000, each, 2, apart);
        assert!(rate >= 0.95, "one use for {each} others, shown again after {apart}: {rate}");
    }
}

#[test]
fn a_new_working_set_takes_the_place_of_one_that_is_no_longer_used() {
    let mut cache = Cache::new(1_000, 1 << 20);
    for round in 0..40 {
        for number in 0..900 {
            use_(&mut cache, key(1, number));
        }
        assert_eq!(cache.len(), 900, "{round}");
    }
    let mut hits = 0;
    for _ in 0..100 {
        hits = (0..900).filter(|number| use_(&mut cache, key(2, *number))).count();
    }
    assert!(hits > 850, "{hits}");
}

#[test]
fn what_has_ended_makes_room_at_once() {
    let mut cache = Cache::new(160, 1 << 20);
    for _ in 0..10 {
        for number in 0..160 {
            if cache.get(&key(1, number)).is_none() {
                cache.put(key(1, number), 0, 10, Timestamp::from_unix(50), NOW);
            }
        }
    }
    // they were asked for ten times each, but are over
    for number in 0..160 {
        cache.put(key(2, number), 0, 10, LATER, Timestamp::from_unix(50));
    }
    let kept = (0..160).filter(|number| cache.get(&key(2, *number)).is_some()).count();
    assert_eq!(kept, 160);
}

#[test]
fn what_is_asked_for_often_is_counted_so_and_forgotten_in_time() {
    let mut sketch = Sketch::new(1_000);
    for _ in 0..100 {
        sketch.count(&key(1, 1));
    }
    sketch.count(&key(1, 2));
    assert_eq!((sketch.estimate(&key(1, 1)), sketch.estimate(&key(1, 2)), sketch.estimate(&key(1, 3))), (15, 1, 0));
    for number in 0..1_000 * 16 * 3 {
        sketch.count(&key(2, number));
    }
    assert!(sketch.estimate(&key(1, 1)) <= 4, "{}", sketch.estimate(&key(1, 1)));
    // nothing to count in is nothing to look up
    let mut none = Sketch::new(0);
    none.count(&key(1, 1));
    assert_eq!(none.estimate(&key(1, 1)), 0);
}

use super::checks::check;
use super::*;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::*};
use crate::sync::thread;
use std::cell::Cell;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// A test that takes so long hangs.
const HUNG_AFTER: Duration = Duration::from_secs(120);

/// Runs a test; one that hangs ends the process.
fn watched(body: impl FnOnce() + Send) {
    let (done, finished) = channel::<()>();
    std::thread::scope(|scope| {
        let watched = scope.spawn(move || {
            body();
            drop(done);
        });
        if finished.recv_timeout(HUNG_AFTER) == Err(RecvTimeoutError::Timeout) {
            std::process::abort();
        }
        watched.join().unwrap();
    });
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn grows_shrinks_and_forgets() {
    let domain = Domain::new();
    let map: Map<u64, u64> = Map::new(domain.clone());
    for key in 0..10_000 {
        assert_eq!(map.insert(key, key), None);
        assert_eq!(map.insert(key, key + 1), Some(key));
    }
    assert_eq!(map.len(), 10_000);
    assert!((0..10_000).all(|key| map.get(&key) == Some(key + 1)));
    assert_eq!(map.pin().iter().count(), 10_000);
    for key in 0..9_999 {
        assert_eq!(map.remove(&key), Some(key + 1));
        assert_eq!(map.remove(&key), None);
    }
    assert_eq!((map.len(), map.get(&9_999)), (1, Some(10_000)));
    let slots: usize = (0..map.shards()).map(|shard| map.lock(shard).size()).sum();
    assert!(slots <= map.shards() * 16, "{slots} slots for one entry");
    domain.sweep();
    domain.sweep();
    assert_eq!(domain.pending(), 0);
}

#[test]
fn nothing_is_dropped_while_somebody_may_read_it() {
    let drops = Arc::new(AtomicUsize::new(0));
    let domain = Domain::new();
    let map: Map<&str, Arc<Counted>> = Map::new(domain.clone());
    map.insert("a", Arc::new(Counted(drops.clone())));
    let pinned = map.pin();
    let seen = pinned.get("a").unwrap();
    map.remove("a");
    for _ in 0..10 {
        domain.sweep();
    }
    assert_eq!((drops.load(Relaxed), domain.pending()), (0, 1));
    assert!(domain.oldest_pin().is_some());
    assert_eq!(Arc::strong_count(seen), 1);
    drop(pinned);
    domain.sweep();
    assert_eq!((drops.load(Relaxed), domain.pending()), (1, 0));
    assert_eq!(domain.oldest_pin(), None);
}

/// Only a sweep drops, whatever else goes on, so that nobody's drop runs under a lock or in somebody else's pin.
#[test]
fn g8_only_sweeps_drop() {
    thread_local! { static SWEEPS: Cell<bool> = const { Cell::new(false) }; }
    struct Fussy;
    impl Drop for Fussy {
        fn drop(&mut self) {
            assert!(SWEEPS.get(), "dropped by a writer, a reader or the collector");
        }
    }
    let domain = Domain::new();
    let map: Map<u32, Arc<Fussy>> = Map::with_shards(domain.clone(), 2, RandomState::new());
    for turn in 0..20_000 {
        map.insert(turn % 100, Arc::new(Fussy));
        map.get(&0);
    }
    assert!(domain.pending() > 19_000);
    SWEEPS.set(true);
    domain.sweep();
    assert_eq!(domain.pending(), 0);
}

/// A drop may use the map that its value was in, and sweep.
#[test]
fn g8_drops_may_do_anything() {
    struct Busy(Weak<Map<u32, Arc<Busy>>>, Arc<Domain>);
    impl Drop for Busy {
        fn drop(&mut self) {
            let Some(map) = self.0.upgrade() else { return };
            map.remove(&1);
            map.for_each(|_, _| {});
            (0..map.shards()).for_each(|shard| drop(map.lock(shard)));
            self.1.sweep();
        }
    }
    watched(|| {
        let domain = Domain::new();
        let map = Arc::new(Map::new(domain.clone()));
        for key in [1, 2, 3, 2, 3] {
            map.insert(key, Arc::new(Busy(Arc::downgrade(&map), domain.clone())));
        }
        (0..4).for_each(|_| domain.sweep());
        assert_eq!((map.len(), domain.pending()), (2, 0));
    });
}

/// The thread that wrote is alive and idle, or gone: what it retired is dropped all the same.
#[test]
fn nothing_stays_in_another_threads_bag() {
    watched(|| {
        let domain = Domain::new();
        let map: Map<u32, u32> = Map::new(domain.clone());
        let (tell, told) = channel();
        let (leave, may_leave) = channel::<()>();
        std::thread::scope(|scope| {
            let map = &map;
            let writer = scope.spawn(move || {
                (0..1_000).for_each(|turn| _ = map.insert(turn % 77, turn));
                tell.send(()).unwrap();
                may_leave.recv().unwrap();
            });
            told.recv().unwrap();
            (0..4).for_each(|_| domain.sweep());
            assert_eq!(domain.pending(), 0);
            leave.send(()).unwrap();
            writer.join().unwrap();
        });
    });
}

/// Writers alone make the collector go on: what they left behind and is not ripe stays bounded.
#[test]
fn writers_keep_garbage_bounded() {
    let domain = Domain::new();
    let map: Map<u32, u32> = Map::with_shards(domain.clone(), 4, RandomState::new());
    let mut most = 0;
    for turn in 0..50_000 {
        map.insert(turn % 50, turn);
        most = most.max(domain.unripe());
    }
    assert!(most <= 4, "{most} parcels were waiting for readers");
}

#[test]
fn map_and_domain_leave_nothing_in_any_order() {
    for domain_first in [false, true] {
        let drops = Arc::new(AtomicUsize::new(0));
        let domain = Domain::new();
        let map: Map<usize, Arc<Counted>> = Map::new(domain.clone());
        let domain = (!domain_first).then_some(domain);
        let insert = |turn: usize| map.insert(turn % 300, Arc::new(Counted(drops.clone())));
        (0..500).for_each(|turn| _ = insert(turn));
        std::thread::scope(|scope| _ = scope.spawn(|| (500..1000).for_each(|turn| _ = insert(turn))));
        drop(map);
        drop(domain);
        assert_eq!(drops.load(Relaxed), 1000);
    }
}

/// Reads, writes and guards while a thread's own values are dropped, in whatever order that happens.
#[test]
fn ending_threads_may_read_and_write() {
    struct Last(Arc<Map<u32, u32>>, Arc<AtomicUsize>);
    impl Drop for Last {
        fn drop(&mut self) {
            let pinned = self.0.pin();
            assert_eq!(pinned.get(&1), Some(&1));
            (0..100).for_each(|turn| _ = self.0.insert(2, turn));
            self.1.fetch_add(1, Relaxed);
        }
    }
    thread_local! {
        static EARLY: Cell<Option<Last>> = const { Cell::new(None) };
        static LATE: Cell<Option<Last>> = const { Cell::new(None) };
    }
    watched(|| {
        let (domain, ended) = (Domain::new(), Arc::new(AtomicUsize::new(0)));
        let map = Arc::new(Map::new(domain.clone()));
        map.insert(1, 1);
        let last = || Last(map.clone(), ended.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                EARLY.set(Some(last()));
                map.get(&1);
                LATE.set(Some(last()));
            });
        });
        // A scope does not wait for thread-locals.
        while ended.load(Acquire) < 2 || Arc::strong_count(&map) > 1 {
            thread::yield_now();
        }
        while domain.pending() > 0 {
            domain.sweep();
        }
    });
}

/// A thread forgets its handles to domains that are gone.
#[test]
fn handles_of_dead_domains_are_forgotten() {
    let known = || super::handles::count();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                let map: Map<u32, u32> = Map::new(Domain::new());
                map.insert(1, 1);
                assert_eq!(map.get(&1), Some(1));
            }
            assert_eq!(known(), 1);
        });
    });
}

/// Wherever a sample begins, it has every entry once if it may have so many.
#[test]
fn a_sample_that_may_have_all_has_all() {
    let map: Map<u32, u32, _> = Map::with_shards(Domain::new(), 1, std::hash::RandomState::new());
    for n in 0..40 {
        let hash = map.hash_of(&n);
        assert!(!map.lock_for(hash).insert(hash, n, n));
        for from in (0..=u8::MAX).map(|at| u64::from(at) << 56 | 0x0080_0000_0000_0000) {
            let mut met = Vec::new();
            map.sample(0, from, 64, |key, _| met.push(*key));
            met.sort_unstable();
            assert!(met.iter().copied().eq(0..=n), "from {from:x}: {met:?} of {n}");
        }
    }
}

#[test]
fn any_operations_do_what_they_do_to_the_standard_map() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    for _ in 0..60 {
        let input: Vec<u8> = (0..3_000).map(|_| random()).collect();
        check(&input);
    }
}

#[test]
fn seeds_of_the_fuzzer_hold() {
    assert!(super::super::replay::recorded("map", check) > 4);
}

const ALIVE: u32 = 0xA11F_E000;

/// What readers and writers share in the stress: its parts agree, and it says when it is gone.
struct Mark {
    key: u32,
    version: u32,
    sum: u32,
    life: AtomicU32,
}

impl Mark {
    fn new(key: u32, version: u32) -> Self {
        Self { key, version, sum: key ^ version, life: AtomicU32::new(ALIVE) }
    }

    fn look(&self, key: u32) -> u32 {
        assert_eq!((self.life.load(Relaxed), self.sum), (ALIVE, key ^ self.version));
        assert_eq!(self.key, key);
        self.version
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.life.store(0, Relaxed);
    }
}

/// The keys below are always there; the others come and go.
const STEADY: u32 = 200;
const KEYS: u32 = 2_000;
const ROUNDS: u32 = 30;

struct Stress {
    domain: Arc<Domain>,
    map: Map<u32, Mark>,
    is_over: AtomicBool,
}

impl Stress {
    fn insert(&self, key: u32, version: u32) -> bool {
        let hash = self.map.hash_of(&key);
        self.map.lock_for(hash).insert(hash, key, Mark::new(key, version))
    }

    fn remove(&self, key: u32) -> bool {
        let hash = self.map.hash_of(&key);
        self.map.lock_for(hash).remove(hash, &key)
    }

    /// One of two writers, with every other key: fills the map, replaces, and empties it again.
    fn write(&self, which: u32) {
        let mine = |keys: std::ops::Range<u32>| keys.filter(move |key| key % 2 == which);
        for round in 1..=ROUNDS {
            mine(STEADY..KEYS).for_each(|key| assert!(!self.insert(key, round)));
            mine(0..STEADY).for_each(|key| assert!(self.insert(key, round)));
            mine(STEADY..KEYS).for_each(|key| assert!(self.remove(key)));
        }
    }

    /// No key's version goes back.
    fn read(&self) {
        let mut versions = HashMap::new();
        let mut key = 0;
        while !self.is_over.load(Relaxed) {
            key = (key * 5 + 1) % KEYS;
            let found = self.map.get_with(&key, |mark| mark.look(key));
            assert!(found.is_some() || key >= STEADY, "{key} is missing");
            if let Some(version) = found {
                let last = versions.insert(key, version).unwrap_or(0);
                assert!(last <= version, "{key}: {version} after {last}");
            }
        }
    }

    fn iterate(&self) {
        while !self.is_over.load(Relaxed) {
            let mut met = [0; KEYS as usize];
            let pinned = self.map.pin();
            pinned.iter().for_each(|(key, mark)| {
                mark.look(*key);
                met[*key as usize] += 1;
            });
            drop(pinned);
            assert!(met[..STEADY as usize].iter().all(|times| *times == 1));
            met.fill(0);
            self.map.for_each(|key, mark| {
                mark.look(*key);
                met[*key as usize] += 1;
            });
            assert!(met[..STEADY as usize].iter().all(|times| *times == 1));
        }
    }

    fn sweep(&self) {
        while !self.is_over.load(Relaxed) {
            self.domain.sweep();
            thread::yield_now();
        }
    }
}

#[test]
fn readers_see_whole_values_and_all_of_them_while_others_write() {
    watched(|| {
        let domain = Domain::new();
        let map = Map::with_shards(domain.clone(), 4, RandomState::new());
        let stress = Stress { domain, map, is_over: AtomicBool::new(false) };
        (0..STEADY).for_each(|key| assert!(!stress.insert(key, 0)));
        std::thread::scope(|scope| {
            let stress = &stress;
            let writers = [0, 1].map(|which| scope.spawn(move || stress.write(which)));
            for other in [Stress::read, Stress::read, Stress::iterate, Stress::sweep] {
                scope.spawn(move || other(stress));
            }
            let ends = writers.map(|writer| writer.join());
            stress.is_over.store(true, Relaxed);
            ends.into_iter().for_each(|end| end.unwrap());
        });
        assert_eq!(stress.map.len(), STEADY as usize);
        stress.domain.sweep();
        stress.domain.sweep();
        assert_eq!(stress.domain.pending(), 0);
    });
}

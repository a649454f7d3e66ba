use super::*;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[test]
fn grows_and_forgets() {
    let domain = Domain::new();
    let map: Map<u64, Arc<u64>> = Map::new(domain.clone());
    for key in 0..10_000 {
        assert_eq!(map.insert(key, Arc::new(key)), None);
    }
    assert_eq!(map.len(), 10_000);
    assert!((0..10_000).all(|key| map.get(&key).as_deref() == Some(&key)));
    assert_eq!(map.pin().iter().count(), 10_000);
    let mut met = 0;
    map.for_each(|key, value| met += usize::from(*key == **value));
    assert_eq!(met, 10_000);
    for key in 0..9_999 {
        assert_eq!(map.remove(&key).as_deref(), Some(&key));
    }
    assert_eq!(map.len(), 1);
    assert!(domain.pending() > 0);
    domain.sweep();
    domain.sweep();
    assert_eq!(domain.pending(), 0);
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
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

#[test]
fn map_and_domain_leave_nothing_in_any_order() {
    for domain_first in [false, true] {
        let drops = Arc::new(AtomicUsize::new(0));
        let domain = Domain::new();
        let map: Map<usize, Arc<Counted>> = Map::new(domain.clone());
        let domain = (!domain_first).then_some(domain);
        for turn in 0..1000 {
            map.insert(turn % 300, Arc::new(Counted(drops.clone())));
        }
        drop(map);
        drop(domain);
        assert_eq!(drops.load(Relaxed), 1000);
    }
}

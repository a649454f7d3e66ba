//! Against a simple model.

use super::*;

/// What a state should be.
#[derive(Default)]
struct Expected {
    holders: usize,
    origins: std::collections::BTreeSet<usize>,
    last: Option<u64>,
}

/// A few thousand random steps of each of many seeds: who is there, and what is stored, is as a simple model says.
#[test]
fn random_steps_do_what_a_simple_model_does() {
    let _watched = watched();
    for seed in 1..40_u64 {
        let (bus, kind, manager) = devices();
        let nodes = ["a", "b", "c"].map(|node| bus.origin(node).unwrap());
        let ids = ["x", "y/z", "x/y/z"];
        let mut expected = ids.map(|_| Expected::default());
        let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
        let mut random = seed;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % below as u64) as usize
        };
        for n in 0..400 {
            let (at, node) = (next(ids.len()), next(nodes.len()));
            let (id, state) = (ids[at], &mut expected[at]);
            match next(8) {
                0 => {
                    publishers.push((at, manager.publisher(id).unwrap()));
                    state.holders += 1;
                }
                1 => {
                    subscribers.push((at, manager.subscriber(id).unwrap()));
                    state.holders += 1;
                }
                2 if !publishers.is_empty() => {
                    let (at, publisher) = publishers.swap_remove(next(publishers.len()));
                    if next(2) == 0 {
                        publisher.finish(kind.message(n));
                        expected[at].last = Some(n);
                    } else {
                        drop(publisher);
                    }
                    expected[at].holders -= 1;
                }
                3 if !subscribers.is_empty() => {
                    let (at, _subscriber) = subscribers.swap_remove(next(subscribers.len()));
                    expected[at].holders -= 1;
                }
                4 | 5 => {
                    manager.publish_by_origin(id, nodes[node], kind.message(n)).unwrap();
                    state.origins.insert(node);
                    state.last = Some(n);
                }
                6 => {
                    let last = (next(2) == 0).then(|| kind.message(n));
                    let stores = last.is_some();
                    let was = manager.remove_origin(id, nodes[node], last).is_some();
                    assert_eq!(was, state.origins.remove(&node));
                    if was && stores {
                        state.last = Some(n);
                    }
                }
                _ => {
                    for (at, publisher) in &publishers {
                        publisher.publish(kind.message(n));
                        expected[*at].last = Some(n);
                    }
                }
            }
            for (id, state) in ids.iter().zip(&mut expected) {
                let held = state.holders + state.origins.len() > 0;
                if !held {
                    state.last = None;
                }
                assert_eq!(
                    (manager.exists(id), number(&manager, &kind, id)),
                    (held, state.last),
                    "seed {seed}"
                );
            }
            assert_eq!(
                manager.len(),
                expected.iter().filter(|state| state.holders + state.origins.len() > 0).count()
            );
        }
    }
}

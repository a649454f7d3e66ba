//! Routes that change, and routers that end, under load.

use super::*;

/// A route that must not be called twice at a time, nor after it was removed and waited for.
struct Strict {
    busy: Arc<AtomicBool>,
    is_removed: Arc<AtomicBool>,
    handled: Arc<AtomicU64>,
}

impl Strict {
    fn call(&self) {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two calls at a time");
        assert!(!self.is_removed.load(Ordering::SeqCst), "a call of a removed route");
        self.handled.fetch_add(1, Ordering::SeqCst);
        self.busy.store(false, Ordering::SeqCst);
    }
}

const PUBLISHERS: u64 = 2;
const MESSAGES: u64 = 4_000;

#[test]
fn g1_routes_change_under_load_and_nothing_is_lost() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let kinds: Vec<MessageType<u64>> =
            (0..4).map(|at| setup.bus.message_type(&format!("kind {at}")).unwrap()).collect();
        let router = setup.topic.router("r").dispatch(mode).start().unwrap();
        let (busy, handled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let strict = |is_removed: &Arc<AtomicBool>| Strict {
            busy: busy.clone(),
            is_removed: is_removed.clone(),
            handled: handled.clone(),
        };
        let (accepted, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let left = Mutex::new(0);
        thread::scope(|scope| {
            let editors: Vec<_> = kinds
                .iter()
                .map(|kind| {
                    let (router, strict, over, left) = (&router, &strict, &over, &left);
                    scope.spawn(move || {
                        while !over.load(Ordering::SeqCst) {
                            // Its last call may still be under way when it has been replaced.
                            let route = strict(&Arc::default());
                            router.add(kind, move |_, _| route.call()).unwrap();
                            let is_removed = Arc::new(AtomicBool::new(false));
                            let route = strict(&is_removed);
                            assert_eq!(router.replace(kind, move |_, _| route.call()), Ok(true));
                            assert!(router.topic().wants(kind), "its own type is let through");
                            assert_eq!(router.remove_and_wait(kind), Ok(true));
                            assert!(!router.topic().wants(kind), "and no longer");
                            is_removed.store(true, Ordering::SeqCst);
                            *left.lock().unwrap() += 1;
                        }
                    })
                })
                .collect();
            let publishers: Vec<_> = (0..PUBLISHERS)
                .map(|_| {
                    let (topic, kinds, accepted) = (&setup.topic, &kinds, &accepted);
                    scope.spawn(move || {
                        for value in 0..MESSAGES {
                            let kind = &kinds[value as usize % kinds.len()];
                            let taken = topic.publish(kind.message(value)).accepted;
                            accepted.fetch_add(taken as u64, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
            eventually(|| *left.lock().unwrap() > 20);
            over.store(true, Ordering::SeqCst);
            editors.into_iter().for_each(|editor| editor.join().unwrap());
        });
        let total = || handled.load(Ordering::SeqCst) + router.stats().unrouted;
        eventually(|| total() == accepted.load(Ordering::SeqCst));
        assert_eq!(router.filter(), Some(Filter::all().accept_formatters(Formatters::NONE)), "{mode}");
        let stats = router.stats();
        assert_eq!((stats.routes, stats.subscription.panics), (0, 0), "{mode}");
        drop(router);
        end(&setup.bus);
    }
}

#[test]
fn the_filter_is_that_of_the_table_whoever_changes_it() {
    let _watched = watched();
    let setup = setup();
    let kinds: Vec<MessageType<u64>> =
        (0..4).map(|at| setup.bus.message_type(&format!("kind {at}")).unwrap()).collect();
    let router = setup.topic.router("r").start().unwrap();
    for round in 0..200 {
        thread::scope(|scope| {
            for (at, kind) in kinds.iter().enumerate() {
                let router = &router;
                scope.spawn(move || {
                    if (round + at) % 2 == 0 {
                        router.add(kind, |_, _| {}).unwrap();
                    } else {
                        router.remove(kind);
                    }
                });
            }
        });
        let expected = (0..4).map(|at| (round + at) % 2 == 0);
        let wanted = kinds.iter().map(|kind| setup.topic.wants(kind));
        assert_eq!(wanted.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "round {round}");
        for kind in &kinds {
            router.remove(kind);
        }
        assert!(kinds.iter().all(|kind| !setup.topic.wants(kind)), "round {round}");
    }
    drop(router);
    end(&setup.bus);
}

#[test]
fn g6_ends_against_changes() {
    let _watched = watched();
    for mode in MODES {
        for _ in 0..50 {
            let setup = setup();
            let census = Census::new();
            let (router, _) = noting(&setup, mode);
            thread::scope(|scope| {
                for kind in [&setup.down, &setup.up] {
                    let (router, census) = (&router, &census);
                    scope.spawn(move || {
                        for _ in 0..20 {
                            let alive = census.born();
                            let _ = router.replace(kind, move |_, _| hold(&alive));
                            router.remove(kind);
                            let alive = census.born();
                            let _ = router.add(kind, move |_, _| hold(&alive));
                        }
                    });
                }
                setup.up(1);
                router.unsubscribe();
                router.join().unwrap();
            });
            assert!(router.is_done(), "{mode}");
            assert_eq!(census.alive(), 0, "{mode}: nothing is left of any route");
            end(&setup.bus);
        }
    }
}

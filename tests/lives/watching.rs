//! Waiting for the changes of one entry.

use super::*;

#[test]
fn g4_a_watch_shows_what_a_read_shows() {
    let _watched = watched();
    let kept = Kept::manual();
    let mut watch = kept.cache.watch(&kept.kind, "alice").unwrap();
    let other = kept.cache.watch(&kept.kind, "bob").unwrap();
    assert!(watch.get().is_none() && watch.version() == 0 && watch.id() == "alice");
    assert!(kept.cache.is_empty() && kept.cache.dump_all(AnyType).is_empty(), "it only holds the place");
    let node = kept.bus.origin("node-2").unwrap();
    kept.topic.publish(kept.kind.build(state("alice", 100)).origin(node).finish());
    assert!(watch.get().is_none() && poll(&mut watch).is_pending(), "that is what another node says");
    let mut versions = vec![watch.version()];
    for number in [1, 2, 3] {
        kept.publish("alice", number);
        assert_eq!((number_of(&kept.kind, watch.get()), kept.now("alice")), (Some(number), Some(number)));
        versions.push(watch.version());
        if number == 1 {
            assert_eq!(changed(&kept.kind, &mut watch), Some(1));
        }
    }
    assert_eq!(changed(&kept.kind, &mut watch), Some(3), "two changes are one");
    assert!(poll(&mut watch).is_pending());
    kept.cache.clear(&kept.kind, "alice");
    versions.push(watch.version());
    assert!(watch.get().is_none() && changed(&kept.kind, &mut watch).is_none());
    let mut clone = watch.clone();
    kept.cache.clear_origin(node);
    assert!(kept.cache.is_empty() && poll(&mut watch).is_pending());
    kept.publish("alice", 4);
    versions.push(watch.version());
    assert_eq!(number_of(&kept.kind, watch.get()), Some(4), "cleared, and there again");
    drop(watch);
    assert_eq!(changed(&kept.kind, &mut clone), Some(4), "the clone goes on");
    assert!(versions.is_sorted() && versions.windows(2).all(|two| two[0] != two[1]), "{versions:?}");
    assert!(other.get().is_none() && other.version() == 0);
    // With a state there already.
    assert_eq!(number_of(&kept.kind, kept.cache.watch(&kept.kind, "alice").unwrap().get()), Some(4));
    assert_eq!(kept.told("alice"), [Some(1), Some(2), Some(3), None, Some(4)]);
}

/// What it says at once, without being woken.
fn poll(watch: &mut Watch) -> Poll<Result<Option<Message>, WatchEnded>> {
    Pin::new(&mut watch.changed()).poll(&mut Context::from_waker(Waker::noop()))
}

fn changed(kind: &MessageType<State>, watch: &mut Watch) -> Option<u64> {
    number_of(kind, block_on(watch.changed()).unwrap())
}

/// Watchers on threads of their own, four publishers, and somebody who clears: each watcher sees versions grow, and nobody
/// sleeps through the last change.
#[test]
fn g4_no_watcher_sleeps_through_a_change() {
    let _watched = watched();
    const LAST: u64 = u64::MAX;
    for _ in 0..10 {
        let kept = Kept::new(states(), cache);
        let next = AtomicU64::new(1);
        thread::scope(|scope| {
            for _ in 0..3 {
                let mut watch = kept.cache.watch(&kept.kind, "alice").unwrap();
                let kind = &kept.kind;
                scope.spawn(move || {
                    let (mut before, mut version) = (Some(0), 0);
                    while before != Some(LAST) {
                        let now = changed(kind, &mut watch);
                        assert!(now != before || now.is_none(), "told twice of {now:?}");
                        assert!(watch.version() >= version);
                        (before, version) = (now, watch.version());
                    }
                });
            }
            let publishers = [0, 1, 2, 3].map(|by| {
                let (kept, next) = (&kept, &next);
                scope.spawn(move || {
                    for round in 0..200 {
                        kept.publish("alice", next.fetch_add(1, Ordering::Relaxed));
                        if (by, round % 20) == (0, 0) {
                            kept.cache.clear(&kept.kind, "alice");
                        }
                    }
                })
            });
            publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
            kept.publish("alice", LAST);
        });
        end(&kept.bus);
    }
}

/// A waker that runs a closure.
struct Run<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Run<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn leave_waker(watch: &mut Watch, code: impl Fn() + Send + Sync + 'static) {
    let waker = Waker::from(Arc::new(Run(code)));
    assert!(Pin::new(&mut watch.changed()).poll(&mut Context::from_waker(&waker)).is_pending());
}

/// Wakers are called under no lock, once everybody has the update, and a panic in one harms nobody.
#[test]
fn g8_wakers_of_watches_may_do_anything() {
    let _watched = watched();
    let told = Log::new();
    let noted = told.clone();
    let bus = Bus::builder().on_panic(move |report| noted.push((report.name.to_owned(), report.place)));
    let bus = bus.build().unwrap();
    let kind = bus.message_type("state").unwrap();
    let kept = Kept::new((bus, kind), |bus, kind| builder(bus, kind).name("states").build().unwrap());
    let (done, heard) = (Log::new(), kept.updates.clone());
    let mut watches: Vec<_> = (0..3).map(|_| kept.cache.watch(&kept.kind, "alice").unwrap()).collect();
    leave_waker(&mut watches[0], || panic!("{ON_PURPOSE}"));
    let (noted, cache, kind, topic) =
        (done.clone(), kept.cache.clone(), kept.kind.clone(), kept.topic.clone());
    leave_waker(&mut watches[1], move || {
        assert!(heard.len() <= 1, "not before the update's turn");
        noted.push(number_of(&kind, cache.get(&kind, "alice")));
        topic.publish(kind.message(state("alice", 2)));
        noted.push(number_of(&kind, cache.watch(&kind, "alice").unwrap().get()));
        cache.clear(&kind, "alice");
    });
    let own = Mutex::new(Some(kept.cache.watch(&kept.kind, "alice").unwrap()));
    leave_waker(&mut watches[2], move || drop(own.lock().unwrap().take()));
    kept.publish("alice", 1);
    assert_eq!(done.all(), [Some(1), Some(2)]);
    assert_eq!(told.all(), [("states".to_owned(), PanicPlace::Waker)]);
    assert_eq!(kept.now("alice"), None);
    assert_eq!(changed(&kept.kind, &mut watches[0]), None);
    drop(watches);
    assert_eq!(kept.told("alice"), [Some(1), Some(2), None]);
    end(&kept.bus);
}

#[test]
fn g11_whoever_watches_hears_of_the_end() {
    let _watched = watched();
    for drop_only in [false, true] {
        let kept = Kept::new(states(), cache);
        kept.publish("alice", 1);
        let mut watch = kept.cache.watch(&kept.kind, "alice").unwrap();
        let mut late = watch.clone();
        let (cache, kind) = (kept.cache.clone(), kept.kind.clone());
        let waiter = thread::spawn(move || block_on(watch.changed()).map(drop));
        kept.publish("bob", 2);
        let mut changes = cache.watch(&kind, "bob").unwrap();
        kept.publish("bob", 3);
        match drop_only {
            true => drop(kept),
            false => end(&kept.bus),
        }
        assert_eq!(waiter.join().unwrap(), Err(WatchEnded));
        assert_eq!(block_on(late.changed()).map(drop), Err(WatchEnded));
        assert_eq!(changed(&kind, &mut changes), Some(3), "what came before is given first");
        assert_eq!(block_on(changes.changed()).map(drop), Err(WatchEnded));
        assert_eq!(number_of(&kind, late.get()), Some(1), "it may still be read");
        assert!(WatchEnded.to_string().contains("ended"));
    }
}

#[test]
fn g11_a_watch_holds_no_dead_value() {
    let _watched = watched();
    let census = Census::new();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<(String, Alive)>("state").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, |(id, _)| id).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    let watch = cache.watch(&kind, "alice").unwrap();
    for _ in 0..100 {
        topic.publish(kind.message(("alice".to_owned(), census.born())));
    }
    bus.run_until_idle();
    assert_eq!(census.alive(), 1);
    cache.clear(&kind, "alice");
    bus.run_until_idle();
    assert_eq!(census.alive(), 0);
    drop(watch);
    end(&bus);
}

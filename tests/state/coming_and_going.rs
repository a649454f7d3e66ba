//! States that come and go, and the end of their bus.

use super::*;

/// Holders of one state come and go on every thread. Whoever holds it finds what was published since, and at the end
/// nothing is left.
#[test]
fn the_last_holder_leaves_as_another_comes() {
    const ROUNDS: u64 = 5_000;
    let _watched = watched();
    let (bus, census) = (Bus::new().unwrap(), Census::new());
    let kind = bus.message_type::<(u64, Alive)>("value").unwrap();
    let manager = bus.state_manager("device").unwrap();
    let heard = Arc::new(AtomicU64::new(0));
    let counter = heard.clone();
    let all = manager.all_topic().subscription("all").accept(&kind).inline(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    thread::scope(|scope| {
        for thread in 0..3 {
            let (manager, kind, census) = (&manager, &kind, &census);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let publisher = manager.publisher("raced").unwrap();
                    let message = kind.message((thread * ROUNDS + round, census.born()));
                    publisher.publish(message.clone());
                    let watcher = manager.subscriber("raced").unwrap();
                    assert!(watcher.topic().is_same(publisher.topic()), "a twin");
                    let (last, found) = (watcher.last(), manager.last("raced"));
                    assert!(last.is_some() && found.is_some(), "a twin without the message");
                    drop(publisher);
                    assert!(manager.exists("raced") && watcher.last().is_some());
                }
            });
        }
    });
    assert_eq!(heard.load(Ordering::Relaxed), 3 * ROUNDS, "each publish arrived, once");
    assert_eq!((manager.len(), bus.topics().len()), (0, 1));
    drop(all);
    assert_eq!(census.alive(), 0);
}

/// An origin publishes while it is removed. Whatever comes last decides, and who listens hears that last.
#[test]
fn g5_an_origin_publishes_while_it_is_removed() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let [one, two] = ["one", "two"].map(|node| bus.origin(node).unwrap());
    let (_all, log) =
        note_numbers(manager.all_topic().subscription("all").accept(&kind), Dispatch::Serial, &kind);
    for round in 0..3_000_u64 {
        let start = Barrier::new(2);
        manager.publish_by_origin("raced", one, kind.message(3 * round)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                manager.publish_by_origin("raced", two, kind.message(3 * round + 1)).unwrap();
            });
            start.wait();
            manager.remove_origin("raced", one, Some(kind.message(3 * round + 2))).unwrap();
        });
        let delivered = log.await_len(3 * round as usize + 3).last().copied().flatten();
        assert_eq!(number(&manager, &kind, "raced"), delivered, "stored is what was delivered last");
        assert!(manager.remove_origin("raced", one, None).is_none());
        assert!(manager.remove_origin("raced", two, None).is_some());
        assert!(manager.is_empty());
    }
}

/// Who listens on a state's topic itself hears the next state of that name as well.
#[test]
fn g1_a_state_made_again_has_the_topic_that_is_still_in_use() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let publisher = manager.publisher("alice").unwrap();
    publisher.publish(kind.message(1));
    let (listener, log) =
        note_numbers(publisher.topic().subscription("s").accept(&kind), Dispatch::Inline, &kind);
    drop(publisher);
    assert!(!manager.exists("alice"));
    let again = manager.publisher("alice").unwrap();
    assert!(again.last().is_none(), "a new state, without a message");
    again.publish(kind.message(2));
    assert_eq!(log.all(), [Some(2)]);
    drop((again, listener));
    assert!(bus.find_topic("device/alice").is_none());
}

#[test]
fn g11_after_the_end_nothing_is_left() {
    let _watched = watched();
    let (bus, census) = (Bus::new().unwrap(), Census::new());
    let kind = bus.message_type::<Alive>("value").unwrap();
    let manager = bus.state_manager("device").unwrap();
    manager.publish_by_origin("a", bus.origin("node").unwrap(), kind.message(census.born())).unwrap();
    let watcher = manager.subscribe("b", "watcher", |_| {}).unwrap();
    let publisher = manager.publisher("b").unwrap();
    publisher.publish(kind.message(census.born()));
    end(&bus);
    assert!(watcher.handle().is_done());
    drop((bus, kind, publisher));
    assert_eq!(census.alive(), 2, "still held");
    drop(watcher);
    drop(manager);
    assert_eq!(census.alive(), 0);
}

#[test]
fn g11_what_is_detached_stays_to_the_end_of_the_bus_and_no_longer() {
    let _watched = watched();
    let (bus, census, heard) = (Bus::new().unwrap(), Census::new(), Gate::new());
    let kind = bus.message_type::<Alive>("value").unwrap();
    let manager = bus.state_manager("device").unwrap();
    let publisher = manager.publisher("a").unwrap();
    publisher.publish(kind.message(census.born()));
    manager.subscriber("a").unwrap().detach();
    let (told, reads) = (heard.clone(), kind.clone());
    let subscription = manager.subscription("b", "kept").start(move |delivery| {
        if delivery.read(&reads).is_some() {
            told.open();
        }
    });
    subscription.unwrap().detach();
    drop((publisher, manager));
    let manager = bus.state_manager("device").unwrap();
    assert!(manager.last("a").is_some() && manager.exists("b"));
    manager.publisher("b").unwrap().finish(kind.message(census.born()));
    heard.pass();
    end(&bus);
    assert!(manager.is_empty());
    drop((bus, manager, kind));
    eventually(|| census.alive() == 0);
}

#[test]
fn a_hundred_thousand_states_come_and_go() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let publishers: Vec<_> = (0..100_000)
        .map(|n| {
            let publisher = manager.publisher(&format!("d{n}")).unwrap();
            publisher.publish(kind.message(n));
            publisher
        })
        .collect();
    assert_eq!((manager.len(), number(&manager, &kind, "d4711")), (100_000, Some(4711)));
    let mut sum = 0;
    let _ = manager.for_each(|state| {
        sum += state.last().map_or(0, |last| *kind.read(&last).unwrap());
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(sum, 99_999 * 100_000 / 2);
    drop(publishers);
    assert_eq!((manager.len(), bus.topics().len()), (0, 1));
}

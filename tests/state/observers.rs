//! Who hears of subscribers, and visits of all states.

use super::*;

/// Notes what it is told, and does what it is asked to.
struct Noting {
    log: Log<String>,
    then: Box<dyn Fn(&StateView<'_>) + Send + Sync>,
}

fn noting(log: &Log<String>, then: impl Fn(&StateView<'_>) + Send + Sync + 'static) -> Noting {
    Noting { log: log.clone(), then: Box::new(then) }
}

impl StateObserver for Noting {
    fn on_subscribe(&self, state: &StateView<'_>) {
        let subscriptions = state.topic().stats().subscriptions;
        self.log.push(format!("+{} {} {}", state.id(), subscriptions, state.last().is_some()));
        (self.then)(state);
    }

    fn on_unsubscribe(&self, state: &StateView<'_>) {
        let subscriptions = state.topic().stats().subscriptions;
        self.log.push(format!("-{} {} {}", state.id(), subscriptions, state.last().is_some()));
        (self.then)(state);
    }
}

#[test]
fn observers_hear_of_subscribers_before_they_are_visible_and_after_they_ended() {
    let _watched = watched();
    let (_bus, kind, manager) = devices();
    let log = Log::new();
    let observation = manager.add_observer(noting(&log, |_| {}));
    let holder = manager.subscriber("a/b").unwrap();
    let publisher = manager.publisher("c").unwrap();
    publisher.publish(kind.message(1));
    drop(publisher);
    assert!(!manager.exists("c"));
    let publisher = manager.publisher("c").unwrap();
    publisher.publish(kind.message(1));
    let subscription = manager.subscribe("c", "s", |_| {}).unwrap();
    assert_eq!(subscription.handle().topic().stats().subscriptions, 1);
    drop(publisher);
    drop(subscription);
    drop(holder);
    assert_eq!(log.all(), ["+a/b 0 false", "+c 0 true", "-c 0 true", "-a/b 0 false"]);
    drop(observation);
    drop(manager.subscriber("c").unwrap());
    assert_eq!(log.len(), 4, "it is told no more");
    let kept = Log::new();
    manager.add_observer(noting(&kept, |_| {})).detach();
    drop(manager.subscriber("c").unwrap());
    assert_eq!(kept.len(), 2);
}

/// An observer may use its manager, publish, subscribe, and add and remove observers; a panic is told and no more.
#[test]
fn g8_observers_may_do_anything() {
    let _watched = watched();
    let panics = Log::new();
    let told = panics.clone();
    let bus = Bus::builder().on_panic(move |report| told.push(report.to_string())).build().unwrap();
    let (kind, manager) = (bus.message_type::<u64>("n").unwrap(), bus.state_manager("device").unwrap());
    let (log, inner, reads) = (Log::new(), Arc::new(Mutex::new(None)), kind.clone());
    let (late, slot) = (log.clone(), inner.clone());
    let then = move |state: &StateView<'_>| {
        let manager = state.manager();
        let publisher = manager.publisher(state.id()).unwrap();
        publisher.publish(reads.message(1));
        assert!(manager.exists(state.id()) && state.is_subscribed());
        if state.id() == "alice" {
            drop(manager.subscriber("bob").unwrap());
        }
        let new = manager.add_observer(noting(&late, |_| {}));
        let old = slot.lock().unwrap().replace(new);
        drop(old);
    };
    let seen = Log::new();
    let first = manager.add_observer(noting(&seen, then));
    let panicking = manager.add_observer(noting(&Log::new(), |_| panic!("{ON_PURPOSE}")));
    let subscriber = manager.subscriber("alice").unwrap();
    assert_eq!(subscriber.last().map(|last| *kind.read(&last).unwrap()), Some(1));
    drop(subscriber);
    assert_eq!(seen.len(), 6, "alice coming and going, and each time bob");
    assert!(
        !panics.all().is_empty() && panics.all().iter().all(|text| text.contains("Observer of \"device\""))
    );
    assert!(manager.is_empty());
    drop((first, panicking));
    inner.lock().unwrap().take();
}

/// It may also wait for what hears of all states: its call is no part of any publish.
#[test]
fn g10_observers_may_end_and_join_subscriptions() {
    let _watched = watched();
    let (_bus, _kind, manager) = devices();
    for mode in HANDLER_MODES {
        let all = Mutex::new(Some(listen(manager.all_topic().subscription("all"), mode, |_| {})));
        let joined = Log::new();
        let noted = joined.clone();
        let then = move |_: &StateView<'_>| {
            if let Some(all) = all.lock().unwrap().take() {
                all.unsubscribe();
                noted.push(all.join());
            }
        };
        let observation = manager.add_observer(noting(&Log::new(), then));
        drop(manager.subscriber("alice").unwrap());
        assert_eq!(joined.all(), [Ok(())], "{mode}");
        drop(observation);
    }
}

#[test]
fn publishes_are_counted_as_a_topics_are() {
    let _watched = watched();
    let (_bus, kind, manager) = devices();
    let publisher = manager.publisher("alice").unwrap();
    publisher.publish(kind.message(1));
    let stats = publisher.topic().stats();
    assert_eq!((stats.published, stats.unrouted, stats.forwards), (1, 1, 1));
    let _all = manager.all_topic().subscription("all").accept(&kind).inline(|_| {}).unwrap();
    assert_eq!(publisher.publish(kind.message(2)).accepted, 1);
    assert_eq!((publisher.topic().stats().published, publisher.topic().stats().unrouted), (2, 1));
    assert_eq!(manager.all_topic().stats().arrived, 2);
}

#[test]
fn g8_visits_hold_no_lock_and_stop_when_told() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let node = bus.origin("node").unwrap();
    for n in 0..100 {
        manager.publish_by_origin(&format!("d{n}"), node, kind.message(n)).unwrap();
    }
    let empty = manager.publisher("empty").unwrap();
    let held: Vec<_> = (0..10).map(|n| manager.subscriber(&format!("d{n}")).unwrap()).collect();
    let (mut sum, mut without) = (0, Vec::new());
    let done = manager.for_each(|state| {
        match state.last() {
            Some(last) => sum += kind.read(&last).unwrap(),
            None => without.push(state.id().to_owned()),
        }
        // It may publish on this state, and make and remove others.
        manager.publish_by_origin(state.id(), node, kind.message(0)).unwrap();
        drop(manager.publisher("new").unwrap());
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((done, sum, without), (ControlFlow::Continue(()), 99 * 100 / 2, vec!["empty".to_owned()]));
    let mut subscribed = 0;
    let stopped = manager.for_each_subscribed(|state| {
        assert!(state.is_subscribed() && state.id().starts_with('d'));
        subscribed += 1;
        if subscribed == 7 { ControlFlow::Break(state.id().to_owned()) } else { ControlFlow::Continue(()) }
    });
    assert!(subscribed == 7 && matches!(stopped, ControlFlow::Break(id) if id.starts_with('d')));
    // Those that go meanwhile are not visited.
    drop((held, empty));
    let mut visited = 0;
    let _ = manager.for_each(|_| {
        visited += 1;
        manager.remove_origin_everywhere(node);
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((visited, manager.len()), (1, 0));
}

/// Drops of replaced and last messages may use the manager, also the same state.
#[test]
fn g8_messages_are_dropped_under_no_lock() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let (kind, other) =
        (bus.message_type::<DropAction>("value").unwrap(), bus.message_type::<u64>("n").unwrap());
    let (manager, node) = (bus.state_manager("device").unwrap(), bus.origin("node").unwrap());
    let dropped = Arc::new(AtomicU64::new(0));
    let value = || {
        let (manager, other, dropped) = (manager.clone(), other.clone(), dropped.clone());
        kind.message(on_drop(move || {
            dropped.fetch_add(1, Ordering::Relaxed);
            assert!(manager.len() <= 2);
            let publisher = manager.publisher("alice").unwrap();
            let _ = (publisher.last(), manager.exists("alice"));
            publisher.publish(other.message(1));
        }))
    };
    let publisher = manager.publisher("alice").unwrap();
    publisher.publish(value());
    publisher.publish(value());
    drop(publisher);
    manager.publish_by_origin("alice", node, value()).unwrap();
    manager.publish_by_origin("alice", node, value()).unwrap();
    manager.remove_origin("alice", node, Some(value())).unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 5);
    assert!(manager.is_empty());
}

//! The subscriber of the traces is foreign code.

use super::*;

#[test]
fn a_subscriber_that_panics_is_caught_counted_and_told_to_the_hook_alone() {
    let _watched = watched();
    let reports = Log::new();
    let log = reports.clone();
    let bus =
        Bus::builder().manual().on_panic(move |report| log.push((report.place, report.name.to_owned())));
    let bus = bus.build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let tracing = Tracer::new(&bus).sample(ROW).by_hand().unwrap();
    let kept = Kept::calling(|name| assert!(!name.starts_with("stasis"), "{ON_PURPOSE}: {name}"));
    let handled = Log::new();
    let log = handled.clone();
    let sub = topic.subscription("full").accept(&kind).capacity(100).overflow(Overflow::DropNewest);
    let sub = sub.start(move |delivery| log.push(delivery.is_final())).unwrap();
    kept.hears(|| {
        (0..2 * ROW).for_each(|number| sent(topic.publish(kind.message(number))));
        bus.advance(Duration::from_secs(2));
        tracing.look();
        bus.run_until_idle();
        sub.unsubscribe();
        bus.run_until_idle();
    });
    assert_eq!(handled.take().len(), 101, "all that it accepted, and the end");
    let reports = reports.take();
    assert!(reports.len() >= 3, "spans and events: {reports:?}");
    let due = (PanicPlace::TraceSubscriber, "tracing".to_owned());
    assert!(reports.iter().all(|report| *report == due), "{reports:?}");
    assert_eq!(bus.stats().panics, reports.len() as u64);
    assert!(kept.events().is_empty());
}

#[test]
fn a_subscriber_that_panics_when_a_span_is_entered_left_or_closed_harms_nothing() {
    let _watched = watched();
    for at in 1..8 {
        let calls = AtomicU64::new(0);
        let panics = move |name: &str| {
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(call != at, "{ON_PURPOSE}: {name}");
        };
        let manual = Manual::heard_by(Kept::calling(panics), |tracer| tracer.sample(ROW));
        let handled = Log::new();
        let log = handled.clone();
        let sub = manual.topic.subscription("log").accept(&manual.kind);
        let _sub = sub.start(move |_| log.push(())).unwrap();
        manual.publish(ROW);
        manual.run();
        assert_eq!((handled.take().len(), manual.bus.stats().panics), (64, 1), "call {at}");
    }
}

#[test]
fn g8_a_subscriber_may_call_anything_on_the_bus() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let tracing = Tracer::new(&bus).sample(ROW).pause(Duration::ZERO).by_hand().unwrap();
    let (weak, told) = (bus.downgrade(), Log::new());
    let log = told.clone();
    let kept = Kept::calling(move |name| {
        let Some(bus) = weak.upgrade() else { return };
        log.push(name.to_owned());
        let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("told").unwrap());
        let sub = topic.subscription("own").accept(&kind).start(|_| {}).unwrap();
        let _ = topic.publish(kind.message(1));
        assert!(!bus.stats().subscriptions.is_empty() && !bus.diagnose().summary.is_empty());
        sub.unsubscribe();
    });
    let mut stream = topic.subscription("stream").accept(&kind).stream().unwrap();
    let full = topic.subscription("full").accept(&kind).capacity(1).overflow(Overflow::DropOldest);
    let _full = full.start(|delivery| assert!(delivery.is_final(), "{ON_PURPOSE}")).unwrap();
    kept.hears(|| {
        (0..ROW).for_each(|number| sent(topic.publish(kind.message(number))));
        bus.advance(Duration::from_secs(2));
        tracing.look();
        bus.run_until_idle();
        (0..ROW).for_each(|_| drop(stream.try_recv().unwrap()));
        assert!(bus.shutdown(Duration::ZERO).is_ok());
    });
    let told = told.take();
    for name in ["stasis.publish", "stasis.handle", "stasis.losing", "stasis.panic", "stasis.finding"] {
        assert!(told.iter().any(|told| told == name), "{name} of {told:?}");
    }
}

#[test]
fn a_subscriber_that_shuts_the_bus_down_while_it_hears_of_that_does_not_wait_for_itself() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let _tracing = Tracer::new(&bus).by_hand().unwrap();
    let (weak, refused) = (bus.downgrade(), Log::new());
    let log = refused.clone();
    let kept = Kept::calling(move |name| {
        if name == "stasis.straggler"
            && let Some(bus) = weak.upgrade()
        {
            log.push(bus.shutdown(Duration::ZERO).is_err());
        }
    });
    let _stream = topic.subscription("unread").accept(&kind).stream().unwrap();
    let _ = topic.publish(kind.message(1));
    kept.hears(|| bus.shutdown(Duration::ZERO)).unwrap();
    assert_eq!(refused.take(), [true], "from inside, it does not wait");
}

//! Spans, from a publish to its handlers.

use super::*;

#[test]
fn spans_link_a_publish_with_every_handler_of_its_message() {
    let _watched = watched();
    for dispatch in HANDLER_MODES {
        let manual = sampled();
        let (kept, seen) = (manual.kept.clone(), Log::new());
        let log = seen.clone();
        let handler = move |delivery: &Delivery<'_>| {
            if !delivery.is_final() {
                kept.hears(|| tracing::info!(target: "test", "handled"));
                log.push(());
            }
        };
        let sub = manual.topic.subscription("log").accept(&manual.kind);
        let sub = match dispatch {
            Dispatch::Inline => sub.inline(handler),
            _ => sub.dispatch(dispatch).start(handler),
        };
        let sub = sub.unwrap();
        let other = manual.topic.subscription("other").accept(&manual.kind).start(|_| {}).unwrap();
        manual.publish(ROW);
        manual.run();
        seen.await_len(ROW as usize);
        let (publishes, handles) = (manual.kept.spans("stasis.publish"), manual.kept.spans("stasis.handle"));
        assert_eq!((publishes.len(), handles.len()), (1, 2), "{dispatch:?}: {handles:?}");
        let publish = &publishes[0];
        let fields = &publish.fields;
        assert_eq!((fields.get("topic"), fields.get("message_type")), ("calls", "number"));
        assert_eq!((fields.number("accepted"), fields.number("dropped")), (2.0, 0.0), "{dispatch:?}");
        assert_eq!((publish.entered.len(), publish.exits), (1, 1));
        assert!(publish.is_closed(), "{dispatch:?}: all have handled it");
        for handle in &handles {
            assert_eq!((&handle.follows, handle.parent), (&vec![publish.id], None), "{dispatch:?}");
            assert_eq!((handle.entered.len(), handle.exits), (1, 1), "{dispatch:?}");
            assert!(handle.is_closed() && handle.fields.number("waited") >= 0.0);
            assert_eq!((handle.fields.get("topic"), handle.fields.get("message_type")), ("calls", "number"));
        }
        let ids: Vec<_> = handles.iter().map(|handle| handle.fields.get("id").to_owned()).collect();
        assert!(ids.contains(&sub.id().to_string()) && ids.contains(&other.id().to_string()), "{ids:?}");
        let handle = handles.iter().find(|handle| handle.fields.get("subscription") == "log").unwrap();
        assert!(manual.kept.is_orderly(), "{dispatch:?}");
        let events = manual.kept.events();
        let own = events.iter().filter(|event| event.inside == Some(handle.id)).count();
        assert_eq!(own, 1, "{dispatch:?}: what the handler tells is inside its span");
    }
}

/// More than one publish times.
#[test]
fn each_of_many_inline_handlers_has_its_span() {
    const MANY: usize = 20;
    let _watched = watched();
    let manual = sampled();
    let sub = |_| manual.topic.subscription("log").accept(&manual.kind).inline(|_| {}).unwrap();
    let subs: Vec<_> = (0..MANY).map(sub).collect();
    manual.publish(ROW);
    let handles = manual.kept.spans("stasis.handle");
    let mut ids: Vec<_> = handles.iter().map(|handle| handle.fields.get("id").to_owned()).collect();
    let mut expected: Vec<_> = subs.iter().map(|sub| sub.id().to_string()).collect();
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    assert!(handles.iter().all(|handle| handle.is_closed()));
}

#[test]
fn a_publish_is_below_the_span_it_is_made_in() {
    let _watched = watched();
    let manual = sampled();
    let _sub = manual.topic.subscription("log").accept(&manual.kind).start(|_| {}).unwrap();
    manual.kept.hears(|| {
        let request = tracing::info_span!(target: "test", "request");
        let _entered = request.enter();
        (0..ROW).for_each(|number| sent(manual.topic.publish(manual.kind.message(number))));
    });
    let request = manual.kept.spans("request")[0].id;
    assert_eq!(manual.kept.spans("stasis.publish")[0].parent, Some(request));
    assert!(!manual.kept.spans("stasis.publish")[0].is_closed(), "it is not handled yet");
}

#[test]
fn a_reader_and_a_batch_have_spans_that_nobody_is_inside_of() {
    let _watched = watched();
    let manual = sampled();
    let mut stream = manual.topic.subscription("stream").accept(&manual.kind).stream().unwrap();
    let batch = manual.topic.subscription("batch").accept(&manual.kind);
    let _batch = batch.start_batch(|batch| assert!(batch.len() <= ROW as usize)).unwrap();
    manual.publish(ROW);
    manual.run();
    manual.kept.hears(|| (0..ROW).for_each(|_| drop(stream.try_recv().unwrap())));
    let publish = &manual.kept.spans("stasis.publish")[0];
    let handles = manual.kept.spans("stasis.handle");
    let names: Vec<_> = handles.iter().map(|handle| handle.fields.get("subscription")).collect();
    assert_eq!(names, ["batch", "stream"]);
    for handle in &handles {
        assert_eq!((&handle.follows, handle.entered.len()), (&vec![publish.id], 0));
        assert!(handle.is_closed());
    }
}

/// What a reader has had is its own: nothing of a followed message waits until it comes again.
#[test]
fn a_message_that_is_followed_is_held_by_nobody_but_its_reader() {
    let _watched = watched();
    let manual = sampled();
    let mut stream = manual.topic.subscription("stream").accept(&manual.kind).stream().unwrap();
    let message = manual.kind.message(0);
    let publish = || (0..ROW).for_each(|_| sent(manual.topic.publish(message.clone())));
    manual.kept.hears(publish);
    for left in (0..ROW as usize).rev() {
        drop(manual.kept.hears(|| stream.try_recv().unwrap()));
        assert_eq!(message.reference_count(), 1 + left);
    }
    assert_eq!(manual.kept.spans("stasis.handle").len(), 1);
}

#[test]
fn a_message_that_is_lost_closes_its_span() {
    let _watched = watched();
    let policies = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Grow(Grow::limit(1))];
    for overflow in policies {
        let (manual, shown) = (sampled(), format!("{overflow:?}"));
        let sub = manual.topic.subscription("full").accept(&manual.kind).capacity(1).overflow(overflow);
        let sub = sub.start(|_| {}).unwrap();
        // In the end it has others, or refuses all: the sampled one is not the last of a row and a half for each topic.
        manual.publish(2 * ROW);
        let spans = manual.kept.spans("stasis.publish");
        assert_eq!(spans.len(), 2, "{shown}");
        assert!(spans.iter().any(|span| span.is_closed()), "{shown}");
        sub.unsubscribe();
        manual.run();
        assert!(manual.kept.spans("stasis.publish").iter().all(|span| span.is_closed()), "{shown}");
    }
}

#[test]
fn handlers_on_other_threads_are_told_to_the_publishers_subscriber() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let (kept, _tracing) = (Kept::new(), Tracer::new(&bus).sample(ROW).by_hand().unwrap());
    let handled = Log::new();
    let log = handled.clone();
    let sub = topic.subscription("log").accept(&kind);
    let sub = sub.start(move |delivery| log.push((thread::current().id(), delivery.is_final()))).unwrap();
    kept.hears(|| (0..ROW).for_each(|number| sent(topic.publish(kind.message(number)))));
    sub.unsubscribe_and_join().unwrap();
    let (publish, handle) = (&kept.spans("stasis.publish")[0], &kept.spans("stasis.handle")[0]);
    assert_eq!(handle.follows, [publish.id]);
    assert_eq!(publish.entered, [thread::current().id()]);
    assert_eq!(handle.entered, [handled.take()[0].0]);
    assert!(publish.is_closed() && handle.is_closed());
}

#[test]
fn a_panic_is_told_inside_the_span_of_its_message() {
    let _watched = watched();
    let manual = Manual::with(|tracer| tracer.sample(ROW).pause(Duration::ZERO));
    let sub = manual.topic.subscription("weak").accept(&manual.kind);
    let _sub = sub.start(|delivery| assert!(delivery.is_final(), "{ON_PURPOSE}")).unwrap();
    manual.publish(ROW);
    manual.run();
    let panics = manual.kept.take("stasis.panic");
    assert_eq!(panics.len(), ROW as usize, "a pause of zero withholds nothing");
    let handle = &manual.kept.spans("stasis.handle")[0];
    assert_eq!(panics.iter().filter(|panic| panic.inside == Some(handle.id)).count(), 1);
    assert!(handle.is_closed() && handle.exits == 1);
}

#[test]
fn one_in_so_many_messages_is_sampled() {
    let _watched = watched();
    for (one_in, due) in [(0, 0), (1, 8), (64, 8), (65, 4), (128, 4), (512, 1)] {
        let manual = Manual::with(|tracer| tracer.sample(one_in));
        let _sub = manual.topic.subscription("log").accept(&manual.kind).start(|_| {}).unwrap();
        manual.publish(8 * ROW);
        assert_eq!(manual.kept.spans("stasis.publish").len(), due, "1 in {one_in}");
    }
}

#[test]
fn publishers_and_waiting_publishes_are_sampled_too() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let (kept, _tracing) = (Kept::new(), Tracer::new(&bus).sample(ROW).by_hand().unwrap());
    let sub = topic.subscription("log").accept(&kind).start(|_| {}).unwrap();
    kept.hears(|| {
        let mut publisher = topic.publisher();
        (0..ROW).for_each(|number| sent(publisher.publish(kind.message(number))));
        drop(publisher);
        for number in 0..ROW {
            assert_eq!(sub.publish_sync(kind.message(number), None).unwrap(), Handled::Yes);
        }
    });
    sub.unsubscribe_and_join().unwrap();
    let (publishes, handles) = (kept.spans("stasis.publish"), kept.spans("stasis.handle"));
    assert_eq!((publishes.len(), handles.len()), (2, 2));
    assert!(publishes.iter().zip(&handles).all(|(publish, handle)| handle.follows == [publish.id]));
}

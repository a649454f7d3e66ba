//! Spans of messages that are followed, and events, while everything else goes on.

use super::seen::{Stage, Told, spawn};
use super::{Witness, explore};
use crate::trace::Tracer;
use crate::{Dispatch, Overflow, Topic};
use std::collections::BTreeMap;
use std::fmt::Debug;
// The standard ones: a subscriber that is asked by two threads at once would be none to the second (all of them are one
// thread of the system), so that nobody else goes on in the middle of a call.
use ::tracing::field::{Field, Visit};
use ::tracing::span::{Attributes, Id, Record};
use ::tracing::{Event, Metadata, Subscriber};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A span, by what was told of it.
#[derive(Clone, Debug, Default)]
struct Spanned {
    name: &'static str,
    follows: Option<u64>,
    entered: usize,
    left: usize,
    references: usize,
    accepted: Option<u64>,
    /// Handlers' spans that follow it and are open.
    open: usize,
    followers: u64,
}

#[derive(Default)]
struct Heard {
    spans: BTreeMap<u64, Spanned>,
    /// Of each name.
    events: BTreeMap<&'static str, u64>,
    /// What was told that cannot be.
    wrong: Vec<String>,
}

/// Hears everything; clones share it.
#[derive(Clone, Default)]
struct Listening(Arc<Mutex<Heard>>);

/// The field `accepted`.
struct Accepted(Option<u64>);

impl Visit for Accepted {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "accepted" {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Listening {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Spanned)) {
        let mut heard = self.0.lock().unwrap();
        match heard.spans.get_mut(&id.into_u64()) {
            Some(span) if span.references > 0 => change(span),
            span => {
                let what = format!("a span that is closed, or never was: {span:?}");
                heard.wrong.push(what);
            }
        }
    }

    fn closed(&self, id: u64) {
        let mut heard = self.0.lock().unwrap();
        let span = heard.spans[&id].clone();
        if span.entered != span.left || span.open > 0 {
            heard.wrong.push(format!("closed too early: {span:?}"));
        }
        if let Some(publish) = span.follows.and_then(|of| heard.spans.get_mut(&of)) {
            publish.open -= 1;
        }
    }
}

impl Subscriber for Listening {
    /// Shuttle has spans of its own.
    fn enabled(&self, of: &Metadata<'_>) -> bool {
        of.target() == "stasis_bus"
    }

    fn new_span(&self, made: &Attributes<'_>) -> Id {
        let mut heard = self.0.lock().unwrap();
        let id = heard.spans.len() as u64 + 1;
        let span = Spanned { name: made.metadata().name(), references: 1, ..Spanned::default() };
        heard.spans.insert(id, span);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut accepted = Accepted(None);
        values.record(&mut accepted);
        self.change(id, |span| span.accepted = accepted.0.or(span.accepted));
    }

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        self.change(follows, |publish| {
            (publish.open, publish.followers) = (publish.open + 1, publish.followers + 1)
        });
        self.change(id, |span| span.follows = Some(follows.into_u64()));
    }

    fn event(&self, event: &Event<'_>) {
        *self.0.lock().unwrap().events.entry(event.metadata().name()).or_default() += 1;
    }

    fn enter(&self, id: &Id) {
        self.change(id, |span| span.entered += 1);
    }

    fn exit(&self, id: &Id) {
        self.change(id, |span| span.left += 1);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.change(id, |span| span.references += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut is_closed = false;
        self.change(&id, |span| {
            span.references -= 1;
            is_closed = span.references == 0;
        });
        if is_closed {
            self.closed(id.into_u64());
        }
        is_closed
    }
}

/// The next one of `topic` is followed, as all are that are timed.
fn next_is_followed(topic: &Topic) {
    let core = topic.core();
    let number = (0..).find(|number| core.times(*number)).expect("some are timed");
    core.published.store(number, std::sync::atomic::Ordering::Relaxed);
}

std::thread_local! {
    /// Of the run that is under way: coroutines share the thread's subscriber.
    static HEARD: Listening = Listening::default();
}

fn hears(scenario: fn()) {
    let heard = HEARD.with(Clone::clone);
    ::tracing::subscriber::with_default(heard, || explore(scenario));
}

/// What was told in this run, taken.
fn heard() -> Heard {
    HEARD.with(|heard| std::mem::take(&mut *heard.0.lock().unwrap()))
}

/// Messages are followed to handlers of every mode, one that ends, and a mailbox that drops them: each span is closed once, when it
/// was left as often as entered, and a publish's after those of all who got it. Tracing is stopped at any time.
#[test]
fn spans_are_closed_in_their_order() {
    static FOLLOWED: Witness = Witness::new();
    static LOST: Witness = Witness::new();
    hears(|| {
        heard();
        let stage = Stage::new(1, 2);
        let topics = ["a", "b"].map(|name| stage.topic(name));
        topics.iter().for_each(next_is_followed);
        let tracing = Tracer::new(&stage.bus).sample(1).by_hand().unwrap();
        let modes =
            [Dispatch::Inline, Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];
        let mut stay: Vec<_> = modes.into_iter().map(|mode| stage.listen(&topics[0], mode)).collect();
        let builder = topics[1].subscription("small").accept(&stage.kind).capacity(1);
        stay.push(stage.listen_as(builder.overflow(Overflow::DropOldest), Dispatch::Pool, |_| {}));
        let ends = stage.listen(&topics[1], Dispatch::Pool);
        let publishers = [0, 1].map(|at| stage.publisher(at, 2, &topics[at]));
        let ending = spawn(move || _ = ends.end());
        let told = publishers.map(|publisher| publisher.join_each());
        ending.join();
        let stops = spawn(move || tracing.stop());
        stage.finish(stay);
        stops.join();
        let heard = heard();
        assert_eq!(heard.wrong, Vec::<String>::new());
        let publishes = heard.spans.values().filter(|span| span.name == "stasis.publish");
        let publishes: Vec<_> = publishes.collect();
        assert!((2..=4).contains(&publishes.len()), "one of each topic at least");
        assert!(heard.spans.values().all(|span| span.references == 0), "left open: {:?}", heard.spans);
        for span in &publishes {
            let accepted = span.accepted.expect("what became of it");
            assert!(told.iter().flatten().any(|told| u64::from(told.accepted) == accepted));
            assert!(span.followers <= accepted);
            if span.followers == accepted { &FOLLOWED } else { &LOST }.see();
        }
    });
    assert!(FOLLOWED.was_seen() && LOST.was_seen());
}

/// A mailbox loses messages while somebody looks at an interval: what was lost by the end is told, though nobody looked at the end.
#[test]
fn losses_are_told_by_the_end() {
    static LOST: Witness = Witness::new();
    hears(|| {
        heard();
        let stage = Stage::new(1, 1);
        let topic = stage.topic("topic");
        let tracer = Tracer::new(&stage.bus).pause(Duration::ZERO).sample(0);
        let tracing = tracer.every(Duration::from_millis(10)).unwrap();
        let builder = topic.subscription("small").accept(&stage.kind).capacity(1);
        let small = stage.listen_as(builder.overflow(Overflow::DropNewest), Dispatch::Pool, |_| {});
        let dropped = Told::of_all([0, 1].map(|by| stage.publisher(by, 3, &topic))).dropped;
        let missed = stage.finish(vec![small])[0].missed();
        tracing.stop();
        let heard = heard();
        assert_eq!((u64::from(dropped), heard.wrong), (missed, Vec::<String>::new()));
        let told = heard.events.get("stasis.losing").copied().unwrap_or_default();
        assert_eq!(told > 0, dropped > 0, "{dropped} were lost: {:?}", heard.events);
        if dropped > 0 {
            LOST.see();
        }
    });
    assert!(LOST.was_seen());
}

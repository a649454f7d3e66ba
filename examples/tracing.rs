//! What a bus tells the `tracing` facade: events for whoever runs it, spans of a sample of messages.
//!
//! `cargo run --features tracing --example tracing`

use stasis_bus::trace::Tracer;
use stasis_bus::{Bus, Overflow};
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn main() -> Result<(), stasis_bus::Error> {
    // A service has a subscriber of its own, as a rule that of the crate `tracing-subscriber`.
    tracing::subscriber::set_global_default(Printed::default()).expect("the only one");

    // A panic is told to the subscriber: the usual lines on stderr are not wanted here.
    std::panic::set_hook(Box::new(|_| {}));
    let bus = Bus::builder().workers(1..=2).build()?;
    let tracing =
        Tracer::new(&bus).slow(Duration::from_millis(5)).sample(128).every(Duration::from_millis(50))?;

    // A handler that keeps up, one that is slow and loses what it cannot keep, one that panics.
    let ring = bus.message_type::<u32>("ring")?;
    let calls = bus.topic("calls")?;
    let log = calls.subscribe("log", |delivery| drop(delivery.message().clone()))?;
    let slow = calls
        .subscription("slow")
        .capacity(8)
        .overflow(Overflow::DropOldest)
        .start(|_| sleep(Duration::from_millis(10)))?;
    let weak = calls.subscription("weak").accept(&ring).start_typed(&ring, |number, _| {
        assert!(number % 100 != 0, "number {number} is too much");
    })?;
    for number in 1..=300 {
        assert!(calls.publish(ring.message(number)).reached());
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_millis(200));
    for subscription in [log, slow, weak] {
        subscription.unsubscribe_and_join()?;
    }
    tracing.stop();
    bus.shutdown(Duration::from_secs(1))?;
    Ok(())
}

/// Prints what it is told.
#[derive(Default)]
struct Printed {
    spans: AtomicU64,
}

/// The fields of an event or a span, as text.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

fn print(what: &str, metadata: &Metadata<'_>, record: impl FnOnce(&mut Fields)) {
    let mut fields = Fields(String::new());
    record(&mut fields);
    println!("{:5} {what}{}{}", metadata.level(), metadata.name(), fields.0);
}

impl Subscriber for Printed {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "stasis_bus"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.spans.fetch_add(1, Ordering::Relaxed) + 1;
        print(&format!("span {id} "), span.metadata(), |fields| span.record(fields));
        Id::from_u64(id)
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        println!("      span {} follows from {}", span.into_u64(), follows.into_u64());
    }

    fn event(&self, event: &Event<'_>) {
        print("", event.metadata(), |fields| event.record(fields));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

//! A subscription that gets what stands in a cache first, and then every change.

use super::builder::SubscriptionBuilder;
use crate::dispatch::frames;
use crate::mailbox::{Dispatch, Standing};
use crate::message::{Message, SnapshotEnd};
use crate::sync::Arc;
use crate::topic::catch_up::{CatchUp, Source};
use crate::topic::member::{Member, Sink};
use crate::topic::subscribers::Route;

impl SubscriptionBuilder<'_> {
    /// What stands in `source` comes first. Inline is taken as Serial.
    pub(crate) fn catching_up(mut self, source: Arc<dyn Source>) -> Self {
        self.source = Some(source);
        self
    }

    /// What the finished subscription's dispatch is.
    pub(super) fn dispatch_taken(&self) -> Dispatch {
        match self.dispatch.unwrap_or_default() {
            Dispatch::Inline if self.source.is_some() => Dispatch::Serial,
            dispatch => dispatch,
        }
    }

    /// Shows the mailbox, whose turn is held; collects what stands; lets it run, with that and its own `first` message
    /// before everything else.
    pub(super) fn show_and_catch_up(&self, member: &Member, first: Option<Message>) {
        let core = self.topic.core();
        let (Some(source), Some(mailbox)) = (self.source.as_deref(), member.mailbox()) else { return };
        let mut held = Held::new(member);
        held.items.extend(first.map(Standing::Message));
        let before = held.items.len();
        let marks = CatchUp::new(source);
        let route = Route::new(self.filter.clone(), mailbox.clone());
        core.add_catching(route, marks.clone());
        for shard in 0..source.shards() {
            source.capture(shard, &self.filter, &|| marks.set_live(shard), &mut held.items);
        }
        core.caught_up(member.id());
        let entries = (held.items.len() - before) as u64;
        let ends = &core.exchange.cached.snapshot_ends;
        if source.ends() && (!self.is_typed || self.filter.accepts(ends.kind())) {
            held.items.push(Standing::Message(ends.message(SnapshotEnd::new(entries))));
        }
    }
}

/// The turn of a mailbox that has never run. Going, also in a panic, places what was collected, and passes it on.
struct Held<'m> {
    member: &'m Member,
    items: Vec<Standing>,
}

impl<'m> Held<'m> {
    fn new(member: &'m Member) -> Self {
        if member.dispatch == Dispatch::Serial {
            // This thread will run it: nothing here may wait for it.
            frames::hold(member.id());
        }
        Self { member, items: Vec::new() }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let items = std::mem::take(&mut self.items);
        match &self.member.sink {
            Sink::Stream(reader) => reader.place(items),
            Sink::Mailbox(mailbox) => {
                // SAFETY: the mailbox was made with a prelude, and its turn was held since then, by us.
                if unsafe { mailbox.place_and_pass(items) } {
                    self.member.topic.exchange.pool.flush();
                }
            }
            Sink::Inline(_) => {}
        }
    }
}

#[cfg(all(test, not(bus_loom)))]
#[allow(clippy::disallowed_methods)] // A thread to wait for.
mod tests {
    use super::*;
    use crate::mailbox::Filter;
    use crate::sync::Mutex;
    use crate::sync::atomic::{AtomicUsize, Ordering};
    use crate::sync::thread;
    use crate::{Bus, EndReason};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    /// A look at it takes as long as one likes.
    struct Slow {
        looked_at: Mutex<Sender<()>>,
        go_on: Mutex<Receiver<()>>,
    }

    impl Source for Slow {
        fn number(&self) -> u64 {
            crate::ids::next()
        }

        fn shards(&self) -> usize {
            1
        }

        fn capture(&self, _: usize, _: &Filter, mark: &dyn Fn(), _: &mut Vec<Standing>) {
            mark();
            self.looked_at.lock().send(()).unwrap();
            self.go_on.lock().recv().unwrap();
        }
    }

    /// The workers are gone when it comes to its end.
    #[test]
    fn g11_who_catches_up_until_after_the_end_of_the_bus_comes_to_its_end() {
        for dispatch in [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated] {
            let bus = Bus::builder().workers(1..=1).build().unwrap();
            let topic = bus.topic("updates").unwrap();
            let _other = topic.subscribe("starts the workers", |_| {}).unwrap();
            let ((looked_at, begun), (go, go_on)) = (channel(), channel());
            let source = Slow { looked_at: Mutex::new(looked_at), go_on: Mutex::new(go_on) };
            let finals = Arc::new(AtomicUsize::new(0));
            let (counted, captured) = (finals.clone(), Arc::new(()));
            let alive = Arc::downgrade(&captured);
            let (tell, told) = channel();
            let subscribe = move || {
                let builder = topic.subscription("late").dispatch(dispatch).catching_up(Arc::new(source));
                let subscription = builder.start(move |delivery| {
                    let _ = &captured;
                    let is_final = delivery.end() == Some(EndReason::ShutDown);
                    counted.fetch_add(usize::from(is_final), Ordering::Relaxed);
                });
                tell.send(subscription.unwrap().join_timeout(Duration::from_secs(10))).unwrap();
            };
            let subscriber = thread::spawn("late".to_owned(), subscribe).unwrap();
            begun.recv().unwrap();
            let report = bus.shutdown(Duration::ZERO).unwrap();
            assert!(report.stragglers.iter().any(|late| late.name == "late" && !late.ended), "{report}");
            go.send(()).unwrap();
            assert_eq!(told.recv(), Ok(Ok(())), "{dispatch:?}");
            subscriber.join();
            assert_eq!(finals.load(Ordering::Relaxed), 1);
            // A thread of its own lets go a moment later.
            for _ in 0..1_000 {
                if alive.strong_count() > 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            assert_eq!(alive.strong_count(), 0);
        }
    }
}

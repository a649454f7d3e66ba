//! The straight way of a message that everybody on a list takes, by the public interface in manual mode. It is taken from the
//! second message on (the first one has the slots made), and nobody here has a filter; that it was taken is what the mutations
//! tell, which are of that way alone.

use super::{Plain, Witness, explore, go_one_way};
use crate::dispatch::latch::Latch;
use crate::sync::Arc;
use crate::sync::time::Deadline;
use crate::{Bus, Delivery, Dispatch, MessageType, Subscription, Topic};
use loom::thread::{JoinHandle, spawn};

struct Model {
    bus: Bus,
    topic: Topic,
    kind: MessageType<u8>,
}

impl Model {
    fn new() -> Self {
        let bus = Bus::builder().manual().idle_timeout(None).build().unwrap();
        let (topic, kind) = (bus.topic("model").unwrap(), bus.message_type("model").unwrap());
        Self { bus, topic, kind }
    }

    /// Without a filter, and with room for what is published without a mark to pass.
    fn subscribe(
        &self,
        dispatch: Dispatch,
        handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Subscription {
        let builder = self.topic.subscription("model").capacity(4).water_marks(4, 1).dispatch(dispatch);
        builder.start(handler).unwrap()
    }

    /// The same; its handler sets the latch of the number that a message has.
    fn told(&self, dispatch: Dispatch) -> (Subscription, Arc<[Latch<()>; 2]>) {
        let (told, kind) = (Arc::new([Latch::new(), Latch::new()]), self.kind.clone());
        let tell = told.clone();
        let subscription = self.subscribe(dispatch, move |delivery| {
            if let Some(&number) = delivery.read(&kind) {
                tell[usize::from(number)].set(());
            }
        });
        (subscription, told)
    }

    fn publish(&self, number: u8) -> u32 {
        self.topic.publish(self.kind.message(number)).accepted
    }

    /// A worker that sleeps when there is nothing to do.
    fn worker(&self) -> JoinHandle<()> {
        let exchange = self.bus.exchange().clone();
        spawn(move || exchange.pool.work_here())
    }

    fn end(&self, worker: JoinHandle<()>) {
        go_one_way();
        assert!(self.bus.exchange().pool.stop(Deadline::after(None)).is_empty());
        worker.join().unwrap();
    }
}

fn wait(latch: &Latch<()>) {
    latch.wait(Deadline::after(None));
}

/// What goes straight into a mailbox that ends is delivered before the final message, or was not accepted.
#[test]
fn straight_against_unsubscribe() {
    static DELIVERED: Witness = Witness::new();
    static LATE: Witness = Witness::new();
    explore(4, || {
        let model = Model::new();
        let (seen, kind) = (Arc::new(Plain::new((0, 0))), model.kind.clone());
        let noted = seen.clone();
        let subscription = model.subscribe(Dispatch::Pool, move |delivery| {
            noted.write(|(messages, finals)| {
                assert_eq!(*finals, 0, "a call after the final one");
                *finals += u32::from(delivery.is_final());
                *messages += u32::from(delivery.read(&kind).is_some());
            });
        });
        assert_eq!(model.publish(0), 1);
        model.bus.run_until_idle();
        let (topic, message) = (model.topic.clone(), model.kind.message(1));
        let publisher = spawn(move || topic.publish(message).accepted);
        subscription.unsubscribe();
        model.bus.run_until_idle();
        let accepted = publisher.join().unwrap();
        model.bus.run_until_idle();
        assert!(subscription.is_done());
        seen.read(|seen| assert_eq!(*seen, (1 + accepted, 1)));
        if accepted == 1 { &DELIVERED } else { &LATE }.see();
    });
    assert!(DELIVERED.was_seen() && LATE.was_seen());
}

/// A message goes straight into a mailbox while its worker gives the turn back and goes to sleep: it is handled, and nobody
/// publishes any more.
#[test]
fn straight_against_the_turn_given_back() {
    explore(2, || {
        let model = Model::new();
        let (_subscription, handled) = model.told(Dispatch::Pool);
        assert_eq!(model.publish(0), 1);
        let worker = model.worker();
        wait(&handled[0]);
        assert_eq!(model.publish(1), 1);
        wait(&handled[1]);
        model.end(worker);
    });
}

/// The straight way ends at a mailbox that the publisher itself runs, with the turn of one before it that a worker runs, and
/// sleeps: both are run.
#[test]
fn straight_way_ends_with_a_turn_taken() {
    explore(1, || {
        let model = Model::new();
        let ((_pool, handled), (_serial, by_us)) = (model.told(Dispatch::Pool), model.told(Dispatch::Serial));
        assert_eq!(model.publish(0), 2);
        let worker = model.worker();
        wait(&handled[0]);
        assert_eq!(model.publish(1), 2);
        assert!(by_us[1].is_set());
        wait(&handled[1]);
        model.end(worker);
    });
}

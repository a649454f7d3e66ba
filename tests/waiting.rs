//! What a thread that waits for a subscription does meanwhile: nothing.

use stasis_bus::{Bus, Dispatch, Handled};
use std::sync::mpsc;
use std::thread;

#[test]
fn g10_a_waiting_thread_runs_no_pool_handler() {
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let number = bus.message_type::<u32>("number").unwrap();
    let topic = bus.topic("numbers").unwrap();
    // Its only worker is in a handler when the other subscription's message comes: that one stands in the run queue.
    let (go_on, wait) = mpsc::channel::<()>();
    let (inside, entered) = mpsc::channel();
    let stuck = topic.subscription("stuck").accept(&number).start(move |delivery| {
        if !delivery.is_final() {
            inside.send(()).unwrap();
            wait.recv().unwrap();
        }
    });
    let stuck = stuck.unwrap();
    topic.publish(number.message(1));
    entered.recv().unwrap();

    let other = bus.topic("other").unwrap();
    let (tell, ran_on) = mpsc::channel();
    let target = other.subscription("target").accept(&number).dispatch(Dispatch::Pool).start(move |_| {
        let _ = tell.send(thread::current().id());
    });
    let target = target.unwrap();
    let handled = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let handled = target.publish_sync(number.message(2), None).unwrap();
            (thread::current().id(), handled)
        });
        while target.stats().accepted == 0 {
            thread::yield_now();
        }
        // It either waits for the worker now, or (wrongly) runs the handler itself; let it.
        let early = ran_on.recv_timeout(std::time::Duration::from_millis(100));
        go_on.send(()).unwrap();
        let (waiter, handled) = waiting.join().unwrap();
        let runner = early.or_else(|_| ran_on.recv()).unwrap();
        assert_ne!(runner, waiter, "the handler ran on the stack of the thread that waits");
        handled
    });
    assert_eq!(handled, Handled::Yes);
    drop(stuck);
}

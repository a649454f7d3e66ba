//! Stream: queued, and read by whoever wants to: a task of any runtime, or a thread.
//!
//! The executor here is ten lines, to show that none in particular is needed.
//!
//! `cargo run --example stream`

use futures_core::Stream as _;
use stasis_bus::{Bus, Error, Received, RecvTimeoutError, Stream, TryRecvError};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let state = bus.message_type::<u32>("state")?;
    let door = bus.topic("door")?;
    let mut states = door.subscription("ui").accept(&state).stream()?;

    // A thread reads.
    assert_eq!(states.try_recv().err(), Some(TryRecvError::Empty));
    let nothing = states.recv_timeout(Duration::from_millis(1));
    assert_eq!(nothing.err(), Some(RecvTimeoutError::TimedOut));
    door.publish(state.message(1));
    let received = states.recv().expect("one message waits");
    println!("a thread read {:?}", received.read(&state));

    // A task reads, while another thread publishes and then ends the subscription.
    let handle = states.handle();
    let sum = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 2..=5 {
                door.publish(state.message(number));
            }
            handle.unsubscribe();
        });
        block_on(async {
            let mut sum = 0;
            while let Some(received) = next(&mut states).await {
                println!("a task read {:?}, end {:?}", received.read(&state), received.end());
                sum += received.read(&state).unwrap_or(&0);
            }
            sum
        })
    });
    assert_eq!(sum, 2 + 3 + 4 + 5);
    Ok(())
}

/// What `StreamExt::next` of the futures crate does.
async fn next(stream: &mut Stream) -> Option<Received> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// Polls, and sleeps until woken.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Signal(mpsc::SyncSender<()>);
    impl Wake for Signal {
        fn wake(self: Arc<Self>) {
            // Full: a wake-up stands already.
            let _ = self.0.try_send(());
        }
    }
    let (signal, woken) = mpsc::sync_channel(1);
    let waker = Waker::from(Arc::new(Signal(signal)));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let _ = woken.recv();
    }
}

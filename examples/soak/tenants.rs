//! Who subscribes: places that are let to one subscription after the other, of every mode, policy and temper.

use crate::audience::Tenant;
use crate::dice::Dice;
use crate::seen::Seen;
use crate::terms::{Form, Terms};
use crate::verdict::{Count, Kind, Verdict};
use crate::yard::Yard;
use futures_lite::{StreamExt, future};
use stasis_bus::{
    Batch, Crossing, Delivery, Dispatch, EndReason, Message, Received, RecvTimeoutError, Stream,
    SubscribeError, Subscription, SubscriptionBuilder,
};
use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

const PLACES: usize = 12;
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn start<'s>(scope: &'s Scope<'s, '_>, yard: &Arc<Yard>) {
    for place in 0..PLACES {
        let yard = yard.clone();
        scope.spawn(move || let_place(&yard, place));
    }
}

fn let_place(yard: &Arc<Yard>, place: usize) {
    let mut dice = Dice::new(yard.options.seed, "tenant", place);
    while yard.goes_on() {
        let seen = Arc::new(Seen::new(Terms::draw(&mut dice)));
        match seen.terms.form {
            Form::Each => stay(yard, &seen, each(yard, &seen)),
            Form::Batch => stay(yard, &seen, batch(yard, &seen, 1 + dice.index(300))),
            Form::Recv | Form::Poll | Form::Abandon => read(yard, &seen),
        }
    }
}

// ---- what came ------------------------------------------------------------------------------------------------------------

fn note(yard: &Yard, seen: &Seen, message: &Message, missed: u64, end: Option<EndReason>) {
    if let Some(reason) = end {
        return seen.end(&yard.verdict, missed, reason);
    }
    seen.delivery(&yard.verdict, missed);
    if let Some(stamp) = yard.kind.read(message) {
        seen.stamp(&yard.verdict, stamp.publisher, stamp.number);
    } else if let Some(echo) = yard.echo.read(message).filter(|echo| echo.whose == seen.number) {
        seen.echo(&yard.verdict, echo.number);
    }
}

fn act(yard: &Yard, seen: &Seen, message: &Message) {
    if let Some(stamp) = yard.kind.read(message) {
        seen.terms.temper.act(yard, seen, stamp.number);
    }
}

fn hear(yard: &Yard, seen: &Seen, delivery: &Delivery<'_>) {
    note(yard, seen, delivery.message(), delivery.missed(), delivery.end());
    act(yard, seen, delivery.message());
}

/// All is noted before anything is done: what panics has noted everything.
fn hear_batch(yard: &Yard, seen: &Seen, batch: &Batch<'_>) {
    for delivery in batch.iter() {
        note(yard, seen, delivery.message(), delivery.missed(), delivery.end());
    }
    for delivery in batch.iter() {
        act(yard, seen, delivery.message());
    }
}

// ---- with a handler -------------------------------------------------------------------------------------------------------

pub(crate) fn each(yard: &Arc<Yard>, seen: &Arc<Seen>) -> Result<Subscription, SubscribeError> {
    let (yard2, seen2) = (yard.clone(), seen.clone());
    let handler = move |delivery: &Delivery<'_>| hear(&yard2, &seen2, delivery);
    let builder = seen.terms.builder(yard);
    match seen.terms.mode {
        Dispatch::Inline => builder.inline(handler),
        _ => with_marks(yard, builder).start(handler),
    }
}

fn batch(yard: &Arc<Yard>, seen: &Arc<Seen>, most: usize) -> Result<Subscription, SubscribeError> {
    let (yard2, seen2) = (yard.clone(), seen.clone());
    let handler = move |batch: &mut Batch<'_>| hear_batch(&yard2, &seen2, batch);
    with_marks(yard, seen.terms.builder(yard)).batch_max(most).start_batch(handler)
}

/// Water marks are told in turn, and none is left out.
fn with_marks<'a>(yard: &Arc<Yard>, builder: SubscriptionBuilder<'a>) -> SubscriptionBuilder<'a> {
    let (yard, mut turns) = (yard.clone(), Turns::default());
    builder.on_water_mark(move |mark| {
        turns.next(&yard.verdict, mark.number, mark.crossing);
        yard.count(Count::Marks);
    })
}

#[derive(Default)]
pub(crate) struct Turns(u64);

impl Turns {
    pub(crate) fn next(&mut self, verdict: &Verdict, number: u64, crossing: Crossing) {
        self.0 += 1;
        let due = if self.0 % 2 == 1 { Crossing::High } else { Crossing::Low };
        verdict.equal((number, crossing), (self.0, due), Kind::Other, "water mark");
    }
}

/// Until it has heard enough, or somebody ends it.
fn stay(yard: &Arc<Yard>, seen: &Arc<Seen>, started: Result<Subscription, SubscribeError>) {
    let handle = match started {
        Ok(handle) => handle,
        Err(why) => return yard.verdict.complain(Kind::Other, format!("{:?}: {why}", seen.terms)),
    };
    seen.stands(yard.all_begun());
    let tenant = Arc::new(Tenant::new(seen.clone(), handle));
    yard.audience.enter(tenant.clone());
    while seen.heard() < seen.terms.stay && yard.goes_on() && tenant.handle().is_subscribed() {
        thread::sleep(LOOK_EVERY);
    }
    tenant.end(yard);
    yard.audience.leave(&tenant);
    match tenant.handle().join_timeout(PATIENCE) {
        Ok(()) => finish(yard, seen, tenant.handle()),
        Err(why) => yard.verdict.complain(Kind::Hung, format!("{:?}: join: {why}", seen.terms)),
    }
}

fn finish(yard: &Yard, seen: &Seen, handle: &Subscription) {
    let start = Instant::now();
    let mut stats = handle.stats();
    // A publisher that came too late counts its message before it finds that out, and takes that back.
    while !seen.accounts_for(&stats) && start.elapsed() < PATIENCE {
        thread::sleep(LOOK_EVERY);
        stats = handle.stats();
    }
    seen.check(&yard.verdict, &stats);
    seen.count(&yard.counts, &stats);
}

// ---- with a reader --------------------------------------------------------------------------------------------------------

fn read(yard: &Arc<Yard>, seen: &Arc<Seen>) {
    let mut stream = seen.terms.builder(yard).stream().expect("a stream");
    seen.stands(yard.all_begun());
    let tenant = Arc::new(Tenant::new(seen.clone(), stream.handle()));
    yard.audience.enter(tenant.clone());
    while !seen.is_final() {
        if seen.heard() >= seen.terms.stay || !yard.goes_on() {
            match seen.terms.form {
                Form::Abandon => break,
                _ => _ = tenant.end(yard),
            }
        }
        match next(seen, &mut stream) {
            Next::Message(received) => {
                note(yard, seen, received.message(), received.missed(), received.end());
                act(yard, seen, received.message());
            }
            Next::Nothing => {}
            Next::Over => break,
        }
    }
    yard.audience.leave(&tenant);
    drop(stream);
    finish(yard, seen, tenant.handle());
}

enum Next {
    Message(Received),
    Nothing,
    Over,
}

fn next(seen: &Seen, stream: &mut Stream) -> Next {
    match seen.terms.form {
        Form::Poll => polled(stream),
        _ => match stream.recv_timeout(LOOK_EVERY * 10) {
            Ok(received) => Next::Message(received),
            Err(RecvTimeoutError::TimedOut) => Next::Nothing,
            Err(RecvTimeoutError::Over) => Next::Over,
        },
    }
}

/// A task that gives up now and then: the waker it leaves behind must hinder nobody.
fn polled(stream: &mut Stream) -> Next {
    let mut polls = 0;
    let patience = future::poll_fn(|context| {
        polls += 1;
        if polls > 3 {
            return std::task::Poll::Ready(Next::Nothing);
        }
        thread::sleep(Duration::from_micros(100));
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    });
    let message = async { stream.next().await.map_or(Next::Over, Next::Message) };
    future::block_on(future::or(message, patience))
}

//! What handlers do beside noting what came: the faults.

use crate::dice::Dice;
use crate::seen::{Seen, holds_up};
use crate::verdict::Count;
use crate::yard::{Echo, Yard};
use stasis_bus::{Dispatch, Handled, WaitError};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ON_PURPOSE: &str = "on purpose";
const SLEEP: Duration = Duration::from_millis(3);
const SECONDS: Duration = Duration::from_millis(2_500);
/// A handler that holds publishers up does so more briefly.
const MOMENT: Duration = Duration::from_millis(200);
/// No more faults of the heavy kinds than that, so that there is a load to be held.
const BLOCK_EVERY: Duration = Duration::from_millis(3_100);
const OUST_EVERY: Duration = Duration::from_millis(20);
const SLEEP_EVERY: Duration = Duration::from_millis(10);
const WAIT: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    Calm,
    Panics,
    Sleeps,
    /// For seconds: others must get on.
    Blocks,
    /// Publishes to itself, often into its own full mailbox.
    Echoes,
    /// Unsubscribes others, or itself.
    Ousts,
    /// Waits for another handler.
    Waits,
}

impl Temper {
    pub(crate) fn draw(dice: &mut Dice, mode: Dispatch) -> Self {
        let all =
            [Self::Calm, Self::Panics, Self::Sleeps, Self::Blocks, Self::Echoes, Self::Ousts, Self::Waits];
        // A reader is no handler: what it does hinders nobody.
        let some =
            if mode == Dispatch::Stream { &[Self::Calm, Self::Sleeps, Self::Blocks][..] } else { &all };
        dice.pick(some)
    }

    /// Called after the message was noted.
    pub(crate) fn act(self, yard: &Yard, seen: &Seen, number: u64) {
        match self {
            Self::Panics if number.is_multiple_of(997) => panic!("{ON_PURPOSE}"),
            Self::Sleeps if yard.permits.sleep.take() && !yard.is_over() => rest(yard, Count::Slept, SLEEP),
            Self::Blocks if yard.permits.block.take() && !yard.is_over() => {
                rest(yard, Count::Blocked, if holds_up(&seen.terms) { MOMENT } else { SECONDS });
            }
            Self::Echoes if number.is_multiple_of(64) => echo(yard, seen),
            Self::Ousts if yard.permits.oust.take() => oust(yard, number),
            Self::Waits if number.is_multiple_of(2_003) => wait(yard, number),
            _ => {}
        }
    }
}

fn rest(yard: &Yard, count: Count, time: Duration) {
    yard.count(count);
    thread::sleep(time);
}

/// An inline handler is called by several at once, so what it says of itself has no order.
fn echo(yard: &Yard, seen: &Seen) {
    if seen.terms.mode == Dispatch::Inline {
        return;
    }
    yard.count(Count::Echoed);
    let number = seen.next_echo();
    yard.all.publish(yard.echo.message(Echo { whose: seen.number, number }));
}

fn oust(yard: &Yard, number: u64) {
    if yard.audience.pick(number).is_some_and(|tenant| tenant.end(yard)) {
        yard.count(Count::Ousted);
    }
}

/// For whom a handler waits may wait for it: that is refused before it begins.
fn wait(yard: &Yard, number: u64) {
    let Some(tenant) = yard.audience.pick(number) else { return };
    let message = yard.echo.message(Echo { whose: 0, number });
    match tenant.handle().publish_sync(message, Some(WAIT)) {
        Ok(Handled::Yes) => yard.count(Count::Waited),
        Err(WaitError::WouldDeadlock) => yard.count(Count::Circles),
        _ => {}
    }
}

/// Once in a while.
pub(crate) struct Permit {
    start: Instant,
    every: Duration,
    next: AtomicU64,
}

impl Permit {
    fn new(every: Duration) -> Self {
        Self { start: Instant::now(), every, next: AtomicU64::new(0) }
    }

    fn take(&self) -> bool {
        let now = self.start.elapsed().as_nanos() as u64;
        let next = self.next.load(Ordering::Relaxed);
        let later = now + self.every.as_nanos() as u64;
        now >= next && self.next.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

pub(crate) struct Permits {
    sleep: Permit,
    block: Permit,
    oust: Permit,
}

impl Permits {
    pub(crate) fn new() -> Self {
        Self {
            sleep: Permit::new(SLEEP_EVERY),
            block: Permit::new(BLOCK_EVERY),
            oust: Permit::new(OUST_EVERY),
        }
    }
}

pub(crate) fn keep_quiet_about_what_is_on_purpose() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| match info.payload_as_str() {
            Some(ON_PURPOSE) => {}
            _ => usual(info),
        }));
    });
}

//! When values that maps have retired are dropped.
//!
//! What a writer replaces or takes out may still be read by others, so it is retired, and dropped once they are done: by
//! those who retire more, in passing, and by a worker, every [`EVERY`] while anything waits. Who retired it says so when it
//! holds no lock any more ([`Exchange::tidy`]).
//!
//! *Why writers do it themselves.* The memory goes back to the thread that asks for more of the same, and is still in its
//! caches. Dropped by a worker it crosses to another core and back; a third of the time of a write was that, as a
//! profile said.
//!
//! | when | who sweeps |
//! | --- | --- |
//! | readers are done with what was retired before | who retires, at the end of its call, outside handlers: two parcels at most |
//! | something was retired | an alarm rings on a worker; a bus that retires nothing has none |
//! | readers hold it up | the same, less and less often |
//! | the workers do not come, and more than [`HELP_FROM`] wait | who retires |
//! | manual mode | `run_until_idle` |
//! | the end of the bus | whoever ends it, at the very end; after it, who retires, and who ends a pin |
//!
//! So a quiet bus holds no dead value, but for those that a user's pin holds. The last handle of the bus and its caches
//! drops what is left.

use super::exchange::Exchange;
use crate::dispatch::frames;
use crate::dispatch::pool::Pool;
use crate::dispatch::timer::{Alarm, Timed};
use crate::map::Domain;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sync::time::{Clock, Deadline};
use crate::sync::{Arc, Weak, thread};
use std::sync::OnceLock;
use std::time::Duration;

/// From the first that was retired to the sweep, and from one sweep to the next.
const EVERY: Duration = Duration::from_millis(10);
/// Sweeps in vain double that, so often at most.
const DOUBLED_MAX: u32 = 5;
/// So many wait at least when the writers help.
const HELP_FROM: usize = 1_024;
/// One sweep drops what was retired before it, as a rule; what its drops retire waits for another.
const SWEEPS_IN_A_ROW: usize = 8;
/// How long the end of the bus waits for readers.
const FAREWELL: Duration = Duration::from_millis(250);
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// The domain of a bus, and who sweeps it.
pub(crate) struct Sweeper {
    domain: Arc<Domain>,
    alarm: OnceLock<Alarm>,
    clock: Arc<Clock>,
    bus: u64,
    /// Writers help from so many on: who finds that it is of no use raises it.
    help_from: AtomicUsize,
    in_vain: AtomicU32,
}

impl Sweeper {
    fn new(bus: u64, pool: &Arc<Pool>, clock: Arc<Clock>) -> Arc<Self> {
        let sweeper = Arc::new(Self {
            domain: Domain::new(),
            alarm: OnceLock::new(),
            clock,
            bus,
            help_from: AtomicUsize::new(HELP_FROM),
            in_vain: AtomicU32::new(0),
        });
        let weak: Weak<Self> = Arc::downgrade(&sweeper);
        let _ = sweeper.alarm.set(pool.alarm(weak));
        sweeper
    }

    /// Something was retired.
    fn note(&self) {
        // Not in a handler: drops that publish would nest without end.
        if self.domain.has_ripe() && frames::depth() == 0 {
            frames::enter(self.bus, 0, || self.domain.drop_some());
        }
        let Some(alarm) = self.alarm.get() else { return };
        if !alarm.is_set() {
            return alarm.set(self.clock.monotonic_ns() + EVERY.as_nanos() as u64);
        }
        if alarm.is_late(self.clock.coarse_monotonic_ns())
            && self.domain.pending() >= self.help_from.load(Ordering::Relaxed)
        {
            self.sweep();
        }
    }

    /// Drops what can be dropped, here. True: there is less than before.
    fn sweeps_some(&self) -> bool {
        let before = self.domain.pending();
        self.sweep();
        self.domain.pending() < before
    }

    /// Drops what can be dropped, here. True: nothing is left.
    fn sweep(&self) -> bool {
        let before = self.domain.pending();
        frames::enter(self.bus, 0, || {
            (0..SWEEPS_IN_A_ROW).any(|_| {
                self.domain.sweep();
                self.domain.pending() == 0
            })
        });
        let left = self.domain.pending();
        self.help_from.store(HELP_FROM.max(2 * left), Ordering::Relaxed);
        match left == 0 || left < before {
            true => self.in_vain.store(0, Ordering::Relaxed),
            false => _ = self.in_vain.fetch_add(1, Ordering::Relaxed),
        }
        left == 0
    }
}

impl Timed for Sweeper {
    fn ring(&self, now: u64) -> Option<u64> {
        let is_clean = self.sweep();
        let doubled = self.in_vain.load(Ordering::Relaxed).min(DOUBLED_MAX);
        (!is_clean).then(|| now + ((EVERY.as_nanos() as u64) << doubled))
    }
}

impl Exchange {
    /// The domain of the bus's maps, made when it is asked for first.
    pub(crate) fn domain(&self) -> &Arc<Domain> {
        &self.sweeper.get_or_init(|| Sweeper::new(self.id, &self.pool, self.clock.clone())).domain
    }

    /// What was retired and is not dropped yet, and how long the oldest of it has been held by readers, if it is.
    #[cfg(feature = "metrics")]
    pub(crate) fn garbage(&self) -> (usize, Option<Duration>) {
        let Some(sweeper) = self.sweeper.get() else { return (0, None) };
        (sweeper.domain.pending(), sweeper.domain.oldest_pin())
    }

    /// Sees to it that what was retired is dropped. For who has retired something; it holds no lock.
    #[inline]
    pub(crate) fn tidy(&self) {
        let Some(sweeper) = self.sweeper.get() else { return };
        match self.is_over() {
            true => _ = sweeper.sweep(),
            false => sweeper.note(),
        }
    }

    /// Manual mode: everything that is ready or due, and what waits to be dropped. Returns how many runs that took.
    pub(crate) fn run_until_idle(&self) -> usize {
        let mut runs = 0;
        loop {
            runs += self.pool.run_until_idle();
            let sweeper = self.sweeper.get().filter(|sweeper| sweeper.domain.pending() > 0);
            // What a pin holds up is not waited for.
            if !sweeper.is_some_and(|sweeper| sweeper.sweeps_some()) {
                return runs;
            }
            runs += 1;
        }
    }

    /// The end of the bus: drops everything that was retired, but what a user's pin holds for longer.
    pub(crate) fn sweep_up(&self) {
        let Some(sweeper) = self.sweeper.get() else { return };
        let deadline = Deadline::after(Some(FAREWELL));
        while !sweeper.sweep() && !deadline.passed() {
            thread::sleep(LOOK_AGAIN);
        }
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;
    use crate::Bus;
    use crate::map::Map;

    /// Says in the count that it lives.
    struct Alive(Arc<AtomicUsize>);

    impl Alive {
        fn born(count: &Arc<AtomicUsize>) -> Self {
            count.fetch_add(1, Ordering::Relaxed);
            Self(count.clone())
        }
    }

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    type Living = (Map<u64, Alive>, Arc<AtomicUsize>);

    /// A map of that bus with so many entries, all of which were taken out again.
    fn emptied(bus: &Bus, entries: u64) -> Living {
        let exchange = bus.exchange();
        let (map, count) = (Map::new(exchange.domain().clone()), Arc::new(AtomicUsize::new(0)));
        for key in 0..entries {
            let hash = map.hash_of(&key);
            map.lock_for(hash).insert(hash, key, Alive::born(&count));
            exchange.tidy();
        }
        for key in 0..entries {
            let hash = map.hash_of(&key);
            map.lock_for(hash).remove(hash, &key);
            exchange.tidy();
        }
        (map, count)
    }

    fn await_none(count: &AtomicUsize) {
        let end = Deadline::after(Some(Duration::from_secs(60)));
        while count.load(Ordering::Relaxed) > 0 {
            assert!(!end.passed(), "{} are never dropped", count.load(Ordering::Relaxed));
            thread::sleep(LOOK_AGAIN);
        }
    }

    #[test]
    fn g11_what_was_retired_is_dropped_by_a_worker_when_nothing_else_happens() {
        for workers in [1..=1, 1..=4] {
            let bus = Bus::builder().workers(workers).build().unwrap();
            let (map, count) = emptied(&bus, 0);
            assert_eq!(bus.stats().workers, 0, "a map alone starts no thread");
            let other = emptied(&bus, 1_000);
            await_none(&other.1);
            assert_eq!(bus.exchange().domain().pending(), 0);
            // Again, with the standby asleep.
            let third = emptied(&bus, 10);
            await_none(&third.1);
            drop((map, count));
        }
    }

    #[test]
    fn g11_a_pin_holds_what_was_retired_up_and_its_end_lets_it_go() {
        let bus = Bus::new().unwrap();
        let (map, count) = emptied(&bus, 10);
        await_none(&count);
        let key = 3;
        let hash = map.hash_of(&key);
        map.lock_for(hash).insert(hash, key, Alive::born(&count));
        let pinned = map.pin();
        assert!(pinned.get(&key).is_some());
        map.lock_for(hash).remove(hash, &key);
        bus.exchange().tidy();
        assert!(!bus.exchange().sweeper.get().unwrap().sweep());
        assert_eq!(count.load(Ordering::Relaxed), 1, "still read");
        drop(pinned);
        await_none(&count);
    }

    #[test]
    fn g11_manual_mode_drops_in_run_until_idle() {
        let bus = Bus::builder().manual().build().unwrap();
        let (_map, count) = emptied(&bus, 500);
        assert!(count.load(Ordering::Relaxed) > 0);
        bus.run_until_idle();
        assert_eq!(count.load(Ordering::Relaxed), 0);
        assert_eq!(bus.run_until_idle(), 0);
    }

    #[test]
    fn g11_manual_mode_drops_also_what_handlers_retire_and_ends_under_a_pin() {
        let bus = Bus::builder().manual().build().unwrap();
        let exchange = bus.exchange();
        let (count, kind) = (Arc::new(AtomicUsize::new(0)), bus.message_type::<()>("go").unwrap());
        let map: Arc<Map<u64, Alive>> = Arc::new(Map::new(exchange.domain().clone()));
        let hash = map.hash_of(&1);
        map.lock_for(hash).insert(hash, 1, Alive::born(&count));
        let (its, at) = (map.clone(), exchange.clone());
        let topic = bus.topic("go").unwrap();
        let _remover = topic.subscription("remover").accept(&kind).start(move |_| {
            its.lock_for(hash).remove(hash, &1);
            at.tidy();
        });
        topic.publish(kind.message(()));
        bus.run_until_idle();
        assert_eq!(count.load(Ordering::Relaxed), 0, "retired by a handler in that very call");

        map.lock_for(hash).insert(hash, 1, Alive::born(&count));
        let pinned = map.pin();
        topic.publish(kind.message(()));
        let runs = (0..10).take_while(|_| bus.run_until_idle() > 0).count();
        assert!(runs < 10, "there is nothing that it could do");
        drop(pinned);
        bus.run_until_idle();
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    /// What is retired after a sweep has counted what is left, and before it is done, is swept by another one.
    #[test]
    fn g11_what_is_retired_while_the_sweep_ends_is_swept_again() {
        struct Late(Arc<crate::topic::exchange::Exchange>);
        impl Drop for Late {
            fn drop(&mut self) {
                self.0.tidy();
            }
        }
        let bus = Bus::builder().manual().build().unwrap();
        let exchange = bus.exchange();
        let map = Map::new(exchange.domain().clone());
        let hash = map.hash_of(&1);
        map.lock_for(hash).insert(hash, 1, Late(exchange.clone()));
        map.lock_for(hash).remove(hash, &1);
        exchange.tidy();
        bus.run_until_idle();
        let sweeper = exchange.sweeper.get().unwrap();
        assert_eq!(sweeper.domain.pending(), 0);
        assert!(sweeper.alarm.get().unwrap().is_set(), "said while it was under way");
    }

    #[test]
    fn g11_nothing_retired_is_left_after_the_end_in_any_order_of_drops() {
        let end = Duration::from_secs(20);
        let bus = Bus::new().unwrap();
        let (map, count) = emptied(&bus, 500);
        bus.shutdown(end).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 0, "shutdown, then the map");
        let hash = map.hash_of(&1);
        map.lock_for(hash).insert(hash, 1, Alive::born(&count));
        map.lock_for(hash).remove(hash, &1);
        bus.exchange().tidy();
        assert_eq!(count.load(Ordering::Relaxed), 0, "after the end who retires drops");
        drop(map);

        let bus = Bus::new().unwrap();
        let (map, count) = emptied(&bus, 500);
        drop(map);
        bus.exchange().tidy();
        bus.shutdown(end).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 0, "the map, then shutdown");

        let bus = Bus::new().unwrap();
        let (map, count) = emptied(&bus, 500);
        drop(bus);
        drop(map);
        await_none(&count);
    }
}

//! Store, then look: where one side does it all the time, and the other one hardly ever.
//!
//! Two threads each store something and then look at what the other one stores. That at least one of them sees the other
//! takes a full fence between store and look, on both sides, which costs 10 ns. Where one side is seldom it can pay for
//! both: it has every other running thread of the process go through a fence.
//!
//! | | [`light`], on the frequent side | [`heavy`], on the other one |
//! | --- | --- | --- |
//! | Linux, `membarrier` (since 4.14) | the compiler keeps the order; no instruction | a system call, 0.2 to 3 us |
//! | elsewhere, or where it is refused | a full fence | a full fence |
//!
//! If the look behind `light` came before the call, the store in front of it is seen by whoever looks after the call; if
//! it came later, it sees what was stored before the call. (M. Desnoyers, P. McKenney et al., user-level RCU; liburcu and
//! folly have it under the same names.)

use super::atomic::{Ordering, compiler_fence, fence};
use std::sync::OnceLock;

/// Whether there is such a call. Asked once, so that all threads go by the same answer.
static CALL: OnceLock<bool> = OnceLock::new();

/// What is stored before it is seen by who looks after a later [`heavy`], or what is looked at after it was stored before
/// that.
#[inline]
pub(crate) fn light() {
    match CALL.get() {
        Some(true) => compiler_fence(Ordering::SeqCst),
        // ORDERING(barrier): SeqCst fence; pairs with `heavy`: the call it makes, or its fence.
        _ => fence(Ordering::SeqCst),
    }
}

/// See [`light`].
#[cold]
pub(crate) fn heavy() {
    // ORDERING(barrier): SeqCst fence; pairs with those in `light`. The call is one for this thread, too.
    fence(Ordering::SeqCst);
    if has_call() {
        system::fence_all();
    }
}

/// Asked when a bus is built, long before the first `light` whose cost counts: to register, the kernel waits until all
/// processors have been seen elsewhere, some 10 ms where other threads run.
pub(crate) fn has_call() -> bool {
    *CALL.get_or_init(system::prepare)
}

#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use rustix::thread::{MembarrierCommand as Command, membarrier, membarrier_query};
    use std::time::Duration;

    /// Says that this process is going to call.
    pub(super) fn prepare() -> bool {
        membarrier_query().contains_command(Command::PrivateExpedited)
            && membarrier(Command::RegisterPrivateExpedited).is_ok()
    }

    pub(super) fn fence_all() {
        if membarrier(Command::PrivateExpedited).is_ok()
            || (prepare() && membarrier(Command::PrivateExpedited).is_ok())
        {
            return;
        }
        // A filter of system calls that was put up meanwhile. No processor keeps a store to itself for so long.
        super::super::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod system {
    pub(super) fn prepare() -> bool {
        false
    }

    pub(super) fn fence_all() {}
}

#[cfg(test)]
mod tests {
    use super::super::atomic::AtomicU64;
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    /// One stores and looks at full speed, the other one now and then: never do both miss the other.
    #[test]
    fn of_two_who_store_and_look_one_sees_the_other() {
        const ROUNDS: u64 = 500_000;
        has_call();
        let (often, seldom, start) = (AtomicU64::new(0), AtomicU64::new(0), Barrier::new(2));
        thread::scope(|scope| {
            let looks = scope.spawn(|| {
                start.wait();
                let mut seen = Vec::with_capacity(ROUNDS as usize);
                for round in 1..=ROUNDS {
                    often.store(round, Ordering::Relaxed);
                    light();
                    seen.push(seldom.load(Ordering::Relaxed));
                }
                seen
            });
            start.wait();
            let mut saw = Vec::new();
            for round in 1..=ROUNDS / 1_000 {
                seldom.store(round, Ordering::Relaxed);
                heavy();
                saw.push(often.load(Ordering::Relaxed));
            }
            let looks = looks.join().unwrap();
            for (round, saw) in (1..).zip(saw) {
                // The first that came after the one it saw, and so all others.
                let missed = looks.get(saw as usize).filter(|seen| **seen < round);
                assert_eq!(missed, None, "{round} of the seldom one and {saw} of the other");
            }
        });
    }
}

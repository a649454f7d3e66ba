//! A thread that waits to be woken: parker and waker cell.

use super::{Plain, explore};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Parker, Unparker, WakerCell, thread};
use loom::thread::spawn;
use std::task::{Wake, Waker};

struct Alarm(Unparker);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn alarm(parker: &Parker) -> Waker {
    Waker::from(Arc::new(Alarm(parker.unparker())))
}

/// An unpark before, while, or after the thread goes to park: it returns, and sees what was written.
#[test]
fn unpark_is_remembered() {
    explore(6, || {
        let data = Arc::new(Plain::new(0));
        let parker = Parker::current();
        let (written, unparker) = (data.clone(), parker.unparker());
        let other = spawn(move || {
            written.write(|value| *value = 1);
            unparker.unpark();
        });
        parker.park(None);
        assert_eq!(data.read(|&value| value), 1);
        other.join().unwrap();
    });
}

/// What the task waits for, and the cell. The count is Relaxed: the cell alone has to carry it over.
struct Bell {
    rung: AtomicUsize,
    cell: WakerCell,
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self { rung: AtomicUsize::new(0), cell: WakerCell::new() })
    }

    fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Relaxed);
        self.cell.wake();
    }

    /// The task: registers, looks once more, sleeps.
    fn wait_for(&self, wanted: usize) {
        let parker = Parker::current();
        let waker = alarm(&parker);
        while self.rung.load(Ordering::Relaxed) < wanted {
            self.cell.register(&waker);
            if self.rung.load(Ordering::Relaxed) < wanted {
                parker.park(None);
                // A registration that met a wake woke itself: let that wake go on.
                thread::yield_now();
            }
        }
    }
}

/// One wake against one registration: the task never sleeps through it.
#[test]
fn wake_against_register() {
    explore(6, || {
        let bell = Bell::new();
        let other = bell.clone();
        let ringer = spawn(move || other.ring());
        bell.wait_for(1);
        ringer.join().unwrap();
    });
}

/// Two wakes by two threads: whoever finds somebody waking leaves it to them, and nothing is lost by that.
#[test]
fn two_wakes_against_register() {
    explore(4, || {
        let bell = Bell::new();
        let ringers: Vec<_> = (0..2)
            .map(|_| {
                let bell = bell.clone();
                spawn(move || bell.ring())
            })
            .collect();
        bell.wait_for(2);
        for ringer in ringers {
            ringer.join().unwrap();
        }
    });
}

/// The task comes back with another waker: the wake reaches the newer one.
#[test]
fn wake_against_a_second_register() {
    explore(6, || {
        let bell = Bell::new();
        let other = bell.clone();
        bell.cell.register(Waker::noop());
        let ringer = spawn(move || other.ring());
        bell.wait_for(1);
        ringer.join().unwrap();
    });
}

//! Who sleeps, and what time it is, in one run of a scenario. There is one world for each thread of the system, and each run
//! begins with a new one ([`begin`]).
//!
//! | | |
//! | --- | --- |
//! | a step | any thread that does not sleep goes on |
//! | somebody sleeps with a limit | wakes at its end, which comes when nobody else can run: the clock goes there |
//! | a short limit | may also come early, at one step in [`EARLY`]: others were slow |
//! | the clock is read | it moves by [`READING`] |
//! | all sleep, none with a limit | the run has failed: nobody will ever go on |
//! | the clock moves [`ALONE_MAX`] times and nobody else runs | the same: only those go on who look at intervals |

use shuttle::current::try_get_current_task;
use shuttle::scheduler::TaskId;
use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One step in so many.
const EARLY: u64 = 32;
/// Limits up to this one may pass while others run.
const SHORT: u64 = 20_000_000;
/// Nanoseconds that a look at the clock takes.
const READING: u64 = 200;
/// So often those who wake by the clock may do so in a row.
const ALONE_MAX: u32 = 2_000;
/// More than any run takes: somebody spins.
const STEPS_MAX: u64 = 500_000;

#[derive(Default)]
struct World {
    now: u64,
    asleep: Vec<Sleeper>,
    random: u64,
    alone: u32,
    steps: u64,
    /// For `ids`.
    numbers: u64,
}

struct Sleeper {
    task: TaskId,
    on: usize,
    what: &'static str,
    end: Option<u64>,
}

std::thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
    /// Where the numbers of this thread's runs begin: the table of waits is one for the whole process.
    static FIRST: u64 = {
        static THREADS: AtomicU64 = AtomicU64::new(0);
        THREADS.fetch_add(1, Relaxed) << 40
    };
}

fn with<R>(what: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(what)
}

/// A new world. What it does by chance follows from `seed`.
pub(crate) fn begin(seed: u64) {
    let numbers = FIRST.with(|first| *first);
    with(|world| *world = World { random: seed, numbers, ..World::default() });
}

/// Another thread may go on here. Outside of a run, nothing happens.
pub(crate) fn step() {
    if try_get_current_task().is_some() {
        // Here, where the panic shows who.
        assert!(with(World::count_step) < STEPS_MAX, "a run without end");
        // Shuttle's name for it: a sleep is a switch.
        shuttle::thread::sleep(Duration::ZERO);
    }
}

/// The others go first.
pub(crate) fn give_way() {
    with(World::count_step);
    shuttle::thread::yield_now();
}

pub(crate) fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
}

/// That long from now.
pub(crate) fn after(limit: Duration) -> u64 {
    with(|world| world.now).saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn read_clock() -> u64 {
    with(|world| {
        world.now += READING;
        world.now
    })
}

/// The next number of this run; see `ids`.
pub(crate) fn number() -> u64 {
    with(|world| {
        world.numbers += 1;
        world.numbers
    })
}

/// Which of two, for a scenario that comes in two kinds: each is taken by half of the schedules.
pub(crate) fn coin() -> bool {
    with(World::chance).is_multiple_of(2)
}

/// Whether `BUS_MUTATION` names this one.
pub(crate) fn is_mutated(name: &str) -> bool {
    static MUTATION: OnceLock<Option<String>> = OnceLock::new();
    MUTATION.get_or_init(|| std::env::var("BUS_MUTATION").ok()).as_deref() == Some(name)
}

/// Sleeps until somebody wakes those who sleep on this address (true), or `end` has come (false).
pub(crate) fn sleep(on: usize, what: &'static str, end: Option<u64>) -> bool {
    let task = shuttle::current::me();
    with(|world| world.asleep.push(Sleeper { task, on, what, end }));
    step();
    with(|world| {
        let Some(at) = world.asleep.iter().position(|sleeper| sleeper.task == task) else { return true };
        let end = world.asleep.swap_remove(at).end;
        world.now = world.now.max(end.unwrap_or(0));
        // Without an end: the run has failed, and its threads are being unwound.
        end.is_none()
    })
}

pub(crate) fn wake(on: usize) {
    with(|world| world.asleep.retain(|sleeper| sleeper.on != on));
}

/// Which of those that shuttle could run may go on.
pub(crate) enum Awake {
    /// Those that this is true of.
    Some(Vec<bool>),
    /// Nobody but this one, because its time has come.
    Clock(usize),
}

/// Asked before every step. Panics if nobody can ever go on.
pub(crate) fn awake(tasks: &[TaskId]) -> Awake {
    with(|world| {
        let early = world.chance() % EARLY == 0;
        let awake: Vec<_> = tasks.iter().map(|task| world.can_run(*task, early)).collect();
        if awake.contains(&true) {
            world.alone = 0;
            return Awake::Some(awake);
        }
        world.alone += 1;
        let next =
            world.asleep.iter().filter(|sleeper| sleeper.end.is_some()).min_by_key(|sleeper| sleeper.end);
        let next = next.and_then(|next| tasks.iter().position(|task| *task == next.task));
        match next {
            Some(next) if world.alone < ALONE_MAX => Awake::Clock(next),
            _ => panic!("nobody will ever go on: {}", world.sleepers()),
        }
    })
}

impl World {
    fn count_step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    fn can_run(&self, task: TaskId, early: bool) -> bool {
        let sleeper = self.asleep.iter().find(|sleeper| sleeper.task == task);
        sleeper.is_none_or(|sleeper| {
            sleeper.end.is_some_and(|end| end <= self.now || early && end - self.now <= SHORT)
        })
    }

    /// SplitMix64 (Steele, Lea, Flood, 2014).
    fn chance(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn sleepers(&self) -> String {
        let each = self.asleep.iter().map(|sleeper| {
            let limit = sleeper.end.map(|end| format!(" for {:?}", Duration::from_nanos(end - self.now)));
            format!("thread {} waits for {}{}", sleeper.task, sleeper.what, limit.unwrap_or_default())
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

//! Runs a scenario under many schedules, and says how to run a failed one again.

use crate::sync::shuttle::world::{self, Awake};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::cell::{Cell, RefCell};
use std::env::var;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Schedules of each kind, where nobody says how many.
const ITERATIONS: u64 = 150;
/// So many schedules follow from one seed: no replay has to run more.
const BLOCK: u64 = 200;
/// Changes of priority in a run.
const PCT_DEPTH: usize = 3;
const STACK_BYTES: usize = 1 << 19;
/// So many are run twice: the same steps again, or a replay would show something else.
const REPEATED: u64 = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Random,
    Pct,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Pct => "pct",
        }
    }

    fn scheduler(self, seed: u64, schedules: usize) -> Box<dyn Scheduler + Send> {
        match self {
            Self::Random => Box::new(RandomScheduler::new_from_seed(seed, schedules)),
            Self::Pct => Box::new(PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules)),
        }
    }
}

std::thread_local! {
    /// What a panic on this thread is replayed by.
    static UNDER_WAY: RefCell<String> = const { RefCell::new(String::new()) };
    static STEPS: Cell<u64> = const { Cell::new(0) };
    /// Of who went on at each step.
    static DIGEST: Cell<u64> = const { Cell::new(0) };
}

/// Another scheduler, asked only about threads that do not sleep.
struct Wakeful {
    of: Box<dyn Scheduler + Send>,
    /// Of the block's schedules, counted from 1.
    at: u64,
    kind: Kind,
    seed: u64,
}

impl Scheduler for Wakeful {
    fn new_execution(&mut self) -> Option<Schedule> {
        let schedule = self.of.new_execution()?;
        self.at += 1;
        UNDER_WAY.set(format!("{}:{}:{}", self.kind.name(), self.seed, self.at));
        world::begin(schedule.seed);
        Some(schedule)
    }

    fn next_task(&mut self, tasks: &[&Task], current: Option<TaskId>, yields: bool) -> Option<TaskId> {
        let ids: Vec<_> = tasks.iter().map(|task| task.id()).collect();
        let next = match world::awake(&ids) {
            Awake::Clock(at) => Some(ids[at]),
            Awake::Some(awake) => {
                let awake = tasks.iter().zip(awake).filter(|(_, awake)| *awake);
                self.of.next_task(&awake.map(|(task, _)| *task).collect::<Vec<_>>(), current, yields)
            }
        };
        note(next.map_or(0, usize::from));
        next
    }

    fn next_u64(&mut self) -> u64 {
        self.of.next_u64()
    }
}

fn note(next: usize) {
    STEPS.set(STEPS.get() + 1);
    DIGEST.set((DIGEST.get() ^ next as u64).wrapping_mul(0x0000_0100_0000_01b3));
}

/// Runs `scenario` under `BUS_SHUTTLE_ITERATIONS` schedules of each kind, or under the one that `BUS_SHUTTLE_REPLAY` names.
pub(super) fn explore(scenario: fn()) {
    say_how_to_replay();
    if let Ok(replay) = var("BUS_SHUTTLE_REPLAY") {
        return run_again(&replay, scenario);
    }
    let started = Instant::now();
    let wanted = number("BUS_SHUTTLE_ITERATIONS", ITERATIONS);
    let mut steps = 0;
    for kind in [Kind::Random, Kind::Pct] {
        let mut seed = number("BUS_SHUTTLE_SEED", 1);
        let mut left = wanted;
        DIGEST.take();
        let repeated = [(); 2].map(|()| {
            block(kind, seed, REPEATED, scenario);
            (DIGEST.take(), STEPS.take())
        });
        assert_eq!(repeated[0], repeated[1], "a scenario that is not determined by its schedule");
        while left > 0 {
            block(kind, seed, left.min(BLOCK), scenario);
            left -= left.min(BLOCK);
            seed += 1;
        }
        steps += STEPS.take();
    }
    println!("{} schedules, {} steps, {} ms", 2 * wanted, steps, started.elapsed().as_millis());
}

fn block(kind: Kind, seed: u64, schedules: u64, scenario: fn()) {
    let of = kind.scheduler(seed, schedules as usize);
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::None;
    config.silence_warnings = true;
    let run = Runner::new(Wakeful { of, at: 0, kind, seed }, config).run(scenario);
    assert_eq!(run as u64, schedules);
}

/// The last one of a block: those before it run as well, in silence.
fn run_again(replay: &str, scenario: fn()) {
    let parts: Vec<_> = replay.split(':').collect();
    let [kind, seed, at] = parts[..] else { panic!("BUS_SHUTTLE_REPLAY is kind:seed:number") };
    let kind = if kind == Kind::Pct.name() { Kind::Pct } else { Kind::Random };
    block(kind, seed.parse().expect("a seed"), at.parse().expect("a number"), scenario);
    println!("{replay} passes");
}

fn number(name: &str, default: u64) -> u64 {
    var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A scenario that fails says so where it does: what comes after it may not get that far.
fn say_how_to_replay() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            let replay = UNDER_WAY.with_borrow(Clone::clone);
            eprintln!("replay with BUS_SHUTTLE_REPLAY={replay} and the name of the scenario");
            before(panicked);
        }));
    });
}

/// Counts how often a scenario came to what it exists for: one that never does shows nothing.
pub(super) struct Witness(AtomicUsize);

impl Witness {
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(super) fn see(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn was_seen(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0 || var("BUS_SHUTTLE_REPLAY").is_ok()
    }
}

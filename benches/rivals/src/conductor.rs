//! Who runs when: all contestants of a scenario in turn, repetition by repetition, under each allocator. What disturbs
//! one disturbs its neighbours too.

use crate::allocator::Allocator;
use crate::bench::{Contestant, Effort, Outcome, Scenario};
use crate::options::Options;
use crate::results::{Cells, Row};
use crate::verdict;
use crate::worker::{Answer, Worker};
use std::time::{Duration, Instant};

/// How often a disturbed repetition is repeated before it counts all the same.
const REPEATS_MAX: usize = 3;

/// A quick run begins no further repetition of a scenario that has taken so long: all of them together have 5 minutes.
const QUICK_ENOUGH: Duration = Duration::from_secs(4);

/// A quick run repeats a disturbed repetition once, if it took no longer.
const QUICK_TO_REPEAT: Duration = Duration::from_millis(250);

/// What one scenario brought.
pub fn measure(scenario: &Scenario, options: &Options) -> Outcome<Cells> {
    let mut workers = start(scenario, options)?;
    let mut cells = Cells::of(scenario);
    let begun = Instant::now();
    for repetition in 1..=options.repetitions {
        if repetition > 1 && options.effort == Effort::Quick && begun.elapsed() > QUICK_ENOUGH {
            break;
        }
        eprint!("\r{} {repetition}/{} ", scenario.name, options.repetitions);
        for (index, contestant) in takers(scenario, options) {
            for worker in workers.iter_mut().filter(|worker| is_due(worker.allocator, repetition, options)) {
                let answer = repeat(worker, index, options)
                    .map_err(|error| format!("{} in {}: {error}", contestant.name, scenario.name))?;
                cells.add(&Row::new(contestant, worker.allocator), answer);
            }
        }
    }
    eprint!("\r\x1b[K");
    Ok(cells)
}

/// A quick run has one repetition under the allocator that no target counts.
fn is_due(allocator: Allocator, repetition: usize, options: &Options) -> bool {
    options.effort != Effort::Quick || repetition == 1 || allocator.name() == verdict::ALLOCATOR.name()
}

/// Whether anybody takes part.
pub fn is_wanted(scenario: &Scenario, options: &Options) -> bool {
    takers(scenario, options).next().is_some() && allocators(scenario, options).next().is_some()
}

fn takers<'a>(
    scenario: &'a Scenario,
    options: &'a Options,
) -> impl Iterator<Item = (usize, &'a Contestant)> + use<'a> {
    scenario.contestants.iter().enumerate().filter(|(_, one)| options.admits(&one.name))
}

/// Correctness does not depend on the allocator: one is enough for a check.
fn allocators<'a>(scenario: &'a Scenario, options: &'a Options) -> impl Iterator<Item = Allocator> + use<'a> {
    let all = scenario.allocators.iter().copied().filter(|one| options.admits_allocator(*one));
    all.take(if options.effort == Effort::Check { 1 } else { usize::MAX })
}

fn start(scenario: &Scenario, options: &Options) -> Outcome<Vec<Worker>> {
    allocators(scenario, options).map(|allocator| Worker::start(scenario, allocator)).collect()
}

/// One repetition that counts: one that other work disturbed is repeated, a few times in a full run. If it was the last one
/// that may be, it counts all the same; it is said how many did.
fn repeat(worker: &mut Worker, contestant: usize, options: &Options) -> Outcome<Answer> {
    let mut repeats = 0;
    loop {
        let begun = Instant::now();
        let answer = worker.repeat(contestant, options.effort)?;
        if !answer.disturbed || repeats >= repeats_max(options.effort, begun.elapsed()) {
            return Ok(answer);
        }
        repeats += 1;
    }
}

/// How often one that took so long may be repeated.
fn repeats_max(effort: Effort, took: Duration) -> usize {
    match effort {
        Effort::Full => REPEATS_MAX,
        Effort::Quick => usize::from(took <= QUICK_TO_REPEAT),
        Effort::Check => 0,
    }
}

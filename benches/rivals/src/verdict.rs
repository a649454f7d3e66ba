//! What became of the targets, in lines that a machine can read as well:
//! `target fanout-16/kanal ratio 4.98 goal >=2.00 met`.

use crate::allocator::Allocator;
use crate::results::{Cell, Cells};
use crate::targets::{Goal, Pick, Question, Target};

/// Targets count under this one.
pub const ALLOCATOR: Allocator = Allocator::Mimalloc;

/// The line of that target; `None` if a contestant that it needs did not take part.
pub fn line(target: &Target, results: &[Cells]) -> Option<String> {
    let (word, value) = figure(&target.question, results)?;
    Some(format!("target {} {word} {value:.2}{}", target.name, verdict(target.goal, value)))
}

fn figure(question: &Question, results: &[Cells]) -> Option<(String, f64)> {
    let median = |pick: &Pick| find(pick, results).map(Cell::median);
    let ratio = |above: &Pick, below: &Pick| Some(("ratio".to_owned(), median(above)? / median(below)?));
    match question {
        Question::Faster { ours, rival } => ratio(rival, ours),
        Question::Dearer { ours, than } => ratio(ours, than),
        Question::Plain(pick) => find(pick, results).map(|cell| (cell.unit.clone(), cell.median())),
    }
}

/// The best cell that fits. All that the pick names must be there, so that no rival is left out by chance.
fn find<'a>(pick: &Pick, results: &'a [Cells]) -> Option<&'a Cell> {
    let cells = results.iter().find(|cells| cells.scenario == pick.scenario)?;
    let metric = if pick.metric.is_empty() { &cells.all.first()?.metric } else { pick.metric };
    let fits = |cell: &&Cell| cell.row.allocator.name() == ALLOCATOR.name() && cell.metric == metric;
    let candidates: Vec<_> = cells.all.iter().filter(fits).collect();
    let is_there = |name: &&str| candidates.iter().any(|cell| cell.row.is(name));
    if !pick.any_of.iter().all(is_there) {
        return None;
    }
    let named = candidates.into_iter().filter(|cell| pick.any_of.iter().any(|name| cell.row.is(name)));
    named.min_by(|a, b| a.median().total_cmp(&b.median()))
}

fn verdict(goal: Goal, value: f64) -> String {
    let met = |met| if met { "met" } else { "short" };
    match goal {
        Goal::AtLeast(goal) => format!(" goal >={goal:.2} {}", met(value >= goal)),
        Goal::AtMost(goal) => format!(" goal <={goal:.2} {}", met(value <= goal)),
        Goal::Stretch(goal) => format!(" stretch >={goal:.2} reported"),
        Goal::Reported => " reported".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_as_the_goal_says() {
        assert_eq!(verdict(Goal::AtLeast(2.0), 4.98), " goal >=2.00 met");
        assert_eq!(verdict(Goal::AtLeast(2.0), 1.99), " goal >=2.00 short");
        assert_eq!(verdict(Goal::AtMost(1.3), 1.21), " goal <=1.30 met");
        assert_eq!(verdict(Goal::AtMost(1.3), 1.31), " goal <=1.30 short");
        assert_eq!(verdict(Goal::Stretch(1.1), 0.9), " stretch >=1.10 reported");
    }
}

//! The targets: what is held against what, and the goal. Who reads the verdicts finds them in `verdict.rs`.

/// A line at the end of the run.
pub struct Target {
    /// `fanout-16/kanal`.
    pub name: &'static str,
    pub question: Question,
    pub goal: Goal,
}

/// What the figure of a target is; costs all of them, medians under mimalloc.
pub enum Question {
    /// The rival's cost divided by ours.
    Faster { ours: Pick, rival: Pick },
    /// Our cost divided by another one.
    Dearer { ours: Pick, than: Pick },
    /// A figure as it is.
    Plain(Pick),
}

/// The cell with the lowest median of those that fit.
#[derive(Clone, Copy)]
pub struct Pick {
    pub scenario: &'static str,
    /// Contestants, or rivals with all their arrangements.
    pub any_of: &'static [&'static str],
    /// Empty: the first that the scenario has.
    pub metric: &'static str,
}

#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// At least so much would be fine.
    Stretch(f64),
    /// A figure worth having.
    Reported,
}

use Goal::{AtLeast, AtMost, Reported, Stretch};

/// Pool subscriptions, one worker, `Topic::publish`.
const POOL: &str = "stasis pool";
/// The bus's cache.
const CACHE: &[&str] = &["stasis"];
/// The rivals whose subscribers share one message and lose none.
#[rustfmt::skip]
const SHARING: &[&str] = &[
    "crossbeam", "kanal", "flume", "std-mpsc", "tokio-mpsc", "crossfire", "bus", "tokio-broadcast",
    "async-broadcast", "multiqueue2", "disruptor-multi", "disruptor-single",
];
/// Those of them that several threads can publish to.
#[rustfmt::skip]
const SHARING_BY_MANY: &[&str] = &[
    "crossbeam", "kanal", "flume", "std-mpsc", "tokio-mpsc", "crossfire", "bus", "tokio-broadcast",
    "async-broadcast", "multiqueue2", "disruptor-multi",
];

/// Every target, in the order of the report.
#[rustfmt::skip]
pub static TABLE: &[Target] = &[
    // ---- fan-out: every subscriber gets every message --------------------------------------------------------------
    faster("fanout-4/crossbeam", "fanout-4", &["crossbeam"], AtLeast(2.0)),
    faster("fanout-4/kanal", "fanout-4", &["kanal"], AtLeast(2.0)),
    faster("fanout-4/flume", "fanout-4", &["flume"], AtLeast(2.0)),
    faster("fanout-4/std-mpsc", "fanout-4", &["std-mpsc"], AtLeast(2.0)),
    faster("fanout-4/tokio-mpsc", "fanout-4", &["tokio-mpsc"], AtLeast(2.0)),
    faster("fanout-16/crossbeam", "fanout-16", &["crossbeam"], AtLeast(2.0)),
    faster("fanout-16/kanal", "fanout-16", &["kanal"], AtLeast(2.0)),
    faster("fanout-16/flume", "fanout-16", &["flume"], AtLeast(2.0)),
    faster("fanout-16/std-mpsc", "fanout-16", &["std-mpsc"], AtLeast(2.0)),
    faster("fanout-16/tokio-mpsc", "fanout-16", &["tokio-mpsc"], AtLeast(2.0)),
    faster("fanout-64/crossbeam", "fanout-64", &["crossbeam"], AtLeast(2.0)),
    faster("fanout-64/kanal", "fanout-64", &["kanal"], AtLeast(2.0)),
    faster("fanout-64/flume", "fanout-64", &["flume"], AtLeast(2.0)),
    faster("fanout-64/std-mpsc", "fanout-64", &["std-mpsc"], AtLeast(2.0)),
    faster("fanout-64/tokio-mpsc", "fanout-64", &["tokio-mpsc"], AtLeast(2.0)),
    faster("fanout-4/crossfire", "fanout-4", &["crossfire"], AtLeast(1.5)),
    faster("fanout-4/bus", "fanout-4", &["bus"], AtLeast(1.5)),
    faster("fanout-16/crossfire", "fanout-16", &["crossfire"], AtLeast(2.0)),
    faster("fanout-16/bus", "fanout-16", &["bus"], AtLeast(2.0)),
    faster("fanout-64/crossfire", "fanout-64", &["crossfire"], AtLeast(2.0)),
    faster("fanout-64/bus", "fanout-64", &["bus"], AtLeast(2.0)),
    faster("fanout-4/tokio-broadcast", "fanout-4", &["tokio-broadcast"], AtLeast(2.5)),
    faster("fanout-16/tokio-broadcast", "fanout-16", &["tokio-broadcast"], AtLeast(2.5)),
    faster("fanout-64/tokio-broadcast", "fanout-64", &["tokio-broadcast"], AtLeast(2.5)),
    faster("fanout-4/tokio-broadcast-lossy", "fanout-4", &["tokio-broadcast-lossy"], Reported),
    faster("fanout-16/tokio-broadcast-lossy", "fanout-16", &["tokio-broadcast-lossy"], Reported),
    faster("fanout-64/tokio-broadcast-lossy", "fanout-64", &["tokio-broadcast-lossy"], Reported),
    faster("fanout-4/disruptor-multi", "fanout-4", &["disruptor-multi"], AtLeast(1.3)),
    faster("fanout-4/disruptor-single", "fanout-4", &["disruptor-single"], AtLeast(1.2)),
    faster("fanout-16/disruptor-multi", "fanout-16", &["disruptor-multi"], AtLeast(0.9)),
    faster("fanout-16/disruptor-multi", "fanout-16", &["disruptor-multi"], Stretch(1.1)),
    faster("fanout-16/disruptor-single", "fanout-16", &["disruptor-single"], AtLeast(0.9)),
    faster("fanout-16/disruptor-single", "fanout-16", &["disruptor-single"], Stretch(1.0)),
    faster("fanout-64/disruptor-multi", "fanout-64", &["disruptor-multi"], AtLeast(0.6)),
    faster("fanout-64/disruptor-multi", "fanout-64", &["disruptor-multi"], Stretch(1.0)),
    faster("fanout-1000/disruptor-multi", "fanout-1000", &["disruptor-multi"], Reported),
    // Floors: no message that a handler could keep, no endings, no policies.
    faster("fanout-4/disruptor-inline", "fanout-4", &["disruptor-inline"], Reported),
    faster("fanout-16/disruptor-inline", "fanout-16", &["disruptor-inline"], Reported),
    faster("fanout-64/disruptor-inline", "fanout-64", &["disruptor-inline"], Reported),
    faster("fanout-1/best-sharing", "fanout-1", SHARING, AtLeast(0.85)),
    faster("fanout-1/best-sharing", "fanout-1", SHARING, Stretch(1.0)),
    faster("batch-1/best-sharing", "batch-1", SHARING, AtLeast(1.2)),
    faster("batch-4/best-sharing", "batch-4", SHARING, AtLeast(1.2)),
    faster("two-publishers-4/best", "two-publishers-4", SHARING_BY_MANY, AtLeast(1.4)),
    // One message again and again: beside fresh ones, and beside what one store for each delivery costs.
    dearer("republish-16/fanout-16", at("republish-16", &[POOL]), at("fanout-16", &[POOL]), Reported),
    dearer("republish-16/store-per-delivery", at("republish-16", &[POOL]), at("republish-16", &["floor"]), Reported),
    // ---- inline: what the bus adds to a loop of calls --------------------------------------------------------------
    dearer("inline-64/vec", at("inline-64", &["stasis publish"]), at("inline-64", &["vec"]), AtMost(1.3)),
    dearer("inline-64-publisher/vec", at("inline-64", &["stasis publisher"]), at("inline-64", &["vec"]), Reported),
    dearer("inline-1/arc-swap", at("inline-1", &["stasis publisher"]), at("inline-1", &["arc-swap"]), AtMost(1.3)),
    dearer("filtered-64/flags", at("filtered-64", &[POOL]), at("filtered-64", &["flags"]), AtMost(2.0)),
    // ---- many topics forwarded to one ------------------------------------------------------------------------------
    dearer("aggregate-100k/aggregate-10", at("aggregate-100k", &[POOL]), at("aggregate-10", &[POOL]), AtMost(1.5)),
    dearer("aggregate-100k-inline/aggregate-10-inline", at("aggregate-100k", &["stasis inline"]), at("aggregate-10", &["stasis inline"]), Reported),
    // ---- latency ---------------------------------------------------------------------------------------------------
    sooner("idle-spin-dedicated/disruptor-multi", "idle-spin", "p50", &["stasis dedicated"], &["disruptor-multi"], AtLeast(0.9)),
    sooner("idle-spin-dedicated/disruptor-inline", "idle-spin", "p50", &["stasis dedicated"], &["disruptor-inline"], Reported),
    sooner("idle-spin-pool/crossbeam", "idle-spin", "p50", &[POOL], &["crossbeam"], AtLeast(1.4)),
    sooner("idle-spin-pool/tokio-broadcast", "idle-spin", "p50", &[POOL], &["tokio-broadcast"], AtLeast(1.4)),
    dearer("idle-park/park-and-unpark", of("idle-park", &[POOL], "p50"), of("idle-park", &["unpark"], "p50"), AtMost(1.15)),
    dearer("idle-park-dedicated/park-and-unpark", of("idle-park", &["stasis dedicated"], "p50"), of("idle-park", &["unpark"], "p50"), Reported),
    sooner("idle-sync/crossbeam-there-and-back", "idle-sync", "p50", &[POOL], &["crossbeam"], Reported),
    sooner("load-50/tokio-broadcast", "load-50", "p99", &[POOL], &["tokio-broadcast"], AtLeast(2.0)),
    sooner("load-50/crossbeam", "load-50", "p99", &[POOL], &["crossbeam"], AtLeast(2.0)),
    // Below 1 it could not do that rate, and its latency is as long as the run: then look at a tenth of ours.
    plain("load-50-finished/tokio-broadcast", of("load-50", &["tokio-broadcast one-thread"], "finished"), Reported),
    plain("load-50-finished/crossbeam", of("load-50", &["crossbeam one-thread"], "finished"), Reported),
    sooner("load-10/tokio-broadcast", "load-10", "p99", &[POOL], &["tokio-broadcast"], Reported),
    sooner("load-10/crossbeam", "load-10", "p99", &[POOL], &["crossbeam"], Reported),
    // ---- the cache: pinned 1 reader is a look at the state where it is ---------------------------------------------
    sooner("cache-get-pinned-1-10k/papaya", "cache-10k", "pinned 1 reader", CACHE, &["papaya"], AtLeast(1.0)),
    sooner("cache-get-pinned-2-10k/papaya", "cache-10k", "pinned 2 readers", CACHE, &["papaya"], AtLeast(1.0)),
    sooner("cache-get-pinned-1-1m/papaya", "cache-1m", "pinned 1 reader", CACHE, &["papaya"], AtLeast(1.0)),
    sooner("cache-get-pinned-2-1m/papaya", "cache-1m", "pinned 2 readers", CACHE, &["papaya"], AtLeast(1.0)),
    sooner("cache-get-beside-writer-10k/papaya", "cache-10k", "pinned beside a writer", CACHE, &["papaya"], AtLeast(1.2)),
    sooner("cache-get-beside-writer-10k/dashmap", "cache-10k", "pinned beside a writer", CACHE, &["dashmap"], AtLeast(1.6)),
    sooner("cache-get-beside-writer-10k/scc-hashindex", "cache-10k", "pinned beside a writer", CACHE, &["scc-hashindex"], AtLeast(1.1)),
    sooner("cache-get-owned-beside-writer-10k/papaya", "cache-10k", "owned beside a writer", CACHE, &["papaya"], Reported),
    sooner("cache-get-owned-1-10k/papaya", "cache-10k", "owned 1 reader", CACHE, &["papaya"], Reported),
    sooner("cache-update-1/papaya", "cache-update-1", "", &[POOL], &["papaya"], AtLeast(1.0)),
    sooner("cache-update-1-together/papaya", "cache-update-1-together", "", &[POOL], &["papaya"], Reported),
    sooner("cache-update-16/papaya", "cache-update-16", "", &[POOL], &["papaya"], Reported),
    // ---- topics and subscriptions that come and go -----------------------------------------------------------------
    dearer("churn-100k/churn-10", at("churn-100k", &[POOL]), at("churn-10", &[POOL]), AtMost(1.3)),
    dearer("subscribe-100k/subscribe-0", at("subscribe-100k", &[POOL]), at("subscribe-0", &[POOL]), AtMost(1.2)),
    // ---- weights, and how cost grows -------------------------------------------------------------------------------
    plain("memory-idle-topic", at("memory", &["idle topic"]), AtMost(400.0)),
    plain("memory-idle-subscription", at("memory", &["idle subscription"]), AtMost(1024.0)),
    plain("memory-queued-message", at("memory", &["queued message"]), AtMost(16.0)),
    plain("memory-spilled-message", at("memory", &["spilled message"]), AtMost(16.0)),
    plain("memory-cache-entry", at("memory", &["cache entry"]), AtMost(200.0)),
    dearer("memory-topics-linear", at("memory", &["idle topic and its forward"]), at("memory", &["idle topic and its forward, of 1000"]), Reported),
    plain("growth-topics", at("growth-topics", &[POOL]), AtMost(0.1)),
    plain("growth-subscribers", at("growth-subscribers", &[POOL]), AtMost(1.05)),
    plain("growth-cache", of("growth-cache", CACHE, "all objects"), AtMost(0.15)),
    plain("growth-cache-few-objects", of("growth-cache", CACHE, "few objects"), AtMost(0.15)),
    plain("growth-cache-of-papaya", of("growth-cache", &["papaya"], "all objects"), Reported),
    plain("growth-cache-of-a-vec", of("growth-cache", &["vec"], "all objects"), Reported),
];

const fn faster(
    name: &'static str,
    scenario: &'static str,
    rivals: &'static [&'static str],
    goal: Goal,
) -> Target {
    Target {
        name,
        question: Question::Faster { ours: at(scenario, &[POOL]), rival: at(scenario, rivals) },
        goal,
    }
}

const fn sooner(
    name: &'static str,
    scenario: &'static str,
    metric: &'static str,
    ours: &'static [&'static str],
    rivals: &'static [&'static str],
    goal: Goal,
) -> Target {
    let (ours, rival) = (of(scenario, ours, metric), of(scenario, rivals, metric));
    Target { name, question: Question::Faster { ours, rival }, goal }
}

const fn dearer(name: &'static str, ours: Pick, than: Pick, goal: Goal) -> Target {
    Target { name, question: Question::Dearer { ours, than }, goal }
}

const fn plain(name: &'static str, pick: Pick, goal: Goal) -> Target {
    Target { name, question: Question::Plain(pick), goal }
}

const fn of(scenario: &'static str, any_of: &'static [&'static str], metric: &'static str) -> Pick {
    Pick { scenario, any_of, metric }
}

const fn at(scenario: &'static str, any_of: &'static [&'static str]) -> Pick {
    Pick { scenario, any_of, metric: "" }
}

impl Target {
    /// The cells that it needs.
    #[cfg(test)]
    pub fn picks(&self) -> Vec<Pick> {
        match self.question {
            Question::Faster { ours, rival: other } | Question::Dearer { ours, than: other } => {
                vec![ours, other]
            }
            Question::Plain(pick) => vec![pick],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;

    #[test]
    fn every_target_names_a_scenario_and_contestants_of_it() {
        let scenarios = families::all();
        for pick in TABLE.iter().flat_map(Target::picks) {
            let found = scenarios.iter().find(|scenario| scenario.name == pick.scenario);
            let scenario = found.unwrap_or_else(|| panic!("no scenario {}", pick.scenario));
            for name in pick.any_of {
                let known = scenario.contestants.iter().any(|one| one.name == *name || one.rival == *name);
                assert!(known, "no contestant {name} in {}", pick.scenario);
            }
        }
    }
}

//! Names that figures are counted under: bounded, whatever the service calls its things.
//!
//! A topic, a subscription or a cache is given its *label* when it is made, and keeps it. The first [`LABELS_MAX`] names
//! have a label each; things of further names share `other`, and are counted. A label keeps what its dead have counted, so
//! that its sums never go back, also if its name comes up again.
//!
//! | a label | is |
//! | --- | --- |
//! | some thing has it | shown |
//! | nothing has had it for less than [`LINGER`] | shown, so that the last counts of the dead are seen |
//! | for longer | not shown; what it counted stands, until another name wants its place |
//!
//! The lock is the standard library's, even in models: figures order nothing.
#![allow(clippy::disallowed_types)]

use crate::sync::{Arc, HashMap, Tally};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// So many names have labels of their own.
pub(crate) const LABELS_MAX: usize = 64;
/// What things of further names are counted under.
pub(crate) const OTHER: &str = "other";
/// A label without things is shown for so long.
pub(crate) const LINGER: Duration = Duration::from_secs(300);

/// One name, and what its dead have counted.
pub(crate) struct Label<S> {
    name: Arc<str>,
    gone: Mutex<S>,
    /// When the last thing of it was made or went, by the coarse clock.
    moved: Tally,
}

impl<S> Label<S> {
    fn new(name: &str, sums: S) -> Arc<Self> {
        Arc::new(Self { name: name.into(), gone: Mutex::new(sums), moved: Tally::new() })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A thing of it goes, and leaves what it has counted.
    pub(crate) fn leave(&self, now: u64, add: impl FnOnce(&mut S)) {
        add(&mut locked(&self.gone));
        self.moved.raise(now);
    }

    /// What the dead have counted.
    #[cfg(feature = "metrics")]
    pub(crate) fn gone(&self) -> S
    where
        S: Clone,
    {
        locked(&self.gone).clone()
    }

    fn has_rested(&self, now: u64) -> bool {
        now.saturating_sub(self.moved.get()) > LINGER.as_nanos() as u64
    }
}

/// The labels of one kind of thing.
pub(crate) struct Labels<S> {
    named: Mutex<HashMap<Arc<str>, Arc<Label<S>>>>,
    other: Arc<Label<S>>,
    /// Things that got `other`.
    folded: Tally,
}

impl<S: Default> Labels<S> {
    pub(crate) fn new() -> Self {
        Self { named: Mutex::default(), other: Label::new(OTHER, S::default()), folded: Tally::new() }
    }

    /// The label of a new thing of that name.
    pub(crate) fn of(&self, name: &str, now: u64) -> Arc<Label<S>> {
        let mut named = locked(&self.named);
        if let Some(label) = named.get(name) {
            label.moved.raise(now);
            return label.clone();
        }
        if named.len() >= LABELS_MAX && !make_room(&mut named, now) || name == OTHER {
            self.folded.add(u64::from(name != OTHER));
            return self.other.clone();
        }
        let label = Label::new(name, S::default());
        label.moved.raise(now);
        named.insert(label.name.clone(), label.clone());
        label
    }

    /// That name: the one that its label has, if it has one.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        let known = locked(&self.named).get(name).map(|label| label.name.clone());
        known.unwrap_or_else(|| name.into())
    }

    /// Those that are shown, by name, `other` last.
    #[cfg(feature = "metrics")]
    pub(crate) fn shown(&self, now: u64) -> Vec<Arc<Label<S>>> {
        let is_shown = |label: &&Arc<Label<S>>| is_used(label) || !label.has_rested(now);
        let mut shown: Vec<_> = locked(&self.named).values().filter(is_shown).cloned().collect();
        shown.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if is_used(&self.other) || self.other.moved.get() > 0 {
            shown.push(self.other.clone());
        }
        shown
    }

    /// How many things were given `other` because there were too many names.
    #[cfg(feature = "metrics")]
    pub(crate) fn folded(&self) -> u64 {
        self.folded.get()
    }
}

/// Whether some thing has it. Under the lock of the names, which are one user.
fn is_used<S>(label: &Arc<Label<S>>) -> bool {
    Arc::strong_count(label) > 1
}

/// Takes out the label that nothing has had for longest, if it is shown no more. False: there is none.
fn make_room<S>(named: &mut HashMap<Arc<str>, Arc<Label<S>>>, now: u64) -> bool {
    let rested = named.values().filter(|label| !is_used(label) && label.has_rested(now));
    let Some(oldest) = rested.min_by_key(|label| label.moved.get()) else { return false };
    let name = oldest.name.clone();
    named.remove(&name).is_some()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(all(test, feature = "metrics", not(bus_loom)))]
mod tests {
    use super::*;

    const LATER: u64 = LINGER.as_nanos() as u64 + 2;

    fn names(labels: &Labels<u64>, now: u64) -> Vec<String> {
        labels.shown(now).iter().map(|label| label.name.to_string()).collect()
    }

    #[test]
    fn a_name_that_comes_back_goes_on_counting() {
        let labels = Labels::<u64>::new();
        let one = labels.of("one", 1);
        one.leave(1, |sum| *sum += 5);
        drop(one);
        assert_eq!(names(&labels, 2), ["one"], "its last counts are still to be seen");
        assert!(names(&labels, LATER).is_empty());
        assert_eq!(labels.of("one", LATER).gone(), 5);
        assert_eq!(names(&labels, LATER), ["one"]);
    }

    #[test]
    fn too_many_names_share_one_label_and_are_counted() {
        let labels = Labels::<u64>::new();
        let all: Vec<_> = (0..LABELS_MAX + 3).map(|n| labels.of(&format!("n{n:03}"), 1)).collect();
        assert_eq!((labels.folded(), all[LABELS_MAX].name().as_ref()), (3, OTHER));
        assert_eq!(names(&labels, 1).len(), LABELS_MAX + 1);
        assert_eq!(&*labels.of("n000", 1).name, "n000", "who has one keeps it");
        assert_eq!((&*labels.of(OTHER, 1).name, labels.folded()), (OTHER, 3), "a thing of that very name");
    }

    #[test]
    fn the_place_of_a_name_that_has_rested_is_given_to_another() {
        let labels = Labels::<u64>::new();
        let all: Vec<_> = (0..LABELS_MAX as u64).map(|n| labels.of(&format!("n{n:03}"), n)).collect();
        drop(all);
        assert_eq!(&*labels.of("new", 1).name, OTHER, "all of them are shown");
        assert_eq!(&*labels.of("new", LATER).name, "new");
        let shown = |name: &str| labels.shown(0).iter().any(|label| &*label.name == name);
        assert!(!shown("n000") && shown("n001"), "the oldest had to go");
    }
}

//! One place of the code, made wrong for a run: a model that does not fail then shows nothing of that place.
//!
//! `BUS_MUTATION` names the place. `file:line:column change` is an atomic operation, which is done in another way:
//!
//! | change | what is done |
//! | --- | --- |
//! | `relaxed` | the same, Relaxed; a fence is left out |
//! | `no-acquire`, `no-release` | the same, without that half of the ordering |
//! | `skip` | a store or a fence is left out; what reads and writes only reads; a compare-exchange is taken for done |
//! | `torn` | what reads and writes at once does it in two steps |
//! | `reads=N` | what was read is taken for N |
//! | `without=N`, `with=N` | the bits N are cleared, or set, in what was read |
//!
//! Any other text is a name that [`mutated!`](super::mutated) asks for. `loom_tests/mutations.tsv` has all that are known to
//! be caught, `loom_tests/replay.rs` tries them.

use super::atomic::Ordering;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A place in the source, as `file:line:column`.
type Place = (&'static str, u32, u32);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    Nothing,
    Weaker { acquire: bool, release: bool },
    Skip,
    Torn,
    Read { keep: u64, add: u64 },
}

enum Mutation {
    Nothing,
    /// An operation, and what becomes of it.
    At(String, u32, u32, Change),
    Named(String),
}

static MUTATION: OnceLock<Mutation> = OnceLock::new();
static WAS_MET: AtomicBool = AtomicBool::new(false);

std::thread_local! {
    /// The operations that the model of this thread has come to, if somebody asked. All threads of a model are this one.
    static SEEN: RefCell<Option<BTreeSet<Place>>> = const { RefCell::new(None) };
}

/// What an atomic holds, as bits.
pub(super) trait Word {
    fn masked(self, keep: u64, add: u64) -> Self;
}

impl Change {
    fn read_from(text: &str) -> Option<Self> {
        let weaker = |acquire, release| Self::Weaker { acquire, release };
        Some(match text.split_once('=') {
            None => match text {
                "relaxed" => weaker(false, false),
                "no-acquire" => weaker(false, true),
                "no-release" => weaker(true, false),
                "skip" => Self::Skip,
                "torn" => Self::Torn,
                _ => return None,
            },
            Some((name, number)) => {
                let bits = number.parse().ok()?;
                match name {
                    "reads" => Self::Read { keep: 0, add: bits },
                    "without" => Self::Read { keep: !bits, add: 0 },
                    "with" => Self::Read { keep: !bits, add: bits },
                    _ => return None,
                }
            }
        })
    }

    pub(super) fn order(self, order: Ordering) -> Ordering {
        let Self::Weaker { acquire, release } = self else { return order };
        let acquires = acquire && !matches!(order, Ordering::Relaxed | Ordering::Release);
        let releases = release && !matches!(order, Ordering::Relaxed | Ordering::Acquire);
        match (acquires, releases) {
            (false, false) => Ordering::Relaxed,
            (true, false) => Ordering::Acquire,
            (false, true) => Ordering::Release,
            (true, true) => Ordering::AcqRel,
        }
    }

    pub(super) fn read<T: Word>(self, value: T) -> T {
        match self {
            Self::Read { keep, add } => value.masked(keep, add),
            _ => value,
        }
    }
}

/// The ordering of the load in an operation that reads and writes.
pub(super) fn loading(order: Ordering) -> Ordering {
    if matches!(order, Ordering::Relaxed | Ordering::Release) { Ordering::Relaxed } else { Ordering::Acquire }
}

/// The ordering of its store.
pub(super) fn storing(order: Ordering) -> Ordering {
    if matches!(order, Ordering::Relaxed | Ordering::Acquire) { Ordering::Relaxed } else { Ordering::Release }
}

fn mutation() -> &'static Mutation {
    MUTATION.get_or_init(|| match std::env::var("BUS_MUTATION") {
        Err(_) => Mutation::Nothing,
        Ok(text) => at(&text).unwrap_or(Mutation::Named(text)),
    })
}

/// Reads `file:line:column change`.
fn at(text: &str) -> Option<Mutation> {
    let (place, change) = text.split_once(' ')?;
    let mut parts = place.rsplitn(3, ':');
    let (column, line, file) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    Some(Mutation::At(file.to_owned(), line, column, Change::read_from(change)?))
}

/// What becomes of the operation that the caller's caller stands for; notes that it was come to.
#[track_caller]
pub(super) fn here() -> Change {
    let here = Location::caller();
    note(here);
    match mutation() {
        Mutation::At(file, line, column, change)
            if here.line() == *line && here.column() == *column && here.file() == file =>
        {
            met();
            *change
        }
        _ => Change::Nothing,
    }
}

/// Whether the mutation of that name is the one of this run.
pub(crate) fn is(name: &str) -> bool {
    let is_named = matches!(mutation(), Mutation::Named(named) if named == name);
    if is_named {
        met();
    }
    is_named
}

/// Says once that the mutated place was come to: otherwise a failure has another reason.
fn met() {
    if !WAS_MET.swap(true, Relaxed) {
        println!("mutated");
    }
}

fn note(here: &'static Location<'static>) {
    SEEN.with_borrow_mut(|seen| {
        if let Some(seen) = seen {
            seen.insert((here.file(), here.line(), here.column()));
        }
    });
}

/// From now on this thread notes what its models come to.
#[cfg(test)]
pub(crate) fn start_noting() {
    SEEN.set(Some(BTreeSet::new()));
}

/// What they came to since, as `file:line:column`.
#[cfg(test)]
pub(crate) fn noted() -> Vec<String> {
    let seen = SEEN.take().unwrap_or_default();
    seen.iter().map(|(file, line, column)| format!("{file}:{line}:{column}")).collect()
}

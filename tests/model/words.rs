//! What the model tells apart: messages, their types, what filters let through.

use super::script::{FilterSpec, Kind};

/// What a cache keeps apart; `origin` zero is the aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    pub(crate) object: u8,
    pub(crate) origin: u8,
}

/// What an update tells: the numbers of two values, zero for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    pub(crate) slot: Slot,
    pub(crate) old: u64,
    pub(crate) new: u64,
    pub(crate) snapshot: bool,
}

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Value(u64),
    Began(usize),
    Ended(usize),
    Update(Told),
    SnapshotEnd(u64),
    /// Asks caches to forget that value.
    Clear(u64),
    /// None that the model knows.
    Unknown,
}

/// A message as filters see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Of(Kind),
    Change,
    Update,
    SnapshotEnd,
    Clear,
}

impl Key {
    /// Of a message that is not a value.
    pub(crate) fn kind(self) -> Type {
        match self {
            Self::Began(_) | Self::Ended(_) => Type::Change,
            Self::Update(_) => Type::Update,
            Self::SnapshotEnd(_) => Type::SnapshotEnd,
            Self::Clear(_) => Type::Clear,
            Self::Value(_) | Self::Unknown => Type::Of(Kind::Declined),
        }
    }
}

/// What a mailbox that conflates tells messages apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Object(Kind, u8),
    Entry(Slot),
    State(u8, u64),
}

/// What is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    all: bool,
    pub(crate) plain: bool,
    pub(crate) formatted: bool,
    changes: bool,
    ami: bool,
    pub(crate) updates: bool,
}

impl From<FilterSpec> for Filter {
    fn from(spec: FilterSpec) -> Self {
        let FilterSpec { plain, formatted, changes, ami, updates } = spec;
        Self {
            all: !(plain || formatted || changes || ami || updates),
            plain,
            formatted,
            changes,
            ami,
            updates,
        }
    }
}

impl Filter {
    pub(crate) fn takes(self, kind: Type) -> bool {
        self.all
            || match kind {
                Type::Of(Kind::Plain) => self.plain,
                Type::Of(Kind::Formatted) => self.formatted || self.ami,
                Type::Change => self.changes || self.ami,
                Type::Update => self.updates,
                Type::Of(Kind::Declined) | Type::SnapshotEnd | Type::Clear => false,
            }
    }
}

/// A router's routes: which there are, each with a number of its own, and whether the rest goes by AMI form alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Table {
    pub(crate) plain: Option<u64>,
    pub(crate) formatted: Option<u64>,
    pub(crate) updates: Option<u64>,
    pub(crate) rest: u64,
    pub(crate) rest_is_ami: bool,
    pub(crate) next: u64,
}

/// Which route is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Plain,
    Formatted,
    Updates,
    Rest,
}

impl Table {
    /// The number of the new route; of no use if one is taken away.
    pub(crate) fn set(&mut self, which: Which, stands: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        let route = stands.then_some(number);
        match which {
            Which::Plain => self.plain = route,
            Which::Formatted => self.formatted = route,
            Which::Updates => self.updates = route,
            Which::Rest => (self.rest, self.rest_is_ami) = (number, !stands),
        }
        number
    }

    pub(crate) fn filter(&self) -> Filter {
        Filter {
            all: !self.rest_is_ami,
            plain: self.plain.is_some(),
            formatted: self.formatted.is_some(),
            changes: false,
            ami: true,
            updates: self.updates.is_some(),
        }
    }

    /// Which route a message goes to.
    pub(crate) fn route(&self, kind: Type) -> u64 {
        let own = match kind {
            Type::Of(Kind::Plain) => self.plain,
            Type::Of(Kind::Formatted) => self.formatted,
            Type::Update => self.updates,
            _ => None,
        };
        own.unwrap_or(self.rest)
    }
}

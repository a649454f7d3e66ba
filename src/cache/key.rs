//! What entries are found by.

use crate::sync::Arc;
use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// A type and an id. Two types may share an id.
#[derive(Clone, Debug)]
pub(crate) struct EntryKey {
    pub(crate) kind: u32,
    pub(crate) id: Arc<str>,
}

/// The same as a reader has it, so that looking up allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRef<'a> {
    pub(crate) kind: u32,
    pub(crate) id: &'a str,
}

impl KeyRef<'_> {
    pub(crate) fn to_owned(self) -> EntryKey {
        EntryKey { kind: self.kind, id: self.id.into() }
    }
}

/// What both are: maps look up by a borrowed form of the key, and this is one that can be made of either.
pub(crate) trait Keyed {
    fn parts(&self) -> (u32, &str);
}

impl Keyed for EntryKey {
    fn parts(&self) -> (u32, &str) {
        (self.kind, &self.id)
    }
}

impl Keyed for KeyRef<'_> {
    fn parts(&self) -> (u32, &str) {
        (self.kind, self.id)
    }
}

impl<'a> Borrow<dyn Keyed + 'a> for EntryKey {
    fn borrow(&self) -> &(dyn Keyed + 'a) {
        self
    }
}

impl Hash for dyn Keyed + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Keyed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Keyed + '_ {}

impl Hash for EntryKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for EntryKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for EntryKey {}

//! What a state manager must have: who holds each state, and its last message.

use super::frames::Said;
use super::script::STATES;
use super::words::{Key, Lane};
use std::collections::BTreeSet;

#[derive(Debug, Default)]
struct State {
    holders: usize,
    origins: BTreeSet<u8>,
    last: Option<Said>,
    /// How often it was gone: with its topic, so that what comes later is another state's.
    lives: u64,
}

#[derive(Debug, Default)]
pub(crate) struct States([State; STATES as usize]);

impl States {
    fn of(&mut self, state: u8) -> &mut State {
        &mut self.0[usize::from(state)]
    }

    pub(crate) fn exists(&self, state: u8) -> bool {
        let state = &self.0[usize::from(state)];
        state.holders + state.origins.len() > 0
    }

    pub(crate) fn last(&self, state: u8) -> Option<Said> {
        self.0[usize::from(state)].last
    }

    pub(crate) fn last_key(&self, state: u8) -> Option<Key> {
        self.last(state).map(|said| said.key)
    }

    /// What a mailbox that conflates knows it by.
    pub(crate) fn lane(&self, state: u8) -> Lane {
        Lane::State(state, self.0[usize::from(state)].lives)
    }

    pub(crate) fn store(&mut self, state: u8, said: Said) {
        self.of(state).last = Some(said);
    }

    pub(crate) fn hold(&mut self, state: u8) {
        self.of(state).holders += 1;
    }

    pub(crate) fn release(&mut self, state: u8) {
        self.of(state).holders -= 1;
        self.let_go(state);
    }

    pub(crate) fn hold_by_origin(&mut self, state: u8, origin: u8) {
        self.of(state).origins.insert(origin);
    }

    /// False: it holds nothing.
    pub(crate) fn has_origin(&self, state: u8, origin: u8) -> bool {
        self.0[usize::from(state)].origins.contains(&origin)
    }

    pub(crate) fn remove_origin(&mut self, state: u8, origin: u8) {
        self.of(state).origins.remove(&origin);
        self.let_go(state);
    }

    /// A state that nobody holds is gone, with its message.
    fn let_go(&mut self, state: u8) {
        if !self.exists(state) {
            let state = self.of(state);
            state.last = None;
            state.lives += 1;
        }
    }
}

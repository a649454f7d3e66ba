//! Who would get what is announced: the lists collected before a lock is taken, and used under it if they are still the
//! ones that stand.
//!
//! Loading lists under a lock makes others wait. So they are collected before, and a look at each topic's version under the
//! lock says whether they are current; only if not they are collected again. Who became visible before somebody else's turn
//! under that lock has stored the version before: whoever has a later turn sees it. So does who follows somebody that found a
//! list as it had just been shown, since its version is told before it is shown ([`publisher`](super::publisher)): who comes or
//! goes hears of a run of turns, without a gap. Lists that are not current any more go
//! with the errands: one may be the last to hold something of the user's, which must not be dropped under the lock.

use super::TopicCore;
use super::collect::{Reached, collect_also};
use super::errands::Errands;
use crate::message::kind::Kind;
use crate::sync::{Arc, local, mutated};
use std::cell::Cell;
use std::marker::PhantomData;

#[derive(Default)]
struct Lists {
    reached: Vec<Reached>,
    /// Places of the topics at which it is announced; at the others it arrives by a forward.
    roots: Vec<usize>,
}

impl Lists {
    const fn none() -> Self {
        Self { reached: Vec::new(), roots: Vec::new() }
    }
}

local! {
    /// Kept between writes so that collecting does not allocate.
    static SPARE: Cell<Lists> = Cell::new(Lists::none());
}

/// The lists reachable from some topics, each once.
pub(crate) struct Audience<'t> {
    lists: Lists,
    _topics: PhantomData<&'t TopicCore>,
}

impl<'t> Audience<'t> {
    /// Those reachable from `roots`.
    pub(crate) fn of(roots: impl IntoIterator<Item = &'t Arc<TopicCore>>) -> Self {
        let lists = SPARE.try_with(Cell::take).unwrap_or_default();
        let mut audience = Self { lists, _topics: PhantomData };
        audience.collect(roots);
        audience
    }

    fn collect(&mut self, roots: impl IntoIterator<Item = &'t Arc<TopicCore>>) {
        let Lists { reached, roots: starts } = &mut self.lists;
        for root in roots {
            let at = reached.len();
            if collect_also(root, reached) {
                starts.push(at);
            }
        }
    }

    /// Sees to it that they are those that stand. Under the lock that orders what is announced; `roots` as before.
    #[inline]
    pub(crate) fn renew(
        &mut self,
        roots: impl IntoIterator<Item = &'t Arc<TopicCore>>,
        errands: &mut Errands,
    ) {
        if !self.lists().iter().all(Reached::is_current) && !mutated!("cache.audience") {
            errands.hold(self);
            self.collect(roots);
        }
    }

    pub(super) fn lists(&self) -> &[Reached] {
        &self.lists.reached
    }

    /// Whether anybody would get a message of `kind`.
    pub(crate) fn wants(&self, kind: &Kind) -> bool {
        self.lists().iter().any(|reached| reached.list.wants(kind))
    }

    /// One message is announced: published at the roots, arrived at the others.
    pub(super) fn count(&self) {
        let mut roots = self.lists.roots.iter().peekable();
        for (at, reached) in self.lists().iter().enumerate() {
            match roots.next_if_eq(&&at) {
                Some(_) => reached.topic().has_been_published(),
                None => reached.topic().has_arrived(1),
            }
        }
    }

    /// Hands them over: they hold what is pushed into, so they are dropped later.
    pub(super) fn move_into(&mut self, lists: &mut Vec<Reached>) {
        lists.append(&mut self.lists.reached);
        self.lists.roots.clear();
    }
}

impl Drop for Audience<'_> {
    fn drop(&mut self) {
        let mut lists = std::mem::take(&mut self.lists);
        lists.reached.clear();
        lists.roots.clear();
        let _ = SPARE.try_with(|spare| spare.set(lists));
    }
}

//! Where the memory of messages comes back to, and when their values are dropped.
//!
//! Freeing on one core what another core allocated is the largest single cost of passing a message on. So messages
//! return to their maker, by the dozen:
//!
//! ```text
//! maker's cache (bare blocks) ──make──► message ──last reference──► worker's chain (dead values)
//!        ▲                                                                  │ full: 64
//!        └──────── taken by the maker, values dropped ◄──── home (one chain) ◄──────┘
//! ```
//!
//! | the last reference goes | the value is dropped | the block goes |
//! | --- | --- | --- |
//! | on the thread that made it | at once | to that thread's cache, at most 64 |
//! | on a thread of the bus | later, bounded: see below | to the thread's chain for that type |
//! | on any other thread | at once | to the allocator |
//!
//! A chain of 64 goes home, unless a chain lies there already; then its values are dropped and it is freed. A
//! thread of the bus that is about to sleep drops what it holds and what lies in the homes it returned to. So at most
//! 64 dead values wait per thread and home, only while traffic runs, and a quiet bus holds none. A home is closed when
//! its bus ends; messages that outlive the bus free themselves.
//!
//! | home's word | who | step |
//! | --- | --- | --- |
//! | empty | a thread with a full chain | compare-exchange to the chain |
//! | a chain | a maker without blocks, or a thread going to sleep | compare-exchange to empty: the chain is its |
//! | anything | the end of the bus | swap to closed, frees what was there |
//!
//! User code (the drops of values) runs with nothing borrowed: it may make and drop messages itself.

use super::kind::Kind;
use super::packet::Header;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::local;
use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

/// Blocks in a chain, and in a maker's cache for one type.
const CHAIN_MAX: usize = 64;
/// Types whose blocks a thread keeps at the same time.
const KINDS_MAX: usize = 4;

/// One type's home.
pub(super) struct Home {
    chain: AtomicPtr<Header>,
}

/// Not a chain: the bus has ended.
const CLOSED: *mut Header = ptr::without_provenance_mut(1);

impl Home {
    pub(super) fn new() -> Self {
        Self { chain: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Leaves a chain; given back if one lies there already.
    fn leave(&self, chain: Chain) -> Result<(), Chain> {
        // ORDERING(home.chain): Release; pairs with the Acquire in `take`: the maker sees the values and the links.
        match self.chain.compare_exchange(ptr::null_mut(), chain.first, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(chain),
        }
    }

    /// Takes the chain that lies here.
    fn take(&self) -> Chain {
        let first = self.chain.load(Ordering::Relaxed);
        if first.is_null() || first == CLOSED {
            return Chain::EMPTY;
        }
        // ORDERING(home.chain): Acquire; pairs with the Release in `leave`.
        match self.chain.compare_exchange(first, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Chain { first, length: CHAIN_MAX },
            Err(_) => Chain::EMPTY,
        }
    }

    fn is_closed(&self) -> bool {
        self.chain.load(Ordering::Relaxed) == CLOSED
    }

    /// Nothing comes home any more; what lies here goes.
    pub(super) fn close(&self) {
        // ORDERING(home.chain): Acquire; pairs with the Release in `leave`.
        let first = self.chain.swap(CLOSED, Ordering::AcqRel);
        if !first.is_null() && first != CLOSED {
            Chain { first, length: CHAIN_MAX }.bury();
        }
    }
}

/// Blocks linked through their headers. In a maker's cache they are bare, elsewhere their values are dead.
struct Chain {
    first: *mut Header,
    length: usize,
}

impl Chain {
    const EMPTY: Self = Self { first: ptr::null_mut(), length: 0 };

    fn push(&mut self, block: NonNull<Header>) {
        // SAFETY: the chain owns its blocks; nobody else has a reference to them.
        unsafe { (*block.as_ptr()).next = self.first };
        self.first = block.as_ptr();
        self.length += 1;
    }

    fn pop(&mut self) -> Option<NonNull<Header>> {
        let block = NonNull::new(self.first)?;
        // SAFETY: as in `push`.
        self.first = unsafe { (*block.as_ptr()).next };
        self.length = self.length.saturating_sub(1);
        Some(block)
    }

    /// Drops the values and frees the blocks.
    fn bury(mut self) {
        while let Some(block) = self.pop() {
            // SAFETY: a chain of dead values owns them.
            unsafe {
                Kind::drop_value(block);
                Kind::free_block(block);
            }
        }
    }

    /// Frees blocks without values.
    fn free_bare(mut self) {
        while let Some(block) = self.pop() {
            // SAFETY: the values are gone already.
            unsafe { Kind::free_block(block) };
        }
    }
}

/// A chain and whose messages are in it. An empty one may name a type that is gone: it is only compared.
struct Shelf {
    kind: *const Kind,
    chain: Chain,
}

/// The shelves of one thread.
struct Shelves([Shelf; KINDS_MAX]);

impl Shelves {
    const fn new() -> Self {
        Self([const { Shelf { kind: ptr::null(), chain: Chain::EMPTY } }; KINDS_MAX])
    }

    /// The shelf for `kind`; what was there of another type is handed out to be disposed of.
    #[inline]
    fn of(&mut self, kind: *const Kind) -> (&mut Shelf, Chain) {
        let at = (kind.addr() >> 6) % KINDS_MAX;
        let shelf = &mut self.0[at];
        let mut other = Chain::EMPTY;
        if !ptr::eq(shelf.kind, kind) {
            other = std::mem::replace(&mut shelf.chain, Chain::EMPTY);
            shelf.kind = kind;
        }
        (shelf, other)
    }

    fn take_all(&mut self) -> Self {
        std::mem::replace(self, Self::new())
    }
}

/// Bare blocks of messages that this thread made.
struct Cache(RefCell<Shelves>);

impl Drop for Cache {
    fn drop(&mut self) {
        self.0.get_mut().take_all().0.into_iter().for_each(|shelf| shelf.chain.free_bare());
    }
}

/// Dead values on their way home.
struct Returns(RefCell<Shelves>);

impl Drop for Returns {
    fn drop(&mut self) {
        self.0.get_mut().take_all().0.into_iter().for_each(|shelf| shelf.chain.bury());
    }
}

local! {
    static CACHE: Cache = Cache(RefCell::new(Shelves::new()));
    static RETURNS: Returns = Returns(RefCell::new(Shelves::new()));
    /// This thread's number; 0: not given yet.
    static NUMBER: Cell<u64> = Cell::new(0);
    /// Whether this thread belongs to a bus and empties its chains before it sleeps.
    static RETURNING: Cell<bool> = Cell::new(false);
}

/// The calling thread's number, for the header of what it makes. 0 while the thread is ending.
#[inline]
pub(super) fn maker() -> u64 {
    NUMBER.try_with(|number| if number.get() == 0 { give_number(number) } else { number.get() }).unwrap_or(0)
}

#[cold]
fn give_number(number: &Cell<u64>) -> u64 {
    number.set(crate::ids::next());
    number.get()
}

/// A bare block for a message of `kind`, if one is to be had without the allocator.
#[inline]
pub(super) fn take_block(kind: &Kind) -> Option<NonNull<Header>> {
    let (block, other) = CACHE
        .try_with(|cache| {
            let mut shelves = cache.0.borrow_mut();
            let (shelf, other) = shelves.of(kind);
            (shelf.chain.pop(), other)
        })
        .unwrap_or((None, Chain::EMPTY));
    other.free_bare();
    block.or_else(|| fetch_home(kind))
}

/// The chain that lies at home: its values are dropped, its blocks are this thread's.
#[cold]
fn fetch_home(kind: &Kind) -> Option<NonNull<Header>> {
    let mut chain = kind.home().take();
    let first = chain.pop()?;
    // SAFETY: the chain owned the value.
    unsafe { Kind::drop_value(first) };
    while let Some(block) = chain.pop() {
        // SAFETY: as above.
        unsafe { Kind::drop_value(block) };
        keep_block(kind, block);
    }
    Some(first)
}

/// Puts a bare block into this thread's cache, or frees it.
fn keep_block(kind: &Kind, block: NonNull<Header>) {
    let mut rest = Chain::EMPTY;
    let kept = CACHE.try_with(|cache| {
        let mut shelves = cache.0.borrow_mut();
        let (shelf, other) = shelves.of(kind);
        rest = other;
        let room = shelf.chain.length < CHAIN_MAX && !kind.home().is_closed();
        if room {
            shelf.chain.push(block);
        }
        room
    });
    if !kept.unwrap_or(false) {
        rest.push(block);
    }
    rest.free_bare();
}

/// The last reference to `block` is gone.
///
/// # Safety
///
/// Nobody else has it, its value is in place, and the fence after the last reference was made.
pub(super) unsafe fn come_back(block: NonNull<Header>) {
    // SAFETY: the block is ours.
    let (kind, made_by) = unsafe { (block.as_ref().kind(), block.as_ref().maker) };
    if made_by == maker() {
        // SAFETY: as the caller says. The block keeps its type alive.
        unsafe { Kind::drop_value(block) };
        keep_block(kind, block);
    } else if RETURNING.try_with(Cell::get).unwrap_or(false) {
        send_home(kind, block);
    } else {
        // SAFETY: as the caller says.
        unsafe {
            Kind::drop_value(block);
            Kind::free_block(block);
        }
    }
}

#[inline]
fn send_home(kind: &Kind, block: NonNull<Header>) {
    let (full, other) = RETURNS
        .try_with(|returns| {
            let mut shelves = returns.0.borrow_mut();
            let (shelf, other) = shelves.of(kind);
            shelf.chain.push(block);
            let full = shelf.chain.length == CHAIN_MAX;
            let full = full.then(|| std::mem::replace(&mut shelf.chain, Chain::EMPTY));
            (full, other)
        })
        .unwrap_or_else(|_| {
            let mut alone = Chain::EMPTY;
            alone.push(block);
            (None, alone)
        });
    if let Some(Err(chain)) = full.map(|chain| kind.home().leave(chain)) {
        chain.bury();
    }
    other.bury();
}

/// The calling thread belongs to a bus: it sends messages home, and calls [`drop_dead`] before it sleeps.
pub(crate) fn send_messages_home() {
    let _ = RETURNING.try_with(|returning| returning.set(true));
}

/// Drops what this thread holds for others, and what lies in the homes it was about to send it to.
pub(crate) fn drop_dead() {
    let shelves = RETURNS.try_with(|returns| returns.0.borrow_mut().take_all());
    for shelf in shelves.map(|shelves| shelves.0).into_iter().flatten() {
        drop_dead_of(shelf);
    }
}

fn drop_dead_of(shelf: Shelf) {
    let Some(block) = NonNull::new(shelf.chain.first) else { return };
    // SAFETY: the block is in our chain, and keeps its type alive while it is.
    let left_at_home = unsafe { block.as_ref().kind() }.home().take();
    left_at_home.bury();
    shelf.chain.bury();
}

/// Frees the bare blocks of the calling thread.
pub(crate) fn forget_blocks() {
    if let Ok(shelves) = CACHE.try_with(|cache| cache.0.borrow_mut().take_all()) {
        shelves.0.into_iter().for_each(|shelf| shelf.chain.free_bare());
    }
}

//! Where the memory of messages comes back to, and when their values are dropped.
//!
//! Freeing on one core what another core allocated is the largest single cost of passing a message on. So messages
//! return to their maker, by the dozen:
//!
//! ```text
//! maker's tray (bare blocks) ──make──► message ──last reference──► worker's tray (dead values)
//!        ▲                                                                  │ full: 64
//!        └──────── taken by the maker, values dropped ◄──── home (one tray) ◄──────┘
//! ```
//!
//! | the last reference goes | the value is dropped | the block goes |
//! | --- | --- | --- |
//! | on the thread that made it | at once | to that thread's tray, at most 64 |
//! | on a thread of the bus | later, bounded: see below | to the thread's tray for that type |
//! | on any other thread | at once | to the allocator |
//!
//! A tray of 64 goes home, unless one lies there already; then its values are dropped, and its bare blocks go to the
//! home's *stock*, which makers turn to next: a worker that takes a full ring in one go has many trays before the
//! maker asks for one. A thread of the bus that is about to sleep drops what it holds and what lies in the homes it
//! returned to. So at most 64 dead values wait per thread and home, only while traffic runs, and a quiet bus holds none;
//! the stock holds memory only, at most 16 trays and 256 KiB of it per type. A home is closed when its bus ends;
//! messages that outlive the bus free themselves.
//!
//! | home's word | who | step |
//! | --- | --- | --- |
//! | empty | a thread with a full tray | compare-exchange to the tray |
//! | a tray | a maker without blocks, or a thread going to sleep | compare-exchange to empty: the tray is its |
//! | anything | the end of the bus | swap to closed, frees what was there |
//!
//! A tray holds pointers in an array, and not blocks linked through their headers: the maker's reads of 64 headers,
//! each in another core's cache, can then overlap.
//!
//! A block holds its type, with the type's formatters, until it is freed: at the latest when the thread that keeps it ends.
//!
//! User code (the drops of values) runs with nothing borrowed: it may make and drop messages itself.

use super::kind::Kind;
use super::owed;
use super::packet::Header;
use crate::sync::atomic::{AtomicPtr, Ordering, fence};
use crate::sync::{Backlog, hint, local};
use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

/// Blocks in a tray.
const TRAY: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 64 };
/// So many blocks before its turn comes, a block's line is asked for.
const AHEAD: usize = 6;
/// Trays in a home's stock, at most, and how many bytes their blocks may have.
const STOCK_TRAYS: usize = 16;
const STOCK_BYTES: usize = 256 * 1024;
/// Types whose blocks a thread keeps at the same time.
const KINDS_MAX: usize = 4;

/// Up to 64 blocks of one type. In a maker's hands they are bare, elsewhere their values are dead.
struct Tray {
    blocks: [*mut Header; TRAY],
    length: usize,
}

impl Tray {
    fn new() -> Box<Self> {
        Box::new(Self { blocks: [ptr::null_mut(); TRAY], length: 0 })
    }

    #[inline]
    fn push(&mut self, block: NonNull<Header>) {
        self.blocks[self.length] = block.as_ptr();
        self.length += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<NonNull<Header>> {
        self.length = self.length.checked_sub(1)?;
        self.prefetch(self.length.wrapping_sub(AHEAD));
        NonNull::new(self.blocks[self.length])
    }

    /// The block at that place is written soon, and another core has its line.
    #[inline]
    fn prefetch(&self, place: usize) {
        if let Some(&block) = self.blocks.get(place) {
            hint::prefetch_write(block);
        }
    }

    fn is_full(&self) -> bool {
        self.length == TRAY
    }

    /// Drops the values; the blocks are bare then.
    fn drop_values(&self) {
        for (place, &block) in self.blocks[..self.length].iter().enumerate() {
            self.prefetch(place + AHEAD);
            // SAFETY: a tray of dead values owns them; the slots below `length` are never null.
            unsafe { Kind::drop_value(NonNull::new_unchecked(block)) };
        }
    }

    fn free_bare(mut self: Box<Self>) {
        while let Some(block) = self.pop() {
            // SAFETY: the values are gone already, and nobody else has the blocks.
            unsafe { Kind::free_block(block) };
        }
    }

    /// Drops the values and frees the blocks.
    fn bury(self: Box<Self>) {
        self.drop_values();
        self.free_bare();
    }
}

/// One type's home.
pub(super) struct Home {
    lies: AtomicPtr<Tray>,
    stock: Backlog<Bare>,
    /// Trays the stock may hold; other threads' pushes may exceed it for a moment.
    stock_max: usize,
}

/// A full tray of bare blocks, on its way to any maker.
struct Bare(Box<Tray>);

// SAFETY: bare blocks have no values; whoever takes the tray owns them.
unsafe impl Send for Bare {}

/// Not a tray: the bus has ended.
const CLOSED: *mut Tray = ptr::without_provenance_mut(1);

impl Home {
    /// For blocks of so many bytes.
    pub(super) fn new(block: usize) -> Self {
        let stock_max = (STOCK_BYTES / (TRAY * block)).min(STOCK_TRAYS);
        Self { lies: AtomicPtr::new(ptr::null_mut()), stock: Backlog::new(), stock_max }
    }

    /// Leaves a full tray; given back if one lies here already, or the bus has ended.
    fn leave(&self, full: Box<Tray>) -> Result<(), Box<Tray>> {
        let full = Box::into_raw(full);
        // ORDERING(home.lies): Release; pairs with the Acquire in `take`: who takes it sees blocks and values.
        match self.lies.compare_exchange(ptr::null_mut(), full, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            // SAFETY: it was never shown to anybody.
            Err(_) => Err(unsafe { Box::from_raw(full) }),
        }
    }

    /// Takes what lies here.
    fn take(&self) -> Option<Box<Tray>> {
        let lies = self.lies.load(Ordering::Relaxed);
        if lies.is_null() || lies == CLOSED {
            return None;
        }
        // ORDERING(home.lies): Acquire; pairs with the Release in `leave`.
        let taken = self.lies.compare_exchange(lies, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed);
        // SAFETY: who takes it off the word owns it.
        taken.ok().map(|tray| unsafe { Box::from_raw(tray) })
    }

    fn is_closed(&self) -> bool {
        self.lies.load(Ordering::Relaxed) == CLOSED
    }

    /// Nothing comes home any more; what lies here goes.
    pub(super) fn close(&self) {
        // ORDERING(home.lies): Acquire; pairs with the Release in `leave`.
        let lies = self.lies.swap(CLOSED, Ordering::Acquire);
        if !lies.is_null() && lies != CLOSED {
            // SAFETY: taken off the word, so it is ours.
            unsafe { Box::from_raw(lies) }.bury();
        }
        // ORDERING(home.close): SeqCst fence; pairs with the one in `stock_up`: the tray is seen here, or CLOSED there.
        fence(Ordering::SeqCst);
        self.clear_stock();
    }

    /// Takes a full tray whose values are dropped: into the stock, if there is room.
    fn stock_up(&self, bare: Box<Tray>) {
        if self.stock.len() >= self.stock_max {
            return bare.free_bare();
        }
        self.stock.push(Bare(bare));
        // ORDERING(home.close): SeqCst fence; pairs with the one in `close`.
        fence(Ordering::SeqCst);
        if self.is_closed() {
            self.clear_stock();
        }
    }

    /// The last block may take its type, and this home, with it: so all are out before the first is freed.
    fn clear_stock(&self) {
        let trays: Vec<Bare> = std::iter::from_fn(|| self.stock.pop()).collect();
        trays.into_iter().for_each(|tray| tray.0.free_bare());
    }
}

/// A tray and whose blocks are in it. An empty one may name a type that is gone: it is only compared.
struct Shelf {
    kind: *const Kind,
    tray: Option<Box<Tray>>,
}

/// The shelves of one thread.
struct Shelves([Shelf; KINDS_MAX]);

impl Shelves {
    const fn new() -> Self {
        Self([const { Shelf { kind: ptr::null(), tray: None } }; KINDS_MAX])
    }

    /// The tray for `kind`; what stood there of another type is handed out to be disposed of.
    #[inline]
    fn of(&mut self, kind: &Kind) -> (&mut Option<Box<Tray>>, Option<Box<Tray>>) {
        // Addresses are not the same each time that a model runs.
        let number = if cfg!(any(bus_loom, bus_shuttle)) {
            kind.id() as usize
        } else {
            ptr::from_ref(kind).addr() >> 6
        };
        let shelf = &mut self.0[number % KINDS_MAX];
        let other = if ptr::eq(shelf.kind, kind) { None } else { shelf.tray.take() };
        shelf.kind = kind;
        (&mut shelf.tray, other)
    }

    fn take_all(&mut self) -> impl Iterator<Item = Box<Tray>> + use<> {
        std::mem::replace(self, Self::new()).0.into_iter().filter_map(|shelf| shelf.tray)
    }
}

/// Bare blocks for what this thread makes.
struct Blocks(RefCell<Shelves>);

impl Drop for Blocks {
    fn drop(&mut self) {
        self.0.get_mut().take_all().for_each(Tray::free_bare);
    }
}

/// Dead values on their way home.
struct Returns(RefCell<Shelves>);

impl Drop for Returns {
    fn drop(&mut self) {
        self.0.get_mut().take_all().for_each(Tray::bury);
    }
}

local! {
    static BLOCKS: Blocks = Blocks(RefCell::new(Shelves::new()));
    static RETURNS: Returns = Returns(RefCell::new(Shelves::new()));
    /// This thread's number, 0: not given yet; and how many messages it has made, modulo 65536.
    static NUMBER: Cell<(u32, u16)> = Cell::new((0, 0));
    /// Whether this thread belongs to a bus and empties its trays before it sleeps.
    static RETURNING: Cell<bool> = Cell::new(false);
}

/// The calling thread's number and that of the message it makes, for the message's header. 0, which is nobody's, while
/// the thread is ending.
#[inline]
pub(super) fn maker_and_number() -> (u32, u16) {
    let count = |number: &Cell<(u32, u16)>| {
        let (thread, made) = number.get();
        let thread = if thread == 0 { new_number() } else { thread };
        number.set((thread, made.wrapping_add(1)));
        (thread, made)
    };
    NUMBER.try_with(count).unwrap_or((0, 0))
}

/// The calling thread's number; 0: it has made nothing yet.
fn maker() -> u32 {
    NUMBER.try_with(|number| number.get().0).unwrap_or(0)
}

/// Numbers repeat after four thousand million threads; the worst of it is a value dropped at once.
#[cold]
fn new_number() -> u32 {
    (crate::ids::next() as u32).max(1)
}

/// A bare block for a message of `kind`, if one is to be had without the allocator.
#[inline]
pub(super) fn take_block(kind: &Kind) -> Option<NonNull<Header>> {
    let (block, other) = BLOCKS
        .try_with(|blocks| {
            let mut shelves = blocks.0.borrow_mut();
            let (tray, other) = shelves.of(kind);
            (tray.as_mut().and_then(|tray| tray.pop()), other)
        })
        .unwrap_or((None, None));
    if let Some(other) = other {
        other.free_bare();
    }
    block.or_else(|| fetch_home(kind))
}

/// A tray of blocks that this thread has from now on: the one that lies at home, whose values are dropped, or one of
/// the stock.
fn fetch_tray(home: &Home) -> Option<Box<Tray>> {
    match home.take() {
        None => home.stock.pop().map(|bare| bare.0),
        lies => lies.inspect(|tray| tray.drop_values()),
    }
}

#[cold]
fn fetch_home(kind: &Kind) -> Option<NonNull<Header>> {
    let mut fetched = fetch_tray(kind.home())?;
    let first = fetched.pop();
    // The drops of values may have put something there meanwhile, of this type or of another.
    let spares = BLOCKS.try_with(|blocks| {
        let mut shelves = blocks.0.borrow_mut();
        let (tray, other) = shelves.of(kind);
        [tray.replace(fetched), other]
    });
    spares.into_iter().flatten().flatten().for_each(Tray::free_bare);
    first
}

/// Puts a bare block into this thread's tray, or frees it.
fn keep_block(kind: &Kind, block: NonNull<Header>) {
    let kept = BLOCKS.try_with(|blocks| {
        let mut shelves = blocks.0.borrow_mut();
        let (tray, other) = shelves.of(kind);
        let tray = tray.get_or_insert_with(Tray::new);
        let room = !tray.is_full() && !kind.home().is_closed();
        if room {
            tray.push(block);
        }
        (room, other)
    });
    let (kept, other) = kept.unwrap_or((false, None));
    if !kept {
        // SAFETY: bare, and ours.
        unsafe { Kind::free_block(block) };
    }
    if let Some(other) = other {
        other.free_bare();
    }
}

/// The last reference to `block` is gone.
///
/// # Safety
///
/// Nobody else has it, its value is in place, and the fence after the last reference was made.
pub(super) unsafe fn come_back(block: NonNull<Header>) {
    // SAFETY: the block is ours.
    let (kind, made_by) = unsafe { (block.as_ref().kind(), block.as_ref().maker) };
    if made_by != 0 && made_by == maker() {
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
    let sent = RETURNS.try_with(|returns| {
        let mut shelves = returns.0.borrow_mut();
        let (tray, other) = shelves.of(kind);
        // A full one goes with the next block: a thread that sent one holds another, so `drop_dead` looks there.
        let full = if tray.as_ref().is_some_and(|tray| tray.is_full()) { tray.take() } else { None };
        tray.get_or_insert_with(Tray::new).push(block);
        (full, other)
    });
    match sent {
        Ok((full, other)) => {
            if let Some(Err(full)) = full.map(|full| kind.home().leave(full)) {
                // Once in the stock, its blocks may be freed, and their type with the last of them.
                let kind = kind.hold();
                full.drop_values();
                kind.home().stock_up(full);
            }
            if let Some(other) = other {
                drop_dead_of(other);
            }
        }
        // The thread is ending.
        // SAFETY: the block is ours, and its value is in place.
        Err(_) => unsafe {
            Kind::drop_value(block);
            Kind::free_block(block);
        },
    }
}

/// The calling thread belongs to a bus: it sends messages home, and calls [`drop_dead`] before it sleeps.
pub(crate) fn send_messages_home() {
    let _ = RETURNING.try_with(|returning| returning.set(true));
}

/// Drops what this thread holds for others, and what lies in the homes it was about to send it to.
pub(crate) fn drop_dead() {
    loop {
        // A value may hold messages, and its drop may publish: what that sends home, or has noted, goes as well.
        owed::settle();
        let Ok(mut trays) = RETURNS.try_with(|returns| returns.0.borrow_mut().take_all()) else { return };
        let Some(first) = trays.next() else { return };
        drop_dead_of(first);
        trays.for_each(drop_dead_of);
    }
}

fn drop_dead_of(held: Box<Tray>) {
    let Some(&block) = held.blocks[..held.length].first() else { return };
    // SAFETY: the block is in our tray, and keeps its type alive while it is.
    let home = unsafe { (*block).kind() }.home();
    if let Some(lies) = home.take() {
        lies.drop_values();
        home.stock_up(lies);
    }
    held.bury();
}

/// Frees the bare blocks of the calling thread.
pub(crate) fn forget_blocks() {
    if let Ok(trays) = BLOCKS.try_with(|blocks| blocks.0.borrow_mut().take_all()) {
        trays.for_each(Tray::free_bare);
    }
}

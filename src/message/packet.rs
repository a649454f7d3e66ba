//! One allocation per message: a header with an intrusive count, then the value.
//!
//! ```text
//! Message ──► | refs | origin | kind | timestamp | maker | declined | number | trace | value … |
//! ```
//!
//! A publish adds references for all takers in one atomic addition and hands out bare pointers; a ring slot is 8
//! bytes. Blocks are used again (see [`home`]). `trace` is room for a trace context, which would change every size
//! class if it came later.

#[cfg(feature = "json")]
use super::JsonSanitizer;
use super::home;
use super::kind::{Foreign, Kind};
use super::tally::Event;
use super::{Origin, Timestamp, owed};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Arc, hint};
use std::alloc::{Layout, dealloc};
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::num::{NonZeroU32, NonZeroUsize};
use std::ptr::{self, NonNull};

#[repr(C)]
pub(super) struct Header {
    refs: AtomicU32,
    /// 0: none.
    origin: u32,
    /// Counted: from the block's allocation to its return to the allocator, however often it is used again.
    kind: NonNull<Kind>,
    timestamp: Timestamp,
    /// The thread that made the message.
    pub(super) maker: u32,
    /// The type was declined: there is no value.
    declined: bool,
    /// Its number among those that its maker made, for [`owed`].
    number: u16,
    _trace: u64,
}

/// With a value of up to 24 bytes, a `String` for one, a message fits one cache line.
const _: () = assert!(cfg!(bus_loom) || size_of::<Header>() == 40);

impl Header {
    #[inline]
    pub(super) fn kind(&self) -> &Kind {
        // SAFETY: the block holds a reference to its type until it is freed.
        unsafe { self.kind.as_ref() }
    }
}

#[repr(C)]
struct Packet<T> {
    header: Header,
    value: T,
}

/// The low bit of a message's address is free for a tag (see the mailbox's envelopes).
const _: () = assert!(std::mem::align_of::<Header>() >= 2);

/// An immutable value with its type, time and origin; shared, never copied.
///
/// Cloning counts a reference (one atomic addition). The value is dropped with the last one, by the thread that drops
/// that. If that is a worker of the bus, or a dedicated subscription's thread, the value may wait a little: such a
/// thread keeps at most 64 dead messages of a type for whoever makes the next ones, and drops them before it sleeps; and a
/// worker gives its references to at most 256 messages back together with others, when it is out of work at the latest. A
/// message can be published any number of times, on any topics of the bus whose type made it. It may be kept after
/// that bus is gone.
///
/// ```
/// use stasis_bus::Bus;
/// let bus = Bus::builder().manual().build()?;
/// let temperature = bus.message_type::<f64>("temperature")?;
/// let message = temperature.message(21.5);
/// assert_eq!(temperature.read(&message), Some(&21.5));
/// assert_eq!(message.type_name(), "temperature");
/// # Ok::<(), stasis_bus::Error>(())
/// ```
pub struct Message(NonNull<Header>);

// SAFETY: the value is `Send + Sync` (`MessageType<T>` demands it), the count is atomic, the rest is never written
// after `make`.
unsafe impl Send for Message {}
// SAFETY: as above.
unsafe impl Sync for Message {}

impl Message {
    /// A message of `kind` that carries `value`. Sound only through `MessageType<T>`, which pairs the two.
    #[inline]
    pub(super) fn make<T: Send + Sync + 'static>(
        kind: &Arc<Kind>,
        value: T,
        timestamp: Timestamp,
        origin: Option<Origin>,
    ) -> Self {
        kind.count(Event::Made);
        let Some(block) = home::take_block(kind) else {
            return Self::allocate(kind, value, timestamp, origin, false);
        };
        let packet = block.cast::<Packet<T>>().as_ptr();
        // SAFETY: a bare block of this kind is a `Packet<T>` with its header in place and no value, and it is ours.
        unsafe {
            let header = &mut (*packet).header;
            header.refs = AtomicU32::new(1);
            header.timestamp = timestamp;
            header.origin = origin.map_or(0, |origin| origin.0.get());
            (header.maker, header.number) = home::maker_and_number();
            place(value, &raw mut (*packet).value);
        }
        Self(block)
    }

    /// What a declined type makes: nothing to read, delivered to nobody.
    pub(super) fn make_declined(kind: &Arc<Kind>) -> Self {
        kind.count_declined();
        Self::allocate(kind, (), Timestamp::default(), None, true)
    }

    #[cold]
    fn allocate<T>(
        kind: &Arc<Kind>,
        value: T,
        timestamp: Timestamp,
        origin: Option<Origin>,
        declined: bool,
    ) -> Self {
        let kind = Arc::into_raw(kind.clone()).cast_mut();
        let (maker, number) = home::maker_and_number();
        let header = Header {
            refs: AtomicU32::new(1),
            // SAFETY: `Arc::into_raw` is never null.
            kind: unsafe { NonNull::new_unchecked(kind) },
            timestamp,
            origin: origin.map_or(0, |origin| origin.0.get()),
            declined,
            maker,
            number,
            _trace: 0,
        };
        let packet = Box::new(Packet { header, value });
        // SAFETY: a box is never null; `repr(C)` puts the header first.
        Self(unsafe { NonNull::new_unchecked(Box::into_raw(packet).cast::<Header>()) })
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: this message is a counted reference to the allocation.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(crate) fn kind(&self) -> &Kind {
        self.header().kind()
    }

    /// The value, if it is of the type that `kind` stands for.
    ///
    /// # Safety
    ///
    /// Every message that `kind` makes carries a `T`.
    #[inline]
    pub(super) unsafe fn read<T>(&self, kind: &Kind) -> Option<&T> {
        let header = self.header();
        if !ptr::eq(header.kind.as_ptr(), kind) || header.declined {
            return None;
        }
        // SAFETY: made by `kind`, and not declined; the caller says what that carries.
        Some(unsafe { self.value() })
    }

    /// Where it is: for who asks for it ahead.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Asks for the end of the value of a message that may be at `address`, and carries a `T`. Of a short value that is
    /// all of it; the beginning of a longer one shares a line with the header.
    #[inline]
    pub(crate) fn ask_for_value<T>(address: usize) {
        hint::prefetch(ptr::without_provenance::<u8>(address.wrapping_add(size_of::<Packet<T>>() - 1)));
    }

    /// Asks also for its header, to look at it.
    #[inline]
    pub(crate) fn ask_for<T>(address: usize) {
        hint::prefetch(ptr::without_provenance::<Header>(address));
        Self::ask_for_value::<T>(address);
    }

    /// Asks also for its header, to count a reference.
    #[inline]
    pub(crate) fn ask_to_count<T>(address: usize) {
        hint::prefetch_write(ptr::without_provenance::<Header>(address));
        Self::ask_for_value::<T>(address);
    }

    /// The value, without a look at the header, which need not be on the value's line.
    ///
    /// # Safety
    ///
    /// The message is of a type that carries a `T`, and was not declined.
    #[inline]
    pub(super) unsafe fn value<T>(&self) -> &T {
        // SAFETY: it is a `Packet<T>`, says the caller.
        unsafe { &self.0.cast::<Packet<T>>().as_ref().value }
    }

    /// The value to be changed, if the message is the only reference.
    ///
    /// # Safety
    ///
    /// As [`read`](Self::read).
    pub(super) unsafe fn read_mut<T>(&mut self, kind: &Kind) -> Option<&mut T> {
        // ORDERING(message.refs): Acquire; pairs with the Release of those that gave theirs back. If ours is the only
        // reference, nobody can make another meanwhile.
        let alone = self.header().refs.load(Ordering::Acquire) == 1;
        // SAFETY: as the caller says.
        if !alone || unsafe { self.read::<T>(kind) }.is_none() {
            return None;
        }
        // SAFETY: just looked at; `&mut self` is the only reference to the block.
        Some(unsafe { &mut self.0.cast::<Packet<T>>().as_mut().value })
    }

    /// The name of its type.
    pub fn type_name(&self) -> &str {
        self.kind().name()
    }

    /// The number of its type, unique in its bus.
    pub fn type_id(&self) -> u32 {
        self.kind().id()
    }

    /// When it was made: by default the coarse wall clock (steps of 1 to 10 ms, a few nanoseconds to read).
    pub fn timestamp(&self) -> Timestamp {
        self.header().timestamp
    }

    /// The node whose state it speaks of; `None` for an aggregate of all nodes.
    pub fn origin(&self) -> Option<Origin> {
        NonZeroU32::new(self.header().origin).map(Origin)
    }

    /// Whether its type was declined by configuration: then it is empty and delivered to nobody.
    pub fn is_declined(&self) -> bool {
        self.header().declined
    }

    /// Whether both are the same message, not merely equal ones.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// How many references there are at this moment, for tests and diagnosis.
    pub fn reference_count(&self) -> usize {
        self.header().refs.load(Ordering::Relaxed) as usize
    }

    /// Its JSON form, if its type has that formatter.
    #[cfg(feature = "json")]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        self.kind().to_json(self, &JsonSanitizer::new())
    }

    /// What `sanitizer` leaves of its JSON form; `None` also if it hides the message as a whole.
    #[cfg(feature = "json")]
    pub fn to_json_with(&self, sanitizer: &JsonSanitizer) -> Option<serde_json::Value> {
        self.kind().to_json(self, sanitizer)
    }

    /// Its manager-protocol form, if its type has that formatter.
    pub fn to_ami(&self) -> Option<super::AmiEvent> {
        self.kind().to_ami(self)
    }

    // ---- counting by the dozen, for the fan-out --------------------------------------------------------------

    /// Adds `more` references, to be taken by [`share`](Self::share).
    #[inline]
    pub(crate) fn add_references(&self, more: usize) {
        // ORDERING(message.refs): Relaxed: a reference is made from one that exists, which keeps the value alive.
        let before = self.header().refs.fetch_add(more as u32, Ordering::Relaxed);
        if before > u32::MAX / 2 {
            // So many references can only be leaked ones; going on would free a value in use.
            std::process::abort();
        }
    }

    /// Hands out one of the references added before, as a word for [`from_word`](Self::from_word).
    #[inline]
    pub(crate) fn share(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.0.as_ptr().expose_provenance()).unwrap_or(NonZeroUsize::MIN)
    }

    /// Takes back `count` references that nobody took; one of them may be the caller's own.
    ///
    /// # Safety
    ///
    /// The references were added, and not handed out.
    #[inline]
    pub(crate) unsafe fn release(this: ManuallyDrop<Self>, count: usize) {
        if count > 0 {
            let (refs, count) = (&this.header().refs, count as u32);
            // Relaxed: if all references are ours, nobody can make another, and `free` reads the word again. Saves the last
            // taker the locked subtraction.
            let last = refs.load(Ordering::Relaxed) == count
                // ORDERING(message.refs): Release: what this thread read comes before the drop; pairs with `free`.
                || refs.fetch_sub(count, Ordering::Release) == count;
            if last {
                // SAFETY: that was the last reference.
                unsafe { this.free() };
            }
        }
    }

    /// Gives the reference up, on a worker later and together with others: see [`owed`].
    #[inline]
    pub(crate) fn give_back(self) {
        let this = ManuallyDrop::new(self);
        let header = this.header();
        // Relaxed: as in `release`, if this one and those noted are all there are.
        let left = header.refs.load(Ordering::Relaxed);
        if left > 1 {
            match owed::note(this.0, header.number.into(), left) {
                Ok(false) => return,
                // SAFETY: all references are this one and those that the worker had noted, and no longer has.
                Ok(true) => return unsafe { this.free() },
                Err(()) => {}
            }
        }
        // SAFETY: the one reference that `self` was.
        unsafe { Self::release(this, 1) };
    }

    /// Gives back `count` references to `block`.
    ///
    /// # Safety
    ///
    /// They are the caller's.
    pub(super) unsafe fn give_back_noted(block: NonNull<Header>, count: u32) {
        // SAFETY: as the caller says.
        unsafe { Self::release(ManuallyDrop::new(Self(block)), count as usize) };
    }

    /// The address as a word, giving up the reference it stands for.
    pub(crate) fn into_word(self) -> NonZeroUsize {
        ManuallyDrop::new(self).share()
    }

    /// The message back from its word.
    ///
    /// # Safety
    ///
    /// `word` came from `into_word` or `share`, and stands for a reference that nobody else has.
    #[inline]
    pub(crate) unsafe fn from_word(word: NonZeroUsize) -> Self {
        let header = ptr::with_exposed_provenance_mut::<Header>(word.get());
        // SAFETY: not zero.
        Self(unsafe { NonNull::new_unchecked(header) })
    }

    /// # Safety
    ///
    /// The last reference is gone.
    #[cold]
    unsafe fn free(&self) {
        // ORDERING(message.refs): Acquire; pairs with every Release above: all use of the value is over. A load, which
        // reads what the last subtraction left, and not a fence: ThreadSanitizer does not see those.
        self.header().refs.load(Ordering::Acquire);
        match self.header().declined {
            // SAFETY: made by `make_declined` with a `()`; the count of its type was leaked there.
            true => unsafe {
                drop(Arc::from_raw(self.header().kind.as_ptr()));
                drop(Box::from_raw(self.0.cast::<Packet<()>>().as_ptr()));
            },
            // SAFETY: nobody else has the block any more.
            false => unsafe {
                self.kind().count(Event::Gone);
                home::come_back(self.0);
            },
        }
    }
}

/// Moves a value to its place, word by word. A caller has just written it, field by field, and a wider load of two fields
/// waits until both have left the store buffer, behind all that was stored before them: a quarter of what a message costs
/// its maker.
///
/// # Safety
///
/// As [`ptr::write`].
#[inline(always)]
unsafe fn place<T>(value: T, to: *mut T) {
    type Word = MaybeUninit<*const ()>;
    let value = ManuallyDrop::new(value);
    let from = (&raw const value).cast::<Word>();
    let is_small = size_of::<T>() <= 8 * size_of::<Word>();
    match is_small
        && size_of::<T>().is_multiple_of(size_of::<Word>())
        && align_of::<T>() == align_of::<Word>()
    {
        // SAFETY: so many words make up the value, whatever is in them; `value` is not used again.
        true => (0..size_of::<T>() / size_of::<Word>()).for_each(|at| unsafe {
            to.cast::<Word>().add(at).write(from.add(at).read_volatile());
        }),
        // SAFETY: as the caller says; `value` is not used again.
        false => unsafe { to.write(ManuallyDrop::into_inner(value)) },
    }
}

/// How the messages of one type lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Layouts {
    block: Layout,
    drop_value: unsafe fn(NonNull<Header>),
}

impl Layouts {
    pub(super) fn of<T>() -> Self {
        Self { block: Layout::new::<Packet<T>>(), drop_value: drop_value::<T> }
    }

    pub(super) fn block_size(&self) -> usize {
        self.block.size()
    }
}

/// # Safety
///
/// `block` is a `Packet<T>` whose value is in place and not used any more.
unsafe fn drop_value<T>(block: NonNull<Header>) {
    // SAFETY: as the caller says.
    unsafe { ptr::drop_in_place(&raw mut (*block.cast::<Packet<T>>().as_ptr()).value) };
}

impl Kind {
    /// Drops the value of a message. A panic in it is caught and counted by the type.
    ///
    /// # Safety
    ///
    /// Nobody else has `block`, and its value is in place. Afterwards it is bare.
    pub(super) unsafe fn drop_value(block: NonNull<Header>) {
        // SAFETY: the block keeps its type alive; the function was chosen for the same `T` as its `make`.
        unsafe {
            let kind = block.as_ref().kind();
            kind.caught(Foreign::ValueDrop, || (kind.layouts().drop_value)(block));
        }
    }

    /// Gives a bare block back to the allocator, and its reference to its type.
    ///
    /// # Safety
    ///
    /// Nobody else has `block`, and its value is gone.
    pub(super) unsafe fn free_block(block: NonNull<Header>) {
        // SAFETY: the count leaked in `allocate`.
        let kind = unsafe { Arc::from_raw(block.as_ref().kind.as_ptr()) };
        // SAFETY: allocated as a box of this layout; header fields need no drop.
        unsafe { dealloc(block.as_ptr().cast::<u8>(), kind.layouts().block) };
    }
}

impl Clone for Message {
    fn clone(&self) -> Self {
        self.add_references(1);
        Self(self.0)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the one reference that this message is.
        unsafe { Self::release(ManuallyDrop::new(Self(self.0)), 1) };
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Message");
        out.field("type", &self.type_name()).field("timestamp", &self.timestamp());
        match self.origin() {
            Some(origin) => out.field("origin", &origin.0.get()),
            None => out.field("origin", &"aggregate"),
        };
        #[cfg(feature = "json")]
        if let Some(value) = self.to_json() {
            return out.field("value", &format_args!("{value}")).finish();
        }
        out.finish_non_exhaustive()
    }
}

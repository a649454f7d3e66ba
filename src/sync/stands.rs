//! Reading what is replaced now and then, by plain stores alone.
//!
//! A reader that counts itself in and out pays two locked instructions for each look. Here it has a *stand*: a word of its
//! own, in which it says what it reads. Who replaces that pays for both, by a barrier that goes through all threads
//! ([`barrier`]), and keeps the old value until nobody stands on it.
//!
//! | who | step | then |
//! | --- | --- | --- |
//! | reader | its stand = what is shown; light; looks at what is shown | the same: reads it. Another: leaves, and goes another way |
//! | reader leaves | its stand = none; light; looks at what is shown | another than it read: buries |
//! | writer, under its lock | shows another value, or none | |
//! | the same, behind its lock | puts the old value among the retired; heavy; seals it | buries |
//! | bury, under the lock of the retired | takes out what is sealed and nobody stands on | drops it, behind the lock |
//!
//! A reader whose second look came before the barrier is seen on its stand behind it; a later one finds another value.
//! Between retiring and sealing there may be a reader whose stand nobody sees yet: who buries passes by what is not sealed.
//! A reader that leaves sees that another value is shown and buries, or it left before the barrier, and who seals sees its
//! stand empty. So every retired value is dropped, by the last who has to do with it; and whoever reads what stands takes no
//! lock, whoever else is slow with what does not.
//!
//! A stand has room for one, and a thread has one stand: a read inside a read goes another way, and so does one of another
//! domain. Stands are never given back to the system; there are as many as threads ever had one at once.
//!
//! (M. Michael, hazard pointers; with such a barrier they are in folly.)

use super::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use super::{Arc, CachePadded, Mutex, barrier, local, mutated};
use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

/// What may be read, if anything.
pub(crate) struct Shown<T>(AtomicPtr<T>);

impl<T> Shown<T> {
    pub(crate) fn nothing() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Shows that value, or none. The caller has the writer's lock; it keeps the value for as long as it is shown, and
    /// [retires](Stands::retire) it then.
    pub(crate) fn show(&self, value: Option<&Arc<T>>) {
        let value = value.map_or(ptr::null(), Arc::as_ptr);
        // ORDERING(stands.shown): Release; pairs with the Acquire in `stand`: the value is seen as it was made.
        self.0.store(value.cast_mut(), Ordering::Release);
    }

    /// Whether it shows anything. Exact under the writer's lock.
    pub(crate) fn is_showing(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_null()
    }
}

/// Where one thread says what it reads.
#[derive(Default)]
struct Stand {
    /// An address; 0: it reads nothing.
    at: AtomicUsize,
    /// Some thread has it.
    taken: AtomicBool,
}

/// The readers of some values, and what of these is retired.
pub(crate) struct Stands<T> {
    /// Unique in the process, and not 0.
    number: u64,
    stands: Mutex<Vec<Arc<CachePadded<Stand>>>>,
    retired: Mutex<Vec<Retired<T>>>,
}

struct Retired<T> {
    value: Arc<T>,
    sealed: bool,
}

/// The calling thread's stand, given back when the thread ends or takes another.
struct Place(Arc<CachePadded<Stand>>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = MINE.try_with(|mine| mine.set((0, ptr::null())));
        // ORDERING(stands.taken): Release; pairs with the Acquire in `free_place`: who has it next writes after us.
        self.0.taken.store(false, Ordering::Release);
    }
}

local! {
    /// The domain of the calling thread's stand, and the stand; 0: it has none.
    static MINE: Cell<(u64, *const Stand)> = Cell::new((0, ptr::null()));
    /// Keeps it.
    static KEPT: RefCell<Option<Place>> = RefCell::new(None);
}

/// A value that the calling thread reads: it is there until this is dropped.
pub(crate) struct Standing<'s, T> {
    stands: &'s Stands<T>,
    shown: &'s Shown<T>,
    stand: &'s Stand,
    value: NonNull<T>,
}

impl<T> Stands<T> {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, stands: Mutex::new(Vec::new()), retired: Mutex::new(Vec::new()) }
    }

    /// What is shown. `None`: nothing is, or it was just replaced, or the calling thread has no stand here, or is on it.
    #[inline]
    pub(crate) fn stand<'s>(&'s self, shown: &'s Shown<T>) -> Option<Standing<'s, T>> {
        let (number, stand) = MINE.try_with(Cell::get).ok()?;
        if number != self.number {
            return None;
        }
        // SAFETY: `KEPT` keeps it until the thread ends or takes another, which it does not while it is on this one.
        let stand = unsafe { &*stand };
        let value = NonNull::new(shown.0.load(Ordering::Relaxed))?;
        if stand.at.load(Ordering::Relaxed) != 0 {
            return None;
        }
        // ORDERING(stands.at): Release: what was read on it before is over; pairs with the Acquire in `take_free`. What
        // comes after the store is a barrier's matter.
        stand.at.store(value.addr().get(), Ordering::Release);
        barrier::light();
        // ORDERING(stands.shown): Acquire; pairs with the Release in `show`.
        let again = shown.0.load(Ordering::Acquire);
        let is_shown = again == value.as_ptr();
        // What is there now is read, at the same address: it may be another value that was made where the first one was.
        let value = NonNull::new(again).filter(|_| is_shown).unwrap_or(value);
        let standing = Standing { stands: self, shown, stand, value };
        (is_shown || mutated!("stands.again")).then_some(standing)
    }

    /// Gives the calling thread a stand here, in place of one that it has elsewhere; not while it is on that one. Takes a
    /// lock of the bus's own.
    #[cold]
    pub(crate) fn take_place(&self) {
        let _ = KEPT.try_with(|kept| {
            let Ok(mut kept) = kept.try_borrow_mut() else { return };
            if MINE.with(Cell::get).0 == self.number
                || kept.as_ref().is_some_and(|place| place.0.at.load(Ordering::Relaxed) != 0)
            {
                return;
            }
            *kept = None;
            let place = kept.insert(self.free_place());
            let stand: &Stand = &place.0;
            MINE.with(|mine| mine.set((self.number, stand)));
        });
    }

    fn free_place(&self) -> Place {
        let mut stands = self.stands.lock();
        // ORDERING(stands.taken): Acquire; pairs with the Release of who gave it back.
        let free = stands.iter().find(|stand| !stand.taken.load(Ordering::Acquire)).cloned();
        let stand = free.unwrap_or_else(|| {
            stands.push(Arc::default());
            stands[stands.len() - 1].clone()
        });
        // Under the lock: nobody else takes it.
        stand.taken.store(true, Ordering::Relaxed);
        Place(stand)
    }

    /// Takes a value that was shown and is not any more. Drops it as soon as nobody stands on it; which is user code.
    #[cold]
    pub(crate) fn retire(&self, value: Arc<T>) {
        let address = Arc::as_ptr(&value);
        self.retired.lock().push(Retired { value, sealed: false });
        barrier::heavy();
        let is_ours = |one: &&mut Retired<T>| ptr::eq(Arc::as_ptr(&one.value), address);
        self.retired.lock().iter_mut().filter(is_ours).for_each(|one| one.sealed = true);
        self.bury();
    }

    /// How many there are.
    #[cfg(bus_loom)]
    pub(crate) fn len(&self) -> usize {
        self.stands.lock().len()
    }

    /// How many values are retired and still there.
    #[cfg(bus_loom)]
    pub(crate) fn retired(&self) -> usize {
        self.retired.lock().len()
    }

    #[cold]
    fn bury(&self) {
        let free = self.take_free(&mut self.retired.lock());
        drop(free);
    }

    fn take_free(&self, retired: &mut Vec<Retired<T>>) -> Vec<Arc<T>> {
        let stands = self.stands.lock();
        // ORDERING(stands.at): Acquire; pairs with the Releases of those that left: the drop comes after their reads.
        let is_on =
            |value: *const T| stands.iter().any(|stand| stand.at.load(Ordering::Acquire) == value.addr());
        let is_free = |one: &mut Retired<T>| one.sealed && !is_on(Arc::as_ptr(&one.value));
        retired.extract_if(.., is_free).map(|one| one.value).collect()
    }
}

impl<T> std::ops::Deref for Standing<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: it was shown when this thread was seen on its stand, so nobody drops it before that is left.
        unsafe { self.value.as_ref() }
    }
}

impl<T> Drop for Standing<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING(stands.at): Release; pairs with the Acquire in `take_free`.
        self.stand.at.store(0, Ordering::Release);
        barrier::light();
        // Relaxed: the barriers see to it that who has to sees another value.
        let is_replaced = self.shown.0.load(Ordering::Relaxed) != self.value.as_ptr();
        if is_replaced && !mutated!("stands.leave") {
            self.stands.bury();
        }
    }
}

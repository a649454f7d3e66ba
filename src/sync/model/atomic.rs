//! Loom's atomics, each operation of which knows where it stands in the source: what a model exercises is noted there,
//! and one operation can be made wrong ([`mutation`](super::mutation)).

use super::mutation::{self, Change, Word};
pub(crate) use loom::sync::atomic::Ordering;

macro_rules! atomics {
    ($($name:ident $(<$of:ident>)? of $value:ty { $($rest:ident = $merged:expr,)* })+) => {$(
        #[derive(Debug)]
        pub(crate) struct $name $(<$of>)? (loom::sync::atomic::$name $(<$of>)?);

        impl $(<$of>)? Default for $name $(<$of>)? {
            #[track_caller]
            fn default() -> Self {
                Self(Default::default())
            }
        }

        #[allow(dead_code, reason = "whatever the standard ones have may be used")]
        impl $(<$of>)? $name $(<$of>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                let change = mutation::here();
                change.read(self.0.load(change.order(order)))
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                match mutation::here() {
                    Change::Skip => {}
                    change => self.0.store(value, change.order(order)),
                }
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.modify(order, |_| value, |order| self.0.swap(value, order))
            }

            /// Left out, it is taken for done.
            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                seen: $value,
                next: $value,
                done: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                let change = mutation::here();
                match change {
                    Change::Skip => Ok(seen),
                    Change::Torn => match self.0.load(failed) {
                        now if now == seen => {
                            self.0.store(next, mutation::storing(done));
                            Ok(now)
                        }
                        now => Err(now),
                    },
                    _ => {
                        let (done, failed) = (change.order(done), change.order(failed));
                        self.0.compare_exchange(seen, next, done, failed).map_err(|now| change.read(now))
                    }
                }
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                done: Ordering,
                failed: Ordering,
                next: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let change = mutation::here();
                self.0.fetch_update(change.order(done), change.order(failed), next)
            }

            $(
                #[track_caller]
                pub(crate) fn $rest(&self, other: $value, order: Ordering) -> $value {
                    let merged: fn($value, $value) -> $value = $merged;
                    self.modify(order, |now| merged(now, other), |order| self.0.$rest(other, order))
                }
            )*

            #[track_caller]
            fn modify(
                &self,
                order: Ordering,
                merged: impl FnOnce($value) -> $value,
                whole: impl FnOnce(Ordering) -> $value,
            ) -> $value {
                match mutation::here() {
                    Change::Skip => self.0.load(mutation::loading(order)),
                    Change::Torn => {
                        let now = self.0.load(mutation::loading(order));
                        self.0.store(merged(now), mutation::storing(order));
                        now
                    }
                    change => change.read(whole(change.order(order))),
                }
            }
        }
    )+};
}

macro_rules! integers {
    ($($name:ident of $value:ty,)+) => {$(
        atomics! {
            $name of $value {
                fetch_add = <$value>::wrapping_add,
                fetch_sub = <$value>::wrapping_sub,
                fetch_and = |now, other| now & other,
                fetch_or = |now, other| now | other,
                fetch_max = |now, other| now.max(other),
                fetch_min = |now, other| now.min(other),
            }
        }

        impl Word for $value {
            fn masked(self, keep: u64, add: u64) -> Self {
                (self as u64 & keep | add) as $value
            }
        }
    )+};
}

integers! { AtomicU8 of u8, AtomicU32 of u32, AtomicU64 of u64, AtomicUsize of usize, }

atomics! {
    AtomicBool of bool {
        fetch_and = |now, other| now & other,
        fetch_or = |now, other| now | other,
    }
    AtomicPtr<T> of *mut T {}
}

impl Word for bool {
    fn masked(self, keep: u64, add: u64) -> Self {
        u64::from(self) & keep | add != 0
    }
}

impl<T> Word for *mut T {
    /// A pointer is as it is, or null.
    fn masked(self, keep: u64, _add: u64) -> Self {
        if keep == 0 { std::ptr::null_mut() } else { self }
    }
}

#[track_caller]
pub(crate) fn fence(order: Ordering) {
    match mutation::here() {
        Change::Skip | Change::Weaker { .. } => {}
        _ => loom::sync::atomic::fence(order),
    }
}

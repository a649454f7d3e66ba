//! Of which types a read shows entries.

use crate::message::MessageType;

/// Of which types a read shows entries: `&MessageType` for one, [`AnyType`] for all.
///
/// Nobody else implements it.
pub trait Select: sealed::Sealed {}

/// Every type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnyType;

impl Select for AnyType {}

impl<T> Select for &MessageType<T> {}

pub(super) mod sealed {
    use super::AnyType;
    use crate::message::MessageType;

    /// Which type, by bus and number; `None`: all of them.
    #[allow(unreachable_pub, reason = "named by a public trait")]
    pub trait Sealed {
        #[doc(hidden)]
        fn wanted(&self) -> Option<(u64, u32)>;
    }

    impl Sealed for AnyType {
        fn wanted(&self) -> Option<(u64, u32)> {
            None
        }
    }

    impl<T> Sealed for &MessageType<T> {
        fn wanted(&self) -> Option<(u64, u32)> {
            Some((self.kind().bus(), self.kind().id()))
        }
    }
}

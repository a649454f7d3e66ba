//! How a thread of the bus waits when it has nothing to do.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a spin may be, in microseconds.
pub(crate) const SPIN_MICROS_ALLOWED: RangeInclusive<u64> = 0..=1_000_000;

/// How a thread of the bus waits when it has nothing to do: asleep, awake, or first one, then the other.
///
/// Waking a thread that sleeps costs the publisher a call into the system (about 1 us) and the message 5 to 50 us, more
/// in a virtual machine. A thread that spins is never woken: it sees the message by itself, in well under a microsecond,
/// and takes a processor away from everybody else meanwhile. Spin only where there are processors to spare: where
/// publisher and consumer share one, the message waits until the system takes it from the thread that spins.
///
/// | | for workers ([`BusBuilder::wait`](crate::BusBuilder::wait)) | for [`Dispatch::Dedicated`](crate::Dispatch::Dedicated) ([`SubscriptionBuilder::wait`](crate::SubscriptionBuilder::wait)) |
/// | --- | --- | --- |
/// | `Park` | the default | the default |
/// | `SpinThenPark` | up to a second | up to a second |
/// | `BusySpin` | refused: one processor for each worker, for nothing | yes |
///
/// ```
/// use stasis_bus::{Bus, Dispatch, Wait};
/// use std::time::Duration;
/// let bus = Bus::builder().wait(Wait::SpinThenPark(Duration::from_micros(20))).build()?;
/// let ticks = bus.message_type::<u32>("tick")?;
/// let topic = bus.topic("ticks")?;
/// let audio = topic
///     .subscription("audio")
///     .accept(&ticks)
///     .dispatch(Dispatch::Dedicated)
///     .wait(Wait::BusySpin)
///     .start(|_| { /* soon after the publish, on a thread that never sleeps */ })?;
/// topic.publish(ticks.message(1));
/// audio.unsubscribe_and_join()?;
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Wait {
    /// Sleeps at once. A bus that idles costs nothing.
    #[default]
    Park,
    /// Looks for work so long, up to a second, then sleeps.
    SpinThenPark(Duration),
    /// Never sleeps. One processor is gone as long as the subscription lives.
    BusySpin,
}

impl Wait {
    /// How long to look before sleeping; `None`: for ever.
    pub(crate) fn spin(self) -> Option<Duration> {
        match self {
            Self::Park => Some(Duration::ZERO),
            Self::SpinThenPark(time) => Some(time),
            Self::BusySpin => None,
        }
    }

    /// Whether a spin, if it has an end, is in range.
    pub(crate) fn is_in_range(self) -> bool {
        self.spin().is_none_or(|time| SPIN_MICROS_ALLOWED.contains(&micros(time)))
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park => f.write_str("Park"),
            Self::SpinThenPark(time) => write!(f, "SpinThenPark of {} us", micros(*time)),
            Self::BusySpin => f.write_str("BusySpin"),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

//! The state of a device, and of one that several switches know.

/// A device as one switch sees it, or all of them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) state: DeviceState,
}

/// In rising order of what counts if several switches speak of one device: a switch that knows nothing of it, or cannot
/// reach it, says less than one that can; idle is less than busy in whatever way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DeviceState {
    Invalid,
    Unknown,
    Unavailable,
    NotInUse,
    OnHold,
    Ringing,
    InUse,
    Busy,
    /// In use, and another call rings.
    RingInUse,
}

impl DeviceState {
    const ALL: [Self; 9] = [
        Self::Invalid,
        Self::Unknown,
        Self::Unavailable,
        Self::NotInUse,
        Self::OnHold,
        Self::Ringing,
        Self::InUse,
        Self::Busy,
        Self::RingInUse,
    ];

    /// As a manager event has it. A word that is none of these says nothing of the device.
    pub(crate) fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.name() == word).unwrap_or(Self::Unknown)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Unknown => "UNKNOWN",
            Self::Unavailable => "UNAVAILABLE",
            Self::NotInUse => "NOT_INUSE",
            Self::OnHold => "ONHOLD",
            Self::Ringing => "RINGING",
            Self::InUse => "INUSE",
            Self::Busy => "BUSY",
            Self::RingInUse => "RINGINUSE",
        }
    }

    /// The one that is most in use wins. None: nobody speaks of it.
    pub(crate) fn of_all(states: impl Iterator<Item = Self>) -> Option<Self> {
        states.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_most_in_use_wins_in_any_order() {
        for (place, state) in DeviceState::ALL.into_iter().enumerate() {
            assert_eq!(DeviceState::parse(state.name()), state);
            for less in &DeviceState::ALL[..=place] {
                assert_eq!(DeviceState::of_all([state, *less].into_iter()), Some(state));
                assert_eq!(DeviceState::of_all([*less, state, *less].into_iter()), Some(state));
            }
        }
        assert_eq!(DeviceState::of_all([].into_iter()), None);
        assert_eq!(DeviceState::parse("inuse"), DeviceState::Unknown);
    }
}

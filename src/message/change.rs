//! The control message: a subscription began, or ended.

use super::AmiEvent;
use super::kind::Draft;
use std::fmt;

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Somebody unsubscribed it, or its handle was dropped.
    Unsubscribed,
    /// A message that found no room ended it, as [`Overflow::Disconnect`](crate::Overflow::Disconnect) asks for, or a
    /// panic of its handler, as [`OnPanic::Disconnect`](crate::OnPanic::Disconnect) does.
    Disconnected,
    /// The bus was shut down.
    ShutDown,
}

impl EndReason {
    /// As a state word stores it; 0 stands for "not ended".
    pub(crate) const fn code(self) -> u8 {
        self as u8 + 1
    }

    /// Back from a state word.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Unsubscribed),
            2 => Some(Self::Disconnected),
            3 => Some(Self::ShutDown),
            _ => None,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Disconnected => "disconnected",
            Self::ShutDown => "shut down",
        })
    }
}

/// What happened to the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// It began.
    Subscribe,
    /// It ended.
    Unsubscribe(EndReason),
}

/// The value of the control type `subscription_change`: tells the other subscribers of a topic, and as its first and
/// final message the subscription itself, that it began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionChange {
    /// The topic that was subscribed to.
    pub topic: String,
    /// The subscription's name.
    pub subscription: String,
    /// The subscription's number, unique in the process.
    pub id: u64,
    /// What happened.
    pub change: Change,
}

impl SubscriptionChange {
    /// The name of the control type. It cannot be declined.
    pub const TYPE_NAME: &str = "subscription_change";

    fn description(&self) -> &'static str {
        match self.change {
            Change::Subscribe => "Subscribe",
            Change::Unsubscribe(_) => "Unsubscribe",
        }
    }

    /// The type as every bus declares it.
    pub(crate) fn draft() -> Draft<Self> {
        let mut draft = Draft::new(Self::TYPE_NAME.to_owned());
        draft.set_ami(|change: &Self, _| {
            let event = AmiEvent::new("SubscriptionChange")
                .header("Topic", &change.topic)
                .header("Subscription", &change.subscription)
                .header("Id", change.id.to_string())
                .header("Description", change.description());
            Some(match change.change {
                Change::Subscribe => event,
                Change::Unsubscribe(reason) => event.header("Reason", reason.to_string()),
            })
        });
        #[cfg(feature = "json")]
        draft.set_json(|change: &Self, _, _| {
            let mut json = serde_json::json!({
                "topic": change.topic,
                "subscription": change.subscription,
                "id": change.id,
                "description": change.description(),
            });
            if let Change::Unsubscribe(reason) = change.change {
                json["reason"] = reason.to_string().into();
            }
            Some(json)
        });
        draft
    }
}

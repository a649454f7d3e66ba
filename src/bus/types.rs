//! The message types and origins of one bus.

use super::Bus;
use crate::dispatch::fence::{self, Fence, PanicPlace};
use crate::error::{TypeError, check_name};
#[cfg(feature = "json")]
use crate::message::JsonSanitizer;
use crate::message::home;
use crate::message::kind::{Draft, Environment, Foreign, Kind, TellPanic};
use crate::message::{AmiEvent, CONTROL_TYPES, Message, MessageType, Origin, TypeInfo};
use crate::stats::{MessageTypeStats, Rows};
use crate::sync::time::Clock;
use crate::sync::{Arc, HashMap, Mutex};
use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

/// Types and origins by name and number. Held for as long as the bus; both are few.
pub(super) struct Types {
    bus: u64,
    clock: Arc<Clock>,
    fence: Arc<Fence>,
    declined: BTreeSet<String>,
    local: Option<Origin>,
    kinds: Mutex<HashMap<Box<str>, Arc<Kind>>>,
    origins: Mutex<Vec<Box<str>>>,
}

impl Types {
    /// With the node of this process as the first origin.
    pub(super) fn new(
        bus: u64,
        clock: Arc<Clock>,
        fence: Arc<Fence>,
        declined: BTreeSet<String>,
        node: &str,
    ) -> Self {
        let mut types = Self {
            bus,
            clock,
            fence,
            declined,
            local: None,
            kinds: Mutex::new(HashMap::default()),
            origins: Mutex::new(Vec::new()),
        };
        types.local = Some(types.origin(node));
        types
    }

    pub(super) fn declare<T: Send + Sync + 'static>(
        &self,
        draft: Draft<T>,
    ) -> Result<MessageType<T>, TypeError> {
        check_name(&draft.name)?;
        let mut kinds = self.kinds.lock();
        if let Some(known) = kinds.get(draft.name.as_str()) {
            let other = || TypeError::OtherType(draft.name.clone());
            return MessageType::cast(known.clone()).ok_or_else(other);
        }
        let environment = Environment {
            bus: self.bus,
            id: kinds.len() as u32,
            declined: self.declined.contains(&draft.name),
            local: self.local,
            clock: self.clock.clone(),
            tell: self.tell(),
        };
        let made = draft.finish(environment);
        kinds.insert(made.name().into(), made.kind().clone());
        Ok(made)
    }

    /// Panics in formatters and in the drops of values go where those of handlers go.
    fn tell(&self) -> TellPanic {
        // Weak: blocks of messages that a thread keeps for later hold their type, and must not hold the user's hook.
        let fence = Arc::downgrade(&self.fence);
        Arc::new(move |name, which, payload| {
            let Some(fence) = fence.upgrade() else { return fence::drop_payload(payload) };
            let place = match which {
                Foreign::Formatter => PanicPlace::Formatter,
                Foreign::ValueDrop => PanicPlace::ValueDrop,
            };
            fence.tell(name, place, payload);
        })
    }

    /// The bus has ended: no memory of messages is kept for it any more.
    pub(super) fn close(&self) {
        let kinds: Vec<_> = self.kinds.lock().values().cloned().collect();
        kinds.iter().for_each(|kind| kind.close_home());
        home::forget_blocks();
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Kind>> {
        self.kinds.lock().get(name).cloned()
    }

    pub(super) fn list(&self) -> Vec<TypeInfo> {
        let mut all: Vec<_> = self.kinds.lock().values().map(|kind| TypeInfo::of(kind)).collect();
        all.sort_unstable_by_key(|info| info.id);
        all
    }

    pub(super) fn stats(&self) -> Rows<MessageTypeStats> {
        let mut kinds: Vec<_> = self.kinds.lock().values().cloned().collect();
        kinds.sort_unstable_by_key(|kind| kind.id());
        // The bus's own types come up once there was a message of them.
        let shown = |row: &MessageTypeStats| row.made > 0 || !CONTROL_TYPES.contains(&row.name.as_str());
        Rows::of(kinds.iter().map(|kind| stats_of(kind)).filter(shown))
    }

    pub(super) fn origin(&self, node: &str) -> Origin {
        let mut origins = self.origins.lock();
        let known = origins.iter().position(|name| **name == *node);
        numbered(known.unwrap_or_else(|| {
            origins.push(node.into());
            origins.len() - 1
        }))
    }

    /// The origin of that name, if there is one already.
    #[cfg(feature = "json")]
    pub(super) fn known_origin(&self, node: &str) -> Option<Origin> {
        self.origins.lock().iter().position(|name| **name == *node).map(numbered)
    }

    pub(super) fn origin_name(&self, origin: Origin) -> Option<String> {
        self.origins.lock().get(origin.0.get() as usize - 1).map(|name| name.to_string())
    }
}

fn stats_of(kind: &Kind) -> MessageTypeStats {
    let counted = kind.counted();
    let alive = counted.made.saturating_sub(counted.gone);
    MessageTypeStats {
        name: kind.name().to_owned(),
        id: kind.id(),
        made: counted.made,
        alive,
        bytes: alive.saturating_mul(kind.block_size() as u64),
        unused: counted.unused,
        is_declined: kind.is_declined(),
        declined: counted.declined,
        panics: kind.panics(),
    }
}

fn numbered(at: usize) -> Origin {
    Origin(NonZeroU32::MIN.saturating_add(at as u32))
}

/// A message type in the making. See [`Bus::define`].
#[must_use = "call declare() to make the type"]
pub struct TypeBuilder<'a, T> {
    bus: &'a Bus,
    draft: Draft<T>,
}

impl<'a, T: Send + Sync + 'static> TypeBuilder<'a, T> {
    pub(super) fn new(bus: &'a Bus, draft: Draft<T>) -> Self {
        Self { bus, draft }
    }

    /// Its messages are stamped with the exact wall clock (about 30 ns to read) instead of the coarse one.
    pub fn exact_time(mut self) -> Self {
        self.draft.exact_time = true;
        self
    }

    /// Its manager-protocol form. `None`: this message has none.
    pub fn ami(mut self, format: impl Fn(&T, &Message) -> Option<AmiEvent> + Send + Sync + 'static) -> Self {
        self.draft.set_ami(format);
        self
    }

    /// Its JSON form. `None`: this message has none.
    #[cfg(feature = "json")]
    pub fn json(
        mut self,
        format: impl Fn(&T, &Message) -> Option<serde_json::Value> + Send + Sync + 'static,
    ) -> Self {
        self.draft.set_json(move |value, message, _| format(value, message));
        self
    }

    /// Its JSON form, with regard to who reads it: `format` asks the sanitizer about each object inside the value
    /// ([`JsonSanitizer::hides`], [`JsonSanitizer::hides_id`]) and leaves out what is hidden. About the value itself the
    /// bus has asked before. For a reader without a sanitizer nothing is hidden.
    #[cfg(feature = "json")]
    pub fn json_for(
        mut self,
        format: impl Fn(&T, &Message, &JsonSanitizer) -> Option<serde_json::Value> + Send + Sync + 'static,
    ) -> Self {
        self.draft.set_json(format);
        self
    }

    /// Its JSON form, as serde writes the value.
    #[cfg(feature = "json")]
    pub fn serialize(self) -> Self
    where
        T: serde::Serialize,
    {
        self.json(|value, _| serde_json::to_value(value).ok())
    }

    /// Its messages can go to another node and be read there, as serde writes and reads the value. See
    /// [`Bus::event_of`] and [`Bus::message_from_event`].
    #[cfg(feature = "json")]
    pub fn event(mut self) -> Self
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        self.draft.set_event();
        self
    }

    /// Makes the type, or finds it.
    ///
    /// # Errors
    ///
    /// If the name is refused, or stands for another Rust type.
    pub fn declare(self) -> Result<MessageType<T>, TypeError> {
        self.bus.0.types.declare(self.draft)
    }
}

impl<T> fmt::Debug for TypeBuilder<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeBuilder").field("name", &self.draft.name).finish_non_exhaustive()
    }
}

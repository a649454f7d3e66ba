//! Message types: named, typed handles, with the forms their messages can take.

use super::forms::{Formatters, Forms};
use super::home::Home;
use super::packet::Layouts;
use super::tally::{Counted, Event, Made};
use super::{AmiEvent, Message, Origin, Timestamp};
#[cfg(feature = "json")]
use super::{
    JsonSanitizer,
    event::{EventForm, Head},
};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::time::Clock;
use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What all messages of one type share.
pub(crate) struct Kind {
    /// The bus it belongs to.
    bus: u64,
    id: u32,
    name: Arc<str>,
    value: TypeId,
    layouts: Layouts,
    home: Home,
    declined: bool,
    exact_time: bool,
    local: Option<Origin>,
    clock: Arc<Clock>,
    forms: Forms,
    panics: AtomicU64,
    made: Made,
    tell: TellPanic,
}

/// Foreign code that a message type runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    Formatter,
    ValueDrop,
}

/// Hears of a panic in a type's foreign code: the type's name, which code, and what the panic carried.
pub(crate) type TellPanic = Arc<dyn Fn(&str, Foreign, Box<dyn Any + Send>) + Send + Sync>;

impl Kind {
    pub(crate) fn bus(&self) -> u64 {
        self.bus
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn is_declined(&self) -> bool {
        self.declined
    }

    /// The node whose state its messages speak of unless they say otherwise.
    pub(crate) fn local(&self) -> Option<Origin> {
        self.local
    }

    pub(super) fn forms(&self) -> &Forms {
        &self.forms
    }

    /// The forms its messages can take.
    pub(crate) fn formatters(&self) -> Formatters {
        self.forms.set()
    }

    /// The time of a message that is made now.
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(match self.exact_time {
            true => self.clock.exact_wall_ns(),
            false => self.clock.coarse_wall_ns(),
        })
    }

    /// Counts a message of this type.
    #[inline]
    pub(crate) fn count(&self, what: Event) {
        self.made.count(self.id, what);
    }

    /// A message that was not made, or is empty: its type is declined.
    pub(crate) fn count_declined(&self) {
        self.made.count_declined();
    }

    /// How many were made, and are gone.
    pub(crate) fn counted(&self) -> Counted {
        self.made.read()
    }

    /// Bytes of one message, its value included but not what that points to.
    pub(crate) fn block_size(&self) -> usize {
        self.layouts.block_size()
    }

    /// Panics caught in formatters and in the drops of values.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// The value of one of its messages, if it is a `T`.
    #[inline]
    pub(super) fn read_as<'a, T: 'static>(&self, message: &'a Message) -> Option<&'a T> {
        // SAFETY: `Draft<T>::finish` is what makes kinds, so the value's type is that of every message.
        (self.value == TypeId::of::<T>()).then(|| unsafe { message.read(self) }).flatten()
    }

    /// Another reference to it, for who has it through a block that is about to go.
    pub(super) fn hold(&self) -> Arc<Self> {
        // SAFETY: `Draft::finish` makes every kind, inside an `Arc`; the borrow shows that it lives.
        unsafe {
            Arc::increment_strong_count(self);
            Arc::from_raw(self)
        }
    }

    pub(super) fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// The bus ends: messages that come back later free themselves.
    pub(crate) fn close_home(&self) {
        self.home.close();
    }

    /// Runs foreign code; a panic is counted.
    pub(super) fn caught<R>(&self, which: Foreign, code: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(code)).map_err(|payload| self.note_panic(which, payload)).ok()
    }

    #[cold]
    fn note_panic(&self, which: Foreign, payload: Box<dyn Any + Send>) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        (self.tell)(&self.name, which, payload);
    }
}

/// How a type is to be: what [`Draft::finish`] makes a [`Kind`] of. The bus supplies the environment.
pub(crate) struct Draft<T> {
    pub(crate) name: String,
    pub(crate) exact_time: bool,
    forms: Forms,
    /// The formatters read through this, once the type exists.
    value: PhantomData<fn(T) -> T>,
}

/// What the bus adds to a draft.
pub(crate) struct Environment {
    pub(crate) bus: u64,
    pub(crate) id: u32,
    pub(crate) declined: bool,
    pub(crate) local: Option<Origin>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) tell: TellPanic,
}

impl<T: Send + Sync + 'static> Draft<T> {
    pub(crate) fn new(name: String) -> Self {
        Self { name, exact_time: false, forms: Forms::default(), value: PhantomData }
    }

    /// A message whose value `sanitizer` hides has no such form; about what is inside the formatter asks.
    #[cfg(feature = "json")]
    pub(crate) fn set_json(
        &mut self,
        format: impl Fn(&T, &Message, &JsonSanitizer) -> Option<serde_json::Value> + Send + Sync + 'static,
    ) {
        self.forms.json = Some(Box::new(move |message, sanitizer| {
            let value = Self::value(message)?;
            if sanitizer.hides(value) { None } else { format(value, message, sanitizer) }
        }));
    }

    pub(crate) fn set_ami(
        &mut self,
        format: impl Fn(&T, &Message) -> Option<AmiEvent> + Send + Sync + 'static,
    ) {
        self.forms.ami = Some(Box::new(move |message| format(Self::value(message)?, message)));
    }

    #[cfg(feature = "json")]
    pub(crate) fn set_event(&mut self)
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        self.forms.event = Some(EventForm::new(Self::value, |kind: &Arc<Kind>, head: &Head, value: T| {
            let (timestamp, origin) = (Some(head.time), head.origin);
            MessageBuilder { kind, value, timestamp, origin }.finish()
        }));
    }

    fn value(message: &Message) -> Option<&T> {
        // SAFETY: a kind calls its formatters with its own messages only, and it makes them of `T`.
        unsafe { message.read(message.kind()) }
    }

    pub(crate) fn finish(self, environment: Environment) -> MessageType<T> {
        let Environment { bus, id, declined, local, clock, tell } = environment;
        let layouts = Layouts::of::<T>();
        MessageType::of(Arc::new(Kind {
            bus,
            id,
            name: self.name.into(),
            value: TypeId::of::<T>(),
            layouts,
            home: Home::new(layouts.block_size()),
            declined,
            exact_time: self.exact_time,
            local,
            clock,
            forms: self.forms,
            panics: AtomicU64::new(0),
            made: Made::default(),
            tell,
        }))
    }
}

/// A named type of messages with values of `T`: makes them, and reads them.
///
/// Cheap to clone. Types are values, got from a bus by [`Bus::message_type`](crate::Bus::message_type) or, with
/// formatters, [`Bus::define`](crate::Bus::define); the same name and `T` give the same type. A type that the
/// configuration declines makes empty messages, which publishing counts and delivers to nobody.
///
/// ```
/// use stasis_bus::Bus;
/// let bus = Bus::builder().manual().build()?;
/// let answered = bus.message_type::<String>("answered")?;
/// let message = answered.message("alice".to_owned());
/// assert_eq!(answered.read(&message).map(String::as_str), Some("alice"));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
///
/// A handle stands for exactly its `T`: since it takes values in and gives them out, it does not become a handle of a
/// more general or more special type.
///
/// ```compile_fail
/// # use stasis_bus::MessageType;
/// fn special(general: MessageType<for<'a> fn(&'a str)>) -> MessageType<fn(&'static str)> {
///     general
/// }
/// ```
pub struct MessageType<T> {
    kind: Arc<Kind>,
    value: PhantomData<fn(T) -> T>,
}

impl<T> MessageType<T> {
    fn of(kind: Arc<Kind>) -> Self {
        Self { kind, value: PhantomData }
    }

    pub(crate) fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.kind.name()
    }

    /// Its number, unique in its bus.
    pub fn id(&self) -> u32 {
        self.kind.id
    }

    /// Whether the configuration declines it.
    pub fn is_declined(&self) -> bool {
        self.kind.declined
    }

    /// The forms its messages can take.
    pub fn formatters(&self) -> Formatters {
        self.kind.formatters()
    }
}

impl<T: Send + Sync + 'static> MessageType<T> {
    /// The typed handle of `kind`, if its values are `T`.
    pub(crate) fn cast(kind: Arc<Kind>) -> Option<Self> {
        (kind.value == TypeId::of::<T>()).then(|| Self::of(kind))
    }

    /// Makes a message with `value`, the time now and this node as origin.
    ///
    /// At most one allocation: blocks are used again, and values of dead messages of this type that came back with
    /// their blocks may be dropped here. If the type is declined, `value` is dropped and the message is empty.
    #[inline]
    pub fn message(&self, value: T) -> Message {
        // Not by way of the builder: the value would be copied once more.
        let kind = &self.kind;
        match kind.declined {
            true => Message::make_declined(kind),
            false => Message::make(kind, value, kind.now(), kind.local),
        }
    }

    /// Makes a message with `value`, the source's own time and this node as origin. Otherwise as
    /// [`message`](Self::message).
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let level = bus.message_type::<u8>("level")?;
    /// use stasis_bus::Timestamp;
    /// let measured = Timestamp::from_nanos(1_700_000_000_000_000_000);
    /// assert_eq!(level.message_at(3, measured).timestamp(), measured);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn message_at(&self, value: T, time: Timestamp) -> Message {
        self.build(value).at(time).finish()
    }

    /// Makes a message with a time or an origin of its own.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let state = bus.message_type::<u8>("state")?;
    /// let remote = bus.origin("node-2")?;
    /// let message = state.build(3).origin(remote).finish();
    /// assert_eq!(message.origin(), Some(remote));
    /// assert_eq!(state.build(3).aggregate().finish().origin(), None);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn build(&self, value: T) -> MessageBuilder<'_, T> {
        MessageBuilder { kind: &self.kind, value, timestamp: None, origin: self.kind.local }
    }

    /// The value of `message`, if it is of this type.
    #[inline]
    pub fn read<'a>(&self, message: &'a Message) -> Option<&'a T> {
        // SAFETY: `MessageType<T>` is made for kinds of `T` only (`finish`, `cast`).
        unsafe { message.read(&self.kind) }
    }

    /// The value of `message`, which the caller knows to be of this type.
    ///
    /// # Safety
    ///
    /// It is, and it was not declined.
    #[inline]
    pub(crate) unsafe fn read_own<'a>(&self, message: &'a Message) -> &'a T {
        // SAFETY: `MessageType<T>` is made for kinds of `T` only; the caller says the rest.
        unsafe { message.value() }
    }

    /// The same to be changed, while nobody else has the message.
    pub(crate) fn read_mut<'a>(&self, message: &'a mut Message) -> Option<&'a mut T> {
        // SAFETY: as in `read`.
        unsafe { message.read_mut(&self.kind) }
    }
}

/// A message in the making. See [`MessageType::build`].
#[must_use = "call finish() to make the message"]
pub struct MessageBuilder<'a, T> {
    kind: &'a Arc<Kind>,
    value: T,
    timestamp: Option<Timestamp>,
    origin: Option<Origin>,
}

impl<T: Send + Sync + 'static> MessageBuilder<'_, T> {
    /// The source's own time instead of now.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.timestamp = Some(time);
        self
    }

    /// The state of that node.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// The state of all nodes together: no origin.
    pub fn aggregate(mut self) -> Self {
        self.origin = None;
        self
    }

    /// Makes the message.
    pub fn finish(self) -> Message {
        if self.kind.declined {
            return Message::make_declined(self.kind);
        }
        let timestamp = self.timestamp.unwrap_or_else(|| self.kind.now());
        Message::make(self.kind, self.value, timestamp, self.origin)
    }
}

impl<T> fmt::Debug for MessageBuilder<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBuilder").field("type", &self.kind.name()).finish_non_exhaustive()
    }
}

impl<T> Clone for MessageType<T> {
    fn clone(&self) -> Self {
        Self::of(self.kind.clone())
    }
}

impl<T> PartialEq for MessageType<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kind, &other.kind)
    }
}

impl<T> Eq for MessageType<T> {}

impl<T> fmt::Debug for MessageType<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageType")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("declined", &self.is_declined())
            .field("formatters", &self.formatters())
            .finish()
    }
}

/// What is known of a type without knowing its `T`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeInfo {
    /// Its name.
    pub name: String,
    /// Its number, unique in its bus.
    pub id: u32,
    /// Whether the configuration declines it.
    pub declined: bool,
    /// The forms its messages can take.
    pub formatters: Formatters,
    /// Panics caught in its formatters (sanitizers and reading included) and in the drops of its values.
    pub panics: u64,
}

impl TypeInfo {
    pub(crate) fn of(kind: &Kind) -> Self {
        Self {
            name: kind.name().to_owned(),
            id: kind.id(),
            declined: kind.is_declined(),
            formatters: kind.formatters(),
            panics: kind.panics(),
        }
    }
}

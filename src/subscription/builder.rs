//! Everything about a subscription, said before it is visible.

use super::{Delivery, Stream, Subscription};
use crate::dispatch::fence::caught;
use crate::dispatch::job::{Budget, Ready, Soon, hold_itself};
use crate::dispatch::{frames, latch::Latch};
use crate::error::{SubscribeError, check_name};
use crate::mailbox::{
    Arrival, Consumer, Dispatch, Filter, Handler, Inline, InlineHandler, Mailbox, OnPanic, Overflow, Profile,
    Reader,
};
use crate::message::{Change, EndReason, Formatters, MessageType, home};
use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sync::time::Deadline;
use crate::sync::{Arc, Parker, Unparker, WakerCell, Weak, thread};
use crate::topic::Topic;
use crate::topic::member::{Member, Sink};
use crate::topic::subscribers::Route;
use crate::topic::walk::Walk;
use std::fmt;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::time::Duration;

/// What a capacity may be.
const CAPACITY_ALLOWED: RangeInclusive<usize> = 1..=1 << 24;
/// Unless told otherwise.
const CAPACITY_DEFAULT: usize = 1024;
/// A thread of its own that meets a half-written slot looks again after so long.
const BUSY_PAUSE: Duration = Duration::from_micros(50);

/// A subscription in the making: filter, dispatch, capacity and policy, then a handler.
///
/// Nothing is visible before the finishing call ([`start`](Self::start), [`inline`](Self::inline) or
/// [`stream`](Self::stream)); then all of it is, at once. The subscription's first message is its own
/// [`SubscriptionChange`](crate::SubscriptionChange) of kind `Subscribe` (if its filter wants that type); the others on
/// the topic, and on those it forwards to, are told as well.
///
/// | option | default |
/// | --- | --- |
/// | [`accept`](Self::accept), [`accept_formatters`](Self::accept_formatters) | everything |
/// | [`dispatch`](Self::dispatch) | [`Dispatch::Pool`] |
/// | [`capacity`](Self::capacity) | 1,024 messages, exact |
/// | [`overflow`](Self::overflow) | [`Overflow::Grow`], up to 1,048,576 messages more |
/// | [`on_panic`](Self::on_panic) | [`OnPanic::Continue`] |
///
/// ```
/// use stasis_bus::{Bus, Dispatch, Overflow};
/// let bus = Bus::builder().build()?;
/// let rang = bus.message_type::<String>("rang")?;
/// let calls = bus.topic("calls")?;
/// let rang_too = rang.clone();
/// let log = calls
///     .subscription("log")
///     .accept(&rang)
///     .dispatch(Dispatch::Dedicated)
///     .capacity(4096)
///     .overflow(Overflow::DropOldest)
///     .start(move |delivery| {
///         if let Some(who) = delivery.read(&rang_too) {
///             println!("{who} rang; {} missed before", delivery.missed());
///         }
///     })?;
/// calls.publish(rang.message("alice".to_owned()));
/// log.unsubscribe_and_join()?;
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "nothing is subscribed before start(), inline() or stream()"]
pub struct SubscriptionBuilder<'a> {
    topic: &'a Topic,
    name: String,
    filter: Filter,
    foreign: Option<String>,
    dispatch: Option<Dispatch>,
    capacity: usize,
    overflow: Overflow,
    on_panic: OnPanic,
    own: Arc<Own>,
}

impl Topic {
    /// Begins a subscription of that name. Names need not be unique; they are what figures and reports speak of.
    pub fn subscription(&self, name: impl Into<String>) -> SubscriptionBuilder<'_> {
        SubscriptionBuilder {
            topic: self,
            name: name.into(),
            filter: Filter::default(),
            foreign: None,
            dispatch: None,
            capacity: CAPACITY_DEFAULT,
            overflow: Overflow::default(),
            on_panic: OnPanic::default(),
            own: Arc::default(),
        }
    }

    /// Subscribes to everything, with the workers of the bus and default limits. Shorthand for
    /// `subscription(name).start(handler)`.
    ///
    /// # Errors
    ///
    /// As [`SubscriptionBuilder::start`].
    pub fn subscribe(
        &self,
        name: impl Into<String>,
        handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.subscription(name).start(handler)
    }
}

impl SubscriptionBuilder<'_> {
    /// Takes messages of this type. Call it again for more; together with
    /// [`accept_formatters`](Self::accept_formatters) either is enough.
    pub fn accept<T>(mut self, kind: &MessageType<T>) -> Self {
        if kind.kind().bus() != self.topic.core().exchange.id {
            self.foreign = Some(kind.name().to_owned());
        }
        self.filter.add_type(kind.id());
        self
    }

    /// Takes messages whose type has one of these formatters. An empty set takes nothing by itself.
    pub fn accept_formatters(mut self, formatters: Formatters) -> Self {
        self.filter.add_formatters(formatters);
        self
    }

    /// On which thread the handler runs.
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.dispatch = Some(dispatch);
        self
    }

    /// How many messages may wait before the overflow policy decides: 1 to 16,777,216. Exact; the ring itself is
    /// rounded up to a power of two, 8 bytes each, and made by the first message.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }

    /// What happens to a message that finds the mailbox full.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// What becomes of the subscription if its handler panics.
    pub fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.on_panic = on_panic;
        self
    }

    /// Subscribes with a handler that is called by one thread at a time (Serial, Pool, Dedicated).
    ///
    /// The handler may do anything on the bus, including ending its own subscription. A panic in it is caught, counted
    /// and reported to the bus's hook; the subscription goes on, unless [`on_panic`](Self::on_panic) says otherwise. It is dropped after its final call, by the thread
    /// that made that call.
    ///
    /// # Errors
    ///
    /// If the name, the capacity or a filter's type is refused, the dispatch is Inline or Stream, the system refuses a
    /// dedicated thread, or the bus is shut down.
    pub fn start(
        self,
        mut handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        let dispatch = self.dispatch.unwrap_or_default();
        if matches!(dispatch, Dispatch::Inline | Dispatch::Stream) {
            return Err(SubscribeError::Dispatch { set: dispatch.name(), call: "start" });
        }
        let profile = self.check()?;
        let topic = self.topic.clone();
        let watch = self.panic_watch();
        let call = move |arrival: &Arrival<'_>| watch.call(|| handler(&Delivery::new(arrival, &topic)));
        self.start_mailbox(profile, dispatch, Box::new(call))
    }

    fn start_mailbox(
        self,
        profile: Profile,
        dispatch: Dispatch,
        handler: Handler,
    ) -> Result<Subscription, SubscribeError> {
        let exchange = self.topic.core().exchange.clone();
        let own_thread = dispatch == Dispatch::Dedicated && !exchange.pool.is_manual();
        let consumer = match dispatch {
            Dispatch::Serial => Consumer::Serial,
            Dispatch::Dedicated if own_thread => Consumer::Dedicated(OnceLock::new()),
            _ => Consumer::Pool(exchange.pool.clone()),
        };
        let ending = Member::ending(self.topic.core(), &profile);
        let (name, id, filter) = (profile.name.clone(), profile.id, self.filter.clone());
        let mailbox = Arc::new(self.mailbox(profile, consumer));
        // SAFETY: nobody else has it yet.
        unsafe { mailbox.arm(handler, ending) };
        hold_itself(&mailbox);
        if own_thread {
            let started = start_thread(mailbox.clone(), name.to_string());
            let (handle, unparker) = started.map_err(|error| {
                release_itself(&mailbox);
                SubscribeError::Thread(error.to_string())
            })?;
            if let Consumer::Dedicated(cell) = mailbox.consumer() {
                let _ = cell.set(unparker);
            }
            exchange.keep_thread(id, handle);
        }
        let member = Member::new(self.topic.core().clone(), dispatch, filter, Sink::Mailbox(mailbox));
        Ok(Subscription::new(self.join_topic(member)))
    }

    /// Subscribes with a handler that publishers call themselves, inside `publish`. Calls may overlap.
    ///
    /// The cheapest dispatch, and the one that every publisher pays for: keep the handler short. Capacity and overflow
    /// do not apply. Its final message comes from the unsubscribing thread, or from the last publish that was under
    /// way; until then such a publish may still call it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("calls")?);
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    /// let calls = Arc::new(AtomicU32::new(0));
    /// let counter = calls.clone();
    /// let _count = topic.subscription("count").accept(&state).inline(move |_| {
    ///     counter.fetch_add(1, Ordering::Relaxed);
    /// })?;
    /// topic.publish(state.message(1));
    /// assert_eq!(calls.load(Ordering::Relaxed), 1);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn inline(
        self,
        handler: impl Fn(&Delivery<'_>) + Send + Sync + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.expect(Dispatch::Inline, "inline")?;
        let profile = self.check()?;
        let topic = self.topic.clone();
        let watch = self.panic_watch();
        let call: InlineHandler =
            Box::new(move |arrival| watch.call(|| handler(&Delivery::new(arrival, &topic))));
        let ending = Member::ending(self.topic.core(), &profile);
        let inline = Arc::new(Inline::new(profile, self.filter.clone(), call, ending));
        let member = Member::new(
            self.topic.core().clone(),
            Dispatch::Inline,
            self.filter.clone(),
            Sink::Inline(inline),
        );
        Ok(Subscription::new(self.join_topic(member)))
    }

    /// Subscribes without a handler: messages wait until they are read, by a task or a thread.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn stream(self) -> Result<Stream, SubscribeError> {
        self.expect(Dispatch::Stream, "stream")?;
        let profile = self.check()?;
        let ending = Member::ending(self.topic.core(), &profile);
        let mailbox = Arc::new(self.mailbox(profile, Consumer::Stream(WakerCell::new())));
        let reader = Arc::new(Reader::new(mailbox, ending));
        let member = Member::new(
            self.topic.core().clone(),
            Dispatch::Stream,
            self.filter.clone(),
            Sink::Stream(reader.clone()),
        );
        Ok(Stream::new(self.join_topic(member), reader))
    }

    fn panic_watch(&self) -> PanicWatch {
        PanicWatch((self.on_panic == OnPanic::Disconnect).then(|| self.own.clone()))
    }

    fn mailbox(&self, profile: Profile, consumer: Consumer) -> Mailbox {
        let clock = self.topic.core().exchange.clock.clone();
        Mailbox::new(profile, self.overflow, self.capacity, consumer, clock)
    }

    fn expect(&self, makes: Dispatch, call: &'static str) -> Result<(), SubscribeError> {
        match self.dispatch {
            Some(set) if set != makes => Err(SubscribeError::Dispatch { set: set.name(), call }),
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<Profile, SubscribeError> {
        check_name(&self.name)?;
        if let Some(name) = &self.foreign {
            return Err(SubscribeError::ForeignType(name.clone()));
        }
        if !CAPACITY_ALLOWED.contains(&self.capacity) {
            return Err(SubscribeError::Capacity { value: self.capacity, allowed: CAPACITY_ALLOWED });
        }
        let exchange = &self.topic.core().exchange;
        if !exchange.admits() {
            return Err(SubscribeError::Closed);
        }
        let id = crate::ids::next();
        Ok(Profile { id, name: self.name.as_str().into(), bus: exchange.id, fence: exchange.fence.clone() })
    }

    /// Makes the finished subscription visible. Its own `Subscribe` is in before anybody else can reach it.
    fn join_topic(&self, member: Member) -> Arc<Member> {
        let member = Arc::new(member);
        let core = self.topic.core();
        let change = member.change(Change::Subscribe);
        let wanted = self.filter.accepts(change.kind());
        if !matches!(member.sink, Sink::Inline(_)) {
            core.exchange.remember(member.clone());
        }
        match &member.sink {
            Sink::Inline(inline) => {
                if wanted {
                    // SAFETY: nobody else has it yet, so nobody ends it.
                    let call = || unsafe { inline.call(&change) };
                    let place = crate::dispatch::fence::PanicPlace::Handler;
                    let profile = inline.profile();
                    frames::enter(profile.bus, profile.id, || {
                        if profile.fence.run(&profile.name, place, call).is_none() {
                            inline.count_panic();
                        }
                    });
                }
                core.add_inline(inline.clone());
                // Only now: a shutdown ends whom it finds there, and no gate counted the call above.
                core.exchange.remember(member.clone());
            }
            Sink::Mailbox(mailbox) => self.add(mailbox, &change, wanted),
            Sink::Stream(reader) => self.add(reader.mailbox(), &change, wanted),
        }
        member.joined();
        self.own.is_visible(&member, self.on_panic);
        Walk::from(core).control(member.id()).publish(change);
        if !core.exchange.is_open() {
            self.came_too_late(&member);
        }
        member
    }

    /// Puts the first message in and shows the mailbox; whoever runs it does so after that.
    fn add(&self, mailbox: &Arc<Mailbox>, change: &crate::Message, wanted: bool) {
        let turn = wanted && mailbox.begin(change.clone());
        self.topic.core().add_route(Route { filter: self.filter.clone(), mailbox: mailbox.clone() });
        if turn && mailbox.pass_turn() {
            self.topic.core().exchange.pool.flush();
        }
    }

    /// The bus ended meanwhile, and may not have seen this one.
    fn came_too_late(&self, member: &Member) {
        let exchange = &self.topic.core().exchange;
        if exchange.is_over() && member.end(EndReason::ShutDown) {
            // The workers may have left: then nobody else brings it to its end.
            exchange.pool.run_until_idle();
        }
    }
}

impl fmt::Debug for SubscriptionBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionBuilder")
            .field("topic", &self.topic.name())
            .field("name", &self.name)
            .field("dispatch", &self.dispatch.unwrap_or_default())
            .field("capacity", &self.capacity)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}

/// The member to be, for a handler whose panic ends it. It can be ended only once it is visible.
#[derive(Default)]
struct Own {
    member: OnceLock<Weak<Member>>,
    panicked: AtomicBool,
}

impl Own {
    fn is_visible(&self, member: &Arc<Member>, on_panic: OnPanic) {
        let _ = self.member.set(Arc::downgrade(member));
        // ORDERING(own): SeqCst fence; pairs with the one in `panicked`: one of the two sees the other.
        fence(Ordering::SeqCst);
        if on_panic == OnPanic::Disconnect && self.panicked.load(Ordering::Relaxed) {
            member.end(EndReason::Disconnected);
        }
    }

    fn panicked(&self) {
        self.panicked.store(true, Ordering::Relaxed);
        // ORDERING(own): SeqCst fence; pairs with the one in `is_visible`.
        fence(Ordering::SeqCst);
        if let Some(member) = self.member.get().and_then(Weak::upgrade) {
            member.end(EndReason::Disconnected);
        }
    }
}

/// Ends the subscription if its handler panics and that was asked for.
struct PanicWatch(Option<Arc<Own>>);

impl PanicWatch {
    #[inline]
    fn call(&self, handler: impl FnOnce()) {
        match &self.0 {
            None => handler(),
            Some(own) => Self::call_watched(own, handler),
        }
    }

    /// The panic goes on to the fence around all calls, which counts and tells it.
    fn call_watched(own: &Own, handler: impl FnOnce()) {
        if let Err(payload) = caught(handler) {
            own.panicked();
            resume_unwind(payload);
        }
    }
}

/// A mailbox that never became visible gives its reference to itself back.
fn release_itself(mailbox: &Arc<Mailbox>) {
    // SAFETY: the count leaked by `hold_itself`, and nobody else will drop it: no thread runs the mailbox.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(mailbox)) };
}

/// A thread that does nothing but run this mailbox.
fn start_thread(mailbox: Arc<Mailbox>, name: String) -> std::io::Result<(thread::JoinHandle<()>, Unparker)> {
    let ready: Arc<Latch<()>> = Arc::new(Latch::new());
    let seat: Arc<OnceLock<Unparker>> = Arc::default();
    let (told, cell) = (ready.clone(), seat.clone());
    let handle = thread::spawn(name, move || {
        let parker = Parker::current();
        let _ = cell.set(parker.unparker());
        told.set(());
        run_alone(&mailbox, &parker);
    })?;
    ready.wait(Deadline::after(None));
    let unparker = seat.get().cloned();
    unparker.map(|unparker| (handle, unparker)).ok_or_else(|| std::io::Error::other("thread did not start"))
}

fn run_alone(mailbox: &Arc<Mailbox>, parker: &Parker) {
    home::send_messages_home();
    loop {
        // SAFETY: this thread is the mailbox's only runner; IDLE only says that it waits.
        let mut ready = Some(unsafe { Ready::new(&**mailbox) });
        while let Some(job) = ready.take() {
            if let Some((again, soon)) = job.run(Budget::OWN) {
                if soon == Soon::Busy {
                    parker.park(Some(BUSY_PAUSE));
                }
                ready = Some(again);
            }
        }
        frames::enter(mailbox.profile().bus, 0, home::drop_dead);
        if mailbox.done().is_set() {
            return;
        }
        // Those drops may have eaten a wake-up that came meanwhile; it has cleared IDLE.
        if mailbox.is_idle() {
            parker.park(None);
        }
    }
}

//! The calls that finish a builder: whatever was said becomes a member of the topic, visible at once and as a whole.

use super::builder::SubscriptionBuilder;
use super::own::{Own, PanicWatch};
use super::{Delivery, Stream, Subscription};
use crate::dispatch::fence::PanicPlace;
use crate::dispatch::frames;
use crate::dispatch::job::hold_itself;
use crate::error::{SubscribeError, check_name};
use crate::mailbox::policy::CAPACITY_ALLOWED;
use crate::mailbox::{
    Arrival, Consumer, Dispatch, EachHandler, Ending, Handler, Inline, InlineHandler, Limits, Mailbox,
    OnPanic, Profile, Reader, Told, dedicated,
};
use crate::message::{Change, EndReason, Message};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::topic::member::{Member, Sink};
use crate::topic::subscribers::Route;
use crate::topic::walk::Walk;

impl SubscriptionBuilder<'_> {
    /// Subscribes with a handler that is called by one thread at a time (Serial, Pool, Dedicated).
    ///
    /// The handler may do anything on the bus, including ending its own subscription. A panic in it is caught, counted
    /// and reported to the bus's hook; the subscription goes on, unless [`on_panic`](Self::on_panic) says otherwise. It
    /// is dropped after its final call, by the thread that made that call.
    ///
    /// # Errors
    ///
    /// If the name, the capacity or a filter's type is refused, the dispatch is Inline or Stream, the system refuses a
    /// dedicated thread, the calling thread is in 64 handlers already, or the bus is shut down.
    pub fn start(
        self,
        mut handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        let topic = self.topic.clone();
        self.start_each("start", move |arrival| handler(&Delivery::new(arrival, &topic)))
    }

    /// Subscribes with a handler of single messages.
    pub(super) fn start_each(
        self,
        call: &'static str,
        mut handler: impl FnMut(&Arrival<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        let watch = self.panic_watch();
        let each: EachHandler = Box::new(move |arrival| watch.call(|| handler(arrival)));
        self.start_mailbox(call, Handler::Each(each))
    }

    /// Subscribes with a mailbox and a handler.
    pub(super) fn start_mailbox(
        mut self,
        call: &'static str,
        handler: Handler,
    ) -> Result<Subscription, SubscribeError> {
        let dispatch = self.dispatch_taken();
        if matches!(dispatch, Dispatch::Inline | Dispatch::Stream) {
            return Err(SubscribeError::Dispatch { set: dispatch.name(), call });
        }
        let profile = self.check(call)?;
        let exchange = self.topic.core().exchange.clone();
        let own_thread = dispatch == Dispatch::Dedicated && !exchange.pool.is_manual();
        let consumer = match dispatch {
            Dispatch::Serial => Consumer::Serial,
            Dispatch::Dedicated if own_thread => Consumer::dedicated(),
            _ => Consumer::Pool(exchange.pool.clone()),
        };
        let ending = self.ending();
        let (id, wait) = (profile.id, self.thread.wait.unwrap_or_default());
        let thread_name = self.thread.name.clone().unwrap_or_else(|| profile.name.to_string());
        let mailbox = Arc::new(self.mailbox(profile, consumer));
        // SAFETY: nobody else has it yet.
        unsafe { mailbox.arm(handler, ending) };
        hold_itself(&mailbox);
        if own_thread {
            let started = dedicated::start(exchange.pool.threads(), &mailbox, thread_name, wait);
            let handle = started.map_err(|error| {
                dedicated::release_itself(&mailbox);
                SubscribeError::Thread(error.to_string())
            })?;
            exchange.keep_thread(id, handle);
        }
        Ok(Subscription::new(self.join_topic(dispatch, Sink::Mailbox(mailbox))))
    }

    /// Subscribes with a handler that publishers call themselves, inside `publish`. Calls may overlap.
    ///
    /// The cheapest dispatch, and the one that every publisher pays for: keep the handler short. Capacity and overflow
    /// do not apply. (With a [snapshot](crate::Cache::snapshot_subscription) it is taken as Serial, and they do.) Its final message comes from the unsubscribing thread, or from the last publish that was under
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
        let topic = self.topic.clone();
        self.inline_each("inline", move |arrival| handler(&Delivery::new(arrival, &topic)))
    }

    /// Subscribes with a handler that publishers call.
    pub(super) fn inline_each(
        mut self,
        call: &'static str,
        handler: impl Fn(&Arrival<'_>) + Send + Sync + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.expect(Dispatch::Inline, call)?;
        self.dispatch = Some(Dispatch::Inline);
        if self.source.is_some() {
            return self.start_each(call, handler);
        }
        let profile = self.check(call)?;
        let call: InlineHandler = match self.own_if_panics() {
            None => Box::new(handler),
            Some(own) => Box::new(move |arrival| PanicWatch::call_watched(&own, || handler(arrival))),
        };
        let ending = self.ending();
        let inline = Arc::new(Inline::new(profile, call, ending));
        Ok(Subscription::new(self.join_topic(Dispatch::Inline, Sink::Inline(inline))))
    }

    /// Subscribes without a handler: messages wait until they are read, by a task or a thread.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and if there is an [`on_end`](Self::on_end): the reader gets the final message itself.
    pub fn stream(mut self) -> Result<Stream, SubscribeError> {
        self.expect(Dispatch::Stream, "stream")?;
        if self.on_end.is_some() {
            let allowed = "a stream's reader gets the final message itself";
            return Err(SubscribeError::Unsuitable { option: "on_end", call: "stream", allowed });
        }
        let profile = self.check("stream")?;
        let ending = self.ending();
        let mailbox = Arc::new(self.mailbox(profile, Consumer::stream()));
        let reader = Arc::new(Reader::new(mailbox, ending));
        Ok(Stream::new(self.join_topic(Dispatch::Stream, Sink::Stream(reader.clone())), reader))
    }

    pub(super) fn panic_watch(&self) -> PanicWatch {
        PanicWatch(self.own_if_panics())
    }

    /// What is to end if the handler panics.
    fn own_if_panics(&self) -> Option<Arc<Own>> {
        (self.on_panic == OnPanic::Disconnect).then(|| self.own.clone())
    }

    fn ending(&mut self) -> Ending {
        Ending { host: self.topic.core().clone(), on_end: self.on_end.take() }
    }

    fn mailbox(&mut self, profile: Profile, consumer: Consumer) -> Mailbox {
        let clock = self.topic.core().exchange.clock.clone();
        let limits = Limits {
            capacity: self.capacity,
            overflow: self.overflow.clone(),
            marks: self.marks(),
            on_water_mark: self.on_water_mark.take(),
        };
        let mailbox = Mailbox::new(profile, limits, consumer, clock);
        match &self.source {
            Some(source) => {
                let updates = self.topic.core().exchange.cached.updates.clone();
                mailbox.with_prelude(updates, source.number())
            }
            None => mailbox,
        }
    }

    fn expect(&self, makes: Dispatch, call: &'static str) -> Result<(), SubscribeError> {
        match self.dispatch {
            Some(set) if set != makes => Err(SubscribeError::Dispatch { set: set.name(), call }),
            _ => Ok(()),
        }
    }

    fn check(&self, call: &'static str) -> Result<Profile, SubscribeError> {
        check_name(&self.name)?;
        if let Some(name) = self.filter.foreign_to(self.topic.core().exchange.id) {
            return Err(SubscribeError::ForeignType(name.to_owned()));
        }
        if !CAPACITY_ALLOWED.contains(&self.capacity) {
            return Err(SubscribeError::Capacity { value: self.capacity, allowed: CAPACITY_ALLOWED });
        }
        self.thread.check(self.dispatch.unwrap_or_default())?;
        self.check_marks()?;
        if self.batch_max.is_some() && call != "start_batch" {
            let allowed = "only start_batch() makes batches";
            return Err(SubscribeError::Unsuitable { option: "batch_max", call, allowed });
        }
        let exchange = &self.topic.core().exchange;
        if self.begins_here() && frames::depth() >= frames::NESTING_MAX {
            exchange.nested_too_deep.fetch_add(1, Ordering::Relaxed);
            return Err(SubscribeError::NestedTooDeep);
        }
        if !exchange.admits() {
            return Err(SubscribeError::Closed);
        }
        Ok(Profile {
            id: self.id,
            name: exchange.labels.subscriptions.name(&self.name),
            bus: exchange.id,
            fence: exchange.fence.clone(),
        })
    }

    /// Whether its first message is handled on this thread, before the finishing call returns.
    fn begins_here(&self) -> bool {
        matches!(self.dispatch, Some(Dispatch::Inline | Dispatch::Serial))
    }

    /// Makes the finished subscription visible. Its own `Subscribe` is in before anybody else can reach it.
    fn join_topic(&self, dispatch: Dispatch, sink: Sink) -> Arc<Member> {
        let core = self.topic.core();
        let member = Arc::new(Member::new(core.clone(), dispatch, self.is_typed, sink));
        let change = member.change(Change::Subscribe);
        let wanted = self.filter.accepts(change.kind());
        if !matches!(member.sink, Sink::Inline(_)) {
            core.exchange.remember(member.clone());
        }
        match &member.sink {
            _ if self.source.is_some() => self.show_and_catch_up(&member, wanted.then(|| change.clone())),
            Sink::Inline(inline) => {
                if wanted {
                    self.call_first(inline, &change);
                }
                core.add_inline(self.filter.clone(), inline.clone());
                // Only now: a shutdown ends whom it finds there, and no gate counted the call above.
                core.exchange.remember(member.clone());
            }
            Sink::Mailbox(mailbox) => self.add(mailbox, &change, wanted),
            Sink::Stream(reader) => self.add(reader.mailbox(), &change, wanted),
        }
        member.joined(&self.filter);
        self.own.is_visible(&member, self.on_panic);
        Walk::from(core).control(member.id()).publish(change);
        if !core.exchange.is_open() {
            self.came_too_late(&member);
        }
        member
    }

    /// Calls an inline handler that nobody else has yet.
    fn call_first(&self, inline: &Inline, message: &Message) {
        // SAFETY: nobody else has it yet, so nobody ends it.
        let Some(entrance) = (unsafe { inline.entrance() }) else { return };
        // SAFETY: as above.
        let call = || unsafe { entrance.call(&Arrival { message, told: Told::default() }) };
        let profile = inline.profile();
        frames::enter(profile.bus, profile.id, || {
            if profile.fence.run(&profile.name, PanicPlace::Handler, call).is_none() {
                inline.count_panic();
            }
        });
        if !self.filter.is_all() {
            inline.count_call();
        }
    }

    /// Puts the first message in and shows the mailbox; whoever runs it does so after that.
    fn add(&self, mailbox: &Arc<Mailbox>, change: &crate::Message, wanted: bool) {
        let turn = wanted && mailbox.begin(change.clone());
        self.topic.core().add_route(Route::new(self.filter.clone(), mailbox.clone()));
        if turn {
            mailbox.woken(mailbox.coarse_now());
        }
        if turn && mailbox.pass_turn() {
            self.topic.core().exchange.pool.flush();
        }
        mailbox.tell_crossings();
    }

    /// The bus ended meanwhile, and may not have seen this one; or it has, and did not wait for one that catches up.
    fn came_too_late(&self, member: &Member) {
        let exchange = &self.topic.core().exchange;
        if exchange.is_over() {
            let _ = member.end(EndReason::ShutDown);
            // The workers may have left: then nobody else brings it to its end.
            exchange.pool.run_until_idle();
        }
    }
}

//! What scenarios share: values that are counted, a bus that is ended and looked at, and listeners that note what they see.

use crate::sync::shuttle::world;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{self, Parker, Unparker};
use crate::{
    Bus, BusBuilder, Delivery, Dispatch, EndReason, Message, MessageType, PanicReport, Received, Report,
    Subscription, SubscriptionBuilder, Topic,
};
// The standard ones: no place where another thread goes on.
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

/// What handlers that are to panic say.
pub(super) const ON_PURPOSE: &str = "on purpose";
/// Longer than any run.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// Counts what is alive.
#[derive(Clone, Default)]
pub(super) struct Census(Arc<AtomicI64>);

pub(super) struct Alive(Census);

impl Census {
    pub(super) fn born(&self) -> Alive {
        self.0.fetch_add(1, SeqCst);
        Alive(self.clone())
    }

    pub(super) fn alive(&self) -> i64 {
        self.0.load(SeqCst)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// Who published it, and its number.
pub(super) type Name = (usize, usize);

pub(super) struct Item {
    pub(super) name: Name,
    _alive: Alive,
}

/// What a listener does with what it is called with.
type Note<'a> = &'a dyn Fn(Option<&Message>, u64, Option<EndReason>);

/// A bus, one type, and what is left of its values.
pub(super) struct Stage {
    pub(super) bus: Bus,
    pub(super) kind: MessageType<Item>,
    pub(super) census: Census,
    /// What panics on the bus said; the scenario's own go there too.
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    /// With so many workers at least and at most.
    pub(super) fn new(least: usize, most: usize) -> Self {
        Self::built(Bus::builder().workers(least..=most))
    }

    pub(super) fn built(builder: BusBuilder) -> Self {
        let complaints: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = complaints.clone();
        let note = move |report: &PanicReport<'_>| {
            if report.message != ON_PURPOSE {
                noted.lock().unwrap().push(report.to_string());
            }
        };
        let bus = builder.on_panic(note).build().unwrap();
        let kind = bus.message_type("item").unwrap();
        Self { bus, kind, census: Census::default(), complaints }
    }

    pub(super) fn topic(&self, name: &str) -> Topic {
        self.bus.topic(name).unwrap()
    }

    pub(super) fn maker(&self) -> Maker {
        Maker { kind: self.kind.clone(), census: self.census.clone() }
    }

    /// Publishes so many to `topic`, on a thread of its own.
    pub(super) fn publisher(&self, by: usize, count: usize, topic: &Topic) -> Publisher {
        let (maker, topic) = (self.maker(), topic.clone());
        Publisher::new(move |told| {
            for number in 0..count {
                let report = topic.publish(maker.item(by, number));
                told.lock().unwrap().push(Told::by(&report));
            }
        })
    }

    pub(super) fn listen(&self, topic: &Topic, mode: Dispatch) -> Listener {
        self.listen_as(topic.subscription(mode.name()).accept(&self.kind), mode, |_| {})
    }

    /// Notes everything; `then` may publish, and whatever else.
    pub(super) fn listen_as(
        &self,
        builder: SubscriptionBuilder<'_>,
        mode: Dispatch,
        then: impl Fn(Name) + Send + Sync + 'static,
    ) -> Listener {
        let seen = Seen::new(mode);
        let (noted, kind) = (seen.clone(), self.kind.clone());
        let note = move |message: Option<&Message>, missed, end| {
            let name = message.and_then(|message| kind.read(message)).map(|item| item.name);
            noted.note(name, missed, end, &then);
        };
        let called = move |delivery: &Delivery<'_>, note: Note<'_>| {
            note(Some(delivery.message()), delivery.missed(), delivery.end());
        };
        match mode {
            Dispatch::Inline => {
                let subscription = builder.inline(move |delivery| called(delivery, &note)).unwrap();
                Listener { subscription: Arc::new(subscription), seen, reader: None }
            }
            Dispatch::Stream => {
                let mut stream = builder.stream().unwrap();
                let subscription = stream.handle();
                let read = move || {
                    while let Some(received) = stream.recv() {
                        let received: Received = received;
                        note(Some(received.message()), received.missed(), received.end());
                    }
                };
                Listener { subscription: Arc::new(subscription), seen, reader: Some(spawn(read)) }
            }
            _ => {
                let builder = builder.dispatch(mode);
                let subscription = builder.start(move |delivery| called(delivery, &note)).unwrap();
                Listener { subscription: Arc::new(subscription), seen, reader: None }
            }
        }
    }

    /// Ends the bus: everything queued was handled, nobody panicked, and nothing is left.
    pub(super) fn finish(self, listeners: Vec<Listener>) -> Vec<Seen> {
        let report = self.bus.shutdown(LONG).unwrap();
        assert!(report.is_clean(), "{report}");
        self.leave(Vec::new(), listeners).1
    }

    /// Drops the bus, which ends it unless somebody has; then as above, but for what its threads have yet to give back.
    /// Returns what each publisher was told of each of its messages, too.
    pub(super) fn leave(
        self,
        publishers: Vec<Publisher>,
        listeners: Vec<Listener>,
    ) -> (Vec<Vec<Told>>, Vec<Seen>) {
        let has_ended = self.topic("probe").publish(self.maker().item(0, 0)).is_closed();
        let Self { bus, kind, census, complaints } = self;
        drop((bus, kind));
        let told = publishers.into_iter().map(Publisher::join_each).collect();
        let seen = listeners.into_iter().map(Listener::end).collect();
        while !has_ended && census.alive() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(*complaints.lock().unwrap(), Vec::<String>::new());
        assert_eq!(census.alive(), 0, "values are left");
        (told, seen)
    }
}

/// What a publisher was told, of one message or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) accepted: u32,
    pub(super) dropped: u32,
    pub(super) closed: u32,
    /// Publishes that were refused as a whole.
    pub(super) refused: u32,
    /// Those that were let in, and met nobody.
    pub(super) alone: u32,
}

impl Told {
    pub(super) fn by(report: &Report) -> Self {
        let Report { accepted, dropped, closed, refusal, .. } = *report;
        let refused = u32::from(refusal.is_some());
        let alone = u32::from(accepted + dropped + closed + refused == 0);
        Self { accepted, dropped, closed, refused, alone }
    }

    /// Of several messages.
    pub(super) fn sum(each: impl IntoIterator<Item = Self>) -> Self {
        each.into_iter().fold(Self::default(), |sum, told| Self {
            accepted: sum.accepted + told.accepted,
            dropped: sum.dropped + told.dropped,
            closed: sum.closed + told.closed,
            refused: sum.refused + told.refused,
            alone: sum.alone + told.alone,
        })
    }

    /// What several publishers were told.
    pub(super) fn of_all(publishers: impl IntoIterator<Item = Publisher>) -> Self {
        Self::sum(publishers.into_iter().map(Publisher::join))
    }
}

/// Each message came to as many as its publisher was told, none was dropped, and from the first one that is refused on
/// all are. By publisher, and number.
pub(super) fn check_told(seen: &[Seen], told: &[Vec<Told>]) {
    for (by, each) in told.iter().enumerate() {
        for (number, told) in each.iter().enumerate() {
            let came = seen.iter().filter(|seen| seen.names().contains(&(by, number))).count();
            assert_eq!((told.accepted, told.dropped), (came as u32, 0), "{number} of {by}: {told:?}");
            assert!(told.refused == 0 || told.accepted + told.closed == 0, "refused, and not: {told:?}");
        }
        assert!(each.is_sorted_by_key(|told| told.refused), "let in after a refusal: {each:?}");
    }
}

/// A thread that publishes, and says what it was told of each message.
pub(super) struct Publisher {
    thread: JoinHandle<()>,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Publisher {
    /// `publish` notes what it is told.
    pub(super) fn new(publish: impl FnOnce(&Mutex<Vec<Told>>) + Send + 'static) -> Self {
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let noted = told.clone();
        Self { thread: spawn(move || publish(&noted)), told }
    }

    pub(super) fn join(self) -> Told {
        Told::sum(self.join_each())
    }

    pub(super) fn join_each(self) -> Vec<Told> {
        self.thread.join();
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

/// Runs a future to its end on the calling thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Bell(Unparker);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let parker = Parker::current();
    let waker = Arc::new(Bell(parker.unparker())).into();
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        parker.park(None);
        // As an executor would.
        thread::yield_now();
    }
}

/// Closed until opened; who passes is asleep until then, and the bus does not know why.
#[derive(Clone)]
pub(super) struct Gate(Arc<(sync::Mutex<bool>, sync::Condvar)>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new((sync::Mutex::new(false), sync::Condvar::new())))
    }

    pub(super) fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    pub(super) fn pass(&self) {
        let mut open = self.0.0.lock();
        while !*open {
            open = self.0.1.wait(open, None);
        }
    }
}

pub(super) fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn("a thread of the scenario".to_owned(), body).unwrap()
}

/// Makes items anywhere.
#[derive(Clone)]
pub(super) struct Maker {
    pub(super) kind: MessageType<Item>,
    census: Census,
}

impl Maker {
    pub(super) fn item(&self, by: usize, number: usize) -> Message {
        self.kind.message(Item { name: (by, number), _alive: self.census.born() })
    }
}

/// A subscription and what it has seen.
pub(super) struct Listener {
    pub(super) subscription: Arc<Subscription>,
    pub(super) seen: Seen,
    reader: Option<JoinHandle<()>>,
}

impl Listener {
    /// Ended by somebody already, or now.
    pub(super) fn end(self) -> Seen {
        self.subscription.unsubscribe();
        if let Some(reader) = self.reader {
            reader.join();
        }
        self.subscription.join().unwrap();
        self.seen.check_end();
        self.seen
    }
}

/// What one subscription saw, in its order.
#[derive(Clone)]
pub(super) struct Seen(Arc<Noted>);

struct Noted {
    mode: Dispatch,
    inside: AtomicBool,
    log: Mutex<Log>,
}

#[derive(Clone, Default)]
struct Log {
    names: Vec<Name>,
    /// Of other types, as who has no filter hears them.
    others: u64,
    missed: u64,
    ends: Vec<EndReason>,
}

impl Seen {
    fn new(mode: Dispatch) -> Self {
        Self(Arc::new(Noted { mode, inside: AtomicBool::new(false), log: Mutex::default() }))
    }

    /// One call. Those of a mailbox do not overlap; inline ones may, but for the final one.
    fn note(&self, name: Option<Name>, missed: u64, end: Option<EndReason>, then: &dyn Fn(Name)) {
        let alone = self.0.mode != Dispatch::Inline || end.is_some();
        let inside = alone && self.0.inside.swap(true, SeqCst);
        assert!(!inside, "two calls at once");
        {
            let mut log = self.0.log.lock().unwrap();
            assert_eq!(log.ends, [], "a call after the final one");
            log.others += u64::from(name.is_none() && end.is_none());
            log.names.extend(name);
            log.missed += missed;
            log.ends.extend(end);
        }
        world::step();
        name.into_iter().for_each(then);
        if alone {
            self.0.inside.store(false, SeqCst);
        }
    }

    fn log(&self) -> Log {
        self.0.log.lock().unwrap().clone()
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.log().names
    }

    pub(super) fn missed(&self) -> u64 {
        self.log().missed
    }

    /// Messages of any type that came or were missed.
    pub(super) fn offered(&self) -> u64 {
        let Log { names, others, missed, .. } = self.log();
        names.len() as u64 + others + missed
    }

    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.log().ends.first().copied()
    }

    fn check_end(&self) {
        assert_eq!(self.log().ends.len(), 1, "one final call");
    }

    /// What one publisher published, in the order in which it came.
    pub(super) fn numbers_of(&self, by: usize) -> Vec<usize> {
        self.names().into_iter().filter(|name| name.0 == by).map(|name| name.1).collect()
    }

    /// Everything of so many publishers, once each, in order.
    pub(super) fn check_all(&self, publishers: usize, each: usize) {
        for by in 0..publishers {
            assert_eq!(self.numbers_of(by), (0..each).collect::<Vec<_>>(), "{:?} of {by}", self.0.mode);
        }
        assert_eq!((self.names().len(), self.missed()), (publishers * each, 0));
    }

    /// Nothing twice, each publisher's in order.
    pub(super) fn check_order(&self, publishers: usize) {
        for by in 0..publishers {
            let numbers = self.numbers_of(by);
            assert!(numbers.is_sorted_by(|one, next| one < next), "{:?} of {by}: {numbers:?}", self.0.mode);
        }
    }

    /// Of each publisher the first ones, as far as they come.
    pub(super) fn check_begins(&self, publishers: usize) {
        for by in 0..publishers {
            let numbers = self.numbers_of(by);
            assert!(numbers.iter().copied().eq(0..numbers.len()), "{:?} of {by}: {numbers:?}", self.0.mode);
        }
    }

    /// Of each publisher a part without a gap.
    pub(super) fn check_no_gaps(&self, publishers: usize) {
        for by in 0..publishers {
            let numbers = self.numbers_of(by);
            let gap = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]);
            assert_eq!(gap, None, "{:?} of {by}: {numbers:?}", self.0.mode);
        }
    }
}

/// The end of a subscription that notes elsewhere what it hears: one final call, and nothing after it.
#[derive(Clone, Default)]
pub(super) struct Ending(Arc<Mutex<Vec<EndReason>>>);

impl Ending {
    /// Every call.
    pub(super) fn note(&self, delivery: &Delivery<'_>) {
        let mut ends = self.0.lock().unwrap();
        assert_eq!(*ends, [], "a call after the final one");
        ends.extend(delivery.end());
    }

    pub(super) fn check(&self, reason: EndReason) {
        assert_eq!(*self.0.lock().unwrap(), [reason], "one final call");
    }
}

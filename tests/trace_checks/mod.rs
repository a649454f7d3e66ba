//! A subscriber that keeps what it is told, and counts who still has a span.

#![allow(dead_code, clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, ThreadId};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// An event as it was told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) level: Level,
    pub(crate) fields: Fields,
    /// The span that was current on its thread.
    pub(crate) inside: Option<u64>,
    pub(crate) thread: ThreadId,
}

/// A span as it was made, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Spanned {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) fields: Fields,
    /// Only a current one that was not said no to.
    pub(crate) parent: Option<u64>,
    pub(crate) follows: Vec<u64>,
    /// Threads that entered it.
    pub(crate) entered: Vec<ThreadId>,
    pub(crate) exits: usize,
    references: usize,
}

impl Spanned {
    pub(crate) fn is_closed(&self) -> bool {
        self.references == 0
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    /// The field as text; empty if it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name} of {self:?}"))
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

#[derive(Default)]
struct Inner {
    events: Vec<Told>,
    spans: Vec<Spanned>,
    current: HashMap<ThreadId, Vec<u64>>,
    /// A span was left that was not the last one entered.
    disorder: bool,
}

/// What is called before anything is kept.
type Before = Box<dyn Fn(&str) + Send + Sync>;

/// The subscriber; clones share what they keep.
#[derive(Clone)]
pub(crate) struct Kept {
    inner: Arc<Mutex<Inner>>,
    before: Arc<Before>,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self::calling(|_| {})
    }

    /// One that calls `before` with the name of each span that is made, entered, left or closed, and of each event.
    pub(crate) fn calling(before: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { inner: Arc::default(), before: Arc::new(Box::new(before)) }
    }

    /// Runs `code` with this as the thread's subscriber.
    pub(crate) fn hears<R>(&self, code: impl FnOnce() -> R) -> R {
        tracing::subscriber::with_default(self.clone(), code)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn events(&self) -> Vec<Told> {
        self.lock().events.clone()
    }

    /// Takes the events of that name.
    pub(crate) fn take(&self, name: &str) -> Vec<Told> {
        self.lock().events.extract_if(.., |event| event.name == name).collect()
    }

    /// Names of all events, in their order, taken.
    pub(crate) fn take_names(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().events).into_iter().map(|event| event.name).collect()
    }

    pub(crate) fn spans(&self, name: &str) -> Vec<Spanned> {
        self.lock().spans.iter().filter(|span| span.name == name).cloned().collect()
    }

    pub(crate) fn is_orderly(&self) -> bool {
        !self.lock().disorder
    }

    fn name_of(&self, id: &Id) -> String {
        self.lock().spans[id.into_u64() as usize - 1].name.clone()
    }

    fn with<R>(&self, id: &Id, change: impl FnOnce(&mut Spanned) -> R) -> R {
        change(&mut self.lock().spans[id.into_u64() as usize - 1])
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "stasis_bus" || metadata.target() == "test"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let name = span.metadata().name();
        (self.before)(name);
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut inner = self.lock();
        let id = inner.spans.len() as u64 + 1;
        let current = inner.current.get(&thread::current().id()).and_then(|stack| stack.last().copied());
        inner.spans.push(Spanned {
            id,
            name: name.to_owned(),
            fields,
            parent: current.filter(|_| span.is_contextual()),
            follows: Vec::new(),
            entered: Vec::new(),
            exits: 0,
            references: 1,
        });
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        self.with(id, |span| values.record(&mut span.fields));
    }

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        assert!(!self.with(follows, |span| span.is_closed()), "a closed span cannot be followed");
        self.with(id, |span| span.follows.push(follows.into_u64()));
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        (self.before)(metadata.name());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (mut inner, thread) = (self.lock(), thread::current().id());
        let inside = inner.current.get(&thread).and_then(|stack| stack.last().copied());
        let (name, level) = (metadata.name().to_owned(), *metadata.level());
        inner.events.push(Told { name, level, fields, inside, thread });
    }

    fn enter(&self, id: &Id) {
        (self.before)(&self.name_of(id));
        let thread = thread::current().id();
        self.lock().current.entry(thread).or_default().push(id.into_u64());
        self.with(id, |span| span.entered.push(thread));
    }

    fn exit(&self, id: &Id) {
        (self.before)(&self.name_of(id));
        let popped = self.lock().current.entry(thread::current().id()).or_default().pop();
        self.lock().disorder |= popped != Some(id.into_u64());
        self.with(id, |span| span.exits += 1);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.with(id, |span| span.references += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        (self.before)(&self.name_of(&id));
        self.with(&id, |span| {
            span.references -= 1;
            span.references == 0
        })
    }
}

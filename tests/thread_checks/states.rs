//! A state manager: all who listen to a state hear the same messages in the same order, whoever publishes them and
//! whenever they come, and the last one is what the manager has.

use super::plan::{Plan, STATES, Step, TOPICS};
use super::publishing::{Count, Hand};
use super::{Note, PATIENCE, World, read};
use stasis_bus::{
    Bus, Dispatch, Grow, Message, MessageType, Overflow, StateError, StateManager, StateSubscription,
    SubscribeError, Subscription, SubscriptionBuilder,
};
use std::sync::{Arc, Mutex};

/// Publisher and number of each note, as they were heard.
type Notes = Vec<(u32, u32)>;
type Log = Arc<Mutex<Notes>>;

pub(crate) struct States {
    manager: StateManager,
    /// Who listens to each state from the beginning on.
    recorders: Vec<(StateSubscription, Log)>,
    /// Who listens to all of them.
    everything: (Subscription, Log),
    published: [Count; STATES as usize],
    /// What those have heard who came later.
    visits: Mutex<Vec<(u8, Notes)>>,
}

fn id(state: u8) -> String {
    format!("s{state}")
}

fn unbounded<'a>(builder: SubscriptionBuilder<'a>, kind: &MessageType<Note>) -> SubscriptionBuilder<'a> {
    builder.accept(kind).overflow(Overflow::Grow(Grow::unbounded()))
}

/// Notes what is heard.
fn noting(log: &Log, kind: &MessageType<Note>) -> impl Fn(&Message) + Send + Sync + 'static {
    let (log, kind) = (log.clone(), kind.clone());
    move |message| {
        let note = Note::read(&kind, message).map(|note| (note.by, note.n));
        log.lock().expect("nobody panics with it").extend(note);
    }
}

impl States {
    /// None: nobody speaks of states in that plan.
    pub(crate) fn new(bus: &Bus, kind: &MessageType<Note>, plan: &Plan) -> Option<Self> {
        if !plan.has(|step| matches!(step, Step::State { .. } | Step::Observe { .. })) {
            return None;
        }
        let manager = bus.state_manager("states").expect("a valid name");
        let record = |state| {
            let log = Log::default();
            let note = noting(&log, kind);
            let builder =
                manager.subscription(&id(state), "recorder").configure(|builder| unbounded(builder, kind));
            let started = builder.start(move |told| note(told.message()));
            (started.expect("the options are valid"), log)
        };
        let recorders = (0..STATES).map(record).collect();
        let log = Log::default();
        let note = noting(&log, kind);
        let builder = unbounded(manager.all_topic().subscription("everything"), kind);
        let everything = builder.start(move |told| note(told.message())).expect("the options are valid");
        let (published, visits) = (Default::default(), Mutex::default());
        Some(Self { manager, recorders, everything: (everything, log), published, visits })
    }

    /// Everybody has had the final message.
    pub(crate) fn judge(&self, world: &World) {
        let all = self.everything.1.lock().expect("nobody panics with it");
        let mut heard = 0;
        for (state, (_, log)) in (0..STATES).zip(&self.recorders) {
            let log = log.lock().expect("nobody panics with it");
            let count = self.published[usize::from(state)].range();
            assert!(
                count.contains(&(log.len() as u64)),
                "state {state} was heard {} times, due was {count:?}",
                log.len()
            );
            for (at, (by, n)) in log.iter().enumerate() {
                let later = log[at + 1..].iter().find(|(other, later)| other == by && later <= n);
                assert!(later.is_none(), "{later:?} after {n} of {by}");
            }
            let of_it: Vec<_> = all.iter().filter(|note| log.contains(note)).collect();
            assert!(
                world.is_over() || of_it.iter().copied().eq(log.iter()),
                "{of_it:?} of all, {log:?} of {state}"
            );
            let last = self.manager.last(&id(state));
            let last =
                last.as_ref().and_then(|last| Note::read(&world.kind, last)).map(|note| (note.by, note.n));
            assert!(world.is_over() || last.as_ref() == log.last(), "{last:?} stands after {log:?}");
            let visits = self.visits.lock().expect("nobody panics with it");
            for (_, visit) in visits.iter().filter(|(of, _)| *of == state) {
                let is_part = visit.is_empty() || log.windows(visit.len()).any(|part| part == visit);
                assert!(is_part || world.is_over(), "{visit:?} is no part of {log:?}");
            }
            heard += log.len();
        }
        assert!(all.len() == heard || world.is_over(), "{} of all, {heard} of each", all.len());
    }
}

impl World {
    pub(super) fn publish_states(&self, hand: &mut Hand, state: u8, count: u8, by_origin: bool) -> Vec<u32> {
        let Some(states) = &self.states else { return Vec::new() };
        let (manager, id) = (&states.manager, id(state));
        let publisher = manager.publisher(&id).expect("a valid id");
        let origin = self.bus.origin(&format!("node{}", hand.me)).expect("a valid name");
        let mut due = Vec::new();
        for _ in 0..count {
            let n = self.next_number(hand.me);
            let message = self.note(hand.me, TOPICS + state, "state");
            let report = match by_origin {
                true => manager.publish_by_origin(&id, origin, message).expect("a valid id"),
                false => publisher.publish(message),
            };
            if self.is_published(report.refusal) {
                states.published[usize::from(state)].add(1, self.is_over());
                due.push(n);
            }
        }
        manager.remove_origin(&id, origin, None);
        due
    }

    /// Who begins with what stands, hears what this thread publishes, and goes.
    pub(super) fn observe(&self, hand: &mut Hand, state: u8, mode: Dispatch, count: u8) {
        let Some(states) = &self.states else { return };
        let mode = if mode == Dispatch::Inline { Dispatch::Serial } else { mode };
        let log = Log::default();
        let note = noting(&log, &self.kind);
        let builder = states.manager.subscription(&id(state), "observer").with_state();
        let builder = builder.configure(|builder| match mode {
            Dispatch::Stream => unbounded(builder, &self.kind),
            _ => unbounded(builder, &self.kind).dispatch(mode),
        });
        let due = if mode == Dispatch::Stream {
            let Some((holds, stream)) = self.come(builder.stream()) else { return };
            let (handle, reader) = (stream.handle(), read(stream, move |message, _, _| note(message)));
            let due = self.publish_states(hand, state, count, false);
            handle.unsubscribe();
            reader.join().expect("it has read to the end");
            drop(holds);
            due
        } else {
            let Some(own) = self.come(builder.start(move |told| note(told.message()))) else { return };
            let due = self.publish_states(hand, state, count, false);
            own.handle().unsubscribe();
            own.handle().join_timeout(PATIENCE).expect("it ends");
            due
        };
        let log = std::mem::take(&mut *log.lock().expect("nobody panics with it"));
        let own: Vec<u32> = log.iter().filter(|(by, _)| *by == hand.me).map(|(_, n)| *n).collect();
        // The first one may be what stood.
        let right = own == due || (own.get(1..) == Some(&due) && log[0].0 == hand.me);
        assert!(right || self.is_over(), "an observer, {mode:?}, heard {own:?} of {due:?}");
        states.visits.lock().expect("nobody panics with it").push((state, log));
    }

    /// None: the bus is over.
    fn come<T>(&self, started: Result<T, StateError>) -> Option<T> {
        match started {
            Ok(started) => Some(started),
            Err(StateError::Subscribe(SubscribeError::Closed)) if self.is_over() => None,
            Err(error) => panic!("a valid subscription was refused: {error}"),
        }
    }
}

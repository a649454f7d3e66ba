//! Calls come, go through their states and go; seen as the board sees them, in the cache.

use super::*;
use crate::board::phones;
use crate::event::tests::{RICH, SIMPLE, blocks, unpack};
use crate::event::{BridgeInfo, Event};
use crate::origins::Origins;
use crate::snapshots::Known;
use crate::state::State as Keeper;
use crate::state::StateView;
use stasis_bus::Bus;

/// A keeper of one switch, on a bus without threads.
fn keeper() -> (Bus, Keeper) {
    let bus = Bus::builder().manual().build().expect("a bus");
    let origins = Origins::new(&bus, &[]).expect("a name");
    let keeper = Keeper::new(&bus, &origins).expect("a state");
    (bus, keeper)
}

fn seen(view: &StateView) -> (Count, Totals, Vec<Option<Shown>>) {
    let pin = view.cache.pin();
    let calls = phones::calls(&Known::in_cache(&view.snapshots, &pin));
    (calls.count, calls.totals, calls.lines)
}

/// The counts at every seventh event, and what is known at the end.
fn watch(recording: &[u8]) -> (Vec<Count>, Totals) {
    let (_bus, mut keeper) = keeper();
    let mut counts = Vec::new();
    for (number, block) in blocks(&unpack(recording)).into_iter().enumerate() {
        keeper.take(0, &Event::from(block), None);
        if number % 7 == 0 {
            counts.push(seen(keeper.view()).0);
        }
    }
    let (count, totals, _) = seen(keeper.view());
    counts.push(count);
    (counts, totals)
}

#[test]
fn every_call_begins_and_ends() {
    for (recording, most_channels) in [(SIMPLE, 74), (RICH, 19)] {
        let (counts, totals) = watch(recording);
        let most = |of: fn(&Count) -> usize| counts.iter().map(of).max();
        assert!(most(|count| count.channels) >= Some(most_channels), "{:?}", most(|count| count.channels));
        assert!(most(|count| count.talking) > Some(3) && most(|count| count.ringing) > Some(3));
        assert!(counts.iter().all(|count| count.talking + count.ringing <= count.calls));
        assert_eq!(counts.last(), Some(&Count::default()), "all have hung up");
        let ended: u64 = Ending::ALL.iter().map(|ending| totals.of(*ending)).sum();
        assert_eq!(ended, totals.begun);
        if recording == SIMPLE {
            // The recording's own description names these kinds of calls.
            assert!(Ending::ALL.iter().all(|ending| totals.of(*ending) > 5), "{totals:?}");
            assert!((380..=420).contains(&totals.begun), "{:?} are not 399 calls", totals);
        }
    }
}

#[test]
fn a_call_keeps_its_line_and_goes_through_its_states() {
    let party = |id: &str, name: &str, state| Party {
        name: name.into(),
        uniqueid: id.into(),
        linkedid: "1".into(),
        state: Some(state),
        caller_number: "2001".into(),
        exten: "2002".into(),
        ..Party::default()
    };
    let (alice, bob) = (party("1", "IAX2/alice-7", 4), party("2", "IAX2/bob-8", 6));
    let (_bus, mut keeper) = keeper();
    let at = |second: i64| Some(Stamp(second * 1_000_000));
    let channel = |second, channel: &Party, change| {
        let (channel, block) = (channel.clone(), Default::default());
        Event::Channel(ChannelEvent { at: at(second), channel, change, block })
    };
    let dial = |second, step| {
        let (caller, callee, block) = (Some(alice.clone()), bob.clone(), Default::default());
        Event::Dial(DialEvent { at: at(second), caller, callee, step, block })
    };
    let bridge = |change| {
        let bridge = BridgeInfo { id: "b".into(), kind: "basic".into() };
        Event::Bridge(BridgeEvent { at: at(5), bridge, change, block: Default::default() })
    };
    let mut take = |event: Event| keeper.take(0, &event, None);
    let application = ChannelChange::Application { name: "Dial".into(), data: String::new() };
    take(channel(1, &alice, ChannelChange::Created));
    take(channel(1, &alice, application));
    let shown = |keeper: &Keeper| seen(keeper.view()).2.pop().flatten().expect("a line");
    assert_eq!(shown(&keeper).state, State::In("Dial".into()));
    let mut take = |event: Event| keeper.take(0, &event, None);
    take(channel(2, &bob, ChannelChange::Created));
    take(dial(2, DialStep::Begin));
    let state = shown(&keeper);
    assert_eq!(
        (state.from.as_str(), state.to.as_str(), state.state),
        ("2001 alice", "2002 bob", State::Ringing)
    );
    let mut take = |event: Event| keeper.take(0, &event, None);
    take(dial(4, DialStep::End("ANSWER".into())));
    take(bridge(BridgeChange::Entered(alice.clone())));
    take(bridge(BridgeChange::Entered(bob.clone())));
    assert_eq!(seen(keeper.view()).0, Count { channels: 2, calls: 1, talking: 1, ringing: 0 });
    let mut take = |event: Event| keeper.take(0, &event, None);
    take(channel(9, &alice, ChannelChange::Hangup { cause: 16 }));
    take(channel(11, &bob, ChannelChange::Hangup { cause: 16 }));
    let state = shown(&keeper);
    assert_eq!((state.state, state.lasted), (State::Over(Ending::Answered), Duration::from_secs(10)));
    keeper.begin_round(2, None);
    let (count, totals, lines) = seen(keeper.view());
    assert_eq!((count, totals.begun, lines.len()), (Count::default(), 1, 0));
}

//! Calls come, go through their states and go.

use super::*;
use crate::event::Event;
use crate::event::tests::{RICH, SIMPLE, blocks, unpack};

fn apply(calls: &mut Calls, event: &Event) {
    match event {
        Event::Channel(event) => calls.channel(event),
        Event::Dial(event) => calls.dial(event),
        Event::Bridge(event) => calls.bridge(event),
        Event::Local(event) => calls.local(event),
        Event::Transfer(event) => calls.transfer(event),
        Event::Park(event) => calls.park(event),
        Event::Other(_) | Event::AnswerKey(_) => {}
    }
}

/// The counts at each event, and what is known at the end.
fn watch(recording: &[u8]) -> (Vec<Count>, Calls) {
    let mut calls = Calls::default();
    let mut counts = Vec::new();
    for block in blocks(&unpack(recording)) {
        apply(&mut calls, &Event::from(block));
        counts.push(calls.count());
    }
    (counts, calls)
}

#[test]
fn every_call_begins_and_ends() {
    for (recording, most_channels) in [(SIMPLE, 75), (RICH, 20)] {
        let (counts, calls) = watch(recording);
        let most = |of: fn(&Count) -> usize| counts.iter().map(of).max();
        assert!(most(|count| count.channels) >= Some(most_channels), "{:?}", most(|count| count.channels));
        assert!(most(|count| count.talking) > Some(3) && most(|count| count.ringing) > Some(3));
        assert!(counts.iter().all(|count| count.talking + count.ringing <= count.calls));
        assert_eq!(counts.last(), Some(&Count::default()), "all have hung up");
        let ended: u64 = Ending::ALL.iter().map(|ending| calls.totals.of(*ending)).sum();
        assert_eq!(ended, calls.totals.begun);
    }
}

/// The recording's own description names these kinds of calls.
#[test]
fn calls_end_in_every_way() {
    let (_, calls) = watch(SIMPLE);
    for ending in Ending::ALL {
        assert!(calls.totals.of(ending) > 5, "{ending:?}: {:?}", calls.totals);
    }
    assert!((380..=420).contains(&calls.totals.begun), "{:?} are not 399 calls", calls.totals);
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
    let mut calls = Calls::default();
    let at = |second: i64| Some(Stamp(second * 1_000_000));
    let channel = |second, channel: &Party, change| ChannelEvent {
        at: at(second),
        channel: channel.clone(),
        change,
        block: Default::default(),
    };
    let dial = |second, step| DialEvent {
        at: at(second),
        caller: Some(alice.clone()),
        callee: bob.clone(),
        step,
        block: Default::default(),
    };
    let bridge = |change| BridgeEvent {
        at: at(5),
        bridge: crate::event::BridgeInfo { id: "b".into(), kind: "basic".into() },
        change,
        block: Default::default(),
    };
    let shown = |calls: &Calls| calls.lines().pop().flatten().expect("a line");
    calls.channel(&channel(1, &alice, ChannelChange::Created));
    calls.channel(&channel(
        1,
        &alice,
        ChannelChange::Application { name: "Dial".into(), data: String::new() },
    ));
    assert_eq!(shown(&calls).state, State::In("Dial".into()));
    calls.channel(&channel(2, &bob, ChannelChange::Created));
    calls.dial(&dial(2, DialStep::Begin));
    let state = shown(&calls);
    assert_eq!(
        (state.from.as_str(), state.to.as_str(), state.state),
        ("2001 alice", "2002 bob", State::Ringing)
    );
    calls.dial(&dial(4, DialStep::End("ANSWER".into())));
    calls.bridge(&bridge(BridgeChange::Entered(alice.clone())));
    calls.bridge(&bridge(BridgeChange::Entered(bob.clone())));
    assert_eq!(calls.count(), Count { channels: 2, calls: 1, talking: 1, ringing: 0 });
    calls.channel(&channel(9, &alice, ChannelChange::Hangup { cause: 16 }));
    calls.channel(&channel(11, &bob, ChannelChange::Hangup { cause: 16 }));
    let state = shown(&calls);
    assert_eq!((state.state, state.lasted), (State::Over(Ending::Answered), Duration::from_secs(10)));
    calls.forget();
    assert_eq!((calls.lines().len(), calls.totals.begun), (0, 1));
}

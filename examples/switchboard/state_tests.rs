//! What is kept of everything, against a model that is too simple to be wrong: who is there, what several switches say of
//! one device, and what goes with one of them.

use super::devices::DeviceState;
use super::*;
use crate::ami::Block;
use crate::consumers::Running;
use crate::event::tests::{RICH, SIMPLE, blocks, unpack};
use crate::tests::Dice;
use stasis_bus::{Dispatch, Origin};
use std::collections::BTreeMap;

/// What a switch has said, by the names and ids in its events alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// Name and state of each channel.
    channels: BTreeMap<String, (String, String)>,
    /// Who is in each bridge.
    bridges: BTreeMap<String, Vec<String>>,
    devices: BTreeMap<String, DeviceState>,
}

impl Model {
    fn take(&mut self, block: &Block) {
        let text = |key: &str| block.get(key).unwrap_or_default().to_owned();
        let (channel, bridge) = (text("Uniqueid"), text("BridgeUniqueid"));
        match block.name.as_str() {
            "Newchannel" | "Newstate" => {
                self.channels.insert(channel, (text("Channel"), text("ChannelState")));
            }
            "Hangup" => drop(self.channels.remove(&channel)),
            "BridgeCreate" => drop(self.bridges.insert(bridge, Vec::new())),
            "BridgeDestroy" => drop(self.bridges.remove(&bridge)),
            "BridgeEnter" => self.bridges.get_mut(&bridge).expect("created").push(channel),
            "BridgeLeave" => self.bridges.get_mut(&bridge).expect("created").retain(|id| *id != channel),
            "DeviceStateChange" => {
                self.devices.insert(text("Device"), DeviceState::parse(&text("State")));
            }
            _ => {}
        }
    }

    /// The same of what the cache has of that switch.
    fn cached(view: &StateView, origin: Origin) -> Self {
        let pin = view.cache.pin();
        let known = Known::in_cache(&view.snapshots, &pin);
        let state = |channel: &Channel| channel.state.map(|state| state.to_string()).unwrap_or_default();
        let is_its = Some(origin);
        let channels = known.channels.iter().filter(|(of, _)| *of == is_its);
        let bridges = known.bridges.iter().filter(|(of, _)| *of == is_its);
        Self {
            channels: channels.map(|(_, one)| (one.id.clone(), (one.name.clone(), state(one)))).collect(),
            bridges: bridges.map(|(_, one)| (one.id.clone(), one.channels.clone())).collect(),
            devices: devices(&known, is_its),
        }
    }
}

/// As one switch sees them, or all together.
fn devices(known: &Known<'_>, origin: Option<Origin>) -> BTreeMap<String, DeviceState> {
    let of = |states: &[(Option<Origin>, DeviceState)]| {
        states.iter().find(|(of, _)| *of == origin).map(|(_, state)| *state)
    };
    known.devices.iter().filter_map(|(name, states)| Some(((*name).to_owned(), of(states)?))).collect()
}

/// Two switches with their models, on a bus without threads.
struct Pair {
    bus: Bus,
    state: State,
    left: [std::vec::IntoIter<Block>; 2],
    models: [Model; 2],
}

impl Pair {
    fn new() -> Self {
        Self::on(Bus::builder().manual().build().expect("a bus"))
    }

    fn on(bus: Bus) -> Self {
        let origins = Origins::new(&bus, &["simple".to_owned(), "rich".to_owned()]).expect("names");
        let state = State::new(&bus, &origins).expect("a state");
        let left = [SIMPLE, RICH].map(|recording| blocks(&unpack(recording)).into_iter());
        Self { bus, state, left, models: Default::default() }
    }

    /// The next event of one of them; false: there is none.
    fn step(&mut self, one: usize) -> bool {
        let block = self.left[one].next();
        block.iter().for_each(|block| self.models[one].take(block));
        block.is_some_and(|block| self.tell(one, block))
    }

    fn tell(&mut self, one: usize, block: Block) -> bool {
        self.state.take(one, &Event::from(block), None);
        true
    }

    fn check(&self) {
        let view = &self.state.view;
        for (one, model) in self.models.iter().enumerate() {
            assert_eq!(Model::cached(view, view.origins.of(one)), *model);
        }
        let mut together = self.models[0].devices.clone();
        for (name, state) in &self.models[1].devices {
            let both = together.entry(name.clone()).or_insert(*state);
            *both = (*both).max(*state);
        }
        let pin = view.cache.pin();
        let known = Known::in_cache(&view.snapshots, &pin);
        assert_eq!(devices(&known, None), together);
    }
}

#[test]
fn the_cache_has_what_two_switches_say_and_what_it_means_together() {
    let (mut pair, mut dice) = (Pair::new(), Dice::new());
    let (mut steps, mut both) = (0, 0);
    while pair.step(dice.below(2)) {
        steps += 1;
        if steps % 50 == 0 {
            pair.check();
            both += usize::from(pair.models.iter().all(|model| !model.channels.is_empty()));
        }
    }
    assert!(both > 10, "both had calls at {both} of {steps} moments");
    pair.check();
}

#[test]
fn what_was_its_own_goes_with_a_switch_and_the_rest_stays() {
    let mut dice = Dice::new();
    for _ in 0..4 {
        let (mut pair, gone) = (Pair::new(), dice.below(2));
        for _ in 0..500 + dice.below(2000) {
            pair.step(dice.below(2));
        }
        pair.check();
        pair.state.drop_origin(gone, None);
        pair.models[gone] = Model::default();
        pair.check();
        // What it still says is not believed; the other one goes on.
        for _ in 0..300 {
            let block = pair.left[gone].next().expect("there are more");
            pair.tell(gone, block);
            pair.step(1 - gone);
        }
        pair.check();
        let view = pair.state.view().clone();
        let of_gone = Some(view.origins.of(gone));
        let pin = view.cache.pin();
        let known = Known::in_cache(&view.snapshots, &pin);
        assert!(known.lines.iter().all(|line| line.origin != of_gone), "its calls have left the board");
        drop(pin);
        pair.state.begin_round(2, None);
        pair.models = Default::default();
        pair.check();
    }
}

#[test]
fn the_table_says_who_says_what() {
    let mut pair = Pair::new();
    for _ in 0..900 {
        pair.step(0);
        pair.step(1);
    }
    let table = pair.state.view().table();
    let view = pair.state.view();
    let pin = view.cache.pin();
    let known = Known::in_cache(&view.snapshots, &pin);
    let (channels, bridges, devices) = (known.channels.len(), known.bridges.len(), known.devices.len());
    assert!(channels > 10 && bridges > 3 && devices > 20, "{table}");
    assert_eq!(table.lines().count(), 1 + 3 + channels + bridges + devices, "{table}");
    let heading = table.lines().find(|line| line.starts_with("DEVICE")).expect("devices");
    let words: Vec<_> = heading.split_whitespace().collect();
    assert_eq!(words, ["DEVICE", "STATE", "simple", "rich"]);
    for (_, channel) in &known.channels {
        assert!(table.contains(&*channel.name), "{}\n{table}", channel.name);
    }
    assert!(!table.contains(|letter: char| letter.is_control() && letter != '\n'));
    drop(pin);
    pair.state.drop_origin(1, None);
    assert!(!pair.state.view().table().contains("CBAnn/"), "only the other one has conferences");
}

/// Sixty come while the events of two switches are played at once, and one of these goes; the traffic stops in the middle.
#[test]
fn whoever_comes_at_any_moment_ends_with_the_same_table() {
    let (mut pair, mut dice) = (Pair::on(Bus::new().expect("a bus")), Dice::new());
    let modes = [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Serial];
    let view = pair.state.view().clone();
    let start = |name: &str, dispatch| console::start(&pair.bus, &view, name, dispatch).expect("a console");
    let first = start("first", Dispatch::Pool);
    let steps = 1000 + dice.below(1500);
    let mut moments: Vec<_> = (0..60).map(|_| dice.below(steps)).collect();
    let (goes_at, gone) = (dice.below(steps), dice.below(2));
    moments.sort_unstable();
    let mut consoles = Vec::new();
    for step in 0..steps {
        let come = moments.iter().filter(|moment| **moment == step).count();
        consoles.extend((0..come).map(|_| (step, start("late", modes[dice.below(3)]))));
        if step == goes_at {
            pair.state.drop_origin(gone, None);
        }
        let one = dice.below(2);
        let block = pair.left[one].next().expect("there are more");
        pair.state.take(one, &Event::from(block), None);
    }
    let finish = |running: Running<console::Seen>| running.finish().expect("a result").1;
    let (first, there) = (finish(first), console::in_cache(&view));
    assert!(there.len() > 30, "mid-traffic: {}", there.len());
    assert_eq!((first.snapshot, first.misfits, console::differences(&first.table, &there)), (Some(0), 0, 0));
    let mut told = 0;
    for (step, console) in consoles {
        let seen = finish(console);
        let differs = console::differences(&seen.table, &first.table);
        assert_eq!((differs, seen.misfits), (0, 0), "who came at {step} of {steps}: {seen:?}");
        told += seen.snapshot.expect("it says where what was there ends");
    }
    assert!(told > 60, "most were told of something: {told}");
}

//! What does a look at one object cost, by how it is made and how many objects there are?

mod common;

use common::Bench;
use stasis_bus::{Bus, Cache, CachingTopic, Message, MessageType};

const ENTRIES: [usize; 3] = [1_000, 10_000, 1_000_000];
/// Reads of one pin.
const READS_PER_PIN: usize = 64;

struct State {
    number: u64,
    name: String,
}

struct Cached {
    /// The messages themselves, at known places: what a look would cost if there were nothing to look for.
    all: Vec<Message>,
    cache: Cache,
    kind: MessageType<State>,
    names: Vec<String>,
    /// Where the next look is: far from the last one.
    place: usize,
    _cached: CachingTopic,
    _bus: Bus,
}

fn main() -> Result<(), stasis_bus::Error> {
    common::run("cache_read", |bench| {
        for entries in ENTRIES {
            let entries = if bench.only_checks() { 10 } else { entries };
            time_reads(bench, Cached::new(entries, "PJSIP/phone-").expect("names are good"));
        }
        let entries = if bench.only_checks() { 10 } else { 10_000 };
        let long = Cached::new(entries, "PJSIP/a-trunk-with-a-long-name-").expect("names are good");
        time_reads(bench, long);
    });
    Ok(())
}

impl Cached {
    fn new(entries: usize, prefix: &str) -> Result<Self, stasis_bus::Error> {
        let bus = Bus::new()?;
        let kind = bus.message_type::<State>("state")?;
        let cache = Cache::builder(&bus).id_of(&kind, |state: &State| &state.name).build()?;
        let topic = bus.topic("states")?;
        let cached = topic.caching(&cache)?;
        let names: Vec<_> = (0..entries).map(|number| format!("{prefix}{number:08}")).collect();
        for (name, number) in names.iter().zip(0..) {
            topic.publish(kind.message(State { number, name: name.clone() }));
        }
        let all = names.iter().filter_map(|name| cache.get(&kind, name)).collect();
        Ok(Self { all, cache, kind, names, place: 0, _cached: cached, _bus: bus })
    }

    fn next(&mut self) -> usize {
        // Coprime to every number of entries: each is met once in a round.
        self.place = (self.place + 7_919) % self.names.len();
        self.place
    }

    fn get(&mut self) -> u64 {
        let at = self.next();
        let message = self.cache.get(&self.kind, &self.names[at]);
        message.as_ref().and_then(|message| self.kind.read(message)).map_or(0, |state| state.number)
    }

    fn read_pinned(&mut self) -> u64 {
        let places: [usize; READS_PER_PIN] = std::array::from_fn(|_| self.next());
        let pin = self.cache.pin();
        places
            .into_iter()
            .filter_map(|at| pin.read(&self.kind, &self.names[at]))
            .map(|state| state.number)
            .sum()
    }

    fn read_bare(&mut self) -> u64 {
        let places: [usize; READS_PER_PIN] = std::array::from_fn(|_| self.next());
        let states = places.into_iter().filter_map(|at| self.kind.read(&self.all[at]));
        states.map(|state| state.number).sum()
    }

    fn get_pinned(&mut self) -> u64 {
        let places: [usize; READS_PER_PIN] = std::array::from_fn(|_| self.next());
        let pin = self.cache.pin();
        let look =
            |at: usize| pin.get(&self.kind, &self.names[at]).and_then(|message| self.kind.read(message));
        places.into_iter().filter_map(look).map(|state| state.number).sum()
    }
}

fn time_reads(bench: &mut Bench, mut cached: Cached) {
    let name = format!("{} entries, ids of {} bytes", cached.names.len(), cached.names[0].len());
    bench.time(&format!("get, {name}"), || cached.get());
    bench.time_each(&format!("get pinned, {name}"), READS_PER_PIN as u64, || cached.get_pinned());
    bench.time_each(&format!("read pinned, {name}"), READS_PER_PIN as u64, || cached.read_pinned());
    bench.time_each(&format!("in a Vec of messages, {name}"), READS_PER_PIN as u64, || cached.read_bare());
    let (cache, kind) = (cached.cache.clone(), cached.kind.clone());
    bench.time(&format!("get what is not there, {name}"), || cache.get(&kind, "nobody"));
    let watch = cache.watch(&kind, &cached.names[0]).expect("a name that is not empty");
    bench.time(&format!("watch, {name}"), || watch.get());
    let all = cached.names.len() as u64;
    bench.time_each(&format!("pinned iteration, an entry, {name}"), all, || cache.pin().iter(&kind).count());
}

//! What is kept, and what it is found by.

use crate::families::kit::Dice;
use std::hint::black_box;
use std::sync::Arc;

/// The state of one object: what every contestant keeps, each in its own kind of shared box.
#[derive(Debug)]
pub struct State {
    pub name: String,
    pub number: u64,
    /// How often it was written before.
    pub round: u64,
}

/// The names of all objects, and an order to look for them in.
///
/// The names to look for stand one behind the other in one text, in that order, so that reading them costs nobody much.
pub struct Names {
    all: Arc<[Arc<str>]>,
    order: Vec<u32>,
    text: String,
    /// Of every name. Nobody's compiler knows it, as nobody's knows how long the names of a user's objects are: it would
    /// make comparisons and hashes for that length alone.
    length: usize,
}

impl Names {
    pub fn new(count: usize) -> Arc<Self> {
        let all: Arc<[Arc<str>]> = (0..count).map(|number| name(number).into()).collect();
        let mut order: Vec<u32> = (0..count as u32).collect();
        Dice::new().shuffle(&mut order);
        let text = order.iter().map(|number| name(*number as usize)).collect();
        Self { all, order, text, length: black_box(name(0).len()) }.into()
    }

    /// The same objects, but only so many of them are looked for.
    pub fn few(&self, count: usize) -> Self {
        let count = count.min(self.order.len());
        let text = self.text[..count * self.length].to_owned();
        Self { all: self.all.clone(), order: self.order[..count].into(), text, length: self.length }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The name of that object, for maps that keep names.
    pub fn of(&self, number: u64) -> Arc<str> {
        self.all[number as usize].clone()
    }

    /// Which object is looked for in that place of the order, and its name.
    #[inline]
    pub fn at(&self, place: usize) -> (u64, &str) {
        (u64::from(self.order[place]), &self.text[place * self.length..(place + 1) * self.length])
    }

    /// The next place, round and round.
    #[inline]
    pub fn after(&self, place: usize) -> usize {
        if place + 1 == self.order.len() { 0 } else { place + 1 }
    }

    /// A new state of that object.
    pub fn state(&self, number: u64, round: u64) -> State {
        State { name: self.all[number as usize].to_string(), number, round }
    }
}

fn name(number: usize) -> String {
    format!("PJSIP/phone-{number:08}")
}

//! What must hold of the forms that go out, JSON and events, for any value, and of events that were damaged on their
//! way. Used by `tests/forms.rs` on recorded input and by the fuzz target `forms` on its own.

use arbitrary::{Arbitrary, Result, Unstructured};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stasis_bus::{Bus, JsonSanitizer, Message, MessageType, Timestamp};
use std::collections::BTreeMap;

/// serde reads 128 levels; here are as many as show how levels nest.
const DEPTH_MAX: usize = 6;
const NODES: [&str; 3] = ["here", "there", "o\"\u{e4}\\"];

/// A value of every shape that serde has a way of its own for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tree {
    Nothing,
    Maybe(Option<bool>),
    Small(i64),
    Large(i128),
    Float(f64),
    Letter(char),
    Text(String),
    List(Vec<Self>),
    Named(BTreeMap<String, Self>),
    Pair { left: Box<Self>, right: Box<Self> },
}

/// One value, how it goes out, and what happens on the way.
#[derive(Debug)]
pub(crate) struct Input {
    value: Tree,
    time: u64,
    /// One of [`NODES`]; none: an aggregate.
    origin: Option<usize>,
    /// Paths of fields to hide from a consumer.
    hidden: Vec<String>,
    damage: Vec<Damage>,
}

#[derive(Arbitrary, Debug)]
enum Damage {
    Replace { at: u16, with: u8 },
    Insert { at: u16, word: u8 },
    Remove { at: u16, count: u8 },
    Double { at: u16, count: u8 },
}

impl Arbitrary<'_> for Input {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let origin = u.int_in_range(0..=NODES.len())?.checked_sub(1);
        let hidden = (0..u.int_in_range(0..=3)?).map(|_| path(u)).collect::<Result<_>>()?;
        let damage = (0..u.int_in_range(0..=3)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        Ok(Self { time: u.arbitrary()?, origin, hidden, damage, value: tree(u, DEPTH_MAX)? })
    }
}

/// Names that make or break JSON, beside any other.
fn name(u: &mut Unstructured<'_>) -> Result<String> {
    const NAMES: [&str; 10] =
        ["a", "b", "", "type", "value", "\"", "}", "\u{2028}\r\n\0\x1b", "\u{1f600}", "left"];
    match u.int_in_range(0..=NAMES.len())? {
        any if any == NAMES.len() => u.arbitrary(),
        known => Ok(NAMES[known].to_owned()),
    }
}

fn path(u: &mut Unstructured<'_>) -> Result<String> {
    let steps = ["List", "Named", "Pair", "left", "right", "a", "b", "*", "0", "1"];
    let count = u.int_in_range(1..=5)?;
    let steps: Vec<_> = (0..count).map(|_| u.choose(&steps).copied()).collect::<Result<_>>()?;
    Ok(steps.join("."))
}

fn tree(u: &mut Unstructured<'_>, depth: usize) -> Result<Tree> {
    Ok(match u.int_in_range(0..=if depth == 0 { 6 } else { 9 })? {
        0 => Tree::Nothing,
        1 => Tree::Maybe(u.arbitrary()?),
        2 => Tree::Small(u.arbitrary()?),
        3 => Tree::Large(u.arbitrary()?),
        // JSON has no other ones.
        4 => Tree::Float(Some(u.arbitrary()?).filter(|float: &f64| float.is_finite()).unwrap_or(-0.0)),
        5 => Tree::Letter(u.arbitrary()?),
        6 => Tree::Text(name(u)?),
        7 => Tree::List((0..u.int_in_range(0..=4)?).map(|_| tree(u, depth - 1)).collect::<Result<_>>()?),
        8 => {
            let fields = (0..u.int_in_range(0..=4)?).map(|_| Ok((name(u)?, tree(u, depth - 1)?)));
            Tree::Named(fields.collect::<Result<_>>()?)
        }
        _ => Tree::Pair { left: Box::new(tree(u, depth - 1)?), right: Box::new(tree(u, depth - 1)?) },
    })
}

/// A node, and a type whose values go out in every form.
fn node(name: &str) -> (Bus, MessageType<Tree>) {
    let bus = Bus::builder().node(name).manual().build().expect("the name is valid");
    NODES.iter().for_each(|node| _ = bus.origin(node).expect("the name is valid"));
    let kind = bus.define("tree").event().json(|tree: &Tree, _| serde_json::to_value(shown(tree)).ok());
    let kind = kind.declare().expect("a new name");
    (bus, kind)
}

/// `serde_json::Value` has no numbers beyond 64 bits.
fn shown(tree: &Tree) -> Tree {
    match tree {
        Tree::Large(number) => Tree::Small(*number as i64),
        Tree::List(all) => Tree::List(all.iter().map(shown).collect()),
        Tree::Named(all) => Tree::Named(all.iter().map(|(name, tree)| (name.clone(), shown(tree))).collect()),
        Tree::Pair { left, right } => {
            Tree::Pair { left: Box::new(shown(left)), right: Box::new(shown(right)) }
        }
        other => other.clone(),
    }
}

/// Checks one value in every form.
///
/// # Panics
///
/// If something does not hold.
pub(crate) fn check(input: &Input) {
    let ((here, ours), (there, theirs)) = (node("here"), node("there"));
    let message = ours.build(input.value.clone()).at(Timestamp::from_nanos(input.time));
    let message = match input.origin {
        Some(at) => message.origin(here.origin(NODES[at]).expect("known")).finish(),
        None => message.aggregate().finish(),
    };
    let event = here.event_of(&message).expect("it has a form");
    check_text(&event, input);
    check_read(&there, &theirs, &event, input);
    check_damaged(&there, &theirs, damaged(&event, &input.damage));
    check_json(&message, input);
}

/// One line that any reader of JSON takes apart into the same four fields.
fn check_text(event: &str, input: &Input) {
    // JSON leaves DEL as it is.
    assert!(!event.contains(|c: char| c < ' '), "{event:?}");
    let parts: BTreeMap<String, &serde_json::value::RawValue> = serde_json::from_str(event).expect("JSON");
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["origin", "time", "type", "value"], "{event}");
    let [origin, time, name] = ["origin", "time", "type"].map(|field| {
        let read: Value = serde_json::from_str(parts[field].get()).expect("JSON");
        read
    });
    let due = (json!(input.origin.map(|at| NODES[at])), json!(input.time), json!("tree"));
    assert_eq!((origin, time, name), due, "{event}");
}

/// The other node gets the same message, and would send the same on.
fn check_read(there: &Bus, theirs: &MessageType<Tree>, event: &str, input: &Input) {
    let read = there.message_from_event(event).expect("what was written is read");
    assert_eq!(theirs.read(&read), Some(&input.value), "{event}");
    let origin = read.origin().and_then(|origin| there.origin_name(origin));
    let due = (input.time, input.origin.map(|at| NODES[at].to_owned()));
    assert_eq!((read.timestamp().as_nanos(), origin), due, "{event}");
    assert_eq!(there.event_of(&read).as_deref(), Some(event));
}

fn damaged(event: &str, damage: &[Damage]) -> Vec<u8> {
    const WORDS: [&[u8]; 10] =
        [b"\"", b"{", b"}}", b",\"type\":\"x\"", b"null", b"\\u0000", b"[[[[", b"1e999", b"\n", b"\xff"];
    let mut bytes = event.as_bytes().to_vec();
    for one in damage {
        let place = |at: u16| usize::from(at) % (bytes.len() + 1);
        let piece = |at: u16, count: u8| place(at)..(place(at) + usize::from(count)).min(bytes.len());
        match *one {
            Damage::Replace { at, with } => {
                let at = place(at);
                bytes.splice(at..(at + 1).min(bytes.len()), [with]);
            }
            Damage::Insert { at, word } => {
                let at = place(at);
                bytes.splice(at..at, WORDS[usize::from(word) % WORDS.len()].iter().copied());
            }
            Damage::Remove { at, count } => {
                bytes.drain(piece(at, count));
            }
            Damage::Double { at, count } => {
                let again = bytes[piece(at, count)].to_vec();
                let at = place(at);
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

/// Refused in words, or read as what it says now.
fn check_damaged(there: &Bus, theirs: &MessageType<Tree>, event: Vec<u8>) {
    match there.message_from_event(&event) {
        Ok(message) => {
            let again = there.event_of(&message).expect("what was read can be written");
            let read = there.message_from_event(&again).expect("and read");
            assert_eq!(theirs.read(&read), theirs.read(&message), "{again}");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() < 4_000, "{said}");
            assert!(!said.contains(['\n', '\r', '\x1b']), "{said:?}");
        }
    }
}

/// What its formatter says, and for one consumer that without what is hidden.
fn check_json(message: &Message, input: &Input) {
    let all = serde_json::to_value(shown(&input.value)).expect("it can be written");
    assert_eq!(message.to_json().as_ref(), Some(&all));
    let hiding = input.hidden.iter().fold(JsonSanitizer::new(), |so_far, path| so_far.hide_field(path));
    let paths: Vec<Vec<&str>> = input.hidden.iter().map(|path| path.split('.').collect()).collect();
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    assert_eq!(message.to_json_with(&hiding), Some(left(&all, &paths)), "without {:?}", input.hidden);
    assert_eq!(message.to_json_with(&hiding.hide_type("tree")), None);
}

/// What `paths` leave of `value`.
fn left(value: &Value, paths: &[&[&str]]) -> Value {
    let inside = |step: &str, value: &Value| {
        let on: Vec<&[&str]> = paths
            .iter()
            .filter(|path| path.first().is_some_and(|first| *first == "*" || *first == step))
            .map(|path| &path[1..])
            .collect();
        (!on.iter().any(|rest| rest.is_empty())).then(|| left(value, &on))
    };
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.filter_map(|(at, item)| inside(&at.to_string(), item)).collect()
        }
        Value::Object(fields) => Value::Object(
            fields.iter().filter_map(|(name, value)| Some((name.clone(), inside(name, value)?))).collect(),
        ),
        other => other.clone(),
    }
}

//! A message's references, and the way of its block back to its maker.

use super::{Plain, Witness, explore, kind};
use crate::message::{Message, MessageType};
use crate::message::{home, owed};
use crate::sync::{Arc, thread};
use loom::thread::{JoinHandle, spawn};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A value that says when it goes. Its use is plain: a drop that is not ordered after every use is an error.
struct Value {
    used: Plain<()>,
    drops: Arc<AtomicUsize>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.used.write(|()| self.drops.fetch_add(1, Ordering::Relaxed));
    }
}

/// A fresh value, and how often it was dropped.
fn value() -> (Value, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    (Value { used: Plain::new(()), drops: drops.clone() }, drops)
}

fn dropped(drops: &AtomicUsize) -> usize {
    drops.load(Ordering::Relaxed)
}

/// Takers use the message and drop it, while the publisher drops its own: the value goes once, after all use.
#[test]
fn value_is_dropped_once_and_after_all_use() {
    explore(6, || {
        let ((value, drops), kind) = (value(), kind::<Value>());
        let message = kind.message(value);
        message.add_references(2);
        let takers = [(); 2].map(|()| {
            // SAFETY: each word stands for one of the references added above.
            let (taken, kind) = (unsafe { Message::from_word(message.share()) }, kind.clone());
            spawn(move || kind.read(&taken).unwrap().used.read(|()| {}))
        });
        kind.read(&message).unwrap().used.read(|()| {});
        drop(message);
        for taker in takers {
            taker.join().unwrap();
        }
        assert_eq!(dropped(&drops), 1);
        home::forget_blocks();
    });
}

/// Who finds itself the only owner may change the value: all use by others is over then.
#[test]
fn value_is_changed_by_its_only_owner() {
    static SHARED: Witness = Witness::new();
    explore(6, || {
        let ((value, drops), kind) = (value(), kind::<Value>());
        let mut message = kind.message(value);
        let (taken, read) = (message.clone(), kind.clone());
        let taker = spawn(move || read.read(&taken).unwrap().used.read(|()| {}));
        while kind.read_mut(&mut message).map(|value| value.used.write(|()| {})).is_none() {
            SHARED.see();
            thread::yield_now();
        }
        taker.join().unwrap();
        drop(message);
        assert_eq!(dropped(&drops), 1);
        home::forget_blocks();
    });
    assert!(SHARED.was_seen());
}

/// The publisher takes back in one subtraction what nobody took, its own reference among it.
#[test]
fn refused_references_come_back_at_once() {
    explore(6, || {
        let ((value, drops), kind) = (value(), kind::<Value>());
        let message = ManuallyDrop::new(kind.message(value));
        message.add_references(3);
        // SAFETY: one of the references added.
        let (taken, read) = (unsafe { Message::from_word(message.share()) }, kind.clone());
        let taker = spawn(move || {
            let again = taken.clone();
            drop(taken);
            read.read(&again).unwrap().used.read(|()| {});
        });
        // SAFETY: two that were added and the first one; nobody took them.
        unsafe { Message::release(message, 3) };
        taker.join().unwrap();
        assert_eq!(dropped(&drops), 1);
        home::forget_blocks();
    });
}

/// A worker drops the last reference of three messages (a tray of two goes home with the third) and goes to sleep,
/// while their maker makes the next one.
#[test]
fn blocks_go_home_and_are_used_again() {
    static USED_AGAIN: Witness = Witness::new();
    explore(6, || {
        let kind = kind::<Value>();
        let (mut values, drops): (Vec<_>, Vec<_>) = (0..4).map(|_| value()).unzip();
        let fourth = values.pop().unwrap();
        let messages: Vec<_> = values.into_iter().map(|value| kind.message(value)).collect();
        let blocks: Vec<_> = messages.iter().map(Message::share).collect();
        let read = kind.clone();
        let worker = spawn(move || {
            home::send_messages_home();
            for message in messages {
                read.read(&message).unwrap().used.read(|()| {});
            }
            home::drop_dead();
        });
        let message = kind.message(fourth);
        if blocks.contains(&message.share()) {
            USED_AGAIN.see();
        }
        kind.read(&message).unwrap().used.read(|()| {});
        worker.join().unwrap();
        drop(message);
        kind.kind().close_home();
        home::forget_blocks();
        assert!(drops.iter().all(|drops| dropped(drops) == 1));
    });
    assert!(USED_AGAIN.was_seen());
}

/// The end of the bus comes while a worker puts blocks into the stock: no block stays there.
#[test]
fn stock_against_close() {
    static STOCKED: Witness = Witness::new();
    explore(3, || {
        let kind = kind::<Value>();
        let (values, drops): (Vec<_>, Vec<_>) = (0..5).map(|_| value()).unzip();
        let messages: Vec<_> = values.into_iter().map(|value| kind.message(value)).collect();
        let worker = spawn(move || {
            home::send_messages_home();
            drop(messages);
            home::drop_dead();
        });
        kind.kind().close_home();
        worker.join().unwrap();
        if drops.iter().all(|drops| dropped(drops) == 1) {
            STOCKED.see();
        }
        home::forget_blocks();
        assert_eq!(Arc::strong_count(kind.kind()), 1, "a block is left, and holds its type");
    });
    assert!(STOCKED.was_seen());
}

/// A thread of the bus that gives back references to `message`, which were counted, having used it each time. Returns
/// whether nothing was left for the thread to settle.
fn worker(messages: Vec<Message>, kind: &MessageType<Value>) -> JoinHandle<bool> {
    let kind = kind.clone();
    spawn(move || {
        home::send_messages_home();
        let _owing = owed::Owing::begin();
        for message in messages {
            kind.read(&message).unwrap().used.read(|()| {});
            message.give_back();
        }
        let noted = owed::owes();
        home::drop_dead();
        !noted
    })
}

fn references(message: &Message, count: usize) -> Vec<Message> {
    message.add_references(count);
    // SAFETY: each word stands for one of the references just added.
    (0..count).map(|_| unsafe { Message::from_word(message.share()) }).collect()
}

/// A worker notes its references while somebody else uses the message and drops it: either is the last.
#[test]
fn noted_references_are_given_back_once() {
    static ALL: Witness = Witness::new();
    static SETTLED: Witness = Witness::new();
    explore(6, || {
        let ((value, drops), kind) = (value(), kind::<Value>());
        let message = kind.message(value);
        let worker = worker(references(&message, 3), &kind);
        kind.read(&message).unwrap().used.read(|()| {});
        drop(message);
        match worker.join().unwrap() {
            true => ALL.see(),
            false => SETTLED.see(),
        }
        assert_eq!(dropped(&drops), 1);
        kind.kind().close_home();
        home::forget_blocks();
    });
    assert!(ALL.was_seen() && SETTLED.was_seen());
}

/// Two workers have noted references to the same message, neither all of them; one settles last.
#[test]
fn two_workers_owe_references_to_one_message() {
    explore(4, || {
        let ((value, drops), kind) = (value(), kind::<Value>());
        let message = kind.message(value);
        let other = worker(references(&message, 2), &kind);
        let mut last = references(&message, 1);
        last.push(message);
        let ours = worker(last, &kind);
        other.join().unwrap();
        ours.join().unwrap();
        assert_eq!(dropped(&drops), 1);
        kind.kind().close_home();
        home::forget_blocks();
    });
}

/// The third message of a maker takes the place of its first, whose references were noted there.
#[test]
fn place_that_is_taken_over_is_settled() {
    explore(3, || {
        let kind = kind::<Value>();
        let (values, drops): (Vec<_>, Vec<_>) = (0..3).map(|_| value()).unzip();
        let messages: Vec<_> = values.into_iter().map(|value| kind.message(value)).collect();
        let turns = messages.iter().flat_map(|message| references(message, 2)).collect();
        let worker = worker(turns, &kind);
        drop(messages);
        worker.join().unwrap();
        assert!(drops.iter().all(|drops| dropped(drops) == 1));
        kind.kind().close_home();
        home::forget_blocks();
    });
}

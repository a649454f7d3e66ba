//! A message's references, and the way of its block back to its maker.

use super::{Plain, Witness, explore, kind};
use crate::message::Message;
use crate::message::home;
use crate::sync::Arc;
use loom::thread::spawn;
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

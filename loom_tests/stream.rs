//! A stream: the reader registers, sets IDLE and sleeps; publishers and closers wake it.

use super::{Witness, bare_mailbox, counted, ending, explore, kind};
use crate::mailbox::reader::Item;
use crate::mailbox::{Consumer, Mailbox, Offer, Overflow, Reader};
use crate::message::{EndReason, MessageType};
use crate::queue::Close;
use crate::sync::{Arc, Parker, Unparker, thread};
use loom::thread::spawn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

struct Alarm(Unparker);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn reader() -> Reader {
    let consumer = Consumer::stream();
    Reader::new(bare_mailbox(Overflow::default(), 2, consumer), ending())
}

fn send(mailbox: &Mailbox, kind: &MessageType<u8>, value: u8) {
    match mailbox.offer(kind.message(value).into_word(), &mut Vec::new()) {
        Offer::Accepted { turn: true, .. } => _ = mailbox.pass_turn(),
        Offer::Accepted { .. } => {}
        refused => panic!("{refused:?}"),
    }
}

fn close(mailbox: &Mailbox) {
    if mailbox.close(EndReason::Unsubscribed) == (Close::Now { turn: true }) {
        mailbox.pass_turn();
    }
}

/// Reads until something comes, as a task on a runtime does: polls, and sleeps until its waker is called.
fn read(reader: &Reader) -> Option<Item> {
    let parker = Parker::current();
    let waker = Waker::from(Arc::new(Alarm(parker.unparker())));
    loop {
        match reader.poll(&waker) {
            Poll::Ready(item) => return item,
            Poll::Pending => {
                parker.park(None);
                // "Soon" wakes itself: let the others write.
                thread::yield_now();
            }
        }
    }
}

fn value(kind: &MessageType<u8>, item: Option<Item>) -> Option<u8> {
    item.and_then(|item| kind.read(&item.message).copied())
}

/// One item against a reader that goes to sleep.
#[test]
fn reader_never_sleeps_on_an_item() {
    explore(4, || {
        let (reader, kind) = (reader(), kind());
        let (mailbox, made) = (reader.mailbox().clone(), kind.clone());
        let publisher = spawn(move || send(&mailbox, &made, 1));
        assert_eq!(value(&kind, read(&reader)), Some(1));
        publisher.join().unwrap();
    });
}

/// Two items from two publishers: the second may find the reader awake, asleep, or on its way.
#[test]
fn reader_gets_both_of_two_publishers() {
    explore(2, || {
        let (reader, kind) = (reader(), kind());
        let publishers = [1, 2].map(|value| {
            let (mailbox, kind) = (reader.mailbox().clone(), kind.clone());
            spawn(move || send(&mailbox, &kind, value))
        });
        let mut values = [read(&reader), read(&reader)].map(|item| value(&kind, item).unwrap());
        values.sort();
        assert_eq!(values, [1, 2]);
        for publisher in publishers {
            publisher.join().unwrap();
        }
    });
}

/// The end comes while the reader goes to sleep: it reads what is queued, the final message, and no more.
#[test]
fn reader_never_sleeps_through_the_end() {
    explore(3, || {
        let (reader, kind) = (reader(), kind());
        let (mailbox, made) = (reader.mailbox().clone(), kind.clone());
        let closer = spawn(move || {
            send(&mailbox, &made, 1);
            close(&mailbox);
        });
        assert_eq!(value(&kind, read(&reader)), Some(1));
        assert_eq!(read(&reader).unwrap().told.end, Some(EndReason::Unsubscribed));
        assert!(read(&reader).is_none());
        closer.join().unwrap();
    });
}

/// What was evicted last, by a publisher that then found the stream closed, is told with the final message, also if the
/// reader meets the end on its way to sleep.
#[test]
fn reader_is_told_of_the_last_eviction() {
    static EVICTED: Witness = Witness::new();
    explore(2, || {
        let consumer = Consumer::stream();
        let reader = Reader::new(bare_mailbox(Overflow::DropOldest, 1, consumer), ending());
        let (mailbox, closed) = (reader.mailbox().clone(), reader.mailbox().clone());
        let publisher = spawn(move || {
            let (kind, mut evicted) = (kind(), Vec::new());
            let offers = [1, 2].map(|value| {
                let word = kind.message(value).into_word();
                match mailbox.offer(word, &mut evicted) {
                    Offer::Accepted { turn, .. } => {
                        if turn {
                            mailbox.pass_turn();
                        }
                        1
                    }
                    _ => {
                        super::give_back(word);
                        0
                    }
                }
            });
            (offers[0] + offers[1], evicted.len() as u64)
        });
        let closer = spawn(move || close(&closed));
        let (mut read_items, mut missed) = (0, 0);
        while let Some(item) = read(&reader) {
            missed += item.told.missed;
            read_items += u64::from(item.told.end.is_none());
        }
        let (accepted, evicted) = publisher.join().unwrap();
        closer.join().unwrap();
        assert_eq!((read_items + missed, missed), (accepted, evicted));
        if evicted > 0 {
            EVICTED.see();
        }
    });
    assert!(EVICTED.was_seen());
}

/// A value that counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The reader is dropped while somebody publishes: the message goes with it, and the publisher is not held up.
#[test]
fn reader_goes_while_somebody_publishes() {
    explore(6, || {
        let (reader, kind) = (reader(), kind());
        let (mailbox, drops) = (reader.mailbox().clone(), Arc::new(AtomicUsize::new(0)));
        let counted = Counted(drops.clone());
        let publisher = spawn(move || {
            let word = kind.message(counted).into_word();
            let offer = mailbox.offer(word, &mut Vec::new());
            match offer {
                Offer::Accepted { turn: true, .. } => _ = mailbox.pass_turn(),
                Offer::Accepted { .. } => {}
                Offer::Dropped | Offer::Disconnected { .. } | Offer::Closed { .. } => super::give_back(word),
            }
            (mailbox, offer)
        });
        reader.abandon();
        assert!(reader.mailbox().done().is_set());
        let (mailbox, offer) = publisher.join().unwrap();
        assert!(matches!(offer, Offer::Accepted { .. } | Offer::Closed { .. }));
        drop(reader);
        drop(mailbox);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

/// A publisher is refused while the reader is dropped: counted before the end, or late. The figures of the end stay as they are.
#[test]
fn reader_that_goes_counts_no_more() {
    static COUNTED: Witness = Witness::new();
    static LATE: Witness = Witness::new();
    explore(4, || {
        let consumer = Consumer::stream();
        let reader = Reader::new(bare_mailbox(Overflow::DropNewest, 1, consumer), ending());
        let (mailbox, kind) = (reader.mailbox().clone(), kind());
        send(&mailbox, &kind, 0);
        let publisher = spawn(move || {
            let word = kind.message(1).into_word();
            let offer = mailbox.offer(word, &mut Vec::new());
            super::give_back(word);
            offer
        });
        reader.abandon();
        let at_the_end = counted(reader.mailbox());
        let (witness, missed) = match publisher.join().unwrap() {
            Offer::Dropped => (&COUNTED, 2),
            Offer::Closed { .. } => (&LATE, 1),
            other => panic!("{other:?}"),
        };
        witness.see();
        assert_eq!((at_the_end, counted(reader.mailbox())), (missed, missed));
    });
    assert!(COUNTED.was_seen() && LATE.was_seen());
}

/// A shutdown throws the queue away while the reader reads on to the end: what it did not read it is told, and the figures say
/// the same.
#[test]
fn reader_that_reads_on_is_told_what_was_thrown_away() {
    static READ: Witness = Witness::new();
    static THROWN: Witness = Witness::new();
    explore(4, || {
        let reader = Arc::new(reader());
        send(reader.mailbox(), &kind(), 1);
        close(reader.mailbox());
        let its = reader.clone();
        let shutdown = spawn(move || its.throw_away());
        let (mut read_items, mut missed) = (0, 0);
        while let Some(item) = read(&reader) {
            missed += item.told.missed;
            read_items += u64::from(item.told.end.is_none());
        }
        assert_eq!((missed, read_items), (counted(reader.mailbox()), 1 - missed));
        if missed > 0 {
            THROWN.see()
        } else {
            READ.see()
        }
        assert_eq!(shutdown.join().unwrap(), missed);
    });
    assert!(READ.was_seen() && THROWN.was_seen());
}

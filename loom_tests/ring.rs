//! The ring: T2 and T3 of the protocol, and T5 with eviction. Whoever gets the turn runs the owner's side at once, so
//! ownership moves between all threads of a model, and the owner's data is plain: only the turn orders it.

mod batches;
mod marks;

use super::{NO_MARKS, Plain, Witness, explore};
use crate::queue::{Close, Group, Marks, Push, PushSeveral, Ring, Shape, Taken, WhenFull};
use crate::sync::{Arc, thread};
use loom::thread::spawn;
use std::num::NonZeroUsize;

const GROWS: WhenFull = WhenFull::Spill { limit: 100 };

/// A ring, what its items stand for, and what its owner has seen.
struct Post {
    ring: Ring,
    when_full: WhenFull,
    marks: Marks,
    /// The contents of the items: plain, so that handing an item over has to order them.
    letters: Vec<Plain<bool>>,
    log: Plain<Log>,
}

/// The owner's: touched with the turn alone.
#[derive(Default)]
struct Log {
    /// Index and item.
    got: Vec<(u64, usize)>,
    missed: u64,
    ends: u32,
    /// How often the low mark was passed.
    lows: u32,
}

/// What one producer knows afterwards: index and item of what was accepted, in its order.
#[derive(Default)]
struct Sent {
    accepted: Vec<(u64, usize)>,
    evicted: Vec<usize>,
    full: u32,
    closed: u32,
    /// How often the high mark was passed.
    highs: u32,
}

static BUSY: Witness = Witness::new();
static SPILLED: Witness = Witness::new();
static GROUPED: Witness = Witness::new();
static SEVERAL: Witness = Witness::new();
static AT_ONCE: Witness = Witness::new();
static NOT_AT_ONCE: Witness = Witness::new();

impl Post {
    fn new(capacity: usize, when_full: WhenFull) -> Arc<Self> {
        Self::with_marks(capacity, when_full, NO_MARKS)
    }

    fn with_marks(capacity: usize, when_full: WhenFull, marks: Marks) -> Arc<Self> {
        Arc::new(Self {
            ring: Ring::new(Shape { capacity, evicting: when_full == WhenFull::Evict, marks }),
            when_full,
            marks,
            letters: (0..8).map(|_| Plain::new(false)).collect(),
            log: Plain::new(Log::default()),
        })
    }

    /// Writes and sends these letters, and runs the owner's side whenever that brought the turn.
    fn send(&self, letters: impl IntoIterator<Item = usize>) -> Sent {
        let mut sent = Sent::default();
        for letter in letters {
            if self.write(letter, &mut sent) {
                self.own();
            }
        }
        sent
    }

    /// Writes and sends one letter. True: the caller has the turn.
    fn write(&self, letter: usize, sent: &mut Sent) -> bool {
        self.letters[letter].write(|written| *written = true);
        self.push(letter, sent)
    }

    /// Writes and sends these letters together, as many to a claim as there is room for; what a claim of several cannot
    /// decide, one letter at a time. Runs the owner's side whenever that brought the turn.
    fn send_batch(&self, letters: &[usize]) -> Sent {
        let mut sent = Sent::default();
        letters.iter().for_each(|&letter| self.letters[letter].write(|written| *written = true));
        let mut rest = letters;
        while let Some(&next) = rest.first() {
            let items: Vec<_> = rest.iter().map(|letter| NonZeroUsize::new(letter + 1).unwrap()).collect();
            match self.ring.push_several(&items) {
                PushSeveral::Accepted { turn, first, count } => {
                    if count > 1 {
                        SEVERAL.see();
                    }
                    sent.accepted.extend((first..).zip(rest[..count].iter().copied()));
                    rest = &rest[count..];
                    if turn {
                        self.own();
                    }
                }
                PushSeveral::NoRoom => {
                    if self.push(next, &mut sent) {
                        self.own();
                    }
                    rest = &rest[1..];
                }
                PushSeveral::Closed => {
                    sent.closed += rest.len() as u32;
                    rest = &[];
                }
            }
        }
        sent
    }

    /// As `send`, each letter at once if that can be, else the long way.
    fn send_at_once(&self, letters: &[usize]) -> Sent {
        let mut sent = Sent::default();
        for &letter in letters {
            self.letters[letter].write(|written| *written = true);
            let turn = match self.ring.push_at_once(NonZeroUsize::new(letter + 1).unwrap()) {
                Some((turn, index)) => {
                    AT_ONCE.see();
                    sent.accepted.push((index, letter));
                    turn
                }
                None => {
                    NOT_AT_ONCE.see();
                    self.push(letter, &mut sent)
                }
            };
            if turn {
                self.own();
            }
        }
        sent
    }

    fn push(&self, letter: usize, sent: &mut Sent) -> bool {
        let item = NonZeroUsize::new(letter + 1).unwrap();
        loop {
            match self.ring.push(item, self.when_full) {
                Push::Accepted { turn, index, spilled, high } => {
                    assert!(high.is_none_or(|depth| depth >= self.marks.high));
                    sent.highs += u32::from(high.is_some());
                    if spilled {
                        SPILLED.see();
                    }
                    sent.accepted.push((index, letter));
                    return turn;
                }
                Push::Closed => {
                    sent.closed += 1;
                    return false;
                }
                Push::Full { head } if self.when_full == WhenFull::Evict => match self.ring.evict(head) {
                    Ok(None) => thread::yield_now(),
                    Ok(Some(oldest)) => {
                        let oldest = oldest.get() - 1;
                        self.letters[oldest].read(|&written| assert!(written));
                        sent.evicted.push(oldest);
                    }
                    Err(_) => {
                        sent.full += 1;
                        return false;
                    }
                },
                Push::Full { .. } => {
                    sent.full += 1;
                    return false;
                }
            }
        }
    }

    fn close(&self) {
        if self.ring.close() == (Close::Now { turn: true }) {
            self.own();
        }
    }

    /// The owner's side, until the turn is gone.
    fn own(&self) {
        let mut group = Group::default();
        // SAFETY: the caller has the turn.
        while match unsafe { self.take(&mut group) } {
            Taken::Some { first, missed } => self.receive(&mut group, first, missed),
            Taken::Busy => {
                BUSY.see();
                thread::yield_now();
                true
            }
            // SAFETY: as above, and this is what the last take found.
            Taken::Empty(empty) => !unsafe { self.ring.set_idle(empty) },
            Taken::End => self.end(),
        } {}
    }

    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn take(&self, group: &mut Group) -> Taken {
        // SAFETY: as the caller says.
        let taken = unsafe { self.ring.take(group, usize::MAX) };
        if let Some(left) = group.passed_low() {
            assert!(left <= self.marks.low);
            self.log.write(|log| log.lows += 1);
        }
        taken
    }

    fn receive(&self, group: &mut Group, first: u64, missed: u64) -> bool {
        if group.len() > 1 {
            GROUPED.see();
        }
        self.log.write(|log| {
            assert_eq!(log.ends, 0, "after the end");
            log.missed += missed;
            for (at, item) in group.enumerate() {
                let letter = item.get() - 1;
                self.letters[letter].read(|&written| assert!(written));
                assert_eq!(log.got.len() as u64 + log.missed, first + at as u64, "a gap that nobody told of");
                log.got.push((first + at as u64, letter));
            }
        });
        true
    }

    fn end(&self) -> bool {
        self.log.write(|log| {
            assert!(log.missed <= self.ring.evicted());
            log.missed = self.ring.evicted();
            log.ends += 1;
        });
        false
    }

    /// When all threads are done: accepted and not evicted is exactly what was delivered, at its index; what one
    /// producer sent came in its order.
    fn check(&self, senders: &[Sent]) {
        let mut delivered = self.log.read(|log| log.got.clone());
        assert!(delivered.is_sorted(), "{delivered:?}");
        for sent in senders {
            assert!(sent.accepted.is_sorted(), "one producer's order: {:?}", sent.accepted);
        }
        let evicted: Vec<_> = senders.iter().flat_map(|sent| &sent.evicted).collect();
        let mut expected: Vec<_> = senders.iter().flat_map(|sent| sent.accepted.clone()).collect();
        expected.retain(|(_, letter)| !evicted.contains(&letter));
        expected.sort();
        delivered.sort();
        assert_eq!(delivered, expected);
        let missed = self.log.read(|log| log.missed);
        assert_eq!((missed, self.ring.evicted()), (evicted.len() as u64, evicted.len() as u64));
    }

    fn check_idle(&self, senders: &[Sent]) {
        self.check(senders);
        assert!(self.ring.is_idle() && self.ring.depth() == 0 && !self.ring.is_congested());
        let highs: u32 = senders.iter().map(|sent| sent.highs).sum();
        assert_eq!(self.log.read(|log| log.lows), highs, "they alternate, and the last is low");
        assert_eq!(self.log.read(|log| log.ends), 0);
    }

    fn check_ended(&self, senders: &[Sent]) {
        self.check(senders);
        assert!(!self.ring.is_idle());
        assert_eq!(self.log.read(|log| log.ends), 1);
    }
}

/// Two producers, each sending from its own letters; the second is the calling thread.
fn two(post: &Arc<Post>, first: &'static [usize], second: &[usize]) -> [Sent; 2] {
    let other = post.clone();
    let thread = spawn(move || other.send(first.iter().copied()));
    let ours = post.send(second.iter().copied());
    [thread.join().unwrap(), ours]
}

/// The owner's data is plain and moves with the turn, from one producer's thread to another's and back.
#[test]
fn turn_carries_the_owners_state() {
    explore(4, || {
        let post = Post::new(4, WhenFull::Refuse);
        let sent = two(&post, &[0, 1], &[4]);
        assert!(sent.iter().all(|sent| sent.full == 0));
        post.check_idle(&sent);
    });
}

/// Indices go round a ring of two: nobody writes a slot before its last item was taken.
#[test]
fn wraps() {
    explore(3, || {
        let post = Post::new(2, WhenFull::Refuse);
        let sent = two(&post, &[0, 1], &[4]);
        post.check_idle(&sent);
    });
}

/// A ring of eight gives groups of two, which leave the ring as one.
#[test]
fn hands_out_groups() {
    explore(4, || {
        let post = Post::new(8, WhenFull::Refuse);
        let mut sent = two(&post, &[0, 1], &[4]);
        let turns = [5, 6].map(|letter| post.write(letter, &mut sent[1]));
        assert_eq!(turns, [true, false]);
        post.own();
        post.check_idle(&sent);
    });
    assert!(GROUPED.was_seen());
}

/// One producer puts its items in at once where it can; indices go round a ring of two against another's.
#[test]
fn at_once_wraps() {
    explore(3, || {
        let post = Post::new(2, WhenFull::Refuse);
        let other = post.clone();
        let thread = spawn(move || other.send_at_once(&[0, 1]));
        let ours = post.send([4]);
        post.check_idle(&[thread.join().unwrap(), ours]);
    });
    assert!(AT_ONCE.was_seen() && NOT_AT_ONCE.was_seen());
}

/// Both do, where the ring fills, spills and passes its mark: what is at once keeps the order, and passes no mark.
#[test]
fn at_once_beside_a_spill_and_a_mark() {
    explore(2, || {
        let post = Post::with_marks(2, GROWS, Marks { high: 2, low: 0 });
        let other = post.clone();
        let thread = spawn(move || other.send_at_once(&[0, 1]));
        let ours = post.send_at_once(&[4, 5]);
        post.check_idle(&[thread.join().unwrap(), ours]);
    });
    assert!(AT_ONCE.was_seen() && NOT_AT_ONCE.was_seen());
}

/// Against a close: what is in is delivered, nothing is in after it.
#[test]
fn at_once_against_close() {
    explore(4, || {
        let post = Post::new(2, WhenFull::Refuse);
        let other = post.clone();
        let thread = spawn(move || other.send_at_once(&[0, 1]));
        post.close();
        post.check_ended(&[thread.join().unwrap()]);
    });
    assert!(AT_ONCE.was_seen() && NOT_AT_ONCE.was_seen());
}

/// Against an eviction in a ring of one.
#[test]
fn at_once_against_eviction() {
    explore(2, || {
        let post = Post::new(1, WhenFull::Evict);
        let other = post.clone();
        let thread = spawn(move || other.send_at_once(&[0, 1]));
        let ours = post.send_at_once(&[4]);
        post.check_idle(&[thread.join().unwrap(), ours]);
    });
    assert!(AT_ONCE.was_seen() && NOT_AT_ONCE.was_seen());
}

/// Both find no slots and make them; one set stays.
#[test]
fn first_messages_install_the_slots_once() {
    explore(4, || {
        let post = Post::new(2, WhenFull::Refuse);
        let sent = two(&post, &[0], &[4]);
        assert!(sent.iter().all(|sent| sent.accepted.len() == 1));
        post.check_idle(&sent);
    });
}

/// Full is never believed from a head newer than the tail: at most one message waits when the second producer comes,
/// so its own always fits into a ring of two, however stale the tail that it saw.
#[test]
fn is_not_refused_while_there_is_room() {
    explore(2, || {
        let post = Post::new(2, WhenFull::Refuse);
        let sent = two(&post, &[0, 1, 2], &[4]);
        assert_eq!(sent[1].full, 0);
        post.check_idle(&sent);
    });
}

/// A ring of one refuses what does not fit, and delivers the rest.
#[test]
fn refuses_when_full() {
    static FULL: Witness = Witness::new();
    explore(3, || {
        let post = Post::new(1, WhenFull::Refuse);
        let sent = two(&post, &[0, 1], &[4]);
        if sent.iter().any(|sent| sent.full > 0) {
            FULL.see();
        }
        post.check_idle(&sent);
    });
    assert!(FULL.was_seen());
}

/// A producer that sleeps between its claim and its write: the owner sees Busy, keeps the turn and comes again.
#[test]
fn half_written_slot_keeps_the_turn() {
    explore(5, || {
        let post = Post::new(2, WhenFull::Refuse);
        let sent = two(&post, &[0], &[4]);
        post.check_idle(&sent);
    });
    assert!(BUSY.was_seen());
}

/// Ring of one, four messages: the ring fills, spills, runs dry, and goes back to slots.
#[test]
fn spill_loses_nothing_and_keeps_the_order() {
    explore(2, || {
        let post = Post::new(1, GROWS);
        let sent = two(&post, &[0, 1], &[4, 5]);
        assert!(sent.iter().all(|sent| sent.accepted.len() == 2));
        post.check_idle(&sent);
        let late = post.send([6]);
        assert_eq!(late.accepted.len(), 1, "slots or spill, a message goes in afterwards");
        post.check_idle(&sent.into_iter().chain([late]).collect::<Vec<_>>());
    });
    assert!(SPILLED.was_seen());
}

/// The same against a close: nothing accepted is lost, nothing comes after the end, which comes once.
#[test]
fn spill_against_close() {
    explore(2, || {
        let post = Post::new(1, GROWS);
        let (a, b) = (post.clone(), post.clone());
        let a = spawn(move || a.send([0, 1]));
        let b = spawn(move || b.send([4]));
        post.close();
        post.check_ended(&[a.join().unwrap(), b.join().unwrap()]);
    });
}

/// A full ring is closed by its producer while another one spills.
#[test]
fn spill_against_own_close() {
    explore(2, || {
        let post = Post::new(1, GROWS);
        let other = post.clone();
        let thread = spawn(move || other.send([0, 1]));
        let ours = post.send([4, 5]);
        post.close();
        post.check_ended(&[thread.join().unwrap(), ours]);
    });
}

/// A claim either comes before the close and is delivered, or is refused.
#[test]
fn close_while_claiming() {
    static REFUSED: Witness = Witness::new();
    explore(4, || {
        let post = Post::new(2, WhenFull::Refuse);
        let other = post.clone();
        let thread = spawn(move || other.send([0, 1]));
        post.close();
        let sent = thread.join().unwrap();
        if sent.closed > 0 {
            REFUSED.see();
        }
        post.check_ended(&[sent]);
    });
    assert!(REFUSED.was_seen());
}

/// Two close: one of them hears `Already`, and the end comes once.
#[test]
fn two_closers() {
    explore(4, || {
        let post = Post::new(2, WhenFull::Refuse);
        let (a, b) = (post.clone(), post.clone());
        let (a, b) = (spawn(move || a.send([0])), spawn(move || b.close()));
        post.close();
        b.join().unwrap();
        post.check_ended(&[a.join().unwrap()]);
    });
}

/// A producer takes the oldest out while the owner takes: every gap is told where it is, exactly.
#[test]
fn eviction_against_take() {
    static EVICTED: Witness = Witness::new();
    explore(2, || {
        let post = Post::new(1, WhenFull::Evict);
        let sent = two(&post, &[0, 1], &[4]);
        if sent.iter().any(|sent| !sent.evicted.is_empty()) {
            EVICTED.see();
        }
        post.check_idle(&sent);
    });
    assert!(EVICTED.was_seen());
}

/// The same with a close by a third party: at the end all is counted, behind the last item as well.
#[test]
fn eviction_against_close() {
    explore(2, || {
        let post = Post::new(1, WhenFull::Evict);
        let (a, b) = (post.clone(), post.clone());
        let a = spawn(move || a.send([0, 1]));
        let b = spawn(move || b.send([4]));
        post.close();
        post.check_ended(&[a.join().unwrap(), b.join().unwrap()]);
    });
}

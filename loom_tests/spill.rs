//! What a full ring goes over to: words of two producers, in order, each once; blocks freed under them.

use super::{Plain, explore};
use crate::queue::Spill;
use crate::sync::{Arc, LazyBox, thread};
use loom::thread::spawn;
use std::num::NonZeroUsize;

/// A spill, made by whoever needs it first, and what its words stand for: plain, so that handing one over has to order them.
struct Post {
    spill: LazyBox<Spill>,
    letters: Vec<Plain<bool>>,
}

impl Post {
    fn new(letters: usize) -> Arc<Self> {
        Arc::new(Self { spill: LazyBox::new(), letters: (0..letters).map(|_| Plain::new(false)).collect() })
    }

    fn send(&self, letters: impl IntoIterator<Item = usize>) {
        for letter in letters {
            self.letters[letter].write(|written| *written = true);
            self.spill.get_or_make(Spill::new).push(NonZeroUsize::new(letter + 1).unwrap());
        }
    }

    /// The owner's.
    fn take(&self) -> Option<usize> {
        // SAFETY: one thread of the model calls this.
        let word = self.spill.get().and_then(|spill| unsafe { spill.pop() })?;
        let letter = word.get() - 1;
        assert!(self.letters[letter].read(|&written| written), "not written yet");
        Some(letter)
    }

    fn take_all(&self, count: usize) -> Vec<usize> {
        let mut got = Vec::new();
        while got.len() < count {
            match self.take() {
                Some(letter) => got.push(letter),
                None => thread::yield_now(),
            }
        }
        assert_eq!(self.take(), None);
        got
    }
}

/// Each producer's letters in its order, whatever comes between them.
fn check(got: &[usize], senders: &[std::ops::Range<usize>]) {
    for sent in senders {
        let own: Vec<_> = got.iter().copied().filter(|letter| sent.contains(letter)).collect();
        assert!(own.iter().copied().eq(sent.clone()), "{got:?}");
    }
}

/// Two fill one block and a half (a block has two words), from the first word on, while the owner takes.
#[test]
fn two_producers_and_the_owner() {
    explore(2, || {
        let post = Post::new(3);
        let (one, two) = (post.clone(), post.clone());
        let senders = [spawn(move || one.send(0..2)), spawn(move || two.send(2..3))];
        let got = post.take_all(3);
        check(&got, &[0..2, 2..3]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// One stops in a block that the other one leaves behind, and that the owner has taken all of.
#[test]
fn no_block_is_freed_under_a_producer() {
    explore(2, || {
        let post = Post::new(6);
        // All but the last place of the first block.
        post.send(0..1);
        assert_eq!(post.take(), Some(0));
        let (one, two) = (post.clone(), post.clone());
        let senders = [spawn(move || one.send(1..2)), spawn(move || two.send(2..5))];
        let got = post.take_all(4);
        check(&got, &[1..2, 2..5]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        // All is taken; it goes on from there.
        post.send(5..6);
        assert_eq!(post.take_all(1), [5]);
    });
}

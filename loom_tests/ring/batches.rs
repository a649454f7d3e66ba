//! The ring, several items to a claim.

use super::*;

/// A batch and a message of somebody else's: claims of two, the turn by either, indices that go round a ring of two.
#[test]
fn batch_wraps() {
    static PAIR: Witness = Witness::new();
    explore(3, || {
        let post = Post::new(2, WhenFull::Refuse);
        let other = post.clone();
        let thread = spawn(move || other.send_batch(&[0, 1, 2]));
        let ours = post.send([4]);
        let sent = [thread.join().unwrap(), ours];
        if sent[0].accepted.len() == 3 {
            PAIR.see();
        }
        post.check_idle(&sent);
    });
    assert!(SEVERAL.was_seen() && PAIR.was_seen());
}

/// Two batches against each other: no claim goes into another's slots, and each comes whole and in its order.
#[test]
fn two_batches() {
    explore(2, || {
        let post = Post::new(4, WhenFull::Refuse);
        let other = post.clone();
        let thread = spawn(move || other.send_batch(&[0, 1]));
        let ours = post.send_batch(&[4, 5]);
        let sent = [thread.join().unwrap(), ours];
        assert!(
            sent.iter().all(|sent| sent.accepted.len() == 2 && sent.accepted[0].0 + 1 == sent.accepted[1].0)
        );
        post.check_idle(&sent);
    });
    assert!(SEVERAL.was_seen());
}

/// The ring gets full in the middle of a batch: the rest goes to the spill, in order, while somebody else sends.
#[test]
fn batch_spills_in_the_middle() {
    explore(2, || {
        let post = Post::new(2, GROWS);
        let other = post.clone();
        let thread = spawn(move || other.send_batch(&[0, 1, 2]));
        let ours = post.send([4]);
        let sent = [thread.join().unwrap(), ours];
        assert_eq!(sent.iter().map(|sent| sent.accepted.len()).sum::<usize>(), 4);
        post.check_idle(&sent);
    });
    assert!(SEVERAL.was_seen() && SPILLED.was_seen());
}

/// A close in the middle of a batch: what was claimed is delivered, the rest refused, the end comes once.
#[test]
fn batch_against_close() {
    static CUT: Witness = Witness::new();
    explore(4, || {
        let post = Post::new(2, WhenFull::Refuse);
        let other = post.clone();
        let thread = spawn(move || other.send_batch(&[0, 1, 2]));
        post.close();
        let sent = thread.join().unwrap();
        if sent.closed > 0 && !sent.accepted.is_empty() {
            CUT.see();
        }
        post.check_ended(&[sent]);
    });
    assert!(CUT.was_seen());
}

/// The oldest is taken out from behind a batch whose slots are claimed and not all written.
#[test]
fn batch_against_eviction() {
    static EVICTED: Witness = Witness::new();
    explore(2, || {
        let post = Post::new(2, WhenFull::Evict);
        let other = post.clone();
        let thread = spawn(move || other.send_batch(&[0, 1]));
        let ours = post.send([4]);
        let sent = [thread.join().unwrap(), ours];
        if sent.iter().any(|sent| !sent.evicted.is_empty()) {
            EVICTED.see();
        }
        post.check_idle(&sent);
    });
    assert!(SEVERAL.was_seen() && EVICTED.was_seen());
}

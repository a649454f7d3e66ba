//! The ring, when it is congested.

use super::*;

/// Producers pass the high mark while the owner passes the low one: as often, and in the end the ring is calm.
#[test]
fn marks_against_take() {
    static PASSED: Witness = Witness::new();
    static TWICE: Witness = Witness::new();
    explore(3, || {
        let post = Post::with_marks(2, WhenFull::Refuse, Marks { high: 1, low: 0 });
        let sent = two(&post, &[0, 1], &[4]);
        match sent.iter().map(|sent| sent.highs).sum() {
            0 => {}
            1 => PASSED.see(),
            _ => TWICE.see(),
        }
        post.check_idle(&sent);
    });
    assert!(PASSED.was_seen() && TWICE.was_seen());
}

/// The same through a spill, above the capacity.
#[test]
fn marks_in_a_spill() {
    static PASSED: Witness = Witness::new();
    explore(2, || {
        let post = Post::with_marks(1, GROWS, Marks { high: 2, low: 0 });
        let sent = two(&post, &[0, 1], &[4, 5]);
        if sent.iter().any(|sent| sent.highs > 0) {
            PASSED.see();
        }
        post.check_idle(&sent);
    });
    assert!(PASSED.was_seen());
}

/// Items written late leave in thin groups, after which the owner does not look at the tail: it learns of HIGH where it
/// finds the ring empty.
#[test]
fn marks_before_idle() {
    static PASSED: Witness = Witness::new();
    explore(3, || {
        let post = Post::with_marks(8, WhenFull::Refuse, Marks { high: 2, low: 0 });
        let sent = two(&post, &[0, 1], &[4]);
        if sent.iter().any(|sent| sent.highs > 0) {
            PASSED.see();
        }
        post.check_idle(&sent);
    });
    assert!(PASSED.was_seen());
}

/// Nobody takes: of two producers one passes the mark.
#[test]
fn mark_is_passed_by_one_producer() {
    explore(4, || {
        let post = Post::with_marks(4, WhenFull::Refuse, Marks { high: 3, low: 0 });
        let mut first = Sent::default();
        assert!(post.write(0, &mut first), "the turn is ours until we run it");
        let producers = [1, 4].map(|letter| {
            let post = post.clone();
            spawn(move || {
                let mut sent = Sent::default();
                assert!(!post.write(letter, &mut sent));
                sent
            })
        });
        let mut sent: Vec<_> = producers.into_iter().map(|producer| producer.join().unwrap()).collect();
        assert!(post.ring.is_congested());
        assert_eq!(sent.iter().map(|sent| sent.highs).sum::<u32>(), 1);
        post.own();
        sent.push(first);
        post.check_idle(&sent);
    });
}

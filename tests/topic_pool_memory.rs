//! What the members of a topic pool cost. A test by itself: what is counted is the process's.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::Bus;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts the bytes in use.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator, with a count beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_hundred_thousand_members_are_cheap_and_leave_nothing() {
    const MEMBERS: usize = 100_000;
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let pool = bus.topic_pool("calls").unwrap();
    let before = IN_USE.load(Ordering::Relaxed);
    let members: Vec<_> = (0..MEMBERS).map(|n| pool.member(&format!("PJSIP/{n:08}")).unwrap()).collect();
    let bytes = (IN_USE.load(Ordering::Relaxed) - before) / MEMBERS as isize;
    println!("{bytes} bytes per member, of which 8 are the handle's");
    assert_eq!(pool.len(), MEMBERS);
    assert!(pool.exists("PJSIP/00012345"));
    drop(members);
    assert_eq!((pool.len(), bus.topics().len()), (0, 1));
    // What the bus keeps for the next ones: tables that have grown.
    let left = IN_USE.load(Ordering::Relaxed) - before;
    println!("{left} bytes are left");
    assert!(bytes < 1024, "{bytes} bytes per member");
    assert!(left < MEMBERS as isize, "{left} bytes are left");
}

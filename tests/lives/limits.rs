//! States that nobody has written for long, and entries that are too many.

use super::*;

// ---- time to live --------------------------------------------------------------------------------------------------

const MINUTE: Duration = Duration::from_secs(60);

fn with_ttl(ttl: Duration) -> impl Fn(&Bus, &MessageType<State>) -> Cache {
    move |bus, kind| builder(bus, kind).ttl(ttl).suppress_equal(kind).build().unwrap()
}

impl Kept {
    fn pass(&self, time: Duration) {
        self.bus.advance(time);
        self.bus.run_until_idle();
    }
}

#[test]
fn g5_what_nobody_writes_for_long_goes_and_is_told() {
    let _watched = watched();
    let kept = Kept::new(manual_states(), with_ttl(MINUTE));
    let node = kept.bus.origin("node-2").unwrap();
    let lease = kept.lease("leased");
    lease.publish(state("leased", 1));
    kept.publish("alice", 1);
    kept.pass(MINUTE / 2);
    kept.topic.publish(kept.kind.build(state("alice", 100)).origin(node).finish());
    kept.publish("bob", 1);
    let carol = kept.kind.message(state("carol", 1));
    kept.topic.publish(carol.clone());
    kept.publish("dave", 1);
    kept.pass(MINUTE / 2 - Duration::from_nanos(1));
    assert_eq!(kept.cache.len(), 5, "none is due");
    kept.pass(Duration::from_nanos(1));
    assert_eq!((kept.now("alice"), kept.now("leased"), kept.now("bob")), (None, None, Some(1)));
    assert_eq!(kept.cache.get_all(&kept.kind, "alice").len(), 1, "what the other node says is younger");
    assert!(lease.is_newest());
    // Written again, by the same message, or by an equal one that is left out: all of them stay.
    kept.publish("bob", 2);
    kept.topic.publish(carol);
    kept.publish("dave", 1);
    kept.pass(MINUTE / 2);
    assert!(kept.cache.get_all(&kept.kind, "alice").is_empty());
    assert_eq!(["bob", "carol", "dave"].map(|id| kept.now(id)), [Some(2), Some(1), Some(1)]);
    lease.publish(state("leased", 2));
    kept.pass(MINUTE / 2);
    assert_eq!((kept.cache.len(), kept.now("leased")), (1, Some(2)));
    kept.pass(10 * MINUTE);
    assert!(kept.cache.is_empty());
    assert_eq!(kept.told("alice"), [Some(1), None]);
    assert_eq!(kept.told("bob"), [Some(1), Some(2), None]);
    assert_eq!(kept.told("leased"), [Some(1), None, Some(2), None]);
    let stats = kept.cache.stats();
    assert_eq!((stats.expired, stats.evicted, stats.cleared), (7, 0, 7));
    kept.publish("alice", 5);
    kept.pass(MINUTE);
    assert_eq!(kept.now("alice"), None, "the alarm is set anew");
}

#[test]
fn expired_states_leave_their_aggregates() {
    let _watched = watched();
    let kept = Kept::new(manual_states(), |bus, kind| summing(bus, kind).ttl(MINUTE).build().unwrap());
    let node = kept.bus.origin("node-2").unwrap();
    kept.publish("alice", 1);
    kept.pass(MINUTE / 2);
    kept.topic.publish(kept.kind.build(state("alice", 10)).origin(node).finish());
    let sum = || number_of(&kept.kind, kept.cache.get_aggregate(&kept.kind, "alice"));
    assert_eq!(sum(), Some(11));
    kept.pass(MINUTE / 2);
    assert_eq!(sum(), Some(10));
    kept.pass(MINUTE / 2);
    assert_eq!((sum(), kept.cache.len()), (None, 0));
}

/// By the real clock, with publishers under way: the chains hold, what is written all the time stays, and what nobody
/// writes any more goes, though nothing else happens.
#[test]
fn g5_states_expire_among_publishers() {
    let _watched = watched();
    let kept = Kept::new(states(), with_ttl(Duration::from_millis(20)));
    let next = AtomicU64::new(1);
    thread::scope(|scope| {
        for by in 0..4 {
            let (kept, next) = (&kept, &next);
            scope.spawn(move || {
                let id = ["alice", "bob"][by % 2];
                for round in 0..40 {
                    kept.publish(id, next.fetch_add(1, Ordering::Relaxed));
                    thread::sleep(Duration::from_millis(if round % 10 == 9 { 25 } else { 1 }));
                }
            });
        }
    });
    eventually(|| kept.cache.is_empty());
    eventually(|| kept.told("alice").last() == Some(&None) && kept.told("bob").last() == Some(&None));
    assert!(kept.cache.stats().expired >= 2);
    end(&kept.bus);
}

/// Handlers and drops that expiry leads to run on a worker, not where the clock is watched: one that is stuck does not
/// keep the next from being looked at.
#[test]
fn g9_what_expires_is_told_by_workers() {
    let _watched = watched();
    let bus = Bus::builder().workers(2..=2).thread_name("expiry").build().unwrap();
    let kind = bus.message_type("state").unwrap();
    let kept = Kept::new((bus, kind), with_ttl(Duration::from_millis(5)));
    let (stuck, gate, told) = (Gate::new(), Gate::new(), Log::new());
    let (kind, updates) = (kept.kind.clone(), kept.bus.cache_updates().clone());
    let (stuck2, gate2, noted) = (stuck.clone(), gate.clone(), told.clone());
    let _slow = kept
        .cached
        .subscription("slow")
        .inline(move |delivery| {
            let Some(update) = delivery.read(&updates).filter(|update| update.new.is_none()) else { return };
            let id = update.id().to_owned();
            noted.push((id.clone(), thread::current().name().map(str::to_owned)));
            if id == "alice" {
                stuck2.open();
                gate2.pass();
            }
        })
        .unwrap();
    kept.publish("alice", 1);
    stuck.pass();
    // The alarm is under way and stuck in foreign code; another cache's is not.
    let other = builder(&kept.bus, &kind).ttl(Duration::from_millis(5)).build().unwrap();
    let _cached = kept.bus.topic("others").unwrap().caching(&other).unwrap();
    kept.bus.topic("others").unwrap().publish(kind.message(state("bob", 1)));
    eventually(|| other.is_empty());
    gate.open();
    eventually(|| kept.cache.is_empty());
    let name = told.all()[0].1.clone().unwrap();
    assert!(name == "expiry-0" || name == "expiry-1", "{name} is no worker");
    end(&kept.bus);
}

#[test]
fn g11_the_end_waits_for_no_time_to_live() {
    let _watched = watched();
    let kept = Kept::new(states(), with_ttl(60 * MINUTE));
    kept.publish("alice", 1);
    end(&kept.bus);
    assert_eq!(kept.now("alice"), Some(1));
    kept.publish("alice", 2);
}

// ---- how many ------------------------------------------------------------------------------------------------------

#[test]
fn g5_one_entry_too_many_takes_the_oldest_out_and_tells() {
    let _watched = watched();
    for most in [1, 2, 8] {
        let kept =
            Kept::new(manual_states(), |bus, kind| builder(bus, kind).max_entries(most).build().unwrap());
        let ids: Vec<String> = (0..20).map(|n| format!("object-{n}")).collect();
        let node = kept.bus.origin("node-2").unwrap();
        for (n, id) in ids.iter().enumerate() {
            kept.bus.advance(Duration::from_millis(1));
            kept.publish(id, n as u64);
            kept.topic.publish(kept.kind.build(state(id, 100 + n as u64)).origin(node).finish());
            assert_eq!((kept.cache.len(), kept.now(id)), ((n + 1).min(most), Some(n as u64)));
        }
        // All of them are in the sample, so the newest are left.
        let left: Vec<u64> = (20 - most as u64..20).collect();
        assert_eq!(sorted(&kept.kind, kept.cache.dump(AnyType)), left);
        assert_eq!(kept.cache.dump_all(AnyType).len(), 2 * most);
        assert_eq!(kept.told("object-3"), [Some(3), None]);
        let stats = kept.cache.stats();
        assert_eq!(
            (stats.evicted, stats.cleared, stats.expired),
            (20 - most as u64, 40 - 2 * most as u64, 0)
        );
        // A place without a state does not count, and neither does what was there already.
        let watch = kept.cache.watch(&kept.kind, "other").unwrap();
        kept.publish("object-19", 7);
        assert_eq!(kept.cache.stats().evicted, 20 - most as u64);
        kept.publish("other", 8);
        assert_eq!((number_of(&kept.kind, watch.get()), kept.cache.len()), (Some(8), most));
    }
}

/// What was taken out keeps its aggregate until the function has said what is left, and makes room at once for all that.
#[test]
fn g5_one_entry_too_many_takes_out_one_with_an_aggregate() {
    let _watched = watched();
    let kept = Kept::new(manual_states(), |bus, kind| summing(bus, kind).max_entries(8).build().unwrap());
    let node = kept.bus.origin("node-2").unwrap();
    for n in 0..20 {
        kept.bus.advance(Duration::from_millis(1));
        let id = format!("object-{n}");
        kept.publish(&id, n);
        kept.topic.publish(kept.kind.build(state(&id, 100)).origin(node).finish());
        assert_eq!(kept.cache.len(), (n as usize + 1).min(8), "after {n}");
    }
    assert_eq!(sorted(&kept.kind, kept.cache.dump(AnyType)), (12..20).collect::<Vec<u64>>());
    assert_eq!(kept.cache.dump_by_origin(AnyType, None).len(), 8, "an aggregate is left");
    assert_eq!(kept.cache.stats().evicted, 12);
}

#[test]
fn g5_four_publishers_keep_within_the_bound() {
    let _watched = watched();
    for aggregates in [false, true] {
        let kept = Kept::new(states(), |bus, kind| {
            let builder = if aggregates { summing(bus, kind) } else { builder(bus, kind) };
            builder.max_entries(50).build().unwrap()
        });
        thread::scope(|scope| {
            for by in 0..4 {
                let kept = &kept;
                scope.spawn(move || {
                    for n in 0..250 {
                        kept.publish(&format!("{}", by * 250 + n), by * 250 + n);
                    }
                });
            }
        });
        // Not before: a length is the sum of the shards' lengths, each of another moment.
        let stats = kept.cache.stats();
        assert!((40..=50).contains(&kept.cache.len()) && stats.evicted >= 950, "{stats}");
        for chain in chains(kept.bus.cache_updates(), &kept.updates.all()).values() {
            assert_chain(&kept.kind, chain);
        }
        end(&kept.bus);
    }
}

/// Taken out to make room, and written again before its aggregate has gone: that is an entry more, like any new one.
#[test]
fn g5_an_entry_that_comes_back_while_it_goes_makes_room() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let (weak, its, went) = (bus.downgrade(), kind.clone(), AtomicU64::new(0));
    let back = builder(&bus, &kind).aggregate(move |entry| {
        if entry.local().is_none() && went.fetch_add(1, Ordering::Relaxed) == 0 {
            let topic = weak.upgrade()?.topic("states").ok()?;
            topic.publish(its.message(state(entry.id(), 9)));
        }
        let number = number(&its, entry.local()?);
        Some(its.build(state(entry.id(), number)).aggregate().finish())
    });
    let cache = back.max_entries(1).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    for (number, id) in ["first", "second"].into_iter().enumerate() {
        topic.publish(kind.message(state(id, number as u64)));
        bus.advance(Duration::from_millis(1));
    }
    bus.run_until_idle();
    assert_eq!(number_of(&kind, cache.get(&kind, "first")), Some(9), "it did not come back");
    assert_eq!(cache.len(), 1);
}

#[test]
fn limits_out_of_their_range_are_refused() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let said = |builder: CacheBuilder| builder.build().unwrap_err().to_string();
    let ttl = |ttl| said(builder(&bus, &kind).ttl(ttl));
    let allowed = "allowed is 1000 to 31536000000000";
    assert_eq!(ttl(Duration::ZERO), format!("cache: ttl in microseconds is 0; {allowed}"));
    assert_eq!(ttl(Duration::from_micros(999)), format!("cache: ttl in microseconds is 999; {allowed}"));
    assert!(ttl(Duration::MAX).ends_with(allowed));
    let none = said(builder(&bus, &kind).max_entries(0));
    assert_eq!(none, "cache: max_entries is 0; allowed is 1 to 4294967295");
}

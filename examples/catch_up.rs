//! Joining late: a second console gets what stands in the cache first, and then every change, while phones ring all the
//! time; it ends with the very table of the one that was there from the start.
//!
//! `cargo run --example catch_up`

use stasis_bus::{Bus, Cache, CacheUpdate, Error, MessageType, Overflow, SubscriptionBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;

struct Phone {
    name: String,
    calls: u32,
}

/// What one console shows, from its messages alone.
type Table = Arc<Mutex<BTreeMap<String, u32>>>;

/// A console is slower than the phones: of each it wants the latest state, and none forgotten.
fn console(
    place: &'static str,
    updates: &MessageType<CacheUpdate>,
    phones: &MessageType<Phone>,
    subscription: SubscriptionBuilder<'_>,
) -> Result<(stasis_bus::Subscription, Table), Error> {
    let table = Table::default();
    let (shown, phones) = (table.clone(), phones.clone());
    let mut told = 0;
    let latest =
        subscription.overflow(Overflow::conflate_by_entry()).on_end(move |_| println!("{place}: off"));
    let subscription = latest.start_typed(updates, move |update, delivery| {
        if update.is_snapshot() {
            told += 1;
        } else if told > 0 {
            println!(
                "{place}: {told} phones stood when it came, message {} is the first change",
                delivery.seq()
            );
            told = 0;
        }
        let mut table = shown.lock().unwrap();
        match update.new.as_ref().and_then(|state| phones.read(state)) {
            Some(phone) => _ = table.insert(phone.name.clone(), phone.calls),
            None => _ = table.remove(update.id()),
        }
    })?;
    Ok((subscription, table))
}

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let phones = bus.message_type::<Phone>("phone")?;
    let cache = Cache::builder(&bus).id_of(&phones, |phone| &phone.name).build()?;
    let topic = bus.topic("phones")?;
    let _cached = topic.caching(&cache)?;

    let early = cache.snapshot_subscription("early");
    let (early, first) = console("early", bus.cache_updates(), &phones, early)?;
    let (late, second) = thread::scope(|scope| {
        for line in 0..3 {
            let (bus, topic, phones) = (&bus, &topic, &phones);
            scope.spawn(move || {
                for calls in 0..4_000 {
                    let name = format!("phone-{}", (calls * 7 + line) % 100);
                    let state = phones.message(Phone { name, calls });
                    topic.publish(if calls % 10 == 9 { bus.clear(&state) } else { state });
                }
            });
        }
        while cache.len() < 50 {
            thread::yield_now();
        }
        console("late", bus.cache_updates(), &phones, cache.snapshot_subscription("late"))
    })?;

    early.unsubscribe_and_join()?;
    late.unsubscribe_and_join()?;
    let (first, second) = (first.lock().unwrap(), second.lock().unwrap());
    assert_eq!(*first, *second, "they show the same");
    assert_eq!(first.len(), cache.len(), "and it is what stands");
    println!("both show the same {} phones", first.len());
    Ok(())
}

//! Typed handlers: values of one type instead of messages of any; the end is heard of by `on_end`.
//!
//! `cargo run --example typed`

use stasis_bus::{Bus, Error};
use std::collections::BTreeMap;
use std::sync::mpsc;

struct Sold {
    what: &'static str,
    cents: u32,
}

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let sold = bus.message_type::<Sold>("sold")?;
    let shop = bus.topic("shop")?;

    let (tell, told) = mpsc::channel();
    let (count, counted) = mpsc::channel();
    let till = shop.subscription("till").on_end(move |last| {
        println!("till: closed ({:?}), {} missed", last.end(), last.missed());
        let _ = tell.send(last.missed());
    });
    let mut totals = BTreeMap::new();
    let till = till.start_typed(&sold, move |Sold { what, cents }, delivery| {
        let total = totals.entry(*what).or_insert(0);
        *total += cents;
        println!("till: {what} for {cents}, {total} so far (message {})", delivery.seq());
        let _ = count.send(*cents);
    })?;

    for (what, cents) in [("bread", 320), ("milk", 110), ("bread", 320)] {
        shop.publish(sold.message(Sold { what, cents }));
    }
    till.unsubscribe_and_join()?;
    assert_eq!(counted.iter().sum::<u32>(), 750);
    assert_eq!(told.recv(), Ok(0));
    Ok(())
}

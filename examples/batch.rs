//! Batches: a journal on a disk. An fsync takes milliseconds, and one of them for each line would be all that the journal
//! does; one for everything that came meanwhile keeps up with any publisher.
//!
//! `cargo run --example batch`

use stasis_bus::{Batch, Bus, Dispatch};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

const LINES: usize = 1_000;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("stasis-bus-journal-{}", std::process::id()));
    let mut file = BufWriter::new(File::create_new(&path)?);

    let bus = Bus::new()?;
    let line = bus.message_type::<String>("line")?;
    let lines = bus.topic("lines")?;
    let kind = line.clone();
    let (mut calls, mut largest) = (0, 0);
    let journal = lines.subscription("journal").accept(&line).dispatch(Dispatch::Dedicated).batch_max(512);
    let journal = journal.start_batch(move |batch: &mut Batch<'_>| {
        if batch.is_final() {
            println!("{calls} calls, the largest with {largest} lines");
            return;
        }
        (calls, largest) = (calls + 1, largest.max(batch.len()));
        for delivery in batch {
            if let Some(line) = delivery.read(&kind) {
                writeln!(file, "{line}").expect("the disk takes it");
            }
        }
        file.flush().and_then(|()| file.get_ref().sync_data()).expect("the disk has it");
    })?;

    for number in 0..LINES {
        lines.publish(line.message(format!("line {number}")));
    }
    journal.unsubscribe_and_join()?;

    let written: Vec<String> = BufReader::new(File::open(&path)?).lines().collect::<Result<_, _>>()?;
    std::fs::remove_file(&path)?;
    assert!(written.iter().enumerate().all(|(number, line)| *line == format!("line {number}")));
    assert_eq!(written.len(), LINES, "what was accepted is on the disk");
    Ok(())
}

//! The manager-protocol reader and writer of the switchboard, and the crate's own writer, on recorded hostile input.
//! The fuzz target `ami` checks the same for as long as one likes.

#[path = "../examples/switchboard/ami.rs"]
#[allow(dead_code)]
mod ami;
mod ami_checks;

use ami_checks::{Input, check, check_stream};
use arbitrary::{Arbitrary, Unstructured};
use std::fs;
use std::path::Path;

#[test]
fn recorded_streams_hold() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds/ami");
    let mut count = 0;
    for file in fs::read_dir(&seeds).expect("the seeds are there") {
        let bytes = fs::read(file.expect("readable").path()).expect("readable");
        check_stream(&bytes, &[1, 7]);
        let input = Input::arbitrary(&mut Unstructured::new(&bytes)).expect("any bytes are an input");
        check(&input);
        count += 1;
    }
    assert!(count > 0, "no stream in {}", seeds.display());
}

#[test]
fn hostile_streams_hold() {
    let long = vec![b'x'; 10_000_000];
    let streams: [&[u8]; 8] = [
        b"",
        b"Event: A\r\nKey: 1\r\n\r\nEvent: B\r\n\r\n",
        b"Event: A\r\nEvent: B\r\n\r\n",
        b"Event: A\nKey: 1\n\nEvent: B\r\n\r\n",
        b"\xff\xfe\r\n\r\nEvent: B\r\n\r\n",
        b"Event: A\r\nEvent\t: B\r\n: no key\r\n\r\n",
        b"Asterisk Call Manager/9\r\nResponse: Success\r\nEvent : x\r\n\r\nrest",
        &long,
    ];
    for stream in streams {
        check_stream(stream, &[1000, 3]);
    }
}

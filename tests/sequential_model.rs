//! A whole bus in manual mode against a simple sequential model: the recorded cases, and three thousand made-up ones.
//! The fuzz target `bus` runs the same for as long as one likes.

mod model;

use arbitrary::{Arbitrary, Unstructured};
use model::Script;
use std::fs;
use std::path::Path;

const CASES: u64 = 3_000;

fn run(bytes: &[u8]) {
    if let Ok(script) = Script::arbitrary(&mut Unstructured::new(bytes)) {
        model::run(&script);
    }
}

/// A sequence that looks random and is the same everywhere (splitmix64).
struct Numbers(u64);

impl Iterator for Numbers {
    type Item = u64;
    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ (z >> 31))
    }
}

#[test]
fn g1_g2_g6_g7_g9_made_up_cases_agree_with_the_model() {
    for case in 0..CASES {
        let mut numbers = Numbers(case);
        let length = numbers.next().unwrap_or_default() % 2_000;
        let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).take(length as usize).collect();
        run(&bytes);
    }
}

#[test]
fn g1_g2_g6_g7_g9_recorded_cases_agree_with_the_model() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds/bus");
    let files = fs::read_dir(&seeds).expect("the seeds are there").map(|file| file.expect("readable").path());
    let mut count = 0;
    for file in files {
        println!("{}", file.display());
        run(&fs::read(&file).expect("readable"));
        count += 1;
    }
    assert!(count > 0, "no case in {}", seeds.display());
}

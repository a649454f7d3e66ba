//! Input for what the fuzz targets check: the recorded cases of `tests/seeds`, and made-up ones.

#![allow(dead_code)]

use std::fs;
use std::ops::Range;
use std::path::Path;

/// Runs every case recorded for that target. Returns how many there were.
pub(crate) fn recorded(target: &str, mut run: impl FnMut(&[u8])) -> usize {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds").join(target);
    let files = fs::read_dir(&seeds).expect("the seeds are there").map(|file| file.expect("readable").path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    for file in &files {
        // Shown when it fails.
        println!("{}", file.display());
        run(&fs::read(file).expect("readable"));
    }
    files.len()
}

/// Runs the cases of those numbers, of random bytes that are the same each time.
pub(crate) fn made_up(cases: Range<u64>, longest: u64, mut run: impl FnMut(&[u8])) {
    for case in cases {
        println!("case {case}");
        let mut numbers = Numbers(case);
        let length = numbers.next().unwrap_or_default() % longest;
        let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).take(length as usize).collect();
        run(&bytes);
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

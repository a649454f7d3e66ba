//! Times as people write them: a whole number and a unit.

use std::time::Duration;

/// Largest last.
const UNITS: [(&str, u64); 5] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("min", 60_000_000), ("h", 3_600_000_000)];

pub(super) fn read(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*micros).map(Duration::from_micros)
}

/// In the largest unit that leaves no rest.
pub(super) fn written(time: Duration) -> String {
    let micros = time.as_micros();
    let fits = |unit: &&(&str, u64)| micros > 0 && micros.is_multiple_of(u128::from(unit.1));
    let (name, unit) = UNITS.iter().rev().find(fits).unwrap_or(&("s", 1));
    format!("{}{name}", micros / u128::from(*unit))
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (text, micros) in
            [("0s", 0), ("7us", 7), ("2ms", 2_000), ("90s", 90_000_000), ("2h", 7_200_000_000)]
        {
            let time = Duration::from_micros(micros);
            assert_eq!((read(text), written(time)), (Some(time), text.to_owned()));
        }
        assert_eq!(read("1min"), Some(Duration::from_secs(60)));
        for text in ["", "1", "s", "1.5s", "-1s", "1 s", "1S", "18446744073709551615h", "1sec", "\u{0661}s"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}

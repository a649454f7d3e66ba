//! Figures as people read them.

use std::time::Duration;

/// `4812` as `4,812`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits at most and a unit: `812 ns`, `3.1 ms`, `12 s`, `4.2 min`, `3.5 h`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        _ if time.is_zero() => return "0".to_owned(),
        s if s < 999.5e-9 => (s * 1e9, "ns"),
        s if s < 999.5e-6 => (s * 1e6, "µs"),
        s if s < 999.5e-3 => (s * 1e3, "ms"),
        s if s < 119.5 => (s, "s"),
        s if s < 7_170.0 => (s / 60.0, "min"),
        s if s < 172_000.0 => (s / 3_600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    // One digit behind the point where it says something: 3.1 ms, but 12 s and 812 ns.
    let text = if value < 9.95 && unit != "ns" { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// `1,536 B`, `12 KiB`, `3,481 KiB`: at least two digits, rounded down.
pub(crate) fn bytes(number: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, size)| number >= 10 * size) {
        Some((unit, size)) => format!("{} {unit}", count(number / size)),
        None => format!("{} B", count(number)),
    }
}

/// At most `width` characters: a longer name loses its middle, since names differ at both ends.
pub(crate) fn shorten(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let tail = (width - 1) / 2;
    let head = width - 1 - tail;
    let (start, end): (String, String) =
        (name.chars().take(head).collect(), name.chars().skip(length - tail).collect());
    format!("{start}…{end}")
}

/// `1 message`, `2 messages`.
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Durations in JSON are seconds, as in metrics.
#[cfg(feature = "json")]
pub(crate) fn seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

/// The same for what may not be known.
#[cfg(feature = "json")]
pub(crate) fn some_seconds<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.serialize_some(&time.as_secs_f64()),
        None => to.serialize_none(),
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        let times = [
            (0, "0"),
            (64, "64 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (3_100_000, "3.1 ms"),
            (999_600_000, "1 s"),
            (9_800_000_000, "9.8 s"),
            (12_000_000_000, "12 s"),
            (119_000_000_000, "119 s"),
            (252_000_000_000, "4.2 min"),
            (12_600_000_000_000, "3.5 h"),
            (200_000_000_000_000, "2.3 d"),
        ];
        for (nanoseconds, text) in times {
            assert_eq!(time(Duration::from_nanos(nanoseconds)), text);
        }
        assert_eq!((bytes(1_536), bytes(12 << 10)), ("1,536 B".to_owned(), "12 KiB".to_owned()));
        assert_eq!(shorten("channel:PJSIP/alice-00000001", 16), "channel:…0000001");
        assert_eq!(shorten("ääää", 3), "ä…ä");
        assert_eq!(shorten("short", 16), "short");
    }
}

//! Percentiles of latencies.

use crate::bench::Sample;

const PARTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// The sample with p50, p99 and p99.9 of these nanoseconds.
pub fn add(sample: Sample, mut latencies: Vec<u64>) -> Sample {
    latencies.sort_unstable();
    PARTS.iter().fold(sample, |sample, (name, part)| {
        let at = (latencies.len().saturating_sub(1) as f64 * part).round() as usize;
        let latency = latencies.get(at).copied().unwrap_or_default();
        sample.with(*name, "ns", latency as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Tally;

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let sample = add(Sample::new(Tally::default(), Tally::default()), (1..=1001).rev().collect());
        let values: Vec<f64> = sample.figures.iter().map(|figure| figure.value).collect();
        assert_eq!(values, [501.0, 991.0, 1000.0]);
    }
}

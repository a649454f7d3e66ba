//! How cost grows with size: the exponent of the power law that fits best, 0 for not at all, 1 for in proportion.
//!
//! A repetition runs a contestant of another scenario at every size, one after the other.

use super::{aggregate, cache, fan_out};
use crate::allocator::Allocator;
use crate::bench::{Contestant, Effort, Outcome, Sample, Scenario, Tally};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario(
            "growth-topics",
            "a publish, against the number of topics forwarded to one, 10 to 100000",
            topics(),
        ),
        scenario(
            "growth-subscribers",
            "a publish until all have it, against the number of subscribers, 1 to 1000",
            subscribers(),
        ),
        scenario("growth-cache", "a read, against the number of objects, 1000 to 1000000", cache::growing()),
    ]
}

fn scenario(name: &str, about: &str, contestants: Vec<Contestant>) -> Scenario {
    let about = format!("exponent of {about}");
    Scenario { allocators: &[Allocator::Mimalloc], ..Scenario::timed("growth", name, about, contestants) }
}

fn topics() -> Vec<Contestant> {
    const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
    ["stasis pool", "stasis inline"].map(|name| against(name, &SIZES, aggregate::contestants)).into()
}

fn subscribers() -> Vec<Contestant> {
    let of = |width| fan_out::scenario_of(width).contestants;
    ["stasis pool", "stasis inline"].map(|name| against(name, &fan_out::WIDTHS, of)).into()
}

/// The contestant of that name at every size.
fn against(name: &str, sizes: &'static [usize], at: impl Fn(usize) -> Vec<Contestant>) -> Contestant {
    let one = |size| at(size).into_iter().find(|one| one.name == name).expect("a contestant of that name");
    let all: Vec<Contestant> = sizes.iter().map(|size| one(*size)).collect();
    Contestant::new("stasis", name, all[0].wait, move |effort| {
        let costs = all.iter().map(|one| cost(one, effort)).collect::<Outcome<Vec<f64>>>()?;
        Ok(sample(sizes.len()).with("growth", "exponent", exponent(sizes, &costs)))
    })
}

/// The repetition that brings it has its own proof.
fn cost(contestant: &Contestant, effort: Effort) -> Outcome<f64> {
    let figures = contestant.run(effort)?;
    Ok(figures.first().ok_or("no figure")?.value)
}

/// Each size brought its own proof.
pub fn sample(sizes: usize) -> Sample {
    let done = Tally { count: sizes as u64, sum: 0 };
    Sample::new(done, done)
}

/// The slope of the straight line through the logarithms, by least squares.
pub fn exponent(sizes: &[usize], costs: &[f64]) -> f64 {
    let points: Vec<(f64, f64)> =
        sizes.iter().zip(costs).map(|(size, cost)| ((*size as f64).ln(), cost.ln())).collect();
    let count = points.len() as f64;
    let middle = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (middle(|point| point.0), middle(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    together / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn exponents_are_those_of_power_laws() {
        let sizes = [1, 10, 100, 1000];
        let power = |exponent: f64| sizes.map(|size| 3.0 * (size as f64).powf(exponent));
        for wanted in [0.0, 0.15, 1.0, 2.0] {
            assert!((exponent(&sizes, &power(wanted)) - wanted).abs() < 1e-9);
        }
    }
}

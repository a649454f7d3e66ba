//! What is to happen at a moment of recorded time.

use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Moments {
    /// Still to come, the last one first.
    timed: Vec<(Duration, Moment)>,
    /// Switches that go when their recordings are over.
    with_the_recording: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A console comes.
    Join,
    /// The switch of that recording goes.
    Drop(usize),
}

impl Moments {
    /// `drops` says which switch goes, and when: None is the end of its recording.
    pub(crate) fn new(
        join: Option<Duration>,
        drops: impl IntoIterator<Item = (usize, Option<Duration>)>,
    ) -> Self {
        let mut moments = Self::default();
        moments.timed.extend(join.map(|at| (at, Moment::Join)));
        for (recording, at) in drops {
            match at {
                Some(at) => moments.timed.push((at, Moment::Drop(recording))),
                None => moments.with_the_recording.push(recording),
            }
        }
        moments.timed.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        moments
    }

    /// Those that come before what is played at that time. Each comes once.
    pub(crate) fn before(&mut self, played: Duration) -> Vec<Moment> {
        let due = self.timed.iter().rev().take_while(|(at, _)| *at < played).count();
        let due = self.timed.split_off(self.timed.len() - due);
        due.into_iter().rev().map(|(_, moment)| moment).collect()
    }

    /// Who goes with that recording; again in every round.
    pub(crate) fn goes_with(&self, recording: usize) -> bool {
        self.with_the_recording.contains(&recording)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_once_and_in_order() {
        let seconds = Duration::from_secs;
        let drops = [(0, Some(seconds(5))), (1, None), (2, Some(seconds(1)))];
        let mut moments = Moments::new(Some(seconds(3)), drops);
        assert_eq!(moments.before(seconds(1)), []);
        assert_eq!(moments.before(seconds(4)), [Moment::Drop(2), Moment::Join]);
        assert_eq!(moments.before(Duration::MAX), [Moment::Drop(0)]);
        assert_eq!(moments.before(Duration::MAX), []);
        assert!([0, 1, 2, 1].map(|recording| moments.goes_with(recording)) == [false, true, false, true]);
    }
}

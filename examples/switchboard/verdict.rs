//! The derived rows against Asterisk's, recording by recording and round by round.

use crate::cdr::compare::{Difference, compare};
use crate::cdr::row::Row;
use crate::playlist::Answers;
use crate::rounds::{PartBegins, Round};
use std::collections::BTreeMap;

/// Most differences that a verdict lists.
const DIFFERENCES_LISTED: usize = 40;
/// Most verdicts that are kept, so that a replay without end needs no memory without end.
const VERDICTS_KEPT: usize = 100;

/// Collects the rows of a recording and compares them when it is over.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    answers: Answers,
    /// All recordings are played at once.
    is_together: bool,
    part: PartBegins,
    /// Of each recording.
    rows: BTreeMap<usize, Vec<Row>>,
    verdicts: Verdicts,
}

/// How good the rows are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    pub(crate) listed: Vec<Verdict>,
    /// Others, which differed from those before them.
    pub(crate) unlisted: u64,
    /// Rows of Asterisk that were compared, in all rounds.
    pub(crate) rows: u64,
    /// Of these the equal ones.
    pub(crate) equal: u64,
}

/// One recording in one round, or in several that came out alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) recording: usize,
    pub(crate) first_round: u32,
    pub(crate) last_round: u32,
    pub(crate) rows: usize,
    pub(crate) equal: usize,
    /// Those of the first of the rounds, and at their end the rows that are missing altogether.
    pub(crate) differences: Vec<Difference>,
    /// More that are not listed.
    pub(crate) more: usize,
}

impl Judge {
    pub(crate) fn new(answers: Answers, is_together: bool) -> Self {
        Self { answers, is_together, ..Self::default() }
    }

    /// Rows are kept only where there is something to compare with: a stream without end has rows
    /// without end.
    ///
    /// `side` is the recording, of several that are played at once.
    pub(crate) fn add(&mut self, side: Option<usize>, rows: Vec<Row>) {
        let recording = side.unwrap_or(self.part.recording);
        if !rows.is_empty() && self.answers.get(recording).is_some_and(Option::is_some) {
            self.rows.entry(recording).or_default().extend(rows);
        }
    }

    /// What was played is over.
    pub(crate) fn begin(&mut self, part: &PartBegins) {
        self.judge();
        self.rows.clear();
        self.part = part.clone();
    }

    /// The verdicts, and the rows of the last recording.
    pub(crate) fn finish(&mut self) -> (Verdicts, Vec<Row>) {
        self.judge();
        let rows = self.rows.remove(&self.part.recording).unwrap_or_default();
        (std::mem::take(&mut self.verdicts), rows)
    }

    fn judge(&mut self) {
        let all = if self.is_together { 0..self.answers.len() } else { 0..0 };
        let one = if self.is_together { None } else { Some(self.part.recording) };
        all.chain(one).for_each(|recording| self.judge_one(recording));
    }

    fn judge_one(&mut self, recording: usize) {
        let Some(Some(asterisk)) = self.answers.get(recording) else {
            return;
        };
        let Round { number, .. } = self.part.round;
        let expected: Vec<_> = asterisk.iter().map(|row| self.part.round.of_row(row)).collect();
        let mut found = compare(self.rows.get(&recording).map_or(&[], Vec::as_slice), &expected);
        found.differences.sort_by_key(Difference::is_missing);
        let more = found.differences.len().saturating_sub(DIFFERENCES_LISTED);
        found.differences.truncate(DIFFERENCES_LISTED);
        self.verdicts.add(Verdict {
            recording,
            first_round: number,
            last_round: number,
            rows: found.rows,
            equal: found.equal,
            differences: found.differences,
            more,
        });
    }
}

impl Verdicts {
    fn add(&mut self, verdict: Verdict) {
        self.rows += verdict.rows as u64;
        self.equal += verdict.equal as u64;
        let has_room = self.listed.len() < VERDICTS_KEPT;
        match self.listed.iter_mut().rfind(|last| last.recording == verdict.recording) {
            Some(last) if last.is_like(&verdict) && self.unlisted == 0 => {
                last.last_round = verdict.last_round
            }
            _ if has_room => self.listed.push(verdict),
            _ => self.unlisted += 1,
        }
    }
}

impl Verdict {
    /// Whether it says the same of a later round.
    fn is_like(&self, other: &Self) -> bool {
        let figures = |one: &Self| (one.rows, one.equal, one.differences.len() + one.more);
        figures(self) == figures(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> Row {
        Row { uniqueid: id.into(), ..Row::default() }
    }

    /// The judge's words on rounds in which those calls were derived; Asterisk has written of "a".
    fn judged(rounds: &[&str]) -> Verdicts {
        let mut judge = Judge::new(vec![Some(vec![row("a")])], false);
        for (number, ids) in (1..).zip(rounds) {
            let part = PartBegins { recording: 0, round: Round { number, shift: 0 } };
            if number > 1 {
                judge.begin(&part);
            }
            judge.add(None, ids.split(' ').map(row).collect());
        }
        judge.finish().0
    }

    #[test]
    fn rounds_that_come_out_alike_are_one_verdict() {
        let verdicts = judged(&["a", "a~2", "b", "a~4 x", "a~5 x"]);
        let told: Vec<_> =
            verdicts.listed.iter().map(|one| (one.first_round, one.last_round, one.equal)).collect();
        assert_eq!(told, [(1, 2, 1), (3, 3, 0), (4, 5, 1)]);
        assert_eq!((verdicts.rows, verdicts.equal, verdicts.unlisted), (5, 4, 0));
    }

    #[test]
    fn not_all_verdicts_of_a_replay_without_end_are_kept() {
        let rounds: Vec<_> = (0..250).map(|round| if round % 2 == 0 { "b" } else { "b x" }).collect();
        let verdicts = judged(&rounds);
        assert_eq!((verdicts.listed.len(), verdicts.unlisted, verdicts.rows), (100, 150, 250));
    }
}

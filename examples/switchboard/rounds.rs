//! The same recording again and again: each round with ids and times of its own.
//!
//! In the first round everything is as it was recorded. In a later one each id bears the round's
//! mark (`IAX2/bob-15693~2`), and time goes on where the last round ended, by whole seconds, so
//! that what is made of it differs in nothing else.

use crate::ami::Block;
use crate::cdr::row::{Row, Second};
use crate::event::Stamp;
use std::collections::HashSet;

const SECOND: i64 = 1_000_000;
/// How the keys of headers end whose value is an id, in lower case.
const ID_KEYS: [&str; 3] = ["channel", "uniqueid", "linkedid"];

/// One recording of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// From 1.
    pub(crate) round: u32,
    /// Which one, from 0.
    pub(crate) recording: usize,
}

impl Part {
    pub(crate) const fn first() -> Self {
        Self { round: 1, recording: 0 }
    }
}

/// What the consumers are told where another recording begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartBegins {
    pub(crate) recording: usize,
    pub(crate) round: Round,
}

/// One round of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// From 1.
    pub(crate) number: u32,
    /// Microseconds later than recorded; whole seconds.
    pub(crate) shift: i64,
}

/// Rewrites the events of one round.
#[derive(Debug)]
pub(crate) struct Rewriter {
    round: Round,
    mark: String,
    /// Ids of channels and bridges that are there.
    known: HashSet<String>,
}

/// How long the first round is.
#[derive(Debug, Default)]
pub(crate) struct Span(Option<(Stamp, Stamp)>);

impl Default for Round {
    fn default() -> Self {
        Self { number: 1, shift: 0 }
    }
}

impl Round {
    pub(crate) fn new(number: u32, span: &Span) -> Self {
        Self { number, shift: span.period().saturating_mul(i64::from(number) - 1) }
    }

    fn mark(&self) -> String {
        if self.number == 1 { String::new() } else { format!("~{}", self.number) }
    }

    /// The row as Asterisk would have written it in this round.
    pub(crate) fn of_row(&self, row: &Row) -> Row {
        let mark = self.mark();
        let id = |id: &str| if id.is_empty() { String::new() } else { marked(id, &mark) };
        let later = |time: Option<Second>| time.map(|time| Second(time.0 + self.shift / SECOND));
        Row {
            channel: id(&row.channel),
            other_channel: id(&row.other_channel),
            uniqueid: id(&row.uniqueid),
            start: later(row.start),
            answer: later(row.answer),
            end: later(row.end),
            ..row.clone()
        }
    }
}

impl Span {
    pub(crate) fn see(&mut self, at: Stamp) {
        let (first, last) = self.0.unwrap_or((at, at));
        self.0 = Some((first.min(at), last.max(at)));
    }

    /// From the begin of one round to that of the next, in whole seconds: a little longer than the
    /// round.
    fn period(&self) -> i64 {
        self.0.map_or(0, |(first, last)| ((last.0 - first.0) / SECOND + 2) * SECOND)
    }
}

impl Rewriter {
    pub(crate) fn new(round: Round) -> Self {
        Self { mark: round.mark(), round, known: HashSet::new() }
    }

    /// Makes the block one of this round.
    pub(crate) fn rewrite(&mut self, block: &mut Block) {
        if self.round.number == 1 {
            return;
        }
        self.follow(block);
        for header in &mut block.headers {
            if header.key == "Timestamp" {
                self.shift(&mut header.value);
            } else if is_id(&header.key) && !header.value.is_empty() {
                header.value = marked(&header.value, &self.mark);
            } else {
                self.mention(&mut header.value);
            }
        }
    }

    fn shift(&self, time: &mut String) {
        if let Some(stamp) = Stamp::parse(time) {
            let later = stamp.0.saturating_add(self.round.shift);
            *time = format!("{}.{:06}", later / SECOND, later % SECOND);
        }
    }

    /// Ids also stand where no key tells, alone or in a list: `BRIDGEPEER` and the like.
    fn mention(&self, value: &mut String) {
        if value.split(',').any(|part| self.known.contains(part)) {
            let mark =
                |part| if self.known.contains(part) { marked(part, &self.mark) } else { part.to_owned() };
            *value = value.split(',').map(mark).collect::<Vec<_>>().join(",");
        }
    }

    /// Knows who is there.
    fn follow(&mut self, block: &Block) {
        let (keys, is_new) = match block.name.as_str() {
            "Newchannel" => (["Channel", "Uniqueid"], true),
            "Hangup" => (["Channel", "Uniqueid"], false),
            "BridgeCreate" => (["BridgeUniqueid"; 2], true),
            "BridgeDestroy" => (["BridgeUniqueid"; 2], false),
            _ => return,
        };
        for id in keys.iter().filter_map(|key| block.get(key)).filter(|id| !id.is_empty()) {
            match is_new {
                true => drop(self.known.insert(id.to_owned())),
                false => drop(self.known.remove(id)),
            }
        }
    }
}

fn is_id(key: &str) -> bool {
    let key = key.as_bytes();
    ID_KEYS.iter().any(|end| {
        key.len().checked_sub(end.len()).is_some_and(|at| key[at..].eq_ignore_ascii_case(end.as_bytes()))
    })
}

/// The halves of a Local channel end in `;1` and `;2`, and still do.
fn marked(id: &str, mark: &str) -> String {
    match id.rsplit_once(';') {
        Some((name, half @ ("1" | "2"))) => format!("{name}{mark};{half}"),
        _ => format!("{id}{mark}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::{RICH, SIMPLE, blocks, unpack};

    /// Whether the text is an id of this kind of recording, or a list with one in it.
    fn has_id(value: &str, ids: &HashSet<String>) -> bool {
        value.split(',').any(|part| ids.contains(part))
    }

    fn ids(blocks: &[Block]) -> HashSet<String> {
        let keys = ["Channel", "Uniqueid", "BridgeUniqueid"];
        let begins =
            blocks.iter().filter(|block| matches!(block.name.as_str(), "Newchannel" | "BridgeCreate"));
        begins.flat_map(|block| keys.iter().filter_map(|key| block.get(key))).map(str::to_owned).collect()
    }

    #[test]
    fn in_a_later_round_no_id_and_no_time_is_that_of_the_first() {
        for recording in [SIMPLE, RICH] {
            let mut blocks = blocks(&unpack(recording));
            blocks.retain(|block| block.name != "Cdr");
            let (first, ids) = (blocks.clone(), ids(&blocks));
            let mut rewriter = Rewriter::new(Round { number: 2, shift: 70 * SECOND });
            blocks.iter_mut().for_each(|block| rewriter.rewrite(block));
            for (block, first) in blocks.iter().zip(&first) {
                assert!(block.headers.iter().all(|header| !has_id(&header.value, &ids)), "{block:?}");
                let time = |block: &Block| block.get("Timestamp").and_then(Stamp::parse).map(|stamp| stamp.0);
                assert_eq!(time(block), time(first).map(|time| time + 70 * SECOND), "{block:?}");
            }
            // Only the bridge of the parking lot is never destroyed.
            assert!(rewriter.known.len() <= 1, "all have gone: {:?}", rewriter.known);
        }
    }

    #[test]
    fn the_first_round_is_as_recorded() {
        let block = &blocks(&unpack(RICH))[100];
        let mut same = block.clone();
        Rewriter::new(Round::default()).rewrite(&mut same);
        assert_eq!(same, *block);
    }

    #[test]
    fn the_halves_of_a_local_channel_still_end_as_halves() {
        assert_eq!(marked("Local/2021@internal-00000015;1", "~2"), "Local/2021@internal-00000015~2;1");
        assert_eq!(marked("IAX2/bob-15693", "~2"), "IAX2/bob-15693~2");
        assert_eq!(marked("odd;name", "~2"), "odd;name~2");
    }

    #[test]
    fn a_round_begins_after_the_last_one_by_whole_seconds() {
        let mut span = Span::default();
        assert_eq!(Round::new(3, &span).shift, 0, "no event bears a time");
        for at in [10_500_000, 10_400_000, 12_500_000] {
            span.see(Stamp(at));
        }
        let shifts = [1, 2, 3].map(|number| Round::new(number, &span).shift);
        assert_eq!(shifts, [0, 4 * SECOND, 8 * SECOND]);
        assert!(10_400_000 + shifts[1] > 12_500_000);
    }
}

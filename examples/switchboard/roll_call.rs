//! After a gap in the stream: which channels and bridges are still there?
//!
//! Whoever was there before the gap and is not named by the manager has ended unseen. For each of them the event is made
//! that was missed, so that everybody who listens, the call records first, lets go of it. When and how it ended nobody knows:
//! a made `Hangup` has no time, and cause 0.
//!
//! Nobody is taken for gone who is not: what appears or ends while the answer is under way is in events, which come in
//! order with it; and only who was there before the gap is missed.

use crate::ami::{Block, Header};
use std::collections::HashSet;

/// Answers are known by it; they are not part of the stream.
const ACTION_ID: &str = "switchboard-roll-call";

/// What is known of both kinds.
#[derive(Debug)]
struct Kind {
    question: &'static str,
    item: &'static str,
    complete: &'static str,
    key: &'static str,
    end: &'static str,
}

const CHANNELS: Kind = Kind {
    question: "CoreShowChannels",
    item: "CoreShowChannel",
    complete: "CoreShowChannelsComplete",
    key: "Uniqueid",
    end: "Hangup",
};
const BRIDGES: Kind = Kind {
    question: "BridgeList",
    item: "BridgeListItem",
    complete: "BridgeListComplete",
    key: "BridgeUniqueid",
    end: "BridgeDestroy",
};

/// Who is missing.
#[derive(Debug, Default)]
pub(crate) struct RollCall {
    channels: HashSet<String>,
    bridges: HashSet<String>,
}

/// What a manager is asked after a gap.
pub(crate) fn questions() -> String {
    [CHANNELS, BRIDGES]
        .map(|kind| format!("Action: {}\r\nActionID: {ACTION_ID}\r\n\r\n", kind.question))
        .concat()
}

impl RollCall {
    /// There is a gap; these were there before it.
    pub(crate) fn begin(
        &mut self,
        channels: impl Iterator<Item = String>,
        bridges: impl Iterator<Item = String>,
    ) {
        (self.channels, self.bridges) = (channels.collect(), bridges.collect());
    }

    /// Takes an event if it is an answer: then those that are gone, as the events that were missed. Any other event is
    /// given back.
    pub(crate) fn take(&mut self, event: Block) -> Result<Vec<Block>, Block> {
        if event.get("ActionID") != Some(ACTION_ID) {
            return Err(event);
        }
        let gone = CHANNELS.take(&mut self.channels, &event);
        Ok(gone.or_else(|| BRIDGES.take(&mut self.bridges, &event)).unwrap_or_default())
    }
}

impl Kind {
    fn take(&self, missing: &mut HashSet<String>, event: &Block) -> Option<Vec<Block>> {
        if event.name == self.item {
            missing.remove(event.get(self.key).unwrap_or_default());
        }
        (event.name == self.complete).then(|| {
            let mut gone: Vec<String> = missing.drain().collect();
            gone.sort_unstable();
            gone.into_iter().map(|id| self.ended(id, event.line)).collect()
        })
    }

    fn ended(&self, id: String, line: u64) -> Block {
        let header = |key: &str, value: String| Header { key: key.to_owned(), value };
        let mut headers = vec![header(self.key, id)];
        if self.end == CHANNELS.end {
            headers.extend([header("Cause", "0".to_owned()), header("Cause-txt", "ended unseen".to_owned())]);
        }
        Block { name: self.end.to_owned(), headers, line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, headers: &[(&str, &str)]) -> Block {
        let headers =
            headers.iter().map(|(key, value)| Header { key: (*key).into(), value: (*value).into() });
        Block { name: name.to_owned(), headers: headers.collect(), line: 1 }
    }

    fn told(taken: Result<Vec<Block>, Block>) -> Vec<String> {
        let gone = taken.expect("an answer");
        gone.iter().map(|block| format!("{} {}", block.name, block.headers[0].value)).collect()
    }

    #[test]
    fn who_is_not_named_is_gone() {
        let mut roll_call = RollCall::default();
        let ids = |text: &'static str| text.split(' ').map(str::to_owned);
        roll_call.begin(ids("c b a"), ids("B A"));
        let id = ("ActionID", ACTION_ID);
        assert_eq!(told(roll_call.take(event("CoreShowChannel", &[id, ("Uniqueid", "b")]))), [""; 0]);
        assert_eq!(told(roll_call.take(event("BridgeListItem", &[id, ("BridgeUniqueid", "A")]))), [""; 0]);
        assert_eq!(told(roll_call.take(event("CoreShowChannelsComplete", &[id]))), ["Hangup a", "Hangup c"]);
        assert_eq!(told(roll_call.take(event("BridgeListComplete", &[id]))), ["BridgeDestroy B"]);
        assert_eq!(told(roll_call.take(event("CoreShowChannelsComplete", &[id]))), [""; 0], "once");
    }

    #[test]
    fn what_is_no_answer_is_given_back() {
        let mut roll_call = RollCall::default();
        let other = event("CoreShowChannelsComplete", &[("ActionID", "somebody else's")]);
        assert_eq!(roll_call.take(other.clone()), Err(other));
    }
}

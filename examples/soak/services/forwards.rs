//! A small web of topics whose edges come and go, cycles included: a message reaches every topic that edges lead to, once.

use super::Came;
use crate::dice::Dice;
use crate::verdict::Count;
use crate::yard::{Numbered, Yard};
use stasis_bus::{Dispatch, Forward, MessageType, Subscription, Topic};
use std::sync::Arc;

const TOPICS: usize = 6;
const STEPS: usize = 400;

/// One topic of the web, and who listens there.
struct Node {
    topic: Topic,
    came: Arc<Came>,
    due: u64,
    handle: Subscription,
}

impl Node {
    fn new(yard: &Arc<Yard>, kind: &MessageType<Numbered>, at: usize) -> Self {
        let topic = yard.bus.topic(&format!("web:{at}")).expect("a topic");
        let came = Arc::new(Came::default());
        let (yard2, came2, kind2) = (yard.clone(), came.clone(), kind.clone());
        let hear = move |delivery: &stasis_bus::Delivery<'_>| came2.hear(&yard2, &kind2, delivery);
        let builder = topic.subscription("web").accept(kind);
        let handle = match at % 4 {
            0 => builder.inline(hear),
            1 => builder.dispatch(Dispatch::Serial).start(hear),
            2 => builder.dispatch(Dispatch::Dedicated).start(hear),
            _ => builder.start(hear),
        };
        let handle = handle.expect("a subscription");
        Self { topic, came, due: 0, handle }
    }
}

type Edges = Vec<(usize, usize, Forward)>;

pub(super) fn run(yard: &Arc<Yard>, dice: &mut Dice) {
    let kind = yard.bus.message_type("hop").expect("a type");
    let mut nodes: Vec<_> = (0..TOPICS).map(|at| Node::new(yard, &kind, at)).collect();
    let (mut edges, mut number) = (Edges::new(), 0);
    for _ in 0..STEPS {
        match dice.below(4) {
            0 => {
                let (from, to) = (dice.index(TOPICS), dice.index(TOPICS));
                let forward = nodes[from].topic.forward_to(&nodes[to].topic).expect("a forward");
                edges.push((from, to, forward));
                yard.count(Count::Forwards);
            }
            1 if !edges.is_empty() => drop(edges.swap_remove(dice.index(edges.len()))),
            _ => {
                let at = dice.index(TOPICS);
                number += 1;
                nodes[at].topic.publish(kind.message(yard.numbered(number)));
                reached(&edges, at).into_iter().for_each(|at| nodes[at].due += 1);
            }
        }
    }
    for node in nodes {
        node.handle.unsubscribe_and_join().expect("outside of handlers");
        node.came.expect(yard, node.due, "through forwards");
    }
}

/// All topics that edges lead to from this one, itself included.
fn reached(edges: &Edges, from: usize) -> Vec<usize> {
    let mut found = vec![from];
    let mut at = 0;
    while at < found.len() {
        for (source, target, _) in edges {
            if *source == found[at] && !found.contains(target) {
                found.push(*target);
            }
        }
        at += 1;
    }
    found
}

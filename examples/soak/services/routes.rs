//! A router whose routes change: every message finds the route that stood when it was handled, and none is called after
//! it was removed.

use super::Came;
use crate::dice::Dice;
use crate::verdict::{Count, Kind};
use crate::yard::{Numbered, Yard};
use stasis_bus::{Dispatch, Handled, MessageType, Router};
use std::sync::Arc;
use std::time::Duration;

const KINDS: usize = 4;
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));
const MODES: [Dispatch; 3] = [Dispatch::Pool, Dispatch::Serial, Dispatch::Dedicated];

struct Route {
    kind: MessageType<Numbered>,
    came: Arc<Came>,
    stands: bool,
    due: u64,
}

impl Route {
    /// Comes, changes its closure, or goes.
    fn change(&mut self, yard: &Arc<Yard>, router: &Router, dice: &mut Dice) {
        let (yard2, came) = (yard.clone(), self.came.clone());
        let call = move |value: &Numbered, delivery: &stasis_bus::Delivery<'_>| {
            came.note(&yard2, value.number, delivery.missed());
        };
        let stands = dice.one_in(2);
        let routes = router.routes();
        match (self.stands, stands) {
            (_, true) => _ = routes.replace(&self.kind, call).expect("the router stands"),
            (true, false) => {
                yard.verdict.equal(routes.remove_and_wait(&self.kind), Ok(true), Kind::Hung, "a route");
            }
            (false, false) => yard.verdict.equal(routes.remove(&self.kind), false, Kind::Other, "no route"),
        }
        self.stands = stands;
        yard.count(Count::Routes);
    }
}

pub(super) fn run(yard: &Arc<Yard>, dice: &mut Dice) {
    let topic = yard.bus.topic("routed").expect("a topic");
    let flush = yard.bus.message_type::<()>("flush").expect("a type");
    let router = topic.router("router").dispatch(dice.pick(&MODES)).route(&flush, |(), _| {});
    let router = router.start().expect("a router");
    let kind = |at| yard.bus.message_type(&format!("routed:{at}")).expect("a type");
    let route = |at| Route { kind: kind(at), came: Arc::default(), stands: false, due: 0 };
    let mut routes: Vec<_> = (0..KINDS).map(route).collect();
    for number in 1..=200 {
        let route = &mut routes[dice.index(KINDS)];
        if dice.one_in(8) {
            // What is queued goes by the routes of when it is handled.
            let flushed = router.publish_sync(flush.message(()), PATIENCE);
            yard.verdict.equal(flushed, Ok(Handled::Yes), Kind::Hung, "a router");
            route.change(yard, &router, dice);
        }
        topic.publish(route.kind.message(yard.numbered(number)));
        route.due += u64::from(route.stands);
    }
    router.unsubscribe_and_join().expect("outside of handlers");
    routes.iter().for_each(|route| route.came.expect(yard, route.due, "by a route"));
}

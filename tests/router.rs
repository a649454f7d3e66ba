//! Routers: one subscription whose messages go to routes by their types, changed while the bus runs.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
#[path = "router/end.rs"]
mod end;
#[path = "router/filter.rs"]
mod filter;
#[path = "router/in_flight.rs"]
mod in_flight;
#[path = "router/load.rs"]
mod load;
#[path = "router/panics.rs"]
mod panics;

use common::*;
use stasis_bus::{
    AmiEvent, Bus, BusBuilder, Cache, CachingTopic, Change, Crossing, Dispatch, EndReason, Error, Filter,
    Formatters, Handled, Message, MessageType, OnPanic, Overflow, PanicPlace, RouteError, Router, Routes,
    SubscribeError, Topic, WaitError,
};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

/// What a router can be. Inline is taken as Serial.
const MODES: [Dispatch; 4] = HANDLER_MODES;

struct Setup {
    bus: Bus,
    topic: Topic,
    up: MessageType<u64>,
    down: MessageType<u64>,
    text: MessageType<String>,
}

fn setup() -> Setup {
    on(Bus::builder())
}

fn manual() -> Setup {
    on(Bus::builder().manual())
}

fn on(builder: BusBuilder) -> Setup {
    let bus = builder.build().unwrap();
    let topic = bus.topic("t").unwrap();
    let ami = |text: &String, _: &Message| Some(AmiEvent::new("Text").header("Text", text));
    Setup {
        up: bus.message_type("up").unwrap(),
        down: bus.message_type("down").unwrap(),
        text: bus.define("text").ami(ami).declare().unwrap(),
        topic,
        bus,
    }
}

impl Setup {
    fn up(&self, value: u64) -> u64 {
        self.topic.publish(self.up.message(value)).accepted as u64
    }

    fn down(&self, value: u64) -> u64 {
        self.topic.publish(self.down.message(value)).accepted as u64
    }

    fn text(&self, text: &str) -> u64 {
        self.topic.publish(self.text.message(text.to_owned())).accepted as u64
    }

    /// Which of the three types anybody wants.
    fn wanted(&self) -> [bool; 3] {
        [self.topic.wants(&self.up), self.topic.wants(&self.down), self.topic.wants(&self.text)]
    }
}

/// Makes a closure keep what it names.
fn hold<T>(_: &T) {}

/// A router with one route that notes its values.
fn noting(setup: &Setup, mode: Dispatch) -> (Router, Log<u64>) {
    let log = Log::new();
    let noted = log.clone();
    let builder = setup.topic.router("r").dispatch(mode);
    (builder.route(&setup.up, move |value, _| noted.push(*value)).start().unwrap(), log)
}

// ---- where messages go ----------------------------------------------------------------------------------------------

#[test]
fn g2_messages_go_to_the_routes_of_their_types_in_order() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let log = Log::new();
        let [ups, downs, others] = [log.clone(), log.clone(), log.clone()];
        let text = setup.text.clone();
        let router = setup
            .topic
            .router("r")
            .dispatch(mode)
            .route(&setup.up, move |value, _| ups.push(format!("up {value}")))
            .route(&setup.down, move |value, delivery| {
                downs.push(format!("down {value} at {}", delivery.seq()))
            })
            .route_default(move |delivery| {
                if let Some(text) = delivery.read(&text) {
                    others.push(text.clone());
                }
            })
            .start()
            .unwrap();
        assert_eq!((setup.up(1), setup.down(2), setup.text("three"), setup.up(4)), (1, 1, 1, 1), "{mode}");
        router.unsubscribe_and_join().unwrap();
        // Its own Subscribe had position 0.
        assert_eq!(log.all(), ["up 1", "down 2 at 2", "three", "up 4"], "{mode}");
        end(&setup.bus);
    }
}

#[test]
fn the_dispatch_is_as_said_and_inline_is_serial() {
    let setup = setup();
    let dispatched = |mode| setup.topic.router("r").dispatch(mode).start().unwrap().dispatch();
    assert_eq!(
        MODES.map(dispatched),
        [Dispatch::Serial, Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated]
    );
    assert_eq!(setup.topic.router("r").start().unwrap().dispatch(), Dispatch::Pool);
    end(&setup.bus);
}

#[test]
fn serial_and_inline_run_on_the_publisher() {
    let _watched = watched();
    for mode in [Dispatch::Inline, Dispatch::Serial] {
        let setup = setup();
        let (tell, told) = mpsc::channel();
        let route = move |_: &u64, _: &stasis_bus::Delivery<'_>| tell.send(thread::current().id()).unwrap();
        let _router = setup.topic.router("r").dispatch(mode).route(&setup.up, route).start().unwrap();
        setup.up(1);
        assert_eq!(told.try_recv(), Ok(thread::current().id()), "{mode}: before publish returned");
    }
}

// ---- errors ---------------------------------------------------------------------------------------------------------

#[test]
fn a_type_has_one_route_and_a_second_one_is_named() {
    let setup = manual();
    let taken = RouteError::Taken { name: "up".to_owned(), updates: false };
    let twice = setup.topic.router("r").route(&setup.up, |_, _| {}).route(&setup.up, |_, _| {}).start();
    assert_eq!(twice.unwrap_err(), SubscribeError::Route(taken.clone()));
    assert!(taken.to_string().contains(r#""up""#) && taken.to_string().contains("replace()"), "{taken}");

    let (router, log) = noting(&setup, Dispatch::Pool);
    let count = Census::new();
    let alive = count.born();
    let refused = router.add(&setup.up, move |_, _| {
        hold(&alive);
    });
    assert_eq!((refused, count.alive()), (Err(taken), 0), "the refused closure is dropped");
    setup.up(1);
    setup.bus.run_until_idle();
    assert_eq!(log.all(), [1], "nothing has changed");

    let kind = setup.up.clone();
    router.add_update(&kind, |_, _| {}).unwrap();
    let taken = RouteError::Taken { name: "up".to_owned(), updates: true };
    assert_eq!(router.add_update(&kind, |_, _| {}), Err(taken.clone()));
    assert!(taken.to_string().contains("replace_update()"), "{taken}");
    assert_eq!(router.replace_update(&kind, |_, _| {}), Ok(true));
    assert_eq!(Error::from(taken.clone()), Error::Route(taken));
}

#[test]
fn foreign_types_are_refused_and_never_confused() {
    let setup = manual();
    let other = Bus::builder().manual().build().unwrap();
    // The number of a type of this bus.
    let foreign = loop {
        let kind = other.message_type::<u64>(&format!("type {}", other.message_types().len())).unwrap();
        if kind.id() == setup.up.id() {
            break kind;
        }
    };
    let error = RouteError::ForeignType(foreign.name().to_owned());
    let refused = setup.topic.router("r").route(&foreign, |_, _| {}).start();
    assert_eq!(refused.unwrap_err(), SubscribeError::Route(error.clone()));
    let (router, _) = noting(&setup, Dispatch::Pool);
    assert_eq!(router.add(&foreign, |_, _| {}), Err(error.clone()));
    assert_eq!(router.replace(&foreign, |_, _| {}), Err(error.clone()));
    assert_eq!(router.add_update(&foreign, |_, _| {}), Err(error));
    assert!(!router.remove(&foreign) && !router.remove_update(&foreign));
    assert_eq!(router.stats().routes, 1);
}

#[test]
fn what_start_refuses_is_dropped() {
    let setup = manual();
    let count = Census::new();
    let builder = || {
        let alive = count.born();
        setup.topic.router("r").route(&setup.up, move |_, _| {
            hold(&alive);
        })
    };
    let error = builder().dispatch(Dispatch::Stream).start().unwrap_err();
    assert!(matches!(error, SubscribeError::Unsuitable { option: "dispatch stream", .. }), "{error}");
    let named = setup.topic.subscription("r").accept(&setup.up).router().start().unwrap_err();
    assert!(named.to_string().contains("follows its routes"), "{named}");
    assert!(matches!(builder().capacity(0).start(), Err(SubscribeError::Capacity { value: 0, .. })));
    let builder_with_routes = builder();
    let routes = builder_with_routes.routes();
    drop(builder_with_routes);
    assert_eq!((count.alive(), setup.wanted()), (0, [false; 3]));
    assert_eq!(routes.add(&setup.down, |_, _| {}), Err(RouteError::Ended));
    assert!(!routes.remove(&setup.up) && !routes.clear_default() && !routes.unsubscribe());
    assert_eq!(format!("{routes:?}"), "Routes(ended)");
}

#[test]
fn nothing_is_added_once_it_has_ended() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let (router, _) = noting(&setup, mode);
        assert!(router.unsubscribe() && !router.unsubscribe());
        assert_eq!(router.add(&setup.down, |_, _| {}), Err(RouteError::Ended), "{mode}");
        assert_eq!(router.replace(&setup.up, |_, _| {}), Err(RouteError::Ended), "{mode}");
        assert_eq!(router.set_default(|_| {}), Err(RouteError::Ended), "{mode}");
        router.join().unwrap();
        assert_eq!(router.set_formatters(Formatters::AMI, |_| {}), Err(RouteError::Ended), "{mode}");
        assert!(!router.remove(&setup.up) && router.filter().is_none(), "{mode}");
        end(&setup.bus);
    }
}

// ---- options, figures -----------------------------------------------------------------------------------------------

#[test]
fn options_are_those_of_a_subscription() {
    let setup = manual();
    let (heard, marks) = mpsc::channel();
    let missed = Log::new();
    let noted = missed.clone();
    let router = setup
        .topic
        .router("small")
        .capacity(4)
        .overflow(Overflow::DropNewest)
        .water_marks(3, 1)
        .on_water_mark(move |mark| heard.send((mark.crossing, mark.depth)).unwrap())
        .route(&setup.up, move |_, delivery| noted.push(delivery.missed()))
        .start()
        .unwrap();
    assert_eq!((0..6).map(|value| setup.up(value)).sum::<u64>(), 4);
    assert_eq!(marks.try_recv(), Ok((Crossing::High, 3)));
    setup.bus.run_until_idle();
    assert_eq!(marks.try_iter().map(|(crossing, _)| crossing).collect::<Vec<_>>(), [Crossing::Low]);
    assert_eq!(missed.all().iter().sum::<u64>(), 2);
    let stats = router.stats();
    assert_eq!((stats.subscription.name.as_str(), stats.subscription.id), ("small", router.id()));
    assert_eq!((stats.routes, stats.update_routes, stats.has_default, stats.unrouted), (1, 0, false, 0));
    assert_eq!((stats.subscription.lost.refused, stats.subscription.capacity), (2, 4));
    assert_eq!((router.name(), router.topic().name()), ("small", "t"));
    let text = format!("{router:?}");
    assert!(
        text.contains("small") && text.contains("routes: 1") && text.contains("has_default: false"),
        "{text}"
    );
}

// ---- user code ------------------------------------------------------------------------------------------------------

/// Everything that may be done with a router, while others do.
fn everything(setup: &Setup, routes: &Routes) {
    let brief = setup.bus.message_type::<u8>("brief").unwrap();
    let _ = routes.replace(&brief, |_, _| {});
    let _ = routes.replace_update(&brief, |_, _| {});
    let _ = routes.set_formatters(Formatters::AMI, |_| {});
    setup.topic.publish(brief.message(1));
    routes.remove(&brief);
    routes.remove_update(&brief);
    routes.clear_default();
    drop((format!("{routes:?}"), setup.bus.stats().to_string()));
}

#[test]
fn g8_routes_and_their_drops_may_do_anything() {
    let _watched = watched();
    for mode in MODES {
        let setup = Arc::new(setup());
        let rounds = Arc::new(AtomicUsize::new(0));
        let elsewhere = |routes: Routes| {
            let (setup, rounds) = (Arc::downgrade(&setup), rounds.clone());
            move || {
                let Some(setup) = setup.upgrade() else { return };
                everything(&setup, &routes);
                // What another thread waited for would hang here.
                thread::scope(|scope| drop(scope.spawn(|| everything(&setup, &routes)).join()));
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        };
        let builder = setup.topic.router("r").dispatch(mode);
        let call = elsewhere(builder.routes());
        let drops: Vec<_> = (0..4).map(|_| on_drop(elsewhere(builder.routes()))).collect();
        let [replaced, removed, refused, last] = drops.try_into().unwrap_or_else(|_| unreachable!());
        let router = builder
            .route(&setup.up, move |_, _| call())
            .route(&setup.down, move |_, _| hold(&replaced))
            .start()
            .unwrap();
        setup.up(1);
        eventually(|| rounds.load(Ordering::SeqCst) == 1);
        router.replace(&setup.down, move |_, _| hold(&removed)).unwrap();
        router.add(&setup.up, move |_, _| hold(&refused)).unwrap_err();
        router.remove(&setup.down);
        // By the router, if it has not let go of its last call.
        eventually(|| rounds.load(Ordering::SeqCst) == 4);
        router.add(&setup.down, move |_, _| hold(&last)).unwrap();
        router.unsubscribe_and_join().unwrap();
        assert_eq!(rounds.load(Ordering::SeqCst), 5, "{mode}");
        assert_eq!(setup.bus.stats().panics, 0);
        end(&setup.bus);
    }
}

#[test]
fn a_route_may_remove_itself_and_add_others() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let log = Log::new();
        let builder = setup.topic.router("r").dispatch(mode);
        let (routes, noted, up, census) = (builder.routes(), log.clone(), setup.up.clone(), Census::new());
        let alive = census.born();
        let router = builder
            .route(&setup.up, move |value, _| {
                assert!(routes.remove(&up));
                let second = noted.clone();
                routes.add(&up, move |value, _| second.push(1000 + value)).unwrap();
                // Still there: what it holds lives until it returns.
                noted.push(*value);
                hold(&alive);
            })
            .start()
            .unwrap();
        (1..4).for_each(|value| assert_eq!(setup.up(value), 1, "{mode}"));
        assert_eq!(log.await_len(3), [1, 1002, 1003], "{mode}");
        assert_eq!(census.alive(), 0, "{mode}");
        drop(router);
        end(&setup.bus);
    }
}

//! Routers: one subscription whose messages go to routes by their types, changed while the bus runs.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

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

// ---- the filter follows the routes ----------------------------------------------------------------------------------

#[test]
fn only_what_has_a_route_is_delivered() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let router = setup.topic.router("r").dispatch(mode).start().unwrap();
        assert_eq!(setup.wanted(), [false; 3], "{mode}: no route");
        router.add(&setup.up, |_, _| {}).unwrap();
        assert_eq!(setup.wanted(), [true, false, false], "{mode}");
        assert_eq!(
            router.filter(),
            Some(Filter::all().accept_formatters(Formatters::NONE).accept(&setup.up))
        );
        router.set_formatters(Formatters::AMI, |_| {}).unwrap();
        assert_eq!(setup.wanted(), [true, false, true], "{mode}: those with the formatter as well");
        assert_eq!(router.set_default(|_| {}), Ok(true), "{mode}: instead");
        assert_eq!((setup.wanted(), router.filter()), ([true; 3], Some(Filter::all())), "{mode}");
        assert!(router.remove(&setup.up) && !router.remove(&setup.up));
        assert_eq!(setup.wanted(), [true; 3], "{mode}: the default takes it");
        router.add(&setup.down, |_, _| {}).unwrap();
        assert!(router.clear_default() && !router.clear_default());
        assert_eq!(setup.wanted(), [false, true, false], "{mode}: narrowed again");
        assert!(router.remove(&setup.down));
        assert_eq!(setup.wanted(), [false; 3], "{mode}");

        assert!(!setup.topic.wants(setup.bus.cache_updates()));
        router.add_update(&setup.up, |_, _| {}).unwrap();
        assert!(setup.topic.wants(setup.bus.cache_updates()));
        assert_eq!(setup.wanted(), [false; 3], "{mode}: updates of it, not it");
        assert!(router.remove_update(&setup.up) && !router.remove_update(&setup.up));
        assert!(!setup.topic.wants(setup.bus.cache_updates()));
        assert_eq!(router.stats().unrouted, 0);
        end(&setup.bus);
    }
}

#[test]
fn a_formatters_default_gets_what_has_the_formatter_and_no_route() {
    let setup = manual();
    let [routed, rest] = [Log::new(), Log::new()];
    let [to_routed, to_rest] = [routed.clone(), rest.clone()];
    let other = setup.bus.define::<u8>("other").ami(|_, _| Some(AmiEvent::new("Other"))).declare().unwrap();
    let router = setup
        .topic
        .router("r")
        .route(&setup.text, move |text, _| to_routed.push(text.clone()))
        .route_formatters(Formatters::AMI, move |delivery| {
            to_rest.push(delivery.message().type_name().to_owned())
        })
        .start()
        .unwrap();
    setup.text("routed");
    setup.topic.publish(other.message(1));
    assert_eq!(setup.up(1), 0);
    setup.bus.run_until_idle();
    assert_eq!(routed.all(), ["routed"]);
    assert_eq!(rest.all(), ["subscription_change", "other"], "its own Subscribe has that formatter");
    // Queued for a route that is gone when it is handled, and not what the default asked for.
    router.add(&setup.up, |_, _| unreachable!()).unwrap();
    assert_eq!(setup.up(2), 1);
    router.remove(&setup.up);
    setup.bus.run_until_idle();
    assert_eq!((rest.len(), router.stats().unrouted), (2, 1));
}

#[test]
fn the_first_routes_and_the_filter_stand_at_once() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let changes = setup.bus.subscription_changes().clone();
        let log = Log::new();
        let noted = log.clone();
        // The very first message adds a route, before start() has returned or while it returns.
        let builder = setup.topic.router("r").dispatch(mode);
        let (routes, down) = (builder.routes(), setup.down.clone());
        let router = builder
            .route(&changes, move |change, _| {
                if change.change == Change::Subscribe && change.subscription == "r" {
                    let noted = noted.clone();
                    routes.add(&down, move |value, _| noted.push(*value)).unwrap();
                }
            })
            .start()
            .unwrap();
        eventually(|| router.stats().routes == 2);
        eventually(|| setup.topic.wants(&setup.down));
        setup.down(7);
        router.unsubscribe_and_join().unwrap();
        assert_eq!(log.all(), [7], "{mode}");
        end(&setup.bus);
    }
}

/// A cache of numbers, whose ids are "odd" and "even", on the setup's topic.
fn cached(setup: &Setup) -> (Cache, CachingTopic) {
    fn id(value: &u64) -> &str {
        if value.is_multiple_of(2) { "even" } else { "odd" }
    }
    let cache = Cache::builder(&setup.bus).id_of(&setup.up, id).id_of(&setup.down, id).build().unwrap();
    let topic = setup.topic.caching(&cache).unwrap();
    (cache, topic)
}

#[test]
fn g5_updates_of_a_cache_go_by_their_inner_type() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let (_cache, caching) = cached(&setup);
        let (log, up) = (Log::new(), setup.up.clone());
        let noted = log.clone();
        let builder = caching.topic().router("r").dispatch(mode);
        let router = builder
            .route_update(&setup.up, move |update, _| {
                let read = |message: &Option<Message>| message.as_ref().and_then(|m| up.read(m)).copied();
                noted.push((read(&update.old), read(&update.new)));
            })
            .start()
            .unwrap();
        (1..=4).for_each(|value| {
            setup.up(value);
            setup.down(value);
        });
        let chains = [(None, Some(1)), (None, Some(2)), (Some(1), Some(3)), (Some(2), Some(4))];
        assert_eq!(log.await_len(4), chains, "{mode}");
        router.remove_update(&setup.up);
        setup.up(5);
        assert_eq!((router.stats().unrouted, router.stats().subscription.accepted), (0, 4), "{mode}");
        drop(router);
        end(&setup.bus);
    }
}

#[test]
fn g12_a_router_catches_up() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let (cache, _caching) = cached(&setup);
        (1..=4).for_each(|value| {
            setup.up(value);
            setup.down(value);
        });
        let start = |with_end: bool| {
            let log = Log::new();
            let [ups, ends] = [log.clone(), log.clone()];
            let builder = cache.snapshot_subscription("late").id_prefix("o").router().dispatch(mode);
            let mut builder = builder.route_update(&setup.up, move |update, _| {
                ups.push(format!("{} {}", update.id(), update.is_snapshot()));
            });
            if with_end {
                builder = builder
                    .route(setup.bus.snapshot_ends(), move |end, _| ends.push(format!("{}", end.entries)));
            }
            (builder.start().unwrap(), log)
        };
        let (told, with_end) = start(true);
        let (silent, without) = start(false);
        setup.up(6);
        setup.up(7);
        assert_eq!(with_end.await_len(3), ["odd true", "1", "odd false"], "{mode}");
        assert_eq!(without.await_len(2), ["odd true", "odd false"], "{mode}");
        eventually(|| silent.stats().subscription.handled == 3);
        assert_eq!((told.stats().unrouted, silent.stats().unrouted), (0, 0), "{mode}");
        // A default takes everything, but of updates no more than was said.
        let (rest, updates) = (Log::new(), setup.bus.cache_updates().clone());
        let noted = rest.clone();
        let route = move |delivery: &stasis_bus::Delivery<'_>| {
            noted.push(delivery.read(&updates).map(|update| update.id().to_owned()));
        };
        told.set_default(route).unwrap();
        setup.down(8);
        setup.down(9);
        assert_eq!(rest.await_len(1), [Some("odd".to_owned())], "{mode}");
        drop((told, silent));
        end(&setup.bus);
    }
}

// ---- what is in flight ----------------------------------------------------------------------------------------------

#[test]
fn what_is_queued_goes_where_the_routes_say_when_it_is_handled() {
    let setup = manual();
    let (router, log) = noting(&setup, Dispatch::Pool);
    setup.up(1);
    let second = Log::new();
    let noted = second.clone();
    assert_eq!(router.replace(&setup.up, move |value, _| noted.push(*value)), Ok(true));
    setup.bus.run_until_idle();
    assert_eq!((log.all(), second.all()), (vec![], vec![1]), "to the new route");
    setup.up(2);
    assert!(router.remove(&setup.up));
    assert_eq!(setup.up(3), 0, "after a remove nothing more is let through");
    setup.bus.run_until_idle();
    assert_eq!((second.len(), router.stats().unrouted), (1, 1), "to nobody");
    router.add(&setup.up, |_, _| {}).unwrap();
    setup.up(4);
    router.remove(&setup.up);
    let rest = Log::new();
    let noted = rest.clone();
    router.set_default(move |delivery| noted.push(delivery.message().type_name().to_owned())).unwrap();
    setup.bus.run_until_idle();
    assert_eq!((rest.all(), router.stats().unrouted), (vec!["up".to_owned()], 1), "to the default");
}

#[test]
fn a_removed_route_ends_its_call_and_has_no_further_one() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let (entered, gate, census) = (Gate::new(), Gate::new(), Census::new());
        let (inside, pass, alive) = (entered.clone(), gate.clone(), census.born());
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let route = move |_: &u64, _: &stasis_bus::Delivery<'_>| {
            hold(&alive);
            counted.fetch_add(1, Ordering::SeqCst);
            inside.open();
            pass.pass();
        };
        let router = setup.topic.router("r").dispatch(mode).route(&setup.up, route).start().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| setup.up(1));
            entered.pass();
            setup.up(2);
            assert!(router.remove(&setup.up), "{mode}: does not wait");
            assert_eq!(census.alive(), 1, "{mode}: a running closure is not dropped");
            gate.open();
        });
        eventually(|| census.alive() == 0);
        eventually(|| router.stats().unrouted == 1);
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{mode}: what was queued is not for it");
        drop(router);
        end(&setup.bus);
    }
}

#[test]
fn g10_remove_and_wait_waits_for_the_call() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let (entered, gate, over) = (Gate::new(), Gate::new(), Arc::new(AtomicBool::new(false)));
        let (inside, pass, done) = (entered.clone(), gate.clone(), over.clone());
        let route = move |_: &u64, _: &stasis_bus::Delivery<'_>| {
            inside.open();
            pass.pass();
            done.store(true, Ordering::SeqCst);
        };
        let router = setup.topic.router("r").dispatch(mode).route(&setup.up, route).start().unwrap();
        assert_eq!(router.remove_and_wait(&setup.down), Ok(false), "{mode}");
        thread::scope(|scope| {
            scope.spawn(|| setup.up(1));
            entered.pass();
            let waiter = scope.spawn(|| {
                assert_eq!(router.remove_and_wait(&setup.up), Ok(true));
                over.load(Ordering::SeqCst)
            });
            eventually(|| !setup.topic.wants(&setup.up));
            gate.open();
            assert!(waiter.join().unwrap(), "{mode}: returned while the call was under way");
        });
        router.add_update(&setup.up, |_, _| {}).unwrap();
        assert_eq!(router.remove_update_and_wait(&setup.up), Ok(true), "{mode}: nobody is in a call");
        drop(router);
        end(&setup.bus);
    }
}

#[test]
fn g10_remove_and_wait_does_not_wait_for_itself() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let results = Log::new();
        let builder = setup.topic.router("r").dispatch(mode);
        let (routes, noted, up, down) =
            (builder.routes(), results.clone(), setup.up.clone(), setup.down.clone());
        let router = builder
            .route(&setup.down, |_, _| {})
            .route(&setup.up, move |_, _| {
                noted.push(routes.remove_and_wait(&up));
                noted.push(routes.remove_and_wait(&down));
                // Never seen by a call: it is gone at once.
                routes.add(&down, |_, _| {}).unwrap();
                noted.push(routes.remove_and_wait(&down));
            })
            .start()
            .unwrap();
        setup.up(1);
        let stuck = Err(WaitError::WouldDeadlock);
        assert_eq!(results.await_len(3), [stuck, stuck, Ok(true)], "{mode}");
        assert_eq!(setup.wanted(), [false; 3], "{mode}: removed all the same");
        drop(router);
        end(&setup.bus);
    }
}

#[test]
fn g10_remove_and_wait_from_the_only_worker() {
    let _watched = watched();
    let setup = on(Bus::builder().workers(1..=1));
    let (entered, gate, log) = (Gate::new(), Gate::new(), Log::new());
    let (inside, pass) = (entered.clone(), gate.clone());
    let other = setup.bus.topic("other").unwrap();
    // The router's worker is in a wait of its own, so that another one takes its seat.
    let (asked, text) = (setup.bus.topic("asked").unwrap(), setup.text.clone());
    let answers = asked.subscription("answers").dispatch(Dispatch::Dedicated);
    let answers = answers.accept(&text).start(move |_| {
        inside.open();
        pass.pass();
    });
    let answers = answers.unwrap();
    let router = setup.topic.router("r").route(&setup.up, move |_, _| {
        assert_eq!(answers.publish_sync(text.message(String::new()), None), Ok(Handled::Yes));
    });
    let router = Arc::new(router.start().unwrap());
    let (removing, up, noted) = (router.clone(), setup.up.clone(), log.clone());
    let remover = other.subscription("remover").accept(&setup.down);
    let remover = remover.start(move |_| noted.push(removing.remove_and_wait(&up))).unwrap();
    setup.up(1);
    entered.pass();
    other.publish(setup.down.message(1));
    eventually(|| !setup.topic.wants(&setup.up));
    gate.open();
    assert_eq!(log.await_len(1), [Ok(true)]);
    drop((remover, router));
    end(&setup.bus);
}

#[test]
fn g10_publish_sync_returns_when_it_was_routed() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let (router, log) = noting(&setup, mode);
        assert_eq!(router.publish_sync(setup.up.message(1), None), Ok(Handled::Yes));
        assert_eq!(log.all(), [1], "{mode}");
        assert_eq!(router.publish_sync(setup.down.message(1), None), Ok(Handled::Filtered), "{mode}");
        router.unsubscribe();
        router.join().unwrap();
        assert_eq!(router.publish_sync(setup.up.message(1), None), Ok(Handled::Gone), "{mode}");
        end(&setup.bus);
    }
}

// ---- the end --------------------------------------------------------------------------------------------------------

#[test]
fn g6_the_final_message_goes_to_its_type_else_to_the_default_and_then_to_on_end() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let ends = |with_type: bool, with_rest: u8| {
            let log = Log::new();
            let [typed, rest, last] = [log.clone(), log.clone(), log.clone()];
            let mut builder = setup
                .topic
                .router("r")
                .dispatch(mode)
                .route(&setup.up, |_, _| {})
                .on_end(move |last_one| last.push(("on_end", last_one.end())));
            if with_type {
                builder = builder.route(setup.bus.subscription_changes(), move |_, delivery| {
                    if delivery.is_final() {
                        typed.push(("route", delivery.end()));
                    }
                });
            }
            let route = move |delivery: &stasis_bus::Delivery<'_>| {
                if delivery.is_final() {
                    rest.push(("default", delivery.end()));
                }
            };
            builder = match with_rest {
                0 => builder,
                1 => builder.route_default(route),
                _ => builder.route_formatters(Formatters::NONE, route),
            };
            let router = builder.start().unwrap();
            router.unsubscribe_and_join().unwrap();
            let all = log.all();
            assert!(all.iter().all(|(_, end)| *end == Some(EndReason::Unsubscribed)), "{mode}");
            all.into_iter().map(|(who, _)| who).collect::<Vec<_>>()
        };
        assert_eq!(ends(true, 1), ["route", "on_end"], "{mode}");
        assert_eq!(ends(false, 1), ["default", "on_end"], "{mode}");
        assert_eq!(ends(false, 2), ["default", "on_end"], "{mode}: whatever its formatters");
        assert_eq!(ends(false, 0), ["on_end"], "{mode}");
        end(&setup.bus);
    }
}

#[test]
fn g6_done_is_true_after_the_last_call_and_the_last_drop() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let setup = setup();
        let (entered, gate, census) = (Gate::new(), Gate::new(), Census::new());
        let (inside, pass) = (entered.clone(), gate.clone());
        let alive = [census.born(), census.born(), census.born()];
        let [first, second, third] = alive;
        let router = setup
            .topic
            .router("r")
            .dispatch(mode)
            .route(&setup.up, move |_, _| hold(&first))
            .route_update(&setup.up, move |_, _| hold(&second))
            .route_default(move |delivery| {
                hold(&third);
                if delivery.is_final() {
                    inside.open();
                    pass.pass();
                }
            })
            .start()
            .unwrap();
        router.unsubscribe();
        entered.pass();
        assert!(!router.is_done() && !router.is_subscribed(), "{mode}: the final message is being routed");
        gate.open();
        router.join().unwrap();
        assert!(router.is_done(), "{mode}");
        assert_eq!(census.alive(), 0, "{mode}: dropped before join returns, while the handle lives");
        assert_eq!(router.stats().routes, 0);
        end(&setup.bus);
    }
}

#[test]
fn g6_what_is_queued_is_routed_before_the_end() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let (router, log) = noting(&setup, mode);
        (0..100).for_each(|value| assert_eq!(setup.up(value), 1));
        drop(router);
        assert_eq!(setup.up(100), 0, "{mode}: dropping it ends it");
        end(&setup.bus);
        assert_eq!(log.all(), (0..100).collect::<Vec<_>>(), "{mode}");
    }
}

#[test]
fn g6_a_detached_router_stays_and_can_be_changed() {
    let _watched = watched();
    let setup = setup();
    let (router, log) = noting(&setup, Dispatch::Pool);
    let routes = router.routes().clone();
    router.detach();
    setup.up(1);
    let noted = log.clone();
    routes.add(&setup.down, move |value, _| noted.push(*value)).unwrap();
    setup.down(2);
    assert_eq!(log.await_len(2), [1, 2]);
    end(&setup.bus);
    assert_eq!(routes.add(&setup.text, |_, _| {}), Err(RouteError::Ended));
}

#[test]
fn g6_a_route_may_end_its_router_at_any_moment() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let changes = setup.bus.subscription_changes().clone();
        let finals = Arc::new(AtomicUsize::new(0));
        // At its very first message, while start() is under way, or at a later one.
        for early in [true, false] {
            let (builder, counted) = (setup.topic.router("r").dispatch(mode), finals.clone());
            let (routes, later) = (builder.routes(), builder.routes());
            let router = builder
                .route(&changes, move |_, delivery| {
                    counted.fetch_add(usize::from(delivery.is_final()), Ordering::SeqCst);
                    if early && !delivery.is_final() {
                        assert!(routes.unsubscribe());
                    }
                })
                .route(&setup.up, move |_, _| assert!(later.unsubscribe()))
                .start()
                .unwrap();
            if !early {
                setup.up(1);
            }
            router.join().unwrap();
            assert!(!router.is_subscribed() && router.is_done(), "{mode}");
            assert_eq!(finals.swap(0, Ordering::SeqCst), 1, "{mode}: one final");
            assert_eq!(setup.up(2), 0, "{mode}");
        }
        end(&setup.bus);
    }
}

#[test]
fn a_router_that_is_ended_before_it_starts_ends_when_it_has() {
    let setup = manual();
    let builder = setup.topic.router("r").route(&setup.up, |_, _| {});
    assert!(builder.routes().unsubscribe() && !builder.routes().unsubscribe());
    let router = builder.start().unwrap();
    assert!(!router.is_subscribed());
    setup.bus.run_until_idle();
    assert!(router.is_done());
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

// ---- panics ---------------------------------------------------------------------------------------------------------

type Reports = Log<(String, PanicPlace, String)>;

fn reporting() -> (Setup, Reports) {
    let reports = Log::new();
    let noted: Reports = reports.clone();
    let hook = move |report: &stasis_bus::PanicReport<'_>| {
        noted.push((report.name.to_owned(), report.place, report.message.to_owned()));
    };
    (on(Bus::builder().on_panic(hook)), reports)
}

#[test]
fn g9_a_panic_in_a_route_names_the_router_and_the_next_message_is_routed() {
    let _watched = watched();
    for mode in MODES {
        let (setup, reports) = reporting();
        let log = Log::new();
        let noted = log.clone();
        let router = setup
            .topic
            .router("shaky")
            .dispatch(mode)
            .route(&setup.up, |value, _| panic!("{ON_PURPOSE} {value}"))
            .route(&setup.down, move |value, _| noted.push(*value))
            .start()
            .unwrap();
        for number in [1, 3] {
            setup.up(number);
            setup.down(number + 1);
        }
        assert_eq!(log.await_len(2), [2, 4], "{mode}");
        let panicked = |text: &str| ("shaky".to_owned(), PanicPlace::Handler, format!("{ON_PURPOSE} {text}"));
        assert_eq!(reports.all(), [panicked("1"), panicked("3")], "{mode}");
        assert_eq!(router.stats().subscription.panics, 2, "{mode}");
        drop(router);
        end(&setup.bus);
    }
}

#[test]
fn g9_a_panic_may_end_the_router() {
    let _watched = watched();
    for mode in MODES {
        let (setup, _) = reporting();
        let (tell, told) = mpsc::channel();
        let router = setup
            .topic
            .router("r")
            .dispatch(mode)
            .on_panic(OnPanic::Disconnect)
            .on_end(move |last| tell.send(last.end()).unwrap())
            .route(&setup.up, |_, _| panic!("{ON_PURPOSE}"))
            .start()
            .unwrap();
        setup.up(1);
        router.join().unwrap();
        assert_eq!(told.recv(), Ok(Some(EndReason::Disconnected)), "{mode}");
        end(&setup.bus);
    }
}

#[test]
fn g9_a_panic_in_the_drop_of_a_route_is_caught_wherever_it_is_dropped() {
    let _watched = watched();
    for mode in MODES {
        let (setup, reports) = reporting();
        let shaky = || on_drop(|| panic!("{ON_PURPOSE}"));
        let [removed, running, first, second] = [shaky(), shaky(), shaky(), shaky()];
        let builder = setup.topic.router("shaky").dispatch(mode);
        let (routes, text) = (builder.routes(), setup.text.clone());
        let router = builder
            .route(&setup.up, move |_, _| hold(&removed))
            .route(&setup.text, move |_, _| {
                hold(&running);
                routes.remove(&text);
                // Its drop panics while this one is on its way out.
                panic!("{ON_PURPOSE}");
            })
            .route_update(&setup.up, move |_, _| hold(&first))
            .route_default(move |_| hold(&second))
            .start()
            .unwrap();
        assert!(router.remove(&setup.up), "{mode}: the remover gets no panic");
        setup.text("x");
        router.unsubscribe_and_join().unwrap();
        let places: Vec<_> = reports.all().into_iter().map(|(name, place, _)| (name, place)).collect();
        let dropped =
            places.iter().filter(|at| **at == ("shaky".to_owned(), PanicPlace::HandlerDrop)).count();
        let called = places.iter().filter(|at| **at == ("shaky".to_owned(), PanicPlace::Handler)).count();
        assert_eq!((places.len(), dropped, called), (5, 4, 1), "{mode}: {places:?}");
        end(&setup.bus);
    }
}

// ---- under load -----------------------------------------------------------------------------------------------------

/// A route that must not be called twice at a time, nor after it was removed and waited for.
struct Strict {
    busy: Arc<AtomicBool>,
    is_removed: Arc<AtomicBool>,
    handled: Arc<AtomicU64>,
}

impl Strict {
    fn call(&self) {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two calls at a time");
        assert!(!self.is_removed.load(Ordering::SeqCst), "a call of a removed route");
        self.handled.fetch_add(1, Ordering::SeqCst);
        self.busy.store(false, Ordering::SeqCst);
    }
}

const PUBLISHERS: u64 = 2;
const MESSAGES: u64 = 4_000;

#[test]
fn g1_routes_change_under_load_and_nothing_is_lost() {
    let _watched = watched();
    for mode in MODES {
        let setup = setup();
        let kinds: Vec<MessageType<u64>> =
            (0..4).map(|at| setup.bus.message_type(&format!("kind {at}")).unwrap()).collect();
        let router = setup.topic.router("r").dispatch(mode).start().unwrap();
        let (busy, handled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let strict = |is_removed: &Arc<AtomicBool>| Strict {
            busy: busy.clone(),
            is_removed: is_removed.clone(),
            handled: handled.clone(),
        };
        let (accepted, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let left = Mutex::new(0);
        thread::scope(|scope| {
            let editors: Vec<_> = kinds
                .iter()
                .map(|kind| {
                    let (router, strict, over, left) = (&router, &strict, &over, &left);
                    scope.spawn(move || {
                        while !over.load(Ordering::SeqCst) {
                            // Its last call may still be under way when it has been replaced.
                            let route = strict(&Arc::default());
                            router.add(kind, move |_, _| route.call()).unwrap();
                            let is_removed = Arc::new(AtomicBool::new(false));
                            let route = strict(&is_removed);
                            assert_eq!(router.replace(kind, move |_, _| route.call()), Ok(true));
                            assert!(router.topic().wants(kind), "its own type is let through");
                            assert_eq!(router.remove_and_wait(kind), Ok(true));
                            assert!(!router.topic().wants(kind), "and no longer");
                            is_removed.store(true, Ordering::SeqCst);
                            *left.lock().unwrap() += 1;
                        }
                    })
                })
                .collect();
            let publishers: Vec<_> = (0..PUBLISHERS)
                .map(|_| {
                    let (topic, kinds, accepted) = (&setup.topic, &kinds, &accepted);
                    scope.spawn(move || {
                        for value in 0..MESSAGES {
                            let kind = &kinds[value as usize % kinds.len()];
                            let taken = topic.publish(kind.message(value)).accepted;
                            accepted.fetch_add(taken as u64, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
            eventually(|| *left.lock().unwrap() > 20);
            over.store(true, Ordering::SeqCst);
            editors.into_iter().for_each(|editor| editor.join().unwrap());
        });
        let total = || handled.load(Ordering::SeqCst) + router.stats().unrouted;
        eventually(|| total() == accepted.load(Ordering::SeqCst));
        assert_eq!(router.filter(), Some(Filter::all().accept_formatters(Formatters::NONE)), "{mode}");
        let stats = router.stats();
        assert_eq!((stats.routes, stats.subscription.panics), (0, 0), "{mode}");
        drop(router);
        end(&setup.bus);
    }
}

#[test]
fn the_filter_is_that_of_the_table_whoever_changes_it() {
    let _watched = watched();
    let setup = setup();
    let kinds: Vec<MessageType<u64>> =
        (0..4).map(|at| setup.bus.message_type(&format!("kind {at}")).unwrap()).collect();
    let router = setup.topic.router("r").start().unwrap();
    for round in 0..200 {
        thread::scope(|scope| {
            for (at, kind) in kinds.iter().enumerate() {
                let router = &router;
                scope.spawn(move || {
                    if (round + at) % 2 == 0 {
                        router.add(kind, |_, _| {}).unwrap();
                    } else {
                        router.remove(kind);
                    }
                });
            }
        });
        let expected = (0..4).map(|at| (round + at) % 2 == 0);
        let wanted = kinds.iter().map(|kind| setup.topic.wants(kind));
        assert_eq!(wanted.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "round {round}");
        for kind in &kinds {
            router.remove(kind);
        }
        assert!(kinds.iter().all(|kind| !setup.topic.wants(kind)), "round {round}");
    }
    drop(router);
    end(&setup.bus);
}

#[test]
fn g6_ends_against_changes() {
    let _watched = watched();
    for mode in MODES {
        for _ in 0..50 {
            let setup = setup();
            let census = Census::new();
            let (router, _) = noting(&setup, mode);
            thread::scope(|scope| {
                for kind in [&setup.down, &setup.up] {
                    let (router, census) = (&router, &census);
                    scope.spawn(move || {
                        for _ in 0..20 {
                            let alive = census.born();
                            let _ = router.replace(kind, move |_, _| hold(&alive));
                            router.remove(kind);
                            let alive = census.born();
                            let _ = router.add(kind, move |_, _| hold(&alive));
                        }
                    });
                }
                setup.up(1);
                router.unsubscribe();
                router.join().unwrap();
            });
            assert!(router.is_done(), "{mode}");
            assert_eq!(census.alive(), 0, "{mode}: nothing is left of any route");
            end(&setup.bus);
        }
    }
}

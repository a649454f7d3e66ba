//! The end of a router.

use super::*;

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

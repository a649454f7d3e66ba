//! The filter of a router follows its routes.

use super::*;

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

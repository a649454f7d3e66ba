//! What is in flight when the routes change.

use super::*;

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

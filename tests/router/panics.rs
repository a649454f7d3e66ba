//! Panics in routes and in their drops.

use super::*;

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

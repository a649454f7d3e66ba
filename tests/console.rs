//! The console: every path over real sockets, and what is said to those who ask oddly. The page itself is looked at by
//! tests/console, in a browser.

#![cfg(feature = "console")]

mod common;
mod http_checks;

use common::{Gate, eventually, watched};
use http_checks::{Answer, Client, ask, get, served};
use serde_json::Value;
use stasis_bus::http::Server;
use stasis_bus::{Bus, Cache, Overflow, Subscription};
use std::net::SocketAddr;
use std::time::Duration;

const ODD: &str = "<script>alert(1)</script>";

fn json(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

fn found(address: SocketAddr, path: &str) -> Value {
    let answer = get(address, path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    json(&answer)
}

fn refused(address: SocketAddr, path: &str) -> String {
    let answer = get(address, path);
    assert_eq!(answer.status, 400, "{path}: {answer:?}");
    json(&answer)["error"].as_str().expect("an error").to_owned()
}

/// A bus whose figures are told anew every time, as good as.
fn fresh(bus: &Bus) -> Server {
    Server::builder(bus).listen("127.0.0.1:0").refresh(Duration::from_millis(20)).start().unwrap()
}

/// Seven messages on one of three topics, for one that takes two of them and waits, and one that takes all.
fn busy() -> (Bus, Vec<Subscription>) {
    let bus = Bus::builder().manual().build().unwrap();
    let number = bus.message_type::<u32>("number").unwrap();
    let topic = bus.topic(ODD).unwrap();
    let full = topic.subscription(ODD).accept(&number).capacity(2).overflow(Overflow::DropNewest);
    let full = full.start(|_| {}).unwrap();
    let all = topic.subscription("all").accept(&number).start(|_| {}).unwrap();
    for n in 0..7 {
        topic.publish(number.message(n));
    }
    let quiet = ["quiet/1", "quiet/2"].map(|name| bus.topic(name).unwrap().subscribe(name, |_| {}).unwrap());
    (bus, [full, all].into_iter().chain(quiet).collect())
}

#[test]
fn tables_tell_what_the_statistics_tell() {
    let _watched = watched();
    let (bus, _subscriptions) = busy();
    let server = fresh(&bus);
    let topics = found(server.address(), "/api/topics?sort=published");
    assert_eq!((&topics["total"], &topics["matched"]), (&3.into(), &3.into()));
    let first = &topics["rows"][0];
    let stats = &bus.topic_stats(ODD).unwrap().stats;
    assert_eq!(first["name"], ODD);
    assert_eq!(first["published"], stats.published);
    assert_eq!((&first["delivered"], &first["missed"]), (&stats.delivered.into(), &5.into()));

    let rows = found(server.address(), "/api/subscriptions");
    assert_eq!((&rows["sort"], &rows["order"]), (&"depth".into(), &"desc".into()), "the deepest first");
    let names: Vec<_> = rows["rows"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names[..2], ["all", ODD]);
    for (row, stats) in rows["rows"].as_array().unwrap()[..2].iter().zip(["all", ODD]) {
        let stats = bus.subscription_stats().into_iter().find(|row| row.name == stats).unwrap();
        assert_eq!(row["depth"], stats.depth);
        assert_eq!(row["lost"]["refused"], stats.lost.refused);
        assert_eq!(row["capacity"], stats.capacity);
    }

    let types = found(server.address(), "/api/message_types?filter=NUMBER");
    assert_eq!((&types["matched"], &types["rows"][0]["made"]), (&1.into(), &7.into()));
    assert_eq!(found(server.address(), "/api/workers")["total"], 0, "a bus without threads");
}

#[test]
fn caches_are_listed() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let state = bus.message_type::<(String, u32)>("state").unwrap();
    let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).name("states").build().unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    assert!(topic.publish(state.message(("alice".to_owned(), 1))).reached());
    assert!(cache.get(&state, "alice").is_some());
    let caches = found(fresh(&bus).address(), "/api/caches");
    let row = &caches["rows"][0];
    assert_eq!((&row["name"], &row["entries"], &row["hits"]), (&"states".into(), &1.into(), &1.into()));
}

#[test]
fn one_of_them_is_told_in_detail() {
    let _watched = watched();
    let (bus, subscriptions) = busy();
    let address_of = |name: &str| name.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let server = fresh(&bus);
    let topic = found(server.address(), &format!("/api/topic?name={}", address_of(ODD)));
    assert_eq!((&topic["stats"]["name"], &topic["subscriptions_total"]), (&ODD.into(), &2.into()));
    let id = subscriptions[0].stats().id;
    let one = found(server.address(), &format!("/api/subscription?id={id}"));
    assert_eq!((&one["stats"]["name"], &one["stats"]["missed"]), (&ODD.into(), &5.into()));
    assert!(one["stats"]["handler"]["buckets"].is_array());

    for path in [
        "/api/topic?name=nobody",
        "/api/subscription?id=999999999",
        "/api/nothing",
        "/api/topics/",
        "/api/../secret",
    ] {
        let answer = get(server.address(), path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(json(&answer)["error"].is_string(), "{path}");
    }
    assert_eq!(
        refused(server.address(), "/api/topic"),
        "name is missing; needed is the whole name of a topic"
    );
    assert_eq!(
        refused(server.address(), "/api/subscription?id=x"),
        r#"id is "x"; allowed is a whole number"#
    );
}

#[test]
fn odd_query_strings_are_refused_with_what_would_be_right() {
    let _watched = watched();
    let (bus, _subscriptions) = busy();
    let server = fresh(&bus);
    let of = |query: &str| refused(server.address(), &format!("/api/subscriptions?{query}"));
    assert_eq!(of("limit=0"), r#"limit is "0"; allowed is a whole number from 1 to 1000"#);
    assert_eq!(
        of("dispatch=fast"),
        r#"dispatch is "fast"; allowed is one of dedicated, inline, pool, serial, stream"#
    );
    assert!(of("sort=speed").starts_with(r#"sort is "speed"; allowed is one of name, id, topic, depth"#));
    assert!(
        of("page=1").starts_with(r#"there is no parameter "page"; allowed: topic, dispatch, state, filter"#)
    );
    assert_eq!(of("offset=1&offset=2"), r#"offset is "2"; it is given twice; once is allowed"#);
    assert_eq!(of("filter=%"), r#""%" has a % without two hexadecimal digits after it"#);
    assert_eq!(refused(server.address(), "/api/overview?x=1"), r#"there is no parameter "x"; allowed: none"#);
    // What is repeated of it is JSON, whatever it is.
    assert!(of("sort=%22%3Cscript%3E%00").contains("<script>"));
}

#[test]
fn filters_find_what_contains_them() {
    let _watched = watched();
    let (bus, _subscriptions) = busy();
    let server = fresh(&bus);
    let matched =
        |query: &str| found(server.address(), &format!("/api/subscriptions?{query}"))["matched"].clone();
    assert_eq!(matched("filter=%3CSCRIPT"), 2, "by the name of its topic as well");
    assert_eq!(matched("filter=all"), 1);
    assert_eq!(matched("topic=quiet%2F1"), 1);
    assert_eq!(matched("topic=quiet"), 0);
    assert_eq!(matched("state=waiting&dispatch=pool"), 4);
    assert_eq!(matched("dispatch=stream"), 0);
    let past = found(server.address(), "/api/subscriptions?offset=1000000");
    assert_eq!((past["rows"].as_array().unwrap().len(), &past["matched"]), (0, &4.into()));
}

#[test]
fn a_hundred_thousand_topics_are_paged() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let topics: Vec<_> = (0..100_000).map(|n| bus.topic(&format!("phones/{n:06}")).unwrap()).collect();
    let number = bus.message_type::<u32>("number").unwrap();
    for n in 0..3 {
        topics[77_777].publish(number.message(n));
    }
    let server = fresh(&bus);
    let page = found(server.address(), "/api/topics?sort=name&offset=99990&limit=100");
    let rows = page["rows"].as_array().unwrap();
    assert_eq!((&page["total"], rows.len()), (&100_000.into(), 10));
    assert_eq!(rows[0]["name"], "phones/099990");
    let busiest = found(server.address(), "/api/topics?sort=published&limit=1");
    assert_eq!(busiest["rows"][0]["name"], "phones/077777");
    let some = found(server.address(), "/api/topics?filter=0777&sort=name&limit=1000");
    assert_eq!(some["matched"], 120);
}

#[test]
fn the_page_runs_its_own_script_and_no_other() {
    let _watched = watched();
    let (_bus, server) = served();
    let (first, second) = (get(server.address(), "/"), get(server.address(), "/"));
    assert_eq!(first.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = first.header("content-security-policy").unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert!(nonce.len() == 32 && first.body.contains(&format!("<script nonce=\"{nonce}\">")));
    assert!(!second.body.contains(nonce), "a new one each time");
    for word in ["default-src 'none'", "frame-ancestors 'none'", "connect-src 'self'", "base-uri 'none'"] {
        assert!(policy.contains(word), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    // Nothing from elsewhere, and no markup made of text.
    let foreign =
        ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "{{"];
    for word in foreign {
        let own = first.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(word), "the page has {word}");
    }
}

#[test]
fn heads_are_answered_without_what_follows() {
    let _watched = watched();
    let (_bus, server) = served();
    for path in ["/", "/api/", "/api/topics", "/events"] {
        let mut client = Client::to(server.address());
        client
            .send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes());
        let text = String::from_utf8(client.rest()).unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n"), "{path}: {text}");
    }
}

/// The data of the first event that has come, as JSON.
fn event(text: &str, number: usize) -> Option<Value> {
    let event = text.split("event: look\ndata: ").nth(number)?;
    serde_json::from_str(event.split_once("\n\n")?.0).ok()
}

fn listener(address: SocketAddr) -> Client {
    let mut client = Client::to(address);
    client.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client
}

#[test]
fn events_come_as_long_as_somebody_listens() {
    let _watched = watched();
    let (bus, _subscriptions) = busy();
    let server = fresh(&bus);
    let mut client = listener(server.address());
    let first = client.until(|text| event(text, 1));
    assert_eq!((&first["totals"]["published"], &first["deepest"][0]["name"]), (&7.into(), &"all".into()));
    let topic = bus.find_topic("quiet/1").unwrap();
    assert!(topic.publish(bus.message_type::<u32>("number").unwrap().message(1)).reached());
    eventually(|| get(server.address(), "/api/overview").body.contains(r#""published":8"#));
    let last = client.until(|text| {
        let events = (2..).map_while(|number| event(text, number));
        events.into_iter().find(|event| event["totals"]["published"] == 8)
    });
    assert!(last["look"].as_u64() > first["look"].as_u64());
    assert!(last["points"].as_array().unwrap().len() <= 1, "what came before is known");
    // The end of the server is the end of the events, at once.
    server.stop();
    client.rest();
}

#[test]
fn there_are_no_more_listeners_than_allowed() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let server = Server::builder(&bus).listen("127.0.0.1:0").listeners_max(1).start().unwrap();
    let mut first = listener(server.address());
    first.until(|text| event(text, 1));
    let refused = get(server.address(), "/events");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    drop(first);
    eventually(|| {
        let mut next = listener(server.address());
        next.until(|text| text.split_whitespace().nth(1).map(|status| status == "200"))
    });
}

#[test]
fn events_end_with_the_bus() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let server = fresh(&bus);
    let mut client = listener(server.address());
    client.until(|text| event(text, 1));
    drop(bus);
    // The last chunk.
    client.until(|text| text.ends_with("\r\n0\r\n\r\n").then_some(()));
    assert_eq!(get(server.address(), "/events").status, 503);
}

#[test]
fn who_takes_no_answers_is_cut_off() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let _topics: Vec<_> = (0..1_000).map(|n| bus.topic(&format!("{n:0250}")).unwrap()).collect();
    let server = Server::builder(&bus)
        .listen("127.0.0.1:0")
        .timeout(Duration::from_millis(100))
        .connections_max(1)
        .start()
        .unwrap();
    let mut deaf = Client::to(server.address());
    // More than the system keeps on the way.
    deaf.try_send("GET /api/topics?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(60).as_bytes());
    // Its place becomes free, though it neither reads nor goes.
    eventually(|| {
        let mut next = Client::to(server.address());
        next.try_send(b"GET /api/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Answer::read(&next.rest()).is_some_and(|answer| answer.status == 200)
    });
    drop(deaf);
}

#[test]
fn a_diagnosis_says_who_is_slow_and_what_can_be_done() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let number = bus.message_type::<u32>("number").unwrap();
    let topic = bus.topic("numbers").unwrap();
    let gate = Gate::new();
    let inside = gate.clone();
    let _stuck = topic.subscription("archive").accept(&number).start(move |_| inside.pass()).unwrap();
    assert!(topic.publish(number.message(1)).reached());
    let server = fresh(&bus);
    let diagnosis = loop {
        // The watchdog ends a wait that is in vain.
        let told = found(server.address(), "/api/diagnosis");
        if told["verdict"] == "critical" {
            break told;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    gate.open();
    let finding = &diagnosis["findings"][0];
    assert_eq!(finding["subscription"], "archive");
    let kinds: Vec<_> = finding["troubles"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&"stuck".into()), "{diagnosis}");
    assert!(finding["troubles"][0]["advice"].as_str().unwrap().len() > 20);
}

#[test]
fn the_console_s_looks_are_not_those_of_the_service() {
    let _watched = watched();
    let (bus, _subscriptions) = busy();
    let server = fresh(&bus);
    let first = found(server.address(), "/api/diagnosis");
    assert_eq!(first["earlier"].as_array().unwrap().len(), 1, "{first}");
    // A monitor of the service's own still hears of what was lost since its own last look.
    assert!(bus.diagnose().to_string().contains("lost 5 messages"), "{}", bus.diagnose());
}

#[test]
fn odd_names_are_text_in_json() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let odd = ["\"},{\"", "</script>", "\u{2028}\u{202e}", "a\\b", "'\"><img src=x onerror=alert(1)>"];
    let _topics: Vec<_> = odd.iter().map(|name| bus.topic(name).unwrap()).collect();
    let topics = found(fresh(&bus).address(), "/api/topics?sort=name");
    let names: Vec<_> = topics["rows"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert!(odd.iter().all(|name| names.contains(&Value::from(*name))), "{topics}");
}

#[test]
fn many_who_ask_cost_one_look() {
    let _watched = watched();
    let (_bus, server) = served();
    let looks: Vec<_> = (0..20).map(|_| found(server.address(), "/api/topics")["look"].clone()).collect();
    // A second each, on a machine that may be slow: but not one for each.
    assert!(looks[19].as_u64().unwrap() < 20, "{looks:?}");
    let twice = ask(server.address(), "GET /api/topics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(twice.status, 200);
}

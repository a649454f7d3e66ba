//! The HTTP server: what it answers to whom, over real sockets, and how it starts and ends.

#![cfg(any(feature = "console", feature = "prometheus"))]

mod common;
mod http_checks;

use common::{Log, watched};
use http_checks::{Answer, Client, ask, get, served};
use stasis_bus::http::Server;
use stasis_bus::{Bus, Error, ServeError, ThreadInfo, ThreadKind};
use std::net::TcpListener;
use std::time::Duration;

#[test]
fn it_listens_where_it_says_and_nowhere_after_its_end() {
    let _watched = watched();
    let (bus, server) = served();
    let address = server.address();
    assert!(address.ip().is_loopback() && address.port() != 0);
    assert_eq!(get(address, "/nowhere").status, 404);
    server.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
    // The same place can be taken again at once.
    let again = Server::builder(&bus).listen(address.to_string()).start().unwrap();
    assert_eq!(get(again.address(), "/nowhere").status, 404);
}

#[test]
fn its_thread_is_one_of_the_bus() {
    let _watched = watched();
    let kinds = Log::new();
    let seen = kinds.clone();
    let hook = move |thread: &ThreadInfo| seen.push((thread.kind.clone(), thread.name.clone()));
    let bus = Bus::builder().manual().on_thread_start(hook).build().unwrap();
    let server = Server::builder(&bus).listen("127.0.0.1:0").start().unwrap();
    assert_eq!(get(server.address(), "/nowhere").status, 404);
    assert_eq!(kinds.all(), [(ThreadKind::Http, "stasis-http".to_owned())]);
}

#[cfg(feature = "prometheus")]
#[test]
fn metrics_are_served_for_prometheus() {
    let _watched = watched();
    let (bus, server) = served();
    bus.topic("calls").unwrap().publish(bus.message_type::<u8>("rang").unwrap().message(1));
    let answer = get(server.address(), "/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.body.contains("\nstasis_bus_published_messages_total 1\n"), "{}", answer.body);
}

#[cfg(not(feature = "prometheus"))]
#[test]
fn there_are_no_metrics_without_their_feature() {
    let _watched = watched();
    let (_bus, server) = served();
    assert_eq!(get(server.address(), "/metrics").status, 404);
}

#[test]
fn an_address_that_is_taken_is_said_to_be() {
    let _watched = watched();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let bus = Bus::builder().manual().build().unwrap();
    let error = Server::builder(&bus).listen(address.to_string()).start().unwrap_err();
    assert_eq!(error, ServeError::InUse(address));
    let text = Error::from(error).to_string();
    assert!(text.contains(&address.to_string()) && text.contains("listens already"), "{text}");
}

#[test]
fn options_are_checked() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let builder = || Server::builder(&bus).listen("127.0.0.1:0");
    let of = |error: ServeError| error.to_string();
    assert_eq!(
        of(builder().connections_max(0).start().unwrap_err()),
        "connections_max is 0; allowed are 1 to 1024"
    );
    let text = of(builder().timeout(Duration::from_millis(9)).start().unwrap_err());
    assert_eq!(text, "timeout in milliseconds is 9; allowed are 10 to 600000");
    assert_eq!(builder().allow_host("a:80").start().unwrap_err(), ServeError::Host("a:80".to_owned()));
    for odd in ["", "9464", "127.0.0.1", "127.0.0.1:99999", "256.0.0.1:80"] {
        let error = Server::builder(&bus).listen(odd).start().unwrap_err();
        assert!(matches!(&error, ServeError::Address { value, .. } if value == odd), "{odd}: {error}");
    }
}

#[test]
fn it_keeps_no_bus_alive_and_says_when_it_is_gone() {
    let _watched = watched();
    let (bus, server) = served();
    let weak = bus.downgrade();
    drop(bus);
    assert!(weak.upgrade().is_none());
    let answer = get(server.address(), "/");
    assert_eq!((answer.status, answer.body.as_str()), (503, "the bus is gone\n"));
}

#[test]
fn it_only_reads() {
    let _watched = watched();
    let (_bus, server) = served();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"] {
        let answer = ask(server.address(), &format!("{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(matches!(answer.status, 405 | 400), "{method}: {answer:?}");
        if answer.status == 405 {
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method}");
        }
    }
    let with_body = "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(ask(server.address(), with_body).status, 413);
}

#[test]
fn only_hosts_that_are_meant_are_answered() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let server = Server::builder(&bus).listen("127.0.0.1:0").allow_host("console.example").start().unwrap();
    let by = |head: &str| ask(server.address(), &format!("GET /nowhere HTTP/1.1\r\n{head}\r\n")).status;
    assert_eq!(by("Host: localhost:9464\r\n"), 404);
    assert_eq!(by("Host: console.example\r\n"), 404);
    assert_eq!(by("Host: evil.example\r\n"), 421);
    assert_eq!(by("Host: 127.0.0.1.evil.example\r\n"), 421);
    assert_eq!(by(""), 400);
    assert_eq!(by("Host: localhost\r\nHost: evil.example\r\n"), 400);
    let absolute = "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(server.address(), absolute).status, 400);
}

#[test]
fn every_answer_tells_browsers_to_keep_it_to_themselves() {
    let _watched = watched();
    let (_bus, server) = served();
    let requests = [
        "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ];
    for request in requests {
        let answer = ask(server.address(), request);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{answer:?}");
    }
}

#[test]
fn huge_heads_are_refused() {
    let _watched = watched();
    let (_bus, server) = served();
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    assert_eq!(ask(server.address(), &long).status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(ask(server.address(), &many).status, 431);
    let address = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(40_000));
    assert!(matches!(ask(server.address(), &address).status, 414 | 431));
}

#[test]
fn garbage_does_no_harm() {
    let _watched = watched();
    let (_bus, server) = served();
    for garbage in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n",
    ] {
        let mut client = Client::to(server.address());
        client.send(garbage);
        client.done_talking();
        client.rest();
    }
    assert_eq!(get(server.address(), "/nowhere").status, 404);
}

#[test]
fn requests_in_one_go_are_answered_in_turn() {
    let _watched = watched();
    let (_bus, server) = served();
    let mut client = Client::to(server.address());
    client.send(
        b"GET /first HTTP/1.1\r\nHost: localhost\r\n\r\nGET /second HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(client.answer().body.contains("/first"));
    assert!(client.answer().body.contains("/second"));
}

#[test]
fn who_is_done_talking_still_gets_an_answer() {
    let _watched = watched();
    let (_bus, server) = served();
    let mut client = Client::to(server.address());
    client.send(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.done_talking();
    assert_eq!(client.answer().status, 404);
}

#[test]
fn who_talks_slowly_or_not_at_all_is_cut_off() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let server =
        Server::builder(&bus).listen("127.0.0.1:0").timeout(Duration::from_millis(50)).start().unwrap();
    for beginning in ["", "GET / HT", "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n"] {
        let mut client = Client::to(server.address());
        client.send(beginning.as_bytes());
        // Ends, or the watchdog barks.
        client.rest();
    }
    // So is a connection that is kept after an answer and not used.
    let mut client = Client::to(server.address());
    client.send(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    client.rest();
}

#[test]
fn there_are_no_more_connections_than_allowed() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let server = Server::builder(&bus).listen("127.0.0.1:0").connections_max(2).start().unwrap();
    let mut held: Vec<Client> = (0..2).map(|_| Client::to(server.address())).collect();
    for client in &mut held {
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.answer().status, 404);
    }
    let mut refused = Client::to(server.address());
    assert_eq!(refused.answer().status, 503);
    held.pop();
    // When the end of one has been noticed, there is room again.
    common::eventually(|| {
        let mut client = Client::to(server.address());
        client.try_send(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Answer::read(&client.rest()).is_some_and(|answer| answer.status == 404)
    });
}

#[test]
fn stopping_waits_for_nobody() {
    let _watched = watched();
    let (_bus, server) = served();
    let mut idle = Client::to(server.address());
    let mut half = Client::to(server.address());
    half.send(b"GET / HT");
    server.stop();
    assert_eq!((idle.rest(), half.rest()), (Vec::new(), Vec::new()));
}

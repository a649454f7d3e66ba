//! Which requests are answered at all.
//!
//! A browser sends requests for every page it shows, also to loopback. It keeps pages from reading what other sites
//! answer, but tells sites apart by their names; so a stranger's name that suddenly stands for 127.0.0.1 would be let
//! in (DNS rebinding), were the `Host` header not looked at. An address in it is no such name.

use super::reply::Reply;
use hyper::body::Body;
use hyper::header::{ALLOW, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use std::net::{IpAddr, Ipv6Addr};

const STRANGE_HOST: &str =
    "this host name is not allowed: ask by address or localhost, or start the server with allow_host\n";

/// What is answered to a request that is not read-only, or not meant for this server.
pub(super) fn refusal<B: Body>(request: &Request<B>, hosts: &[String]) -> Option<Reply> {
    let (status, words) = if !matches!(*request.method(), Method::GET | Method::HEAD) {
        (StatusCode::METHOD_NOT_ALLOWED, "read-only: only GET and HEAD are answered\n")
    } else if !request.body().is_end_stream() {
        (StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here\n")
    } else {
        match asked_host(request) {
            Some(host) if is_allowed(host, hosts) => return None,
            Some(_) => (StatusCode::MISDIRECTED_REQUEST, STRANGE_HOST),
            None => (StatusCode::BAD_REQUEST, "one Host header is needed, the same as in the address\n"),
        }
    };
    let reply = Reply::text(status, words).closing();
    let allow = || HeaderValue::from_static("GET, HEAD");
    Some(if status == StatusCode::METHOD_NOT_ALLOWED { reply.with(ALLOW, allow()) } else { reply })
}

/// The one host that a request names.
fn asked_host<B>(request: &Request<B>) -> Option<&str> {
    let mut headers = request.headers().get_all(HOST).iter();
    let (first, more) = (headers.next()?.to_str().ok()?, headers.next());
    let is_same = request.uri().authority().is_none_or(|address| address.as_str() == first);
    (more.is_none() && is_same).then_some(first)
}

/// Whether `host`, with or without a port, is an address, `localhost`, or one of `hosts`.
fn is_allowed(host: &str, hosts: &[String]) -> bool {
    let Some(name) = without_port(host) else { return false };
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    name.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4())
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
}

fn without_port(host: &str) -> Option<&str> {
    match host.rfind(':').filter(|_| !host.ends_with(']')) {
        Some(at) => {
            let port = &host[at + 1..];
            // A number could have a sign.
            let is_port = port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok();
            is_port.then_some(&host[..at])
        }
        None => Some(host),
    }
}

/// Whether it can stand in a `Host` header, without a port.
pub(super) fn is_host_name(name: &str) -> bool {
    let is_of_name = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    (1..=253).contains(&name.len()) && name.bytes().all(is_of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_meant_are_allowed() {
        let own = ["console.example".to_owned()];
        for host in [
            "127.0.0.1",
            "127.0.0.1:9464",
            "[::1]:80",
            "[::1]",
            "localhost:1",
            "LocalHost",
            "Console.Example:80",
        ] {
            assert!(is_allowed(host, &own), "{host}");
        }
        let strange = [
            "",
            ":",
            ":80",
            "evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:80:80",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "localhost.",
            "[::1",
            "::1]",
            "[localhost]",
            "[127.0.0.1]",
            "::1",
            "console.example.evil",
            "127.0.0.1:+1",
            "[]",
            "[::1]x:80",
            "user@localhost",
            "localhost/x",
        ];
        for host in strange {
            assert!(!is_allowed(host, &own), "{host}");
        }
    }

    #[test]
    fn host_names_are_checked() {
        assert!(is_host_name("console.example") && is_host_name("a_b-c"));
        assert!(
            !is_host_name("")
                && !is_host_name("a:80")
                && !is_host_name("a b")
                && !is_host_name(&"a".repeat(254))
        );
    }
}

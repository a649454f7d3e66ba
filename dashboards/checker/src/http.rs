//! Asking servers on this machine.

use crate::Outcome;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// The body of the answer, whatever its status: Prometheus explains in it what was wrong with a question.
pub fn get(address: SocketAddr, path: &str, query: &[(&str, &str)]) -> Outcome<String> {
    let request = ureq::get(format!("http://{address}{path}"))
        .query_pairs(query.iter().copied())
        .config()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build();
    // The largest answers are a few megabytes.
    let body = request.call()?.body_mut().with_config().limit(256 << 20).read_to_string()?;
    Ok(body)
}

pub fn get_json(address: SocketAddr, path: &str, query: &[(&str, &str)]) -> Outcome<Value> {
    let body = get(address, path, query)?;
    serde_json::from_str(&body).map_err(|why| format!("{path}: {why} in {body:.200}").into())
}

/// An address that nobody listens at, now.
pub fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

//! Connections: as many as are allowed, none for ever, and all of them over soon after the end.

use super::patience::Patient;
use super::routes::Site;
use crate::sync::Arc;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

/// A head, with the address in it, may be so long.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// What is under way at the end may take so long.
const FAREWELL: Duration = Duration::from_secs(1);
/// The system has no more connections to give: they may be fewer by then.
const BREATH: Duration = Duration::from_millis(100);
const HOUSEKEEPING: Duration = Duration::from_secs(30);
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ntoo many connections\n";

/// What one server allows.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) time: Duration,
}

/// Accepts connections and answers on them until `stop`'s sender is gone.
pub(super) async fn accept(
    listener: TcpListener,
    site: Arc<Site>,
    limits: Limits,
    mut stop: watch::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    // Ends with the runtime.
    tokio::spawn(keep_house(site.clone()));
    while let Some(accepted) = until(&mut stop, listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            sleep(BREATH).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            // As much as goes out at once: nobody waits for it.
            let _ = stream.try_write(TOO_MANY);
            continue;
        };
        let (site, stop) = (site.clone(), stop.clone());
        tokio::spawn(async move {
            answer(stream, site, limits, stop).await;
            drop(place);
        });
    }
    drop(listener);
    // All places free: all connections are over.
    let _ = timeout(FAREWELL, places.acquire_many(limits.connections as u32)).await;
}

async fn keep_house(site: Arc<Site>) {
    loop {
        sleep(HOUSEKEEPING).await;
        site.forget();
    }
}

/// Answers what comes on one connection.
async fn answer(stream: TcpStream, site: Arc<Site>, limits: Limits, mut stop: watch::Receiver<()>) {
    let service = service_fn(move |request| {
        let reply = site.answer(&request);
        async move { Ok::<_, Infallible>(reply.into_response()) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.time)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // A client may be done talking and still want its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.time)), service);
    let mut connection = pin!(connection);
    if until(&mut stop, connection.as_mut()).await.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// What `work` comes to, unless the end comes first.
pub(super) async fn until<F: Future>(stop: &mut watch::Receiver<()>, work: F) -> Option<F::Output> {
    let (mut stopped, mut work) = (pin!(stop.changed()), pin!(work));
    poll_fn(|context| match stopped.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(context).map(Some),
    })
    .await
}

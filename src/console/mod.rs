//! The console: a bus's figures as JSON and as a page for people.
//!
//! What is shown comes from the statistics that are always on: nothing is counted for the console, and no publisher
//! waits for it. This module makes text of figures and knows nothing of sockets; `http` asks it.
//!
//! | file | what |
//! | --- | --- |
//! | `query` | query strings |
//! | [`look`] | all figures of one moment, read once for everybody |
//! | `rates` | how fast things go |
//! | [`health`] | what is wrong, since when, and what can be done |
//! | [`table`] | one page of a table: filtered, sorted, cut |
//! | `rows` | the rows of each |
//! | `overview` | the bus at a glance |
//! | `page/` | the page: its text, style and script, which are served as one file |

mod health;
mod look;
mod overview;
mod query;
mod rates;
mod rows;
mod table;

#[cfg(fuzzing)]
pub(crate) use query::check as check_query;

use crate::bus::Bus;
use crate::stats::TopicStats;
use crate::sync::time::Clock;
use look::{Look, Looks};
use overview::Overview;
use query::{BadQuery, Query};
use rows::{CacheRow, SubscriptionRow, TopicRow, TypeRow, WorkerRow};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use table::Page;

/// All points there are.
const ALL: usize = usize::MAX;
/// What one topic has of subscriptions and forwards is listed up to so many; the table of subscriptions has the rest.
const LIST: usize = 200;
const PATHS: [(&str, &str); 9] = [
    ("/api/overview", "the bus at a glance"),
    ("/api/diagnosis", "what is wrong, worst first"),
    ("/api/topics", "a table: filter, sort, order, offset, limit"),
    ("/api/topic?name=", "one topic with its subscriptions and forwards"),
    ("/api/subscriptions", "a table, also of one topic, dispatch or state"),
    ("/api/subscription?id=", "one subscription with its times in buckets"),
    ("/api/message_types", "a table"),
    ("/api/caches", "a table"),
    ("/api/workers", "a table"),
];

/// What one server shows of one bus.
pub(crate) struct Console {
    /// When it was started, which tells it from the one before.
    number: u64,
    looks: Looks,
}

/// An answer: status and JSON.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Vec<u8>,
}

/// One live event.
pub(crate) struct Event {
    /// As it goes over the wire.
    pub(crate) text: Vec<u8>,
    /// When the next one is due.
    pub(crate) next: Duration,
}

impl Console {
    /// One that looks at the bus at most that often.
    pub(crate) fn new(every: Duration) -> Self {
        Self { number: Clock::real().exact_wall_ns() / 1_000, looks: Looks::new(every) }
    }

    /// What is answered for a path below `/api/`, and what follows its `?`.
    pub(crate) fn answer(&self, bus: &Bus, path: &str, query: &str) -> Answer {
        let answered = Query::parse(query).map_err(bad).and_then(|query| self.route(bus, path, query));
        answered.unwrap_or_else(|refusal| refusal)
    }

    fn route(&self, bus: &Bus, path: &str, query: Query) -> Result<Answer, Answer> {
        let look = || self.looks.look(bus);
        match path {
            "" => Ok(found(&index())),
            "overview" => {
                query.only(&[]).map_err(bad)?;
                Ok(found(&Overview::of(&look(), self.number, ALL)))
            }
            "diagnosis" => {
                query.only(&[]).map_err(bad)?;
                Ok(found(&look().health))
            }
            "topics" => page(&look(), query, Look::topic_rows),
            "subscriptions" => page(&look(), query, Look::subscription_rows),
            "message_types" => page(&look(), query, Look::type_rows),
            "caches" => page(&look(), query, Look::cache_rows),
            "workers" => page(&look(), query, Look::worker_rows),
            "topic" => {
                let query = query.only(&["name"]).map_err(bad)?;
                topic(bus, query.need("name", "needed is the whole name of a topic").map_err(bad)?)
            }
            "subscription" => {
                let query = query.only(&["id"]).map_err(bad)?;
                subscription(&look(), query.need("id", "needed is a subscription's number").map_err(bad)?)
            }
            _ => Err(missing("there is nothing at this path; /api/ lists what there is")),
        }
    }

    /// The live event of now; the first one of a listener has all points of the charts.
    pub(crate) fn event(&self, bus: &Bus, is_first: bool) -> Event {
        let look = self.looks.look(bus);
        let overview = Overview::of(&look, self.number, if is_first { ALL } else { 1 });
        let mut text = format!("retry: 1000\nid: {}\nevent: look\ndata: ", look.number).into_bytes();
        text.extend(written(&overview));
        text.extend(b"\n\n");
        Event { text, next: look.every }
    }

    /// Nobody may have looked for long.
    pub(crate) fn forget(&self) {
        self.looks.forget();
    }
}

/// The page: one file, whose script and style bear that nonce.
pub(crate) fn page_html(nonce: &str) -> String {
    const SCRIPT: &str = concat!(
        include_str!("page/base.js"),
        include_str!("page/overview.js"),
        include_str!("page/tables.js"),
        include_str!("page/main.js"),
    );
    let page = include_str!("page/page.html").replace("{{nonce}}", nonce);
    page.replace("{{style}}", include_str!("page/style.css")).replace("{{script}}", SCRIPT)
}

impl Look {
    fn topic_rows(&self) -> impl ExactSizeIterator<Item = TopicRow<'_>> {
        self.stats.topics.iter().zip(&self.topics).map(|(stats, rates)| TopicRow { stats, rates: *rates })
    }

    fn subscription_rows(&self) -> impl ExactSizeIterator<Item = SubscriptionRow<'_>> {
        let rows = self.stats.subscriptions.iter().zip(&self.subscriptions);
        rows.map(|(stats, rates)| SubscriptionRow { stats, rates: *rates })
    }

    fn type_rows(&self) -> impl ExactSizeIterator<Item = TypeRow<'_>> {
        self.stats
            .message_types
            .iter()
            .zip(&self.types)
            .map(|(stats, rates)| TypeRow { stats, rates: *rates })
    }

    fn cache_rows(&self) -> impl ExactSizeIterator<Item = CacheRow<'_>> {
        self.caches.iter().zip(&self.cache_rates).map(|(stats, rates)| CacheRow { stats, rates: *rates })
    }

    fn worker_rows(&self) -> impl ExactSizeIterator<Item = WorkerRow<'_>> {
        self.stats
            .worker_stats
            .iter()
            .zip(&self.workers)
            .map(|(stats, rates)| WorkerRow { stats, rates: *rates })
    }
}

/// What there is.
fn index() -> serde_json::Value {
    let paths: serde_json::Map<_, _> =
        PATHS.iter().map(|(path, what)| ((*path).to_owned(), json!(what))).collect();
    json!({ "service": concat!("stasis-bus ", env!("CARGO_PKG_VERSION")), "paths": paths })
}

fn page<'a, R: table::Row, I: ExactSizeIterator<Item = R>>(
    look: &'a Look,
    query: Query,
    rows: impl FnOnce(&'a Look) -> I,
) -> Result<Answer, Answer> {
    #[derive(Serialize)]
    struct Paged<R> {
        look: u64,
        at: f64,
        /// Seconds that the rates are about.
        elapsed: Option<f64>,
        #[serde(flatten)]
        page: Page<R>,
    }
    let page = Page::of(query, rows(look)).map_err(bad)?;
    Ok(found(&Paged { look: look.number, at: look.at, elapsed: look.elapsed, page }))
}

fn topic(bus: &Bus, name: &str) -> Result<Answer, Answer> {
    #[derive(Serialize)]
    struct Detail<'a> {
        stats: &'a TopicStats,
        detail: &'a str,
        age: f64,
        subscriptions: Vec<SubscriptionRow<'a>>,
        subscriptions_total: usize,
        forwards_to: &'a [String],
        forwards_to_total: usize,
        forwards_from: &'a [String],
        forwards_from_total: usize,
    }
    let topic = bus.topic_stats(name).ok_or_else(|| missing(&format!("there is no topic {name:?}")))?;
    let rows = topic.subscriptions.iter().map(|stats| SubscriptionRow { stats, rates: Default::default() });
    let first = |names: &'_ [String]| names.len().min(LIST);
    Ok(found(&Detail {
        stats: &topic.stats,
        detail: &topic.detail,
        age: topic.age.as_secs_f64(),
        subscriptions: rows.take(LIST).collect(),
        subscriptions_total: topic.subscriptions.len(),
        forwards_to: &topic.forwards_to[..first(&topic.forwards_to)],
        forwards_to_total: topic.forwards_to.len(),
        forwards_from: &topic.forwards_from[..first(&topic.forwards_from)],
        forwards_from_total: topic.forwards_from.len(),
    }))
}

fn subscription(look: &Look, id: &str) -> Result<Answer, Answer> {
    let number =
        id.parse::<u64>().map_err(|_| bad(BadQuery::value("id", id, "allowed is a whole number")))?;
    let rows = &look.stats.subscriptions;
    let at = rows.binary_search_by_key(&number, |row| row.id);
    let at = at.map_err(|_| missing(&format!("there is no subscription with the number {number}")))?;
    Ok(found(&json!({ "stats": rows[at], "rates": look.subscriptions[at] })))
}

fn found(what: &impl Serialize) -> Answer {
    Answer { status: 200, json: written(what) }
}

fn bad(query: BadQuery) -> Answer {
    Answer { status: 400, json: written(&query) }
}

fn missing(why: &str) -> Answer {
    Answer { status: 404, json: written(&json!({ "error": why })) }
}

fn written(what: &impl Serialize) -> Vec<u8> {
    // Nothing of ours has keys that are no text, or fails to tell what it is.
    serde_json::to_vec(what).unwrap_or_default()
}

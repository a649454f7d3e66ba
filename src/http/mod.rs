//! A small HTTP server for a bus's figures: its own thread, read-only, on loopback unless told otherwise.
//!
//! | path | what | feature |
//! | --- | --- | --- |
//! | `/metrics` | the metrics of docs/METRICS.md, for Prometheus | `prometheus` |
//! | `/` | a page for people | `console` |
//! | `/events` | what the page follows live | `console` |
//! | `/api/` | what there is below it | `console` |
//! | `/api/overview` | the bus at a glance; what `/events` sends | `console` |
//! | `/api/diagnosis` | what is wrong, since when, what can be done | `console` |
//! | `/api/topics`, `/api/topic?name=` | a table, and one in detail | `console` |
//! | `/api/subscriptions`, `/api/subscription?id=` | a table, and one in detail | `console` |
//! | `/api/message_types`, `/api/caches`, `/api/workers` | tables | `console` |
//!
//! A table takes `filter` (part of a name, in any case), `sort` (a column), `order` (`asc`, `desc`), `offset` and `limit`
//! (50 as a rule, 1,000 at most); that of subscriptions also `topic`, `dispatch` and `state`, that of topics `class`. A query string
//! that is not understood is answered 400, with what would be right. Times are in seconds, rates are of the time since
//! the look before (`elapsed`); a first look has none.
//!
//! Whoever can connect can read; there is no login, and no page of another site can read it through a visitor's browser. Names of topics and subscriptions are all that is told of
//! messages: never a value. To show it elsewhere, put a proxy in front that asks who it is.
//!
//! | file | what |
//! | --- | --- |
//! | `builder` | options and their check |
//! | `server` | the thread, and its end |
//! | `accept` | connections, as many as are allowed |
//! | `patience` | a connection whose client does not read |
//! | `events` | live events, one listener each |
//! | `guard` | which requests are answered at all: GET and HEAD, to a host that is meant |
//! | `routes` | which path is whose |
//! | `reply` | an answer, and what every answer says to browsers |

mod accept;
mod builder;
#[cfg(feature = "console")]
mod events;
mod guard;
mod patience;
mod reply;
mod routes;
mod server;

pub use builder::ServerBuilder;
pub use server::Server;

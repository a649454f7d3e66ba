//! A small HTTP server for a bus's figures: its own thread, read-only, on loopback unless told otherwise.
//!
//! | path | what | feature |
//! | --- | --- | --- |
//! | `/` | a page for people | `console` |
//! | `/events` | what the page follows live | `console` |
//! | `/api/...` | figures as JSON: [`Server`] lists the paths | `console` |
//!
//! Whoever can connect can read; there is no login. Names of topics and subscriptions are all that is told of
//! messages: never a value. To show it elsewhere, put a proxy in front that asks who it is.
//!
//! | file | what |
//! | --- | --- |
//! | `builder` | options and their check |
//! | `server` | the thread, and its end |
//! | `accept` | connections, as many as are allowed |
//! | `patience` | a connection whose client does not read |
//! | `guard` | which requests are answered at all: GET and HEAD, to a host that is meant |
//! | `routes` | which path is whose |
//! | `reply` | an answer, and what every answer says to browsers |

mod accept;
mod builder;
mod guard;
mod patience;
mod reply;
mod routes;
mod server;

pub use builder::ServerBuilder;
pub use server::Server;

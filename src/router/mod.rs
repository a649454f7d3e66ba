//! One subscription on a topic whose messages go to routes, by their types.
//!
//! | file | what |
//! | --- | --- |
//! | [`builder`] | everything said before it is visible |
//! | [`handle`] | `Router`: what its owner holds |
//! | [`routes`] | `Routes`: what anybody may hold who changes routes |
//! | [`shared`] | what they share: table, filter, end |
//! | [`table`] | which message goes where |
//! | [`route`] | one closure |
//!
//! A router is one subscription; its handler is the *runner*, which looks each message up in a table and calls the route
//! it finds, one at a time. Tables are immutable and replaced whole. Two things follow the table: what the runner
//! calls, and the filter on the topic's list.
//!
//! | who | step | then |
//! | --- | --- | --- |
//! | edit (any thread) | under the router's lock: a copy of the table, changed; the filter that it needs is noted; the table is swapped | unlocks |
//! | | under the *topic's* lock: takes the noted filter as it is then, shows it on the list | unlocks both |
//! | | drops the old table; a removed closure goes with the last table that has it | returns |
//! | runner, a message | loads the table, finds the route, calls it, lets go of the table | |
//! | start | the subscription becomes visible; notes that it is; if the filter changed since it was read: as an edit | |
//! | runner, dropped after the final call | under the router's lock: over, the table is swapped for an empty one | drops every closure that was in it |
//!
//! * **The filter follows.** The noted filter is that of the newest table, and is read under the topic's lock, after the
//!   edit's own swap: so of two edits the later one on the topic's list shows a filter that has both, whichever was first
//!   here. Nobody takes the topic's lock inside the router's; the other way round is the only order.
//! * **Add.** When it has returned, the table swapped has the route and the list shown the filter: a publish that begins
//!   later is let through, and whoever handles a message later loads that table or a newer one.
//! * **Remove.** A lookup that begins after the swap does not find the route. One made before has the old table, and keeps
//!   the closure alive until its call has returned.
//! * **One call at a time.** The closures of routes are the runner's: it is one, and its mailbox hands it from thread to
//!   thread with the turn. Edits move references to routes and never touch a closure; the last one to let go drops it, with
//!   no lock held.
//! * **The end.** Closures in the table at the end are dropped by the runner's drop, which is the drop of the
//!   subscription's handler: before anybody's `join` returns. An edit that came too late finds it over.

mod builder;
mod handle;
mod route;
mod routes;
mod shared;
mod table;

pub use builder::RouterBuilder;
pub use handle::{Router, RouterStats};
pub use routes::Routes;

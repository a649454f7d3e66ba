//! A whole bus in manual mode, held against a simple sequential model.
//!
//! | file | what |
//! | --- | --- |
//! | [`script`] | what happens, and what handlers do |
//! | [`drive`] | does it on a real bus, and tells the model around every call of the bus |
//! | [`publishing`], [`subscribing`], [`services`], [`watching`], [`states`], [`ending`] | the acts: topics, subscriptions and routers, cache, its watches and time, state manager, the end |
//! | [`reality`], [`rules`] | the real bus, with every handle that the script may use; its values, and the functions of its cache |
//! | [`state`], [`frames`] | the model: who stands where, and what each publish means for each subscription |
//! | [`sub`] | one mailbox of it: what must come next |
//! | [`cached`], [`held`] | what the cache and the state manager must have |
//! | [`words`] | what the model tells apart |
//!
//! The model is told of every call into a handler and around every call of the bus; it queues what each publish means
//! for each subscription, and says what is wrong when something else arrives. It does not know in which order the bus
//! runs subscriptions; it only knows what each of them must get.

mod cached;
mod drive;
mod ending;
mod frames;
mod held;
mod publishing;
mod reality;
mod rules;
mod script;
mod services;
mod state;
mod states;
mod sub;
mod subscribing;
mod watching;
mod words;

pub(crate) use drive::run;
pub(crate) use script::Script;

//! A whole bus in manual mode, held against a simple sequential model.
//!
//! [`script`] says what happens, [`drive`] does it on a real bus and tells the model at every call into a handler and
//! around every call of the bus, and [`state`] knows what may come: it queues what each publish means for each
//! subscription, and says what is wrong when something else arrives. The model does not know in which order the bus
//! runs subscriptions; it only knows what each of them must get.

pub(crate) mod drive;
pub(crate) mod reality;
pub(crate) mod script;
pub(crate) mod state;

pub(crate) use drive::run;
pub(crate) use script::Script;

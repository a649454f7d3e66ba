//! The whole bus under random schedules. How to run and replay them, what they can and cannot show: shuttle_tests/README.md.

mod busy;
mod caches;
mod delivery;
mod explore;
mod inline;
mod overflow;
mod pool;
mod publishing;
mod seen;
mod services;
mod shutdown;
#[cfg(feature = "tracing")]
mod tracing;

use explore::{Witness, explore};

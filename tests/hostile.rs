//! What was tried at every public entry, and what must come of it: an error that says what is allowed, or the right thing;
//! never a hang, an abort, or a loss. docs/RELIABILITY.md has the table of these tests.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
#[path = "hostile/mod.rs"]
mod hostile;

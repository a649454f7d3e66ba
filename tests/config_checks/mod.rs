//! What must hold of the reader of configurations, whatever the text. Used by `tests/config.rs` on recorded input and
//! by the fuzz target `config` on its own.

use stasis_bus::{Bus, BusConfig};

/// A text is refused in words, or a bus can be made of it.
pub(crate) fn check(text: &str) {
    match BusConfig::from_toml(text) {
        Ok(config) => drop(Bus::builder().config(&config).manual().build().expect("what was accepted holds")),
        Err(error) => {
            assert!((1..=text.lines().count().max(1)).contains(&error.line), "{error:?}");
            let said = error.to_string();
            if let Some(line) = text.lines().nth(error.line - 1) {
                assert!((1..=line.chars().count() + 2).contains(&error.column), "{error:?}");
            }
            assert!(said.starts_with("line ") && said.len() < 2_000, "{said}");
            assert!(!said.contains(['\n', '\r', '\x1b']), "{said:?}");
        }
    }
}

//! Runs every small example: one that no longer works fails here. (`switchboard` has tests of its own.)

#[path = "../examples/batch.rs"]
mod batch;
#[path = "../examples/cache.rs"]
mod cache;
#[path = "../examples/cache_pattern.rs"]
mod cache_pattern;
#[path = "../examples/catch_up.rs"]
mod catch_up;
#[cfg(feature = "config")]
#[path = "../examples/config.rs"]
mod config;
#[path = "../examples/dedicated.rs"]
mod dedicated;
#[path = "../examples/hello.rs"]
mod hello;
#[path = "../examples/inline.rs"]
mod inline;
#[path = "../examples/lease.rs"]
mod lease;
#[path = "../examples/live_filter.rs"]
mod live_filter;
#[path = "../examples/overflow.rs"]
mod overflow;
#[path = "../examples/pinned.rs"]
mod pinned;
#[path = "../examples/pool.rs"]
mod pool;
#[path = "../examples/router.rs"]
mod router;
#[path = "../examples/serial.rs"]
mod serial;
#[path = "../examples/state.rs"]
mod state;
#[path = "../examples/stream.rs"]
mod stream;
#[path = "../examples/topic_pool.rs"]
mod topic_pool;
#[path = "../examples/typed.rs"]
mod typed;
#[path = "../examples/watch.rs"]
mod watch;

macro_rules! runs {
    ($($example:ident),+) => {
        /// So that an example that is not run here is noticed.
        const RUN: &[&str] = &[$(stringify!($example)),+];

        $(#[test]
        fn $example() {
            $example::main().unwrap();
        })+
    };
}

mod run {
    use super::*;
    runs!(
        batch,
        cache,
        catch_up,
        cache_pattern,
        dedicated,
        hello,
        inline,
        lease,
        live_filter,
        overflow,
        pinned,
        pool,
        router,
        serial,
        state,
        stream,
        topic_pool,
        typed,
        watch
    );

    #[cfg(feature = "config")]
    #[test]
    fn config() {
        assert_eq!(config::main(), std::process::ExitCode::SUCCESS);
    }

    /// `.ci/run examples` runs them all: these print for long, serve, or set up the whole process.
    const NEED_FEATURES: [&str; 4] = ["config", "console", "metrics", "tracing"];

    #[test]
    fn every_example_is_run() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let run = RUN.contains(&name.as_str()) || NEED_FEATURES.contains(&name.as_str());
                assert!(run, "examples/{name}.rs is missing in tests/examples.rs");
            }
        }
    }
}

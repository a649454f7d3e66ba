//! The rules of the code base that a machine can check: which module may use which, one door to atomics and threads,
//! orderings that name their partner, and files of bearable size.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every module, ground first. A module uses those of its own line only through itself, and those of lines above it
/// here.
const LAYERS: [&[&str]; 10] = [
    &["sync", "ids", "error"],
    &["map", "queue", "message", "stats"],
    &["dispatch"],
    &["mailbox"],
    &["topic"],
    &["subscription"],
    &["cache", "router", "state", "topic_pool"],
    &["bus"],
    &["observe", "console", "trace"],
    &["http"],
];
/// These may go round `src/sync`; each says why.
const OWN_ATOMICS: [&str; 3] = ["ids.rs", "dispatch/waits.rs", "stats/labels.rs"];
/// What only `src/sync` may name.
const BEHIND_THE_DOOR: [&str; 12] = [
    "std::sync::atomic",
    "core::sync::atomic",
    "std::sync::Mutex",
    "std::sync::{Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::thread::spawn",
    "std::thread::Builder",
    "std::thread::park",
    "std::time::Instant",
    "arc_swap::",
    "crossbeam_epoch::",
];
const LINES_MAX: usize = 500;

/// One file of `src`.
struct Source {
    /// Relative to `src`.
    path: String,
    text: String,
}

impl Source {
    /// The top module it belongs to; `lib` for the root.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Its code, without comments and without the tests at its end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines
            .take_while(|(_, line)| !line.starts_with("#[cfg(all(test") && !line.starts_with("#[cfg(test)"))
            .map(|(at, line)| (at, line.split("//").next().unwrap_or_default()))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut open, mut found) = (vec![root.clone()], Vec::new());
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("src can be read") {
            let path: PathBuf = entry.expect("src can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("sources are text");
                let path = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 30, "the sources were not found");
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// What the root re-exports, by name, so that `crate::Topic` counts as `crate::topic`.
fn exports(all: &[Source]) -> BTreeMap<String, String> {
    let root = all.iter().find(|source| source.path == "lib.rs").expect("src/lib.rs");
    let text: String = root.code().map(|(_, line)| line).collect::<Vec<_>>().join(" ");
    let mut names = BTreeMap::new();
    for export in text.split("pub use ").skip(1) {
        let export = export.split(';').next().unwrap_or_default();
        let module = words(export).next().unwrap_or_default().to_owned();
        names.extend(words(export).map(|name| (name.to_owned(), module.clone())));
    }
    names
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The top modules that a piece of code names through `crate::`.
fn used(code: &str, exports: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let heads: Vec<&str> = match path.strip_prefix('{') {
            Some(group) => group_heads(group),
            None => words(path).take(1).collect(),
        };
        found.extend(heads.into_iter().map(|head| exports.get(head).map_or(head, String::as_str).to_owned()));
    }
    found
}

/// The first word of every branch of `{a::b, c::{d, e}}`.
fn group_heads(group: &str) -> Vec<&str> {
    let (mut heads, mut depth, mut fresh) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && c.is_alphanumeric() => {
                heads.extend(words(&group[at..]).next());
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn dependencies_point_down() {
    let all = sources();
    let exports = exports(&all);
    let mut wrong = Vec::new();
    let mut edges = 0;
    for source in all.iter().filter(|source| source.path != "lib.rs") {
        let module = source.module();
        let own = layer(module).unwrap_or_else(|| panic!("{} is in no layer", source.path));
        let code: String = source.code().map(|(_, line)| line).collect::<Vec<_>>().join("\n");
        for other in used(&code, &exports) {
            let theirs =
                layer(&other).unwrap_or_else(|| panic!("{}: crate::{other} is in no layer", source.path));
            edges += usize::from(other != module);
            if other != module && theirs >= own {
                wrong.push(format!("{} ({module}, L{own}) uses crate::{other} (L{theirs})", source.path));
            }
        }
    }
    assert!(edges > 50, "only {edges} uses were found: the reading is broken");
    assert!(wrong.is_empty(), "dependencies that do not point down:\n{}", wrong.join("\n"));
}

#[test]
fn uses_are_read_in_every_form() {
    let exports = exports(&sources());
    let code = "use crate::{bus::Bus, topic::{walk::Walk, gate}, ids};\nfn f(_: &crate::Message) {}";
    let expected = ["bus", "ids", "message", "topic"].map(str::to_owned);
    assert_eq!(used(code, &exports), BTreeSet::from(expected));
}

#[test]
fn every_module_is_in_the_table() {
    let modules: BTreeSet<String> =
        sources().iter().map(|source| source.module().to_owned()).filter(|module| module != "lib").collect();
    let table: BTreeSet<String> =
        LAYERS.iter().flat_map(|layer| layer.iter().map(|m| (*m).to_owned())).collect();
    assert_eq!(modules, table);
}

#[test]
fn orderings_name_their_partner() {
    let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for (at, line) in source.text.lines().enumerate() {
            for tag in line.split("ORDERING(").skip(1) {
                let tag = tag.split(')').next().unwrap_or_default().to_owned();
                tags.entry(tag).or_default().push(format!("{}:{}", source.path, at + 1));
            }
        }
    }
    assert!(tags.len() > 10, "the tags were not found");
    let alone: Vec<_> = tags.iter().filter(|(_, places)| places.len() < 2).collect();
    assert!(alone.is_empty(), "orderings whose partner is not named: {alone:?}");
}

#[test]
fn there_is_one_door_to_atomics_and_threads() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.module() == "sync" || OWN_ATOMICS.contains(&source.path.as_str()) {
            continue;
        }
        for (at, line) in source.code() {
            let named = BEHIND_THE_DOOR.iter().filter(|path| line.contains(**path));
            wrong.extend(named.map(|path| format!("{}:{at} names {path}", source.path)));
        }
    }
    assert!(wrong.is_empty(), "past src/sync:\n{}", wrong.join("\n"));
}

#[test]
fn exceptions_say_why() {
    for source in sources().iter().filter(|source| OWN_ATOMICS.contains(&source.path.as_str())) {
        assert!(
            source.text.contains("even in models:"),
            "{} does not say why it goes round src/sync",
            source.path
        );
    }
}

#[test]
fn every_unsafe_has_a_reason() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in source.code() {
            if line.contains("unsafe {") || line.contains("unsafe impl") {
                let before = &lines[at.saturating_sub(9)..at];
                if !before.iter().any(|line| line.contains("SAFETY")) {
                    wrong.push(format!("{}:{at}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe without a SAFETY reason: {wrong:?}");
}

#[test]
fn files_are_of_bearable_size() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines; at most {LINES_MAX}", source.path);
    }
}

//! The committed tables: which models exercise each atomic operation (`COVERAGE.md`), and which mutation makes which model
//! fail (`mutations.tsv`). Read by the models' commands, and by a test of every build.

use super::sites::{Site, files_below};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

const HEAD: &str = "# Atomic operations and the models that exercise them

Written by a command (README.md), checked by `tests/coverage.rs` in every build: each atomic operation of `src` stands here,
with its ordering, either with the models that come to it or, in the second table, with the reason why none has to.
`ring::*` are all models of `ring.rs`. What a model comes to it does not yet check: that is `mutations.tsv`.

Counts of the type `Tally` (`src/sync/tally.rs`) are for figures alone and the standard library's even in models: their six
operations stand in the second table, the places that count do not.
";
const APART: &str = "## Apart";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("loom_tests")
}

pub(crate) fn path() -> PathBuf {
    folder().join("COVERAGE.md")
}

fn text_of(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_default()
}

/// Every model, by module and function.
pub(crate) fn models() -> Vec<String> {
    let (mut files, mut models) = (files_below(&folder()), Vec::new());
    files.sort();
    for path in files {
        let module = path.strip_prefix(folder()).expect("below it").with_extension("");
        let module = module.to_string_lossy().replace(['/', '\\'], "::");
        if module == "replay" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("models are text");
        let mut is_test = false;
        for line in text.lines() {
            if line == "#[test]" {
                is_test = true;
            } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                models.push(format!("{module}::{}", rest.split('(').next().unwrap_or_default()));
                is_test = false;
            }
        }
    }
    assert!(models.len() > 100, "the reading is broken: {} models", models.len());
    models
}

/// A line of `mutations.tsv`.
pub(crate) struct Mutation {
    /// `queue/word.rs Tail::change compare_exchange: relaxed`, or a name of `mutated!`.
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) line: String,
}

impl Mutation {
    /// The operation, and what becomes of it.
    pub(crate) fn site(&self) -> Option<(&str, &str)> {
        self.name.split_once(": ")
    }
}

fn rows() -> Vec<(String, String, String)> {
    let text = text_of("mutations.tsv");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let columns = lines.map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    columns
        .map(|columns| {
            let [name, model, why] =
                columns.try_into().unwrap_or_else(|line| panic!("three columns: {line:?}"));
            (name, model, why)
        })
        .collect()
}

/// Every mutation that is known to be caught.
pub(crate) fn mutations() -> Vec<Mutation> {
    let all = rows().into_iter().filter(|(name, ..)| name != "-");
    all.map(|(name, model, why)| Mutation { line: format!("{name}\t{model}\t{why}"), name, model }).collect()
}

/// The models that no mutation of the list makes fail.
#[allow(dead_code, reason = "one of two users")]
pub(crate) fn models_without_mutation() -> BTreeSet<String> {
    rows().into_iter().filter(|(name, ..)| name == "-").map(|(_, model, _)| model).collect()
}

/// `COVERAGE.md`: a site's orderings, and its models or the reason.
pub(crate) struct Table {
    #[allow(dead_code, reason = "one of two users")]
    pub(crate) exercised: BTreeMap<String, (String, String)>,
    pub(crate) apart: BTreeMap<String, (String, String)>,
}

impl Table {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let (first, second) = text.split_once(APART).unwrap_or((&text, ""));
        Self { exercised: table_rows(first), apart: table_rows(second) }
    }

    /// Its text, with these models: what none of them comes to keeps its reason.
    #[allow(dead_code, reason = "one of two users")]
    pub(crate) fn with(
        &self,
        sites: &[Site],
        by_site: &BTreeMap<String, BTreeSet<String>>,
        models: &[String],
    ) -> String {
        let (mut exercised, mut apart) = (String::new(), String::new());
        let mut file = "";
        for site in sites {
            let name = site.name();
            let models = by_site.get(&name).map(|some| shown(some, models)).unwrap_or_default();
            let reason = self.apart.get(&name).filter(|_| models.is_empty());
            if let Some((_, reason)) = reason {
                apart += &format!("| `{name}` | {} | {reason} |\n", site.orderings);
                continue;
            }
            if site.file != file {
                file = &site.file;
                exercised +=
                    &format!("\n### {file}\n\n| operation | ordering | models |\n| --- | --- | --- |\n");
            }
            exercised += &format!("| `{}` | {} | {models} |\n", site.operation, site.orderings);
        }
        format!(
            "{HEAD}\n## Exercised\n{exercised}\n{APART}\n\n| operation | ordering | why no model has to come to it |\n\
             | --- | --- | --- |\n{apart}"
        )
    }
}

/// `ring::*`, or `ring: wraps, two_closers`.
fn shown(some: &BTreeSet<String>, all: &[String]) -> String {
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, name) in some.iter().filter_map(|model| model.rsplit_once("::")) {
        files.entry(file).or_default().push(name);
    }
    let every = |file: &str| {
        all.iter().filter(|model| model.rsplit_once("::").is_some_and(|(of, _)| of == file)).count()
    };
    let shown = files.iter().map(|(file, names)| match names.len() == every(file) {
        true => format!("`{file}::*`"),
        false => names.iter().map(|name| format!("`{file}::{name}`")).collect::<Vec<_>>().join(" "),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Rows of three cells, by `file operation`; a heading may name the file.
fn table_rows(text: &str) -> BTreeMap<String, (String, String)> {
    let (mut rows, mut file) = (BTreeMap::new(), "");
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            file = heading;
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        let mut cells = row.trim_end_matches(" |").splitn(3, " | ");
        let operation = cells.next().unwrap_or_default().trim_end_matches('`');
        let name = format!("{file} {operation}");
        let [orderings, rest] = [(); 2].map(|()| cells.next().unwrap_or_default().trim().to_owned());
        rows.insert(name.trim().to_owned(), (orderings, rest));
    }
    rows
}

//! Every atomic operation is exercised by a model, or stands apart with a reason; every mutation names a place that
//! exists and a model that exists; every model is in the list of mutations.
//!
//! The tables are `loom_tests/COVERAGE.md` and `loom_tests/mutations.tsv`; loom_tests/README.md says how they are made.

#[path = "../loom_tests/sites.rs"]
mod sites;
#[path = "../loom_tests/table.rs"]
mod table;

use std::collections::BTreeSet;
use table::Table;

const HOW: &str =
    "record the models again, or say why none has to come to it (loom_tests/README.md, coverage)";

#[test]
fn every_atomic_operation_has_a_model_or_a_reason() {
    let table = Table::read();
    let mut wrong = Vec::new();
    for site in sites::all() {
        let name = site.name();
        let row = table.exercised.get(&name).or_else(|| table.apart.get(&name));
        match row {
            None => wrong.push(format!("{name} is not in the table")),
            Some((_, models)) if models.is_empty() => wrong.push(format!("no model comes to {name}")),
            Some((orderings, _)) if *orderings != site.orderings => {
                wrong.push(format!("{name} is {}, not {orderings}", site.orderings));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "loom_tests/COVERAGE.md: {HOW}:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_names_what_exists() {
    let table = Table::read();
    let sites: BTreeSet<String> = sites::all().iter().map(sites::Site::name).collect();
    let models: BTreeSet<String> = table::models().into_iter().collect();
    let mut wrong = Vec::new();
    wrong.extend(
        table.exercised.keys().chain(table.apart.keys()).filter(|name| !sites.contains(*name)).cloned(),
    );
    for (_, named) in table.exercised.values() {
        let names = named.split('`').filter(|name| name.contains("::"));
        let known = |name: &str| match name.strip_suffix('*') {
            Some(file) => models.iter().any(|model| model.starts_with(file)),
            None => models.contains(name),
        };
        wrong.extend(names.filter(|name| !known(name)).map(str::to_owned));
    }
    assert!(table.exercised.len() > 100, "the table was not read");
    assert!(wrong.is_empty(), "in loom_tests/COVERAGE.md, but not in the code; {HOW}: {wrong:?}");
}

#[test]
fn mutations_name_what_exists() {
    let sites: BTreeSet<String> = sites::all().iter().map(sites::Site::name).collect();
    let models: BTreeSet<String> = table::models().into_iter().collect();
    let named = names_in_the_code();
    let mut wrong = Vec::new();
    for mutation in table::mutations() {
        let is_known = match mutation.site() {
            Some((site, _)) => sites.contains(site),
            None => named.contains(&mutation.name),
        };
        if !is_known || !models.contains(&mutation.model) {
            wrong.push(mutation.line);
        }
    }
    assert!(wrong.is_empty(), "loom_tests/mutations.tsv, no such place or model:\n{}", wrong.join("\n"));
    let tried: BTreeSet<String> = table::mutations().into_iter().map(|mutation| mutation.name).collect();
    let untried: Vec<_> = named.iter().filter(|name| !tried.contains(*name)).collect();
    assert!(untried.is_empty(), "mutated! in src, but not in loom_tests/mutations.tsv: {untried:?}");
}

#[test]
fn every_model_has_a_mutation_or_a_reason() {
    let mut listed = table::models_without_mutation();
    let caught: BTreeSet<String> = table::mutations().into_iter().map(|mutation| mutation.model).collect();
    let both: Vec<_> = listed.intersection(&caught).collect();
    assert!(both.is_empty(), "listed as never seen failing, but they are: {both:?}");
    listed.extend(caught);
    let all: BTreeSet<String> = table::models().into_iter().collect();
    let missing: Vec<_> = all.difference(&listed).collect();
    assert!(missing.is_empty(), "not in loom_tests/mutations.tsv: {missing:?}");
    let gone: Vec<_> = listed.difference(&all).collect();
    assert!(gone.is_empty(), "in loom_tests/mutations.tsv, but no models: {gone:?}");
}

/// Every `mutated!("name")` of `src`.
fn names_in_the_code() -> BTreeSet<String> {
    let texts = sites::texts();
    let named = texts.iter().flat_map(|(_, text)| text.split("mutated!(\"").skip(1));
    named.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
}

/// In a build without models a mutation is the word `false`: there is nothing to be left in the code.
#[test]
fn mutations_are_nothing_in_a_normal_build() {
    let texts = sites::texts();
    let (_, real) = texts.iter().find(|(file, _)| file == "sync/real.rs").expect("src/sync/real.rs");
    let body =
        real.split("macro_rules! mutated {").nth(1).expect("mutated!").split(';').next().unwrap_or_default();
    let words: Vec<&str> = body.split_whitespace().collect();
    assert_eq!(words, ["($name:literal)", "=>", "{", "false", "}"]);
}

#[test]
fn operations_are_read_in_every_form() {
    let text = "impl<T: X> Deref for Word<T> {
    fn change(&self) {
        self.0.compare_exchange(a.load(Ordering::Acquire), b, Ordering::AcqRel, Relaxed); // .load(Relaxed)
        self.list.load(); counts.map(|n| n.load(Relaxed));
        let won = self.word.swap(
            2,
            Ordering::SeqCst,
        );
    }
}
fn free() { fence(Ordering::Release) }
#[cfg(all(test, not(x)))]
mod tests {
fn test() { a.load(Relaxed) }";
    let found: Vec<String> = sites::sites_of("a.rs", text)
        .iter()
        .map(|site| format!("{} {} {}:{}", site.name(), site.orderings, site.line, site.column))
        .collect();
    let expected = [
        "a.rs Word::change compare_exchange AcqRel, Relaxed 3:16",
        "a.rs Word::change load Acquire 3:35",
        "a.rs Word::change load 2 Relaxed 4:44",
        "a.rs Word::change swap SeqCst 5:29",
        "a.rs free fence Release 11:13",
    ];
    assert_eq!(found, expected);
}

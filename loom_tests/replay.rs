//! Two commands over all models, each of which runs in a process of its own: what they exercise, and whether they fail
//! where the code is made wrong. Both are tests that are ignored, so that the binary that was built for the models is all
//! they need (loom_tests/README.md has the commands).

use super::sites::{self, Site};
use super::table::{self, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A run that takes longer has not failed.
const LONGEST: Duration = Duration::from_secs(100);
/// So many at once.
const AT_ONCE: usize = 2;
/// Preemptions that the recording allows at most: what a model comes to it comes to with few. (It may fail then, having
/// missed the place that it exists for.)
const RECORDED_PREEMPTIONS: &str = "1";

struct Run {
    output: String,
    has_failed: bool,
}

/// Runs one model in a process of its own.
fn run(model: &str, variables: &[(&str, &str)], longest: Duration) -> Run {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("model-{}-{number}", std::process::id()));
    let output = File::create(&path).expect("a file for the output");
    let begun = Instant::now();
    let mut process = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", &format!("loom_tests::{model}"), "--nocapture"])
        .envs(variables.iter().copied())
        .stdout(output.try_clone().expect("the file once more"))
        .stderr(Stdio::from(output))
        .spawn()
        .expect("this binary runs");
    let ended = loop {
        match process.try_wait().expect("it can be waited for") {
            Some(status) => break Some(status),
            None if begun.elapsed() > longest => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if ended.is_none() {
        process.kill().and_then(|()| process.wait()).expect("it can be ended");
    }
    let output = String::from_utf8_lossy(&fs::read(&path).expect("its output")).into_owned();
    let _ = fs::remove_file(&path);
    assert!(output.contains("running 1 test"), "{model} is no model:\n{output}");
    Run { output, has_failed: ended.is_some_and(|status| !status.success()) }
}

/// Does `work` for each of them, a few at once.
fn each<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

const SURVIVED: &str = "SURVIVED";
/// What loom says when the same steps lead elsewhere than before. It may be the mutation that does that, but it is not what the
/// model was to see: none of its checks has failed. (Where freed memory is used, loom stumbles over that first.)
const OUT_OF_STEP: &str = "Is the model fully deterministic?";
/// Few preemptions are tried first: most failures need no more, and are found much sooner.
const MOST: [&str; 3] = ["1", "2", "99"];

/// What becomes of a model under a mutation, with so many preemptions at most.
fn tried(model: &str, mutation: &str, most: &str) -> &'static str {
    let run = run(model, &[("BUS_MUTATION", mutation), ("BUS_LOOM_MOST", most)], LONGEST);
    // With too few, a model may not come to the place that it exists for, and fail at its end.
    let is_over = run.output.contains(" executions") && most != MOST[2];
    let first_panic = run.output.split(" panicked at ").nth(1);
    let is_out_of_step = first_panic.is_some_and(|panic| panic.contains(OUT_OF_STEP));
    match (run.output.contains("mutated"), run.has_failed && !is_over && !is_out_of_step) {
        (_, false) => SURVIVED,
        (false, _) => "NOT MET",
        (true, true) => "caught",
    }
}

/// Replays `loom_tests/mutations.tsv`: fails if a model passes in spite of its mutation. `BUS_MUTATIONS=text` takes only
/// the lines with that text.
#[test]
#[ignore = "a command, see loom_tests/README.md"]
fn mutations_are_caught() {
    let wanted = std::env::var("BUS_MUTATIONS").unwrap_or_default();
    let all: Vec<_> = table::mutations().into_iter().filter(|one| one.line.contains(&wanted)).collect();
    assert!(!all.is_empty(), "no mutation has {wanted:?}");
    let places: BTreeMap<String, String> =
        sites::all().iter().map(|site| (site.name(), site.place())).collect();
    let survivors = Mutex::new(Vec::new());
    each(&all, |mutation| {
        let variable = match mutation.site() {
            None => mutation.name.clone(),
            Some((site, change)) => {
                let place = places.get(site).unwrap_or_else(|| panic!("there is no {site}"));
                format!("{place} {change}")
            }
        };
        let begun = Instant::now();
        let what =
            MOST.iter().map(|most| tried(&mutation.model, &variable, most)).find(|what| *what != SURVIVED);
        let (what, seconds) = (what.unwrap_or(SURVIVED), begun.elapsed().as_secs_f64());
        println!("{what:8} {seconds:5.1} s  {} by {}", mutation.name, mutation.model);
        if what != "caught" {
            survivors.lock().unwrap().push(mutation.line.clone());
        }
    });
    let survivors = survivors.into_inner().unwrap();
    println!("{} mutations, {} caught", all.len(), all.len() - survivors.len());
    assert!(survivors.is_empty(), "not caught:\n{}", survivors.join("\n"));
}

/// Runs every model, notes the atomic operations that it comes to, and writes `loom_tests/COVERAGE.md`. What was noted
/// by the same binary is not run again; with `BUS_MODELS=text` only the models with that text in their name are, and of
/// the others stands what was noted last.
#[test]
#[ignore = "a command, see loom_tests/README.md"]
fn coverage_is_recorded() {
    let this = std::env::current_exe().expect("this binary");
    let notes = this.with_file_name("bus-sites");
    fs::create_dir_all(&notes).expect("a folder for notes");
    let wanted = std::env::var("BUS_MODELS").ok();
    let sites = sites::all();
    let names: BTreeMap<String, String> = sites.iter().map(|site| (site.place(), site.name())).collect();
    let models = table::models();
    each(&models, |model| {
        let note = notes.join(model.replace("::", "-"));
        let is_done = match &wanted {
            None => is_newer(&note, &this),
            Some(text) => !model.contains(text) && note.exists(),
        };
        if !is_done {
            record(model, &names, &note);
        }
    });
    let mut by_site: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for model in &models {
        let note = fs::read_to_string(notes.join(model.replace("::", "-"))).expect("it was noted");
        for site in note.lines() {
            by_site.entry(site.to_owned()).or_default().insert(model.clone());
        }
    }
    let text = Table::read().with(&sites, &by_site, &models);
    fs::write(table::path(), text).expect("the table can be written");
}

fn is_newer(note: &Path, than: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    matches!((time(note), time(than)), (Some(noted), Some(built)) if noted > built)
}

fn record(model: &str, names: &BTreeMap<String, String>, note: &Path) {
    let begun = Instant::now();
    let variables = [("BUS_SITES", "1"), ("BUS_LOOM_MOST", RECORDED_PREEMPTIONS)];
    let run = run(model, &variables, Duration::from_secs(900));
    // The model's own atomics are no sites.
    let places = run.output.lines().filter_map(|line| line.strip_prefix("site src/"));
    let places = places.filter(|place| !place.starts_with("../"));
    let name = |place| {
        names.get(&format!("src/{place}")).unwrap_or_else(|| panic!("{place} is not found by reading"))
    };
    let seen: BTreeSet<&str> = places.map(|place| name(place).as_str()).collect();
    assert!(run.output.contains(" executions"), "{model} did not end:\n{}", run.output);
    println!("{:5.1} s  {model}: {} operations", begun.elapsed().as_secs_f64(), seen.len());
    fs::write(note, seen.into_iter().collect::<Vec<_>>().join("\n")).expect("it can be noted");
}

/// What mutations name is what the compiler calls the place.
#[test]
fn places_are_those_of_the_compiler() {
    super::explore(0, || {
        let latch = crate::sync::atomic::AtomicBool::new(false);
        latch.store(true, crate::sync::atomic::Ordering::Relaxed);
        crate::sync::mutation::start_noting();
        crate::sync::WakerCell::new().wake();
        let noted = crate::sync::mutation::noted();
        let taken =
            |site: &Site| site.file == "sync/waker.rs" && site.operation.starts_with("WakerCell::take");
        let read: Vec<String> = sites::all().iter().filter(|site| taken(site)).map(Site::place).collect();
        assert_eq!(noted, read);
    });
}

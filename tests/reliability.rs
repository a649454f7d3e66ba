//! docs/RELIABILITY.md names what exists, every guarantee has its row and every hostile test too; docs/UNSAFE.md lists
//! every `unsafe` of `src` with its reason. `UNSAFE_MD=write cargo test --test reliability` writes the latter anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The package that is published has no `.ci` and no `fuzz`: there is nothing to compare with.
fn is_whole() -> bool {
    root().join(".ci/run").exists()
}

/// Every file below a folder, by its path from there.
fn files(folder: &str) -> BTreeMap<String, String> {
    let (mut open, mut found) = (vec![root().join(folder)], BTreeMap::new());
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a folder").map(|entry| entry.expect("a file").path()) {
            match entry.extension() {
                None if entry.is_dir() => open.push(entry),
                Some(ending) if ending == "rs" => {
                    let name = entry.strip_prefix(root().join(folder)).expect("below it").to_string_lossy();
                    found.insert(name.into_owned(), fs::read_to_string(&entry).expect("text"));
                }
                _ => {}
            }
        }
    }
    found
}

// ---- the page -------------------------------------------------------------------------------------------------------------

/// What stands between backticks, outside of blocks of code.
fn quoted(page: &str) -> Vec<&str> {
    let mut in_block = false;
    let lines = page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    });
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn is_path(name: &str) -> bool {
    const FOLDERS: [&str; 9] = [
        "src/",
        "tests/",
        "loom_tests/",
        "shuttle_tests/",
        "fuzz/",
        "examples/",
        "docs/",
        "benches/",
        ".ci/",
    ];
    FOLDERS.iter().any(|folder| name.starts_with(folder)) && !name.contains(' ')
}

/// `module::function` of models, scenarios or tests.
fn test_exists(module: &str, function: &str) -> bool {
    let places = ["loom_tests", "shuttle_tests", "tests/hostile", "tests", "examples/soak"];
    let texts = places
        .iter()
        .filter_map(|place| fs::read_to_string(root().join(place).join(module).with_extension("rs")).ok());
    texts.into_iter().any(|text| function == "*" || text.contains(&format!("fn {function}(")))
}

fn is_name(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn the_page_names_what_exists() {
    if !is_whole() {
        return;
    }
    let (page, steps) = (read("docs/RELIABILITY.md"), read(".ci/run"));
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for name in quoted(&page) {
        let exists = if let Some(step) = name.strip_prefix(".ci/run ") {
            step.split(' ').all(|step| steps.contains(&format!("\n       {step} ")))
        } else if is_path(name) {
            root().join(name).exists()
        } else if let Some((module, function)) = name.split_once("::") {
            let is_test = is_name(module) && (function == "*" || is_name(function));
            !is_test || test_exists(module, function)
        } else {
            continue;
        };
        asked += 1;
        if !exists {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "docs/RELIABILITY.md names what is not there: {wrong:#?}");
    assert!(asked > 100, "only {asked} names were found");
}

#[test]
fn every_guarantee_has_its_row_with_its_tests() {
    let page = read("docs/RELIABILITY.md");
    for number in 1..=12 {
        let begin = format!("| **G{number} ");
        let row =
            page.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no row {begin}"));
        let own = files("tests").into_keys().filter(|name| name.starts_with(&format!("g{number:02}_")));
        let mut count = 0;
        for file in own {
            count += 1;
            assert!(row.contains(&format!("`tests/{file}`")), "G{number}: tests/{file} is missing");
        }
        assert!(count > 0, "G{number} has no tests");
    }
}

#[test]
fn every_protocol_has_its_row() {
    let (page, map) = (read("docs/RELIABILITY.md"), read("ARCHITECTURE.md"));
    let protocols = map.split("\n## Protocols").nth(1).and_then(|text| text.split("\n## ").next());
    let names = protocols.expect("the section").lines().filter_map(|line| line.strip_prefix("**T"));
    let names: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("| **T{name}")), "no row for T{name}");
    }
}

#[test]
fn every_hostile_test_has_its_row() {
    let page = read("docs/RELIABILITY.md");
    let mut count = 0;
    for (file, text) in files("tests/hostile") {
        let module = file.trim_end_matches(".rs");
        for test in text.split("#[test]\nfn ").skip(1) {
            let name = test.split('(').next().expect("a name");
            assert!(page.contains(&format!("`{module}::{name}`")), "{module}::{name} is in no row");
            count += 1;
        }
    }
    assert!(count > 20, "only {count} hostile tests");
}

// ---- unsafe ---------------------------------------------------------------------------------------------------------------

/// So far above a reason may stand.
const LINES_ABOVE: usize = 14;

/// One use of `unsafe`: where, what, and why it is allowed.
struct Unsafe {
    within: String,
    what: &'static str,
    reason: String,
}

fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn kind_of(line: &str) -> Option<&'static str> {
    let code = code(line);
    [("unsafe impl", "impl"), ("unsafe fn ", "fn"), ("unsafe {", "block"), ("unsafe extern", "extern")]
        .into_iter()
        .find_map(|(text, kind)| code.contains(text).then_some(kind))
}

/// What stands right above: of a function its documentation, of a block the comment before its statement, which clippy
/// asks for. A function that a trait asks for has its conditions there.
fn reason(lines: &[&str], at: usize, what: &str) -> Option<String> {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let mark = |line: &str| line.contains("SAFETY:") || line.contains("# Safety");
    let is_near = |line: &str| match what {
        "fn" => is_comment(line) || line.trim_start().starts_with('#'),
        _ => !line.trim().is_empty(),
    };
    let above = (at.saturating_sub(LINES_ABOVE)..at).rev().take_while(|&line| is_near(lines[line]));
    let begin = above.into_iter().find(|&line| is_comment(lines[line]) && mark(lines[line]));
    let Some(begin) = begin else {
        let is_of_trait = what == "fn"
            && !lines[at].contains("pub")
            && lines[..at].iter().rev().any(|line| line.starts_with("impl") && line.contains(" for "));
        return is_of_trait.then(|| "as the trait says".to_owned());
    };
    let text = lines[begin..at].iter().take_while(|line| is_comment(line));
    let text = text.map(|line| line.trim_start().trim_start_matches('/').trim());
    let joined = text.collect::<Vec<_>>().join(" ");
    let after = joined.split("SAFETY:").last().unwrap_or_default();
    Some(after.replace("# Safety", "").replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" "))
}

fn uses(text: &str) -> Vec<Unsafe> {
    let lines: Vec<_> = text.lines().collect();
    let (mut within, mut found) = (String::new(), Vec::new());
    for (at, line) in lines.iter().enumerate() {
        if let Some(rest) = code(line).split("fn ").nth(1).filter(|_| code(line).contains("fn ")) {
            within = rest.split(['(', '<']).next().unwrap_or_default().trim().to_owned();
        }
        let Some(what) = kind_of(line) else { continue };
        let reason = reason(&lines, at, what).unwrap_or_default();
        let within = if what == "impl" {
            code(line).trim().trim_end_matches([' ', '{', '}']).to_owned()
        } else {
            within.clone()
        };
        found.push(Unsafe { within, what, reason });
    }
    found
}

fn listing() -> String {
    let mut page = String::from(
        "# Unsafe code\n\nEvery `unsafe` in `src`, with the reason that stands beside it. Written by a command, checked by every\n\
         `cargo test`: `UNSAFE_MD=write cargo test --test reliability`.\n",
    );
    let (mut sections, mut total, mut with) = (String::new(), 0, 0);
    for (file, text) in files("src") {
        let uses = uses(&text);
        if uses.is_empty() {
            continue;
        }
        with += 1;
        total += uses.len();
        let _ = write!(
            sections,
            "\n## src/{file}: {}\n\n| in | what | reason |\n| --- | --- | --- |\n",
            uses.len()
        );
        for Unsafe { within, what, reason } in uses {
            let _ = writeln!(sections, "| `{within}` | {what} | {reason} |");
        }
    }
    let _ = writeln!(page, "\n{total} in {with} files; in the others there is none.");
    page + &sections
}

#[test]
fn every_unsafe_is_listed_with_its_reason() {
    let listing = listing();
    let bare: Vec<_> = listing.lines().filter(|line| line.ends_with("|  |")).collect();
    assert!(bare.is_empty(), "without a reason: {bare:#?}");
    if std::env::var("UNSAFE_MD").is_ok_and(|what| what == "write") {
        fs::write(root().join("docs/UNSAFE.md"), &listing).expect("it can be written");
    }
    assert!(
        listing == read("docs/UNSAFE.md"),
        "docs/UNSAFE.md is not of this source: UNSAFE_MD=write cargo test --test reliability"
    );
}

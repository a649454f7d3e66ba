//! The atomic operations of `src`, found by reading it: what models are to exercise, and what mutations name.
//!
//! A site is named by its file, the function that it stands in, and the operation; with a number from the second on, if
//! a function has several: `queue/word.rs Tail::change compare_exchange`. Lines come and go, names stay.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const OPERATIONS: [&str; 12] = [
    "load",
    "store",
    "swap",
    "compare_exchange",
    "fetch_add",
    "fetch_sub",
    "fetch_and",
    "fetch_or",
    "fetch_min",
    "fetch_max",
    "fetch_update",
    "fence",
];
const ORDERINGS: [&str; 5] = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];
/// The shipped and the modelled side of the door, which do what they are told; tests; what fuzzers and tests share.
const LEFT_OUT: [&str; 7] = [
    "sync/real.rs",
    "sync/shuttle.rs",
    "sync/shuttle/world.rs",
    "sync/model/atomic.rs",
    "sync/model/mutation.rs",
    "map/tests.rs",
    "map/checks.rs",
];

/// One atomic operation.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Relative to `src`.
    pub(crate) file: String,
    /// `Tail::change compare_exchange`.
    pub(crate) operation: String,
    /// `AcqRel, Relaxed`.
    pub(crate) orderings: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Site {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.file, self.operation)
    }

    /// As the compiler says it.
    #[allow(dead_code, reason = "models only")]
    pub(crate) fn place(&self) -> String {
        format!("src/{}:{}:{}", self.file, self.line, self.column)
    }
}

/// All of them, in the order of their files.
pub(crate) fn all() -> Vec<Site> {
    let read = texts().into_iter().filter(|(file, _)| !LEFT_OUT.contains(&file.as_str()));
    let sites: Vec<Site> = read.flat_map(|(file, text)| sites_of(&file, &text)).collect();
    assert!(sites.len() > 100, "the reading is broken: {} sites", sites.len());
    sites
}

/// Every file of `src`, by its name.
pub(crate) fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = files_below(&root);
    files.sort();
    let name =
        |path: &Path| path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("sources are text"))).collect()
}

/// Every Rust file there.
pub(crate) fn files_below(root: &Path) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            match path.is_dir() {
                true => open.push(path),
                false if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
                false => {}
            }
        }
    }
    found
}

/// Those of one file, without comments and without the tests at its end.
pub(crate) fn sites_of(file: &str, text: &str) -> Vec<Site> {
    let mut code: Vec<String> = text.lines().map(without_comment).collect();
    let is_module = |line: &String| line.starts_with("mod ") && line.ends_with('{');
    let are_tests = |lines: &[String]| {
        lines[0].starts_with("#[cfg(") && lines[0].contains("test") && lines[1..].iter().any(is_module)
    };
    if let Some(end) = code.windows(3).position(are_tests) {
        code.truncate(end);
    }
    let mut sites = Vec::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let (mut of, mut within) = (None, String::new());
    for (at, line) in code.iter().enumerate() {
        if line.starts_with('}') {
            of = None;
        } else if line.starts_with("impl") {
            of = implemented(line);
        }
        if let Some(name) = function(line) {
            within = of.as_ref().map_or(name.to_owned(), |of| format!("{of}::{name}"));
        }
        for (column, name) in operations(line) {
            let orderings = orderings(&code[at..], column + name.len());
            if orderings.is_empty() {
                continue;
            }
            let mut operation = format!("{within} {name}");
            let time = times.entry(operation.clone()).or_default();
            *time += 1;
            if *time > 1 {
                operation += &format!(" {time}");
            }
            let (file, orderings) = (file.to_owned(), orderings.join(", "));
            sites.push(Site { file, operation, orderings, line: at + 1, column: column + 1 });
        }
    }
    sites
}

fn without_comment(line: &str) -> String {
    line.split("//").next().unwrap_or_default().to_owned()
}

/// The type in `impl<T> Trait for Type<T> {`.
fn implemented(line: &str) -> Option<String> {
    let head = line.split(" where ").next()?.trim_end_matches('{').trim();
    let of = match head.rsplit_once(" for ") {
        Some((_, of)) => of,
        None => after_generics(head.strip_prefix("impl")?),
    };
    of.split(['<', ' ']).next()?.rsplit("::").next().map(str::to_owned)
}

fn after_generics(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            c if depth == 0 && c.is_alphabetic() => return &text[at..],
            _ => {}
        }
    }
    text
}

fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_declared = before.trim().is_empty() || before.ends_with(' ') && !before.contains(['=', '|', ':']);
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
    (is_declared && end > 0).then(|| &after[..end])
}

/// Where calls by the name of an operation begin in a line.
fn operations(line: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for name in OPERATIONS {
        for (at, _) in line.match_indices(name) {
            let before = line[..at].chars().next_back();
            let is_method = before == Some('.');
            let is_function =
                name == "fence" && !before.is_some_and(|c| c.is_alphanumeric() || "_.:".contains(c));
            if line[at + name.len()..].starts_with('(')
                && (is_method || is_function)
                && !line[..at].ends_with("fn ")
            {
                found.push((at, name));
            }
        }
    }
    found.sort_unstable();
    found
}

/// The orderings among the arguments whose parenthesis stands in the first line at `from`.
fn orderings(code: &[String], from: usize) -> Vec<&'static str> {
    let (mut found, mut depth, mut word) = (Vec::new(), 0, String::new());
    let first = &code[0][from..];
    for line in std::iter::once(first).chain(code[1..].iter().map(String::as_str)) {
        for c in line.chars().chain(['\n']) {
            if c.is_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            if depth == 1 {
                found.extend(ORDERINGS.iter().filter(|ordering| **ordering == word));
            }
            word.clear();
            depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
            if depth == 0 {
                return found;
            }
        }
    }
    found
}

//! What came out: a table for people, records for machines, and a line for every target.

use crate::contestants::{Contestant, HOME};
use crate::race::Outcome;
use crate::scenario::Fanout;
use std::fmt::Write;
use std::path::Path;

/// Rivals that the bus must not be behind anywhere; the others are reported.
const MUST_NOT_BE_BEHIND: [&str; 2] = ["crossbeam", "tokio"];
const GOAL: f64 = 1.0;

/// One contestant in one scenario.
pub struct Cell {
    scenario: String,
    pub contestant: &'static Contestant,
    /// Nanoseconds per message, a value for each repetition, sorted.
    values: Vec<f64>,
    /// How many of them others disturbed.
    disturbed: usize,
}

impl Cell {
    pub fn new(fanout: &Fanout, contestant: &'static Contestant) -> Self {
        Self { scenario: fanout.name(), contestant, values: Vec::new(), disturbed: 0 }
    }

    pub fn add(&mut self, nanoseconds: f64, disturbed: bool) {
        self.disturbed += usize::from(disturbed);
        let at = self.values.partition_point(|value| *value < nanoseconds);
        self.values.insert(at, nanoseconds);
    }

    fn min(&self) -> f64 {
        self.values[0]
    }

    fn max(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    fn median(&self) -> f64 {
        let middle = self.values.len() / 2;
        match self.values.len() % 2 {
            0 => (self.values[middle - 1] + self.values[middle]) / 2.0,
            _ => self.values[middle],
        }
    }

    fn record(&self) -> String {
        format!(
            "{{\"scenario\":\"{}\",\"contestant\":\"{}\",\"metric\":\"time_per_message\",\"unit\":\"ns\",\
             \"min\":{:.1},\"median\":{:.1},\"max\":{:.1}}}",
            self.scenario,
            self.contestant.name,
            self.min(),
            self.median(),
            self.max()
        )
    }
}

/// All cells, scenario by scenario.
#[derive(Default)]
pub struct Report {
    scenarios: Vec<Vec<Cell>>,
}

impl Report {
    pub fn add(&mut self, cells: Vec<Cell>) {
        self.scenarios.push(cells);
    }

    pub fn cells(&self) -> usize {
        self.scenarios.iter().map(Vec::len).sum()
    }

    pub fn repetitions(&self) -> usize {
        self.scenarios.iter().flatten().map(|cell| cell.values.len()).sum()
    }

    pub fn disturbed(&self) -> usize {
        self.scenarios.iter().flatten().map(|cell| cell.disturbed).sum()
    }

    /// The table of the scenario added last.
    pub fn print_last(&self) {
        if let Some(cells) = self.scenarios.last() {
            println!("{}", table(cells));
        }
    }

    /// One line per scenario and rival: its best arrangement against the bus at its defaults.
    pub fn print_targets(&self) {
        for cells in &self.scenarios {
            for line in targets(cells) {
                println!("{line}");
            }
        }
    }

    /// An array with one record per line.
    pub fn write_json(&self, path: &Path) -> Outcome<()> {
        let records: Vec<_> = self.scenarios.iter().flatten().map(Cell::record).collect();
        let text = format!("[\n{}\n]\n", records.join(",\n"));
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
    }
}

fn table(cells: &[Cell]) -> String {
    let home = home(cells).map_or(f64::NAN, Cell::median);
    let mut text = format!(
        "{:<24}{:>10}{:>10}{:>10}{:>12}\n",
        cells.first().map_or("", |cell| &cell.scenario),
        "min ns",
        "median",
        "max",
        "to stasis"
    );
    for cell in cells {
        let (min, median, max) = (cell.min(), cell.median(), cell.max());
        let name = cell.contestant.name;
        let _ = writeln!(text, "  {name:<22}{min:>10.0}{median:>10.0}{max:>10.0}{:>12.2}", median / home);
    }
    text
}

fn home(cells: &[Cell]) -> Option<&Cell> {
    cells.iter().find(|cell| cell.contestant.name == HOME)
}

fn targets(cells: &[Cell]) -> Vec<String> {
    let Some(home) = home(cells) else { return Vec::new() };
    let mut families: Vec<_> = cells.iter().map(|cell| cell.contestant.family).collect();
    families.dedup();
    families.retain(|family| *family != home.contestant.family);
    families.into_iter().map(|family| target(home, family, best(cells, family))).collect()
}

/// The median of the family's best arrangement.
fn best(cells: &[Cell], family: &str) -> f64 {
    let family = cells.iter().filter(|cell| cell.contestant.family == family);
    family.map(Cell::median).fold(f64::INFINITY, f64::min)
}

fn target(home: &Cell, family: &str, rival: f64) -> String {
    let ratio = rival / home.median();
    let verdict = match (MUST_NOT_BE_BEHIND.contains(&family), ratio >= GOAL) {
        (true, true) => format!("goal >={GOAL:.2} met"),
        (true, false) => format!("goal >={GOAL:.2} missed"),
        (false, _) => "reported".to_owned(),
    };
    format!("target {}/{family} ratio {ratio:.2} {verdict}", home.scenario)
}

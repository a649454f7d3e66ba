//! What came out, cell by cell: a contestant in a scenario under an allocator, and one of its figures.

use crate::allocator::Allocator;
use crate::bench::{Contestant, Scenario};
use crate::worker::Answer;

/// Who a cell is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub rival: &'static str,
    pub contestant: String,
    pub wait: &'static str,
    pub allocator: Allocator,
}

/// One figure of one row.
pub struct Cell {
    pub row: Row,
    pub metric: String,
    pub unit: String,
    /// A value for each repetition, sorted.
    values: Vec<f64>,
}

/// The cells of one scenario.
pub struct Cells {
    pub scenario: String,
    pub family: &'static str,
    pub about: String,
    pub all: Vec<Cell>,
    pub repetitions: usize,
    /// Those that others disturbed, and that count all the same.
    pub disturbed: usize,
}

impl Row {
    pub fn new(contestant: &Contestant, allocator: Allocator) -> Self {
        let (rival, wait) = (contestant.rival, contestant.wait);
        Self { rival, contestant: contestant.name.clone(), wait, allocator }
    }

    /// Whether that is its contestant, or whose arrangement it is.
    pub fn is(&self, name: &str) -> bool {
        self.contestant == name || self.rival == name
    }
}

impl Cell {
    pub fn min(&self) -> f64 {
        self.values[0]
    }

    pub fn max(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    pub fn median(&self) -> f64 {
        let middle = self.values.len() / 2;
        match self.values.len() % 2 {
            0 => (self.values[middle - 1] + self.values[middle]) / 2.0,
            _ => self.values[middle],
        }
    }

    fn add(&mut self, value: f64) {
        let at = self.values.partition_point(|one| *one < value);
        self.values.insert(at, value);
    }
}

impl Cells {
    pub fn of(scenario: &Scenario) -> Self {
        Self {
            scenario: scenario.name.clone(),
            family: scenario.family,
            about: scenario.about.clone(),
            all: Vec::new(),
            repetitions: 0,
            disturbed: 0,
        }
    }

    /// One more repetition of that row.
    pub fn add(&mut self, row: &Row, answer: Answer) {
        self.repetitions += 1;
        self.disturbed += usize::from(answer.disturbed);
        for figure in answer.figures {
            self.cell(row, figure.metric, figure.unit).add(figure.value);
        }
    }

    fn cell(&mut self, row: &Row, metric: String, unit: String) -> &mut Cell {
        let found = self.all.iter().position(|cell| cell.row == *row && cell.metric == metric);
        let at = found.unwrap_or_else(|| {
            self.all.push(Cell { row: row.clone(), metric, unit, values: Vec::new() });
            self.all.len() - 1
        });
        &mut self.all[at]
    }

    /// The cell that others of its metric and allocator are shown against: the first contestant's.
    pub fn home(&self, cell: &Cell) -> Option<&Cell> {
        let alike = |one: &&Cell| one.metric == cell.metric && one.row.allocator == cell.row.allocator;
        self.all.iter().find(alike)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        let mut rows: Vec<_> = Vec::new();
        for cell in &self.all {
            if !rows.contains(&&cell.row) {
                rows.push(&cell.row);
            }
        }
        rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        let row = Row { rival: "a", contestant: "a".into(), wait: "", allocator: Allocator::System };
        let mut cell = Cell { row, metric: String::new(), unit: String::new(), values: Vec::new() };
        for value in [9.0, 1.0, 5.0] {
            cell.add(value);
        }
        assert_eq!((cell.min(), cell.median(), cell.max()), (1.0, 5.0, 9.0));
        cell.add(6.0);
        assert_eq!(cell.median(), 5.5);
    }
}

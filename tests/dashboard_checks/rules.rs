//! Reads the rule files, in the one form in which they are written here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[derive(Clone, Debug, Default)]
pub(crate) struct Rule {
    pub name: String,
    pub is_alert: bool,
    pub expression: String,
    /// Labels and annotations.
    pub fields: BTreeMap<String, String>,
}

/// Every rule of a file.
pub(crate) fn read(path: &Path) -> Vec<Rule> {
    let text = fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let (mut rules, mut lines) = (Vec::<Rule>::new(), text.lines().peekable());
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let (key, value) = trimmed.split_once(':').unwrap_or((trimmed, ""));
        let value = value.trim().trim_matches('"');
        match key {
            _ if trimmed.starts_with('#') => {}
            "- record" | "- alert" => {
                rules.push(Rule { name: value.to_owned(), is_alert: key == "- alert", ..Rule::default() });
            }
            "expr" if value == "|" => {
                let depth = line.len() - trimmed.len();
                let is_deeper = |line: &&str| line.len() - line.trim_start().len() > depth;
                while let Some(more) = lines.next_if(is_deeper) {
                    last(&mut rules).expression += &format!("{} ", more.trim());
                }
            }
            "expr" => last(&mut rules).expression = value.to_owned(),
            "severity" | "summary" | "description" | "runbook" | "for" => {
                last(&mut rules).fields.insert(key.to_owned(), value.to_owned());
            }
            _ => {}
        }
    }
    assert!(rules.iter().all(|rule| !rule.expression.is_empty()), "a rule without an expression");
    rules
}

fn last(rules: &mut [Rule]) -> &mut Rule {
    rules.last_mut().expect("a rule begins with its name")
}

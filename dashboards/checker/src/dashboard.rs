//! What the panels and variables of a dashboard ask.

use crate::Outcome;
use crate::expression;
use crate::scene::AT_WORK;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// One thing that is asked.
pub struct Question {
    /// Which dashboard, and which panel or variable of it.
    pub place: String,
    pub wanted: Wanted,
}

pub enum Wanted {
    /// The samples of an expression.
    Samples(String),
    /// The values of a label, of the series that a selector chooses.
    Values { label: String, selector: Option<String> },
}

/// All that a dashboard asks, with variables replaced.
pub fn questions(path: &Path) -> Outcome<Vec<Question>> {
    let text = fs::read_to_string(path)?;
    let board: Value = serde_json::from_str(&text).map_err(|why| format!("{}: {why}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut questions = Vec::new();
    for panel in panels(&board["panels"]) {
        for target in items(&panel["targets"]) {
            let place = format!("{name}: {}", text_of(&panel["title"]));
            let expression =
                target["expr"].as_str().ok_or_else(|| format!("{place}: a target without expr"))?;
            questions.push(Question { place, wanted: Wanted::Samples(without_variables(expression)) });
        }
    }
    for variable in items(&board["templating"]["list"]).iter().filter(|one| one["type"] == "query") {
        let place = format!("{name}: variable {}", text_of(&variable["name"]));
        let wanted = label_values(text_of(&variable["query"]["query"]))
            .ok_or_else(|| format!("{place}: not label_values(...)"))?;
        questions.push(Question { place, wanted });
    }
    for annotation in items(&board["annotations"]["list"]).iter().filter(|one| one["expr"].is_string()) {
        let place = format!("{name}: annotation {}", text_of(&annotation["name"]));
        questions.push(Question {
            place,
            wanted: Wanted::Samples(without_variables(text_of(&annotation["expr"]))),
        });
    }
    Ok(questions)
}

/// As the one at work is asked: what only a fault has data of would not be seen by whoever is well.
fn without_variables(expression: &str) -> String {
    expression::without_variables(expression, AT_WORK)
}

/// Those in rows that are folded up as well.
fn panels(list: &Value) -> Vec<&Value> {
    items(list).iter().flat_map(|panel| [vec![panel], panels(&panel["panels"])].concat()).collect()
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `label_values(label)` or `label_values(selector, label)`.
fn label_values(query: &str) -> Option<Wanted> {
    let inner = query.trim().strip_prefix("label_values(")?.strip_suffix(')')?;
    Some(match inner.rsplit_once(',') {
        Some((selector, label)) => Wanted::Values {
            label: label.trim().to_owned(),
            selector: Some(without_variables(selector.trim())),
        },
        None => Wanted::Values { label: inner.trim().to_owned(), selector: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_ask_for_values_of_labels() {
        let Some(Wanted::Values { label, selector }) = label_values("label_values(a{x=~\"$x\",y=\"1\"}, z)")
        else {
            panic!("not understood");
        };
        assert_eq!((label.as_str(), selector.as_deref()), ("z", Some("a{x=~\".+\",y=\"1\"}")));
        assert!(label_values("query_result(a)").is_none());
    }
}

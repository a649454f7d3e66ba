//! The text of `/metrics`.

use std::collections::BTreeMap;

/// The labels of a series, by name.
pub type Labels = BTreeMap<String, String>;

/// One line: a series and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

/// Every sample of a page.
pub fn read(page: &str) -> Result<Vec<Sample>, String> {
    let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| sample(line).ok_or_else(|| format!("not a sample: {line}"))).collect()
}

/// The sum over all series of that name whose labels have these values.
pub fn sum(samples: &[Sample], name: &str, having: &[(&str, &str)]) -> f64 {
    let fits = |sample: &&Sample| {
        sample.name == name
            && having.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|is| is == value))
    };
    samples.iter().filter(fits).map(|sample| sample.value).sum()
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => labels(inner)?,
        None => (Labels::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// `a="b",c="d"} ...`: the labels, and what comes after the brace.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(name.to_owned(), value);
        rest = after;
    }
}

/// The value up to the closing quote, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_values_are_read() {
        let page = "# HELP a b\n# TYPE a counter\na 1\nb{} 2.5e3\nc{x=\"1\",y=\"q\\\"\\\\\\n}\"} +Inf 17\n\n";
        let samples = read(page).expect("it is well formed");
        assert_eq!(samples.len(), 3);
        assert_eq!((samples[0].name.as_str(), samples[0].value), ("a", 1.0));
        assert_eq!((samples[1].name.as_str(), samples[1].value), ("b", 2500.0));
        assert_eq!(samples[2].labels["y"], "q\"\\\n}");
        assert!(samples[2].value.is_infinite());
    }

    #[test]
    fn what_is_no_sample_is_told() {
        assert!(read("a").is_err());
        assert!(read("a{b=\"} 1").is_err());
        assert!(read("a one").is_err());
    }

    #[test]
    fn sums_are_over_the_labels_that_are_not_asked_for() {
        let samples =
            read("a{x=\"1\",y=\"1\"} 1\na{x=\"1\",y=\"2\"} 2\na{x=\"2\"} 4\nb 8\n").expect("well formed");
        assert_eq!(sum(&samples, "a", &[]), 7.0);
        assert_eq!(sum(&samples, "a", &[("x", "1")]), 3.0);
        assert_eq!(sum(&samples, "c", &[]), 0.0);
    }
}

//! As much of PromQL as is needed to tell which metrics and labels an expression speaks of.

use std::collections::BTreeSet;

/// A selector: a metric, what its labels are to be, and the function that it is given to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
    /// The name before the nearest open bracket; empty if there is none.
    pub function: String,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Matcher {
    pub label: String,
    pub value: String,
}

/// What an expression speaks of.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    pub selectors: Vec<Selector>,
    /// Labels after `by`, `on` and `ignoring`.
    pub grouping: BTreeSet<String>,
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Name(&'a str),
    Text(&'a str),
    Sign(char),
}

/// Words between operands, and those of them that a list of labels comes after.
const WORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
const GROUPING: [&str; 4] = ["by", "on", "ignoring", "without"];

pub(crate) fn read(expression: &str) -> Spoken {
    let tokens = tokens(expression);
    let (mut spoken, mut open, mut at) = (Spoken::default(), Vec::new(), 0);
    // An aggregation whose labels stand before its bracket.
    let mut aggregation = "";
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at + 1..];
        at += 1;
        match token {
            Token::Name(word) if GROUPING.contains(word) => at += spoken.group_by(rest),
            Token::Name(word) if WORDS.contains(word) => {}
            Token::Name(name) => match rest.first() {
                Some(Token::Sign('(')) | Some(Token::Name("by" | "without")) => aggregation = name,
                _ if name.starts_with(char::is_alphabetic) => {
                    let function = open.last().copied().unwrap_or_default();
                    at += spoken.select(name, rest, function);
                }
                _ => {}
            },
            Token::Sign('(') => open.push(std::mem::take(&mut aggregation)),
            Token::Sign(')') => assert!(open.pop().is_some(), "brackets of {expression}"),
            // A range: `[5m]`.
            Token::Sign('[') => at += length_up_to(']', rest),
            _ => {}
        }
    }
    assert!(open.is_empty(), "brackets of {expression}");
    spoken
}

impl Spoken {
    /// `(a, b)`; gives its length.
    fn group_by(&mut self, tokens: &[Token<'_>]) -> usize {
        let length = length_up_to(')', tokens);
        let names = tokens[..length].iter().filter_map(|token| match token {
            Token::Name(name) => Some((*name).to_owned()),
            _ => None,
        });
        self.grouping.extend(names);
        length
    }

    /// What may come after a metric's name; gives its length.
    fn select(&mut self, metric: &str, tokens: &[Token<'_>], function: &str) -> usize {
        let (matchers, length) = matchers(tokens);
        let (metric, function) = (metric.to_owned(), function.to_owned());
        self.selectors.push(Selector { metric, matchers, function });
        length
    }
}

/// How many tokens there are up to that sign, with it.
fn length_up_to(sign: char, tokens: &[Token<'_>]) -> usize {
    1 + tokens.iter().position(|token| *token == Token::Sign(sign)).unwrap_or_else(|| panic!("no {sign}"))
}

/// `{a="1",b=~"2"}` at the begin, and how many tokens it is.
fn matchers(tokens: &[Token<'_>]) -> (Vec<Matcher>, usize) {
    if tokens.first() != Some(&Token::Sign('{')) {
        return (Vec::new(), 0);
    }
    let length = length_up_to('}', tokens);
    let (mut matchers, mut label) = (Vec::new(), "");
    for token in &tokens[..length] {
        match token {
            Token::Name(name) => label = name,
            Token::Text(value) => {
                matchers.push(Matcher { label: label.to_owned(), value: (*value).to_owned() })
            }
            Token::Sign(_) => {}
        }
    }
    (matchers, length)
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(letter) = rest.chars().next() {
        let is_of_name = |letter: char| letter.is_alphanumeric() || "_:$.".contains(letter);
        let length = match letter {
            '"' => {
                let end = rest[1..].find('"').expect("a whole text") + 1;
                tokens.push(Token::Text(&rest[1..end]));
                end + 1
            }
            _ if is_of_name(letter) => {
                let end = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
                tokens.push(Token::Name(&rest[..end]));
                end
            }
            _ => {
                if !letter.is_whitespace() {
                    tokens.push(Token::Sign(letter));
                }
                letter.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

#[test]
fn expressions_are_read() {
    let spoken = read(
        "histogram_quantile(0.99, sum by (x, le) (rate(a_bucket{x=~\"$x\",y!=\"1\"}[$__rate_interval]))) > 0 and on (job) \
         max(b:c) / (d)",
    );
    let names: Vec<&str> = spoken.selectors.iter().map(|one| one.metric.as_str()).collect();
    let functions: Vec<&str> = spoken.selectors.iter().map(|one| one.function.as_str()).collect();
    assert_eq!((names, functions), (vec!["a_bucket", "b:c", "d"], vec!["rate", "max", ""]));
    let matcher = |label: &str, value: &str| Matcher { label: label.to_owned(), value: value.to_owned() };
    assert_eq!(spoken.selectors[0].matchers, [matcher("x", "$x"), matcher("y", "1")]);
    assert_eq!(spoken.grouping.into_iter().collect::<Vec<_>>(), ["job", "le", "x"]);
}

//! Expressions as dashboards and rules have them, made into ones that Prometheus can be asked.

/// What stands for `$__rate_interval` and its like: long enough for a few scrapes.
const INTERVAL: &str = "15s";

/// With every Grafana variable replaced: times by a short one, the instance by that one, other choices by all there is.
pub fn without_variables(expression: &str, instance: &str) -> String {
    let (mut text, mut rest) = (String::new(), expression);
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let (name, after) = variable(&rest[at + 1..]);
        text.push_str(match name {
            "instance" => instance,
            _ if name.starts_with("__") => INTERVAL,
            _ => ".+",
        });
        rest = after;
    }
    text + rest
}

/// The name of a variable (`name`, `{name}` or `{name:format}`), and what comes after it.
fn variable(text: &str) -> (&str, &str) {
    if let Some((inner, after)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (inner.split(':').next().unwrap_or(inner), after);
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// With comparisons that answer 0 or 1 instead of leaving out what they are not true of: an alert that is silent
/// shows that its expression has data all the same.
pub fn telling_both(expression: &str) -> String {
    const COMPARISONS: [&str; 6] = ["==", "!=", ">=", "<=", ">", "<"];
    let (mut text, mut rest, mut inside) = (String::new(), expression, None);
    while let Some(letter) = rest.chars().next() {
        let found = COMPARISONS.iter().find(|sign| inside.is_none() && rest.starts_with(**sign));
        inside = match (inside, letter) {
            (None, '"') => Some('"'),
            (None, '{') => Some('{'),
            (Some('"'), '"') | (Some('{'), '}') => None,
            (state, _) => state,
        };
        let taken = found.map_or(letter.len_utf8(), |sign| sign.len());
        text.push_str(&rest[..taken]);
        rest = &rest[taken..];
        if found.is_some() && !rest.trim_start().starts_with("bool") {
            text.push_str(" bool");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let replaced = |expression| without_variables(expression, "here");
        assert_eq!(replaced("rate(a{x=~\"$x\"}[$__rate_interval])"), "rate(a{x=~\".+\"}[15s])");
        assert_eq!(replaced("a{instance=~\"$instance\"}"), "a{instance=~\"here\"}");
        assert_eq!(
            replaced("a{x=~\"${x:regex}\",y=~\"${y}\"} offset ${__range}"),
            "a{x=~\".+\",y=~\".+\"} offset 15s"
        );
        assert_eq!(replaced("a > 0"), "a > 0");
    }

    #[test]
    fn comparisons_tell_both() {
        assert_eq!(
            telling_both("a{x!=\"<\"} > 1 and b >= on (x) c"),
            "a{x!=\"<\"} > bool 1 and b >= bool on (x) c"
        );
        assert_eq!(telling_both("up == bool 0"), "up == bool 0");
        assert_eq!(telling_both("a"), "a");
    }
}

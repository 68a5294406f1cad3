//! As much of PromQL as a check of dashboards needs: which metrics an expression reads, with which labels.
//!
//! Not a parser of the language: whether an expression is valid is for Prometheus to say.

use super::{is_word, places, word};

/// One metric of ours in an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// As written, `_bucket` included.
    pub metric: String,
    /// Label and value of each matcher in its braces.
    pub matchers: Vec<(String, String)>,
    /// Labels of every `by (…)` around it.
    pub by: Vec<String>,
    /// Functions and aggregations around it.
    pub inside: Vec<String>,
}

/// Every use of a metric that begins with `outcry_`. `Err` says what this check cannot follow.
pub fn uses(text: &str) -> Result<Vec<Use>, String> {
    let groups = groups(text)?;
    let mut found = Vec::new();
    for (at, _) in text.match_indices("outcry_") {
        if at.checked_sub(1).is_some_and(|at| is_word(text.as_bytes()[at])) {
            continue;
        }
        let metric = word(&text[at..]);
        let around = groups.iter().filter(|group| group.start < at && at < group.end);
        let mut one = Use { metric: metric.to_owned(), ..Use::default() };
        for group in around {
            one.by.extend(group.by.iter().cloned());
            one.inside.push(group.name.clone());
        }
        if let Some(braces) = text[at + metric.len()..].strip_prefix('{') {
            one.matchers = matchers(braces)?;
        }
        found.push(one);
    }
    Ok(found)
}

/// Brackets with what stands before them: `rate(…)`, `sum by (le) (…)`.
#[derive(Debug)]
struct Group {
    name: String,
    by: Vec<String>,
    start: usize,
    end: usize,
}

fn groups(text: &str) -> Result<Vec<Group>, String> {
    let mut open = Vec::new();
    let mut pairs = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open.push(at),
            b')' => pairs.push((open.pop().ok_or("a bracket closes that was not opened")?, at)),
            _ => {}
        }
    }
    if !open.is_empty() {
        return Err("a bracket is not closed".to_owned());
    }
    let mut groups = Vec::new();
    for (start, end) in &pairs {
        let head = text[..*start].trim_end();
        let labels = pairs.iter().find(|(_, end)| end + 1 == head.len());
        let listed = labels.and_then(|(from, to)| {
            let head = text[..*from].trim_end().strip_suffix("by")?.trim_end();
            Some((head, &text[from + 1..*to]))
        });
        let (head, by) = listed.unwrap_or((head, ""));
        let name = head.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        let by = by.split(',').map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect();
        groups.push(Group { name: name.to_owned(), by, start: *start, end: *end });
    }
    // A clause that no group took is written in a form whose reach is not known here.
    let clauses = places(text, "by").filter(|at| text[at + 2..].trim_start().starts_with('(')).count();
    let taken = groups.iter().filter(|group| !group.by.is_empty()).count();
    if clauses != taken || places(text, "without").next().is_some() {
        return Err("write `sum by (label) (…)`: other forms are not followed".to_owned());
    }
    Ok(groups)
}

/// `name="value", other=~"…"}` as far as the brace.
fn matchers(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    loop {
        if rest.starts_with('}') {
            return Ok(found);
        }
        let label = word(rest);
        let value = rest[label.len()..].trim_start().trim_start_matches(['=', '!', '~']).trim_start();
        let quoted = value.strip_prefix('"').and_then(|value| value.split_once('"'));
        let (Some((value, after)), false) = (quoted, label.is_empty()) else {
            return Err(format!("not a matcher: {rest}"));
        };
        found.push((label.to_owned(), value.to_owned()));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
}

#[test]
fn an_expression_is_taken_apart() {
    let text = "histogram_quantile(0.95, sum by (le, buyer) (rate(outcry_x_seconds_bucket{buyer=~\"$buyer\", le=\"0.5\"}[5m]))) \
                / sum(rate(outcry_y_total[5m]))";
    let owned = |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
    let found = uses(text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].metric, "outcry_x_seconds_bucket");
    let pair = |label: &str, value: &str| (label.to_owned(), value.to_owned());
    assert_eq!(found[0].matchers, [pair("buyer", "$buyer"), pair("le", "0.5")]);
    assert_eq!(found[0].by, owned(&["le", "buyer"]));
    assert_eq!(found[0].inside, owned(&["rate", "sum", "histogram_quantile"]));
    assert_eq!((found[1].metric.as_str(), &found[1].inside), ("outcry_y_total", &owned(&["rate", "sum"])));
    for bad in ["sum(outcry_x) by (le)", "sum without (le) (outcry_x)", "sum(outcry_x", "outcry_x{le}"] {
        assert!(uses(bad).is_err(), "{bad}");
    }
}

//! Dashboards against the table of metrics: a renamed metric, label or edge fails here, not in front of an operator.

use outcry::telemetry::event::FENCES;
use outcry::telemetry::names::{Def, METRICS, MetricKind};
use serde_json::Value;

use super::promql::{Use, uses};
use super::{files, report, word};

/// Labels Prometheus adds to whatever it scrapes.
const SCRAPED: [&str; 2] = ["job", "instance"];

/// The definition of a metric as an expression names it, and which series of a histogram it is.
fn defined(name: &str) -> Option<(&'static Def, &'static str)> {
    let plain = METRICS.iter().find(|def| def.name == name && def.kind != MetricKind::Histogram);
    plain.map(|def| (def, "")).or_else(|| {
        ["_bucket", "_sum", "_count"].into_iter().find_map(|series| {
            let name = name.strip_suffix(series)?;
            let def = METRICS.iter().find(|def| def.name == name && def.kind == MetricKind::Histogram);
            def.map(|def| (def, series))
        })
    })
}

/// An upper edge as the page spells it.
fn is_edge(def: &Def, le: &str) -> bool {
    le == "+Inf" || def.buckets.iter().any(|edge| edge.to_string() == le)
}

fn faults_of(one: &Use) -> Vec<String> {
    let name = &one.metric;
    let Some((def, series)) = defined(name) else {
        return vec![format!("{name} is not a metric")];
    };
    let mut faults = Vec::new();
    let matched = one.matchers.iter().map(|(label, _)| label);
    for label in matched.chain(&one.by) {
        let is_known = def.labels.contains(&label.as_str())
            || SCRAPED.contains(&label.as_str())
            || series == "_bucket" && label == "le";
        if !is_known {
            faults.push(format!("{name} has no label {label}"));
        }
    }
    for (_, le) in one.matchers.iter().filter(|(label, _)| label == "le") {
        if !is_edge(def, le) {
            faults.push(format!("{name} has no edge {le}"));
        }
    }
    let is_inside =
        |functions: &[&str]| one.inside.iter().any(|function| functions.contains(&function.as_str()));
    if def.kind != MetricKind::Gauge && !is_inside(&["rate", "increase", "label_values"]) {
        faults.push(format!("{name} only grows: show its rate or increase"));
    }
    if is_inside(&["histogram_quantile"]) && !one.by.iter().any(|label| label == "le") {
        faults.push(format!("a quantile of {name} needs its le"));
    }
    faults
}

/// Every expression below a value: `expr` of a panel, `query` and `definition` of a variable, each with the legend
/// beside it.
fn expressions<'a>(value: &'a Value, found: &mut Vec<(&'a str, Option<&'a str>)>) {
    match value {
        Value::Object(fields) => {
            let legend = fields.get("legendFormat").and_then(Value::as_str);
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if matches!(key.as_str(), "expr" | "query" | "definition") => {
                        found.push((text, legend));
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Names in double braces of a legend.
fn legend_labels(legend: &str) -> Vec<&str> {
    legend.split("{{").skip(1).map(|rest| word(rest.trim_start())).collect()
}

fn faults_of_expression(text: &str, legend: Option<&str>) -> Vec<String> {
    // A variable's query lists the values of one label.
    let listed = text.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let listed = listed.and_then(|rest| rest.rsplit_once(','));
    let mut faults = Vec::new();
    match uses(text) {
        Err(fault) => faults.push(fault),
        Ok(mut uses) => {
            for one in &mut uses {
                one.by.extend(listed.map(|(_, label)| label.trim().to_owned()));
                faults.extend(faults_of(one));
            }
            for label in legend.map(legend_labels).unwrap_or_default() {
                if !uses.iter().any(|one| one.by.iter().any(|by| by == label)) {
                    faults.push(format!("the legend names {label}, which no `by` keeps"));
                }
            }
        }
    }
    faults.iter().map(|fault| format!("{fault}, in {text}")).collect()
}

#[test]
fn what_dashboards_name_is_defined() {
    let mut faults = Vec::new();
    for source in files(&["grafana"], ".json") {
        let dashboard: Value =
            serde_json::from_str(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
        let mut found = Vec::new();
        expressions(&dashboard, &mut found);
        let named = found.iter().map(|(text, _)| text.matches("outcry_").count()).sum::<usize>();
        assert!(named > 0, "{} shows nothing of ours", source.path);
        // Wherever else a name stands, in a title or a description, it is a name too.
        for (at, _) in source.text.match_indices("outcry_") {
            let name = word(&source.text[at..]);
            if defined(name).is_none() && !METRICS.iter().any(|def| def.name == name) {
                faults.push(format!("{}: {name} is not a metric", source.path));
            }
        }
        for (text, legend) in found {
            let of_it = faults_of_expression(text, legend);
            faults.extend(of_it.into_iter().map(|fault| format!("{}: {fault}", source.path)));
        }
    }
    report(&faults);
}

#[test]
fn every_metric_is_on_a_dashboard() {
    let shown: String = files(&["grafana"], ".json").into_iter().map(|source| source.text).collect();
    let mut found = Vec::new();
    for (at, _) in shown.match_indices("outcry_") {
        found.extend(defined(word(&shown[at..])).map(|(def, _)| def.name));
    }
    let hidden: Vec<_> = METRICS.iter().map(|def| def.name).filter(|name| !found.contains(name)).collect();
    assert!(hidden.is_empty(), "nobody would see {hidden:?}");
}

/// A panic of a place that is not on the page from the start would not show as an increase.
#[test]
fn every_fence_is_on_the_page_before_its_first_panic() {
    let mut places = Vec::new();
    for source in files(&["src"], ".rs") {
        for (at, call) in source.text.match_indices("event::panicked(") {
            let argument = source.text[at + call.len()..].trim_start();
            let literal = argument.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (place, _) =
                literal.unwrap_or_else(|| panic!("{}: a fence without a literal name", source.path));
            places.push(place.to_owned());
        }
    }
    places.sort_unstable();
    places.dedup();
    let mut fences = FENCES;
    fences.sort_unstable();
    assert_eq!(places, fences);
}

/// Two fences of one story that share a name are one number: nobody sees whether the caller got an answer.
#[test]
fn no_two_fences_of_a_file_share_a_name() {
    for source in files(&["src"], ".rs") {
        let told = source.text.split("event::panicked(").skip(1);
        let mut places: Vec<&str> = told.filter_map(|call| call.split('"').nth(1)).collect();
        places.sort_unstable();
        let shared = places.windows(2).find(|pair| pair[0] == pair[1]);
        assert!(shared.is_none(), "{}: two fences are named {:?}", source.path, shared.unwrap_or_default());
    }
}

/// What makes a panel readable by somebody who did not write it, and the file usable on any Grafana.
#[test]
fn panels_are_labelled_and_bound_to_no_one_prometheus() {
    let mut faults = Vec::new();
    for source in files(&["grafana"], ".json") {
        let dashboard: Value = serde_json::from_str(&source.text).unwrap();
        assert_eq!(dashboard["id"], Value::Null, "{}: an id belongs to one Grafana", source.path);
        assert!(dashboard["uid"].is_string(), "{}: links need a uid", source.path);
        let panels = dashboard["panels"].as_array().expect("panels");
        let mut ids: Vec<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), panels.len(), "{}: two panels have one id", source.path);
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let title = panel["title"].as_str().unwrap_or("");
            let mut check = |is_good: bool, what: &str| {
                if !is_good {
                    faults.push(format!("{}: panel {title:?} {what}", source.path));
                }
            };
            check(!title.is_empty(), "has no title");
            check(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "has no description");
            check(panel["fieldConfig"]["defaults"]["unit"].is_string(), "has no unit");
            check(panel["datasource"]["uid"] == "${datasource}", "is bound to one Prometheus");
            let targets = panel["targets"].as_array().expect("targets");
            for target in targets {
                check(target["datasource"]["uid"] == "${datasource}", "asks one Prometheus");
                let expr = target["expr"].as_str().unwrap_or("");
                let is_fixed = expr.split('[').skip(1).any(|range| !range.starts_with('$'));
                check(!is_fixed, "has a fixed range: use $__rate_interval or $__range");
                for one in uses(expr).unwrap_or_default() {
                    let is_scoped = |label: &str| one.matchers.iter().any(|(name, _)| name == label);
                    check(
                        is_scoped("job") && is_scoped("instance"),
                        "mixes exchanges: match job and instance",
                    );
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn a_wrong_name_label_edge_or_form_is_found() {
    let table = [
        ("sum by (basis) (rate(outcry_decisions_total[1m]))", ""),
        ("rate(outcry_decisions_per_second[1m])", "outcry_decisions_per_second is not a metric"),
        ("rate(outcry_ping_duration_seconds[1m])", "outcry_ping_duration_seconds is not a metric"),
        ("sum by (buyer) (rate(outcry_decisions_total[1m]))", "outcry_decisions_total has no label buyer"),
        ("rate(outcry_events_total{reason=\"won\"}[1m])", "outcry_events_total has no label reason"),
        ("rate(outcry_decision_duration_seconds_bucket{le=\"0.3\"}[1m])", ""),
        (
            "rate(outcry_decision_duration_seconds_bucket{le=\"0.33\"}[1m])",
            "outcry_decision_duration_seconds_bucket has no edge 0.33",
        ),
        ("outcry_panics_total", "outcry_panics_total only grows: show its rate or increase"),
        (
            "histogram_quantile(0.5, sum(rate(outcry_talk_duration_seconds_bucket[1m])))",
            "a quantile of outcry_talk_duration_seconds_bucket needs its le",
        ),
        ("label_values(outcry_outcomes_total, buyer)", ""),
        ("label_values(outcry_outcomes_total, campaign)", "outcry_outcomes_total has no label campaign"),
    ];
    for (text, fault) in table {
        let expected = if fault.is_empty() { Vec::new() } else { vec![format!("{fault}, in {text}")] };
        assert_eq!(faults_of_expression(text, None), expected);
    }
}

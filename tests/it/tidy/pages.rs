//! Pages of `docs/` that are made from code: metrics, reasons, the admin API's description.

use std::env;
use std::fmt::Write;
use std::fs;

use outcry::domain::Reason;
use outcry::telemetry::names::{METRICS, MetricKind};

use super::root;

/// Set it to have the pages written instead of compared.
const UPDATE: &str = "UPDATE_DOCS";

/// Compares a page with what it should say, or writes it.
pub(super) fn page_says(path: &str, wanted: &str) {
    let file = root().join(path);
    if env::var_os(UPDATE).is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    if let Some(difference) = difference(&found, wanted) {
        panic!(
            "{path} is not what the code says, {difference}\nRun `{UPDATE}=1 cargo test --test it tidy`, or put this \
             there:\n\n{wanted}"
        );
    }
}

/// The first line that differs.
fn difference(found: &str, wanted: &str) -> Option<String> {
    if found == wanted {
        return None;
    }
    let (mut found, mut wanted) = (found.lines(), wanted.lines());
    let mut line = 1;
    loop {
        match (found.next(), wanted.next()) {
            (None, None) => return Some("in how its lines end.".to_owned()),
            (a, b) if a == b => line += 1,
            (a, b) => {
                let shown = |line: Option<&str>| line.unwrap_or("(nothing)").to_owned();
                return Some(format!(
                    "from line {line} on:\n  is        {}\n  should be {}",
                    shown(a),
                    shown(b)
                ));
            }
        }
    }
}

/// Text as a cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_metrics_page_is_the_table_of_metrics() {
    let mut page = String::from(
        "# Metrics\n\n\
         `GET /metrics` of the admin listener answers in the text format of Prometheus. This page is made from the table in\n\
         `src/telemetry/names.rs`, which the exchange itself registers, and the dashboard in `grafana/` is checked against it.\n\n\
         - Every name says its unit. What ends in `_total` only grows: look at its rate or increase.\n\
         - Labels have few values: slugs of the catalog (`campaign`, `buyer`) and closed lists. `reason` is a word of\n  \
         [reasons.md](reasons.md). No label ever holds a caller's number, a call's id or free text.\n\
         - Money is in millionths of the deployment's currency and is for watching; the ledger is the truth.\n\n\
         | name | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for def in METRICS {
        let kind = match def.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let labels: Vec<String> = def.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{}` | {kind} | {} | {} |", def.name, labels.join(", "), cell(def.help)).unwrap();
    }
    page.push_str(
        "\n## Upper edges of the histograms\n\nIn seconds. Every default deadline and minimum duration is an edge, so that \
         a share below it can be read exactly.\n\n| name | edges |\n|---|---|\n",
    );
    for def in METRICS.iter().filter(|def| def.kind == MetricKind::Histogram) {
        let edges: Vec<String> = def.buckets.iter().map(ToString::to_string).collect();
        writeln!(page, "| `{}` | {} |", def.name, edges.join(", ")).unwrap();
    }
    page_says("docs/metrics.md", &page);
}

#[test]
fn the_reasons_page_is_the_list_of_reasons() {
    const GROUPS: [(u16, &str); 7] = [
        (0, "How it stands"),
        (1, "The target was not asked"),
        (2, "Asked, but no valid answer"),
        (3, "Answered, but not chosen"),
        (4, "Chosen, but not delivered"),
        (5, "The whole call"),
        (6, "Money"),
    ];
    let mut page = String::from(
        "# Reasons\n\n\
         Every target of every decision, every call and every cent ends with one of these words: in the API, in the records,\n\
         in `outcry explain` and as the label `reason` of [metrics](metrics.md). The list is closed and only grows: a code is\n\
         never used again and a word never changes. This page is made from `src/domain/reason.rs`.\n",
    );
    let mut listed = 0;
    for (group, title) in GROUPS {
        write!(page, "\n## {title}\n\n| code | word | meaning |\n|---|---|---|\n").unwrap();
        for reason in Reason::ALL.iter().filter(|reason| reason.code() / 100 == group) {
            writeln!(page, "| {} | `{reason}` | {} |", reason.code(), cell(reason.meaning())).unwrap();
            listed += 1;
        }
    }
    assert_eq!(listed, Reason::ALL.len(), "a reason belongs to no group");
    page_says("docs/reasons.md", &page);
}

#[test]
fn the_api_description_is_the_api() {
    page_says("docs/openapi.json", &format!("{}\n", outcry::admin::openapi()));
}

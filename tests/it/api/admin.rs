//! The operators' listener: health, metrics, lists by cursor, keys, and who is let in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::bids::{bid, bidders};
use crate::support::http::raw;
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Answer, Exchange, Market, eventually, outcry, request};

fn market() -> Market {
    Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"")
}

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn list<'a>(page: &'a Value, key: &str) -> &'a Vec<Value> {
    page[key].as_array().unwrap_or_else(|| panic!("no {key} in {page}"))
}

fn digest(key: &str) -> String {
    let hex: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body = answer.json();
    assert_eq!((&body["status"], &body["code"]), (&json!(status), &json!(code)));
    assert_eq!(body["type"], format!("urn:outcry:problem:{code}"));
}

#[test]
fn health_is_told_in_a_word() {
    let exchange = Exchange::start(&market());
    for (path, word) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = exchange.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, word));
    }
    is_problem(&exchange.get("/nothing"), 404, "not_found");
    is_problem(&exchange.get("/v1/route"), 404, "not_found");
    is_problem(&exchange.get("/api/v1/calls/nonsense"), 404, "not_found");
    is_problem(&exchange.get("/api/v1/calls/01JD3Z5QAX7Y8R2M4N6P8S0TVW"), 404, "not_found");
    is_problem(&request(&exchange.admin, "POST", "/api/v1/calls", None, b"{}"), 405, "method_not_allowed");
    assert_eq!(exchange.metric("outcry_requests_refused_total", r#"listener="admin""#), 5.0);
    exchange.finish();
}

#[test]
fn every_metric_family_is_described_and_histograms_have_buckets() {
    let bidders = bidders([("acme", bid("20.00"))]);
    let market = Market::new(r#"{ auction = ["acme"] }"#).patient().bidder("acme", &bidders.url("acme"));
    let exchange = Exchange::start(&market);
    // The first ping of each worker opens a connection; our own share is measured of pings over waiting ones.
    for n in 0..6 {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        exchange.talk(&answer, if n == 0 { 95_000 } else { 60_000 });
    }
    exchange.route(&json!({}));
    eventually("levels are told", || exchange.has_metric("outcry_holds_units").then_some(()));
    let page = exchange.get("/metrics");
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = page.text();
    assert!(!text.contains("quantile="), "summaries cannot be added up");
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut histograms: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty());
            helped.insert(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            let name = series.split('{').next().unwrap();
            if let Some(family) = name.strip_suffix("_bucket") {
                histograms.entry(family.to_owned()).or_default().push((series.to_owned(), value));
            }
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|family| kinds.contains_key(*family)))
                .unwrap_or(name);
            assert!(kinds.contains_key(family), "{name} has no type");
            assert!(helped.contains(family), "{name} has no help");
            assert!(name.starts_with("outcry_"), "{name}");
        }
    }
    for family in [
        "outcry_decision_duration_seconds",
        "outcry_engine_overhead_seconds",
        "outcry_ping_duration_seconds",
        "outcry_talk_duration_seconds",
    ] {
        assert_eq!(kinds.get(family).map(String::as_str), Some("histogram"), "{family} in {text}");
        let buckets = &histograms[family];
        assert!(buckets.last().unwrap().0.contains("le=\"+Inf\""));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{family} is cumulative");
        assert!(buckets.last().unwrap().1 >= 1.0, "{family}");
    }
    // Every stage of every decision with pings, and together no more than all decisions.
    let sum = |series: &str| -> f64 {
        let of_it = text.lines().filter(|line| line.starts_with(series));
        of_it.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let asked = sum("outcry_stage_duration_seconds_count{stage=\"wait\"}");
    for stage in ["read", "prepare", "ask", "hold", "answer"] {
        let counted = sum(&format!("outcry_stage_duration_seconds_count{{stage=\"{stage}\"}}"));
        assert!(asked >= 1.0 && counted == asked, "{stage}: {counted} of {asked}");
    }
    let (stages, decisions) =
        (sum("outcry_stage_duration_seconds_sum"), sum("outcry_decision_duration_seconds_sum"));
    assert!(stages > 0.0 && stages <= decisions + 1e-6, "{stages} of {decisions}");
    assert!(text.contains(r#"outcry_talk_duration_seconds_bucket{le="60"} 5"#));
    assert!(text.contains(r#"outcry_talk_duration_seconds_bucket{le="120"} 6"#));
    exchange.finish();
}

#[test]
fn calls_are_listed_by_filter_and_walked_by_cursor() {
    let exchange = Exchange::start(&market());
    let mut ids = Vec::new();
    for n in 0..7 {
        let mut asked = ask(&format!("CA{n}"));
        if n % 2 == 1 {
            asked["to"] = json!("+18005559999");
        }
        let answer = exchange.decide(&asked);
        ids.push(answer["call_id"].as_str().unwrap().to_owned());
        if n % 2 == 0 {
            exchange.talk(&answer, if n == 0 { 10_000 } else { 100_000 });
        }
    }
    // All of them are in the store once the last one is: one writer, in order.
    exchange.explained(ids.last().unwrap());
    let found = |query: &str| -> Vec<String> {
        let page = exchange.get(&format!("/api/v1/calls?{query}")).json();
        list(&page, "calls").iter().map(|call| call["call_id"].as_str().unwrap().to_owned()).collect()
    };
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(found(""), newest_first);
    assert_eq!(found("limit=3"), newest_first[..3]);
    assert_eq!(found("campaign=auto").len(), 4);
    assert_eq!(found("publisher=pub").len(), 4);
    assert_eq!(found("buyer=acme").len(), 4);
    assert_eq!(found("buyer=nobody").len(), 0);
    assert_eq!(found("reason=unknown_number").len(), 3);
    assert_eq!(found("reason=billable").len(), 3);
    assert_eq!(found("reason=too_short"), ids[..1]);
    assert_eq!(found("campaign=auto&reason=billable&buyer=acme&publisher=pub").len(), 3);
    assert_eq!(found("since=2020-01-01T00:00:00Z&until=2090-01-01T00:00:00Z").len(), 7);
    assert_eq!(found("until=2020-01-01T00:00:00Z").len(), 0);

    for limit in [1, 2, 3, 7, 100] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = exchange.get(&format!("/api/v1/calls?limit={limit}{cursor}")).json();
            let rows = list(&page, "calls");
            assert!(rows.len() <= limit);
            seen.extend(rows.iter().map(|call| call["call_id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, newest_first, "each once, by {limit}");
    }
    exchange.finish();
}

#[test]
fn outcomes_and_ledger_go_on_where_they_ended() {
    let exchange = Exchange::start(&market());
    let mut cursors = [0, 0];
    let mut seen = [Vec::new(), Vec::new()];
    for n in 0..5 {
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        exchange.talk(&answer, 90_000);
        for (at, (path, key)) in [("outcomes", "steps"), ("ledger", "entries")].into_iter().enumerate() {
            loop {
                let page = exchange.get(&format!("/api/v1/{path}?limit=2&cursor={}", cursors[at])).json();
                let rows = list(&page, key);
                if rows.is_empty() {
                    assert_eq!(page["next"], cursors[at], "an empty page stays where it is");
                    break;
                }
                cursors[at] = page["next"].as_i64().unwrap();
                seen[at].extend(rows.clone());
            }
        }
    }
    assert_eq!((seen[0].len(), seen[1].len()), (5, 15));
    for (at, (path, key)) in [("outcomes", "steps"), ("ledger", "entries")].into_iter().enumerate() {
        let whole = exchange.get(&format!("/api/v1/{path}")).json();
        assert_eq!(*list(&whole, key), seen[at], "{path}");
    }
    let sum: f64 =
        seen[1].iter().map(|entry| entry["amount"].as_str().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(sum, 0.0);
    exchange.finish();
}

#[test]
fn a_query_is_told_all_its_faults_at_once() {
    let exchange = Exchange::start(&market());
    let answer = exchange.get("/api/v1/calls?limit=0&reason=bored&since=yesterday&until=tomorrow&cursor=%21");
    is_problem(&answer, 400, "invalid");
    let body = answer.json();
    let places: BTreeSet<&str> =
        list(&body, "errors").iter().map(|fault| fault["at"].as_str().unwrap()).collect();
    assert_eq!(places, BTreeSet::from(["limit", "reason", "since", "until", "cursor"]));
    assert!(
        list(&body, "errors").iter().all(|fault| fault["allowed"].is_string() && fault["value"].is_string())
    );
    for limit in ["0", "1001", "-1", "ten", "1e3", ""] {
        for path in ["calls", "outcomes", "ledger"] {
            is_problem(&exchange.get(&format!("/api/v1/{path}?limit={limit}")), 400, "invalid");
        }
    }
    // What is no query at all is told in the same form.
    for path in ["calls", "outcomes", "ledger"] {
        is_problem(&exchange.get(&format!("/api/v1/{path}?limit=1&limit=2")), 400, "invalid");
        is_problem(&exchange.get(&format!("/api/v1/{path}?limit=%ff")), 400, "invalid");
    }
    is_problem(&exchange.get("/api/v1/calls/%ff"), 404, "not_found");
    for path in ["outcomes", "ledger"] {
        let answer = exchange.get(&format!("/api/v1/{path}?cursor=-1&limit=x"));
        is_problem(&answer, 400, "invalid");
        assert_eq!(list(&answer.json(), "errors").len(), 2);
    }
    exchange.finish();
}

#[test]
fn with_keys_nobody_enters_without_one() {
    let settings = |key: &str, role: &str| format!("{{ digest = \"{}\", role = \"{role}\" }}", digest(key));
    let keys =
        format!("keys = [{}, {}]", settings("the-operator", "operator"), settings("the-viewer", "viewer"));
    let mut exchange =
        Exchange::start_edited(&market(), |text| text.replace("[admin]\n", &format!("[admin]\n{keys}\n")));
    let get = |path: &str, key: Option<&str>| request(&exchange.admin, "GET", path, key, b"");
    for path in ["/metrics", "/api/v1/calls", "/api/v1/ledger", "/nothing"] {
        for key in [None, Some("nobody"), Some("")] {
            let answer = get(path, key);
            is_problem(&answer, 401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    for key in ["the-operator", "the-viewer"] {
        for path in ["/metrics", "/api/v1/calls", "/api/v1/outcomes", "/api/v1/ledger"] {
            assert_eq!(get(path, Some(key)).status, 200, "{key}");
        }
        is_problem(&get("/nothing", Some(key)), 404, "not_found");
    }
    // Who keeps the process alive needs no key.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(path, None).status, 200);
    }
    // With keys the name it is reached under does not matter.
    let named = "GET /api/v1/calls HTTP/1.1\r\nhost: admin.example\r\nauthorization: bearer the-viewer\r\nconnection: close\r\n\r\n";
    assert_eq!(raw(&exchange.admin, named.as_bytes()).status, 200);
    exchange.stop();
}

#[test]
fn without_keys_a_foreign_name_is_refused() {
    let exchange = Exchange::start(&market());
    let port = exchange.admin.rsplit_once(':').unwrap().1.to_owned();
    let get = |path: &str, host: &str| {
        raw(&exchange.admin, format!("GET {path} HTTP/1.1\r\n{host}connection: close\r\n\r\n").as_bytes())
    };
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8081", ""]
    {
        for path in ["/api/v1/calls", "/metrics"] {
            is_problem(&get(path, &format!("host: {host}\r\n")), 403, "forbidden");
        }
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", &format!("127.0.0.1:{port}")] {
        assert_eq!(get("/api/v1/calls", &format!("host: {host}\r\n")).status, 200, "{host}");
    }
    assert_eq!(get("/healthz", "host: probe.internal\r\n").status, 200);
    exchange.finish();
}

#[test]
fn the_description_names_every_path() {
    let told = outcry(&["openapi"]);
    assert!(told.status.success());
    let described: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert!(described["openapi"].as_str().unwrap().starts_with("3."));
    let paths: BTreeSet<&str> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let served = [
        "/api/v1/buyers/{id}",
        "/api/v1/caller-lists",
        "/api/v1/caller-lists/{list}",
        "/api/v1/caller-lists/{list}/add",
        "/api/v1/caller-lists/{list}/has",
        "/api/v1/caller-lists/{list}/remove",
        "/api/v1/calls",
        "/api/v1/calls/{call_id}",
        "/api/v1/campaigns/{id}",
        "/api/v1/changes",
        "/api/v1/changes/history",
        "/api/v1/ledger",
        "/api/v1/outcomes",
        "/api/v1/reload",
        "/api/v1/targets/{id}",
        "/api/v1/unknown-reports",
        "/healthz",
        "/metrics",
        "/readyz",
    ];
    assert_eq!(paths, served.into_iter().collect());
    // What is described of a call is what is served.
    let exchange = Exchange::start(&market());
    let answer = exchange.decide(&ask("CA1"));
    exchange.talk(&answer, 90_000);
    let page = exchange.get("/api/v1/calls").json();
    let properties = described["components"]["schemas"]["CallRow"]["properties"].as_object().unwrap();
    let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<String>>();
    assert_eq!(keys(properties), keys(list(&page, "calls")[0].as_object().unwrap()));
    exchange.finish();
}

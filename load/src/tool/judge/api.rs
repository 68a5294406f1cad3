//! Reads an exchange's books from its admin API: who it is, whether it has the scenario's market, and what it recorded.
//!
//! It only ever asks. Pages and books are bounded; what is beyond is an error and never a verdict.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::books::{Books, Counters, Entry, Outcome, Reason, Record, StepBook, micros};
use super::{Call, Market};

/// Rows of a page.
const PAGE: usize = 1_000;
/// Largest answer read, in bytes: a page of steps of two hundred targets.
const ANSWER_MAX: usize = 128 * 1024 * 1024;
/// Most calls in the books.
const CALLS_MAX: usize = 2_000_000;
/// Longest one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks whether the store has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks in a row that must find nothing new.
const STILL_LOOKS: u32 = 3;
/// Differences named at once.
const DIFFERENCES_MAX: usize = 10;

/// Why nothing is judged, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl Refused {
    pub(super) fn new(why: impl Into<String>) -> Refused {
        Refused(why.into())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Refuses an address off this machine, unless somebody says that it is theirs, and what is no URL.
pub fn own(url: &str, i_own_this: bool) -> Result<(), Refused> {
    let no_url = || Refused::new(format!("{url} is no URL such as http://127.0.0.1:8081"));
    let parsed: reqwest::Url = url.parse().map_err(|_| no_url())?;
    if parsed.scheme() != "http" || parsed.host_str().is_none() {
        return Err(no_url());
    }
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_here || i_own_this {
        return Ok(());
    }
    Err(Refused::new(format!(
        "{host} is not this machine: load is for exchanges of your own; say --i-own-this if it is"
    )))
}

/// An exchange's admin API.
pub struct Api {
    base: String,
    key: Option<String>,
    client: reqwest::Client,
    before: Counters,
    version: String,
}

impl Api {
    /// Finds the exchange at this address, such as `http://127.0.0.1:8081`, and notes what it has counted so far. An
    /// address off this machine is refused unless somebody says that it is theirs.
    pub async fn connect(url: &str, key: Option<&str>, i_own_this: bool) -> Result<Api, Refused> {
        own(url, i_own_this)?;
        // Neither a proxy of the environment nor a redirect leads off this machine.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_LIMIT)
            .build();
        let client = client.map_err(|error| Refused::new(format!("no HTTP client: {}", chain(&error))))?;
        let base = url.trim_end_matches('/').to_owned();
        let key = key.map(str::to_owned);
        let mut api = Api { base, key, client, before: Counters::default(), version: String::new() };
        let not_outcry = |why: &str| Refused::new(format!("{url} is not an Outcry exchange: {why}"));
        let (status, page) = api.get("/metrics").await.map_err(|error| not_outcry(&error.to_string()))?;
        if status == 401 || status == 403 {
            return Err(Refused::new(format!("{url} answers {status} to /metrics: it wants an admin key")));
        }
        let page = String::from_utf8_lossy(&page);
        let label = page.lines().find_map(|line| line.strip_prefix("outcry_build_info{version=\""));
        let Some(label) = label.filter(|_| status == 200) else {
            return Err(not_outcry(&format!("/metrics answers {status} without outcry_build_info")));
        };
        api.version = label.split('"').next().unwrap_or_default().to_owned();
        api.before = counters(&page);
        Ok(api)
    }

    /// Takes what the exchange has counted since its start for this run's, instead of what it counts from now on.
    pub fn from_its_start(&mut self) {
        self.before = Counters::default();
    }

    /// The exchange's version, as it states it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether the exchange has the scenario's campaign, targets and limits; if not, what differs.
    pub async fn matches(&self, market: &Market) -> Result<(), Refused> {
        market.check()?;
        let mut differs = Vec::new();
        let values = [("paused", Value::from(false))];
        self.compare("campaigns", &market.campaign, None, &values, &mut differs).await?;
        let limit = |limit: Option<u32>| limit.map_or(Value::from("none"), Value::from);
        let mut buyers = HashSet::new();
        for target in &market.targets {
            let of_buyer = [
                ("paused", Value::from(false)),
                ("concurrency", limit(market.buyer_concurrency)),
                ("daily_billable", limit(market.buyer_daily_billable)),
            ];
            if buyers.insert(&target.buyer) {
                self.compare("buyers", &target.buyer, None, &of_buyer, &mut differs).await?;
            }
            let limits = [
                ("paused", Value::from(false)),
                ("concurrency", limit(target.concurrency)),
                ("daily_billable", limit(target.daily_billable)),
            ];
            self.compare("targets", &target.id, Some(&target.buyer), &limits, &mut differs).await?;
            if differs.len() >= DIFFERENCES_MAX {
                break;
            }
        }
        if differs.is_empty() {
            return Ok(());
        }
        differs.truncate(DIFFERENCES_MAX);
        Err(Refused::new(format!(
            "{} has another configuration than the scenario: {}",
            self.base,
            differs.join("; ")
        )))
    }

    async fn compare(
        &self,
        kind: &str,
        id: &str,
        buyer: Option<&str>,
        values: &[(&str, Value)],
        differs: &mut Vec<String>,
    ) -> Result<(), Refused> {
        let (status, body) = self.get(&format!("/api/v1/{kind}/{id}")).await?;
        let what = kind.trim_end_matches('s');
        if status == 404 {
            differs.push(format!("{what} {id} is unknown there"));
            return Ok(());
        }
        let found: Value = self.read_as(status, kind, &body)?;
        if buyer.is_some_and(|buyer| found["buyer"] != buyer) {
            differs.push(format!(
                "{what} {id} is of buyer {}, here {}",
                found["buyer"],
                buyer.unwrap_or_default()
            ));
        }
        for (key, expected) in values {
            let row = found["values"].as_array().and_then(|rows| rows.iter().find(|row| row["key"] == *key));
            let there = row.map_or(&Value::Null, |row| &row["value"]);
            if there != expected {
                differs.push(format!("{what} {id} has {key} {there}, here {expected}"));
            }
        }
        Ok(())
    }

    /// What a metric says now, over all its series.
    pub async fn level(&self, name: &str) -> Result<f64, Refused> {
        let (_, page) = self.get("/metrics").await?;
        Ok(sum(&String::from_utf8_lossy(&page), name) as f64)
    }

    /// Has the exchange read its catalog again.
    pub async fn reload(&self) -> Result<(), Refused> {
        self.post("reload", String::new()).await
    }

    /// Puts callers on a list, a number or a beginning a line.
    pub async fn add_callers(&self, list: &str, lines: String) -> Result<(), Refused> {
        self.post(&format!("caller-lists/{list}/add"), lines).await
    }

    async fn post(&self, what: &str, body: String) -> Result<(), Refused> {
        let path = format!("{}/api/v1/{what}", self.base);
        let failed = |error: reqwest::Error| Refused::new(format!("{path}: {}", chain(&error)));
        let mut request = self.client.post(&path).body(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let said = answer.text().await.map_err(failed)?;
        if status.is_success() {
            Ok(())
        } else {
            Err(Refused::new(format!("{path} answers {status}: {said}")))
        }
    }

    /// Reads the books, once the store has caught up with these calls or `limit` is over.
    pub async fn read(&self, calls: &[Call], limit: Duration) -> Result<Books, Refused> {
        let until = Instant::now() + limit;
        let mut books = Books::default();
        let (mut steps, mut entries, mut still) = (0, 0, 0);
        loop {
            let new =
                self.steps(&mut books, &mut steps).await? + self.entries(&mut books, &mut entries).await?;
            still = if new == 0 { still + 1 } else { 0 };
            // An answer that only ends a call does not name it: its record is looked for when all is quiet.
            let has_step = |call: &Call| {
                call.call_id
                    .as_deref()
                    .is_none_or(|call_id| books.calls.get(call_id).is_some_and(|book| book.first().is_some()))
            };
            let is_complete = calls.iter().filter(|call| call.is_answered()).all(has_step);
            let (_, metrics) = self.get("/metrics").await?;
            let metrics = String::from_utf8_lossy(&metrics).into_owned();
            books.counters = counters(&metrics).since(self.before);
            if is_complete && still >= STILL_LOOKS && sum(&metrics, "outcry_records_queued") == 0 {
                break;
            }
            if Instant::now() >= until {
                books.is_unsettled = true;
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.records(&mut books).await?;
        Ok(books)
    }

    /// Steps after the cursor; how many came.
    async fn steps(&self, books: &mut Books, cursor: &mut i64) -> Result<usize, Refused> {
        let mut count = 0;
        loop {
            let path = format!("/api/v1/outcomes?cursor={cursor}&limit={PAGE}");
            let (status, body) = self.get(&path).await?;
            let page: StepPage = self.read_as(status, "outcomes", &body)?;
            count += page.steps.len();
            let is_last = page.steps.len() < PAGE;
            for step in page.steps {
                take_step(books, step)?;
            }
            room(books)?;
            *cursor = page.next;
            if is_last {
                return Ok(count);
            }
        }
    }

    async fn entries(&self, books: &mut Books, cursor: &mut i64) -> Result<usize, Refused> {
        let mut count = 0;
        loop {
            let path = format!("/api/v1/ledger?cursor={cursor}&limit={PAGE}");
            let (status, body) = self.get(&path).await?;
            let page: EntryPage = self.read_as(status, "ledger", &body)?;
            count += page.entries.len();
            let is_last = page.entries.len() < PAGE;
            for row in page.entries {
                let micros = amount(row.amount)?;
                let EntryRow { call_id, group, kind, account, target, amount: _ } = row;
                books.call(call_id).entries.push(Entry {
                    group: group.into(),
                    kind: kind.into(),
                    account: account.into(),
                    target: target.into(),
                    micros,
                });
            }
            room(books)?;
            *cursor = page.next;
            if is_last {
                return Ok(count);
            }
        }
    }

    async fn records(&self, books: &mut Books) -> Result<(), Refused> {
        let mut cursor: Option<String> = None;
        loop {
            let after = cursor.as_deref().map_or(String::new(), |cursor| format!("&cursor={cursor}"));
            let (status, body) = self.get(&format!("/api/v1/calls?limit={PAGE}{after}")).await?;
            let page: CallPage = self.read_as(status, "calls", &body)?;
            for row in page.calls {
                let text = |value: Option<String>| value.unwrap_or_default().into_boxed_str();
                let record = Record {
                    carrier: text(row.carrier),
                    carrier_call_id: text(row.carrier_call_id),
                    campaign: text(row.campaign),
                    basis: text(row.basis),
                    action: text(row.action),
                    reason: text(row.reason),
                    target: row.target.map(String::into_boxed_str),
                    price_micros: row.price.as_deref().map(amount).transpose()?,
                    attempts: row.attempts,
                };
                books.call(&row.call_id).records.push(record);
            }
            room(books)?;
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// A whole answer.
    async fn get(&self, path: &str) -> Result<(u16, Vec<u8>), Refused> {
        let failed = |why: String| Refused::new(format!("{}{path}: {why}", self.base));
        let mut request = self.client.get(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut response = request.send().await.map_err(|error| failed(chain(&error)))?;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| failed(chain(&error)))? {
            if body.len() + part.len() > ANSWER_MAX {
                return Err(failed(format!("the answer has more than {ANSWER_MAX} bytes")));
            }
            body.extend_from_slice(&part);
        }
        Ok((response.status().as_u16(), body))
    }

    fn read_as<'a, T: Deserialize<'a>>(&self, status: u16, what: &str, body: &'a [u8]) -> Result<T, Refused> {
        if status != 200 {
            let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
            return Err(Refused::new(format!("{} answers {status} to {what}: {text}", self.base)));
        }
        serde_json::from_slice(body).map_err(|error| {
            Refused::new(format!("{}: {what} is not what an Outcry exchange says: {error}", self.base))
        })
    }
}

fn room(books: &Books) -> Result<(), Refused> {
    if books.calls.len() <= CALLS_MAX {
        return Ok(());
    }
    Err(Refused::new(format!("the exchange has more than {CALLS_MAX} calls on record: judge a fresh one")))
}

fn amount(text: &str) -> Result<i64, Refused> {
    micros(text).ok_or_else(|| Refused::new(format!("{text:?} is no amount of money")))
}

fn take_step(books: &mut Books, row: StepRow<'_>) -> Result<(), Refused> {
    let mut outcomes = Vec::with_capacity(row.outcomes.len());
    for outcome in row.outcomes {
        let target =
            books.target(outcome.target).ok_or_else(|| Refused::new("more targets than can be numbered"))?;
        let amount_micros = outcome.amount.map(amount).transpose()?;
        outcomes.push(Outcome { target, reason: Reason::of(outcome.reason), amount_micros });
    }
    let step = StepBook {
        step: row.step,
        is_final: row.is_final,
        closed_in_us: (row.closed_in_ms.clamp(0.0, 3_600_000.0) * 1_000.0) as u64,
        outcomes: outcomes.into_boxed_slice(),
    };
    books.call(row.call_id).steps.push(step);
    Ok(())
}

/// The counters that the checks read, summed over their labels.
fn counters(page: &str) -> Counters {
    Counters {
        decisions: sum(page, "outcry_decisions_total"),
        records_dropped: sum(page, "outcry_records_dropped_total"),
        panics: sum(page, "outcry_panics_total"),
        unknown_reports: sum(page, "outcry_unknown_reports_total"),
        revenue_micros: sum(page, "outcry_revenue_micros_total"),
        payout_micros: sum(page, "outcry_payout_micros_total"),
    }
}

fn sum(page: &str, name: &str) -> u64 {
    let series =
        page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

// The wire's shapes. Words stay in the page; none of these has an escape in it.

#[derive(Deserialize)]
struct StepPage<'a> {
    #[serde(borrow)]
    steps: Vec<StepRow<'a>>,
    next: i64,
}

#[derive(Deserialize)]
struct StepRow<'a> {
    call_id: &'a str,
    step: u32,
    is_final: bool,
    closed_in_ms: f64,
    #[serde(borrow)]
    outcomes: Vec<OutcomeRow<'a>>,
}

#[derive(Deserialize)]
struct OutcomeRow<'a> {
    target: &'a str,
    reason: &'a str,
    #[serde(default)]
    amount: Option<&'a str>,
}

#[derive(Deserialize)]
struct EntryPage<'a> {
    #[serde(borrow)]
    entries: Vec<EntryRow<'a>>,
    next: i64,
}

#[derive(Deserialize)]
struct EntryRow<'a> {
    call_id: &'a str,
    target: &'a str,
    group: &'a str,
    kind: &'a str,
    account: &'a str,
    amount: &'a str,
}

#[derive(Deserialize)]
struct CallPage {
    calls: Vec<CallRow>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct CallRow {
    call_id: String,
    campaign: Option<String>,
    carrier: Option<String>,
    carrier_call_id: Option<String>,
    basis: Option<String>,
    action: Option<String>,
    reason: Option<String>,
    target: Option<String>,
    price: Option<String>,
    attempts: u32,
}

//! What the demo shows: figures from the simulators and from the store, as a screen or as one line.
//!
//! Money and outcomes come from the store: what is shown is what is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use load::carriers::Snapshot;

use super::market::Character;
use crate::domain::{Reason, Target};
use crate::exchange::Exchange;
use crate::records::sqlite::{Reader, StoreError};
use crate::report::{self, By};

/// Reasons shown.
const REASONS_SHOWN: usize = 6;

/// How one buyer fares.
#[derive(Default)]
struct BuyerFigures {
    asked: i64,
    bids: i64,
    won: i64,
    reasons: BTreeMap<u16, i64>,
}

/// Everything on one screen.
pub(super) struct Figures {
    carriers: Snapshot,
    per_second: f64,
    in_progress: usize,
    buyers: BTreeMap<String, BuyerFigures>,
    no_bid: Vec<(Reason, i64)>,
    revenue: String,
    payout: String,
    margin: String,
    billable: i64,
}

impl Figures {
    /// Reads them all. `before` is the number of calls and the time at the last look.
    pub(super) fn read(
        carriers: Snapshot,
        before: (u64, f64),
        exchange: &Exchange,
        reader: &Reader,
    ) -> Result<Figures, StoreError> {
        let elapsed = carriers.elapsed.as_secs_f64();
        let span = (elapsed - before.1).max(0.001);
        let per_second = (carriers.answered.saturating_sub(before.0)) as f64 / span;
        let mut buyers: BTreeMap<String, BuyerFigures> = BTreeMap::new();
        let mut no_bid: BTreeMap<u16, i64> = BTreeMap::new();
        let asking = asking(exchange);
        for row in reader.reasons(None, None, usize::MAX)? {
            if !asking.contains(&row.target) {
                continue;
            }
            let buyer = buyers.entry(row.buyer).or_default();
            *buyer.reasons.entry(row.reason).or_default() += row.count;
            // 2xx: asked without a usable answer; 3xx: answered, not chosen.
            let (group, won) = (row.reason / 100, row.reason == Reason::Won.code());
            buyer.asked += if group >= 2 || won { row.count } else { 0 };
            let priced = won || (group == 3 && row.reason != Reason::NoBid.code());
            buyer.bids += if priced { row.count } else { 0 };
            if won {
                buyer.won += row.count;
            } else if group == 2 || row.reason == Reason::NoBid.code() {
                *no_bid.entry(row.reason).or_default() += row.count;
            }
        }
        let mut no_bid: Vec<(Reason, i64)> =
            no_bid.into_iter().filter_map(|(code, n)| Some((Reason::from_code(code)?, n))).collect();
        no_bid.sort_by_key(|(reason, n)| (-n, *reason));
        let total = report::pnl(reader, By::Campaign, None, None)?.total;
        Ok(Figures {
            in_progress: exchange.state.calls.in_progress(),
            carriers,
            per_second,
            buyers,
            no_bid,
            revenue: total.revenue,
            payout: total.payout,
            margin: total.margin,
            billable: total.billable,
        })
    }

    fn added(&self) -> String {
        let added = &self.carriers.added;
        let shown = if added.recent.count > 0 { added.recent } else { added.total };
        format!("p50 {} p99 {}", ms(shown.p50_us), ms(shown.p99_us))
    }

    fn decision(&self) -> String {
        let decision = &self.carriers.decision;
        let shown = if decision.recent.count > 0 { decision.recent } else { decision.total };
        format!("p50 {} p99 {}", ms(shown.p50_us), ms(shown.p99_us))
    }

    /// Calls answered so far and the time of this look.
    pub(super) fn mark(&self) -> (u64, f64) {
        (self.carriers.answered, self.carriers.elapsed.as_secs_f64())
    }

    /// Share of the decisions that rest on a bid.
    fn win_rate(&self) -> String {
        let auctions = self.carriers.bases.get("auction").copied().unwrap_or(0);
        percent(auctions, self.carriers.answered)
    }

    /// One line, for output that is not a terminal.
    pub(super) fn line(&self) -> String {
        let carriers = &self.carriers;
        format!(
            "{:>4.0} s  {} calls, {:.1}/s, {} in progress  decision {}  added latency {}  sold by bid {}  \
             revenue {} payout {} margin {}",
            carriers.elapsed.as_secs_f64(),
            carriers.answered,
            self.per_second,
            self.in_progress,
            self.decision(),
            self.added(),
            self.win_rate(),
            self.revenue,
            self.payout,
            self.margin,
        )
    }

    /// The whole screen.
    pub(super) fn screen(&self, characters: &[Character], exchange: &Exchange, footer: &[String]) -> String {
        let mut out = String::new();
        let carriers = &self.carriers;
        let errors: u64 = carriers.errors.values().sum();
        let mut line = |text: String| {
            // Each line erases what the last screen had beyond its end.
            let _ = writeln!(out, "{text}\x1b[K");
        };
        line(format!("\x1b[1mOutcry demo\x1b[0m   {:.0} s", carriers.elapsed.as_secs_f64()));
        line(String::new());
        line(format!(
            "calls      {:>8} answered   {:>6.1}/s   {:>5} in progress   {:>6} billable   {errors} errors",
            carriers.answered, self.per_second, self.in_progress, self.billable
        ));
        line(format!("decision   {}      added latency  {}   (last 10 s)", self.decision(), self.added()));
        line(format!("sold       {} by a bid, the rest from the static ring tree", self.win_rate()));
        line(format!(
            "money      revenue {}   payout {}   margin {}",
            self.revenue, self.payout, self.margin
        ));
        let shown: Vec<String> =
            self.no_bid.iter().take(REASONS_SHOWN).map(|(reason, n)| format!("{reason} {n}")).collect();
        line(format!(
            "no bid     {}",
            if shown.is_empty() { "none yet".to_owned() } else { shown.join("   ") }
        ));
        line(String::new());
        line(format!(
            "\x1b[1m{:<16} {:<18} {:>7} {:>7} {:>7} {:>6}  {:<18} {}\x1b[0m",
            "buyer", "behaves", "asked", "bids", "won", "won %", "else mostly", "endpoint"
        ));
        let empty = BuyerFigures::default();
        for one in characters {
            let figures = self.buyers.get(one.buyer).unwrap_or(&empty);
            let lost = figures.reasons.iter().filter(|(code, _)| **code != Reason::Won.code());
            let often = lost.max_by_key(|(_, n)| **n).and_then(|(code, _)| Reason::from_code(*code));
            line(format!(
                "{:<16} {:<18} {:>7} {:>7} {:>7} {:>6}  {:<18} {}",
                one.buyer,
                one.like,
                figures.asked,
                figures.bids,
                figures.won,
                percent(figures.won.max(0) as u64, figures.asked.max(0) as u64),
                often.map_or("", Reason::as_str),
                if figures.asked == 0 { "not asked yet".to_owned() } else { state(exchange, one.buyer) },
            ));
        }
        line(String::new());
        footer.iter().for_each(|text| line(text.clone()));
        out
    }
}

/// Targets with a bid endpoint: the figures of buyers are about these.
fn asking(exchange: &Exchange) -> BTreeSet<String> {
    let in_force = exchange.in_force.load();
    let targets = in_force.snapshot.catalog.targets.iter();
    targets.filter(|target| target.endpoint().is_some()).map(|target| target.id.to_string()).collect()
}

/// What the exchange thinks of a buyer's endpoints: of the worst.
fn state(exchange: &Exchange, buyer: &str) -> String {
    let in_force = exchange.in_force.load();
    let catalog = &in_force.snapshot.catalog;
    let of_buyer = |target: &Target| catalog.buyer(target.buyer).id.as_str() == buyer;
    let healths = catalog.targets.iter().zip(&in_force.health).filter(|(target, _)| of_buyer(target));
    let worst = healths.filter_map(|(_, health)| health.as_ref()).max_by_key(|one| one.misses_in_a_row());
    match worst.map(|health| (health.is_waited_for(), health.misses_in_a_row())) {
        None => "fixed prices only".to_owned(),
        Some((true, 0)) => "answers in time".to_owned(),
        Some((true, misses)) => format!("waited for; missed {misses}"),
        Some((false, misses)) => format!("only probed; missed {misses}"),
    }
}

fn ms(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1_000.0)
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.0} %", part as f64 * 100.0 / whole as f64) }
}

//! What campaigns and publishers say about prices: first or second price, floors, the margin that must be left, what
//! follows a failed attempt.
//!
//! Reads and checks; what the rules mean is in `domain::price`. Floors of auctions and targets are read with those.

use super::bid_table::REACHED;
use super::compare::Ahead;
use super::entries::Entries;
use super::file::{Field, Reader};
use super::filter::conditions;
use super::numbers::Numbers;
use super::values::percent;
use crate::billing::{NEVER, min_price};
use crate::domain::{
    AfterFailure, Bps, Campaign, CampaignIx, Catalog, FloorRow, Margin, Money, Payout, PriceRule,
};

/// Most rows of floors of one campaign: each call is held against them in turn.
pub(super) const FLOOR_ROWS_MAX: usize = 200;

const MARGIN: &str =
    "an amount \"1.50\", a percentage \"25%\", or both {amount = \"1.50\", percent = \"25%\"}";
const ROW: &str = "{when = [filters], floor = \"30.00\"}";

/// What the winner of an auction pays.
pub(super) fn price(r: &Reader<'_>) -> PriceRule {
    let words = [PriceRule::First, PriceRule::Second].map(|rule| (rule.as_str(), rule));
    r.field("pricing").choice(&words).unwrap_or_default()
}

/// What follows an attempt that came to nothing.
pub(super) fn after_failure(r: &Reader<'_>) -> AfterFailure {
    let words = [AfterFailure::NextBid, AfterFailure::ReAuction].map(|way| (way.as_str(), way));
    r.field("after_failure").choice(&words).unwrap_or_default()
}

/// Floors of a campaign for some calls.
pub(super) fn floors(r: &Reader<'_>, entries: &Entries<'_>, numbers: &Numbers<'_>) -> Vec<FloorRow> {
    let field = r.field("floors");
    let rows = field.list(&format!("a list of {ROW}"));
    if rows.len() > FLOOR_ROWS_MAX {
        field.wrong(format!("has {} rows", rows.len()), &format!("at most {FLOOR_ROWS_MAX}"));
    }
    let mut ahead = Ahead::default();
    let read = |(at, row): (usize, &Field<'_>)| {
        let floor = row.table(ROW, |r| floor_row(r, entries, numbers))??;
        if let Some(before) = ahead.taker(at + 1, &floor.when) {
            row.wrong(format!("is never reached: row {before} takes all its calls"), REACHED);
        }
        Some(floor)
    };
    rows.iter().enumerate().filter_map(read).collect()
}

fn floor_row(r: &Reader<'_>, entries: &Entries<'_>, numbers: &Numbers<'_>) -> Option<FloorRow> {
    let (when, floor) = (r.field("when").required(), r.field("floor").required().price());
    let when = conditions(&when, entries, numbers);
    // What is left of faulty conditions would be the floor of other calls.
    (!when.is_empty()).then_some(FloorRow { when, floor: floor? })
}

/// What must be left of a price; `None` where a loss is allowed.
pub(super) fn min_margin(r: &Reader<'_>) -> Option<Margin> {
    let refuse = r.field("negative_margin").choice(&[("refuse", true), ("allow_and_flag", false)]);
    let (field, refuse) = (r.field("min_margin"), refuse.unwrap_or(true));
    if !refuse && field.is_set() {
        field.wrong("stands beside `negative_margin = \"allow_and_flag\"`", "only with \"refuse\"");
    }
    let least = if field.is_set() { margin(&field) } else { None };
    refuse.then(|| least.unwrap_or(Margin::of(Money::ZERO)))
}

fn margin(field: &Field<'_>) -> Option<Margin> {
    // A margin of the whole leaves nothing to pay out.
    let part = |field: &Field<'_>| percent(field, 0..=9_999);
    let value = field.raw()?;
    if value.is_table() {
        return field.table(MARGIN, |r| {
            let (amount, part) = (r.field("amount").required().money(), part(&r.field("percent").required()));
            Some(Margin { amount: amount?, percent: part? })
        })?;
    }
    match value.as_str() {
        Some(text) if text.ends_with('%') => {
            part(field).map(|percent| Margin { amount: Money::ZERO, percent })
        }
        Some(_) => field.money().map(Margin::of),
        None => {
            field.text(MARGIN)?;
            None
        }
    }
}

/// Lowest prices of a publisher, by campaign.
pub(super) fn publisher_floors(r: &Reader<'_>, entries: &Entries<'_>) -> Vec<(CampaignIx, Money)> {
    let own = r.field("floors").entries("{<campaign> = \"12.00\"}");
    let read = |(id, field): &(&str, Field<'_>)| {
        let (campaign, floor) = (entries.campaigns.find(id, field), field.price());
        Some((CampaignIx(campaign?), floor?))
    };
    let mut floors: Vec<_> = own.iter().filter_map(read).collect();
    floors.sort_by_key(|(campaign, _)| *campaign);
    floors
}

/// A payout that leaves the margin at no price at all refuses every offer: nobody meant that.
pub(super) fn refuse_impossible_margins(catalog: &Catalog, entries: &Entries<'_>) {
    let is_impossible =
        |campaign: &Campaign, payout: &Payout| min_price(payout, campaign.min_margin) == NEVER;
    let what = |campaign: &Campaign, payout: &Payout| {
        let left = match payout {
            Payout::Share(part) => {
                format!("leaves {} of every price", Bps(Bps::WHOLE.0.saturating_sub(part.0)))
            }
            Payout::Fixed(amount) => format!("is {amount}"),
        };
        let margin = campaign.min_margin.unwrap_or(Margin::of(Money::ZERO));
        format!("{left}, and the min_margin of campaign {} is {margin}: no price is enough", campaign.id)
    };
    for (campaign, (_, field)) in catalog.campaigns.iter().zip(entries.campaigns.iter()) {
        if is_impossible(campaign, &campaign.payout) {
            let what = format!("its payout {}", what(campaign, &campaign.payout));
            field.wrong(what, "a lower share, or a lower `min_margin`");
        }
    }
    for (publisher, (_, field)) in catalog.publishers.iter().zip(entries.publishers.iter()) {
        for (campaign, payout) in &publisher.payouts {
            let campaign = catalog.campaign(*campaign);
            if is_impossible(campaign, payout) {
                let what = format!("its payout {}", what(campaign, payout));
                field.wrong(what, "a lower share, or a lower `min_margin`");
            }
        }
    }
}

//! What is laid over the catalog of a call that is decided again: a short closed list, so that each says what it changes.
//!
//! Only what decides anew is in it: a cap or a deadline would change what the record has and nobody can know.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::domain::catalog::Pricing;
use crate::domain::{Bps, BuyerId, Campaign, CampaignId, Catalog, Margin, Money, Payout, Target, TargetId};

/// The keys, for people.
pub const ALLOWED: &str = "one of floor=AMOUNT, payout=AMOUNT or 0-100%, min_margin=AMOUNT, N% below 100% or none, paused=true|false of the call's \
    campaign; buyer.<id>.paused=true|false; target.<id>.paused=true|false, .floor=AMOUNT, .price=AMOUNT, .tier=1-100, \
    .priority=0-65535, .weight=0-1000000, .multiplier=1-1000%; digits without a sign";

/// One value that is laid over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    of: Of,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Campaign,
    Buyer(BuyerId),
    Target(TargetId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Paused(bool),
    Floor(Money),
    Payout(Payout),
    MinMargin(Option<Margin>),
    Price(Money),
    Tier(u8),
    Priority(u16),
    Weight(u32),
    Multiplier(Bps),
}

impl Setting {
    /// Reads `floor=12.00` or `target.acme-1.paused=true`.
    pub fn parse(text: &str) -> Result<Setting, String> {
        Setting::read(text).ok_or_else(|| ALLOWED.to_owned())
    }

    fn read(text: &str) -> Option<Setting> {
        let (key, value) = text.split_once('=')?;
        let (of, key) = match key.strip_prefix("target.").or_else(|| key.strip_prefix("buyer.")) {
            None => (Of::Campaign, key),
            Some(rest) => {
                let (id, item) = rest.rsplit_once('.')?;
                match key.starts_with("target.") {
                    true => (Of::Target(TargetId::parse(id).ok()?), item),
                    false => (Of::Buyer(BuyerId::parse(id).ok()?), item),
                }
            }
        };
        let value = match (&of, key) {
            (_, "paused") => Value::Paused(value.parse().ok()?),
            (Of::Campaign | Of::Target(_), "floor") => Value::Floor(money(value)?),
            (Of::Campaign, "payout") => Value::Payout(match value.strip_suffix('%') {
                Some(_) => Payout::Share(percent(value, 0..=10_000)?),
                None => Payout::Fixed(money(value)?),
            }),
            (Of::Campaign, "min_margin") if value == "none" => Value::MinMargin(None),
            (Of::Campaign, "min_margin") => Value::MinMargin(Some(margin(value)?)),
            (Of::Target(_), "price") => Value::Price(money(value).filter(|price| price.is_positive())?),
            (Of::Target(_), "tier") => Value::Tier(whole(value, 1..=100)?),
            (Of::Target(_), "priority") => Value::Priority(whole(value, 0..=65_535)?),
            (Of::Target(_), "weight") => Value::Weight(whole(value, 0..=1_000_000)?),
            (Of::Target(_), "multiplier") => Value::Multiplier(percent(value, 100..=100_000)?),
            _ => return None,
        };
        Some(Setting { of, value })
    }

    /// Lays it over a catalog; `campaign` is that of the call. Says what is not there.
    pub fn lay(&self, catalog: &mut Catalog, campaign: Option<&CampaignId>) -> Result<(), String> {
        match &self.of {
            Of::Campaign => {
                let found =
                    catalog.campaigns.iter_mut().enumerate().find(|(_, one)| Some(&one.id) == campaign);
                let (at, found) = found.ok_or("the call has no campaign to change")?;
                self.value.of_campaign(found);
                if let Value::Payout(payout) = self.value {
                    // A publisher's own terms would hide it.
                    let own = catalog.publishers.iter_mut().flat_map(|publisher| &mut publisher.payouts);
                    own.filter(|(ix, _)| ix.at() == at).for_each(|(_, terms)| *terms = payout);
                }
            }
            Of::Buyer(id) => {
                let found = catalog.buyers.iter_mut().find(|one| one.id == *id);
                let found = found
                    .ok_or_else(|| format!("{id} is no buyer of the catalog the call was decided by"))?;
                if let Value::Paused(paused) = self.value {
                    found.paused = paused;
                }
            }
            Of::Target(id) => {
                let found = catalog.targets.iter_mut().find(|one| one.id == *id);
                let found = found
                    .ok_or_else(|| format!("{id} is no target of the catalog the call was decided by"))?;
                if let (Value::Price(_), Pricing::Endpoint(_)) = (self.value, &found.pricing) {
                    return Err(format!("{id} has no price: it bids"));
                }
                self.value.of_target(found);
            }
        }
        Ok(())
    }
}

impl Value {
    fn of_campaign(self, campaign: &mut Campaign) {
        match self {
            Value::Paused(paused) => campaign.paused = paused,
            Value::Floor(floor) => campaign.floor = floor,
            Value::Payout(payout) => campaign.payout = payout,
            Value::MinMargin(least) => campaign.min_margin = least,
            Value::Price(_)
            | Value::Tier(_)
            | Value::Priority(_)
            | Value::Weight(_)
            | Value::Multiplier(_) => {}
        }
    }

    fn of_target(self, target: &mut Target) {
        match self {
            Value::Paused(paused) => target.paused = paused,
            // Ranges of its own would hide it.
            Value::Floor(floor) => {
                target.floor = floor;
                target.ranges.iter_mut().for_each(|range| range.floor = None);
            }
            Value::Price(price) => {
                target.pricing = Pricing::Fixed(price);
                target.ranges.iter_mut().for_each(|range| range.price = None);
            }
            Value::Tier(tier) => target.tier = tier,
            Value::Priority(priority) => target.priority = priority,
            Value::Weight(weight) => target.weight = weight,
            Value::Multiplier(multiplier) => target.multiplier = multiplier,
            Value::Payout(_) | Value::MinMargin(_) => {}
        }
    }
}

fn money(text: &str) -> Option<Money> {
    Money::parse(text).ok()
}

fn margin(text: &str) -> Option<Margin> {
    match text.strip_suffix('%') {
        Some(_) => {
            let percent = percent(text, 0..=9_999)?;
            Some(Margin { amount: Money::ZERO, percent })
        }
        None => Some(Margin::of(money(text)?)),
    }
}

/// A number as the catalog writes it: without a sign.
fn whole<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value| is_plain && range.contains(value))
}

fn percent(text: &str, range: RangeInclusive<u32>) -> Option<Bps> {
    let micros = Money::parse(text.strip_suffix('%')?).ok()?.micros();
    let points = u32::try_from(micros / 10_000).ok().filter(|points| range.contains(points))?;
    (micros % 10_000 == 0).then_some(Bps(points))
}

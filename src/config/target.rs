//! Buyers and their targets: who may take calls, when, how many and at which price.
//!
//! Whether a target is ever asked is a question to plans; this reads what it says of itself.

use std::path::Path;
use std::time::Duration;

use super::bid_table::{FileRows, table};
use super::callers;
use super::entries::Entries;
use super::file::{Field, Reader};
use super::filter::filters;
use super::numbers::Numbers;
use super::plan::WEIGHT_MAX;
use super::ranges::{Of, limits, ranges};
use super::settings::{Env, Settings, certificates, refuses_host};
use super::values::{address, destination, digest, hours, percent, secret, url, zone};
use crate::domain::bid_table::BidTable;
use crate::domain::caller::{Address, E164, PERSONAL_TAGS};
use crate::domain::catalog::{DestinationRule, Disclosure, Endpoint, Pricing};
use crate::domain::{Bps, Buyer, BuyerId, BuyerIx, Money, Target, TargetId};

/// Longest display name, in bytes.
pub(super) const NAME_MAX: usize = 80;
/// How long after it was answered a call may be handed back, unless the buyer's entry says less.
const HAND_BACK: Duration = Duration::from_secs(90);
const HAND_BACK_S_MAX: u64 = 90;
const MAX_BID_DEFAULT: Money = Money::from_micros(1_000_000_000);
const MIN_DURATION_S_MAX: u64 = 3_600;

/// What targets are read with.
pub(super) struct Surroundings<'s, 'a> {
    pub(super) settings: &'s Settings,
    pub(super) env: Env<'s>,
    /// What paths are relative to.
    pub(super) dir: &'s Path,
    pub(super) entries: &'s Entries<'a>,
    pub(super) numbers: &'s Numbers<'a>,
    /// Rows of the files that bid tables name.
    pub(super) bid_rows: &'s FileRows,
}

/// Reads one buyer.
pub(super) fn buyer(id: &str, field: &Field<'_>, entries: &Entries<'_>) -> Option<Buyer> {
    let disclosures = [("token", Disclosure::Token), ("none", Disclosure::None), ("full", Disclosure::Full)];
    field.table("a table", |r| {
        let name = r.field("name").required().label(NAME_MAX);
        let zone = zone(&r.field("zone").required());
        let paused = r.field("paused").flag().unwrap_or(false);
        let hours = hours(&r.field("hours"));
        let limits = limits(r);
        let ranges = ranges(&r.field("ranges"), Of::Buyer);
        let disclosure = r.field("disclosure").choice(&disclosures).unwrap_or(Disclosure::Token);
        let personal_tags = personal_tags(&r.field("personal_tags"));
        let show_floor = r.field("show_floor").flag().unwrap_or(false);
        let key_digest = digest(&r.field("key_digest"));
        let hand_back = r.field("hand_back_s");
        if hand_back.is_set() && key_digest.is_none() {
            hand_back.wrong("is of no use without a key", "with `key_digest`");
        }
        let suppressed_callers = callers::lists(&r.field("suppressed_callers"), entries);
        Some(Buyer {
            id: BuyerId::parse(id).ok()?,
            name: name?,
            zone: zone?,
            paused,
            hours,
            limits,
            ranges,
            disclosure,
            personal_tags,
            show_floor,
            key_digest,
            hand_back: hand_back.seconds(0..=HAND_BACK_S_MAX).unwrap_or(HAND_BACK),
            suppressed_callers,
        })
    })?
}

fn personal_tags(field: &Field<'_>) -> Vec<String> {
    let words: Vec<(&str, &str)> = PERSONAL_TAGS.iter().map(|tag| (*tag, *tag)).collect();
    let allowed = format!("a list of {}", PERSONAL_TAGS.join(", "));
    let mut tags: Vec<String> = Vec::new();
    for item in field.list(&allowed) {
        let Some(tag) = item.choice(&words) else { continue };
        if tags.iter().any(|other| other == tag) {
            item.wrong(format!("{tag} stands twice"), "each once");
        } else {
            tags.push(tag.to_owned());
        }
    }
    tags
}

impl Surroundings<'_, '_> {
    /// Reads one target.
    pub(super) fn target(&self, id: &str, field: &Field<'_>) -> Option<Target> {
        field.table("a table", |r| self.read_target(id, r))?
    }

    fn read_target(&self, id: &str, r: &Reader<'_>) -> Option<Target> {
        let seconds =
            |key, range, default| r.field(key).seconds(range).unwrap_or(Duration::from_secs(default));
        let buyer = self.entries.buyers.named_by(&r.field("buyer").required());
        let at = r.field("address").required();
        let address = address(&at).inspect(|address| self.numbers.refuse_loop(address, &at));
        let min_duration = seconds("min_duration_s", 0..=MIN_DURATION_S_MAX, 90);
        let pricing = self.pricing(r, min_duration);
        let has_price = !r.field("endpoint").is_set();
        let ranges = ranges(&r.field("ranges"), Of::Target { has_price });
        if let Some(Pricing::Table(table)) = &pricing
            && !table.rows.is_empty()
            && table.highest().is_none()
            && ranges.iter().all(|range| range.price.is_none())
        {
            r.field("bids").wrong("never bids", "a `base`, or a row with a bid above 0");
        }
        let max_talk = seconds("max_talk_s", 60..=86_400, 14_400);
        if max_talk < min_duration {
            let what = format!("ends calls before their {} s minimum", min_duration.as_secs());
            r.field("max_talk_s").wrong(what, "at least `min_duration_s`");
        }
        Some(Target {
            paused: r.field("paused").flag().unwrap_or(false),
            filters: filters(&r.field("filters"), self.entries, self.numbers),
            hours: hours(&r.field("hours")),
            limits: limits(r),
            ranges,
            floor: r.field("floor").money().unwrap_or(Money::ZERO),
            tier: r.field("tier").whole(1..=100).unwrap_or(1),
            priority: r.field("priority").whole(0..=65_535).unwrap_or(100),
            weight: r.field("weight").whole(0..=WEIGHT_MAX).unwrap_or(1),
            multiplier: percent(&r.field("multiplier"), 100..=100_000).unwrap_or(Bps::WHOLE),
            min_duration,
            ring: seconds("ring_s", 5..=120, 20),
            max_talk,
            earlier_attempts: r.field("earlier_attempts").whole(0..=16),
            suppressed_callers: callers::lists(&r.field("suppressed_callers"), self.entries),
            // What may be missing comes last: by then every field was read, and every fault said.
            id: TargetId::parse(id).ok()?,
            buyer: BuyerIx(buyer?),
            address: address?,
            pricing: pricing?,
        })
    }

    fn pricing(&self, r: &Reader<'_>, min_duration: Duration) -> Option<Pricing> {
        let (price, endpoint, bids) = (r.field("price"), r.field("endpoint"), r.field("bids"));
        match (price.is_set(), endpoint.is_set(), bids.is_set()) {
            (true, false, false) => price.price().map(Pricing::Fixed),
            (false, true, false) => endpoint
                .table("a table with at least `url`", |r| self.endpoint(r, min_duration))?
                .map(Pricing::Endpoint),
            (false, false, true) => self.table(&bids).map(Pricing::Table),
            (false, false, false) => {
                price.missing("`price`, an `endpoint` that bids, or a table of `bids`");
                None
            }
            (true, true, false) => {
                price.wrong("stands beside `endpoint`", "one of the two");
                None
            }
            (price_is_set, _, true) => {
                let other = if price_is_set { "price" } else { "endpoint" };
                bids.wrong(format!("stands beside `{other}`"), "one of the two");
                None
            }
        }
    }

    fn table(&self, bids: &Field<'_>) -> Option<BidTable> {
        table(bids, self.dir, self.bid_rows, (self.entries, self.numbers))
    }

    fn endpoint(&self, r: &Reader<'_>, min_duration: Duration) -> Option<Endpoint> {
        let at = r.field("url").required();
        let url = url(&at);
        if let Some(url) = &url
            && refuses_host(self.settings, &url.host)
        {
            let allowed = "a public host, or `pings.allow_private_addresses = true` in the settings";
            at.wrong(format!("{} is on a private network", url.host), allowed);
        }
        let longest = r.field("max_min_duration_s");
        let max_min_duration = longest.seconds(0..=MIN_DURATION_S_MAX).unwrap_or(min_duration);
        if max_min_duration < min_duration {
            let what = format!("is below the target's own {} s", min_duration.as_secs());
            longest.wrong(what, "at least `min_duration_s`");
        }
        let secret = secret(r, self.dir, self.env);
        let ca_file = certificates(&r.field("ca_file"), self.dir);
        let max_bid = r.field("max_bid").price().unwrap_or(MAX_BID_DEFAULT);
        let bid_ttl = r.field("bid_ttl_s").seconds(5..=300).unwrap_or(Duration::from_secs(60));
        let destinations = self.destinations(&r.field("destinations"));
        let url = url?;
        Some(Endpoint {
            tls: url.tls,
            host: url.host,
            port: url.port,
            path: url.path,
            secret,
            ca_file: ca_file.map(|path| path.display().to_string()),
            max_bid,
            bid_ttl,
            max_min_duration,
            destinations,
        })
    }

    fn destinations(&self, field: &Field<'_>) -> Vec<DestinationRule> {
        let rule = |item: &Field<'_>| {
            let rule = destination(item)?;
            if let DestinationRule::Number(number) = &rule {
                self.refuse_own(*number, item);
            }
            Some(rule)
        };
        let allowed = "a list such as [\"+15125550100\", \"+1512*\", \"sip:pbx.acme.example\"]";
        field.list(allowed).iter().filter_map(rule).collect()
    }

    fn refuse_own(&self, number: E164, field: &Field<'_>) {
        self.numbers.refuse_loop(&Address::Number(number), field);
    }
}

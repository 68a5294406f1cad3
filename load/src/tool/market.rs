//! A scenario's market as an exchange's configuration: settings and catalog in a folder.
//!
//! One campaign, one publisher, one plan: an auction of all bidders, then the fixed prices in order. What is written here
//! is what the judge expects; it is text, since the tool shares no type with the exchange.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::scenario::{Caps, EntityKind, Phase, Scenario, Server};
use super::{judge, rules};

/// The key of the carrier `sw`, and its SHA-256.
pub const KEY: &str = "key-of-load";
const KEY_DIGEST: &str = "beb2d067906d8bd2369ff1d07e454e08bab1c9140656ab09ff319ba7f33f5111";
/// The secret that the carrier `tw` signs with.
pub const TWILIO_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// What its URLs begin with, as it signs them.
pub const TWILIO_URL: &str = "https://load.example.com";
/// Ids of the two carriers.
pub const CARRIER: &str = "sw";
pub const TWILIO_CARRIER: &str = "tw";
/// The campaign and its payout.
pub const CAMPAIGN: &str = "load";
pub const PAYOUT_CENTS: u32 = 500;
/// Part of every call's name.
pub const RUN: &str = "run";
/// How late an overloaded worker may read a reply, in ms, without anybody being wrong about who won.
const OVERLOADED_MS: u64 = 40;
/// Tracking numbers that calls dial, of all that the catalog has.
const DIALLED_MAX: usize = 1_000;

/// The first line of settings that were written here.
pub const MARK: &str = "# Written by `load` for a scenario, which replaces it without asking.";

/// Where the exchange is to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub traffic: SocketAddr,
    pub admin: SocketAddr,
}

impl Default for Listen {
    fn default() -> Listen {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Listen { traffic: free, admin: free }
    }
}

/// Everything about one exchange's configuration.
pub struct Market<'a> {
    pub scenario: &'a Scenario,
    pub server: Server,
    /// Caps for every bidder, where the server is [`Server::Capped`] or [`Server::RuledCapped`].
    pub capped: Caps,
    /// The bidders' bid endpoints, by id.
    pub endpoint: &'a dyn Fn(&str) -> String,
}

/// The tracking number with this place.
pub fn number(at: usize) -> String {
    format!("+1833{}", 2_000_000 + at)
}

/// The numbers that calls dial.
pub fn dialled(scenario: &Scenario) -> Vec<String> {
    (0..scenario.market.numbers.min(DIALLED_MAX)).map(number).collect()
}

impl Market<'_> {
    fn numbers(&self) -> usize {
        if self.server == Server::Small { 1 } else { self.scenario.market.numbers }
    }

    /// Every kind of rule is in use.
    pub fn is_ruled(&self) -> bool {
        self.scenario.is_ruled(self.server)
    }

    fn idle_targets(&self) -> usize {
        if self.server == Server::Small { 0 } else { self.scenario.market.idle_targets }
    }

    /// The caps of a target of the plan.
    pub fn caps(&self, own: Caps, is_bidder: bool) -> Caps {
        let or = |own: Caps, other: Caps| Caps {
            concurrency: own.concurrency.or(other.concurrency),
            daily_billable: own.daily_billable.or(other.daily_billable),
        };
        let is_capped = matches!(self.server, Server::Capped | Server::RuledCapped) && is_bidder;
        let caps = if is_capped { or(own, self.capped) } else { own };
        if self.is_ruled() { or(caps, self.roomy()) } else { caps }
    }

    /// Caps of who has none, where every kind of rule is in use.
    fn roomy(&self) -> Caps {
        let daily_billable = rules::ROOMY.daily_billable.filter(|_| self.server != Server::Ruled);
        Caps { daily_billable, ..rules::ROOMY }
    }

    /// Writes all of it, for an exchange on whatever ports are free.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        self.write_at(folder, &Listen::default())
    }

    /// Writes all of it.
    pub fn write_at(&self, folder: &Path, listen: &Listen) -> io::Result<()> {
        fs::create_dir_all(folder.join("catalog"))?;
        fs::create_dir_all(folder.join("store"))?;
        let Listen { traffic, admin } = listen;
        let added = &self.scenario.market.settings;
        // The judge needs what is written after an answer, too, however full the disk is.
        let journal = if added.contains("[journal]") { "" } else { "[journal]\nfree_percent = 0\n" };
        let settings = format!(
            "{MARK}\n[call_traffic]\nlisten = \"{traffic}\"\nworkers = 1\n[admin]\nlisten = \"{admin}\"\n\
             [store]\npath = \"store/outcry.db\"\n[log]\nformat = \"json\"\n{journal}[pings]\nallow_private_addresses = true\n{added}\n"
        );
        fs::write(folder.join("outcry.toml"), settings)?;
        self.write_catalog(folder, 0)
    }

    /// Writes the catalog, with so many idle targets more than the market has.
    pub fn write_catalog(&self, folder: &Path, more: usize) -> io::Result<()> {
        let catalog = folder.join("catalog");
        fs::write(catalog.join("tw.secret"), TWILIO_TOKEN)?;
        fs::write(catalog.join("market.toml"), self.catalog(more))?;
        let sub_id = if self.is_ruled() { rules::SUB_ID } else { "" };
        if self.is_ruled() {
            fs::write(catalog.join(rules::TABLE), rules::rows())?;
        }
        let mut csv = String::from("number,campaign,publisher,sub_id\n");
        for at in 0..self.numbers() {
            // Writing to a string cannot fail.
            let _ = writeln!(csv, "{},{CAMPAIGN},pub,{sub_id}", number(at));
        }
        fs::write(catalog.join("numbers.csv"), csv)
    }

    /// What the judge has to know of it.
    pub fn judged(&self, phase: &Phase) -> judge::Market {
        let micros = |cents: u32| i64::from(cents) * 10_000;
        let mut bidders = 0;
        let targets = self.scenario.entities().into_iter().map(|entity| {
            let is_bidder = matches!(entity.kind, EntityKind::Bidder { .. });
            let price = match entity.kind {
                EntityKind::Bidder { max_bid_cents, .. } => {
                    bidders += 1;
                    judge::Price::Bids { bidder: bidders - 1, max_micros: micros(max_bid_cents) }
                }
                EntityKind::Fixed { price_cents } => judge::Price::Fixed { micros: micros(price_cents) },
            };
            let caps = self.caps(entity.caps, is_bidder);
            judge::Target {
                buyer: entity.id.clone(),
                id: entity.id,
                address: entity.address,
                price,
                in_auction: is_bidder,
                barred: None,
                concurrency: caps.concurrency,
                daily_billable: caps.daily_billable,
                min_duration_ms: 1_000 * self.scenario.market.min_duration_s,
            }
        });
        let mut market = judge::Market {
            campaign: CAMPAIGN.to_owned(),
            deadline_ms: self.scenario.market.deadline_ms,
            early_close: true,
            payout_micros: micros(PAYOUT_CENTS),
            targets: targets.collect(),
            overload: phase.overloads,
            refusals: phase.overloads,
            // A worker that is asked for more than it can reads replies late: what was in time then, nobody outside can say.
            tolerance_ms: phase.overloads.then_some(OVERLOADED_MS),
            is_alone: true,
            run: format!("-{RUN}-"),
            ..judge::Market::default()
        };
        if self.is_ruled() {
            rules::judged(&mut market, 1_000 * self.scenario.market.min_duration_s, self.roomy());
        }
        market
    }

    fn catalog(&self, more: usize) -> String {
        let entities = self.scenario.entities();
        let quoted = |bids: bool| -> Vec<String> {
            let of_kind = entities.iter().filter(|e| matches!(e.kind, EntityKind::Bidder { .. }) == bids);
            of_kind.map(|e| format!("\"{}\"", e.id)).collect()
        };
        let (bidders, fixed) = (quoted(true), quoted(false));
        let (deadline_ms, min_duration_s) =
            (self.scenario.market.deadline_ms, self.scenario.market.min_duration_s);
        let recovery_s = min_duration_s.saturating_sub(1).min(15);
        let (of_campaign, of_publisher, of_buyer, plans) = match self.is_ruled() {
            true => (
                rules::of_campaign(),
                rules::of_publisher(),
                rules::of_buyer(self.roomy()),
                rules::plans(&bidders, &fixed, deadline_ms),
            ),
            false => {
                let plan = plain_plan(&bidders, fixed);
                ("plan = \"main\"\n".to_owned(), String::new(), String::new(), plan)
            }
        };
        let mut text = format!(
            "numbers_csv = \"numbers.csv\"\ndefault_plan = \"nobody\"\n\
             [carrier.{CARRIER}]\nkey_digest = \"sha256:{KEY_DIGEST}\"\n\
             [carrier.{TWILIO_CARRIER}]\ndialect = \"twilio\"\npublic_url = \"{TWILIO_URL}\"\nsecrets = [{{ secret_file = \"tw.secret\" }}]\n\
             [campaign.{CAMPAIGN}]\nvertical = \"load\"\n{of_campaign}ping_tags = [\"load_call\"]\n\
             deadline_ms = {deadline_ms}\nrecovery_s = {recovery_s}\npayout = {{ fixed = \"{}\" }}\n\
             [publisher.pub]\nname = \"Publisher\"\nzone = \"UTC\"\n{of_publisher}{plans}\
             [plan.nobody]\nterminal = {{ hangup = \"unallocated\" }}\n",
            dollars(PAYOUT_CENTS),
        );
        for entity in &entities {
            let id = &entity.id;
            let (price, is_bidder) = match &entity.kind {
                EntityKind::Bidder { max_bid_cents, .. } => {
                    let url = (self.endpoint)(id);
                    (
                        format!(
                            "endpoint = {{ url = \"{url}\", max_bid = \"{}\" }}",
                            dollars(*max_bid_cents)
                        ),
                        true,
                    )
                }
                EntityKind::Fixed { price_cents } => {
                    (format!("price = \"{}\"", dollars(*price_cents)), false)
                }
            };
            let caps = self.caps(entity.caps, is_bidder);
            let limit = |key: &str, limit: Option<u32>| match limit {
                Some(limit) => format!("{key} = {limit}\n"),
                None => String::new(),
            };
            let _ = write!(
                text,
                "[buyer.{id}]\nname = \"{id}\"\nzone = \"UTC\"\n{of_buyer}[target.{id}]\nbuyer = \"{id}\"\naddress = \"{}\"\n{price}\n\
                 min_duration_s = {min_duration_s}\n{}{}",
                entity.address,
                limit("concurrency", caps.concurrency),
                limit("daily_billable", caps.daily_billable),
            );
            if self.is_ruled() {
                let price = match entity.kind {
                    EntityKind::Fixed { price_cents } => Some(price_cents),
                    EntityKind::Bidder { .. } => None,
                };
                text.push_str(&rules::of_target(price, caps));
            }
        }
        if self.is_ruled() {
            text.push_str(&rules::house(min_duration_s, self.roomy()));
        }
        let idle = self.idle_targets() + more;
        if idle > 0 {
            text.push_str("[buyer.idle]\nname = \"Idle\"\nzone = \"UTC\"\n");
        }
        for at in 0..idle {
            let _ = write!(
                text,
                "[target.idle-{at}]\nbuyer = \"idle\"\naddress = \"+1303555{at:04}\"\nprice = \"1.00\"\n\
                 filters = [{{ state = [\"TX\", \"CO\"] }}]\nhours = [\"mon-fri 09:00-17:00\"]\n"
            );
        }
        text
    }
}

/// An auction of all bidders, then the fixed prices; both in quotes.
fn plain_plan(bidders: &[String], fixed: Vec<String>) -> String {
    let auction = (!bidders.is_empty()).then(|| format!("{{ auction = [{}] }}", bidders.join(", ")));
    let root: Vec<String> = auction.into_iter().chain(fixed).collect();
    format!(
        "[plan.main]\nroot = {{ sequential = [{}] }}\nterminal = {{ hangup = \"busy\" }}\n",
        root.join(", ")
    )
}

/// Cents as a decimal amount.
pub fn dollars(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

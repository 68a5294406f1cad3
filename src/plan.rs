//! Plans as people read them: the tree drawn, and what a call would meet in it.
//!
//! `outcry plan …`: its arguments and its text. What is true of a plan is in `domain::plan`, what a call meets in
//! `exchange::preview`.

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use crate::carrier::{CallerLeg, CarrierRequest};
use crate::domain::caller::{TagValue, Tail};
use crate::domain::catalog::{PlanIx, Pricing};
use crate::domain::plan::{AuctionNode, Scope};
use crate::domain::state::state;
use crate::domain::{
    Address, CallerListIx, Campaign, Catalog, E164, Node, Plan, SetBy, Tags, TargetIx, Terminal, Timestamp,
    Verified,
};
use crate::exchange::preview::{Preview, Tried, preview};
use crate::report::RuleRow;
use crate::routing::bid_table::BidIndex;

/// What is done with plans.
#[derive(Subcommand, Clone, Debug)]
pub enum PlanVerb {
    /// Draw the tree of a plan, or of all.
    #[command(
        after_help = "Examples:\n  outcry plan show auto-us\n  outcry plan show --config /etc/outcry/outcry.toml"
    )]
    Show {
        /// The settings file; the catalog is found from there.
        #[arg(long, value_name = "FILE", default_value = "config/outcry.toml")]
        config: PathBuf,
        /// The plan; left out, every one.
        plan: Option<String>,
    },
    /// Say which targets a call could go to, and why not to the others. No call is made, and nobody is asked.
    #[command(
        after_help = "Examples:\n  outcry plan try --to +18005550100 --from +15125550123 --zip 78701\n  \
                      outcry plan try --to +18005550100 --withheld --tag case=collision --at 2026-12-25T15:00:00Z --rules"
    )]
    Try(Box<TryArgs>),
}

/// The call that is tried.
#[derive(Args, Clone, Debug)]
pub struct TryArgs {
    /// The settings file; the catalog is found from there.
    #[arg(long, value_name = "FILE", default_value = "config/outcry.toml")]
    config: PathBuf,
    /// What was dialled: a number, or sip:user@host.
    #[arg(long, value_name = "NUMBER", value_parser = address)]
    to: Address,
    /// Who calls; left out, a caller without a valid number.
    #[arg(long, value_name = "NUMBER", value_parser = number, conflicts_with = "withheld")]
    from: Option<E164>,
    /// The caller does not want the number known.
    #[arg(long)]
    withheld: bool,
    /// When, RFC 3339; left out, now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// The caller's ZIP as the carrier says.
    #[arg(long)]
    zip: Option<String>,
    /// The caller's state as the carrier says: its two letters.
    #[arg(long, value_parser = state_code)]
    state: Option<String>,
    /// The publisher's label of the call.
    #[arg(long)]
    sub_id: Option<String>,
    /// The attestation that is claimed for the caller's number: A, B or C.
    #[arg(long, value_parser = ["A", "B", "C"])]
    stir: Option<String>,
    /// What came of verifying it: passed, failed or unverified.
    #[arg(long, value_name = "RESULT", value_parser = verified, default_value = "unverified")]
    stir_verified: Verified,
    /// A tag of the call; may be given again.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// A caller list that the caller is said to be on; may be given again. Who is on it only a running exchange knows.
    #[arg(long = "on-list", value_name = "LIST")]
    lists: Vec<String>,
    /// Also print the rules that hold.
    #[arg(long)]
    rules: bool,
    /// `text` for people, `json` for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: TryFormat,
}

/// How a tried call is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they are words")]
pub enum TryFormat {
    Text,
    Json,
}

/// Why a verb ends badly.
#[derive(Debug, thiserror::Error)]
pub enum PlanFault {
    /// There is no such plan.
    #[error("{0} is no plan; there are: {1}")]
    NoPlan(String, String),
    /// There is no such caller list.
    #[error("{0} is no caller list; there are: {1}")]
    NoList(String, String),
    /// More tags, or larger ones, than a call carries.
    #[error("{0}")]
    Tags(crate::domain::caller::TagError),
    /// It could not be printed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).ok_or_else(|| "a number such as +18005550100, or sip:user@host".to_owned())
}

fn number(text: &str) -> Result<E164, String> {
    E164::parse(text).ok_or_else(|| "a number such as +15125550123".to_owned())
}

fn state_code(text: &str) -> Result<String, String> {
    let code = state(text).map(str::to_owned);
    code.ok_or_else(|| "two letters of a state, territory or province, such as TX".to_owned())
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "RFC 3339, such as 2026-11-20T09:00:00Z".to_owned())
}

fn verified(text: &str) -> Result<Verified, String> {
    Verified::parse(text).ok_or_else(|| "passed, failed or unverified".to_owned())
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE, such as case=collision")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl PlanVerb {
    /// The settings file it names.
    pub fn config(&self) -> &Path {
        match self {
            PlanVerb::Show { config, .. } => config,
            PlanVerb::Try(args) => &args.config,
        }
    }

    /// Prints what it is asked for; `now` is when a call comes that names no time.
    pub fn run(&self, catalog: &Catalog, now: Timestamp, out: &mut impl io::Write) -> Result<(), PlanFault> {
        match self {
            PlanVerb::Show { plan: Some(name), .. } => {
                let found = catalog.plans.iter().find(|plan| plan.id.as_str() == name);
                let ids = || catalog.plans.iter().map(|plan| plan.id.as_str()).collect::<Vec<_>>().join(", ");
                let plan = found.ok_or_else(|| PlanFault::NoPlan(name.clone(), ids()))?;
                write!(out, "{}", drawn(catalog, plan))?;
            }
            PlanVerb::Show { plan: None, .. } => {
                let trees: Vec<String> = catalog.plans.iter().map(|plan| drawn(catalog, plan)).collect();
                write!(out, "{}", trees.join("\n"))?;
            }
            PlanVerb::Try(args) => {
                let request = args.request().map_err(PlanFault::Tags)?;
                let preview = preview(catalog, &request, args.listed(catalog)?, args.at.unwrap_or(now));
                match args.format {
                    TryFormat::Text => write!(out, "{}", told(&preview, args.rules))?,
                    TryFormat::Json => {
                        serde_json::to_writer_pretty(&mut *out, &preview).map_err(io::Error::from)?;
                        writeln!(out)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl TryArgs {
    fn listed(&self, catalog: &Catalog) -> Result<Vec<CallerListIx>, PlanFault> {
        let find = |id: &String| {
            let at = catalog.caller_lists.binary_search_by(|list| list.id.as_str().cmp(id)).ok();
            let ids =
                || catalog.caller_lists.iter().map(|list| list.id.as_str()).collect::<Vec<_>>().join(", ");
            at.map(|at| CallerListIx(at as u32)).ok_or_else(|| PlanFault::NoList(id.clone(), ids()))
        };
        let mut lists = self.lists.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        lists.sort_unstable();
        lists.dedup();
        Ok(lists)
    }

    fn request(&self) -> Result<CarrierRequest, crate::domain::caller::TagError> {
        let mut tags = Tags::default();
        for (key, value) in &self.tags {
            tags.add(key.as_str(), TagValue::Text(value.as_str().into()), SetBy::Carrier)?;
        }
        Ok(CarrierRequest {
            carrier_call_id: "tried".to_owned(),
            to: self.to.clone(),
            from: self.from,
            withheld: self.withheld,
            tail: self.from.and_then(|from| Tail::of(&from.reveal())),
            sub_id: self.sub_id.clone(),
            state: self.state.clone(),
            zip: self.zip.clone(),
            stir: self.stir.clone(),
            stir_verified: self.stir_verified,
            consent: false,
            test: false,
            caller: CallerLeg::Ringing,
            tags,
        })
    }
}

/// The tree of a plan, a node a line.
///
/// ```text
/// auto-us
/// ├─ sequential
/// │  ├─ auction, floor 12.00
/// │  │  ├─ acme-bids            acme-auto      bids up to 120.00
/// │  │  └─ acme-phone           acme-auto      21.00
/// │  └─ open-line-auto          open-line      9.00
/// └─ otherwise voicemail "…"
/// ```
pub fn drawn(catalog: &Catalog, plan: &Plan) -> String {
    let mut text = format!("{}\n", plan.id);
    for campaign in &catalog.campaigns {
        text.push_str(&when(catalog, campaign, plan).unwrap_or_default());
    }
    let drawing = Drawing { catalog, text: &mut text };
    // Writing to a string cannot fail.
    let _ = drawing.plan(plan);
    text
}

/// The times at which a campaign of several plans has this one, a line.
fn when(catalog: &Catalog, campaign: &Campaign, plan: &Plan) -> Option<String> {
    let is_this = |ix: PlanIx| catalog.plan(ix).id == plan.id;
    let mut times: Vec<String> = (campaign.scheduled.iter().filter(|(_, ix)| is_this(*ix)))
        .map(|(hours, _)| format!("{hours} in {}", campaign.zone))
        .collect();
    if is_this(campaign.plan) {
        times.push("at all other times".to_owned());
    }
    let has_several = !campaign.scheduled.is_empty() && !times.is_empty();
    has_several.then(|| format!("│  campaign {}: {}\n", campaign.id, times.join(", and ")))
}

struct Drawing<'a> {
    catalog: &'a Catalog,
    text: &'a mut String,
}

impl Drawing<'_> {
    fn plan(mut self, plan: &Plan) -> fmt::Result {
        // What no way comes to is not drawn.
        let (branch, below) = ends(plan.root.ends());
        self.node(&plan.root, "", branch, below)?;
        if plan.root.ends() {
            Ok(())
        } else {
            writeln!(self.text, "└─ otherwise {}", action(&plan.terminal))
        }
    }

    fn node(&mut self, node: &Node, indent: &str, branch: &str, below: &str) -> fmt::Result {
        let deeper = format!("{indent}{below}");
        match node {
            Node::Sequential(children) => {
                writeln!(self.text, "{indent}{branch}sequential")?;
                for (at, child) in children.iter().enumerate() {
                    let (branch, below) = ends(at + 1 == children.len());
                    self.node(child, &deeper, branch, below)?;
                }
            }
            Node::Weighted(children) => {
                writeln!(self.text, "{indent}{branch}weighted")?;
                for (at, (weight, child)) in children.iter().enumerate() {
                    let (branch, below) = ends(at + 1 == children.len());
                    self.node(child, &deeper, &format!("{branch}{weight} × "), below)?;
                }
            }
            Node::FirstMatch(branches) => {
                writeln!(self.text, "{indent}{branch}first match")?;
                for (at, one) in branches.iter().enumerate() {
                    let (branch, below) = ends(at + 1 == branches.len());
                    let when: Vec<String> = one.when.iter().map(ToString::to_string).collect();
                    let when = if when.is_empty() {
                        "otherwise".to_owned()
                    } else {
                        format!("when {}", when.join(" and "))
                    };
                    writeln!(self.text, "{deeper}{branch}{when}")?;
                    self.node(&one.node, &format!("{deeper}{below}"), "└─ ", "   ")?;
                }
            }
            Node::Auction(auction) => self.auction(auction, indent, branch, &deeper)?,
            Node::Target(target) => self.target(*target, indent, (branch, below))?,
            Node::RoundRobin(round_robin) => {
                writeln!(self.text, "{indent}{branch}round robin")?;
                for (at, child) in round_robin.children.iter().enumerate() {
                    let (branch, below) = ends(at + 1 == round_robin.children.len());
                    self.node(child, &deeper, branch, below)?;
                }
            }
            Node::Scope(scope) => {
                writeln!(self.text, "{indent}{branch}{}", limits(scope))?;
                self.node(&scope.node, &deeper, "└─ ", "   ")?;
            }
            Node::Terminal(terminal) => writeln!(self.text, "{indent}{branch}end: {}", action(terminal))?,
            Node::Simultaneous(node) => {
                let answer = if node.screen { "whoever presses 1" } else { "whoever answers first" };
                writeln!(self.text, "{indent}{branch}all at once, {answer}")?;
                for (at, member) in node.members.iter().enumerate() {
                    self.target(*member, &deeper, ends(at + 1 == node.members.len()))?;
                }
            }
        }
        Ok(())
    }

    fn auction(&mut self, auction: &AuctionNode, indent: &str, branch: &str, deeper: &str) -> fmt::Result {
        write!(self.text, "{indent}{branch}auction")?;
        if auction.floor.is_positive() {
            write!(self.text, ", floor {}", auction.floor)?;
        }
        if let Some(takeover) = auction.takeover {
            write!(self.text, ", takeover at {takeover}")?;
        }
        if let Some(timeout) = auction.timeout {
            write!(self.text, ", closes after {} ms", timeout.as_millis())?;
        }
        writeln!(self.text)?;
        for (at, member) in auction.members.iter().enumerate() {
            self.target(*member, deeper, ends(at + 1 == auction.members.len()))?;
        }
        Ok(())
    }

    fn target(&mut self, ix: TargetIx, indent: &str, (branch, below): (&str, &str)) -> fmt::Result {
        let target = self.catalog.target(ix);
        let buyer = &self.catalog.buyer(target.buyer).id;
        let lead = format!("{indent}{branch}");
        let room = 40_usize.saturating_sub(lead.chars().count());
        write!(self.text, "{lead}{:room$} {:20} ", target.id.as_str(), buyer.as_str())?;
        match &target.pricing {
            Pricing::Fixed(price) => write!(self.text, "{price}")?,
            Pricing::Endpoint(endpoint) => write!(self.text, "bids up to {}", endpoint.max_bid)?,
            Pricing::Table(table) => {
                let base = table.base.map_or("none".to_owned(), |base| base.to_string());
                write!(self.text, "bids by {}, base {base}", table.size())?;
                let index = BidIndex::new(table, &self.catalog.buyer(target.buyer).zone);
                if let Some(scanned) = index.scanned().told() {
                    write!(self.text, ", {scanned}")?;
                }
            }
        }
        if target.tier != 1 {
            write!(self.text, ", tier {}", target.tier)?;
        }
        if target.paused {
            write!(self.text, ", paused")?;
        }
        writeln!(self.text)?;
        for range in &target.ranges {
            writeln!(self.text, "{indent}{below}   in {range}")?;
        }
        Ok(())
    }
}

/// What a terminal action does. Where it dials is in the catalog, and a number is not printed whole.
fn action(terminal: &Terminal) -> String {
    match terminal {
        Terminal::Dial(address) => format!("dial {address}"),
        Terminal::Voicemail(greeting) => format!("voicemail {greeting:?}"),
        Terminal::Message(said) => format!("say {said:?} and hang up"),
        Terminal::Hangup(cause) => format!("hang up: {}", cause.as_str()),
    }
}

/// What holds for a node: `group west, rings 15 s at most, open mon-fri 09:00-17:00 in America/Denver`.
fn limits(scope: &Scope) -> String {
    let group = scope.group.as_ref().map(|group| format!("group {group}"));
    let ring = scope.ring.map(|ring| format!("rings {} s at most", ring.as_secs()));
    let hours = scope.hours.as_ref().map(|(hours, zone)| format!("open {hours} in {zone}"));
    [group, ring, hours].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

const fn ends(is_last: bool) -> (&'static str, &'static str) {
    if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") }
}

/// What a call would meet, as text; with `all_rules` also those that hold.
pub fn told(preview: &Preview, all_rules: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = tell(&mut text, preview, all_rules);
    text
}

fn tell(text: &mut String, preview: &Preview, all_rules: bool) -> fmt::Result {
    let or = |value: &Option<String>, else_: &str| value.as_deref().unwrap_or(else_).to_owned();
    writeln!(text, "at         {}", preview.at)?;
    writeln!(text, "campaign   {}", or(&preview.campaign, "none: nobody configured this number"))?;
    writeln!(text, "publisher  {}", or(&preview.publisher, "none"))?;
    match &preview.plan_hours {
        Some(hours) => writeln!(text, "plan       {}, that of {hours}", preview.plan)?,
        None => writeln!(text, "plan       {}", preview.plan)?,
    }
    writeln!(
        text,
        "caller     state {} (by {}), country {}, area code {}, ZIP {}",
        or(&preview.state, "unknown"),
        preview.geo_source,
        or(&preview.country, "unknown"),
        preview.area_code.map_or("unknown".to_owned(), |code| format!("{code:03}")),
        preview.zip,
    )?;
    if let Some(barred) = &preview.barred {
        writeln!(text, "barred     {barred}: only the plan's terminal action is left")?;
    }
    if let (Some(floor), Some(pricing)) = (&preview.floor, preview.pricing) {
        let margin =
            preview.min_price.as_ref().map_or(String::new(), |least| format!(", margin from {least} on"));
        writeln!(text, "prices     {pricing} price, floor {floor}{margin}")?;
    }
    tell_rules(text, &preview.rules, all_rules)?;
    writeln!(text)?;
    for tried in &preview.targets {
        tell_one(text, tried, all_rules)?;
    }
    let candidates = preview.targets.iter().filter(|tried| tried.verdict == "candidate").count();
    let targets = preview.targets.len();
    writeln!(
        text,
        "\n{candidates} of {targets} targets may take the call. Nobody was asked, and no capacity was looked at."
    )
}

fn tell_one(text: &mut String, tried: &Tried, all_rules: bool) -> fmt::Result {
    let price = tried.price.as_deref().unwrap_or("bids");
    let note = tried.note.as_deref().unwrap_or("");
    let line = format!("{:24} {:20} {price:>8}  {:12} {note}", tried.target, tried.buyer, tried.verdict);
    writeln!(text, "{}", line.trim_end())?;
    tell_rules(text, &tried.rules, all_rules)
}

fn tell_rules(text: &mut String, rules: &[RuleRow], all_rules: bool) -> fmt::Result {
    for ruled in rules.iter().filter(|ruled| all_rules || ruled.says != "yes") {
        writeln!(text, "    {:8} {}  (saw {})", ruled.says, ruled.rule, ruled.saw)?;
    }
    Ok(())
}

//! The catalog's files as one value: reads every entry, checks what holds between them, takes the digest.
//!
//! A catalog exists only if nothing at all was wrong. Ids, numbers, targets and plans have modules of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::auctions::{
    after_failure, floors, min_margin, price, publisher_floors, refuse_impossible_margins,
};
use super::entries::{Entries, Index, Parsed, files};
use super::file::{Field, File, Reader, Source};
use super::groups::Groups;
use super::numbers::Numbers;
use super::problem::{Problem, Sink};
use super::schedules::{Schedules, schedules};
use super::settings::{Env, SEGMENT_MB, Settings, base_url, is_local};
use super::target::{NAME_MAX, Surroundings, buyer};
use super::values::{digest, hours, labels, percent, secrets, zone};
use super::{bid_table, callers, openings, plan, warnings};
use crate::domain::caller::TAG_KEY_MAX;
use crate::domain::catalog::{CarrierDialect, PlanIx, Secret};
use crate::domain::id::SLUG_MAX;
use crate::domain::time_range::TimeRange;
use crate::domain::{
    Buyer, Campaign, CampaignId, CampaignIx, Carrier, CarrierId, Catalog, Hours, Money, Payout, Publisher,
    PublisherId,
};
use crate::journal;
use crate::runtime::hex;

/// What a decision needs beside its auction; both must fit a carrier's ceiling.
const BESIDE_AUCTION: Duration = Duration::from_millis(100);

/// A talk that its target ended sooner goes on to the next one, unless the campaign says otherwise.
const RECOVERY: Duration = Duration::from_secs(15);

/// A catalog, the text its digest is taken over, and warnings.
pub(super) type Read = (Catalog, String, Vec<Problem>);

/// Reads the folder that the settings name. `None` if no catalog could be made; whether what was made may be used is
/// for `sink` to say.
pub(super) fn read(settings: &Settings, env: Env<'_>, sink: &Sink) -> Option<Read> {
    let dir = settings.catalog_dir.as_path();
    let sources = files(dir, sink);
    if sources.is_empty() {
        return None;
    }
    // A file that is no TOML has one fault: itself. What could be made out of it only serves to know its ids.
    let mute = Sink::default();
    let parsed: Vec<_> = sources.iter().map(|source| (source, source.parse())).collect();
    let files = parsed.iter().map(|(source, (table, problem))| {
        let sink = if problem.is_some() { &mute } else { sink };
        Parsed { file: File { source, sink }, table: table.get_ref(), broken: problem.is_some() }
    });
    for (_, (_, problem)) in &parsed {
        problem.iter().for_each(|problem| sink.push(problem.clone()));
    }
    let entries = Entries::collect(files, dir);
    let csv_sources: Vec<(&Sink, Source)> = entries.csvs.iter().filter_map(|csv| open_csv(csv)).collect();
    let csvs: Vec<File<'_>> = csv_sources.iter().map(|(sink, source)| File { source, sink }).collect();
    let mut numbers = Numbers::read(&entries, &csvs);
    let bid_files = bid_table::Files::open(&entries, dir);
    let bid_rows = bid_files.rows(&entries, &numbers);

    let catalog = resolve(settings, env, (&entries, &bid_rows), &mut numbers, sink);
    if !sink.is_empty() {
        return None;
    }
    refuse_long_recovery(catalog.as_ref()?, &entries);
    openings::refuse_never_open(catalog.as_ref()?, &entries);
    numbers.refuse_never_open(catalog.as_ref()?, sink);
    refuse_impossible_margins(catalog.as_ref()?, &entries);
    refuse_idle_ranges(catalog.as_ref()?, &entries);
    bid_table::refuse_too_many(catalog.as_ref()?, &entries);
    if !sink.is_empty() {
        return None;
    }
    refuse_small_segments(settings, catalog.as_ref()?, sink);
    if !sink.is_empty() {
        return None;
    }
    let csv_sources = csv_sources.iter().map(|(_, source)| source).chain(bid_files.sources());
    let text = text(dir, sources.iter().chain(csv_sources));
    let catalog = Catalog { digest: hex(&Sha256::digest(text.as_bytes())).into(), ..catalog? };
    let warnings = warnings::of(&catalog, &entries, settings);
    Some((catalog, text, warnings))
}

/// What a record says of each target of a plan, at most: its outcome with ids and a note, and its place in what is left of
/// the walk.
const BYTES_PER_TARGET: u64 = 320;
/// What it says of each endpoint that does not answer, beside the URL.
const BYTES_PER_ENDPOINT: u64 = 2 * SLUG_MAX as u64 + 32;
/// Whatever else is in it, with room to spare.
const BYTES_BESIDE: u64 = 512 * 1024;

/// A step of a call, with all its outcomes, is one record, and the health of all endpoints is another: they must fit.
pub(super) fn refuse_small_segments(settings: &Settings, catalog: &Catalog, sink: &Sink) {
    let limit = |mb: u64| journal::record_limit(mb * 1024 * 1024);
    let steps = catalog.plans.iter().map(|plan| {
        let mut targets = Vec::new();
        plan.root.targets(&mut targets);
        (
            targets.len() as u64 * BYTES_PER_TARGET,
            format!("a step of plan {} with {} targets", plan.id, targets.len()),
        )
    });
    let endpoints: Vec<_> = catalog.targets.iter().filter_map(|target| target.endpoint()).collect();
    let urls: usize = endpoints.iter().map(|endpoint| endpoint.host.len() + endpoint.path.len()).sum();
    let health = endpoints.len() as u64 * BYTES_PER_ENDPOINT + urls as u64;
    let health = (health, format!("the health of {} endpoints", endpoints.len()));
    let Some((bytes, what)) = steps.chain([health]).max() else { return };
    let needed = bytes + BYTES_BESIDE;
    let segment = settings.journal.kept.segment_bytes / (1024 * 1024);
    if needed <= limit(segment) {
        return;
    }
    let least = (segment..=*SEGMENT_MB.end()).find(|mb| needed <= limit(*mb));
    let allowed = match least {
        Some(least) => format!("at least {least} with this catalog"),
        None => "fewer targets: no segment is large enough".to_owned(),
    };
    let what = format!("{segment} MB are too small for one record of {what}, which may have {needed} bytes");
    sink.push(Problem::of_file(&settings.file.display().to_string(), "journal.segment_mb", what, &allowed));
}

fn open_csv<'a>((field, path): &(Field<'a>, PathBuf)) -> Option<(&'a Sink, Source)> {
    match Source::open(path) {
        Ok(source) => Some((field.file.sink, source)),
        Err(problem) => {
            field.wrong(format!("{} {}", problem.file, problem.what), "a file that can be read");
            None
        }
    }
}

fn resolve(
    settings: &Settings,
    env: Env<'_>,
    (entries, bid_rows): (&Entries<'_>, &bid_table::FileRows),
    numbers: &mut Numbers<'_>,
    sink: &Sink,
) -> Option<Catalog> {
    let with = Surroundings { settings, env, dir: &settings.catalog_dir, entries, numbers, bid_rows };
    let carriers: Vec<Carrier> =
        entries.carriers.iter().filter_map(|(id, f)| carrier(id, f, &with)).collect();
    let tightest = carriers.iter().min_by_key(|carrier| carrier.ceiling);
    let campaigns = entries.campaigns.iter().filter_map(|(id, f)| campaign(id, f, &with, tightest)).collect();
    let publishers = entries.publishers.iter().filter_map(|(id, f)| publisher(id, f, entries)).collect();
    let buyers: Vec<Buyer> = entries.buyers.iter().filter_map(|(id, f)| buyer(id, f, entries)).collect();
    refuse_shared_keys(&carriers, &buyers, entries);
    let targets = entries.targets.iter().filter_map(|(id, f)| with.target(id, f)).collect();
    let groups = Groups::read(entries, numbers);
    let plans = entries.plans.iter().filter_map(|(id, f)| plan::read(id, f, &groups)).collect();
    let default_plan = default_plan(entries, &settings.catalog_dir, sink);
    Some(Catalog {
        digest: "".into(),
        carriers,
        campaigns,
        publishers,
        buyers,
        targets,
        plans,
        numbers: std::mem::take(&mut numbers.read),
        caller_lists: entries.caller_lists.iter().filter_map(|(id, f)| callers::list(id, f)).collect(),
        default_plan: default_plan?,
    })
}

fn carrier(id: &str, field: &Field<'_>, with: &Surroundings<'_, '_>) -> Option<Carrier> {
    field.table("a table", |r| {
        let dialects = [("generic", CarrierDialect::Generic), ("twilio", CarrierDialect::Twilio)];
        let at = r.field("dialect");
        let dialect = at.choice(&dialects);
        // Of an unknown dialect nothing is known to be missing.
        let known = if at.is_set() { dialect } else { Some(CarrierDialect::Generic) };
        let key = r.field("key_digest");
        let key = if known == Some(CarrierDialect::Generic) { key.required() } else { key };
        let key_digest = digest(&key);
        let (public_url, secrets) = signing(r, known, with);
        let ceiling = r.field("ceiling_ms").millis(200..=5_000);
        let carrier = Carrier {
            id: CarrierId::parse(id).ok()?,
            dialect: known?,
            key_digest,
            public_url: public_url.map(Into::into),
            secrets,
            ceiling: ceiling.unwrap_or(Duration::from_millis(1_000)),
        };
        let is_known = carrier.key_digest.is_some() || carrier.dialect == CarrierDialect::Twilio;
        is_known.then_some(carrier)
    })?
}

/// What a carrier signs with, and the URL it signs; of no use to one that sends a key.
fn signing(
    r: &Reader<'_>,
    dialect: Option<CarrierDialect>,
    with: &Surroundings<'_, '_>,
) -> (Option<String>, Vec<Secret>) {
    let (url, list) = (r.field("public_url"), r.field("secrets"));
    match dialect {
        None => (None, Vec::new()),
        Some(CarrierDialect::Generic) => {
            for field in [url, list].iter().filter(|field| field.is_set()) {
                field.wrong("is of no use to the generic dialect", "with `dialect = \"twilio\"`");
            }
            (None, Vec::new())
        }
        Some(CarrierDialect::Twilio) => {
            let url = url.required();
            let public_url = base_url(&url);
            if public_url.as_ref().is_some_and(|url| url.starts_with("http://") && !is_local(url)) {
                url.wrong("is plain HTTP to a host that is not loopback", "https://…");
            }
            (public_url, secrets(&list.required(), with.dir, with.env))
        }
    }
}

/// A key or a secret tells who asks: no two have the same.
fn refuse_shared<'k, K: Ord>(
    entries: &Index<'_>,
    keys: impl Iterator<Item = (&'k str, K)>,
    (what, allowed): (&str, &str),
) {
    let mut owners = BTreeMap::new();
    for (id, key) in keys {
        let Some(owner) = owners.insert(key, id) else { continue };
        if let Some((_, field)) = entries.iter().find(|entry| entry.0 == id) {
            field.wrong(format!("has {what} {owner}"), allowed);
        }
    }
}

fn refuse_shared_keys(carriers: &[Carrier], buyers: &[Buyer], entries: &Entries<'_>) {
    let own_key = "a `key_digest` of its own";
    let keys = carriers.iter().filter_map(|one| Some((one.id.as_str(), one.key_digest?)));
    refuse_shared(&entries.carriers, keys, ("the key of carrier", own_key));
    let secrets =
        carriers.iter().flat_map(|one| one.secrets.iter().map(|secret| (one.id.as_str(), &secret.0)));
    refuse_shared(&entries.carriers, secrets, ("a secret of carrier", "`secrets` of its own"));
    let keys = buyers.iter().filter_map(|one| Some((one.id.as_str(), one.key_digest?)));
    refuse_shared(&entries.buyers, keys, ("the key of buyer", own_key));
}

fn campaign(
    id: &str,
    field: &Field<'_>,
    with: &Surroundings<'_, '_>,
    tightest: Option<&Carrier>,
) -> Option<Campaign> {
    let entries = with.entries;
    field.table("a table", |r| {
        let vertical = r.field("vertical").required().label(TAG_KEY_MAX);
        let schedules = schedules(r, entries);
        let paused = r.field("paused").flag().unwrap_or(false);
        let deadline = r.field("deadline_ms").millis(50..=1_500).unwrap_or(Duration::from_millis(500));
        if let Some(carrier) = tightest
            && deadline + BESIDE_AUCTION > carrier.ceiling
        {
            let ceiling = carrier.ceiling.as_millis();
            let what = format!(
                "{} ms do not fit carrier {}, which waits {ceiling} ms",
                deadline.as_millis(),
                carrier.id
            );
            let most = carrier.ceiling.saturating_sub(BESIDE_AUCTION).as_millis();
            r.field("deadline_ms")
                .wrong(what, &format!("at most {most}: 100 ms less than the carrier's ceiling"));
        }
        let early_close = r.field("early_close").flag().unwrap_or(true);
        let floor = r.field("floor").money().unwrap_or(Money::ZERO);
        let min_margin = min_margin(r);
        let (price, floors, after_failure) = (price(r), floors(r, entries, with.numbers), after_failure(r));
        let payout = payout(&r.field("payout").required());
        let ping_tags = labels(&r.field("ping_tags"), TAG_KEY_MAX, "a list of keys of tags");
        let recovery = r.field("recovery_s").seconds(0..=300).unwrap_or(RECOVERY);
        let attempts = r.field("attempts").whole(1..=16).unwrap_or(5);
        let ring_budget = r.field("ring_budget_s").seconds(8..=600).unwrap_or(Duration::from_secs(60));
        let blocked_callers = callers::lists(&r.field("blocked_callers"), entries);
        let Schedules { plan, scheduled, zone, hours } = schedules?;
        Some(Campaign {
            id: CampaignId::parse(id).ok()?,
            vertical: vertical?,
            plan,
            paused,
            deadline,
            early_close,
            floor,
            min_margin,
            payout: payout?,
            ping_tags,
            recovery,
            attempts,
            ring_budget,
            zone,
            hours,
            scheduled,
            price,
            floors,
            after_failure,
            blocked_callers,
        })
    })?
}

/// A talk that is billable is never gone on from, so what counts as hung up early ends before any minimum begins.
fn refuse_long_recovery(catalog: &Catalog, entries: &Entries<'_>) {
    for campaign in &catalog.campaigns {
        let mut targets = Vec::new();
        campaign.plans().for_each(|plan| catalog.plan(plan).root.targets(&mut targets));
        let quickest = targets.iter().map(|ix| catalog.target(*ix)).min_by_key(|target| target.min_duration);
        let Some(quickest) =
            quickest.filter(|t| !campaign.recovery.is_zero() && t.min_duration <= campaign.recovery)
        else {
            continue;
        };
        if let Some((_, field)) = entries.campaigns.iter().find(|(id, _)| *id == campaign.id.as_str()) {
            let least = quickest.min_duration.as_secs();
            let what = format!(
                "has a recovery_s of {} s, and target {} of its plan bills from {least} s on",
                campaign.recovery.as_secs(),
                quickest.id
            );
            field
                .wrong(what, &format!("a `recovery_s` below {least}, or 0: no recovery from early hang-ups"));
        }
    }
}

/// A range counts while target and buyer are open: where it never does, nobody meant that.
fn refuse_idle_ranges(catalog: &Catalog, entries: &Entries<'_>) {
    let never = |field: &Field<'_>, range: &TimeRange, whose: String, hours: Option<&Hours>| {
        let Some(hours) = hours.filter(|hours| !hours.meets(&range.hours)) else { return };
        let what = format!("has a range that never counts, {}: the hours {whose} are {hours}", range.hours);
        field.wrong(what, "ranges that lie within these hours for some time");
    };
    for (target, (_, field)) in catalog.targets.iter().zip(entries.targets.iter()) {
        let buyer = catalog.buyer(target.buyer);
        for range in &target.ranges {
            never(field, range, "of the target".to_owned(), target.hours.as_ref());
            never(field, range, format!("of buyer {}", buyer.id), buyer.hours.as_ref());
        }
    }
    for (buyer, (_, field)) in catalog.buyers.iter().zip(entries.buyers.iter()) {
        for range in &buyer.ranges {
            never(field, range, "of the buyer".to_owned(), buyer.hours.as_ref());
        }
    }
}

fn payout(field: &Field<'_>) -> Option<Payout> {
    let allowed = "{fixed = \"12.00\"} or {share = \"60%\"}";
    field.table(allowed, |r| {
        let (fixed, share) = (r.field("fixed"), r.field("share"));
        match (fixed.is_set(), share.is_set()) {
            (true, false) => fixed.money().map(Payout::Fixed),
            (false, true) => percent(&share, 0..=10_000).map(Payout::Share),
            (false, false) => {
                fixed.missing(allowed);
                None
            }
            (true, true) => {
                share.wrong("stands beside `fixed`", "one of the two");
                None
            }
        }
    })?
}

fn publisher(id: &str, field: &Field<'_>, entries: &Entries<'_>) -> Option<Publisher> {
    field.table("a table", |r| {
        let name = r.field("name").required().label(NAME_MAX);
        let zone = zone(&r.field("zone").required());
        let own = r.field("payouts").entries("{<campaign> = {fixed = \"12.00\"}}");
        let read = |(id, field): &(&str, Field<'_>)| {
            let (campaign, payout) = (entries.campaigns.find(id, field), payout(field));
            Some((CampaignIx(campaign?), payout?))
        };
        let mut payouts: Vec<_> = own.iter().filter_map(read).collect();
        payouts.sort_by_key(|(campaign, _)| *campaign);
        let hours = hours(&r.field("hours"));
        let floor = r.field("floor").money().unwrap_or(Money::ZERO);
        let floors = publisher_floors(r, entries);
        let blocked_callers = callers::lists(&r.field("blocked_callers"), entries);
        let (id, name, zone) = (PublisherId::parse(id).ok()?, name?, zone?);
        Some(Publisher { id, name, zone, payouts, hours, floor, floors, blocked_callers })
    })?
}

/// The plan that the one `default_plan` of all files names.
fn default_plan(entries: &Entries<'_>, dir: &Path, sink: &Sink) -> Option<PlanIx> {
    let Some((first, more)) = entries.default_plans.split_first() else {
        if entries.unread.contains("default_plan") {
            return None;
        }
        let allowed = "default_plan = \"<plan>\" at the top of one file: where calls to unknown numbers go";
        sink.push(Problem::of_file(&dir.display().to_string(), "default_plan", "is missing", allowed));
        return None;
    };
    for other in more {
        other.wrong(format!("stands twice: also at {}", first.place()), "once in all files");
    }
    entries.plans.named_by(first).map(PlanIx)
}

/// Every file with its name and length, so that no two catalogs share a text.
fn text<'s>(dir: &Path, sources: impl Iterator<Item = &'s Source>) -> String {
    let mut all = String::new();
    for source in sources {
        let path = Path::new(&source.name);
        let name = path.strip_prefix(dir).unwrap_or(path).display();
        all.push_str(&format!("# {name} ({} bytes)\n{}\n", source.text.len(), source.text));
    }
    all
}

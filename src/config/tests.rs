//! Whole configurations: the shipped one and small ones; what faults are called is in `faults`.
//!
//! A market small enough to read stands in [`MARKET`]; most rows change one line of it and say what that must give.

mod faults;
mod filters;
mod openings;
mod plans;
mod schedules;
mod simultaneous;
mod tables;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::domain::catalog::{CarrierDialect, Disclosure, Pricing};
use crate::domain::{Money, Node};

const SHIPPED: &str = "config/outcry.toml";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A carrier that signs.
const TWILIO: &str = r#"[carrier.tw]
dialect = "twilio"
public_url = "https://calls.example.com"
secrets = ["env:TWILIO"]
"#;

const MARKET: &str = r#"
default_plan = "auto"
[carrier.switch]
key_digest = "sha256:00000000000000000000000000000000000000000000000000000000000000aa"
[campaign.auto]
vertical = "auto"
plan = "auto"
floor = "10.00"
payout = { fixed = "8.00" }
[publisher.metro]
name = "Metro"
zone = "UTC"
[buyer.acme]
name = "Acme"
zone = "America/Chicago"
[target.acme-bid]
buyer = "acme"
address = "+15125550110"
endpoint = { url = "https://bid.acme.example/x?key=abc", secret = "env:ACME" }
[target.acme-phone]
buyer = "acme"
address = "+15125550111"
price = "25.00"
[[number]]
number = "+18005550100"
campaign = "auto"
publisher = "metro"
[plan.auto]
root = { sequential = [{ auction = ["acme-bid"] }, "acme-phone"] }
terminal = { hangup = "busy" }
"#;

thread_local! {
    static ASKED: RefCell<BTreeSet<(String, &'static str)>> = RefCell::default();
}

/// Readers tell which keys they ask for.
pub(super) fn asked(path: &str, key: &'static str) {
    ASKED.with_borrow_mut(|asked| asked.insert((path.to_owned(), key)));
}

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("outcry-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("catalog")).expect("a folder");
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("a file"));
        Folder(folder)
    }

    fn load(&self) -> Result<Loaded, Vec<Problem>> {
        load_with(&self.0.join("outcry.toml"), &env)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "ACME" | "FIXTURE_BID_SECRET" => Some(SECRET.to_owned()),
        "TWILIO" => Some(AUTH_TOKEN.to_owned()),
        "TWILIO_OLD" => Some("whsec_0123456789abcdef0123456789".to_owned()),
        "SHORT" => Some("0123456789".to_owned()),
        _ => None,
    }
}

fn market(text: &str) -> Result<Loaded, Vec<Problem>> {
    Folder::new(&[("outcry.toml", ""), ("catalog/market.toml", text)]).load()
}

/// [`MARKET`] with one text in the place of another.
fn with(old: &str, new: &str) -> String {
    assert!(MARKET.contains(old), "the market has no {old}");
    MARKET.replacen(old, new, 1)
}

fn loaded(text: &str) -> Loaded {
    market(text).unwrap_or_else(|problems| panic!("{}", rendered(&problems)))
}

fn rendered(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// Key, what is wrong, and the hint.
fn brief(problem: &Problem) -> String {
    let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint}?)"));
    format!("{}: {}{hint}", problem.key, problem.what)
}

fn shipped() -> Loaded {
    load_with(Path::new(SHIPPED), &|_| None).unwrap_or_else(|problems| panic!("{}", rendered(&problems)))
}

#[test]
fn the_shipped_configuration_is_a_market() {
    let Loaded { settings, catalog, text, warnings } = shipped();
    assert_eq!(rendered(&warnings), "");
    assert_eq!((settings.call_traffic.listen.port(), settings.admin.listen.port()), (8080, 8081));
    assert_eq!(settings.store.path, Path::new("config/../data/outcry.db"));
    let c = &catalog;
    assert_eq!((c.carriers.len(), c.campaigns.len(), c.publishers.len()), (2, 4, 4));
    assert_eq!((c.buyers.len(), c.targets.len(), c.numbers.len()), (12, 30, 40));
    for target in &c.targets {
        if let Pricing::Endpoint(endpoint) = &target.pricing {
            let buyer = &c.buyer(target.buyer).id;
            assert_eq!(endpoint.host, format!("bid.{buyer}.example"));
            assert!(endpoint.tls && endpoint.secret.is_none(), "{}", target.id);
        }
    }
    assert_eq!(c.targets.iter().filter(|target| target.endpoint().is_some()).count(), 16);
    for campaign in &c.campaigns {
        assert_eq!(
            c.numbers.iter().filter(|number| c.campaign(number.campaign).id == campaign.id).count(),
            10
        );
        let mut targets = Vec::new();
        c.plan(campaign.plan).root.targets(&mut targets);
        let targets = targets.iter().map(|ix| c.target(*ix));
        let awake = targets
            .filter(|t| t.endpoint().is_some() && t.hours.is_none() && c.buyer(t.buyer).hours.is_none());
        assert!(awake.count() >= 2, "{} has no auction at night", campaign.id);
    }
    assert!(c.buyers.iter().any(|buyer| buyer.disclosure == Disclosure::Full));
    assert!(text.contains("# numbers.csv ("), "the digest is taken over CSV files too");
    let campaigns = fs::read_to_string("config/catalog/campaigns.toml").expect("the file");
    assert_eq!(campaigns.lines().filter(|line| line.starts_with("ping_tags = [")).count(), c.campaigns.len());
}

#[test]
fn positions_follow_the_order_of_ids() {
    let catalog = shipped().catalog;
    assert!(catalog.targets.is_sorted_by_key(|target| &target.id));
    assert!(catalog.buyers.is_sorted_by_key(|buyer| &buyer.id));
    assert!(catalog.numbers.is_sorted_by_key(|number| number.number));
    let target =
        catalog.targets.iter().find(|target| target.id.as_str() == "rapid-roof-bid").expect("the target");
    assert_eq!(catalog.buyer(target.buyer).id.as_str(), "rapid-roof");
    assert_eq!((target.multiplier.0, target.min_duration.as_secs()), (12_000, 90));
    let plan = catalog.plan(catalog.default_plan);
    assert!(matches!(&plan.root, Node::Sequential(children) if children.is_empty()), "{}", plan.id);
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let plain = |text: &str| {
        let source = Source::new(SHIPPED.to_owned(), text.to_owned());
        let (table, problem) = source.parse();
        assert_eq!(problem, None);
        let sink = Sink::default();
        let file = File { source: &source, sink: &sink };
        let settings = file.root(table.get_ref(), |r| settings::read(r, Path::new(SHIPPED), &|_| None));
        (settings, rendered(&sink.into_sorted()))
    };
    shipped();
    plain(
        "call_traffic.tls = { cert_file = \"a\", key_file = \"b\" }\nadmin.keys = [{ digest = \"\", role = \"\" }]",
    );

    let text = fs::read_to_string(SHIPPED).expect("the file");
    let uncommented: String =
        text.lines().map(|line| format!("{}\n", default_line(line).unwrap_or(line))).collect();
    let (written, problems) = plain(&uncommented);
    assert_eq!(problems, "");
    assert_eq!(
        format!("{written:?}"),
        format!("{:?}", plain("").0),
        "a documented default is not the default"
    );

    for (path, key) in ASKED.take() {
        // Filters are those of targets, wherever they stand.
        let is_filter = path.contains(".when[");
        let top = if is_filter { "target" } else { path.split(['.', '[']).next().unwrap_or("") };
        let text = documentation_of(top);
        let forms = [format!("{key} ="), format!("[{key}."), format!("[[{key}]]"), format!("[{key}]")];
        assert!(forms.iter().any(|form| text.contains(form)), "{path}: {key} is not documented");
    }
}

/// A default that is commented out.
fn default_line(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The part of the shipped files that says what a table of this kind holds.
fn documentation_of(kind: &str) -> String {
    let read = |path: &str| fs::read_to_string(path).expect(path);
    let catalog = |name: &str| read(&format!("config/catalog/{name}.toml"));
    match kind {
        "target" => catalog("targets-auto"),
        "group" => catalog("plans"),
        "carrier" | "campaign" | "publisher" | "buyer" | "plan" | "number" | "caller_list" => {
            catalog(&format!("{kind}s"))
        }
        "" => {
            [
                "carriers",
                "campaigns",
                "publishers",
                "buyers",
                "targets-auto",
                "plans",
                "numbers",
                "caller_lists",
            ]
            .map(catalog)
            .concat()
                + &read(SHIPPED)
        }
        section => {
            let text = read(SHIPPED);
            let start = text.find(&format!("[{section}]")).unwrap_or_else(|| panic!("no section {section}"));
            text[start..].split("\n[").next().unwrap_or("").to_owned()
        }
    }
}

#[test]
fn comments_of_the_catalog_name_keys_that_exist() {
    shipped();
    let asked = ASKED.take();
    for kind in ["carrier", "campaign", "publisher", "buyer", "target", "plan", "number"] {
        let text = documentation_of(kind);
        for line in text.lines().take_while(|line| line.starts_with('#')) {
            let Some((key, _)) = line.trim_start_matches(['#', ' ']).split_once(" = ") else { continue };
            if key.contains(|c: char| !c.is_ascii_lowercase() && c != '_') {
                continue;
            }
            let known = asked.iter().any(|(path, name)| path.starts_with(kind) && *name == key);
            assert!(known, "{kind}: there is no key {key}");
        }
    }
}

#[test]
fn the_environment_wins_over_addresses_and_the_store() {
    let files = [("outcry.toml", "[admin]\nlisten = \"127.0.0.1:1\""), ("catalog/m.toml", MARKET)];
    let folder = Folder::new(&files);
    let given = |name: &str| match name {
        "OUTCRY_CALL_TRAFFIC_LISTEN" => Some("127.0.0.1:9000".to_owned()),
        "OUTCRY_ADMIN_LISTEN" => Some("[::1]:9001".to_owned()),
        "OUTCRY_STORE_PATH" => Some("elsewhere.db".to_owned()),
        other => env(other),
    };
    let file = folder.0.join("outcry.toml");
    let settings = load_with(&file, &given).expect("good").settings;
    assert_eq!(settings.call_traffic.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(settings.call_traffic.public_base_url, "http://127.0.0.1:9000");
    assert_eq!(settings.admin.listen.to_string(), "[::1]:9001");
    assert_eq!(settings.store.path, Path::new("elsewhere.db"));

    let bad = |name: &str| (name == "OUTCRY_ADMIN_LISTEN").then(|| "here".to_owned()).or_else(|| env(name));
    let problems = load_with(&file, &bad).expect_err("no address");
    assert_eq!(
        problems[0].to_string().split(';').next(),
        Some("$OUTCRY_ADMIN_LISTEN: admin.listen: \"here\" does not fit")
    );
    for (name, key) in ENVIRONMENT {
        let last = key.split('.').next_back().expect("a key");
        assert!(name.to_ascii_lowercase().ends_with(last), "{name}");
    }
}

#[test]
fn off_loopback_there_is_tls_or_a_proxy_and_a_key() {
    let text =
        "[call_traffic]\nlisten = \"0.0.0.0:80\"\n[admin]\nlisten = \"0.0.0.0:81\"\nbehind_proxy = true\n";
    let problems =
        Folder::new(&[("outcry.toml", text), ("catalog/m.toml", MARKET)]).load().expect_err("open doors");
    let briefs: Vec<String> = problems.iter().map(brief).collect();
    let expected = [
        "call_traffic: plain HTTP on 0.0.0.0:80, which is not loopback",
        "admin: 0.0.0.0:81 is not loopback and there is no key",
    ];
    assert_eq!(briefs, expected);
    let proxied = "[call_traffic]\nlisten = \"0.0.0.0:80\"\nbehind_proxy = true\n";
    let loaded = Folder::new(&[("outcry.toml", proxied), ("catalog/m.toml", MARKET)]).load().expect("good");
    assert_eq!(
        loaded.warnings.iter().map(|w| w.key.as_str()).collect::<Vec<_>>(),
        ["call_traffic.public_base_url"]
    );
}

#[test]
fn a_call_is_not_refused_sooner_than_it_gets_no_auction() {
    let load = |limits: &str| {
        let text = format!("[limits]\n{limits}");
        Folder::new(&[("outcry.toml", &text), ("catalog/m.toml", MARKET)]).load()
    };
    for limits in ["answer_delay_ms = 4\n", "auction_delay_ms = 101\n"] {
        let problems = load(limits).expect_err(limits);
        assert!(brief(&problems[0]).starts_with("limits: `answer_delay_ms` = "), "{problems:?}");
    }
    load("auction_delay_ms = 20\nanswer_delay_ms = 20\n").expect("both at once");
}

#[test]
fn an_admin_key_is_named_by_itself_or_by_its_place() {
    let load = |names: [&str; 3]| {
        let digest = format!("sha256:{}", "0".repeat(64));
        let key =
            |(role, name): (&str, &str)| format!("{{ digest = \"{digest}\", role = \"{role}\"{name} }}");
        let keys =
            ["operator", "viewer", "operator"].into_iter().zip(names).map(key).collect::<Vec<_>>().join(", ");
        let text = format!("[admin]\nkeys = [{keys}]\n");
        Folder::new(&[("outcry.toml", &text), ("catalog/m.toml", MARKET)]).load()
    };
    let keys = load(["", "", ", name = \"ann\""]).expect("good").settings.admin.keys;
    let told: Vec<(&str, bool)> = keys.iter().map(|key| (key.name.as_str(), key.may_change())).collect();
    assert_eq!(told, [("operator-1", true), ("viewer-2", false), ("ann", true)]);
    let long = format!(", name = \"{}\"", "x".repeat(41));
    let problems = load([", name = \"\"", ", name = 3", &long]).expect_err("no names");
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.key.ends_with(".name")), "{problems:?}");
}

#[test]
fn secrets_are_read_and_never_shown() {
    let good = loaded(MARKET);
    let target = &good.catalog.targets[0];
    let secret = target.endpoint().and_then(|endpoint| endpoint.secret.clone()).expect("a secret");
    assert_eq!(secret.0, b"0123456789abcdef0123456789abcdef");
    assert!(!format!("{good:?}").contains("012345"));

    let literal = "hunter2hunter2hunter2hunter2";
    let lines = [
        format!("secret = \"{literal}\""),
        format!("secret_file = \"none\", secret = \"{literal}\""),
        format!("bid_ttl_s = 1, secret = \"{literal}\""),
        format!("api_key = \"{literal}\""),
        format!("secrets = \"{literal}\""),
        format!("secret = \"{literal}"),
    ];
    for line in lines {
        let problems = market(&with("secret = \"env:ACME\"", &line)).expect_err("a literal");
        assert!(!rendered(&problems).contains(literal), "{}", rendered(&problems));
    }
    let url = with("https://bid.acme", &format!("https://me:{literal}@bid.acme"));
    assert!(!rendered(&market(&url).expect_err("a user")).contains(literal));
    let key = with("sha256:00", literal);
    assert!(!rendered(&market(&key).expect_err("the key itself")).contains(literal));
}

#[test]
fn a_carrier_that_signs_needs_no_key() {
    let text =
        format!("{MARKET}{TWILIO}").replace("[\"env:TWILIO\"]", "[\"env:TWILIO_OLD\", {secret_file=\"t\"}]");
    let files = [("outcry.toml", ""), ("catalog/m.toml", &text), ("catalog/t", &format!("{AUTH_TOKEN}\n"))];
    let good = Folder::new(&files).load().unwrap_or_else(|problems| panic!("{}", rendered(&problems)));
    let carrier = &good.catalog.carriers[1];
    assert_eq!(carrier.dialect, CarrierDialect::Twilio);
    assert_eq!(carrier.public_url.as_deref(), Some("https://calls.example.com"));
    let secrets: Vec<&[u8]> = carrier.secrets.iter().map(|secret| secret.0.as_slice()).collect();
    assert_eq!(
        secrets,
        [b"whsec_0123456789abcdef0123456789".as_slice(), AUTH_TOKEN.as_bytes()],
        "as they stand"
    );
    assert_eq!(carrier.key_digest, None);
    assert!(!format!("{good:?}").contains("0123456789abcdef"));

    let old = loaded(&format!("{MARKET}{TWILIO}")).catalog;
    let other = TWILIO.replace("calls.", "in.").replace("\"env:TWILIO\"", "\"env:ACME\", \"env:TWILIO\"");
    let key = format!("{other}key_digest = \"sha256:{}\"\n", "0".repeat(64));
    assert_eq!(
        diff(&old, &loaded(&format!("{MARKET}{key}")).catalog),
        [
            "carrier tw: key_digest none → set",
            "carrier tw: public_url https://calls.example.com → https://in.example.com",
            "carrier tw: secrets 1 set → 2 set",
        ]
    );
    let rotated = TWILIO.replace("env:TWILIO", "env:ACME");
    assert_eq!(diff(&old, &loaded(&format!("{MARKET}{rotated}")).catalog), ["carrier tw: secrets changed"]);

    let local = TWILIO.replace("https://calls.example.com", "http://127.0.0.1:8080");
    let open = "[call_traffic]\nlisten = \"0.0.0.0:80\"\nbehind_proxy = true\npublic_base_url = \"https://x.example\"";
    let files = [("outcry.toml", open), ("catalog/m.toml", &format!("{MARKET}{local}"))];
    let warnings = Folder::new(&files).load().expect("good").warnings;
    assert_eq!(
        warnings.iter().map(brief).collect::<Vec<_>>(),
        ["carrier.tw: is told to come back to http://127.0.0.1:8080, while calls come in on 0.0.0.0:80"]
    );
    assert_eq!(loaded(&format!("{MARKET}{local}")).warnings, [], "on loopback it comes back");
}

#[test]
fn what_is_probably_not_meant_is_warned_about() {
    let rows = [
        (
            "[plan.auto]",
            "[plan.idle]\nterminal = { hangup = \"busy\" }\n[plan.auto]",
            "plan.idle: is used by no campaign and is not the default",
        ),
        (
            "[buyer.acme]",
            "[buyer.bolt]\nname = \"Bolt\"\nzone = \"UTC\"\n[buyer.acme]",
            "buyer.bolt: has no target",
        ),
        (", \"acme-phone\"", "", "target.acme-phone: is in no plan"),
        (
            "[buyer.acme]",
            "[caller_list.dnc]\n[buyer.acme]",
            "caller_list.dnc: is named by nobody: it keeps no caller away",
        ),
        (
            "[publisher.metro]",
            "[campaign.b]\nvertical = \"b\"\nplan = \"auto\"\npayout = { share = \"50%\" }\n[publisher.metro]",
            "campaign.b: has no number: it gets no calls",
        ),
        (
            "\"acme-phone\"]",
            "{ weighted = [{ weight = 0, node = \"acme-phone\" }] }]",
            "plan.auto: has a weighted node whose weights are all 0",
        ),
        (
            "price = \"25.00\"",
            "price = \"9.99\"",
            "target.acme-phone: is never taken: its price 9.99 is below the floor 10.00 of campaign auto",
        ),
        (
            "\"8.00\"",
            "\"30.00\"",
            "target.acme-phone: is never taken: its price 25.00 is below 30.00, the least that leaves the margin of campaign auto",
        ),
        (
            "zone = \"UTC\"",
            "zone = \"UTC\"\nfloor = \"26.00\"",
            "target.acme-phone: is never taken: its price 25.00 is below the floor 26.00 of campaign auto",
        ),
        (
            "floor = \"10.00\"",
            "min_margin = \"70%\"",
            "target.acme-phone: is never taken: its price 25.00 is below 26.666667, the least that leaves the margin of campaign auto",
        ),
        (
            "floor = \"10.00\"",
            "floor = \"26.70\"\nmin_margin = \"70%\"",
            "target.acme-phone: is never taken: its price 25.00 is below the floor 26.70 of campaign auto",
        ),
        (
            "floor = \"10.00\"\npayout = { fixed = \"8.00\" }",
            "pricing = \"second\"\npayout = { share = \"50%\" }",
            "campaign.auto: has second price and no floor: a bidder without a runner-up pays next to nothing",
        ),
        (
            "secret = \"env:ACME\"",
            "max_bid = \"5\"",
            "target.acme-bid: is never taken: its max_bid 5.00 is below the floor 10.00 of campaign auto",
        ),
        (
            "secret = \"env:ACME\"",
            "bid_ttl_s = 5",
            "target.acme-bid: is never taken: its bids live 5 s, and one is handed out with at least 5 s left",
        ),
    ];
    assert_eq!(loaded(MARKET).warnings, []);
    for (old, new, expected) in rows {
        let loaded = loaded(&with(old, new));
        assert_eq!(loaded.warnings.iter().map(brief).collect::<Vec<_>>(), [expected]);
        assert!(loaded.warnings[0].line > 0, "a warning has a place");
    }
}

#[test]
fn a_target_that_is_never_open_is_refused() {
    for (buyers, own, expected) in [
        ("mon-fri 09:00-17:00", "fri 16:00-20:00", None),
        ("mon-fri 09:00-17:00", "sat 09:00-17:00\", \"2026-11-27 09:00-10:00", None),
        (
            "mon-fri 09:00-17:00",
            "sat 09:00-17:00",
            Some(
                "target.acme-phone: is never open: its hours are sat 09:00-17:00, and those of buyer acme are \
                 mon-fri 09:00-17:00",
            ),
        ),
    ] {
        let text = with("name = \"Acme\"", &format!("name = \"Acme\"\nhours = [\"{buyers}\"]"));
        let text = text.replace("price = \"25.00\"", &format!("price = \"25.00\"\nhours = [\"{own}\"]"));
        let said =
            market(&text).map(|_| ()).map_err(|problems| problems.iter().map(brief).collect::<Vec<_>>());
        assert_eq!(said.err().unwrap_or_default(), Vec::from_iter(expected), "{own}");
    }
}

/// Each in a zone of its own: 09:00 to 17:00 in Los Angeles is 17:00 to 01:00 UTC, an hour earlier in summer.
#[test]
fn a_number_that_is_never_open_is_refused_once_for_its_publisher_and_campaign() {
    let csv = "number,campaign,publisher\n+18005550190,auto,metro\n+18005550191,auto,metro\n";
    for (zone, own, rest) in [
        ("UTC", "mon-fri 16:59-18:00", None),
        ("UTC", "mon-fri 17:00-18:00", Some("mon-fri 17:00-18:00 in UTC")),
        ("America/Los_Angeles", "mon-fri 09:30-10:00", None),
        ("America/Los_Angeles", "mon-fri 10:00-12:00", Some("mon-fri 10:00-12:00 in America/Los_Angeles")),
        ("America/Los_Angeles", "mon-fri 10:00-12:00\", \"2026-11-27 09:00-10:00", None),
    ] {
        let publisher = format!("zone = \"{zone}\"\nhours = [\"{own}\"]");
        let campaign = "floor = \"10.00\"\nzone = \"UTC\"\nhours = [\"mon-fri 09:00-17:00\"]";
        let text = with("zone = \"UTC\"", &publisher).replace("floor = \"10.00\"", campaign);
        let text = format!("numbers_csv = \"numbers.csv\"\n{text}");
        let folder =
            Folder::new(&[("outcry.toml", ""), ("catalog/market.toml", &text), ("catalog/numbers.csv", csv)]);
        let problems = folder.load().map(|_| ()).err().unwrap_or_default();
        let said: Vec<String> = problems.iter().map(brief).collect();
        let expected = rest.map(|hours| {
            format!(
                "number: is never open: the hours of publisher metro are {hours}, and those of campaign auto are \
                 mon-fri 09:00-17:00 in UTC; nor are 2 more numbers"
            )
        });
        assert_eq!(said, Vec::from_iter(expected), "{own}");
        if let Some(problem) = problems.first() {
            let line = text.lines().position(|line| line.starts_with("number =")).expect("a number") + 1;
            assert!(problem.file.ends_with("market.toml"), "{}", problem.file);
            assert_eq!(problem.line, line, "{problem}");
        }
    }
}

#[test]
fn a_campaign_whose_targets_are_all_closed_is_warned_of() {
    let campaign = |hours: &str| {
        with("floor = \"10.00\"", &format!("floor = \"10.00\"\nzone = \"UTC\"\nhours = [\"{hours}\"]"))
    };
    let with_buyer =
        |text: &str| text.replace("name = \"Acme\"", "name = \"Acme\"\nhours = [\"mon-fri 09:00-17:00\"]");
    let said = "campaign.auto: sells no call: at all its hours every target of its plans is closed";
    for (text, expected) in [
        (campaign("sat 00:00-24:00"), None),
        (with_buyer(&campaign("sun 06:00-24:00")), Some(said)),
        (with_buyer(&campaign("daily 00:00-24:00")), None),
    ] {
        let warnings: Vec<String> = loaded(&text).warnings.iter().map(brief).collect();
        assert_eq!(warnings, Vec::from_iter(expected), "{text}");
    }
}

#[test]
fn a_difference_reads_like_a_log_and_shows_no_whole_number() {
    let rows = [
        ("price = \"25.00\"", "price = \"27.50\"", "target acme-phone: price 25.00 → 27.50"),
        (
            "floor = \"10.00\"",
            "floor = \"10.00\"\npricing = \"second\"",
            "campaign auto: pricing first → second",
        ),
        (
            "floor = \"10.00\"",
            "floor = \"10.00\"\nafter_failure = \"re_auction\"",
            "campaign auto: after_failure next_bid → re_auction",
        ),
        (
            "floor = \"10.00\"",
            "floor = \"10.00\"\nmin_margin = { amount = \"1\", percent = \"12.5%\" }",
            "campaign auto: min_margin 0.00 → 1.00 and 12.50%",
        ),
        (
            "floor = \"10.00\"",
            "floor = \"10.00\"\nfloors = [{ when = [{ state = [\"TX\"] }], floor = \"12\" }]",
            "campaign auto: floors none → 12.00 when state in TX",
        ),
        ("zone = \"UTC\"", "zone = \"UTC\"\nfloor = \"5\"", "publisher metro: floor 0.00 → 5.00"),
        (
            "zone = \"UTC\"",
            "zone = \"UTC\"\nfloors = { auto = \"5\" }",
            "publisher metro: floors none → auto 5.00",
        ),
        ("name = \"Acme\"", "name = \"Acme\"\npaused = true", "buyer acme: paused"),
        (
            "name = \"Acme\"",
            "name = \"Acme\"\nhours = [\"sat 10:00-12:00\"]",
            "buyer acme: hours always → sat 10:00-12:00",
        ),
        (
            "[buyer.acme]",
            "[caller_list.own]\n[buyer.acme]\nsuppressed_callers = [\"own\"]",
            "buyer acme: suppressed_callers none → own|caller_list own: added",
        ),
        ("+15125550111", "+15125550112", "target acme-phone: address changed"),
        ("key=abc", "key=abd", "target acme-bid: endpoint changed"),
        (", secret = \"env:ACME\"", "", "target acme-bid: secret set → none"),
        ("aa\"", "ab\"", "carrier switch: key_digest changed"),
        ("fixed = \"8.00\"", "share = \"62.5%\"", "campaign auto: payout 8.00 → 62.50%"),
        (
            "hangup = \"busy\"",
            "dial = \"+15125550119\"",
            "plan auto: terminal hangup busy → dial +1512•••••••",
        ),
        ("+18005550100", "+18005550109", "number +18005550109: added|number +18005550100: removed"),
        (
            ", \"acme-phone\"",
            "",
            "plan auto: root sequential(auction(floor 0.00: acme-bid), acme-phone) → sequential(auction(floor 0.00: acme-bid))",
        ),
    ];
    let old = loaded(MARKET).catalog;
    assert_eq!(diff(&old, &loaded(MARKET).catalog), Vec::<String>::new());
    for (from, to, expected) in rows {
        let new = loaded(&with(from, to)).catalog;
        assert_eq!(diff(&old, &new).join("|"), expected);
        assert_ne!(old.digest, new.digest);
    }
    let resumed = loaded(&with("name = \"Acme\"", "name = \"Acme\"\npaused = true")).catalog;
    assert_eq!(diff(&resumed, &old), ["buyer acme: resumed"]);
}

#[test]
fn the_digest_is_over_names_and_text() {
    let one = Folder::new(&[("outcry.toml", ""), ("catalog/a.toml", MARKET)]).load().expect("good");
    let same = Folder::new(&[("outcry.toml", ""), ("catalog/a.toml", MARKET)]).load().expect("good");
    let other = Folder::new(&[("outcry.toml", ""), ("catalog/b.toml", MARKET)]).load().expect("good");
    assert_eq!(one.catalog.digest, same.catalog.digest, "it does not depend on the folder");
    assert_ne!(one.catalog.digest, other.catalog.digest);
    assert_eq!(one.catalog.digest.len(), 64);
    let (again, text, _) = load_catalog(&shipped().settings).expect("good");
    assert_eq!((again.digest, text), (shipped().catalog.digest, shipped().text));
}

#[test]
fn ten_thousand_targets_load() {
    let mut text = MARKET.replace("[\"acme-bid\"]", "[\"acme-bid\", MORE]");
    let names: Vec<String> = (0..9_998).map(|n| format!("t{n:05}")).collect();
    for (n, name) in names.iter().enumerate() {
        text +=
            &format!("[target.{name}]\nbuyer = \"acme\"\naddress = \"+1512555{n:04}\"\nprice = \"20.00\"\n");
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let text = text.replace("MORE", &quoted.join(", "));
    let old = loaded(&text).catalog;
    assert_eq!(old.targets.len(), 10_000);
    let new = loaded(&text.replace("20.00", "21.00")).catalog;
    let lines = diff(&old, &new);
    assert_eq!(lines.len(), DIFF_LINES_MAX + 1);
    assert_eq!(lines[DIFF_LINES_MAX], "… and 9498 more changes");
    let Pricing::Fixed(price) = &new.targets[9_999].pricing else { panic!("a price") };
    assert_eq!(*price, Money::from_micros(21_000_000));
}

/// What is one record must fit into a segment, and it is said how large that has to be.
#[test]
fn a_plan_of_very_many_targets_wants_larger_segments() {
    let Loaded { mut settings, mut catalog, .. } = loaded(MARKET);
    let refused = |settings: &Settings, catalog: &Catalog| {
        let sink = Sink::default();
        super::catalog::refuse_small_segments(settings, catalog, &sink);
        sink.into_sorted()
    };
    let mb = |mb: u64| mb * 1024 * 1024;
    assert_eq!(settings.journal.kept.segment_bytes, mb(32));
    let node = catalog.plans[0].root.clone();
    // Two targets each: targets of the plan, size of a segment, the least that is told.
    for (targets, segment, least) in [
        (10_000, 8, None),
        (20_000, 8, None),
        (24_000, 8, Some(9)),
        (100_000, 32, Some(33)),
        (100_000, 33, None),
    ] {
        catalog.plans[0].root = Node::Sequential(vec![node.clone(); targets / 2]);
        settings.journal.kept.segment_bytes = mb(segment);
        let problems = refused(&settings, &catalog);
        assert_eq!(problems.len(), usize::from(least.is_some()), "{targets}: {}", rendered(&problems));
        for (problem, least) in problems.iter().zip(least) {
            let said = problem.to_string();
            let what = format!(
                "{segment} MB are too small for one record of a step of plan auto with {targets} targets"
            );
            assert!(
                said.contains("outcry.toml") && said.contains("journal.segment_mb") && said.contains(&what),
                "{said}"
            );
            assert!(said.contains(&format!("at least {least} with this catalog")), "{said}");
        }
    }
}

/// Whatever became of the files since: the catalog is what its text says, but for secrets.
#[test]
fn a_catalog_is_read_anew_from_its_text() {
    let loaded = shipped();
    let mut settings = loaded.settings.clone();
    settings.catalog_dir = "/nowhere/catalog".into();
    settings.pings.allow_private_addresses = false;
    let again = load_stored(&settings, &loaded.catalog.digest, &loaded.text).expect("as it was");
    assert_eq!(again.digest, loaded.catalog.digest);
    let differing = diff(&loaded.catalog, &again);
    let is_not_in_it = |line: &String| line.contains("secret") || line.contains("ca_file");
    assert!(differing.iter().all(is_not_in_it), "{differing:?}");
    assert_eq!(again.numbers.len(), loaded.catalog.numbers.len(), "those of CSV files too");

    let digest = |text: &str| crate::runtime::hex(&<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()));
    let changed = format!(
        "{}# changes made at run time\n# buyer acme-auto: paused = true (file: false)\n",
        loaded.text
    );
    let paused = load_stored(&settings, &digest(&changed), &changed).expect("with what was changed");
    let found = paused.buyers.iter().find(|buyer| buyer.id.as_str() == "acme-auto").expect("there");
    assert!(found.paused);

    let damaged = load_stored(&settings, &loaded.catalog.digest, &changed);
    assert!(matches!(damaged, Err(StoredFault::Damaged(_))), "{damaged:?}");
    let unknown = format!("{}# something else\n", loaded.text);
    let unknown = load_stored(&settings, &digest(&unknown), &unknown);
    assert!(matches!(unknown, Err(StoredFault::Unknown { .. })), "{unknown:?}");
    let refused = "# a.toml (5 bytes)\na = 1\n";
    let refused = load_stored(&settings, &digest(refused), refused);
    assert!(matches!(refused, Err(StoredFault::Refused { .. })), "{refused:?}");
    // Nothing of it is left behind: the next catalog is read from the disk.
    assert!(shipped().catalog.digest == loaded.catalog.digest);
}

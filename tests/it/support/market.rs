//! A small market as configuration text: one campaign, one publisher, one number, two carriers, and whatever buyers and
//! targets a test adds.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Key of the carrier `sw`.
pub const KEY: &str = "key-of-sw";
/// Key of the carrier `other`.
pub const OTHER_KEY: &str = "key-of-other";
/// The tracking number of the campaign `auto`.
pub const NUMBER: &str = "+18005550100";
/// A caller in Texas.
pub const CALLER: &str = "+15125550123";

/// The settings every test has: free ports, JSON log, endpoints on loopback. Ends inside `[pings]`. What is written never
/// depends on how full the disk is that tests run on.
pub const SETTINGS: &str = "[call_traffic]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n\
    [admin]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store/outcry.db\"\n[journal]\nsegment_mb = 1\nfree_percent = 0\n[log]\nformat = \"json\"\n\
    [pings]\nallow_private_addresses = true\n";

/// What the catalog says.
#[derive(Clone)]
pub struct Market {
    campaign: String,
    publisher: String,
    plan: String,
    rest: String,
    is_patient: bool,
}

impl Market {
    /// A market whose plan has this `root`; its calls end in `hangup busy` when nobody takes them.
    pub fn new(root: &str) -> Market {
        Market {
            campaign: "deadline_ms = 300\npayout = { fixed = \"5.00\" }\n".to_owned(),
            publisher: String::new(),
            plan: format!("root = {root}\nterminal = {{ hangup = \"busy\" }}\n"),
            rest: String::new(),
            is_patient: false,
        }
    }

    /// Replaces the campaign's lines beside `vertical`, `ping_tags` and `plan`, unless they name `plans`.
    pub fn campaign(mut self, lines: &str) -> Market {
        self.campaign = format!("{lines}\n");
        self
    }

    /// Gives the publisher further lines.
    pub fn publisher(mut self, lines: &str) -> Market {
        self.publisher = format!("{lines}\n");
        self
    }

    /// Gives bidders as long as the carrier's ceiling allows, whatever the campaign's lines say: for tests of what is
    /// said, not of when. An auction whose bidders all answer ends with the last answer.
    pub fn patient(mut self) -> Market {
        self.is_patient = true;
        self
    }

    /// Replaces the plan's lines.
    pub fn plan(mut self, lines: &str) -> Market {
        self.plan = format!("{lines}\n");
        self
    }

    /// A buyer with these lines beside name and zone (UTC).
    pub fn buyer(mut self, id: &str, lines: &str) -> Market {
        let zone = if lines.contains("zone =") { "" } else { "zone = \"UTC\"\n" };
        writeln!(self.rest, "[buyer.{id}]\nname = \"{id}\"\n{zone}{lines}").unwrap();
        self
    }

    /// A target of this buyer with these lines beside its address.
    pub fn target(mut self, id: &str, buyer: &str, lines: &str) -> Market {
        let address = if lines.contains("address =") { "" } else { "address = \"+15125550900\"\n" };
        writeln!(self.rest, "[target.{id}]\nbuyer = \"{buyer}\"\n{address}{lines}").unwrap();
        self
    }

    /// A buyer and its one target of the same name, bidding at `url`.
    pub fn bidder(self, id: &str, url: &str) -> Market {
        self.buyer(id, "").target(id, id, &format!("endpoint = {{ url = \"{url}\" }}"))
    }

    /// Anything else.
    pub fn and(mut self, text: &str) -> Market {
        writeln!(self.rest, "{text}").unwrap();
        self
    }

    /// The catalog's text.
    pub fn text(&self) -> String {
        let digest = |key: &str| -> String {
            Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let is_deadline = |line: &&str| line.starts_with("deadline_ms");
        let mut campaign = self.campaign.clone();
        if self.is_patient {
            let others = self.campaign.lines().filter(|line| !is_deadline(line));
            campaign = others.chain(["deadline_ms = 900"]).map(|line| format!("{line}\n")).collect();
        }
        let plan = if campaign.contains("plans =") { "" } else { "plan = \"main\"\n" };
        format!(
            "default_plan = \"nobody\"\n\
             [carrier.sw]\nkey_digest = \"sha256:{}\"\n\
             [carrier.other]\nkey_digest = \"sha256:{}\"\n\
             [campaign.auto]\nvertical = \"auto\"\n{plan}ping_tags = [\"load_call\", \"case\"]\n{}\
             [publisher.pub]\nname = \"Pub\"\nzone = \"UTC\"\n{}\
             [[number]]\nnumber = \"{NUMBER}\"\ncampaign = \"auto\"\npublisher = \"pub\"\n\
             [plan.main]\n{}\
             [plan.nobody]\nterminal = {{ message = \"Nobody is here.\" }}\n{}",
            digest(KEY),
            digest(OTHER_KEY),
            campaign,
            self.publisher,
            self.plan,
            self.rest
        )
    }

    /// Writes settings and catalog. `settings` is added to those every test has. A call whose attempt failed is over at
    /// once unless they say how long the next step is waited for.
    pub fn write(&self, folder: &Path, settings: &str) {
        let at_once = "[calls]\nnext_within_s = 0\n";
        let settings = match (settings.contains("next_within_s"), settings.contains("[calls]\n")) {
            (true, _) => settings.to_owned(),
            (false, true) => settings.replace("[calls]\n", at_once),
            (false, false) => format!("{settings}\n{at_once}"),
        };
        self.write_as(folder, &format!("{SETTINGS}{settings}\n"));
    }

    /// Writes the catalog, and these settings. Unless they say how late a worker may be, nothing is too late: what a
    /// machine that does other things too makes of a test is not what the test is about.
    pub fn write_as(&self, folder: &Path, settings: &str) {
        let patient = "[limits]\nauction_delay_ms = 60000\nanswer_delay_ms = 60000\n";
        let settings = match (settings.contains("auction_delay_ms"), settings.contains("[limits]\n")) {
            (true, _) => settings.to_owned(),
            (false, true) => settings.replace("[limits]\n", patient),
            (false, false) => format!("{settings}\n{patient}"),
        };
        fs::write(folder.join("outcry.toml"), settings).unwrap();
        self.write_catalog(folder);
    }

    /// Writes the catalog only, as an operator does before a reload.
    pub fn write_catalog(&self, folder: &Path) {
        fs::write(folder.join("catalog/market.toml"), self.text()).unwrap();
    }
}

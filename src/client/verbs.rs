//! `outcry buyer …` and `outcry campaign …`: their arguments, and what each asks of a running exchange.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ClientError, Remote};
use crate::domain::change::{Entity, Key};
use crate::domain::{BuyerId, CampaignId, TargetId};
use crate::report::{EntityValues, Format};

/// How the running exchange is reached, and how its answer is printed.
#[derive(Args, Clone, Debug)]
pub struct Reach {
    /// The settings file of the running exchange: it says where its admin listener is.
    #[arg(long, value_name = "FILE", default_value = "config/outcry.toml")]
    pub config: PathBuf,
    /// File with an admin key; without it the environment variable OUTCRY_KEY, where the exchange wants one.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// A buyer, or one target of it.
#[derive(Args, Clone, Debug)]
pub struct Whom {
    /// The buyer's id.
    #[arg(value_name = "BUYER", value_parser = buyer_id)]
    buyer: BuyerId,
    /// Only this target of it.
    #[arg(long, value_name = "TARGET", value_parser = target_id)]
    target: Option<TargetId>,
    #[command(flatten)]
    reach: Reach,
}

/// What is done with a buyer.
#[derive(Subcommand, Clone, Debug)]
pub enum BuyerVerb {
    /// Hand it no more calls, from the next hold on. Calls in progress go on.
    #[command(
        after_help = "Examples:\n  outcry buyer pause acme-auto\n  outcry buyer pause acme-auto --target acme-auto-phone --key-file ops.key"
    )]
    Pause(Whom),
    /// Let it take calls again.
    #[command(
        after_help = "Examples:\n  outcry buyer resume acme-auto\n  outcry buyer resume acme-auto --target acme-auto-phone"
    )]
    Resume(Whom),
    /// Set its limits: a number, `none` for no limit, or `file` for what the file says.
    #[command(
        after_help = "Examples:\n  outcry buyer caps acme-auto --concurrency 5 --daily-billable none\n  outcry buyer caps acme-auto --target acme-auto-phone --concurrency file"
    )]
    #[command(group(clap::ArgGroup::new("caps").required(true).multiple(true).args(["concurrency", "daily_billable"])))]
    Caps {
        /// Whose.
        #[command(flatten)]
        whom: Whom,
        /// Calls at once.
        #[arg(long, value_name = "N|none|file", value_parser = concurrency)]
        concurrency: Option<Limit>,
        /// Billable calls a day.
        #[arg(long, value_name = "N|none|file", value_parser = daily_billable)]
        daily_billable: Option<Limit>,
    },
    /// What is in force, what the file says, and whose change it is where they differ.
    #[command(
        after_help = "Examples:\n  outcry buyer show acme-auto\n  outcry buyer show acme-auto --target acme-auto-phone --format json"
    )]
    Show(Whom),
}

/// A campaign.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// The campaign's id.
    #[arg(value_name = "CAMPAIGN", value_parser = campaign_id)]
    campaign: CampaignId,
    #[command(flatten)]
    reach: Reach,
}

/// What is done with a campaign.
#[derive(Subcommand, Clone, Debug)]
pub enum CampaignVerb {
    /// Give its calls the terminal action of its plan, from the next hold on.
    #[command(
        after_help = "Examples:\n  outcry campaign pause auto-us\n  outcry campaign pause auto-us --key-file ops.key"
    )]
    Pause(Which),
    /// Let its calls be sold again.
    #[command(
        after_help = "Examples:\n  outcry campaign resume auto-us\n  outcry campaign resume auto-us --config /etc/outcry/outcry.toml"
    )]
    Resume(Which),
    /// What is in force, what the file says, and whose change it is where they differ.
    #[command(
        after_help = "Examples:\n  outcry campaign show auto-us\n  outcry campaign show auto-us --format json"
    )]
    Show(Which),
}

/// A limit as it goes into a request: a number, `"none"`, or null for the file's.
#[derive(Clone, Debug)]
pub struct Limit(Value);

fn concurrency(text: &str) -> Result<Limit, String> {
    limit(Key::Concurrency, text)
}

fn daily_billable(text: &str) -> Result<Limit, String> {
    limit(Key::DailyBillable, text)
}

fn limit(key: Key, text: &str) -> Result<Limit, String> {
    match (text, text.parse::<u64>().ok().filter(|most| key.limit(*most).is_some())) {
        ("file", _) => Ok(Limit(Value::Null)),
        ("none", _) => Ok(Limit(json!("none"))),
        (_, Some(most)) => Ok(Limit(json!(most))),
        (_, None) => Err(format!("{}, or \"file\" for what the file says", key.allowed())),
    }
}

fn buyer_id(text: &str) -> Result<BuyerId, String> {
    BuyerId::parse(text).map_err(|error| error.to_string())
}

fn target_id(text: &str) -> Result<TargetId, String> {
    TargetId::parse(text).map_err(|error| error.to_string())
}

fn campaign_id(text: &str) -> Result<CampaignId, String> {
    CampaignId::parse(text).map_err(|error| error.to_string())
}

impl BuyerVerb {
    /// How the exchange is reached.
    pub fn reach(&self) -> &Reach {
        match self {
            BuyerVerb::Pause(whom) | BuyerVerb::Resume(whom) | BuyerVerb::Show(whom) => &whom.reach,
            BuyerVerb::Caps { whom, .. } => &whom.reach,
        }
    }

    /// Asks the exchange; what is in force afterwards.
    pub fn run(&self, remote: &Remote, by: Option<&str>) -> Result<EntityValues, ClientError> {
        match self {
            BuyerVerb::Show(whom) => remote.values(&whom.entity(remote)?),
            BuyerVerb::Pause(whom) => remote.change(&whom.entity(remote)?, &[(Key::Paused, json!(true))], by),
            BuyerVerb::Resume(whom) => {
                remote.change(&whom.entity(remote)?, &[(Key::Paused, json!(false))], by)
            }
            BuyerVerb::Caps { whom, concurrency, daily_billable } => {
                let caps = [(Key::Concurrency, concurrency), (Key::DailyBillable, daily_billable)];
                let given = |(key, limit): (Key, &Option<Limit>)| Some((key, limit.as_ref()?.0.clone()));
                let caps: Vec<(Key, Value)> = caps.into_iter().filter_map(given).collect();
                remote.change(&whom.entity(remote)?, &caps, by)
            }
        }
    }
}

impl CampaignVerb {
    /// How the exchange is reached.
    pub fn reach(&self) -> &Reach {
        match self {
            CampaignVerb::Pause(which) | CampaignVerb::Resume(which) | CampaignVerb::Show(which) => {
                &which.reach
            }
        }
    }

    /// Asks the exchange; what is in force afterwards.
    pub fn run(&self, remote: &Remote, by: Option<&str>) -> Result<EntityValues, ClientError> {
        match self {
            CampaignVerb::Show(which) => remote.values(&which.entity()),
            CampaignVerb::Pause(which) => remote.change(&which.entity(), &[(Key::Paused, json!(true))], by),
            CampaignVerb::Resume(which) => remote.change(&which.entity(), &[(Key::Paused, json!(false))], by),
        }
    }
}

impl Which {
    fn entity(&self) -> Entity {
        Entity::Campaign(self.campaign.clone())
    }
}

impl Whom {
    /// The buyer, or its target: one that is another's is refused, so that a slip pauses nobody else.
    fn entity(&self, remote: &Remote) -> Result<Entity, ClientError> {
        let Some(target) = &self.target else { return Ok(Entity::Buyer(self.buyer.clone())) };
        let entity = Entity::Target(target.clone());
        match remote.values(&entity)?.buyer {
            Some(owner) if owner != self.buyer.as_str() => Err(ClientError::Refused(format!(
                "target {target} belongs to buyer {owner}, not to {}: nothing was changed",
                self.buyer
            ))),
            Some(_) | None => Ok(entity),
        }
    }
}

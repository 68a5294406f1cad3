//! A call as one buyer or one publisher may see it: made of the whole document, and never more than its own part of it.
//!
//! A buyer sees its own targets, what became of them and why, its own attempts and its own entries: no other buyer's name or
//! price, not who the publisher was, and of the caller what its pings say. A publisher sees that its call came, how it
//! ended, and what it earns: no buyer and no buyer's price.

use serde::Serialize;
use utoipa::ToSchema;

use super::explain::{Explained, ExplainedAttempt};
use super::rows::EntryRow;
use super::rules::{About, RuleRow};
use crate::domain::catalog::Disclosure;
use crate::domain::{Buyer, Campaign, Catalog, Filter};

/// For whom a call is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum As {
    /// A buyer, by its id.
    Buyer(String),
    /// A publisher, by its id.
    Publisher(String),
}

impl As {
    /// Reads `buyer:acme` or `publisher:p7`.
    pub fn parse(text: &str) -> Option<As> {
        match text.split_once(':')? {
            ("buyer", id) if !id.is_empty() => Some(As::Buyer(id.to_owned())),
            ("publisher", id) if !id.is_empty() => Some(As::Publisher(id.to_owned())),
            _ => None,
        }
    }
}

/// A call, whole or cut.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Told {
    /// For operators.
    Whole(Box<Explained>),
    /// For one buyer.
    Buyer(Box<ForBuyer>),
    /// For one publisher.
    Publisher(Box<ForPublisher>),
}

/// What a buyer may see of a call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ForBuyer {
    /// The call.
    pub call_id: String,
    /// The buyer it is cut for.
    pub buyer: String,
    /// Its arrival, to the second.
    #[schema(example = "2026-11-20T09:00:00Z")]
    pub at: Option<String>,
    /// The campaign.
    pub campaign: Option<String>,
    /// Never billed.
    pub test: Option<bool>,
    /// What became of its targets, step by step.
    pub outcomes: Vec<OwnOutcome>,
    /// Its own attempts.
    pub attempts: Vec<OwnAttempt>,
    /// What was booked on it.
    pub entries: Vec<OwnEntry>,
}

/// What became of one target of one's own in one step.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OwnOutcome {
    /// The step.
    pub step: u32,
    /// The target.
    pub target: String,
    /// The one reason.
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    /// Its own price.
    pub amount: Option<String>,
    /// Its ping.
    pub ping_id: Option<String>,
    /// From ping written to reply read, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The rules that were held against the call, as far as they are its own business.
    pub rules: Vec<RuleRow>,
}

/// One attempt at a target of one's own.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OwnAttempt {
    /// Its number within the call.
    pub attempt: u32,
    /// The target; none for a publisher.
    pub target: Option<String>,
    /// The price held; none for a publisher.
    pub price: Option<String>,
    /// When it was handed out.
    pub offered_at: String,
    /// How it ended; none while it is in progress.
    pub end: Option<OwnEnd>,
}

/// How a talk ended.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OwnEnd {
    /// When, by our clock.
    pub ended_at: String,
    /// Whether target and caller were connected.
    pub connected: bool,
    /// Talk time in milliseconds.
    pub talk_ms: u64,
    /// `caller target carrier exchange unknown`.
    pub ended_by: String,
    /// The reason of the end; none for a publisher.
    pub reason: Option<String>,
    /// Whether the buyer owes, or the publisher earns.
    pub counts: bool,
}

/// One entry on one's own account.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OwnEntry {
    /// `revenue payout`.
    pub kind: String,
    /// Signed as in the ledger.
    #[schema(example = "25.50")]
    pub amount: String,
    /// When it was booked.
    pub booked_at: String,
}

/// What a publisher may see of a call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ForPublisher {
    /// The call.
    pub call_id: String,
    /// The publisher it is cut for.
    pub publisher: String,
    /// Its arrival.
    pub at: Option<String>,
    /// The campaign.
    pub campaign: Option<String>,
    /// The number dialled.
    pub number: Option<String>,
    /// Its own label.
    pub sub_id: Option<String>,
    /// The caller, masked.
    pub caller: Option<String>,
    /// The caller's state.
    pub state: Option<String>,
    /// Never billed.
    pub test: Option<bool>,
    /// `dial gather voicemail message hangup`.
    pub action: Option<String>,
    /// How many attempts it has had.
    pub attempts: usize,
    /// How it ended.
    pub end: Option<OwnEnd>,
    /// What was booked for it.
    pub entries: Vec<OwnEntry>,
}

impl Explained {
    /// The call as one may see it; `None` where it has no part in it. `catalog` is that of the decision: without it no rule
    /// is shown to a buyer, as nobody can say which of them are its business.
    pub fn cut(self, who: &As, catalog: Option<&Catalog>) -> Option<Told> {
        match who {
            As::Buyer(id) => self.for_buyer(id, catalog).map(|told| Told::Buyer(Box::new(told))),
            As::Publisher(id) => self.for_publisher(id).map(|told| Told::Publisher(Box::new(told))),
        }
    }

    fn for_buyer(self, id: &str, catalog: Option<&Catalog>) -> Option<ForBuyer> {
        let buyer = catalog.and_then(|catalog| catalog.buyers.iter().find(|buyer| buyer.id.as_str() == id));
        let campaign = self.campaign.as_deref();
        let campaign = catalog
            .and_then(|catalog| catalog.campaigns.iter().find(|one| Some(one.id.as_str()) == campaign));
        let mut outcomes = Vec::new();
        for step in self.steps {
            for outcome in step.outcomes.into_iter().filter(|outcome| outcome.buyer == id) {
                let rules = outcome.rules.unwrap_or_default();
                outcomes.push(OwnOutcome {
                    step: step.step,
                    target: outcome.target,
                    reason: outcome.reason,
                    meaning: outcome.meaning,
                    amount: outcome.amount,
                    ping_id: outcome.ping_id,
                    latency_ms: outcome.latency_ms,
                    rules: match (buyer, campaign) {
                        (Some(buyer), Some(campaign)) => {
                            rules.into_iter().map(|rule| own_rule(rule, buyer, campaign)).collect()
                        }
                        _ => Vec::new(),
                    },
                });
            }
        }
        let attempts: Vec<OwnAttempt> = self
            .attempts
            .iter()
            .filter(|attempt| attempt.buyer.as_deref() == Some(id))
            .map(|attempt| OwnAttempt {
                attempt: attempt.attempt,
                target: attempt.target.clone(),
                price: attempt.price.clone(),
                offered_at: to_the_second(&attempt.offered_at),
                end: own_end(attempt, |end| (Some(end.reason.clone()), end.billable)),
            })
            .collect();
        if outcomes.is_empty() && attempts.is_empty() {
            return None;
        }
        let mut entries = own_entries(self.ledger.entries, &format!("buyer:{id}"));
        entries.iter_mut().for_each(|entry| entry.booked_at = to_the_second(&entry.booked_at));
        Some(ForBuyer {
            entries,
            call_id: self.call_id,
            buyer: id.to_owned(),
            at: self.at.map(|at| to_the_second(&at)),
            campaign: self.campaign,
            test: self.decision.map(|decision| decision.test),
            outcomes,
            attempts,
        })
    }

    fn for_publisher(self, id: &str) -> Option<ForPublisher> {
        if self.publisher.as_deref() != Some(id) {
            return None;
        }
        let decision = self.decision;
        // Of the attempt that decided the call: which it was is the buyer's business.
        let end = self.end.map(|end| OwnEnd {
            ended_at: end.facts.ended_at,
            connected: end.facts.connected,
            talk_ms: end.facts.talk_ms,
            ended_by: end.facts.ended_by,
            reason: None,
            counts: end.facts.payable,
        });
        Some(ForPublisher {
            call_id: self.call_id,
            publisher: id.to_owned(),
            at: self.at,
            campaign: self.campaign,
            number: decision.as_ref().map(|decision| decision.number.clone()),
            sub_id: decision.as_ref().and_then(|decision| decision.sub_id.clone()),
            caller: decision.as_ref().map(|decision| decision.caller.clone()),
            state: decision.as_ref().and_then(|decision| decision.state.clone()),
            test: decision.as_ref().map(|decision| decision.test),
            action: decision.map(|decision| decision.action),
            attempts: self.attempts.len(),
            end,
            entries: own_entries(self.ledger.entries, &format!("publisher:{id}")),
        })
    }
}

fn own_end(
    attempt: &ExplainedAttempt,
    judged: impl Fn(&super::explain::ExplainedFacts) -> (Option<String>, bool),
) -> Option<OwnEnd> {
    let end = attempt.end.as_ref()?;
    let (reason, counts) = judged(end);
    Some(OwnEnd {
        ended_at: to_the_second(&end.ended_at),
        connected: end.connected,
        talk_ms: end.talk_ms,
        ended_by: end.ended_by.clone(),
        reason,
        counts,
    })
}

fn own_entries(entries: Vec<EntryRow>, account: &str) -> Vec<OwnEntry> {
    let own = entries.into_iter().filter(|entry| entry.account == account);
    own.map(|entry| OwnEntry { kind: entry.kind, amount: entry.amount, booked_at: entry.booked_at }).collect()
}

/// Buyers must not be able to join what they see.
fn to_the_second(at: &str) -> String {
    at.split_once('.').map_or_else(|| at.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// A rule as the buyer may see it: whom a call came from is hidden, and so is what its pings would not say.
fn own_rule(row: RuleRow, buyer: &Buyer, campaign: &Campaign) -> RuleRow {
    match &row.about {
        About::Own => row,
        About::WholeCall => RuleRow { saw: String::new(), ..row },
        About::Path => {
            RuleRow { rule: "the operator's plan leads the call to it".to_owned(), saw: String::new(), ..row }
        }
        About::Floor(floor) if buyer.show_floor => RuleRow { rule: format!("floor {floor}"), ..row },
        About::Floor(_) => RuleRow { rule: "floor".to_owned(), ..row },
        About::Margin => RuleRow { rule: "margin".to_owned(), ..row },
        About::Filter(filter) if is_hidden(filter, campaign) => {
            RuleRow { rule: "a condition of the operator".to_owned(), saw: String::new(), ..row }
        }
        About::Filter(filter) => match buyer.disclosure {
            _ if asks_attestation(filter) => RuleRow { saw: String::new(), ..row },
            Disclosure::None => RuleRow { saw: String::new(), ..row },
            Disclosure::Token | Disclosure::Full => row,
        },
    }
}

/// Whether a filter looks at the attestation: of a letter that failed verification pings say nothing, nor of any other what
/// came of that.
fn asks_attestation(filter: &Filter) -> bool {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().any(asks_attestation),
        Filter::Not(part) => asks_attestation(part),
        other => matches!(other, Filter::Attestation(_) | Filter::Verified(_)),
    }
}

/// Whether a filter names where a call came from, or a tag that does not leave in pings.
fn is_hidden(filter: &Filter, campaign: &Campaign) -> bool {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().any(|part| is_hidden(part, campaign)),
        Filter::Not(part) => is_hidden(part, campaign),
        Filter::Publisher(_) | Filter::Campaign(_) | Filter::SubId(_) | Filter::Number(_) => true,
        Filter::Tag(key, _) => !campaign.ping_tags.contains(key),
        Filter::State(_)
        | Filter::Country(_)
        | Filter::AreaCode(_)
        | Filter::Zip(_)
        | Filter::Near(..)
        | Filter::Hours(..)
        | Filter::Attestation(_)
        | Filter::Verified(_)
        | Filter::Anonymous(_) => false,
    }
}

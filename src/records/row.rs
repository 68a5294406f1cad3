//! What the exchange remembers for good, in Rust: one definition for every store behind it.
//!
//! Rows are facts that have happened; each is applied once. No column name and no SQL here, and no caller's number:
//! callers appear masked and as a token keyed for this deployment.

use std::borrow::Cow;
use std::sync::Arc;

use crate::domain::caller_list::ListVerb;
use crate::domain::change::{Noted, Origin};
use crate::domain::{
    BuyerId, CallId, CallerListId, CampaignId, CarrierId, Money, PingId, PublisherId, Reason, TargetId,
    Timestamp, Verified,
};

pub use crate::domain::EndCounts;
pub use crate::routing::ring_tree::Turn;

/// One fact for the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A call was given its first decision: one per call.
    Decided(Box<DecidedRow>),
    /// The outcomes of every target of one step. Written again, final, when pings were outstanding.
    Trail(Box<TrailRow>),
    /// A carrier's event was taken.
    Event(Box<EventRow>),
    /// An attempt was handed out, or its end became known.
    Attempt(Box<AttemptRow>),
    /// A call ended, or what was known of its end changed.
    Ended(Box<EndedRow>),
    /// Money moved.
    Ledger(LedgerRow),
    /// The text of a catalog, once per digest.
    Catalog(CatalogRow),
    /// Something was changed at run time, or taken back.
    Change(Box<Noted>),
    /// A caller list was changed.
    Listed(Box<ListedRow>),
}

/// A row on its way from the journal to the store: a step stays packed, as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<'a> {
    /// Any other.
    Row(Row),
    /// The outcomes of every target of one step.
    Trail(PackedTrail<'a>),
}

/// [`TrailRow`], packed.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedTrail<'a> {
    /// The call.
    pub call_id: CallId,
    /// The step.
    pub step: u32,
    /// See [`TrailRow::is_final`].
    pub is_final: bool,
    /// Of a test call: in no hourly count.
    pub test: bool,
    /// All the rest.
    pub doc: Cow<'a, [u8]>,
}

/// What the store takes.
#[derive(Clone, Copy, Debug)]
pub enum AsFact<'a> {
    /// A row.
    Row(&'a Row),
    /// A step that is packed.
    Trail(&'a PackedTrail<'a>),
}

impl<'a> From<&'a Row> for AsFact<'a> {
    fn from(row: &'a Row) -> AsFact<'a> {
        AsFact::Row(row)
    }
}

impl<'a> From<&'a Fact<'_>> for AsFact<'a> {
    fn from(fact: &'a Fact<'_>) -> AsFact<'a> {
        match fact {
            Fact::Row(row) => AsFact::Row(row),
            Fact::Trail(trail) => AsFact::Trail(trail),
        }
    }
}

/// A change of a caller list: who was on it is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// The list.
    pub list: CallerListId,
    /// What was done.
    pub verb: ListVerb,
    /// Numbers and prefixes that were not on it before.
    pub added: u64,
    /// Numbers and prefixes that are not on it any more.
    pub removed: u64,
    /// Numbers on it afterwards.
    pub numbers: u64,
    /// Prefixes on it afterwards.
    pub prefixes: u64,
    /// By whom and when.
    pub origin: Origin,
}

impl ListedRow {
    /// What kind of thing it is of, as the history has it.
    pub const ENTITY: &'static str = "caller_list";
    /// What of it was changed, as the history has it.
    pub const ITEM: &'static str = "callers";
    /// What the files say of who is on a list, as the history has it.
    pub const FILE: &'static str = "none";

    /// The change in words, as the history has it.
    pub fn value(&self) -> String {
        let ListedRow { added, removed, numbers, prefixes, .. } = self;
        format!("{added} added, {removed} removed, now {numbers} numbers and {prefixes} prefixes")
    }
}

/// Who and what a call is about: part of every row that must stand alone.
#[derive(Clone, Debug, PartialEq)]
pub struct CallKeys {
    /// The call.
    pub call_id: CallId,
    /// Its arrival: every window and report uses it.
    pub at: Timestamp,
    /// The campaign, unless the number was unknown.
    pub campaign: Option<CampaignId>,
    /// The publisher, unless the number was unknown.
    pub publisher: Option<PublisherId>,
}

/// A call and its first decision.
#[derive(Clone, Debug, PartialEq)]
pub struct DecidedRow {
    /// Who and what.
    pub keys: CallKeys,
    /// The carrier that asked.
    pub carrier: CarrierId,
    /// Its name for the call.
    pub carrier_call_id: String,
    /// Never billed.
    pub test: bool,
    /// The tracking number dialled, whole when it is ours, else masked.
    pub number: String,
    /// The publisher's label of the number, or the carrier's for the call.
    pub sub_id: Option<String>,
    /// The caller, masked.
    pub caller: String,
    /// The caller as a token keyed for this deployment; `None` without a valid number.
    pub caller_token: Option<u64>,
    /// Two-letter state of the caller, where known.
    pub state: Option<String>,
    /// `auction static quote redial terminal`.
    pub basis: &'static str,
    /// `dial gather voicemail message hangup`.
    pub action: &'static str,
    /// Why this answer.
    pub reason: Reason,
    /// Who takes the call.
    pub target: Option<TargetId>,
    /// Its buyer.
    pub buyer: Option<BuyerId>,
    /// The price held.
    pub price: Option<Money>,
    /// From the request read to the answer ready, in microseconds.
    pub decided_us: u64,
    /// The share of it that is not waiting for buyers, in microseconds; `None` when a connection had to be opened first.
    pub overhead_us: Option<u64>,
    /// Digest of the catalog it was decided by.
    pub catalog: String,
}

/// The outcomes of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct TrailRow {
    /// Who and what.
    pub keys: CallKeys,
    /// The step.
    pub step: u32,
    /// `false` while an outcome is still `pending`; such a row is replaced by the final one.
    pub is_final: bool,
    /// Of a test call: in no hourly count.
    pub test: bool,
    /// Seed of the draws of this step.
    pub seed: u64,
    /// How waiting ended: `no_auction all_replied early deadline`.
    pub close: &'static str,
    /// From the request read to the last ping written, in microseconds.
    pub asked_us: u64,
    /// From the request read to the end of the auction, in microseconds.
    pub closed_us: u64,
    /// The plan walked.
    pub plan: String,
    /// Tags the call carried, personal ones masked.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// One per target of the plan.
    pub outcomes: Vec<OutcomeRow>,
    /// Who had their turn at the plan's round robins, in the order of the walk.
    pub turns: Vec<Turn>,
    /// What it was decided by; `None` where the exchange ended before that was written.
    pub facts: Option<FactsRow>,
}

/// What a step was decided by, as far as it may be kept: with the catalog's text, enough to decide it again. Whose number
/// it was, the whole ZIP and personal tags are not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct FactsRow {
    /// When its request was read: the time that hours are asked at.
    pub at: Timestamp,
    /// Digest of the catalog, of steps after the first; that of the first is in its decision.
    pub catalog: Option<String>,
    /// Two-letter state of the caller.
    pub state: Option<String>,
    /// Where the place comes from: `ivr publisher carrier area_code none`.
    pub geo_source: &'static str,
    /// Two-letter country of the caller's number.
    pub country: Option<String>,
    /// Area code of the caller's number.
    pub area_code: Option<u16>,
    /// First three digits of the caller's ZIP; 0 where what came is none.
    pub zip3: Option<u16>,
    /// The attestation that was claimed for the caller's number: `A`, `B` or `C`.
    pub attestation: Option<char>,
    /// The caller showed a valid number.
    pub has_number: bool,
    /// Facts that are not kept, or not whole: `zip`, `sub_id`, `tag case`; `tags` where the name of one is not.
    pub not_kept: Vec<String>,
    /// Numbers of the plan's branches that look at one of these and were open to the call.
    pub branches: Vec<u32>,
    /// Ids of the caller lists that the caller was on.
    pub lists: Vec<String>,
    /// Attempts of the call that had come to nothing.
    pub earlier_attempts: u32,
    /// The row of the campaign's floors that held, from 0, where one of them looks at what is not kept.
    pub floor_row: Option<u32>,
    /// What came of verifying the attestation.
    pub verified: Verified,
}

/// How one target fared in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRow {
    /// The target.
    pub target: TargetId,
    /// Its buyer.
    pub buyer: BuyerId,
    /// The one reason.
    pub reason: Reason,
    /// Its price, where it had one.
    pub amount: Option<Money>,
    /// The ping, where it was asked.
    pub ping: Option<PingId>,
    /// From ping written to reply read, in microseconds.
    pub latency_us: Option<u64>,
    /// The value that decided, or the buyer's own word: bounded, printable.
    pub note: Option<String>,
}

/// A carrier's event as it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// The call.
    pub call_id: CallId,
    /// The carrier's id of the event.
    pub event_id: String,
    /// The attempt, for events of a leg.
    pub attempt: Option<u32>,
    /// `ringing answered bridged ended …`.
    pub kind: &'static str,
    /// The carrier's time.
    pub at: Option<Timestamp>,
    /// Our time.
    pub received: Timestamp,
    /// Its cause, talk time and originator as text, for `explain`.
    pub detail: String,
}

/// One try at one target. Written when it is handed out, and again, whole, when its end is known or changes.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    /// Who and what.
    pub keys: CallKeys,
    /// Its number within the call.
    pub attempt: u32,
    /// The step that handed it out.
    pub step: u32,
    /// Never billed.
    pub test: bool,
    /// When it was handed out: its cap windows are those of this moment.
    pub offered_at: Timestamp,
    /// `auction static quote redial terminal`.
    pub basis: &'static str,
    /// Why it was handed out.
    pub reason: Reason,
    /// The target; `None` for the plan's own last destination.
    pub target: Option<TargetId>,
    /// Its buyer.
    pub buyer: Option<BuyerId>,
    /// The price held.
    pub price: Option<Money>,
    /// Digest of the catalog it was handed out by.
    pub catalog: String,
    /// Its end, as far as it is known.
    pub end: Option<EndFacts>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EndFacts {
    /// When, by our clock.
    pub ended_at: Timestamp,
    /// `billable`, or why not.
    pub reason: Reason,
    /// Whether target and caller were connected.
    pub connected: bool,
    /// Talk time in milliseconds.
    pub talk_ms: u64,
    /// Where the talk time comes from: `carrier event_times derived none`.
    pub talk_source: &'static str,
    /// `caller target carrier exchange unknown`.
    pub ended_by: &'static str,
    /// Whether the buyer owes.
    pub billable: bool,
    /// Whether the publisher earns.
    pub payable: bool,
    /// What is left came out below zero although the campaign allows it.
    pub negative_margin: bool,
}

/// The end of a call, as far as it is known: that of the attempt that decided it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedRow {
    /// Who and what.
    pub keys: CallKeys,
    /// Who took it.
    pub target: Option<TargetId>,
    /// Its buyer.
    pub buyer: Option<BuyerId>,
    /// How it ended.
    pub end: EndFacts,
    /// What this row adds to the hourly counts: what the end counts for, less what an earlier one of the call did.
    pub counts: EndCounts,
}

/// One entry of the append-only ledger. The entries of one group (`call_id`, `group`) sum to zero.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRow {
    /// Who and what.
    pub keys: CallKeys,
    /// Whose target.
    pub buyer: BuyerId,
    /// The target.
    pub target: TargetId,
    /// What it is about, unique within the call: `attempt/1`.
    pub group: String,
    /// `revenue payout margin`.
    pub kind: &'static str,
    /// Who it is booked on: `buyer:acme`, `publisher:p7`, `exchange`.
    pub account: String,
    /// Signed: what the account owes us is positive, what we owe is negative.
    pub amount: Money,
    /// When it was booked.
    pub booked_at: Timestamp,
}

/// The text of a catalog, or the first part of a long one. No record may be larger than a segment of the journal takes, so
/// the parts after the first are rows of their own, under the names that [`CatalogRow::part_name`] gives, and come before.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogRow {
    /// Its digest; of a further part, the name of that.
    pub digest: String,
    /// Its text, or this part of it: every file with its name.
    pub text: String,
    /// When it came into force.
    pub since: Timestamp,
}

/// Bytes of one part of a catalog's text. Never to be changed: a text that comes again, at every start, has the same parts.
pub const PART_BYTES: usize = 256 * 1024;

impl CatalogRow {
    /// The rows of a text: its further parts, and at last the one that makes it known by its digest.
    pub fn in_parts(digest: &str, text: &str, since: Timestamp) -> Vec<CatalogRow> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, more) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
            let digest = match parts.len() {
                0 => digest.to_owned(),
                at => CatalogRow::part_name(digest, at),
            };
            parts.push(CatalogRow { digest, text: part.to_owned(), since });
            rest = more;
            if rest.is_empty() {
                parts.rotate_left(1);
                return parts;
            }
        }
    }

    /// The name of a part after the first.
    pub fn part_name(digest: &str, at: usize) -> String {
        format!("{digest}:{at}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_comes_in_parts_and_is_named_last() {
        let since = Timestamp::default();
        // Bytes, and how many parts: two bytes a character, so that one would be cut through where the first part is odd.
        for (first, chars, parts) in [
            ("", 0, 1),
            ("a", 5, 1),
            ("", PART_BYTES / 2, 1),
            ("a", PART_BYTES / 2, 2),
            ("a", PART_BYTES * 2, 5),
        ] {
            let text = format!("{first}{}", "é".repeat(chars));
            let rows = CatalogRow::in_parts("d1", &text, since);
            assert_eq!(rows.len(), parts, "{} bytes", text.len());
            assert!(rows.iter().all(|row| row.text.len() <= PART_BYTES));
            let names: Vec<&str> = rows.iter().map(|row| row.digest.as_str()).collect();
            assert_eq!(names.last(), Some(&"d1"));
            assert_eq!(names[..parts - 1], ["d1:1", "d1:2", "d1:3", "d1:4"][..parts - 1]);
            let (last, more) = rows.split_last().expect("one at least");
            let whole = more.iter().fold(last.text.clone(), |whole, row| whole + &row.text);
            assert_eq!(whole, text);
        }
    }
}

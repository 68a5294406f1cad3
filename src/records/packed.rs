//! One step's outcomes as bytes: a version byte, then postcard of a private structure of that version.
//!
//! The structures here are frozen once released: a new field means a new version beside the old one, and every version
//! ever written can be read. No SQL and no file here.

use serde::{Deserialize, Serialize};

use super::row::{FactsRow, TrailRow, Turn};
use super::stored::{StoredFacts, StoredOutcome, StoredTrail};
use crate::domain::{CallId, Money, PingId, Timestamp, Verified};

/// The version written today.
const VERSION: u8 = 2;

#[derive(Serialize, Deserialize)]
struct TrailV2<'a> {
    #[serde(borrow)]
    trail: TrailV1<'a>,
    turns: Vec<(u32, u32)>,
    facts: Option<FactsV2<'a>>,
}

#[derive(Serialize, Deserialize)]
struct TrailV1<'a> {
    at: i64,
    #[serde(borrow)]
    campaign: Option<&'a str>,
    publisher: Option<&'a str>,
    seed: u64,
    close: &'a str,
    asked_us: u64,
    closed_us: u64,
    plan: &'a str,
    tags: Vec<(&'a str, &'a str)>,
    outcomes: Vec<OutcomeV1<'a>>,
}

/// Follows the trail since version 2.
#[derive(Serialize, Deserialize)]
struct FactsV2<'a> {
    at: i64,
    #[serde(borrow)]
    catalog: Option<&'a str>,
    state: Option<&'a str>,
    geo_source: &'a str,
    country: Option<&'a str>,
    area_code: Option<u16>,
    zip3: Option<u16>,
    attestation: Option<char>,
    has_number: bool,
    not_kept: Vec<&'a str>,
    branches: Vec<u32>,
    lists: Vec<&'a str>,
    earlier_attempts: u32,
    floor_row: Option<u32>,
    /// Whether the attestation was found to hold, where somebody looked.
    verified: Option<bool>,
}

impl<'a> FactsV2<'a> {
    fn of(facts: &'a FactsRow) -> FactsV2<'a> {
        FactsV2 {
            at: facts.at.micros(),
            catalog: facts.catalog.as_deref(),
            state: facts.state.as_deref(),
            geo_source: facts.geo_source,
            country: facts.country.as_deref(),
            area_code: facts.area_code,
            zip3: facts.zip3,
            attestation: facts.attestation,
            has_number: facts.has_number,
            not_kept: facts.not_kept.iter().map(String::as_str).collect(),
            branches: facts.branches.clone(),
            lists: facts.lists.iter().map(String::as_str).collect(),
            earlier_attempts: facts.earlier_attempts,
            floor_row: facts.floor_row,
            verified: facts.verified.holds(),
        }
    }

    fn read(self) -> StoredFacts {
        StoredFacts {
            at: Timestamp::from_micros(self.at),
            catalog: self.catalog.map(str::to_owned),
            state: self.state.map(str::to_owned),
            geo_source: self.geo_source.to_owned(),
            country: self.country.map(str::to_owned),
            area_code: self.area_code,
            zip3: self.zip3,
            attestation: self.attestation,
            has_number: self.has_number,
            not_kept: self.not_kept.into_iter().map(str::to_owned).collect(),
            branches: self.branches,
            lists: self.lists.into_iter().map(str::to_owned).collect(),
            earlier_attempts: self.earlier_attempts,
            floor_row: self.floor_row,
            verified: Verified::of(self.verified),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct OutcomeV1<'a> {
    target: &'a str,
    buyer: &'a str,
    reason: u16,
    amount: Option<i64>,
    ping: Option<[u8; 16]>,
    latency_us: Option<u64>,
    note: Option<&'a str>,
}

/// Why bytes of the store cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// No bytes at all.
    #[error("the record is empty")]
    Empty,
    /// Written by a later version, or not by us.
    #[error("the record has version {found}, this binary reads up to {VERSION}: use a newer one")]
    UnknownVersion {
        /// Its version.
        found: u8,
    },
    /// Not what its version says.
    #[error("the record is damaged")]
    Damaged(#[source] postcard::Error),
    /// More than its version says.
    #[error("the record goes on where it should end")]
    TooLong,
}

/// Packs everything of the row that is not a column: all but call, step and whether it is final.
pub(super) fn pack(row: &TrailRow) -> Result<Vec<u8>, postcard::Error> {
    let trail = TrailV1 {
        at: row.keys.at.micros(),
        campaign: row.keys.campaign.as_ref().map(|id| id.as_str()),
        publisher: row.keys.publisher.as_ref().map(|id| id.as_str()),
        seed: row.seed,
        close: row.close,
        asked_us: row.asked_us,
        closed_us: row.closed_us,
        plan: &row.plan,
        tags: row.tags.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect(),
        outcomes: row
            .outcomes
            .iter()
            .map(|outcome| OutcomeV1 {
                target: outcome.target.as_str(),
                buyer: outcome.buyer.as_str(),
                reason: outcome.reason.code(),
                amount: outcome.amount.map(Money::micros),
                ping: outcome.ping.map(|ping| ping.bits().to_be_bytes()),
                latency_us: outcome.latency_us,
                note: outcome.note.as_deref(),
            })
            .collect(),
    };
    let turns = row.turns.iter().map(|turn| (turn.node, turn.first)).collect();
    let facts = row.facts.as_ref().map(FactsV2::of);
    let room = 160 + 64 * row.outcomes.len();
    let mut bytes = Vec::with_capacity(room);
    bytes.push(VERSION);
    postcard::to_extend(&TrailV2 { trail, turns, facts }, bytes)
}

/// A step as far as sums are made of it.
pub(super) struct Counted<'a>(TrailV1<'a>);

impl<'a> Counted<'a> {
    /// Reads packed bytes of any version.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Counted<'a>, UnpackError> {
        read(bytes).map(|read| Counted(read.trail))
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.0.at)
    }

    pub(super) fn campaign(&self) -> Option<&'a str> {
        self.0.campaign
    }

    /// Buyer, target and code of the reason of each.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'a str, &'a str, u16)> {
        self.0.outcomes.iter().map(|outcome| (outcome.buyer, outcome.target, outcome.reason))
    }
}

fn read(bytes: &[u8]) -> Result<TrailV2<'_>, UnpackError> {
    let (version, body) = bytes.split_first().ok_or(UnpackError::Empty)?;
    let read = match version {
        1 => postcard::take_from_bytes(body)
            .map(|(trail, rest)| (TrailV2 { trail, turns: Vec::new(), facts: None }, rest)),
        2 => postcard::take_from_bytes::<TrailV2<'_>>(body),
        _ => return Err(UnpackError::UnknownVersion { found: *version }),
    };
    match read.map_err(UnpackError::Damaged)? {
        (trail, []) => Ok(trail),
        _ => Err(UnpackError::TooLong),
    }
}

/// Reads packed bytes of any version back, together with the columns they stood beside.
pub(super) fn unpack(
    seq: i64,
    call_id: CallId,
    step: u32,
    is_final: bool,
    bytes: &[u8],
) -> Result<StoredTrail, UnpackError> {
    let TrailV2 { trail, turns, facts } = read(bytes)?;
    Ok(StoredTrail {
        seq,
        call_id,
        step,
        is_final,
        at: Timestamp::from_micros(trail.at),
        campaign: trail.campaign.map(str::to_owned),
        publisher: trail.publisher.map(str::to_owned),
        seed: trail.seed,
        close: trail.close.to_owned(),
        asked_us: trail.asked_us,
        closed_us: trail.closed_us,
        plan: trail.plan.to_owned(),
        tags: trail.tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
        outcomes: trail
            .outcomes
            .into_iter()
            .map(|outcome| StoredOutcome {
                target: outcome.target.to_owned(),
                buyer: outcome.buyer.to_owned(),
                reason: outcome.reason,
                amount: outcome.amount.map(Money::from_micros),
                ping: outcome.ping.map(|bits| PingId::from_bits(u128::from_be_bytes(bits))),
                latency_us: outcome.latency_us,
                note: outcome.note.map(str::to_owned),
            })
            .collect(),
        turns: turns.into_iter().map(|(node, first)| Turn { node, first }).collect(),
        facts: facts.map(FactsV2::read),
    })
}

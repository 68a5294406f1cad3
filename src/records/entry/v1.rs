//! Version 1 of an entry: how its parts stand one behind the other.
//!
//! ```text
//! entry    bytes of the puts (u32, little-endian) | puts | number of rows (varint) | rows
//! put      code of what it is (u8) | bytes of the rest (u32, little-endian) | the rest
//! ```
//!
//! Lengths stand before the parts so that a restart, which has use for no row and only for the last image of a call, can
//! pass over the others: it reads what a put is about and keeps the bytes. All other structure is postcard's, of the
//! private structures in `rows` and `state`. Nothing here may change any more, but for what is added as version 2.

mod callers;
mod changes;
mod rest;
mod rows;
mod state;
mod words;

use serde::{Deserialize, Serialize};

use super::{DecodeError, Held, Put, Used};
use crate::capacity::CapKey;
use crate::capacity::hold::HoldImage;
use crate::domain::{CallId, HoldId};
use crate::records::row::{Fact, FactsRow, Row, TrailRow};
use crate::records::stored::{StoredFacts, StoredTrail};
use crate::state::image::{AnswerImage, LiveImage};
use callers::ListPartV1;
use changes::ChangeV1;
use rest::AnswerV1;
use rows::RowV1;
use state::{CallV1, CapKeyV1, HealthV1};

type Id = [u8; 16];

const CALL: u8 = 1;
const ANSWER: u8 = 2;
const FORGOTTEN: u8 = 3;
const HELD: u8 = 4;
const VOIDED: u8 = 5;
const CHANGES: u8 = 6;
const HEALTH: u8 = 7;
const CALLERS: u8 = 8;

/// What stands before an image: all that is asked of a call whose end is not asked for.
#[derive(Serialize, Deserialize)]
struct CallHeadV1 {
    call: Id,
    holds: Vec<Id>,
}

/// What stands before an answer.
#[derive(Serialize, Deserialize)]
struct AnswerHeadV1 {
    call: Id,
    step: u32,
}

#[derive(Serialize, Deserialize)]
struct HeldV1<'a> {
    hold: Id,
    call: Id,
    #[serde(borrow)]
    keys: Vec<CapKeyV1<'a>>,
}

/// A put as far as it is read: of images only what they are about.
pub(in crate::records) enum Seen<'a> {
    Call { call: CallId, holds: Vec<HoldId>, bytes: &'a [u8] },
    Answer { call: CallId, step: u32, bytes: &'a [u8] },
    Other(Put),
}

/// An image or an answer as it stands in its put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::records) enum Packed<'a> {
    Call(&'a [u8]),
    Answer(&'a [u8]),
}

pub(super) fn write_entry(rows: &[Row], puts: &[Put], out: &mut Vec<u8>) {
    sized(out, |out| puts.iter().for_each(|put| write_put(put, out)));
    append(&(rows.len() as u64), out);
    rows.iter().for_each(|row| append(&RowV1::of(row), out));
}

/// An entry of puts that were read before.
pub(in crate::records) fn write_packed<'a>(puts: impl Iterator<Item = Packed<'a>>, out: &mut Vec<u8>) {
    sized(out, |out| {
        for put in puts {
            let (code, bytes) = match put {
                Packed::Call(bytes) => (CALL, bytes),
                Packed::Answer(bytes) => (ANSWER, bytes),
            };
            out.push(code);
            sized(out, |out| out.extend_from_slice(bytes));
        }
    });
    append(&0_u64, out);
}

pub(super) fn write_counts(caps: &[(CapKey, Used)], out: &mut Vec<u8>) {
    append(&(caps.len() as u64), out);
    caps.iter().for_each(|(key, used)| append(&(CapKeyV1::of(key), used.posted, used.unresolved), out));
}

fn write_put(put: &Put, out: &mut Vec<u8>) {
    out.push(match put {
        Put::Call(_) => CALL,
        Put::Answer(_) => ANSWER,
        Put::Forgotten(_) => FORGOTTEN,
        Put::Held(_) => HELD,
        Put::Voided(_) => VOIDED,
        Put::Changes(_) => CHANGES,
        Put::Health(_) => HEALTH,
        Put::Callers(_) => CALLERS,
    });
    sized(out, |out| match put {
        Put::Call(image) => {
            let takers = image.offered.iter().filter_map(|offered| offered.taker.as_ref());
            let holds = takers.map(|taker| id(taker.hold.id.bits())).collect();
            append(&CallHeadV1 { call: id(image.id.bits()), holds }, out);
            append(&CallV1::of(image), out);
        }
        Put::Answer(answer) => {
            let reply = &answer.reply;
            append(&AnswerHeadV1 { call: id(reply.call_id.bits()), step: reply.step }, out);
            append(&AnswerV1::of(answer), out);
        }
        Put::Forgotten(call) => append(&id(call.bits()), out),
        Put::Held(held) => {
            let keys = held.keys.iter().map(CapKeyV1::of).collect();
            append(&HeldV1 { hold: id(held.id.bits()), call: id(held.call.bits()), keys }, out);
        }
        Put::Voided(hold) => append(&id(hold.bits()), out),
        Put::Changes(changes) => append(&changes.iter().map(ChangeV1::of).collect::<Vec<_>>(), out),
        Put::Health(health) => append(&health.iter().map(HealthV1::of).collect::<Vec<_>>(), out),
        Put::Callers(part) => ListPartV1::write(part, |part| append(part, out)),
    });
}

/// Appends a part with its length before it.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = u32::try_from(out.len() - start - 4).expect("a record is far below 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn append<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let bytes = std::mem::take(out);
    *out = postcard::to_extend(value, bytes).expect("structures of known lengths always fit into memory");
}

fn id(bits: u128) -> Id {
    bits.to_be_bytes()
}

fn call_id(id: Id) -> CallId {
    CallId::from_bits(u128::from_be_bytes(id))
}

fn hold_id(id: Id) -> HoldId {
    HoldId::from_bits(u128::from_be_bytes(id))
}

/// What is left after reading one structure from the beginning.
fn read<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<(T, &'a [u8]), DecodeError> {
    postcard::take_from_bytes(bytes).map_err(|source| DecodeError::Damaged { what, source })
}

/// A structure that is all there is.
fn read_all<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, DecodeError> {
    match read(what, bytes)? {
        (value, []) => Ok(value),
        _ => Err(DecodeError::Length { what }),
    }
}

/// A part with its length before it, and what follows.
fn part<'a>(what: &'static str, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let short = DecodeError::Length { what };
    let Some((length, rest)) = bytes.split_first_chunk() else { return Err(short) };
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(short)
}

pub(super) fn read_rows(body: &[u8]) -> Result<Vec<Row>, DecodeError> {
    each_row(body, RowV1::read)
}

/// As the store takes them.
pub(super) fn read_facts(body: &[u8]) -> Result<Vec<Fact<'_>>, DecodeError> {
    each_row(body, RowV1::fact)
}

fn each_row<'a, T>(
    body: &'a [u8],
    take: impl Fn(RowV1<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let (_, rest) = part("an entry", body)?;
    let (count, mut rest): (u64, _) = read("the number of rows", rest)?;
    // Grows with what is there: the number is not to be believed.
    let mut rows = Vec::new();
    for _ in 0..count {
        let (row, left): (RowV1<'_>, _) = read("a row", rest)?;
        rows.push(take(row)?);
        rest = left;
    }
    if rest.is_empty() { Ok(rows) } else { Err(DecodeError::Length { what: "the last row" }) }
}

pub(super) fn read_counts(body: &[u8]) -> Result<Vec<(CapKey, Used)>, DecodeError> {
    let (count, mut rest): (u64, _) = read("the number of caps", body)?;
    let mut caps = Vec::new();
    for _ in 0..count {
        let ((key, posted, unresolved), left): ((CapKeyV1<'_>, u32, u32), _) = read("a cap", rest)?;
        caps.push((key.read()?, Used { posted, unresolved }));
        rest = left;
    }
    if rest.is_empty() { Ok(caps) } else { Err(DecodeError::Length { what: "the last cap" }) }
}

/// The puts of an entry, in order; nothing of its rows.
pub(super) fn puts(body: &[u8]) -> Result<impl Iterator<Item = Result<Seen<'_>, DecodeError>>, DecodeError> {
    let (mut puts, _) = part("an entry", body)?;
    Ok(std::iter::from_fn(move || {
        let (code, rest) = puts.split_first()?;
        let seen = part("a put", rest).and_then(|(bytes, rest)| {
            puts = rest;
            seen(*code, bytes)
        });
        if seen.is_err() {
            puts = &[];
        }
        Some(seen)
    }))
}

fn seen(code: u8, bytes: &[u8]) -> Result<Seen<'_>, DecodeError> {
    let put = match code {
        CALL => {
            let (head, _): (CallHeadV1, _) = read("the head of a call", bytes)?;
            let holds = head.holds.into_iter().map(hold_id).collect();
            return Ok(Seen::Call { call: call_id(head.call), holds, bytes });
        }
        ANSWER => {
            let (head, _): (AnswerHeadV1, _) = read("the head of an answer", bytes)?;
            return Ok(Seen::Answer { call: call_id(head.call), step: head.step, bytes });
        }
        FORGOTTEN => Put::Forgotten(call_id(read_all("a forgotten call", bytes)?)),
        HELD => {
            let held: HeldV1<'_> = read_all("a hold", bytes)?;
            let keys = held.keys.into_iter().map(CapKeyV1::read).collect::<Result<_, _>>()?;
            Put::Held(Box::new(Held { id: hold_id(held.hold), call: call_id(held.call), keys }))
        }
        VOIDED => Put::Voided(hold_id(read_all("a voided hold", bytes)?)),
        CHANGES => {
            let changes: Vec<ChangeV1<'_>> = read_all("the changes", bytes)?;
            Put::Changes(changes.into_iter().map(ChangeV1::read).collect::<Result<_, _>>()?)
        }
        HEALTH => {
            let health: Vec<HealthV1<'_>> = read_all("the health of endpoints", bytes)?;
            Put::Health(health.into_iter().map(HealthV1::read).collect::<Result<_, _>>()?)
        }
        CALLERS => {
            Put::Callers(Box::new(read_all::<ListPartV1<'_>>("a part of a caller list", bytes)?.read()?))
        }
        code => return Err(DecodeError::UnknownCode { field: "a put", code: code.into() }),
    };
    Ok(Seen::Other(put))
}

/// A put, read to its end.
pub(super) fn put(seen: Seen<'_>) -> Result<Put, DecodeError> {
    match seen {
        Seen::Call { bytes, .. } => image(bytes).map(|image| Put::Call(Box::new(image))),
        Seen::Answer { bytes, .. } => answer(bytes).map(|answer| Put::Answer(Box::new(answer))),
        Seen::Other(put) => Ok(put),
    }
}

/// A step as it was when it was packed.
pub(super) fn trail(stored: StoredTrail, test: bool) -> Result<TrailRow, DecodeError> {
    rows::trail(stored, test)
}

/// What a step was decided by, as it was when it was packed.
pub(super) fn facts(stored: StoredFacts) -> Result<FactsRow, DecodeError> {
    rows::facts(stored)
}

/// The image of a put that was seen.
pub(super) fn image(bytes: &[u8]) -> Result<LiveImage, DecodeError> {
    let (head, rest): (CallHeadV1, _) = read("the head of a call", bytes)?;
    read_all::<CallV1<'_>>("a call", rest)?.read(call_id(head.call))
}

/// The holds of a call that was seen. Of the rest no value is looked at.
pub(super) fn holds(bytes: &[u8]) -> Result<Vec<HoldImage>, DecodeError> {
    let (_, rest): (CallHeadV1, _) = read("the head of a call", bytes)?;
    read_all::<CallV1<'_>>("a call", rest)?.holds()
}

/// The answer of a put that was seen.
pub(super) fn answer(bytes: &[u8]) -> Result<AnswerImage, DecodeError> {
    let (head, rest): (AnswerHeadV1, _) = read("the head of an answer", bytes)?;
    read_all::<AnswerV1<'_>>("an answer", rest)?.read(call_id(head.call), head.step)
}

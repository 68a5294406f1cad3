//! What is written is read back exactly, the bytes of a version never change, and bytes of any kind do no harm.
//!
//! `tests/fixtures/journal/KIND-VERSION.txt` has records as they were written when the version was made: a name and
//! the body in hex on each line. They stay as they are; another form of record is another version, with a file of its own.

use std::fmt::Write;

use super::sample::{self, Sampler};
use super::*;
use crate::domain::draw::Draw;
use crate::domain::{EndedBy, TalkSource};

/// Seeds of the drawn records in the files.
const PINNED: u64 = 24;

fn body(record: &Record) -> Vec<u8> {
    let mut body = Vec::new();
    match record {
        Record::Entry(entry) => entry.encode(&mut body),
        Record::Counts(counts) => counts.encode(&mut body),
    }
    body
}

fn kind(record: &Record) -> u8 {
    match record {
        Record::Entry(_) => ENTRY,
        Record::Counts(_) => COUNTS,
    }
}

fn drawn(seed: u64) -> [Record; 2] {
    [Record::Entry(Sampler::new(seed).entry()), Record::Counts(Sampler::new(!seed).counts())]
}

fn in_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text takes everything");
        text
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Every record of the file is read, and written as it was; those that are named are what they are said to be. What is
/// released is frozen: a change is a new version with a file of its own. Until the first release version 1 is what it is
/// now: `WRITE_UNRELEASED=1` writes its files anew.
fn golden(name: &str, kind: u8, named: &[(&str, Record)]) -> Vec<Record> {
    let path = format!("{}/tests/fixtures/journal/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("WRITE_UNRELEASED").is_some() {
        let line = |name: &str, record: &Record| format!("{name} {}\n", in_hex(&body(record)));
        let named = named.iter().map(|(name, record)| line(name, record));
        let pinned = (0..PINNED).map(|seed| {
            let [entry, counts] = drawn(seed);
            line(&format!("seed-{seed}"), if kind == ENTRY { &entry } else { &counts })
        });
        std::fs::write(&path, named.chain(pinned).collect::<String>()).expect(&path);
    }
    let text = std::fs::read_to_string(&path).expect(&path);
    let mut read = Vec::new();
    for (of, hex) in text.lines().filter_map(|line| line.split_once(' ')) {
        let record =
            decode(kind, 1, &from_hex(hex)).unwrap_or_else(|error| panic!("{of} of {path}: {error}"));
        assert_eq!(in_hex(&body(&record)), hex, "{of} of {path} is written otherwise now");
        if let Some((_, expected)) = named.iter().find(|(name, _)| *name == of) {
            assert_eq!(record, *expected, "{of} of {path} is read otherwise now");
        }
        read.push(record);
    }
    assert_eq!(read.len(), named.len() + PINNED as usize, "{path}");
    read
}

#[test]
fn bytes_of_entries_are_as_they_were() {
    let everyday =
        [("opened", sample::opened()), ("answered", sample::answered()), ("ended", sample::ended())];
    let records = golden("entry-1", ENTRY, &everyday.map(|(name, entry)| (name, Record::Entry(entry))));
    all_kinds(records.iter());
}

#[test]
fn bytes_of_counts_are_as_they_were() {
    golden("counts-1", COUNTS, &[]);
}

/// Every kind of row and put is among them.
fn all_kinds<'a>(records: impl Iterator<Item = &'a Record>) {
    let mut kinds = std::collections::BTreeSet::new();
    for record in records {
        let Record::Entry(entry) = record else { continue };
        for words in entry.rows.iter().map(row_in_words).chain(entry.state.iter().map(put_in_words)) {
            // A list begins with how many it has.
            let kind = |word: &&str| *word != "row" && word.parse::<u64>().is_err();
            kinds.extend(words.split(' ').find(kind).map(str::to_owned));
        }
    }
    for each in "decided trail event attempt ended ledger catalog change call answer forgotten held voided \
                 changes health listed callers"
        .split_whitespace()
    {
        assert!(kinds.contains(each), "no {each} among them");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut all = Vec::new();
    for seed in 0..3_000 {
        for record in drawn(seed) {
            let body = body(&record);
            assert_eq!(decode(kind(&record), VERSION, &body).as_ref(), Ok(&record), "seed {seed}");
            if let Record::Entry(entry) = &record {
                assert_eq!(rows(ENTRY, VERSION, &body).as_ref(), Ok(&entry.rows), "seed {seed}");
            }
            all.push(record);
        }
    }
    all_kinds(all.iter());
}

#[test]
fn an_image_of_a_call_makes_the_same_call() {
    use crate::state::live::Live;
    for seed in 0..1_000 {
        let image = Sampler::new(seed).live();
        let again = Live::restored(image.clone());
        assert_eq!(again.image(), Some(image), "seed {seed}");
    }
}

#[test]
fn a_record_that_was_cut_is_refused() {
    for record in [sample::opened(), sample::answered(), sample::ended()].map(Record::Entry) {
        let body = body(&record);
        for length in 0..body.len() {
            assert!(decode(ENTRY, VERSION, &body[..length]).is_err(), "{length} of {} bytes", body.len());
        }
        let more = [&body[..], &[0]].concat();
        assert_eq!(decode(ENTRY, VERSION, &more), Err(DecodeError::Length { what: "the last row" }));
    }
}

/// Whatever the bytes say, reading them ends, in a value or an error, and an entry that is read can be written.
#[test]
fn changed_bytes_do_no_harm() {
    let mut draw = Draw::new(5);
    let (mut read, mut refused) = (0, 0);
    for round in 0..60_000_u64 {
        let record = match round % 4 {
            0 => Record::Entry(sample::opened()),
            1 => Record::Entry(sample::ended()),
            2 => Record::Entry(Sampler::new(round / 64).entry()),
            _ => Record::Counts(Sampler::new(round / 64).counts()),
        };
        let mut body = body(&record);
        for _ in 0..=draw.below(3) {
            let at = draw.below(body.len() as u64 + 1) as usize;
            match (draw.below(5), body.get_mut(at)) {
                (0, Some(byte)) => *byte ^= 1 << draw.below(8),
                (1, Some(byte)) => *byte = draw.bits() as u8,
                (2, Some(byte)) => *byte = 0xff,
                (3, _) => body.truncate(at),
                _ => body.insert(at, draw.bits() as u8),
            }
        }
        match decode(kind(&record), VERSION, &body) {
            Ok(other) => {
                read += 1;
                assert_eq!(decode(kind(&record), VERSION, &self::body(&other)), Ok(other), "round {round}");
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().contains("5550123"), "{error}");
            }
        }
    }
    assert!(read > 1_000 && refused > 10_000, "{read} read, {refused} refused");
}

/// A number of elements is not believed: room is made for no more than the bytes that are left could be.
#[test]
fn a_number_that_is_too_large_ends_at_the_bytes() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let counts = decode(COUNTS, 1, &huge);
    assert!(matches!(counts, Err(DecodeError::Damaged { what: "a cap", .. })), "{counts:?}");
    let rows = decode(ENTRY, 1, &[&[0; 4][..], &huge].concat());
    assert!(matches!(rows, Err(DecodeError::Damaged { what: "a row", .. })), "{rows:?}");
    for code in [CHANGES, HEALTH] {
        let put = [&[15, 0, 0, 0, code, 10, 0, 0, 0][..], &huge, &[0]].concat();
        assert!(matches!(decode(ENTRY, 1, &put), Err(DecodeError::Damaged { .. })), "{code}");
    }
    let lying = decode(ENTRY, 1, &[0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    assert_eq!(lying, Err(DecodeError::Length { what: "an entry" }));
}

/// Codes of the puts that are lists.
const CHANGES: u8 = 6;
const HEALTH: u8 = 7;

#[test]
fn what_a_newer_binary_wrote_is_refused_by_name() {
    let said = |result: Result<Record, DecodeError>| result.expect_err("refused").to_string();
    assert_eq!(
        said(decode(9, 1, &[])),
        "a record of kind 9, of which this binary knows nothing: use the newer one that wrote it"
    );
    assert_eq!(
        said(decode(ENTRY, 2, &[])),
        "a record of version 2, and this binary reads up to 1: use the newer one that wrote it"
    );
    // A word, a reason and a put of tomorrow, in the bytes of today.
    let replaced = |from: &[u8], to: &[u8]| {
        let mut body = body(&Record::Entry(sample::answered()));
        let at = body.windows(from.len()).rposition(|window| window == from).expect("it is in there");
        body[at..at + to.len()].copy_from_slice(to);
        said(decode(ENTRY, 1, &body))
    };
    assert_eq!(
        replaced(b"answered", b"unearthd"),
        "the kind of an event is \"unearthd\", which this binary does not know: use the newer one that wrote it"
    );
    assert_eq!(
        replaced(b"auction", b"lottery"),
        "the basis is \"lottery\", which this binary does not know: use the newer one that wrote it"
    );
    let mut body = body(&Record::Entry(sample::answered()));
    body[4] = 77;
    assert_eq!(
        said(decode(ENTRY, 1, &body)),
        "a put has the code 77, which this binary does not know: use the newer one that wrote it"
    );
}

/// The journal has compared its checksum before anybody reads a record: nothing says that a disk damaged it.
#[test]
fn what_another_build_wrote_is_not_called_damaged() {
    let whole = body(&Record::Entry(sample::answered()));
    let spoilt: [fn(&mut Vec<u8>); 2] = [|body| body.push(0), |body| body.truncate(body.len() - 1)];
    for spoil in spoilt {
        let mut body = whole.clone();
        spoil(&mut body);
        let said = decode(ENTRY, VERSION, &body).expect_err("refused").to_string();
        let says = ", though the checksum is right: use the binary that wrote the record";
        assert!(said.ends_with(says), "{said}");
    }
}

#[test]
fn digests_of_any_form_are_read_back() {
    let hex = "0123456789abcdef".repeat(4);
    let forms = [&hex, &hex.to_uppercase(), &hex[..63], &hex[..62], "", "d1", &hex.replace('f', "é")];
    for digest in forms {
        let row = crate::records::row::CatalogRow {
            digest: digest.to_owned(),
            text: String::new(),
            since: Timestamp::default(),
        };
        let record = Record::Entry(Entry { rows: vec![Row::Catalog(row)], state: Vec::new() });
        assert_eq!(decode(ENTRY, VERSION, &body(&record)), Ok(record), "{digest:?}");
    }
}

/// Every word that our own code writes can be read back.
#[test]
fn closed_lists_have_all_their_words() {
    for word in
        TalkSource::ALL.iter().map(|one| one.as_str()).chain(EndedBy::ALL.iter().map(|one| one.as_str()))
    {
        let mut entry = sample::ended();
        for row in &mut entry.rows {
            if let Row::Ended(ended) = row {
                match TalkSource::parse(word) {
                    Some(_) => ended.end.talk_source = word,
                    None => ended.end.ended_by = word,
                }
            }
        }
        let record = Record::Entry(entry);
        assert_eq!(decode(ENTRY, 1, &body(&record)), Ok(record), "{word}");
    }
    use crate::billing::ledger::Kind;
    assert_eq!(
        [Kind::Revenue, Kind::Payout, Kind::Margin].map(Kind::as_str),
        ["revenue", "payout", "margin"]
    );
}

#[test]
fn a_printed_record_shows_nobody() {
    let shown = Record::Entry(sample::opened()).to_string();
    assert_eq!(
        shown,
        "row decided 01J0000000E008000000000001 auction dial won; row attempt 01J0000000E008000000000001/1 open; \
         row trail 01J0000000E008000000000001 step 1 pending 3 targets; \
         call 01J0000000E008000000000001 open 1 attempts; answer 01J0000000E008000000000001 step 1 dial"
    );
    for seed in 0..500 {
        for record in drawn(seed) {
            let shown = record.to_string();
            assert!(!shown.contains("555 0123") && !shown.contains("collision"), "{shown}");
        }
    }
    // The image itself has the caller's number whole, and does not show it either.
    let opened = sample::opened();
    assert!(in_hex(&body(&Record::Entry(opened.clone()))).contains(&in_hex(b"CA91f3a5")));
    assert!(!format!("{opened:?}").contains("5550123"), "{opened:?}");
}

#[test]
fn everyday_entries_are_small() {
    let bytes = |entry: Entry| body(&Record::Entry(entry)).len();
    let image = |entry: &Entry| Entry { rows: Vec::new(), state: vec![entry.state[0].clone()] };
    let opened = sample::opened();
    let sizes = [
        ("image of a call that was handed out", bytes(image(&opened)), 550),
        ("image of a call that is over", bytes(image(&sample::ended())), 410),
        ("opened", bytes(opened), 1_200),
        ("answered", bytes(sample::answered()), 610),
        ("ended", bytes(sample::ended()), 1_000),
    ];
    for (what, bytes, most) in sizes {
        assert!(bytes <= most, "{what}: {bytes} bytes");
    }
}

//! Golden documents of a small store: what the command line prints and the admin API sends.

use super::*;
use crate::domain::{Money, Reason};
use crate::records::fixture::{
    Folder, NINE, attempt, buyer, call_id, decided, ended, entries, event, money, second_attempt, target,
    trail, two_attempts, unconnected, whole_call, write,
};
use crate::records::row::{AttemptRow, EndCounts, EndFacts, LedgerRow, Row};
use crate::records::stored::StoredMoney;

/// Three calls: one billed, one too short and sold to another buyer, one of an unknown number.
fn small_store(folder: &Folder) -> Reader {
    let mut rows = whole_call(1);
    let (mut short, mut end) = (decided(3_601), ended(3_601));
    short.buyer = Some(buyer("bolt"));
    short.target = Some(target("bolt-1"));
    short.price = Some(money("20"));
    short.sub_id = Some("=HYPERLINK(\"x\"),1".to_owned());
    short.carrier_call_id = "CA\x1b[31m".to_owned();
    end.buyer = short.buyer.clone();
    end.target = short.target.clone();
    end.end.reason = Reason::TooShort;
    end.end.talk_ms = 29_000;
    end.end.billable = false;
    end.end.payable = false;
    end.counts = EndCounts { ended: 1, connected: 1, billable: 0, talk_ms: 29_000 };
    let tried = second_attempt(3_601, Some(end.end.clone()));
    let tried = AttemptRow { attempt: 1, step: 1, ..tried };
    rows.extend([Row::Decided(Box::new(short)), Row::Attempt(Box::new(tried)), Row::Ended(Box::new(end))]);
    let mut unknown = decided(9);
    unknown.keys.campaign = None;
    unknown.keys.publisher = None;
    unknown.basis = "terminal";
    unknown.action = "hangup";
    unknown.reason = Reason::UnknownNumber;
    unknown.buyer = None;
    unknown.target = None;
    unknown.price = None;
    rows.push(Row::Decided(Box::new(unknown)));
    write(&mut folder.open(), &rows);
    Reader::open(&folder.file()).expect("a reader")
}

fn printed<R: Printed>(format: Format, rows: &[R], total: Option<&R>) -> String {
    let mut out = Vec::new();
    print(&mut out, format, Style::Plain, rows, total).expect("printed");
    String::from_utf8(out).expect("text")
}

#[test]
fn pnl_in_every_format() {
    let folder = Folder::new("pnl");
    let reader = small_store(&folder);
    let lines = pnl(&reader, By::Buyer, None, None).expect("pnl");
    let table = printed(Format::Table, &lines.rows, Some(&lines.total));
    assert_eq!(
        table,
        "\
key    calls  ended  connected  billable  talk min  revenue  payout  margin  margin %
acme       1      1          1         1       1.5    25.50   15.00   10.50      41.2
-          1      0          0         0       0.0     0.00    0.00    0.00         -
bolt       1      1          1         0       0.5     0.00    0.00    0.00         -
total      3      2          2         1       2.0    25.50   15.00   10.50      41.2
"
    );
    let csv = printed(Format::Csv, &lines.rows, Some(&lines.total));
    assert_eq!(
        csv,
        "\
key,calls,ended,connected,billable,talk_minutes,revenue,payout,margin,margin_percent
acme,1,1,1,1,1.5,25.50,15.00,10.50,41.2
,1,0,0,0,0.0,0.00,0.00,0.00,
bolt,1,1,1,0,0.5,0.00,0.00,0.00,
"
    );
    let json = printed(Format::Json, &lines.rows[1..2], Some(&lines.total));
    assert_eq!(
        json,
        r#"[
  {
    "key": null,
    "calls": 1,
    "ended": 0,
    "connected": 0,
    "billable": 0,
    "talk_minutes": 0.0,
    "revenue": "0.00",
    "payout": "0.00",
    "margin": "0.00",
    "margin_percent": null
  }
]
"#
    );
    assert_eq!(printed::<PnlRow>(Format::Table, &[], Some(&lines.total)), "nothing to show\n");
    assert_eq!(printed::<PnlRow>(Format::Json, &[], None), "[]\n");
}

#[test]
fn pnl_by_each_key_has_the_same_total() {
    let folder = Folder::new("pnl-keys");
    let reader = small_store(&folder);
    let keys = |by| {
        let lines = pnl(&reader, by, None, None).expect("pnl");
        assert_eq!((lines.total.calls, lines.total.revenue.as_str()), (3, "25.50"), "{by:?}");
        lines.rows.into_iter().map(|row| row.key.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(keys(By::Target), ["acme-1", "", "bolt-1"]);
    assert_eq!(keys(By::Publisher), ["p7", ""]);
    assert_eq!(keys(By::Campaign), ["auto-us", ""]);
    assert_eq!(keys(By::Hour), ["2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z"]);
    let ten = Timestamp::from_micros(NINE.micros() + 3_600_000_000);
    assert_eq!(pnl(&reader, By::Buyer, Some(ten), None).expect("pnl").total.calls, 1);
    assert_eq!(pnl(&reader, By::Buyer, None, Some(ten)).expect("pnl").total.calls, 2);
}

#[test]
fn shares_and_minutes_are_rounded_half_up() {
    let table = [
        // revenue, margin, percent, talk in ms, minutes
        ("30", "10", Some(33.3), 0, 0.0),
        ("30", "20", Some(66.7), 2_999, 0.0),
        ("8", "0.001", Some(0.0), 3_000, 0.1),
        ("8", "0.004", Some(0.1), 8_999, 0.1),
        ("30", "-10", Some(-33.3), 9_000, 0.2),
        ("0", "-10", None, 600_000, 10.0),
        ("9000000000000", "9000000000000", Some(100.0), 0, 0.0),
    ];
    for (revenue, margin, percent, talk_ms, minutes) in table {
        let money = StoredMoney { revenue: money(revenue), margin: money(margin), payout: Money::ZERO };
        let row = PnlRow::from(StoredPnl { talk_ms, money, ..StoredPnl::default() });
        assert_eq!(
            (row.margin_percent, row.talk_minutes),
            (percent, minutes),
            "{revenue} {margin} {talk_ms}"
        );
    }
}

#[test]
fn calls_as_a_table_and_as_csv() {
    let folder = Folder::new("calls");
    let page = calls(&small_store(&folder), &CallQuery::default(), 10).expect("calls");
    let table = printed(Format::Table, &page.calls, None);
    let cut: Vec<&str> = table.lines().collect();
    assert_eq!(
        cut,
        [
            "at                        call_id                     campaign  publisher  caller        reason          target  attempts  price  end        talk_ms  revenue  payout  margin",
            "2026-11-20T10:00:01.000Z  01J0000000E0080000000003GH  auto-us   p7         +1512*****23  won             bolt-1         1  20.00  too_short    29000     0.00    0.00    0.00",
            "2026-11-20T09:00:09.000Z  01J0000000E008000000000009  -         -          +1512*****23  unknown_number  -              0      -  -                -     0.00    0.00    0.00",
            "2026-11-20T09:00:01.000Z  01J0000000E008000000000001  auto-us   p7         +1512*****23  won             acme-1         1  25.50  billable     91000    25.50   15.00   10.50",
        ]
    );
    let csv = printed(Format::Csv, &page.calls[..1], None);
    assert_eq!(
        csv,
        "\
at,call_id,campaign,publisher,carrier,carrier_call_id,test,number,sub_id,caller,state,basis,action,reason,target,\
buyer,attempts,price,decided_in_ms,ended_at,end_reason,connected,talk_ms,ended_by,billable,payable,revenue,payout,margin
2026-11-20T10:00:01.000Z,01J0000000E0080000000003GH,auto-us,p7,tw,CA\x1b[31m,false,'+18005550100,\
\"'=HYPERLINK(\"\"x\"\"),1\",'+1512*****23,TX,auction,dial,won,bolt-1,bolt,1,20.00,41.7,2026-11-20T09:01:36.000Z,\
too_short,true,29000,caller,false,false,0.00,0.00,0.00
"
    );
    let json = serde_json::to_value(&page.calls[0]).expect("serialisable");
    assert_eq!(json["revenue"], "0.00");
    assert_eq!(json["sub_id"], "=HYPERLINK(\"x\"),1", "only spreadsheets need the apostrophe");
    let mut names: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut columns: Vec<&str> = csv.lines().next().expect("names").split(',').collect();
    columns.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, columns, "a CSV has the fields of the JSON");
}

/// One row of one text and one amount.
#[derive(serde::Serialize)]
struct Pair(&'static str, &'static str);

impl Printed for Pair {
    const COLUMNS: &'static [Column] = &[Column::text("text"), Column::number("amount")];

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::of(self.0), Cell::of(self.1)]
    }
}

#[test]
fn cells_cannot_become_formulas_or_commands() {
    let table = [
        (Pair("plain", "-3.10"), "plain,-3.10"),
        (Pair("=1+1", "1"), "'=1+1,1"),
        (Pair("+1512", "1"), "'+1512,1"),
        (Pair("-1", "1"), "'-1,1"),
        (Pair("@sum", "1"), "'@sum,1"),
        (Pair("\t=1", "1"), "'\t=1,1"),
        (Pair("a,b", "1"), "\"a,b\",1"),
        (Pair("say \"x\"", "1"), "\"say \"\"x\"\"\",1"),
        (Pair("two\nlines", "1"), "\"two\nlines\",1"),
        (Pair("=a,b", "1"), "\"'=a,b\",1"),
        (Pair("", "1"), ",1"),
    ];
    for (row, line) in table {
        assert_eq!(printed(Format::Csv, &[row], None), format!("text,amount\n{line}\n"));
    }
    let rows = [Pair("a\x1b[2J\r\nb", "1"), Pair("\u{202e}c\u{7f}", "10.00")];
    let table = printed(Format::Table, &rows, None);
    assert_eq!(
        table,
        "text      amount\na\u{fffd}[2J\u{fffd}\u{fffd}b       1\n\u{fffd}c\u{fffd}        10.00\n"
    );
}

#[test]
fn colour_is_for_terminals() {
    let print_in = |style| {
        let mut out = Vec::new();
        print(&mut out, Format::Table, style, &[Pair("a", "1")], None).expect("printed");
        String::from_utf8(out).expect("text")
    };
    assert_eq!(print_in(Style::on(false)), "text  amount\na          1\n");
    assert_eq!(print_in(Style::on(true)), "\x1b[1mtext  amount\x1b[0m\na          1\n");
}

#[test]
fn pages_of_calls_go_on_to_the_end() {
    let folder = Folder::new("call-pages");
    let rows: Vec<Row> = (0..7).flat_map(whole_call).collect();
    write(&mut folder.open(), &rows);
    let reader = Reader::open(&folder.file()).expect("a reader");
    let (mut seen, mut query) = (Vec::new(), CallQuery::default());
    let sizes: Vec<usize> = std::iter::from_fn(|| {
        if !seen.is_empty() && query.after.is_none() {
            return None;
        }
        let page = calls(&reader, &query, 3).expect("calls");
        query.after = page.next.as_deref().map(|next| read_call_cursor(next).expect("our own cursor"));
        seen.extend(page.calls.iter().map(|call| call.call_id.clone()));
        Some(page.calls.len())
    })
    .collect();
    assert_eq!(sizes, [3, 3, 1]);
    let newest_first: Vec<String> = (0..7).rev().map(|n| call_id(n).to_string()).collect();
    assert_eq!(seen, newest_first);
    assert_eq!(calls(&reader, &CallQuery::default(), 7).expect("calls").next, None, "exactly the end");
    for bad in ["", "x", "AAAA", "!!!!", &"A".repeat(33), &"A".repeat(31)] {
        assert_eq!(read_call_cursor(bad), None, "{bad:?}");
    }
}

#[test]
fn outcomes_and_ledger_are_read_to_the_end_and_on() {
    let folder = Folder::new("pages");
    let mut store = folder.open();
    let rows: Vec<Row> = (0..5).flat_map(whole_call).collect();
    write(&mut store, &rows);
    write(&mut store, &[Row::Trail(Box::new(trail(5, false)))]);
    let reader = Reader::open(&folder.file()).expect("a reader");
    let (mut cursor, mut steps) = (0, Vec::new());
    for size in [2, 2, 1, 0, 0] {
        let page = outcomes(&reader, cursor, 2).expect("steps");
        assert_eq!(page.steps.len(), size);
        cursor = page.next;
        steps.extend(page.steps);
    }
    // What was pending comes when it is final.
    write(&mut store, &[Row::Trail(Box::new(trail(5, true)))]);
    steps.extend(outcomes(&reader, cursor, 2).expect("steps").steps);
    let ids: Vec<String> = (0..6).map(|n| call_id(n).to_string()).collect();
    assert_eq!(steps.iter().map(|step| step.call_id.clone()).collect::<Vec<_>>(), ids);
    let json = serde_json::to_value(&steps[0]).expect("serialisable");
    assert_eq!(json["tags"]["case"], "collision");
    assert_eq!(json["seed"], "42");
    assert_eq!(json["turns"], serde_json::json!([{ "node": 0, "first": 1 }]));
    let outbid = serde_json::json!({
        "target": "bolt-1", "buyer": "bolt", "reason": "outbid", "meaning": "A better effective score won.",
        "amount": "20.00", "ping_id": "00000000000000000000000007", "latency_ms": 38.0, "note": null
    });
    assert_eq!(json["outcomes"][1], outbid);

    let (mut cursor, mut entries) = (0, Vec::new());
    for size in [10, 5, 0] {
        let page = ledger(&reader, cursor, 10).expect("entries");
        assert_eq!(page.entries.len(), size);
        cursor = page.next;
        entries.extend(page.entries);
    }
    let payout = serde_json::json!({
        "call_id": call_id(0).to_string(), "at": "2026-11-20T09:00:00.000Z", "campaign": "auto-us",
        "publisher": "p7", "buyer": "acme", "target": "acme-1", "group": "attempt/1", "kind": "payout",
        "account": "publisher:p7", "amount": "-15.00", "booked_at": "2026-11-20T09:01:36.000Z"
    });
    assert_eq!(serde_json::to_value(&entries[1]).expect("serialisable"), payout);
}

#[test]
fn a_call_explained_to_a_person() {
    let folder = Folder::new("explain");
    let reader = small_store(&folder);
    let explained = explain(&reader, call_id(1)).expect("read").expect("known");
    assert_eq!(
        explained.text(Style::Plain),
        "\
CALL  01J0000000E008000000000001, arrived 2026-11-20T09:00:01.000Z
  campaign   auto-us
  publisher  p7
  number     +18005550100
  sub-id     fb-77
  caller     +1512*****23, state TX (by area_code)
  carrier    tw, its call CA1
  catalog    d1

DECISION  dial by auction: acme-1 of acme at 25.50
  reason  won: Took the call.
  took    41.7 ms, 0.3 ms of it not waiting for buyers

STEP 1  plan main, 3 targets, all_replied
  asked   after 0.2 ms
  closed  after 41.3 ms
  seed    42
  turns   round robin 1 from child 2
  tags    case=collision
  acme-1 won with 25.50 over 1 other offer, the highest bolt-1 with 20.00 (outbid)
  target  buyer  reason  amount  latency ms  why
  acme-1  acme   won      25.50        31.0  Took the call.
  bolt-1  bolt   outbid   20.00        38.0  A better effective score won.
  core-1  core   cap          -           -  A daily billable cap has no unit left. (50 of 50)

ATTEMPTS  1
  attempt  step  target  buyer  price  offered as    after ms  end       talk s  ended by  billable  what happened
        1     1  acme-1  acme   25.50  auction: won      41.7  billable  91.000  caller    yes       The buyer owes for the call.

EVENTS  1
  after ms  type   attempt  carrier's time            event id  detail
   94250.0  ended        1  2026-11-20T09:01:35.000Z  e1        normal, talk 91000 ms, by caller

END  billable: The buyer owes for the call.
  ended      2026-11-20T09:01:36.000Z by caller
  taken by   acme-1 of acme
  connected  yes
  talk       91.000 s, from carrier
  billable   yes
  payable    yes

LEDGER  revenue 25.50, payout 15.00, margin 10.50; balanced
  group      kind     account       amount  booked at
  attempt/1  revenue  buyer:acme     25.50  2026-11-20T09:01:36.000Z
  attempt/1  payout   publisher:p7  -15.00  2026-11-20T09:01:36.000Z
  attempt/1  margin   exchange      -10.50  2026-11-20T09:01:36.000Z
  sum                                 0.00
"
    );
    let plain = explained.text(Style::Plain);
    let coloured = explained.text(Style::Colour);
    assert!(coloured.contains("\x1b[32macme-1 won") && coloured.starts_with("\x1b[1mCALL\x1b[0m"));
    let stripped =
        ["\x1b[1m", "\x1b[32m", "\x1b[0m"].iter().fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(stripped, plain);

    let steered = explain(&reader, call_id(3_601)).expect("read").expect("known").text(Style::Plain);
    assert!(steered.contains("its call CA\u{fffd}[31m") && !steered.contains('\x1b'), "{steered}");
    assert!(steered.ends_with("\nLEDGER  no entries\n"), "{steered}");
}

#[test]
fn every_attempt_is_explained_in_one_line() {
    let folder = Folder::new("attempts");
    let mut store = folder.open();
    write(&mut store, &two_attempts(1));
    let own = AttemptRow {
        attempt: 3,
        step: 3,
        basis: "terminal",
        reason: Reason::NoTaker,
        target: None,
        buyer: None,
        price: None,
        ..second_attempt(2, None)
    };
    let recovered = [
        attempt(2, Some(EndFacts { connected: true, talk_ms: 4_000, ..unconnected(Reason::TooShort) })),
        second_attempt(2, Some(EndFacts { ended_by: "carrier", ..unconnected(Reason::NoAnswer) })),
        own,
    ];
    write(&mut store, &recovered.map(|row| Row::Attempt(Box::new(row))));
    let reader = Reader::open(&folder.file()).expect("a reader");
    let section = |n| {
        let text = explain(&reader, call_id(n)).expect("read").expect("known").text(Style::Plain);
        let from = text.find("ATTEMPTS").expect("the section");
        text[from..].split("\n\n").next().map(str::to_owned).expect("its lines")
    };
    assert_eq!(
        section(1),
        "\
ATTEMPTS  2
  attempt  step  target  buyer  price  offered as    after ms  end       talk s  ended by  billable  what happened
        1     1  acme-1  acme   25.50  auction: won      41.7  busy       0.000  target    no        The destination was busy.
        2     2  bolt-1  bolt   20.00  auction: won   12300.0  billable  91.000  caller    yes       The buyer owes for the call."
    );
    assert_eq!(
        section(2),
        "\
ATTEMPTS  3
  attempt  step  target  buyer  price  offered as          after ms  end        talk s  ended by  billable  what happened
        1     1  acme-1  acme   25.50  auction: won            41.7  too_short   4.000  target    no        Talk time below the minimum duration.
        2     2  bolt-1  bolt   20.00  auction: won         12300.0  no_answer   0.000  carrier   no        Nobody answered within the ring time.
        3     3  -       -          -  terminal: no_taker   12300.0  -               -  -         -         Its end is not known yet."
    );
    let page = calls(&reader, &CallQuery::default(), 1).expect("calls");
    assert_eq!((page.calls[0].attempts, page.calls[0].target.as_deref()), (2, Some("bolt-1")));
    let text = explain(&reader, call_id(2)).expect("read").expect("known").text(Style::Plain);
    assert!(
        text.starts_with("CALL  01J0000000E008000000000002, arrived 2026-11-20T09:00:02.000Z\n"),
        "{text}"
    );
}

#[test]
fn a_call_explained_to_a_program() {
    let folder = Folder::new("explain-json");
    let reader = small_store(&folder);
    let explained = explain(&reader, call_id(1)).expect("read").expect("known");
    let json = serde_json::to_value(&explained).expect("serialisable");
    let decision = serde_json::json!({
        "carrier": "tw", "carrier_call_id": "CA1", "test": false, "number": "+18005550100", "sub_id": "fb-77",
        "caller": "+1512*****23", "state": "TX", "geo_source": "area_code", "basis": "auction", "action": "dial", "reason": "won",
        "meaning": "Took the call.", "target": "acme-1", "buyer": "acme", "price": "25.50",
        "decided_in_ms": 41.7, "overhead_in_ms": 0.3, "catalog": "d1"
    });
    assert_eq!(json["decision"], decision);
    let end = serde_json::json!({
        "target": "acme-1", "buyer": "acme", "ended_at": "2026-11-20T09:01:36.000Z", "reason": "billable",
        "meaning": "The buyer owes for the call.", "connected": true, "talk_ms": 91_000, "talk_source": "carrier",
        "ended_by": "caller", "billable": true, "payable": true, "negative_margin": false
    });
    assert_eq!(json["end"], end);
    let attempt = serde_json::json!({
        "attempt": 1, "step": 1, "target": "acme-1", "buyer": "acme", "price": "25.50", "basis": "auction",
        "reason": "won", "meaning": "Took the call.", "offered_at": "2026-11-20T09:00:01.041Z",
        "offered_after_ms": 41.7, "catalog": "d1", "end": {
            "ended_at": "2026-11-20T09:01:36.000Z", "reason": "billable", "meaning": "The buyer owes for the call.",
            "connected": true, "talk_ms": 91_000, "talk_source": "carrier", "ended_by": "caller", "billable": true,
            "payable": true, "negative_margin": false
        }
    });
    assert_eq!(json["attempts"], serde_json::json!([attempt]));
    let event = serde_json::json!({
        "event_id": "e1", "type": "ended", "attempt": 1, "at": "2026-11-20T09:01:35.000Z",
        "received": "2026-11-20T09:01:35.250Z", "after_ms": 94_250.0, "detail": "normal, talk 91000 ms, by caller"
    });
    assert_eq!(json["events"], serde_json::json!([event]));
    assert_eq!(json["steps"][0]["outcomes"].as_array().map(Vec::len), Some(3));
    assert_eq!((&json["ledger"]["sum"], &json["ledger"]["is_balanced"]), (&"0.00".into(), &true.into()));
    assert_eq!(json["ledger"]["revenue"], "25.50");
    assert_eq!(json["at"], "2026-11-20T09:00:01.000Z");
    assert!(!json.to_string().contains(&u64::MAX.to_string()[..15]), "the caller's token stays in the store");
    assert_eq!(explain(&reader, call_id(77)).expect("read"), None);
}

#[test]
fn half_a_call_is_explained_as_far_as_it_goes() {
    let folder = Folder::new("half");
    let mut store = folder.open();
    let forged = LedgerRow { amount: money("-14.99"), ..entries(3).remove(1) };
    let mut rows = vec![Row::Event(Box::new(event(1, "e1"))), Row::Trail(Box::new(trail(2, false)))];
    rows.extend([Row::Ledger(entries(3).remove(0)), Row::Ledger(forged), Row::Ended(Box::new(ended(4)))]);
    write(&mut store, &rows);
    let reader = Reader::open(&folder.file()).expect("a reader");
    let text =
        |n| explain(&reader, call_id(n)).expect("read").map(|it| it.text(Style::Plain)).unwrap_or_default();
    assert!(text(1).contains("\n         -  ended        1  "), "no arrival, no time since: {}", text(1));
    assert!(text(2).contains("\nDECISION  not recorded\n"), "{}", text(2));
    assert!(
        text(2).contains("STEP 1  plan main, 3 targets, all_replied, outcomes still pending\n"),
        "{}",
        text(2)
    );
    assert!(text(2).contains("  acme-1 won with 25.50: no other offer stood\n"), "{}", text(2));
    assert!(text(2).contains("\nATTEMPTS  none\n\nEVENTS  none yet\n\nEND  not known yet\n"), "{}", text(2));
    assert!(
        text(3).contains("LEDGER  revenue 25.50, payout 14.99, margin 0.00; DOES NOT BALANCE: report this\n"),
        "{}",
        text(3)
    );
    assert!(text(3).starts_with("CALL  01J0000000E008000000000003, arrived 2026-11-20T09:00:03.000Z\n"));
    assert!(
        text(4).contains("\nDECISION  not recorded\n\nATTEMPTS  none\n\nEVENTS  none yet\n\nEND  billable"),
        "{}",
        text(4)
    );
}

#[test]
fn codes_of_a_later_version_are_shown_as_codes() {
    let folder = Folder::new("later");
    let mut store = folder.open();
    write(&mut store, &[Row::Decided(Box::new(decided(1))), Row::Ended(Box::new(ended(1)))]);
    store.conn().execute("UPDATE call SET reason = 999, end_reason = 998", ()).expect("a later version");
    let reader = Reader::open(&folder.file()).expect("a reader");
    let page = calls(&reader, &CallQuery::default(), 1).expect("calls");
    assert_eq!(page.calls[0].reason.as_deref(), Some("reason 999"));
    assert_eq!(page.calls[0].end_reason.as_deref(), Some("reason 998"));
    let text = explain(&reader, call_id(1)).expect("read").expect("known").text(Style::Plain);
    assert!(text.contains("reason  reason 999: A reason this version does not know.\n"), "{text}");
}

#[test]
fn the_winner_is_named_over_whom_it_beat() {
    let outcome = |target: &str, reason: Reason, amount: Option<&str>| OutcomeRow {
        target: target.to_owned(),
        buyer: "b".to_owned(),
        reason: reason.to_string(),
        meaning: reason.meaning().to_owned(),
        amount: amount.map(str::to_owned),
        ping_id: None,
        latency_ms: None,
        note: None,
        rules: None,
    };
    let (won, outbid, tier, tie) = (
        outcome("w", Reason::Won, Some("9.00")),
        outcome("o", Reason::Outbid, Some("8.00")),
        outcome("t", Reason::LowerTier, Some("10.00")),
        outcome("e", Reason::TieLost, None),
    );
    let late = outcome("l", Reason::Late, Some("99.00"));
    let table = [
        (vec![], "no target won this step"),
        (vec![outbid.clone(), late.clone()], "no target won this step"),
        (vec![won.clone(), late.clone()], "w won with 9.00: no other offer stood"),
        (vec![outcome("s", Reason::Static, None)], "s won: no other offer stood"),
        (
            vec![won.clone(), late.clone(), outcome("s", Reason::Static, None)],
            "w with 9.00, s ring at once: the first to be connected has the call",
        ),
        (
            vec![late, tie, won, outbid, tier],
            "w won with 9.00 over 3 other offers, the highest t with 10.00 (lower_tier)",
        ),
    ];
    for (outcomes, sentence) in table {
        assert_eq!(super::text::verdict(&outcomes, None), sentence);
        assert_eq!(super::text::verdict(&outcomes, Some("9.00")), sentence);
    }
    let second = super::text::verdict(&[outcome("w", Reason::Won, Some("9.00"))], Some("7.50"));
    assert_eq!(second, "w won with 9.00 and pays 7.50: no other offer stood");
}

/// Exactly what each may see: of a call that acme won with 25.50, bolt lost with 20 and core had no unit left for.
#[test]
fn a_call_is_cut_for_whoever_looks() {
    use serde_json::json;
    let folder = Folder::new("cut");
    let reader = small_store(&folder);
    let seen = |who: &str| {
        let explained = explain(&reader, call_id(1)).expect("read").expect("known");
        let cut = explained.cut(&As::parse(who).expect("buyer or publisher"), None);
        cut.map(|told| serde_json::to_value(told).expect("JSON"))
    };
    let outcome = |target: &str, reason: Reason, amount: Option<&str>, latency_ms: Option<f64>| {
        json!({"step": 1, "target": target, "reason": reason.as_str(), "meaning": reason.meaning(), "amount": amount,
            "ping_id": amount.map(|_| "00000000000000000000000007"), "latency_ms": latency_ms, "rules": []})
    };
    let buyer = |id: &str, outcome, attempts, entries| {
        json!({"call_id": call_id(1).to_string(), "buyer": id, "at": "2026-11-20T09:00:01Z", "campaign": "auto-us",
            "test": false, "outcomes": [outcome], "attempts": attempts, "entries": entries})
    };
    let end = json!({"ended_at": "2026-11-20T09:01:36Z", "connected": true, "talk_ms": 91_000, "ended_by": "caller",
        "reason": "billable", "counts": true});
    let attempt = json!({"attempt": 1, "target": "acme-1", "price": "25.50", "offered_at": "2026-11-20T09:00:01Z",
        "end": end});
    let booked =
        |kind: &str, amount: &str, at: &str| json!({"kind": kind, "amount": amount, "booked_at": at});
    let table = [
        (
            "buyer:acme",
            Some(buyer(
                "acme",
                outcome("acme-1", Reason::Won, Some("25.50"), Some(31.0)),
                json!([attempt]),
                json!([booked("revenue", "25.50", "2026-11-20T09:01:36Z")]),
            )),
        ),
        (
            "buyer:bolt",
            Some(buyer(
                "bolt",
                outcome("bolt-1", Reason::Outbid, Some("20.00"), Some(38.0)),
                json!([]),
                json!([]),
            )),
        ),
        ("buyer:core", Some(buyer("core", outcome("core-1", Reason::Cap, None, None), json!([]), json!([])))),
        ("buyer:other", None),
        (
            "publisher:p7",
            Some(
                json!({"call_id": call_id(1).to_string(), "publisher": "p7", "at": "2026-11-20T09:00:01.000Z",
                "campaign": "auto-us", "number": "+18005550100", "sub_id": "fb-77", "caller": "+1512*****23",
                "state": "TX", "test": false, "action": "dial", "attempts": 1,
                "end": {"ended_at": "2026-11-20T09:01:36.000Z", "connected": true, "talk_ms": 91_000,
                    "ended_by": "caller", "reason": null, "counts": true},
                "entries": [booked("payout", "-15.00", "2026-11-20T09:01:36.000Z")]}),
            ),
        ),
        ("publisher:other", None),
    ];
    for (who, expected) in table {
        let found = seen(who);
        assert_eq!(found, expected, "{who}: {}", found.clone().unwrap_or_default());
    }
    for bad in ["acme", "buyer:", "carrier:tw", ""] {
        assert_eq!(As::parse(bad), None, "{bad}");
    }
}

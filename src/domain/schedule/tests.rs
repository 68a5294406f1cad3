//! Tables of opening hours and day windows, by the wall clock of their zones.

use super::*;

/// `2026-03-08T13:00Z`, seconds optional.
fn instant(text: &str) -> Timestamp {
    let text = text.strip_suffix('Z').expect("an instant in UTC");
    let seconds = if text.matches(':').count() == 1 { ":00" } else { "" };
    Timestamp::parse(&format!("{text}{seconds}Z")).expect("an instant")
}

fn zone(name: &str) -> Zone {
    Zone::load(name).expect("a zone of the bundled database")
}

fn hours(text: &str) -> Hours {
    text.split(';').map(|range| Hours::parse_item(range).expect("a range")).collect()
}

fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| row.split('|').map(str::trim).collect())
}

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;

#[test]
fn open_or_closed_at_an_instant() {
    let table = "
        # 2026-03-02 is a Monday, New York at UTC-5.
        America/New_York | mon-fri 09:00-17:00 | 2026-03-02T13:59:59Z closed
        America/New_York | mon-fri 09:00-17:00 | 2026-03-02T14:00Z open
        America/New_York | mon-fri 09:00-17:00 | 2026-03-02T21:59:59.999999Z open
        America/New_York | mon-fri 09:00-17:00 | 2026-03-02T22:00:00Z closed
        America/New_York | mon-fri 09:00-17:00 | 2026-03-06T15:00Z open
        America/New_York | mon-fri 09:00-17:00 | 2026-03-07T15:00Z closed
        America/New_York | mon,wed,fri 09:00-17:00 | 2026-03-03T15:00Z closed
        America/New_York | mon,wed,fri 09:00-17:00 | 2026-03-04T15:00Z open
        America/New_York | fri-mon 09:00-17:00 | 2026-03-01T15:00Z open
        America/New_York | fri-mon 09:00-17:00 | 2026-03-05T15:00Z closed
        # The weekday is the local one: Monday 23:00 in New York is Tuesday in UTC.
        America/New_York | mon 22:00-24:00 | 2026-03-03T04:59Z open
        America/New_York | mon 22:00-24:00 | 2026-03-03T05:00Z closed
        # Several ranges on a day, with a break between; overlapping ones are one.
        America/New_York | daily 09:00-12:00; daily 13:00-17:00 | 2026-03-02T17:30Z closed
        America/New_York | daily 09:00-12:00; daily 13:00-17:00 | 2026-03-02T18:00Z open
        America/New_York | daily 09:00-12:00; mon 11:00-17:00 | 2026-03-02T17:30Z open
        # Past midnight, and over the end of the week.
        America/New_York | fri 22:00-02:00 | 2026-03-07T03:00Z open
        America/New_York | fri 22:00-02:00 | 2026-03-07T06:59:59Z open
        America/New_York | fri 22:00-02:00 | 2026-03-07T07:00Z closed
        America/New_York | fri 22:00-02:00 | 2026-03-06T06:00Z closed
        America/New_York | fri 22:00-02:00 | 2026-03-08T03:00Z closed
        America/New_York | sun 22:00-02:00 | 2026-03-02T06:00Z open
        America/New_York | sun 22:00-02:00 | 2026-03-02T07:00Z closed
        America/New_York | sun 22:00-02:00 | 2026-03-03T06:00Z closed
        # 23 h: closed from 09:00 to 10:00 only.
        UTC | daily 10:00-09:00 | 2026-03-02T08:59Z open
        UTC | daily 10:00-09:00 | 2026-03-02T09:00Z closed
        UTC | daily 10:00-09:00 | 2026-03-02T10:00Z open
        UTC | sat 22:00-00:00 | 2026-03-07T23:59Z open
        UTC | sat 22:00-00:00 | 2026-03-08T00:00Z closed
        Asia/Kathmandu | daily 09:00-17:00 | 2026-03-02T03:15Z open
        Asia/Kathmandu | daily 09:00-17:00 | 2026-03-02T03:14:59Z closed
        UTC | daily 09:00-17:00 | 1969-12-31T16:59:59.999999Z open
    ";
    for row in rows(table) {
        let (at, expected) = row[2].split_once(' ').expect("an instant and open or closed");
        let open = hours(row[1]).is_open(&zone(row[0]), instant(at));
        assert_eq!(if open { "open" } else { "closed" }, expected, "{row:?}");
    }
}

/// The spans, in UTC, in which a minute-by-minute walk finds the hours open.
fn open_spans(hours: &Hours, zone: &Zone, from: Timestamp, until: Timestamp) -> String {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for us in (from.micros()..until.micros()).step_by(MINUTE_US as usize) {
        if !hours.is_open(zone, Timestamp::from_micros(us)) {
            continue;
        }
        match spans.last_mut() {
            Some(span) if span.1 == us => span.1 += MINUTE_US,
            _ => spans.push((us, us + MINUTE_US)),
        }
    }
    let clock =
        |us: i64| jiff::Timestamp::from_microsecond(us).expect("in range").strftime("%H:%M").to_string();
    spans.iter().map(|&(start, end)| format!("{}-{}", clock(start), clock(end))).collect::<Vec<_>>().join(" ")
}

/// Scenario 17: the days the clocks change. Walks the UTC hours given, expects spans in UTC.
#[test]
fn hours_follow_the_wall_clock_when_it_changes() {
    let table = "
        # New York: 02:00 becomes 03:00 at 07:00Z on 2026-03-08, 02:00 becomes 01:00 at 06:00Z on 2026-11-01.
        America/New_York | daily 09:00-17:00 | 2026-03-07T05:00Z 2026-03-08T05:00Z | 14:00-22:00
        America/New_York | daily 09:00-17:00 | 2026-03-08T05:00Z 2026-03-09T04:00Z | 13:00-21:00
        America/New_York | daily 09:00-17:00 | 2026-10-31T04:00Z 2026-11-01T04:00Z | 13:00-21:00
        America/New_York | daily 09:00-17:00 | 2026-11-01T04:00Z 2026-11-02T05:00Z | 14:00-22:00
        America/New_York | daily 01:00-03:00 | 2026-03-08T05:00Z 2026-03-09T04:00Z | 06:00-07:00
        America/New_York | daily 01:00-03:00 | 2026-11-01T04:00Z 2026-11-02T05:00Z | 05:00-08:00
        # The repeated hour is open twice, what is skipped never and never stuck.
        America/New_York | daily 01:00-01:30 | 2026-11-01T04:00Z 2026-11-02T05:00Z | 05:00-05:30 06:00-06:30
        America/New_York | daily 01:30-02:00 | 2026-11-01T04:00Z 2026-11-02T05:00Z | 05:30-06:00 06:30-07:00
        America/New_York | daily 02:00-03:00 | 2026-03-08T05:00Z 2026-03-09T04:00Z |
        America/New_York | daily 02:30-02:31 | 2026-03-08T05:00Z 2026-03-09T04:00Z |
        America/New_York | daily 02:30-04:00 | 2026-03-08T05:00Z 2026-03-09T04:00Z | 07:00-08:00
        America/New_York | daily 00:00-02:30 | 2026-03-08T05:00Z 2026-03-09T04:00Z | 05:00-07:00
        # Overnight over the change: 4 h and 6 h instead of 5.
        America/New_York | sat 22:00-03:00 | 2026-03-08T00:00Z 2026-03-09T12:00Z | 03:00-07:00
        America/New_York | sat 22:00-02:30 | 2026-03-08T00:00Z 2026-03-09T12:00Z | 03:00-07:00
        America/New_York | sat 22:00-03:00 | 2026-11-01T00:00Z 2026-11-02T12:00Z | 02:00-08:00
        America/New_York | sat 22:00-01:30 | 2026-11-01T00:00Z 2026-11-02T12:00Z | 02:00-05:30 06:00-06:30
        # Lord Howe moves by half an hour: back at 15:00Z on 2026-04-04, on at 15:30Z on 2026-10-03.
        Australia/Lord_Howe | sun 01:30-02:00 | 2026-04-04T12:00Z 2026-04-05T12:00Z | 14:30-15:30
        Australia/Lord_Howe | sun 01:45-02:00 | 2026-04-04T12:00Z 2026-04-05T12:00Z | 14:45-15:00 15:15-15:30
        Australia/Lord_Howe | sun 02:00-02:30 | 2026-10-03T12:00Z 2026-10-04T12:00Z |
        Australia/Lord_Howe | sun 09:00-17:00 | 2026-10-03T12:00Z 2026-10-04T12:00Z | 22:00-06:00
        # Havana skips 00:00 to 01:00 on 2026-03-08 at 05:00Z and repeats it on 2026-11-01 from 04:00Z.
        America/Havana | sun 00:00-01:00 | 2026-03-08T00:00Z 2026-03-09T12:00Z |
        America/Havana | sat 23:00-00:30 | 2026-03-08T00:00Z 2026-03-09T12:00Z | 04:00-05:00
        America/Havana | sun 00:00-01:00 | 2026-11-01T00:00Z 2026-11-02T12:00Z | 04:00-06:00
        # Beirut repeats Saturday 23:00 on 2026-10-24: Saturday's hours open again, Sunday's have not begun.
        Asia/Beirut | sat 23:00-24:00 | 2026-10-24T12:00Z 2026-10-25T12:00Z | 20:00-22:00
        Asia/Beirut | sun 00:00-01:00 | 2026-10-24T12:00Z 2026-10-25T12:00Z | 22:00-23:00
        Asia/Beirut | sun 00:00-02:00 | 2026-03-28T12:00Z 2026-03-29T12:00Z | 22:00-23:00
        # Phoenix does not take part.
        America/Phoenix | daily 01:00-03:00 | 2026-03-08T07:00Z 2026-03-09T07:00Z | 08:00-10:00
        America/Phoenix | daily 01:00-03:00 | 2026-11-01T07:00Z 2026-11-02T07:00Z | 08:00-10:00
    ";
    for row in rows(table) {
        let (from, until) = row[2].split_once(' ').expect("two instants");
        let spans = open_spans(&hours(row[1]), &zone(row[0]), instant(from), instant(until));
        assert_eq!(spans, row[3], "{row:?}");
    }
}

/// Thanksgiving is a Thursday, 2026-11-26; New York is at UTC-5.
#[test]
fn a_date_of_its_own_is_ruled_by_what_is_said_of_it() {
    let table = "
        mon-fri 09:00-17:00; 2026-11-26 closed                | 2026-11-25T12:00Z 2026-11-28T05:00Z | 14:00-22:00 14:00-22:00
        mon-fri 09:00-17:00; 2026-11-26 10:00-12:00           | 2026-11-26T05:00Z 2026-11-27T05:00Z | 15:00-17:00
        mon-fri 09:00-17:00; 2026-11-26 10:00-12:00; 2026-11-26 13:00-14:00 | 2026-11-26T05:00Z 2026-11-27T05:00Z | 15:00-17:00 18:00-19:00
        mon-fri 09:00-17:00; 2026-11-28 10:00-12:00           | 2026-11-28T05:00Z 2026-11-29T05:00Z | 15:00-17:00
        mon-fri 09:00-17:00; 2026-11-26/2026-11-27 closed     | 2026-11-26T05:00Z 2026-11-28T05:00Z |
        # The night before does not reach into it, and its own night reaches out of it.
        daily 22:00-02:00; 2026-11-26 closed                  | 2026-11-25T12:00Z 2026-11-27T12:00Z | 03:00-05:00
        daily 22:00-02:00; 2026-11-26 22:00-03:00             | 2026-11-25T12:00Z 2026-11-27T12:00Z | 03:00-05:00 03:00-08:00
        daily 22:00-02:00; 2026-11-26 09:00-10:00             | 2026-11-25T12:00Z 2026-11-28T05:00Z | 03:00-05:00 14:00-15:00 03:00-05:00
        # Dates alone: always open but for them.
        2026-11-26 closed                                     | 2026-11-26T03:00Z 2026-11-27T07:00Z | 03:00-05:00 05:00-07:00
        # The day has 25 hours, closed or not.
        daily 00:00-24:00; 2026-11-01 closed                  | 2026-11-01T03:00Z 2026-11-02T06:00Z | 03:00-04:00 05:00-06:00
        daily 09:00-17:00; 2026-11-01 01:00-02:00             | 2026-11-01T04:00Z 2026-11-02T05:00Z | 05:00-07:00
    ";
    for row in rows(table) {
        let (from, until) = row[1].split_once(' ').expect("two instants");
        let spans = open_spans(&hours(row[0]), &zone("America/New_York"), instant(from), instant(until));
        assert_eq!(spans, row[2], "{row:?}");
    }
}

#[test]
fn what_is_said_twice_is_found() {
    let table = "
        mon-fri 09:00-17:00; sat 09:00-17:00               | none
        mon-fri 09:00-12:00; mon-fri 12:00-17:00           | none
        mon-fri 09:00-12:00; wed 11:00-13:00               | mon-fri 09:00-12:00 and wed 11:00-13:00
        sun 22:00-02:00; mon 01:00-03:00                   | sun 22:00-02:00 and mon 01:00-03:00
        daily 09:00-17:00; 2026-11-26 closed               | none
        2026-11-26 closed; 2026-11-26 09:00-10:00          | 2026-11-26 closed and 2026-11-26 09:00-10:00
        2026-11-26 09:00-10:00; 2026-11-26 10:00-11:00     | none
        2026-11-26 09:00-11:00; 2026-11-25/2026-11-27 10:00-12:00 | 2026-11-25/2026-11-27 10:00-12:00 and 2026-11-26 09:00-11:00
    ";
    for row in rows(table) {
        let found = hours(row[0]).overlap().map_or("none".to_owned(), |(a, b)| format!("{a} and {b}"));
        assert_eq!(found, row[1], "{row:?}");
    }
}

#[test]
fn hours_of_two_meet_or_not() {
    let table = "
        mon-fri 09:00-17:00 | fri 16:59-18:00    | true
        mon-fri 09:00-17:00 | fri 17:00-18:00    | false
        mon-fri 09:00-17:00 | sat 09:00-17:00    | false
        sun 22:00-02:00     | mon 01:00-01:01    | true
        2026-11-26 closed   | sat 09:00-17:00    | true
        mon-fri 09:00-17:00; 2026-11-28 09:00-10:00 | sat 09:00-17:00 | true
        mon-fri 09:00-17:00; 2026-11-28 closed      | sat 09:00-17:00 | false
        mon-fri 22:00-02:00 | sat 01:00-03:00    | true
    ";
    for row in rows(table) {
        assert_eq!(hours(row[0]).meets(&hours(row[1])).to_string(), row[2], "{row:?}");
        assert_eq!(hours(row[1]).meets(&hours(row[0])).to_string(), row[2], "{row:?}");
    }
}

/// New York is 1 h ahead of Chicago, 2 h of Denver and mostly 2 or 3 h of Phoenix, which has no summer time.
#[test]
fn hours_of_two_zones_meet_or_not() {
    let table = "
        America/New_York | mon-fri 09:00-10:00 | America/Chicago | mon-fri 09:00-17:00   | false
        America/New_York | mon-fri 09:00-10:01 | America/Chicago | mon-fri 09:00-17:00   | true
        America/New_York | mon-fri 18:00-20:00 | America/Chicago | mon-fri 09:00-17:00   | false
        America/New_York | mon-fri 17:59-20:00 | America/Chicago | mon-fri 09:00-17:00   | true
        America/New_York | daily 09:00-17:00   | America/New_York | daily 17:00-20:00    | false
        # The week begins anew: Monday 00:30 in New York is Sunday in Chicago.
        America/New_York | mon 00:00-01:00     | America/Chicago | sun 23:00-24:00       | true
        America/New_York | mon 00:00-01:00     | America/Chicago | mon 00:00-24:00       | false
        America/Chicago  | sun 23:00-24:00     | America/New_York | sun 00:00-24:00      | false
        # In winter by two hours, in summer by three.
        America/New_York | mon 12:00-13:00     | America/Phoenix | mon 10:00-11:00       | true
        America/New_York | mon 12:00-13:00     | America/Phoenix | mon 09:00-10:00       | true
        America/New_York | mon 12:00-13:00     | America/Phoenix | mon 08:00-09:00       | false
        # New York's clocks are put back an hour before Chicago's: then both show 01:00 to 02:00.
        America/New_York | sun 01:00-02:00     | America/Chicago | sun 01:00-02:00       | true
        America/New_York | sun 02:00-03:00     | America/Chicago | sun 02:00-03:00       | false
        # Half hours, and more than a day between two clocks.
        Asia/Kolkata     | mon 09:00-09:30     | UTC             | mon 03:30-04:00       | true
        Asia/Kolkata     | mon 09:00-09:30     | UTC             | mon 04:00-05:00       | false
        Pacific/Kiritimati | wed 12:00-13:00   | Pacific/Pago_Pago | tue 11:00-12:00     | true
        Pacific/Kiritimati | wed 12:00-13:00   | Pacific/Pago_Pago | wed 00:00-24:00     | false
        # Dates that are open are not looked at, dates that are closed make no time.
        UTC | sat 09:00-17:00; 2026-11-27 09:00-10:00 | America/Chicago | mon 09:00-17:00 | true
        UTC | sat 09:00-17:00; 2026-11-27 closed      | America/Chicago | mon 09:00-17:00 | false
        UTC | 2026-11-26 closed                       | America/Chicago | mon 09:00-17:00 | true
    ";
    for row in rows(table) {
        let (own, theirs) = ((hours(row[1]), zone(row[0])), (hours(row[3]), zone(row[2])));
        assert_eq!(own.0.meets_in(&own.1, &theirs.0, &theirs.1).to_string(), row[4], "{row:?}");
        assert_eq!(theirs.0.meets_in(&theirs.1, &own.0, &own.1).to_string(), row[4], "{row:?}");
    }
}

#[test]
fn whether_a_time_is_left_that_others_do_not_take() {
    let table = "
        # open, all of them, separated by & | closed, each of them | whether there may be such a time
        mon-fri 09:00-17:00                      |                                            | true
        mon-fri 09:00-17:00                      | tue 10:00-11:00                            | true
        tue 10:00-11:00                          | mon-fri 09:00-17:00                        | false
        tue 10:00-11:00                          | tue 10:00-10:30 & tue 10:30-11:00          | false
        tue 10:00-11:00                          | tue 10:00-10:30 & tue 10:31-11:00          | true
        sat 00:00-02:00                          | fri 22:00-02:00                            | false
        mon-fri 09:00-17:00 & sat 09:00-17:00    |                                            | false
        mon-fri 09:00-17:00 & fri 16:00-18:00    | daily 00:00-16:59                          | true
        mon-fri 09:00-17:00 & fri 16:00-18:00    | daily 00:00-17:00                          | false
                                                 | daily 00:00-24:00                          | false
                                                 | mon-sat 00:00-24:00; sun 00:00-23:59       | true
        # Dates: an earlier one may leave its closed days, and hours of their own may be such a time.
                                                 | daily 00:00-24:00; 2026-12-25 closed       | true
        2026-12-25 closed                        | daily 00:00-24:00                          | false
        sat 09:00-10:00; 2026-12-25 closed       | mon-fri 09:00-17:00                        | true
        sat 09:00-10:00; 2026-12-25 09:00-10:00  | daily 00:00-24:00                          | true
    ";
    for row in rows(table) {
        let read = |text: &str| -> Vec<Hours> {
            text.split('&').map(str::trim).filter(|one| !one.is_empty()).map(hours).collect()
        };
        let (open, closed) = (read(row[0]), read(row[1]));
        let may = Hours::may_hold(&open.iter().collect::<Vec<_>>(), &closed.iter().collect::<Vec<_>>());
        assert_eq!(may.to_string(), row[2], "{row:?}");
    }
}

#[test]
fn no_ranges_are_never_open_and_always_is_always() {
    let zone = zone("America/New_York");
    for us in (0..8 * 24).map(|hour| instant("2026-03-05T00:00Z").micros() + hour * HOUR_US) {
        assert!(!Hours::default().is_open(&zone, Timestamp::from_micros(us)));
        assert!(Hours::always().is_open(&zone, Timestamp::from_micros(us)));
    }
}

#[test]
fn day_windows() {
    let table = "
        # zone | an instant | first instant, first instant of the next date, hours
        America/New_York | 2026-03-02T12:00Z | 2026-03-02T05:00Z 2026-03-03T05:00Z 24
        America/New_York | 2026-03-08T05:00Z | 2026-03-08T05:00Z 2026-03-09T04:00Z 23
        America/New_York | 2026-03-09T03:59:59.999999Z | 2026-03-08T05:00Z 2026-03-09T04:00Z 23
        America/New_York | 2026-03-09T04:00Z | 2026-03-09T04:00Z 2026-03-10T04:00Z 24
        America/New_York | 2026-11-01T05:30Z | 2026-11-01T04:00Z 2026-11-02T05:00Z 25
        America/New_York | 2026-11-01T06:30Z | 2026-11-01T04:00Z 2026-11-02T05:00Z 25
        America/Phoenix  | 2026-03-08T12:00Z | 2026-03-08T07:00Z 2026-03-09T07:00Z 24
        America/Phoenix  | 2026-11-01T12:00Z | 2026-11-01T07:00Z 2026-11-02T07:00Z 24
        Australia/Lord_Howe | 2026-04-04T15:10Z | 2026-04-04T13:00Z 2026-04-05T13:30Z 24.5
        Australia/Lord_Howe | 2026-10-03T16:00Z | 2026-10-03T13:30Z 2026-10-04T13:00Z 23.5
        # Midnight does not exist: the day begins at 01:00.
        America/Havana | 2026-03-08T04:59:59Z | 2026-03-07T05:00Z 2026-03-08T05:00Z 24
        America/Havana | 2026-03-08T05:00Z | 2026-03-08T05:00Z 2026-03-09T04:00Z 23
        Asia/Beirut    | 2026-03-28T22:00Z | 2026-03-28T22:00Z 2026-03-29T21:00Z 23
        # Midnight exists twice: the day begins at the first; or 23:00 does: the day before ends late.
        America/Havana | 2026-11-01T05:30Z | 2026-11-01T04:00Z 2026-11-02T05:00Z 25
        Asia/Beirut    | 2026-10-24T21:30Z | 2026-10-23T21:00Z 2026-10-24T22:00Z 25
        # The past's worst: 23:30 became 00:30; 00:01 became 23:01 of the day before, whose second end
        # belongs to the day that had begun; a whole date was left out.
        America/Toronto | 1919-03-31T04:30Z | 1919-03-31T04:30Z 1919-04-01T04:00Z 23.5
        America/Toronto | 1919-03-31T04:29Z | 1919-03-30T05:00Z 1919-03-31T04:30Z 23.5
        America/St_Johns | 2006-10-29T02:00Z | 2006-10-28T02:30Z 2006-10-29T02:30Z 24
        America/St_Johns | 2006-10-29T03:00Z | 2006-10-29T02:30Z 2006-10-30T03:30Z 25
        Pacific/Apia | 2011-12-30T09:59Z | 2011-12-29T10:00Z 2011-12-30T10:00Z 24
        Pacific/Apia | 2011-12-30T10:00Z | 2011-12-30T10:00Z 2011-12-31T10:00Z 24
    ";
    for row in rows(table) {
        let at = instant(row[1]);
        let window = day_window(&zone(row[0]), at);
        let expected: Vec<&str> = row[2].split(' ').collect();
        let found = (window.start, window.end);
        assert_eq!(found, (instant(expected[0]), instant(expected[1])), "{row:?}: {window:?}");
        let span = window.end.micros() - window.start.micros();
        assert_eq!(span as f64 / HOUR_US as f64, expected[2].parse::<f64>().expect("hours"), "{row:?}");
        assert!(window.contains(at), "{row:?}");
    }
}

#[test]
fn day_windows_partition_time() {
    let zones = [
        "America/New_York",
        "America/Phoenix",
        "America/Havana",
        "Asia/Beirut",
        "Australia/Lord_Howe",
        "America/Nuuk",
    ];
    let (from, until) = (instant("2026-01-01T00:00Z"), instant("2028-01-01T00:00Z"));
    for zone in zones.map(zone) {
        let mut current = day_window(&zone, from);
        let mut lengths = std::collections::BTreeMap::new();
        for us in (from.micros()..until.micros()).step_by(15 * MINUTE_US as usize) {
            let at = Timestamp::from_micros(us);
            let window = day_window(&zone, at);
            assert!(window.contains(at), "{zone}: {at:?} outside {window:?}");
            if window != current {
                assert_eq!(window.start, current.end, "{zone}: at {at:?}");
                assert!(!current.contains(at), "{zone}: {at:?} in two windows");
                *lengths.entry((window.end.micros() - window.start.micros()) / MINUTE_US).or_insert(0) += 1;
                current = window;
            }
        }
        let lengths: Vec<_> = lengths.into_iter().collect();
        let ordinary = lengths.iter().find(|(minutes, _)| *minutes == 1440).expect("ordinary days").1;
        let changed: i32 = lengths.iter().map(|(_, days)| days).sum::<i32>() - ordinary;
        assert_eq!(changed, if zone.name() == "America/Phoenix" { 0 } else { 4 }, "{zone}: {lengths:?}");
    }
}

#[test]
fn instants_beyond_the_calendar_do_not_panic() {
    for name in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"] {
        for us in [i64::MIN, i64::MAX, -377_705_116_800_000_000, 253_402_300_799_999_999] {
            let at = Timestamp::from_micros(us);
            let window = day_window(&zone(name), at);
            assert!(window.start < window.end);
            assert!(Hours::always().is_open(&zone(name), at));
        }
    }
}

#[test]
fn ranges_are_read_and_written() {
    let table = "
        mon-fri 09:00-17:00      | mon-fri 09:00-17:00
        sat 10:00-14:30          | sat 10:00-14:30
        mon,wed,fri 09:00-17:00  | mon,wed,fri 09:00-17:00
        wed,mon,tue 09:00-17:00  | mon-wed 09:00-17:00
        mon-tue,thu 09:00-17:00  | mon-tue,thu 09:00-17:00
        fri-mon 09:00-17:00      | mon,fri-sun 09:00-17:00
        sun-sat 09:00-17:00      | daily 09:00-17:00
        Mon-Fri   09:00-17:00    | mon-fri 09:00-17:00
        DAILY 00:00-24:00        | daily 00:00-24:00
        fri 22:00-02:00          | fri 22:00-02:00
        fri 22:00-00:00          | fri 22:00-24:00
        fri 23:59-24:00          | fri 23:59-24:00
        2026-12-25 closed        | 2026-12-25 closed
        2026-12-24/2026-12-26 22:00-02:00 | 2026-12-24/2026-12-26 22:00-02:00
    ";
    for row in rows(table) {
        let range = Hours::parse_item(row[0]).expect("a range");
        assert_eq!(range.to_string(), row[1], "{row:?}");
        assert_eq!(Hours::parse_item(row[1]), Ok(range), "{row:?}");
    }
    assert_eq!(hours("fri 22:00-02:00;mon 09:00-10:00").to_string(), "fri 22:00-02:00; mon 09:00-10:00");
    assert_eq!(Hours::default().to_string(), "never");
    assert_eq!(Hours::always(), hours("daily 00:00-24:00"));
}

#[test]
fn errors_name_the_part_and_what_is_allowed() {
    let table = "
        # text | the offending part | what is allowed begins with
        mon-fri               | mon-fri     | days or dates, a space, hours
        09:00-17:00           | 09:00-17:00 | days or dates, a space, hours
        mon 09:00-17:00 EST   | mon 09:00-17:00 EST | days or dates, a space, hours
        mon 09:00 - 17:00     | mon 09:00 - 17:00   | days or dates, a space, hours
        2026-02-29 closed     | 2026-02-29  | a date such as
        2026-2-3 closed       | 2026-2-3    | a date such as
        2026-12-26/2026-12-25 closed | 2026-12-26/2026-12-25 | a date such as
        2026-12-25 shut       | shut        | start-end
        mon closed            | closed      | start-end
        monday 09:00-17:00    | monday      | mon tue wed
        mon-frx 09:00-17:00   | mon-frx     | mon tue wed
        mon,,fri 09:00-17:00  |             | mon tue wed
        mon,daily 09:00-17:00 | daily       | mon tue wed
        mon-wed-fri 09:00-17:00 | mon-wed-fri | mon tue wed
        mon 09:00             | 09:00       | start-end
        mon 9:00-17:00        | 9:00        | HH:MM
        mon 09:00-5pm         | 5pm         | HH:MM
        mon 09.00-17:00       | 09.00       | HH:MM
        mon 09:60-17:00       | 09:60       | HH:MM
        mon 09:00-24:01       | 24:01       | HH:MM
        mon 09:00-25:00       | 25:00       | HH:MM
        mon 09:00-9é:0        | 9é:0        | HH:MM
        mon 0::00-17:00       | 0::00       | HH:MM
        mon 09:00-17:00-18:00 | 17:00-18:00 | HH:MM
        mon 24:00-02:00       | 24:00-02:00 | start-end
        mon 09:00-09:00       | 09:00-09:00 | start-end
        mon 00:00-00:00       | 00:00-00:00 | start-end
    ";
    for row in rows(table) {
        let error = Hours::parse_item(row[0]).expect_err(row[0]);
        assert_eq!(error.value, row[1], "{row:?}");
        assert!(error.allowed.starts_with(row[2]), "{row:?}: {error}");
    }
    assert_eq!(
        Hours::parse_item("mon 9:00-17:00").expect_err("one digit").to_string(),
        "`9:00` is not a time of day; allowed: HH:MM from 00:00 to 23:59, and 24:00 as an end"
    );
    assert!(Hours::parse_item("").is_err());
}

#[test]
fn what_the_clock_shows_does_not_depend_on_what_was_asked_before() {
    let second = 1_000_000;
    // Changes at a full hour of UTC, at half past, with an offset in seconds, with a day left out; and before 1970.
    for (name, around) in [
        ("America/New_York", 1_793_512_800),
        ("Australia/Lord_Howe", 1_775_314_800),
        ("Europe/Amsterdam", -1_025_740_800),
        ("Pacific/Apia", 1_325_239_200),
        ("America/Chicago", -2_717_647_200),
    ] {
        let kept = zone(name);
        let minutes = (-40..40).flat_map(|minute| [minute * 60 - 1, minute * 60]);
        let far = (-40..40).map(|n| n * 86_400 / 2);
        let all: Vec<i64> = minutes.chain(far).collect();
        for from in all.iter().chain(all.iter().rev()) {
            let at = Timestamp::from_micros((around + from) * second + 7);
            let local = zone(name).rules.to_datetime(to_jiff(at));
            assert_eq!(kept.wall(at).today, Day::of(local.date()), "{name} {from}");
            assert_eq!(
                (kept.wall(at).minute, kept.wall(at).weekday.0),
                (
                    (local.hour() as u16) * 60 + local.minute() as u16,
                    local.weekday().to_monday_zero_offset() as u8
                ),
                "{name} {from}"
            );
        }
    }
}

#[test]
fn zones_are_known_by_name() {
    assert_eq!(zone("america/new_york"), zone("America/New_York"));
    assert_eq!(zone("america/new_york").to_string(), "America/New_York");
    assert_eq!(format!("{:?}", zone("UTC")), "Zone(UTC)");
    // Same rules, other name.
    assert_ne!(zone("US/Eastern"), zone("America/New_York"));
    for name in ["", "EDT", "America/Springfield", "Etc/Unknown", "+05:00", "../etc/localtime", ":UTC"] {
        assert_eq!(Zone::load(name), None, "{name}");
    }
}

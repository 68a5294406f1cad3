//! Tables of schedules: which plan a call takes at a time, who is closed then, and what could never come true.

use super::*;
use crate::domain::schedule::day_window;
use crate::domain::{Hours, Timestamp};

/// The market with two plans more; `campaign` stands in place of the campaign's plan.
fn scheduled(campaign: &str) -> String {
    let plan =
        |id: &str, root: &str| format!("[plan.{id}]\nroot = {root}\nterminal = {{ message = \"{id}\" }}\n");
    let market = with("\nplan = \"auto\"", &format!("\n{campaign}"));
    let market = market.replace("price = \"25.00\"", "price = \"25.00\"\nmin_duration_s = 200");
    format!("{market}{}{}", plan("day", "\"acme-phone\""), plan("night", "{ auction = [\"acme-bid\"] }"))
}

const DAY: &str = r#"{ plan = "day", hours = ["mon-fri 09:00-17:00"] }"#;

#[test]
fn the_first_plan_whose_hours_hold_takes_the_call() {
    let table = r#"
        # Chicago is at UTC-6 in winter, UTC-5 in summer. 2026-11-20 is a Friday.
        plan = "day"                                | 2026-11-20T04:00:00Z day open
        plans = [{ plan = "night" }]                | 2026-11-20T16:00:00Z night open
        plans = [DAY, { plan = "night" }]           | 2026-11-20T14:59:59Z night open
        plans = [DAY, { plan = "night" }]           | 2026-11-20T15:00:00Z day open
        plans = [DAY, { plan = "night" }]           | 2026-11-20T22:59:59Z day open
        plans = [DAY, { plan = "night" }]           | 2026-11-20T23:00:00Z night open
        plans = [DAY, { plan = "night" }]           | 2026-07-17T14:00:00Z day open
        plans = [DAY, { plan = "night" }]           | 2026-11-21T16:00:00Z night open
        # The same plan at several times, and one that takes a date out of those of another.
        plans = [{ plan = "night", hours = ["2026-11-20 10:00-12:00", "mon 01:00-02:00"] }, DAY, { plan = "auto" }] | 2026-11-20T16:00:00Z night open
        plans = [{ plan = "night", hours = ["2026-11-20 10:00-12:00", "mon 01:00-02:00"] }, DAY, { plan = "auto" }] | 2026-11-20T18:00:00Z day open
        plans = [DAY, { plan = "night", hours = ["daily 18:00-06:00"] }, { plan = "day" }] | 2026-11-20T23:30:00Z day open
        plans = [DAY, { plan = "night", hours = ["daily 18:00-06:00"] }, { plan = "day" }] | 2026-11-21T00:00:00Z night open
        # Closed it still has a plan: that of its terminal action.
        plans = [DAY, { plan = "night" }], hours = ["mon-fri 08:00-20:00"] | 2026-11-20T13:59:59Z night closed
        plans = [DAY, { plan = "night" }], hours = ["mon-fri 08:00-20:00"] | 2026-11-20T14:00:00Z night open
        plans = [DAY, { plan = "night" }], hours = ["mon-fri 08:00-20:00", "2026-11-20 closed"] | 2026-11-20T16:00:00Z day closed
        plan = "day", hours = ["fri 22:00-02:00"]   | 2026-11-21T07:59:59Z day open
        plan = "day", hours = ["fri 22:00-02:00"]   | 2026-11-21T08:00:00Z day closed
    "#;
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let (lines, expected) = row.split_once(" | ").expect("a campaign | a time and what holds");
        let (at, expected) = expected.split_once(' ').expect("a time, a plan and whether it is open");
        let lines = lines.replace("DAY", DAY).replace(", hours = [\"mon-fri 08", "\nhours = [\"mon-fri 08");
        let lines = lines.replace(", hours = [\"fri 22", "\nhours = [\"fri 22");
        let loaded = loaded(&scheduled(&format!("zone = \"America/Chicago\"\n{lines}")));
        let campaign = &loaded.catalog.campaigns[0];
        let at = Timestamp::parse(at).expect("a time");
        let plan = &loaded.catalog.plan(campaign.plan_at(at)).id;
        let open = if campaign.is_open(at) { "open" } else { "closed" };
        assert_eq!(format!("{plan} {open}"), expected, "{row}");
    }
}

/// Scenario 17: a campaign of New York, open 09:00 to 17:00 and with a plan of its own from 01:00 to 03:00, and the day
/// that caps count by, where the clocks go on (2026-03-08, at 07:00Z) and back (2026-11-01, at 06:00Z).
#[test]
fn scenario_17_the_days_the_clocks_change() {
    let table = "
        # at | the clock | plan, campaign, hours of the day
        2026-03-07T06:30:00Z | Sat 2026-03-07 01:30 | night closed 24
        2026-03-08T05:59:59Z | Sun 2026-03-08 00:59 | auto closed 23
        2026-03-08T06:00:00Z | Sun 2026-03-08 01:00 | night closed 23
        2026-03-08T06:59:59Z | Sun 2026-03-08 01:59 | night closed 23
        # 02:30 is missing: nothing waits for it, and nothing sticks.
        2026-03-08T07:00:00Z | Sun 2026-03-08 03:00 | auto closed 23
        2026-03-08T12:59:59Z | Sun 2026-03-08 08:59 | auto closed 23
        2026-03-08T13:00:00Z | Sun 2026-03-08 09:00 | auto open 23
        2026-03-08T20:59:59Z | Sun 2026-03-08 16:59 | auto open 23
        2026-03-08T21:00:00Z | Sun 2026-03-08 17:00 | auto closed 23
        2026-03-09T04:00:00Z | Mon 2026-03-09 00:00 | auto closed 24
        2026-11-01T04:59:59Z | Sun 2026-11-01 00:59 | auto closed 25
        2026-11-01T05:30:00Z | Sun 2026-11-01 01:30 | night closed 25
        # 01:30 comes twice, and is open both times.
        2026-11-01T06:30:00Z | Sun 2026-11-01 01:30 | night closed 25
        2026-11-01T07:59:59Z | Sun 2026-11-01 02:59 | night closed 25
        2026-11-01T08:00:00Z | Sun 2026-11-01 03:00 | auto closed 25
        2026-11-01T13:59:59Z | Sun 2026-11-01 08:59 | auto closed 25
        2026-11-01T14:00:00Z | Sun 2026-11-01 09:00 | auto open 25
        2026-11-01T21:59:59Z | Sun 2026-11-01 16:59 | auto open 25
        2026-11-02T05:00:00Z | Mon 2026-11-02 00:00 | auto closed 24
    ";
    let mut catalog = loaded(&scheduled(
        "zone = \"America/New_York\"\n\
         plans = [{ plan = \"night\", hours = [\"daily 01:00-03:00\"] }, { plan = \"auto\" }]",
    ))
    .catalog;
    // A file that says both is refused, since the campaign is closed at night: what is asked here is each by itself.
    let mut campaign = catalog.campaigns.remove(0);
    campaign.hours = Some([Hours::parse_item("daily 09:00-17:00").expect("hours")].into_iter().collect());
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let at = Timestamp::parse(cells[0]).expect("a time");
        let plan = &catalog.plan(campaign.plan_at(at)).id;
        let open = if campaign.is_open(at) { "open" } else { "closed" };
        let day = day_window(&campaign.zone, at);
        let hours = (day.end.micros() - day.start.micros()) / 3_600_000_000;
        assert_eq!(campaign.zone.wall_clock(at), cells[1], "{row}");
        assert_eq!(format!("{plan} {open} {hours}"), cells[2], "{row}");
    }
}

#[test]
fn faults_of_schedules_are_named_where_they_stand() {
    let zoned = |lines: &str| format!("zone = \"UTC\"\n{lines}");
    let too_long =
        "campaign.auto: has a recovery_s of 120 s, and target acme-bid of its plan bills from 90 s on";
    for (lines, expected) in [
        ("hours = [\"mon 09:00-17:00\"]\nplan = \"day\"".to_owned(), "campaign.auto.zone: is missing"),
        (format!("plans = [{DAY}, {{ plan = \"night\" }}]"), "campaign.auto.zone: is missing"),
        (zoned("hours = []\nplan = \"day\""), "campaign.auto.hours: names no hours: it would never be open"),
        (zoned(""), "campaign.auto.plan: is missing"),
        (
            zoned("plan = \"day\"\nplans = [{ plan = \"night\" }]"),
            "campaign.auto.plans: stands beside `plan`",
        ),
        (zoned("plans = []"), "campaign.auto.plans: names 0 plans"),
        (zoned("plans = \"day\""), "campaign.auto.plans: is a string"),
        (zoned("plans = [\"day\"]"), "campaign.auto.plans[0]: is a string"),
        (zoned("plans = [{ plan = \"dya\" }]"), "campaign.auto.plans[0].plan: \"dya\" is no plan (day?)"),
        (
            zoned("plans = [{ hours = [\"mon 09:00-17:00\"] }, { plan = \"day\" }]"),
            "campaign.auto.plans[0].plan: is missing",
        ),
        (
            zoned("plans = [{ plan = \"day\", hours = [\"mon 09:00-09:00\"] }, { plan = \"day\" }]"),
            "campaign.auto.plans[0].hours[0]: \"09:00-09:00\" has no length",
        ),
        (
            zoned(&format!("plans = [{DAY}]")),
            "campaign.auto.plans[0]: has hours, and calls at other times would have no plan",
        ),
        (
            zoned(&format!("plans = [{{ plan = \"night\" }}, {DAY}]")),
            "campaign.auto.plans[1]: is never reached: the plan before takes all other times",
        ),
        (
            zoned(&format!(
                "plans = [{DAY}, {{ plan = \"auto\", hours = [\"tue 10:00-11:00\"] }}, {{ plan = \"night\" }}]"
            )),
            "campaign.auto.plans[1]: is never reached: at all its hours the campaign is closed or has another plan before it",
        ),
        (
            zoned(&format!("hours = [\"sat 10:00-12:00\"]\nplans = [{DAY}, {{ plan = \"night\" }}]")),
            "campaign.auto.plans[0]: is never reached: at all its hours the campaign is closed or has another plan before it",
        ),
        (
            zoned(&format!("hours = [\"tue 10:00-12:00\"]\nplans = [{DAY}, {{ plan = \"night\" }}]")),
            "campaign.auto.plans[1]: is never reached: at all its hours the campaign is closed or has another plan before it",
        ),
        // What is asked of the plan is asked of each.
        (zoned(&format!("recovery_s = 120\nplans = [{DAY}, {{ plan = \"night\" }}]")), too_long),
        (
            zoned(
                "recovery_s = 120\nplans = [{ plan = \"night\", hours = [\"mon 09:00-10:00\"] }, { plan = \"day\" }]",
            ),
            too_long,
        ),
    ] {
        let problems = market(&scheduled(&lines)).map(|_| ()).expect_err(&lines);
        let said: Vec<String> = problems.iter().map(brief).collect();
        assert_eq!(said, [expected], "{lines}");
    }
    let publisher = with("name = \"Metro\"", "name = \"Metro\"\nhours = [\"someday 09:00-17:00\"]");
    let said: Vec<String> = market(&publisher).map(|_| ()).expect_err("no day").iter().map(brief).collect();
    assert_eq!(said, ["publisher.metro.hours[0]: \"someday\" is not a day of the week"]);
}

#[test]
fn a_plan_is_used_by_whoever_schedules_it() {
    let warned = |lines: &str| {
        let loaded = loaded(&scheduled(&format!("zone = \"UTC\"\n{lines}")));
        loaded.warnings.iter().map(brief).collect::<Vec<_>>().join("; ")
    };
    let unused = "plan.night: is used by no campaign and is not the default";
    assert!(warned("plan = \"day\"").contains(unused));
    assert_eq!(warned(&format!("plans = [{DAY}, {{ plan = \"night\" }}]")), "");
    // A price is good if one plan of any campaign takes it, and each plan is looked at.
    let floors = |lines: &str| warned(lines).contains("target.acme-phone: is never taken");
    assert!(floors(&format!("min_margin = \"30.00\"\nplans = [{DAY}, {{ plan = \"night\" }}]")));
    assert!(floors(
        "min_margin = \"30.00\"\nplans = [{ plan = \"night\", hours = [\"mon 09:00-10:00\"] }, { plan = \"day\" }]"
    ));
}

#[test]
fn what_changed_of_schedules_is_said() {
    let catalog = |lines: &str| loaded(&scheduled(lines)).catalog;
    let one = catalog("plan = \"auto\"");
    let other = catalog(&format!(
        "zone = \"America/Chicago\"\nhours = [\"mon-fri 08:00-20:00\"]\nplans = [{DAY}, {{ plan = \"night\" }}]"
    ));
    assert_eq!(
        diff(&one, &other),
        [
            "campaign auto: plan auto → day mon-fri 09:00-17:00, else night",
            "campaign auto: zone UTC → America/Chicago",
            "campaign auto: hours always → mon-fri 08:00-20:00",
        ]
    );
    let closed = with("name = \"Metro\"", "name = \"Metro\"\nhours = [\"2026-12-25 closed\"]");
    let plain = loaded(MARKET).catalog;
    assert_eq!(diff(&plain, &loaded(&closed).catalog), ["publisher metro: hours always → 2026-12-25 closed"]);
}

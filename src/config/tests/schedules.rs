//! Tables of schedules: which plan a call takes at a time, who is closed then, and what could never come true.

use super::*;
use crate::domain::Timestamp;

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

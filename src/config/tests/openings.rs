//! Hours that never meet: of nodes within nodes, of targets, their filters and the nodes they stand in.

use super::plans::plan_market;
use super::*;

fn faults(text: &str) -> Vec<String> {
    market(text).err().unwrap_or_default().iter().map(brief).collect()
}

/// `hours = [...], zone = "..."`
fn clock((hours, zone): (&str, &str)) -> String {
    format!("hours = [\"{hours}\"], zone = \"{zone}\"")
}

#[test]
fn a_node_that_is_never_open_within_the_others_is_refused() {
    let week = ("mon-fri 00:00-24:00", "UTC");
    for (outer, inner, is_refused) in [
        (week, ("sat 09:00-10:00", "UTC"), true),
        (week, ("fri 22:00-02:00", "UTC"), false),
        (("fri 22:00-02:00", "UTC"), ("sat 01:59-03:00", "UTC"), false),
        // Saturday begins nine hours earlier in Tokyo.
        (week, ("sat 08:59-09:01", "Asia/Tokyo"), false),
        (week, ("sat 09:00-09:01", "Asia/Tokyo"), true),
        // 17:00 is 21:00 or 22:00 UTC.
        (("daily 21:00-21:30", "UTC"), ("daily 17:00-18:00", "America/New_York"), false),
        (("daily 20:00-21:00", "UTC"), ("daily 17:00-18:00", "America/New_York"), true),
        (week, ("2026-12-26 09:00-10:00", "UTC"), false),
    ] {
        let said =
            format!("{} in {} never meets the hours around it, {} in {}", inner.0, inner.1, outer.0, outer.1);
        let (outer, inner) = (clock(outer), clock(inner));
        for (root, place) in [
            (
                format!(
                    "{{ sequential = [{{ round_robin = [{{ auction = [\"t121\"], {inner} }}] }}], {outer} }}"
                ),
                "sequential[0].round_robin[0].hours",
            ),
            (
                format!(
                    "{{ first_match = [{{ when = [{{ all = [{{ {inner} }}] }}], node = \"t121\" }}], {outer} }}"
                ),
                "first_match[0].when",
            ),
            (
                format!(
                    "{{ first_match = [{{ when = [{{ {outer} }}], node = {{ sequential = [\"t121\"], {inner} }} }}] }}"
                ),
                "first_match[0].node.hours",
            ),
        ] {
            let expected = format!("plan.chosen.root.{place}: would never be open: {said}");
            assert_eq!(faults(&plan_market(&root)), Vec::from_iter(is_refused.then_some(expected)), "{root}");
        }
        // What stands beside it is not around it.
        let beside = format!(
            "{{ sequential = [{{ sequential = [\"t121\"], {outer} }}, {{ sequential = [\"t122\"], {inner} }}] }}"
        );
        assert_eq!(faults(&plan_market(&beside)), [""; 0]);
    }
}

#[test]
fn a_group_may_have_nodes_for_other_hours_than_a_plan_brings_it_at() {
    let day = clock(("mon-fri 00:00-24:00", "UTC"));
    let end = clock(("sat 09:00-10:00", "UTC"));
    let group = format!(
        "[group.desk]\nnode = {{ sequential = [{{ sequential = [\"t121\"], {day} }}, {{ sequential = [\"t122\"], {end} }}] }}\n"
    );
    let root = format!("{{ sequential = [{{ group = \"desk\", {day} }}] }}");
    assert_eq!(faults(&format!("{}{group}", plan_market(&root))), [""; 0]);
}

/// The buyer is in Chicago, six or five hours behind UTC.
#[test]
fn a_target_whose_filters_never_meet_its_hours_is_refused() {
    let week = "mon-fri 09:00-17:00";
    for (buyers, own, filter, expected) in [
        (None, Some(week), "{ hours = [\"fri 16:00-20:00\"] }", None),
        (
            None,
            Some(week),
            "{ state = [\"TX\"] }, { all = [{ hours = [\"sat 09:00-17:00\"] }] }",
            Some(
                "a filter asks for sat 09:00-17:00 in America/Chicago, and its hours are mon-fri 09:00-17:00 in America/Chicago",
            ),
        ),
        (
            Some(week),
            None,
            "{ hours = [\"daily 23:00-06:00\"], zone = \"UTC\" }",
            Some(
                "a filter asks for daily 23:00-06:00 in UTC, and those of buyer acme are mon-fri 09:00-17:00 in America/Chicago",
            ),
        ),
        (Some(week), None, "{ hours = [\"daily 22:00-06:00\"], zone = \"UTC\" }", None),
        (Some(week), None, "{ not = { hours = [\"daily 23:00-06:00\"], zone = \"UTC\" } }", None),
        (Some(week), None, "{ any = [{ hours = [\"sat 09:00-10:00\"] }, { state = [\"TX\"] }] }", None),
    ] {
        let hours =
            |hours: Option<&str>| hours.map_or(String::new(), |hours| format!("\nhours = [\"{hours}\"]"));
        let text = with("name = \"Acme\"", &format!("name = \"Acme\"{}", hours(buyers)));
        let price = format!("price = \"25.00\"\nfilters = [{filter}]{}", hours(own));
        let said = faults(&text.replace("price = \"25.00\"", &price));
        let expected = expected.map(|what| format!("target.acme-phone: is never open: {what}"));
        assert_eq!(said, Vec::from_iter(expected), "{filter}");
    }
}

#[test]
fn a_target_that_is_closed_whenever_its_nodes_are_open_is_warned_about() {
    let never = "target.t121: is never open where it stands: there calls come mon-fri 00:00-24:00 in UTC, and its \
                 hours are sat 07:00-18:00 in America/Chicago";
    let week = clock(("mon-fri 00:00-24:00", "UTC"));
    let end = clock(("sat-sun 00:00-24:00", "UTC"));
    for (root, is_warned) in [
        (format!("{{ sequential = [\"t121\"], {week} }}"), true),
        (format!("{{ sequential = [\"t121\"], {end} }}"), false),
        (format!("{{ sequential = [{{ simultaneous = [\"t122\", \"t121\"] }}], {week} }}"), true),
        (format!("{{ first_match = [{{ when = [{{ {week} }}], node = \"t121\" }}] }}"), true),
        // Of two places one is enough.
        (
            format!(
                "{{ first_match = [{{ when = [{{ {week} }}], node = \"t121\" }}, {{ when = [{{ {end} }}], node = \"t121\" }}] }}"
            ),
            false,
        ),
        (
            format!(
                "{{ sequential = [{{ sequential = [\"t122\"], {week} }}, {{ weighted = [{{ weight = 1, node = \"t121\" }}] }}] }}"
            ),
            false,
        ),
    ] {
        let own = "[target.t121]\nhours = [\"sat 07:00-18:00\"]";
        let loaded = loaded(&plan_market(&root).replace("[target.t121]", own));
        let said: Vec<String> = loaded.warnings.iter().map(brief).collect();
        assert_eq!(said.iter().any(|one| one == never), is_warned, "{root}: {said:#?}");
        let is_of_it = |one: &&String| one.contains("never open where it stands");
        assert_eq!(said.iter().filter(is_of_it).count(), usize::from(is_warned), "{root}: {said:#?}");
    }
}

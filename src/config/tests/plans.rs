//! Tables of plans that choose: what stands in a catalog's file, and which way calls go.
//!
//! A case is the root of a plan, and below it one row per call with the targets of its walk behind `=>`, in their order.

use super::filters::called;
use super::*;
use crate::domain::Timestamp;
use crate::routing::compiled_branches;
use crate::routing::ring_tree::{Given, walk};

/// Three targets at fixed prices; `root` is the plan of all calls.
pub(super) fn plan_market(root: &str) -> String {
    let target = |id: &str| {
        format!("[target.{id}]\nbuyer = \"acme\"\naddress = \"+15125550{id}\"\nprice = \"20.00\"\n")
            .replace(&format!("[target.{id}]"), &format!("[target.t{id}]"))
    };
    let targets: String = ["121", "122", "123"].map(target).concat();
    let market = with("plan = \"auto\"", "plan = \"chosen\"");
    format!("{market}{targets}[plan.chosen]\nroot = {root}\nterminal = {{ hangup = \"busy\" }}\n")
}

fn check(table: &str) {
    for case in table.split("\n\n") {
        let mut rows = case.lines().map(str::trim).filter(|row| !row.is_empty());
        let root = rows.next().expect("a root");
        let loaded = loaded(&plan_market(root));
        let catalog = &loaded.catalog;
        let at = catalog.plans.iter().position(|plan| plan.id.as_str() == "chosen").expect("the plan");
        let branches = &compiled_branches(catalog)[at];
        for row in rows {
            let (call, expected) = row.split_once("=>").expect("a call => its walk");
            let way = called(call.trim(), |facts| {
                let takes = |branch: &crate::domain::plan::Branch| branches[branch.number].hold(facts);
                let given = Given { seed: 1, now: facts.now, may_take: &takes, turn: &mut |_| 0 };
                let walk = walk(&catalog.plans[at], given);
                let targets = walk.steps.iter().flat_map(|step| step.targets().to_vec());
                targets.map(|ix| catalog.target(ix).id.to_string()).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(way, expected.trim(), "{root}: {call}");
        }
    }
}

#[test]
fn the_first_branch_that_holds_is_taken() {
    check(
        r#"{ first_match = [{ when = [{ state = ["TX"] }], node = "t121" }, { when = [{ state = ["OK"] }], node = "t122" }, { node = "t123" }] }
           state TX => t121
           state OK => t122
           state NY => t123
           nothing  => t123

           { first_match = [{ when = [{ state = ["TX"] }, { tag = "age", op = ">", value = 64 }], node = "t121" }] }
           state TX, tag age 70  => t121
           state TX, tag age 20  =>
           state TX, tag age old =>
           tag age 70            =>

           { first_match = [{ when = [{ state = ["TX"] }, { sub_id = ["fb-*"] }], node = "t121" }, { when = [{ state = ["TX"] }], node = "t122" }, { when = [{ sub_id = ["fb-1", "tv"] }], node = "t123" }] }
           state TX, sub_id fb-1 => t121
           state TX              => t122
           state NY, sub_id fb-1 => t123

           { sequential = [{ first_match = [{ when = [{ hours = ["daily 08:00-20:00"], zone = "America/Chicago" }], node = { sequential = ["t121", "t122"] } }, { node = "t122" }] }, "t123"] }
           at 2026-11-20T18:00Z => t121 t122 t123
           at 2026-11-20T06:00Z => t122 t123

           { first_match = [{ when = [{ state = ["TX"] }], node = { first_match = [{ when = [{ zip = ["787*"] }], node = "t121" }, { node = "t122" }] } }, { when = [{ state = ["OK"] }], node = "t123" }] }
           state TX, zip 78701 => t121
           state TX, zip 75201 => t122
           state OK, zip 78701 => t123
           state NY            =>"#,
    );
}

#[test]
fn faults_of_choices_are_named_where_they_stand() {
    for (root, expected) in [
        ("{ first_match = [] }", "plan.chosen.root.first_match: is empty"),
        (
            "{ first_match = [{ node = \"t121\" }, { when = [{ state = [\"TX\"] }], node = \"t122\" }] }",
            "plan.chosen.root.first_match[1]: is never reached: the branch before takes every call",
        ),
        (
            "{ first_match = [{ when = [{ state = [\"TX\"] }], node = \"t121\" }, { when = [{ state = [\"TX\"] }], node = \"t122\" }] }",
            "plan.chosen.root.first_match[1]: is never reached: branch 1 takes all its calls",
        ),
        (
            "{ first_match = [{ when = [{ state = [\"TX\", \"OK\"] }, { not = { sub_id = [\"fb-*\"] } }], node = \"t121\" }, { when = [{ state = [\"NY\"] }], node = \"t122\" }, { when = [{ sub_id = [\"tv\"] }, { zip = [\"787*\"] }, { tag = \"age\", op = \">\", value = 64 }], node = \"t123\" }] }",
            "plan.chosen.root.first_match[2]: is never reached: branch 1 takes all its calls",
        ),
        (
            "{ first_match = [{ when = [{ any = [{ number = [\"+1888\"] }] }], node = \"t121\" }] }",
            "first_match[0].when[0].any[0].number[0]: \"+1888\" does not fit",
        ),
        ("{ first_match = [{ when = [], node = \"t121\" }] }", "first_match[0].when: names nothing"),
        ("{ first_match = [{ when = [{ state = [\"TX\"] }] }] }", "first_match[0].node: is missing"),
        (
            "{ first_match = [{ when = [{ hours = [\"daily 08:00-20:00\"] }], node = \"t121\" }] }",
            "first_match[0].when[0].zone: is missing",
        ),
        ("{ sequential = [\"t121\", { first_match = [{ node = \"t121\" }] }] }", "stands twice in this plan"),
        (
            "{ sequential = [{ first_match = [{ when = [{ state = [\"TX\"] }], node = \"t121\" }] }, \"t121\"] }",
            "stands twice in this plan",
        ),
        (
            "{ sequential = [\"t121\"], first_match = [{ node = \"t122\" }] }",
            "plan.chosen.root: is more than one kind of node",
        ),
    ] {
        let problems = market(&plan_market(root)).map(|_| ()).expect_err(root);
        let said: Vec<String> = problems.iter().map(brief).collect();
        assert!(said.iter().any(|one| one.contains(expected)), "{root}: {said:#?}");
    }
}

/// The problems of a market with these lines beside it, in short.
fn said(root: &str, more: &str) -> Vec<String> {
    let text = format!("{}{more}", plan_market(root));
    market(&text).map(|_| ()).expect_err(root).iter().map(brief).collect()
}

#[test]
fn a_group_is_a_node_that_plans_share() {
    let groups = "[group.pair]\nnode = { round_robin = [\"t121\", { group = \"one\" }], ring_s = 15 }\n\
                  [group.one]\nnode = \"t122\"\n\
                  [plan.other]\nroot = { group = \"pair\", hours = [\"daily 08:00-20:00\"], zone = \"America/Chicago\" }\n\
                  terminal = { hangup = \"busy\" }\n";
    let root = "{ sequential = [{ first_match = [{ when = [{ state = [\"TX\"] }], node = { group = \"pair\" } }, \
                { node = { group = \"pair\" } }] }, \"t123\"] }";
    let catalog = loaded(&format!("{}{groups}", plan_market(root))).catalog;
    let plan = |id: &str| catalog.plans.iter().find(|plan| plan.id.as_str() == id).expect("the plan");
    let (mut targets, mut branches) = (Vec::new(), Vec::new());
    plan("chosen").root.targets(&mut targets);
    plan("chosen").root.branches(&mut branches);
    let ids: Vec<&str> = targets.iter().map(|ix| catalog.target(*ix).id.as_str()).collect();
    assert_eq!(ids, ["t121", "t122", "t123"]);
    assert_eq!(branches.iter().map(|branch| branch.number).collect::<Vec<_>>(), [0, 1]);
    let mut turns = Vec::new();
    for (seed, state) in [(1, 0), (1, 1)] {
        let may_take = |branch: &crate::domain::plan::Branch| branch.number == state;
        let mut turn = |node: &crate::domain::plan::RoundRobin| {
            turns.push(node.number);
            1
        };
        let given = Given { seed, now: Timestamp::default(), may_take: &may_take, turn: &mut turn };
        let walk = walk(plan("chosen"), given);
        let ids = walk.steps.iter().flat_map(|step| step.targets().to_vec());
        let ids: Vec<&str> = ids.map(|ix| catalog.target(ix).id.as_str()).collect();
        assert_eq!(ids, ["t122", "t121", "t123"]);
        assert_eq!(walk.rings.len(), 2, "what its node says counts in every plan");
    }
    assert_eq!(turns, [0, 1], "each copy has turns of its own");
    let Node::Scope(scope) = &plan("other").root else { panic!("a node with hours") };
    assert!(scope.hours.is_some() && scope.group.is_some());
}

#[test]
fn faults_of_groups_are_named_where_they_stand() {
    let group = |id: &str, node: &str| format!("[group.{id}]\nnode = {node}\n");
    let deep =
        |levels: usize| format!("{}\"t121\"{}", "{ sequential = [".repeat(levels), "] }".repeat(levels));
    for (root, groups, expected) in [
        ("{ group = \"gone\" }", String::new(), "plan.chosen.root.group: \"gone\" is no group"),
        (
            "\"t121\"",
            group("a", "{ sequential = [{ group = \"b\" }] }") + &group("b", "{ group = \"a\" }"),
            "group.b.node.group: leads back to itself: a → b → a",
        ),
        (
            "{ group = \"a\" }",
            group("a", "{ group = \"a\" }"),
            "group.a.node.group: leads back to itself: a → a",
        ),
        ("\"t121\"", "[group.a]\n".to_owned(), "group.a.node: is missing"),
        ("\"t121\"", group("a", "{ auction = [] }"), "group.a.node.auction: is empty"),
        ("\"t121\"", group("a", "{ sequential = [\"t122\", \"t122\"] }"), "stands twice in this group"),
        (
            "{ sequential = [\"t121\", { group = \"a\" }] }",
            group("a", "\"t121\""),
            "plan.chosen.root.sequential[1].group: brings target t121 twice into this plan: at ",
        ),
        (
            "{ sequential = [{ group = \"a\" }, \"t121\"] }",
            group("a", "\"t121\""),
            ", which group a brings at ",
        ),
        ("{ sequential = [{ group = \"a\" }] }", group("a", &deep(20)), "no fault"),
        (
            "{ sequential = [{ sequential = [{ group = \"b\" }] }] }",
            group("a", &deep(15))
                + &group("b", "{ sequential = [{ group = \"c\" }] }")
                + &group(
                    "c",
                    &format!("{}{{ group = \"a\" }}{}", "{ sequential = [".repeat(14), "] }".repeat(14)),
                ),
            "plan.chosen.root.sequential[0].sequential[0].group: makes the tree 33 deep",
        ),
    ] {
        if expected == "no fault" {
            loaded(&format!("{}{groups}", plan_market(root)));
            continue;
        }
        let said = said(root, &groups);
        let hits = said.iter().filter(|one| one.contains(expected)).count();
        assert_eq!((hits, said.len()), (1, 1), "{root} {groups}: {said:#?}");
    }
}

#[test]
fn what_is_never_reached_is_an_error() {
    let end = "{ hangup = \"rejected\" }";
    let night = "{ message = \"Closed.\", hours = [\"daily 20:00-24:00\"], zone = \"UTC\" }";
    for (root, expected) in [
        (
            format!("{{ sequential = [\"t121\", {end}, \"t122\"] }}"),
            "plan.chosen.root.sequential[2]: is never reached: the node before ends the way of every call",
        ),
        (
            format!(
                "{{ sequential = [{{ weighted = [{{ weight = 1, node = \"t121\" }}, {{ weight = 2, node = {end} }}] }}, \"t122\"] }}"
            ),
            "plan.chosen.root.sequential[1]: is never reached",
        ),
        (
            format!(
                "{{ sequential = [{{ weighted = [{{ weight = 0, node = \"t121\" }}, {{ weight = 2, node = {end} }}] }}] }}"
            ),
            "plan.chosen.root.sequential[0].weighted[0]: is never reached: it has the weight 0",
        ),
        (format!("{{ sequential = [\"t121\", {end}] }}"), "plan.chosen.terminal: is never reached"),
        (
            format!(
                "{{ first_match = [{{ when = [{{ state = [\"TX\"] }}], node = {end} }}, {{ node = {end} }}] }}"
            ),
            "plan.chosen.terminal: is never reached",
        ),
        // Where some calls come through nothing is said.
        (format!("{{ sequential = [{night}, \"t121\"] }}"), "no fault"),
        (
            format!(
                "{{ sequential = [{{ first_match = [{{ when = [{{ state = [\"TX\"] }}], node = {end} }}] }}, \"t121\"] }}"
            ),
            "no fault",
        ),
    ] {
        if expected == "no fault" {
            loaded(&plan_market(&root));
            continue;
        }
        let said = said(&root, "");
        let first = said.iter().filter(|one| one.contains(expected)).count();
        assert_eq!(first, 1, "{root}: {said:#?}");
    }
}

#[test]
fn a_plan_that_can_end_without_an_action_says_where() {
    let end = "{ hangup = \"rejected\" }";
    let without = |root: &str| {
        let text = plan_market(root);
        text.rsplit_once("terminal = ").expect("a terminal").0.to_owned()
    };
    let both = format!(
        "{{ first_match = [{{ when = [{{ state = [\"TX\"] }}], node = {end} }}, {{ node = {end} }}] }}"
    );
    for root in [
        end,
        &format!("{{ sequential = [\"t121\", {both}] }}"),
        &format!("{{ round_robin = [\"t121\", {end}] }}"),
    ] {
        assert!(market(&without(root)).is_ok(), "{root}");
    }
    for (root, expected) in [
        ("{ sequential = [\"t121\", \"t122\"] }".to_owned(), "nobody takes the call at root.sequential[1]"),
        (
            format!("{{ first_match = [{{ when = [{{ state = [\"TX\"] }}], node = {end} }}] }}"),
            "no branch of root takes the call",
        ),
        (
            format!(
                "{{ first_match = [{{ when = [{{ state = [\"TX\"] }}], node = {end} }}, {{ node = {{ round_robin = [\"t121\"] }} }}] }}"
            ),
            "nobody takes the call at root.first_match[1].node.round_robin[0]",
        ),
        (
            "{ voicemail = \"Later.\", hours = [\"daily 08:00-20:00\"], zone = \"UTC\" }".to_owned(),
            "root is closed",
        ),
    ] {
        let problems = market(&without(&root)).map(|_| ()).expect_err(&root);
        let said: Vec<String> =
            problems.iter().map(|one| format!("{} {}", brief(one), one.allowed)).collect();
        assert!(said.len() == 1 && said[0].starts_with("plan.chosen.terminal: is missing"), "{said:#?}");
        assert!(said[0].contains(expected), "{said:#?}");
    }
}

#[test]
fn limits_of_nodes_have_their_ranges() {
    for (root, expected) in [
        ("{ auction = [\"t121\"], timeout_ms = 49 }", "root.timeout_ms: 49 is out of range"),
        ("{ sequential = [\"t121\"], timeout_ms = 100 }", "root.timeout_ms: unknown key"),
        ("{ sequential = [\"t121\"], ring_s = 4 }", "root.ring_s: 4 is out of range"),
        ("{ sequential = [\"t121\", { hangup = \"busy\", ring_s = 9 }] }", "ring_s: is of no use here"),
        ("{ sequential = [\"t121\"], hours = [\"daily 08:00-20:00\"] }", "root.zone: is missing"),
        ("{ sequential = [\"t121\"], zone = \"UTC\" }", "root.hours: is missing"),
        ("{ auction = [\"t121\"], zone = \"UTC\", timeout_ms = 100 }", "root.hours: is missing"),
        ("{ sequential = [\"t121\"], zone = \"UTC\", hours = [\"daily 25:00-26:00\"] }", "root.hours[0]: "),
        ("{ round_robin = [] }", "root.round_robin: is empty"),
        ("{ voicemail = \"a\", hangup = \"busy\" }", "root: is more than one action"),
        ("{ round_robin = [\"t121\"], hangup = \"busy\" }", "root: is more than one kind of node"),
        ("{ sequential = [\"t121\", { dial = \"+18005550100\" }] }", "sequential[1].dial: "),
    ] {
        let said = said(root, "");
        assert!(said.iter().any(|one| one.contains(expected)), "{root}: {said:#?}");
        let is_unknown = |one: &String| one.contains("unknown key");
        assert!(expected.contains("unknown key") || !said.iter().any(is_unknown), "{root}: {said:#?}");
    }
}

#[test]
fn what_is_probably_not_meant_of_groups_and_timeouts_is_a_warning() {
    let more = "[group.idle]\nnode = { group = \"inner\" }\n[group.inner]\nnode = \"t122\"\n";
    let root = "{ auction = [\"t121\"], timeout_ms = 1400 }";
    let market = plan_market(root).replace("plan = \"auto\"", "plan = \"chosen\"");
    let warnings: Vec<String> = loaded(&format!("{market}{more}")).warnings.iter().map(brief).collect();
    for expected in
        ["group.idle: is used by no plan", "group.inner: is used by no plan", "before the timeout_ms of 1400"]
    {
        assert!(warnings.iter().any(|one| one.contains(expected)), "{expected}: {warnings:#?}");
    }
}

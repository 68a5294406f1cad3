//! Tables of plans that choose: what stands in a catalog's file, and which way calls go.
//!
//! A case is the root of a plan, and below it one row per call with the targets of its walk behind `=>`, in their order.

use super::filters::called;
use super::*;
use crate::routing::compiled_branches;
use crate::routing::ring_tree::walk;

/// Three targets at fixed prices; `root` is the plan of all calls.
fn plan_market(root: &str) -> String {
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
                let takes =
                    |branch: &crate::domain::plan::Branch| branches[branch.number].judge(facts).is_ok();
                let steps = walk(&catalog.plans[at], 1, &takes);
                let targets = steps.iter().flat_map(|step| step.targets().to_vec());
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

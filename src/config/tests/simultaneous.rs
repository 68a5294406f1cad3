//! Targets that ring at once: what stands in a catalog's file, and what is wrong with it.

use super::plans::plan_market;
use super::*;
use crate::domain::plan::SimultaneousNode;

fn read(root: &str) -> SimultaneousNode {
    let catalog = loaded(&plan_market(root)).catalog;
    let plan = catalog.plans.iter().find(|plan| plan.id.as_str() == "chosen").expect("the plan");
    match &plan.root {
        Node::Simultaneous(node) => node.clone(),
        other => panic!("{root}: {other:?}"),
    }
}

#[test]
fn whoever_picks_up_is_screened_unless_the_first_answer_is_enough() {
    for (root, screen) in [
        ("{ simultaneous = [\"t122\", \"t121\"] }", true),
        ("{ simultaneous = [\"t122\", \"t121\"], answer = \"screen\" }", true),
        ("{ simultaneous = [\"t122\", \"t121\"], answer = \"first\" }", false),
    ] {
        let node = read(root);
        assert_eq!(node.screen, screen, "{root}");
        let catalog = loaded(&plan_market(root)).catalog;
        let names: Vec<&str> = node.members.iter().map(|ix| catalog.target(*ix).id.as_str()).collect();
        assert_eq!(names, ["t122", "t121"], "in the order written");
    }
}

#[test]
fn faults_of_those_that_ring_at_once_are_named_where_they_stand() {
    let eleven: Vec<String> = (0..11).map(|n| format!("\"t{n}\"")).collect();
    for (root, expected) in [
        ("{ simultaneous = [] }", "plan.chosen.root.simultaneous: has 0"),
        ("{ simultaneous = [\"t121\"] }", "plan.chosen.root.simultaneous: has 1"),
        (&format!("{{ simultaneous = [{}] }}", eleven.join(", ")), "plan.chosen.root.simultaneous: has 11"),
        ("{ simultaneous = [\"t121\", \"t121\"] }", "stands twice in this plan"),
        ("{ simultaneous = [\"t121\", \"nobody\"] }", "plan.chosen.root.simultaneous[1]"),
        ("{ simultaneous = [\"t121\", \"bids-only\"] }", "has no fixed price"),
        ("{ simultaneous = [\"t121\", \"t122\"], answer = \"last\" }", "plan.chosen.root.answer"),
        ("{ sequential = [\"t121\", \"t122\"], answer = \"first\" }", "answer"),
        (
            "{ simultaneous = [\"t121\", \"t122\"], sequential = [\"t123\"] }",
            "plan.chosen.root: is more than one kind of node",
        ),
    ] {
        let bidder = "[target.bids-only]\nbuyer = \"acme\"\naddress = \"+15125550129\"\n\
                      endpoint = { url = \"https://bids.example/1\" }\n";
        let text = format!("{}{bidder}", plan_market(root));
        let problems = market(&text).map(|_| ()).expect_err(root);
        let said: Vec<String> = problems.iter().map(brief).collect();
        assert!(said.iter().any(|one| one.contains(expected)), "{root}: {said:#?}");
    }
}

//! Hours that never meet are an error. Of what was drawn, whoever is not open with those around it in a week of autumn
//! gets other hours, or none.

use super::judge::is_open;
use super::model::*;

/// The first day of that week, 2026-11-26.
const FROM: i64 = 20_783;
const STEP_S: usize = 300;

/// Hours, with the zone of their clock.
type Clock = (Hours, &'static str);

/// Has everything of the market open at some time, but for publishers of numbers: `together`.
pub fn somewhen(market: &mut Market) {
    for target in &mut market.targets {
        let buyer = market.buyers.iter().find(|buyer| buyer.id == target.buyer).expect("a buyer");
        let around: Vec<Clock> = [&target.hours, &buyer.hours]
            .into_iter()
            .flatten()
            .map(|own| (own.clone(), buyer.zone))
            .collect();
        for filter in &mut target.filters {
            asks(filter, &mut |hours, zone| widen(hours, zone.unwrap_or(buyer.zone), &around));
        }
    }
    let roots = market.plans.iter_mut().filter_map(|plan| plan.root.as_mut());
    for node in roots.chain(market.groups.iter_mut().map(|group| &mut group.1)) {
        down(node, &mut Vec::new());
    }
}

/// A number's publisher and its campaign.
pub fn together(publisher: &mut Publisher, campaign: &Campaign) {
    let (Some(own), Some(its)) = (&publisher.hours, &campaign.hours) else { return };
    if !meet(own, publisher.zone, its, campaign.zone) {
        publisher.hours = None;
    }
}

fn meet(own: &Hours, zone: &str, other: &Hours, its: &str) -> bool {
    let mut week = (FROM * 86_400..(FROM + 7) * 86_400).step_by(STEP_S);
    week.any(|at| is_open(own, zone, at) && is_open(other, its, at))
}

/// Always, where these hours do not meet all of those around them.
fn widen(hours: &mut Hours, zone: &str, around: &[Clock]) {
    if !around.iter().all(|(above, there)| meet(hours, zone, above, there)) {
        *hours = vec![Line::Weekly([true; 7], Span { start: 0, end: 1_440 })];
    }
}

/// The hours that a filter asks for, whatever else it asks.
fn asks(filter: &mut Filter, with: &mut dyn FnMut(&mut Hours, Option<&'static str>)) {
    match filter {
        Filter::All(parts) => parts.iter_mut().for_each(|part| asks(part, with)),
        Filter::Hours(hours, zone) => with(hours, *zone),
        _ => {}
    }
}

fn down(node: &mut Node, around: &mut Vec<Clock>) {
    let above = around.len();
    match node {
        Node::Sequential(nodes) | Node::RoundRobin(nodes) => {
            nodes.iter_mut().for_each(|node| down(node, around));
        }
        Node::Weighted(nodes) => nodes.iter_mut().for_each(|node| down(&mut node.1, around)),
        Node::FirstMatch(branches) => {
            for Branch { when, node } in branches {
                let mut own = Vec::new();
                for filter in when {
                    asks(filter, &mut |hours, zone| {
                        let zone = zone.expect("hours of a branch name their zone");
                        widen(hours, zone, around);
                        own.push((hours.clone(), zone));
                    });
                }
                around.extend(own);
                down(node, around);
                around.truncate(above);
            }
        }
        Node::Limited(limits, node) => {
            if let Some((hours, zone)) = &mut limits.hours {
                widen(hours, zone, around);
            }
            around.extend(limits.hours.clone());
            down(node, around);
        }
        Node::Target(_) | Node::Auction(_) | Node::Together(..) | Node::Group(_) | Node::Action(_) => {}
    }
    around.truncate(above);
}

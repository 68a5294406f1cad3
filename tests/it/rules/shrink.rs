//! Cuts a market and a call on which two implementations disagree to what is needed for it, in bounded time.
//!
//! A cut stands if they still disagree about the same kind of thing.

use super::model::*;

/// Most cases tried for one failure.
const TRIES: usize = 3_000;

/// The smallest case found, and what is still wrong with it.
pub fn shrink(
    market: &Market,
    call: &Call,
    what: &str,
    differs: impl Fn(&Market, &Call) -> Option<String>,
) -> (Market, Call, String) {
    let kind = |what: &str| what.split(':').next().unwrap_or_default().to_owned();
    let (mut market, mut call, mut what) = (market.clone(), call.clone(), what.to_owned());
    let mut tries = 0;
    loop {
        let mut is_smaller = false;
        let mut at = 0;
        // The next cut of a smaller case is looked for where the last one was found.
        while let Some((cut, other)) = cuts(&market, &call, at) {
            tries += 1;
            if tries > TRIES {
                return (market, call, what);
            }
            match differs(&cut, &other).filter(|still| kind(still) == kind(&what)) {
                Some(still) => {
                    (market, call, what) = (cut, other, still);
                    is_smaller = true;
                }
                None => at += 1,
            }
        }
        if !is_smaller {
            return (market, call, what);
        }
    }
}

/// The case with its cut of this number made; none when there are no more.
fn cuts(market: &Market, call: &Call, number: usize) -> Option<(Market, Call)> {
    let mut left = Countdown(number);
    let (mut cut, mut other) = (market.clone(), call.clone());
    for plan in &mut cut.plans {
        if left.falls_on(plan.root.is_some()) {
            plan.root = None;
            return Some((cut, other));
        }
        if let Some(root) = &mut plan.root
            && node(root, &mut left)
        {
            return Some((cut, other));
        }
    }
    let used = |cut: &Market, id: &str| {
        let roots = cut.plans.iter().filter_map(|plan| plan.root.as_ref());
        let mut nodes = roots.chain(cut.groups.iter().map(|group| &group.1));
        nodes.any(|node| node.to_string().contains(&format!("\"{id}\"")))
    };
    for at in 0..cut.groups.len() {
        let is_used = used(&cut, &cut.groups[at].0);
        if left.falls_on(!is_used) {
            cut.groups.remove(at);
            return Some((cut, other));
        }
        if node(&mut cut.groups[at].1, &mut left) {
            return Some((cut, other));
        }
    }
    for at in (0..cut.targets.len()).rev() {
        let is_used = used(&cut, &cut.targets[at].id);
        if left.falls_on(!is_used) {
            cut.targets.remove(at);
            return Some((cut, other));
        }
        let target = &mut cut.targets[at];
        if filters(&mut target.filters, &mut left, 0) || hours(&mut target.hours, &mut left) {
            return Some((cut, other));
        }
        if left.falls_on(target.paused) {
            target.paused = false;
            return Some((cut, other));
        }
        if left.falls_on(!target.suppressed.is_empty()) {
            target.suppressed.clear();
            return Some((cut, other));
        }
        if left.falls_on(target.earlier_attempts.is_some()) {
            target.earlier_attempts = None;
            return Some((cut, other));
        }
        if left.falls_on(!target.ranges.is_empty()) {
            target.ranges.clear();
            return Some((cut, other));
        }
        if let Price::Table(table) = &mut target.price {
            for at in 0..table.rows.len() {
                if left.falls_on(table.rows.len() > 1) {
                    table.rows.remove(at);
                    return Some((cut, other));
                }
                if filters(&mut table.rows[at].when, &mut left, 1) {
                    return Some((cut, other));
                }
            }
        }
    }
    for at in (0..cut.buyers.len()).rev() {
        let id = &cut.buyers[at].id;
        let is_used = cut.targets.iter().any(|target| target.buyer == *id);
        if left.falls_on(!is_used) {
            cut.buyers.remove(at);
            return Some((cut, other));
        }
        if hours(&mut cut.buyers[at].hours, &mut left) {
            return Some((cut, other));
        }
    }
    for campaign in &mut cut.campaigns {
        if left.falls_on(!campaign.scheduled.is_empty()) {
            campaign.scheduled.clear();
            return Some((cut, other));
        }
        if left.falls_on(!campaign.floors.is_empty()) {
            campaign.floors.clear();
            return Some((cut, other));
        }
        if left.falls_on(campaign.is_second) {
            campaign.is_second = false;
            return Some((cut, other));
        }
        if hours(&mut campaign.hours, &mut left) {
            return Some((cut, other));
        }
    }
    for publisher in &mut cut.publishers {
        if left.falls_on(!publisher.floors.is_empty()) {
            publisher.floors.clear();
            return Some((cut, other));
        }
        if hours(&mut publisher.hours, &mut left) {
            return Some((cut, other));
        }
    }
    for number in &mut cut.numbers {
        if left.falls_on(!number.tags.is_empty()) {
            number.tags.clear();
            return Some((cut, other));
        }
    }
    for at in 0..other.tags.len() {
        if left.falls_on(true) {
            other.tags.remove(at);
            return Some((cut, other));
        }
    }
    let fields = [&mut other.zip, &mut other.state, &mut other.stir, &mut other.sub_id, &mut other.from];
    for field in fields {
        if left.falls_on(field.is_some()) {
            *field = None;
            left.0 = DONE;
            break;
        }
    }
    if left.0 != DONE && left.falls_on(other.verified.is_some()) {
        other.verified = None;
        left.0 = DONE;
    }
    if left.0 == DONE {
        return Some((cut, other));
    }
    let ids: Vec<String> = other.replies.keys().cloned().collect();
    for id in ids {
        if left.falls_on(true) {
            other.replies.remove(&id);
            return Some((cut, other));
        }
    }
    if left.falls_on(!other.lists.is_empty()) {
        other.lists.clear();
        return Some((cut, other));
    }
    if left.falls_on(!other.full.is_empty()) {
        other.full.clear();
        return Some((cut, other));
    }
    None
}

/// What a countdown says after a cut was made.
const DONE: usize = usize::MAX;

/// Counts possible cuts down to the one that is wanted.
struct Countdown(usize);

impl Countdown {
    fn falls_on(&mut self, is_possible: bool) -> bool {
        if !is_possible {
            return false;
        }
        let is_it = self.0 == 0;
        self.0 = if is_it { DONE } else { self.0 - 1 };
        is_it
    }
}

fn hours(hours: &mut Option<Hours>, left: &mut Countdown) -> bool {
    if left.falls_on(hours.is_some()) {
        *hours = None;
        return true;
    }
    let Some(lines) = hours else { return false };
    for at in 0..lines.len() {
        if left.falls_on(lines.len() > 1) {
            lines.remove(at);
            return true;
        }
    }
    false
}

/// Takes one out of a list that keeps at least so many, or cuts one.
fn filters(all: &mut Vec<Filter>, left: &mut Countdown, least: usize) -> bool {
    for at in 0..all.len() {
        if left.falls_on(all.len() > least) {
            all.remove(at);
            return true;
        }
        if filter(&mut all[at], left) {
            return true;
        }
    }
    false
}

fn filter(one: &mut Filter, left: &mut Countdown) -> bool {
    match one {
        Filter::All(parts) | Filter::Any(parts) => {
            if let Some(part) = parts.iter().find(|_| left.falls_on(true)).cloned() {
                *one = part;
                return true;
            }
            filters(parts, left, 1)
        }
        Filter::Not(part) => {
            if left.falls_on(true) {
                *one = (**part).clone();
                return true;
            }
            filter(part, left)
        }
        _ => false,
    }
}

fn node(one: &mut Node, left: &mut Countdown) -> bool {
    let children: Vec<Node> = match one {
        Node::Target(_) | Node::Auction(_) | Node::Together(..) | Node::Group(_) | Node::Action(_) => {
            Vec::new()
        }
        Node::Sequential(nodes) | Node::RoundRobin(nodes) => nodes.clone(),
        Node::Limited(_, node) => vec![(**node).clone()],
        Node::Weighted(nodes) => nodes.iter().map(|node| node.1.clone()).collect(),
        Node::FirstMatch(branches) => branches.iter().map(|branch| branch.node.clone()).collect(),
    };
    for child in &children {
        if left.falls_on(true) {
            *one = child.clone();
            return true;
        }
    }
    let many = children.len();
    for at in 0..many {
        if left.falls_on(many > 1) {
            match one {
                Node::Sequential(nodes) | Node::RoundRobin(nodes) => drop(nodes.remove(at)),
                Node::Weighted(nodes) => drop(nodes.remove(at)),
                Node::FirstMatch(branches) => drop(branches.remove(at)),
                Node::Target(_)
                | Node::Auction(_)
                | Node::Together(..)
                | Node::Group(_)
                | Node::Action(_)
                | Node::Limited(..) => {}
            }
            return true;
        }
    }
    match one {
        Node::Target(_) | Node::Group(_) | Node::Action(_) => false,
        Node::Limited(_, child) => node(child, left),
        Node::Together(ids, answer) => {
            // One alone is no such node.
            for at in 0..ids.len() {
                if left.falls_on(ids.len() > 2) {
                    ids.remove(at);
                    return true;
                }
            }
            if left.falls_on(answer.is_some()) {
                *answer = None;
                return true;
            }
            false
        }
        Node::Auction(auction) => {
            for at in 0..auction.members.len() {
                if left.falls_on(auction.members.len() > 1) {
                    auction.members.remove(at);
                    return true;
                }
            }
            if left.falls_on(auction.takeover.is_some()) {
                auction.takeover = None;
                return true;
            }
            false
        }
        Node::Sequential(nodes) | Node::RoundRobin(nodes) => nodes.iter_mut().any(|child| node(child, left)),
        Node::Weighted(nodes) => nodes.iter_mut().any(|child| node(&mut child.1, left)),
        Node::FirstMatch(branches) => branches.iter_mut().any(|branch| {
            let least = 1.min(branch.when.len());
            filters(&mut branch.when, left, least) || node(&mut branch.node, left)
        }),
    }
}

//! Plans: the tree of `root`, and what happens when nobody takes the call.
//!
//! A tree is checked as a whole: its depth, that no target stands in it twice, that only auctions ask endpoints, that a
//! call can come to every node, and that every way through it ends with an action. Groups are read in `groups`.

use std::collections::HashMap;

use super::compare::Ahead;
use super::file::{Field, Reader};
use super::filter::conditions;
use super::groups::Groups;
use super::numbers::Numbers;
use super::openings::asked;
use super::values::{address, hours, zone};
use super::ways;
use crate::domain::plan::{AuctionNode, Branch, RoundRobin, Scope, SimultaneousNode};
use crate::domain::{GroupId, HangupCause, Hours, Money, Node, Plan, PlanId, TargetIx, Terminal, Zone};

/// Deepest tree, groups included, a root without children being 1 deep.
pub(super) const DEPTH_MAX: usize = 32;
/// Longest text a caller hears, in bytes.
pub(super) const TERMINAL_TEXT_MAX: usize = 500;
/// Fewest and most targets that ring at once: carriers take no more.
pub(super) const TOGETHER: (usize, usize) = (2, 10);
/// Highest weight.
pub(super) const WEIGHT_MAX: u64 = 1_000_000;

const NODE: &str = "\"target-id\", {sequential = […]}, {weighted = [{weight = 3, node = …}]}, {round_robin = […]}, \
                    {first_match = [{when = […], node = …}]}, {simultaneous = [\"target-id\", …]}, {auction = […]}, \
                    {group = \"group-id\"}, or an action that ends the way such as {voicemail = \"text\"}";
const TERMINAL: &str = "one of dial = \"+1…\", voicemail = \"text\", message = \"text\", hangup = \"busy\"";

/// Reads one plan.
pub(super) fn read(id: &str, field: &Field<'_>, groups: &Groups<'_, '_>) -> Option<Plan> {
    field.table("a table", |r| {
        let root = r.field("root");
        let mut tree = Tree::new(groups, "plan");
        // No root is a plan that goes straight to its terminal action.
        let root = if root.is_set() { tree.node(&root, 1) } else { Some(Node::Sequential(Vec::new())) };
        let root = root.filter(|_| tree.done().is_some());
        let at = r.field("terminal");
        let own = at.table(TERMINAL, |r| terminal(r, groups.numbers)).flatten();
        if root.is_none() && !tree.has_actions && !at.is_set() {
            at.missing(TERMINAL);
        }
        let mut root = root?;
        root.number();
        let terminal = end(&root, &at, own)?;
        Some(Plan { id: PlanId::parse(id).ok()?, root, terminal })
    })?
}

/// The action of a plan. Where every way through the tree ends in an action of its own there is none, and none that could
/// be reached.
fn end(root: &Node, at: &Field<'_>, own: Option<Terminal>) -> Option<Terminal> {
    match (at.is_set(), root.ends()) {
        (true, false) => own,
        (true, true) => {
            at.wrong("is never reached: every way through the plan ends before it", "no `terminal` here");
            None
        }
        (false, true) => Some(Terminal::Hangup(HangupCause::Normal)),
        (false, false) => {
            match ways::open(root, "root") {
                Some(way) => {
                    at.missing(&format!("{TERMINAL}: the plan can end without an action, where {way}"))
                }
                None => at.missing(TERMINAL),
            }
            None
        }
    }
}

/// A tree while it is read.
pub(super) struct Tree<'g, 'e, 'a> {
    groups: &'g Groups<'e, 'a>,
    /// What it belongs to: `plan` or `group`.
    whose: &'static str,
    /// Where each target stands.
    places: HashMap<TargetIx, String>,
    /// Targets in the order in which they were found.
    found: Vec<TargetIx>,
    deepest: usize,
    /// Hours of the nodes and branches around the one that is read. Those around a group are of no concern to its nodes:
    /// another plan may bring them at other hours.
    around: Vec<(Hours, Zone)>,
    is_faulty: bool,
    /// It may have actions of its own.
    has_actions: bool,
}

impl<'g, 'e, 'a> Tree<'g, 'e, 'a> {
    pub(super) fn new(groups: &'g Groups<'e, 'a>, whose: &'static str) -> Tree<'g, 'e, 'a> {
        let (places, found, around) = (HashMap::new(), Vec::new(), Vec::new());
        Tree { groups, whose, places, found, deepest: 1, around, is_faulty: false, has_actions: false }
    }

    /// Where its targets stand, and how deep it is; `None` if anything of it could not be read, so that nothing is
    /// concluded from the rest.
    pub(super) fn done(&mut self) -> Option<(Vec<(TargetIx, String)>, usize)> {
        let found = std::mem::take(&mut self.found).into_iter();
        let places = found.filter_map(|target| Some((target, self.places.remove(&target)?))).collect();
        (!self.is_faulty).then_some((places, self.deepest))
    }

    pub(super) fn required(&mut self, field: &Field<'_>, depth: usize) -> Option<Node> {
        if !field.is_set() {
            field.missing(NODE);
            self.is_faulty = true;
            return None;
        }
        self.node(field, depth)
    }

    fn node(&mut self, field: &Field<'_>, depth: usize) -> Option<Node> {
        self.deepest = self.deepest.max(depth);
        let node = self.any(field, depth);
        self.is_faulty |= node.is_none();
        node
    }

    fn any(&mut self, field: &Field<'_>, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            field.wrong(format!("is nested {depth} deep"), &format!("at most {DEPTH_MAX}"));
            return None;
        }
        if field.raw().is_some_and(|value| value.is_table()) {
            return field.table(NODE, |r| self.limited(r, depth))?;
        }
        field.text(NODE)?;
        self.leaf(field)
    }

    fn leaf(&mut self, field: &Field<'_>) -> Option<Node> {
        self.static_target(field).map(Node::Target)
    }

    fn static_target(&mut self, field: &Field<'_>) -> Option<TargetIx> {
        let target = self.target(field)?;
        let entry = self.groups.entries.targets.field(target.0);
        if entry.has("endpoint") && !entry.has("price") && !entry.has("bids") {
            let allowed = "targets with a `price` or a table of `bids`; those with an `endpoint` take part in {auction = […]}";
            field.wrong("has no fixed price: it bids, and nobody asks for bids here", allowed);
            return None;
        }
        Some(target)
    }

    /// Targets that ring at once.
    fn simultaneous(&mut self, r: &Reader<'_>, field: &Field<'_>) -> Option<Node> {
        let (fewest, most) = TOGETHER;
        let allowed = format!("{fewest} to {most} targets with a `price`");
        let fields = field.list(&allowed);
        let answer = r.field("answer").choice(&[("screen", true), ("first", false)]);
        if !(fewest..=most).contains(&fields.len()) {
            field.wrong(format!("has {}", fields.len()), &allowed);
            return None;
        }
        let members = fields.iter().filter_map(|field| self.static_target(field)).collect();
        Some(Node::Simultaneous(SimultaneousNode { members, screen: answer.unwrap_or(true) }))
    }

    fn target(&mut self, field: &Field<'_>) -> Option<TargetIx> {
        let target = TargetIx(self.groups.entries.targets.named_by(field)?);
        if let Some(place) = self.places.get(&target) {
            let what = format!("stands twice in this {}: also at {place}", self.whose);
            field.wrong(what, "each target once per plan");
            return None;
        }
        self.stands(target, field.place());
        Some(target)
    }

    fn stands(&mut self, target: TargetIx, place: String) {
        self.places.entry(target).or_insert_with(|| {
            self.found.push(target);
            place
        });
    }

    /// A node with what holds for it.
    fn limited(&mut self, r: &Reader<'_>, depth: usize) -> Option<Node> {
        let at = r.field("ring_s");
        let ring = at.seconds(5..=120);
        let is_faulty = at.is_set() && ring.is_none();
        let (open, place) = (r.field("hours"), r.field("zone"));
        let hours = match (open.is_set(), place.is_set()) {
            (false, false) => None,
            (false, true) => {
                open.missing("`hours` with `zone`");
                Some(None)
            }
            (true, _) => Some(hours(&open).zip(zone(&place.required()))),
        };
        let above = self.around.len();
        if let Some(Some((hours, zone))) = &hours {
            self.refuse_never_open(&open, hours, zone);
            self.around.push((hours.clone(), zone.clone()));
        }
        let read = self.strategy(r, depth);
        self.around.truncate(above);
        let (node, group) = read?;
        if at.is_set() && matches!(node, Node::Terminal(_)) {
            at.wrong("is of no use here: no target rings", "on nodes with targets");
            return None;
        }
        let hours = match hours {
            Some(read) => Some(read?),
            None => None,
        };
        if is_faulty {
            return None;
        }
        let is_plain = ring.is_none() && hours.is_none() && group.is_none();
        Some(if is_plain { node } else { Node::Scope(Box::new(Scope { group, ring, hours, node })) })
    }

    /// Nobody means hours that those around them never meet.
    fn refuse_never_open(&self, field: &Field<'_>, hours: &Hours, zone: &Zone) {
        let shut = self.around.iter().find(|(above, there)| !above.meets_in(there, hours, zone));
        if let Some((above, there)) = shut {
            let what = format!(
                "would never be open: {hours} in {zone} never meets the hours around it, {above} in {there}"
            );
            field.wrong(what, "hours that lie within those around it for some time");
        }
    }

    fn strategy(&mut self, r: &Reader<'_>, depth: usize) -> Option<(Node, Option<GroupId>)> {
        let (sequential, weighted) = (r.field("sequential"), r.field("weighted"));
        let (round_robin, first_match) = (r.field("round_robin"), r.field("first_match"));
        let (together, auction, group) = (r.field("simultaneous"), r.field("auction"), r.field("group"));
        let is_action = ACTIONS.iter().any(|action| r.field(action).is_set());
        self.has_actions |= is_action || group.is_set();
        let kinds = [&sequential, &weighted, &round_robin, &first_match, &together, &auction, &group];
        match kinds.iter().filter(|kind| kind.is_set()).count() + usize::from(is_action) {
            0 => {
                sequential.missing(NODE);
                return None;
            }
            1 => {}
            _ => {
                r.wrong("is more than one kind of node", NODE);
                return None;
            }
        }
        let node = if sequential.is_set() {
            Node::Sequential(self.in_order(&children(&sequential, "a list of nodes"), depth))
        } else if weighted.is_set() {
            Node::Weighted(self.by_weight(&children(&weighted, "a list of {weight = 3, node = …}"), depth))
        } else if round_robin.is_set() {
            let children = children(&round_robin, "a list of nodes");
            let children = children.iter().filter_map(|f| self.node(f, depth + 1)).collect();
            Node::RoundRobin(RoundRobin { number: 0, children })
        } else if first_match.is_set() {
            let branches = children(&first_match, "a list of {when = […], node = …}");
            Node::FirstMatch(self.branches(&branches, depth))
        } else if together.is_set() {
            self.simultaneous(r, &together)?
        } else if auction.is_set() {
            Node::Auction(self.auction(r, &auction))
        } else if group.is_set() {
            let (node, id) = self.group(&group, depth)?;
            return Some((node, Some(id)));
        } else {
            Node::Terminal(terminal(r, self.groups.numbers)?)
        };
        Some((node, None))
    }

    fn auction(&mut self, r: &Reader<'_>, at: &Field<'_>) -> AuctionNode {
        let members = children(at, "a list of targets");
        AuctionNode {
            members: members.iter().filter_map(|f| self.target(f)).collect(),
            floor: r.field("floor").money().unwrap_or(Money::ZERO),
            takeover: r.field("takeover").price(),
            timeout: r.field("timeout_ms").millis(50..=1_500),
        }
    }

    /// Behind a node that ends every call's way there is nothing.
    fn in_order(&mut self, fields: &[Field<'_>], depth: usize) -> Vec<Node> {
        let (mut nodes, mut is_over) = (Vec::new(), false);
        for (at, field) in fields.iter().enumerate() {
            let node = self.node(field, depth + 1);
            if node.as_ref().is_some_and(Node::ends) && at + 1 < fields.len() && !is_over {
                is_over = true;
                fields[at + 1].wrong(
                    "is never reached: the node before ends the way of every call",
                    "nodes that end it last",
                );
            }
            nodes.extend(node);
        }
        nodes
    }

    /// A weight of 0 comes after all others, so one that ends the way leaves nothing for it.
    fn by_weight(&mut self, fields: &[Field<'_>], depth: usize) -> Vec<(u32, Node)> {
        let read: Vec<_> = fields.iter().map(|field| (field, self.weighted(field, depth))).collect();
        let (idle, drawn): (Vec<_>, Vec<_>) = read
            .iter()
            .filter_map(|(field, child)| Some((field, child.as_ref()?)))
            .partition(|(_, (weight, _))| *weight == 0);
        let mut is_over = drawn.iter().any(|(_, (_, node))| node.ends());
        for (field, (_, node)) in idle {
            if is_over {
                let what =
                    "is never reached: it has the weight 0, and another before it ends the way of every call";
                field.wrong(what, "a weight above 0");
            }
            is_over |= node.ends();
        }
        read.into_iter().filter_map(|(_, child)| child).collect()
    }

    /// Only one branch is taken, so a target may stand in several.
    fn branches(&mut self, fields: &[Field<'_>], depth: usize) -> Vec<Branch> {
        let before = self.found.len();
        let mut all = Vec::new();
        let mut branches = Vec::new();
        let (mut ahead, mut is_over) = (Ahead::default(), false);
        for (at, field) in fields.iter().enumerate() {
            let branch = self.branch(field, depth);
            for target in self.found.split_off(before) {
                all.extend(self.places.remove(&target).map(|place| (target, place)));
            }
            let takes_all = branch.as_ref().is_some_and(|branch| branch.when.is_empty());
            let taker = branch.as_ref().filter(|_| !is_over).and_then(|one| ahead.taker(at + 1, &one.when));
            if let Some(before) = taker {
                let what = format!("is never reached: branch {before} takes all its calls");
                field.wrong(what, "the branch that asks more first, or only one of the two");
            }
            self.is_faulty |= branch.is_none();
            branches.extend(branch);
            if takes_all && at + 1 < fields.len() && !is_over {
                is_over = true;
                fields[at + 1].wrong(
                    "is never reached: the branch before takes every call",
                    "the one without `when` last",
                );
            }
        }
        all.into_iter().for_each(|(target, place)| self.stands(target, place));
        branches
    }

    fn branch(&mut self, field: &Field<'_>, depth: usize) -> Option<Branch> {
        field.table("{when = […], node = …}", |r| {
            let when = r.field("when");
            let has_when = when.is_set();
            let conditions = conditions(&when, self.groups.entries, self.groups.numbers);
            let above = self.around.len();
            let own: Vec<_> = asked(&conditions)
                .filter_map(|(hours, zone)| Some((hours.clone(), zone?.clone())))
                .inspect(|(hours, zone)| self.refuse_never_open(&when, hours, zone))
                .collect();
            self.around.extend(own);
            let node = self.required(&r.field("node"), depth + 1);
            self.around.truncate(above);
            // What is left of faulty conditions would take other calls.
            (!has_when || !conditions.is_empty()).then_some(Branch {
                number: 0,
                when: conditions,
                node: node?,
            })
        })?
    }

    fn weighted(&mut self, field: &Field<'_>, depth: usize) -> Option<(u32, Node)> {
        field.table("{weight = 3, node = …}", |r| {
            let weight = r.field("weight").required().whole(0..=WEIGHT_MAX);
            let node = self.required(&r.field("node"), depth + 1);
            Some((weight?, node?))
        })?
    }

    /// A copy of the group that the field names.
    fn group(&mut self, field: &Field<'_>, depth: usize) -> Option<(Node, GroupId)> {
        let group = self.groups.named_by(field)?;
        let deepest = depth + group.depth - 1;
        if deepest > DEPTH_MAX {
            field.wrong(format!("makes the tree {deepest} deep"), &format!("at most {DEPTH_MAX}"));
            return None;
        }
        self.deepest = self.deepest.max(deepest);
        for (target, place) in &group.places {
            if let Some(other) = self.places.get(target) {
                let id = self.groups.entries.targets.iter().nth(target.at()).map_or("", |(id, _)| id);
                let what =
                    format!("brings target {id} twice into this {}: at {place} and at {other}", self.whose);
                field.wrong(what, "each target once per plan");
                return None;
            }
        }
        for (target, place) in &group.places {
            self.stands(*target, format!("{place}, which group {} brings at {}", group.id, field.place()));
        }
        Some((group.node.clone(), group.id.clone()))
    }
}

/// The elements of a list that must not be empty.
fn children<'a>(field: &Field<'a>, allowed: &str) -> Vec<Field<'a>> {
    let children = field.list(allowed);
    if field.raw().and_then(|value| value.as_array()).is_some_and(|list| list.is_empty()) {
        field.wrong("is empty", allowed);
    }
    children
}

/// Keys of actions that end a call's way.
const ACTIONS: [&str; 4] = ["dial", "voicemail", "message", "hangup"];

fn terminal(r: &Reader<'_>, numbers: &Numbers<'_>) -> Option<Terminal> {
    let [dial, voicemail, message, hangup] = ACTIONS.map(|action| r.field(action));
    let causes = HangupCause::ALL.map(|cause| (cause.as_str(), cause));
    match [&dial, &voicemail, &message, &hangup].map(|field| field.is_set()) {
        [true, false, false, false] => {
            let address = address(&dial)?;
            numbers.refuse_loop(&address, &dial);
            Some(Terminal::Dial(address))
        }
        [false, true, false, false] => voicemail.label(TERMINAL_TEXT_MAX).map(Terminal::Voicemail),
        [false, false, true, false] => message.label(TERMINAL_TEXT_MAX).map(Terminal::Message),
        [false, false, false, true] => hangup.choice(&causes).map(Terminal::Hangup),
        [false, false, false, false] => {
            hangup.missing(TERMINAL);
            None
        }
        [true, ..] | [_, true, ..] | [_, _, true, _] => {
            r.wrong("is more than one action", TERMINAL);
            None
        }
    }
}

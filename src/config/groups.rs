//! Groups: nodes by a name of their own, which any plan may use, `[group.<id>] node = <node>`.
//!
//! Each is read once, whoever uses it first; a plan gets a copy. That none leads back to itself is checked here, and that
//! all plans together stay within bounds. What a node is, is read in `plan`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use super::entries::Entries;
use super::file::Field;
use super::numbers::Numbers;
use super::plan::Tree;
use super::problem::Problem;
use crate::domain::{Catalog, GroupId, Node, TargetIx};

/// Most nodes, members of auctions included, that groups bring into all plans together.
const COPIED_MAX: usize = 1_000_000;

/// A group as plans use it.
pub(super) struct Group {
    /// Its id.
    pub(super) id: GroupId,
    /// What it stands for.
    pub(super) node: Node,
    /// How deep that is.
    pub(super) depth: usize,
    /// Where each of its targets stands.
    pub(super) places: Vec<(TargetIx, String)>,
    size: usize,
}

enum State {
    Unread,
    Reading,
    Faulty,
    Read(Rc<Group>),
}

/// Every group of the catalog, and what plans are read by.
pub(super) struct Groups<'e, 'a> {
    pub(super) entries: &'e Entries<'a>,
    pub(super) numbers: &'e Numbers<'a>,
    states: RefCell<Vec<State>>,
    /// Groups that are being read, the outermost first.
    way: RefCell<Vec<u32>>,
    room: Cell<usize>,
}

impl<'e, 'a> Groups<'e, 'a> {
    /// Reads all of them, used or not: a fault in one is reported once.
    pub(super) fn read(entries: &'e Entries<'a>, numbers: &'e Numbers<'a>) -> Groups<'e, 'a> {
        let many = entries.groups.iter().count();
        let groups = Groups {
            entries,
            numbers,
            states: RefCell::new((0..many).map(|_| State::Unread).collect()),
            way: RefCell::default(),
            room: Cell::new(COPIED_MAX),
        };
        for ix in 0..many as u32 {
            groups.at(ix, entries.groups.field(ix));
        }
        groups
    }

    /// The group that a field names; `None` if it cannot be used, which was said then.
    pub(super) fn named_by(&self, field: &Field<'_>) -> Option<Rc<Group>> {
        let group = self.at(self.entries.groups.named_by(field)?, field)?;
        match self.room.get().checked_sub(group.size) {
            Some(left) => {
                self.room.set(left);
                Some(group)
            }
            None => {
                let what = format!("is too much: groups bring more than {COPIED_MAX} nodes into plans");
                field.wrong(what, "smaller groups, or fewer uses of them");
                None
            }
        }
    }

    fn at(&self, ix: u32, by: &Field<'_>) -> Option<Rc<Group>> {
        match &self.states.borrow()[ix as usize] {
            State::Read(group) => return Some(Rc::clone(group)),
            State::Faulty => return None,
            State::Reading => {
                by.wrong(
                    format!("leads back to itself: {}", self.round(ix)),
                    "groups that are not part of themselves",
                );
                return None;
            }
            State::Unread => {}
        }
        self.states.borrow_mut()[ix as usize] = State::Reading;
        self.way.borrow_mut().push(ix);
        let group = self.read_one(ix).map(Rc::new);
        self.way.borrow_mut().pop();
        let state = group.as_ref().map_or(State::Faulty, |group| State::Read(Rc::clone(group)));
        self.states.borrow_mut()[ix as usize] = state;
        group
    }

    fn read_one(&self, ix: u32) -> Option<Group> {
        let (id, field) = self.entries.groups.iter().nth(ix as usize)?;
        let mut tree = Tree::new(self, "group");
        let node = field.table("a table", |r| tree.required(&r.field("node"), 1))?;
        let (places, depth) = tree.done()?;
        let node = node?;
        Some(Group { id: GroupId::parse(id).ok()?, size: size(&node), node, depth, places })
    }

    /// The way from a group that is being read back to it: `west → night → west`.
    fn round(&self, ix: u32) -> String {
        let way = self.way.borrow();
        let inner = way.iter().skip_while(|at| **at != ix).chain([&ix]);
        let ids = inner.filter_map(|at| self.entries.groups.iter().nth(*at as usize));
        ids.map(|(id, _)| id).collect::<Vec<_>>().join(" → ")
    }
}

fn size(node: &Node) -> usize {
    let members = if let Node::Auction(auction) = node { auction.members.len() } else { 0 };
    1 + members + node.children().into_iter().map(size).sum::<usize>()
}

/// Groups that no plan uses.
pub(super) fn unused(catalog: &Catalog, entries: &Entries<'_>, into: &mut Vec<Problem>) {
    let mut used = BTreeSet::new();
    catalog.plans.iter().for_each(|plan| named(&plan.root, &mut used));
    let unused = entries.groups.iter().filter(|(id, _)| !used.contains(id));
    into.extend(unused.map(|(_, field)| field.problem("is used by no plan", "", None)));
}

fn named<'n>(node: &'n Node, into: &mut BTreeSet<&'n str>) {
    if let Node::Scope(scope) = node {
        into.extend(scope.group.as_ref().map(GroupId::as_str));
    }
    node.children().into_iter().for_each(|child| named(child, into));
}

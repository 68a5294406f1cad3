//! Caller lists as the journal's records add up to them.
//!
//! A change comes in parts, and counts when its last part is there: what a kill has cut off was not acknowledged. The parts
//! of one change stand behind each other, since one order is carried out at a time.

use std::collections::{BTreeMap, HashSet};

use crate::domain::CallerListId;
use crate::domain::caller_list::{CallerDigest, CallerPrefix};
use crate::records::entry::ListPart;
use crate::state::callers::{Content, Difference};

/// Every list, and the change that is not whole yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FoldedLists {
    lists: BTreeMap<CallerListId, Members>,
    pending: Vec<ListPart>,
}

/// Who is on a list. A set that is quick to add to: a tail of the journal may have any number of small changes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Members {
    numbers: HashSet<CallerDigest>,
    prefixes: HashSet<CallerPrefix>,
}

impl FoldedLists {
    pub(super) fn put(&mut self, part: ListPart) {
        if part.part == 0 {
            self.pending.clear();
        }
        let is_next = part.part as usize == self.pending.len()
            && self.pending.first().is_none_or(|first| first.list == part.list);
        if !is_next {
            // The rest of a change whose beginning nobody has: what a damaged journal went on without.
            self.pending.clear();
            return;
        }
        let is_last = part.is_last;
        self.pending.push(part);
        if is_last {
            std::mem::take(&mut self.pending).into_iter().for_each(|part| self.apply(part));
        }
    }

    fn apply(&mut self, ListPart { list, difference, .. }: ListPart) {
        let Difference { added, removed } = difference;
        let members = self.lists.entry(list.clone()).or_default();
        members.numbers.extend(added.numbers);
        members.prefixes.extend(added.prefixes);
        for one in &removed.numbers {
            members.numbers.remove(one);
        }
        for one in &removed.prefixes {
            members.prefixes.remove(one);
        }
        if members.numbers.is_empty() && members.prefixes.is_empty() {
            self.lists.remove(&list);
        }
    }

    /// Every list with what is on it, in order.
    pub(super) fn contents(&self) -> impl Iterator<Item = (CallerListId, Content)> {
        self.lists.iter().map(|(list, members)| {
            let mut numbers: Vec<CallerDigest> = members.numbers.iter().copied().collect();
            let mut prefixes: Vec<CallerPrefix> = members.prefixes.iter().copied().collect();
            numbers.sort_unstable();
            prefixes.sort_unstable();
            (list.clone(), Content { numbers, prefixes })
        })
    }

    /// All of it as changes, for a snapshot: the lists, then what is known of the change that is not whole yet.
    pub(super) fn parts(&self) -> impl Iterator<Item = ListPart> {
        let whole = self.contents().flat_map(|(list, content)| {
            ListPart::of(&list, &Difference { added: content, removed: Content::default() })
        });
        whole.chain(self.pending.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::draw::Draw;
    use crate::records::entry::{ENTRY, Entry, LIST_PART_MAX, Put, VERSION};
    use crate::records::fold::Fold;

    fn list(id: &str) -> CallerListId {
        CallerListId::parse(id).expect("a slug")
    }

    fn numbers(range: std::ops::Range<u64>) -> Content {
        let digest = |n: u64| CallerDigest(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut numbers: Vec<CallerDigest> = range.map(digest).collect();
        numbers.sort_unstable();
        Content { numbers, prefixes: Vec::new() }
    }

    fn bytes(part: &ListPart) -> Vec<u8> {
        let mut body = Vec::new();
        Entry::put(Put::Callers(Box::new(part.clone()))).encode(&mut body);
        body
    }

    fn put(fold: &mut Fold, seq: u64, part: &ListPart) {
        fold.apply(seq, ENTRY, VERSION, &bytes(part)).expect("what was written is read");
    }

    fn of_snapshot(fold: &Fold) -> Fold {
        let mut again = Fold::default();
        fold.snapshot(|kind, version, body| again.apply(fold.seq(), kind, version, body))
            .expect("a snapshot is read");
        again
    }

    /// Changes of several parts, a snapshot made after each, and sometimes a kill before the last part.
    #[test]
    fn a_change_counts_when_all_of_it_is_there() {
        let part_max = LIST_PART_MAX as u64;
        for seed in 0..12 {
            let mut draw = Draw::new(seed);
            let mut fold = Fold::default();
            let mut model: BTreeMap<&str, std::collections::BTreeSet<CallerDigest>> = BTreeMap::new();
            for seq in 1..6 {
                let name = ["dnc", "own"][draw.below(2) as usize];
                let from = draw.below(3) * part_max;
                let content = numbers(from..from + [3, part_max, 2 * part_max + 1][draw.below(3) as usize]);
                let on = model.entry(name).or_default();
                let difference = if draw.below(3) == 0 {
                    let removed = Content {
                        numbers: content.numbers.into_iter().filter(|one| on.contains(one)).collect(),
                        prefixes: Vec::new(),
                    };
                    Difference { added: Content::default(), removed }
                } else {
                    let added = Content {
                        numbers: content.numbers.into_iter().filter(|one| !on.contains(one)).collect(),
                        prefixes: Vec::new(),
                    };
                    Difference { added, removed: Content::default() }
                };
                let parts = ListPart::of(&list(name), &difference);
                let is_cut = draw.below(3) == 0;
                let written = if is_cut { parts.len().saturating_sub(1) } else { parts.len() };
                for part in &parts[..written] {
                    assert!(bytes(part).len() < 160 * 1024, "a part fits the smallest segments");
                    put(&mut fold, seq, part);
                    // Whoever goes on from a snapshot in the middle of a change knows the same.
                    let again = of_snapshot(&fold);
                    assert!(again == fold, "seed {seed}");
                    fold = again;
                }
                if !is_cut {
                    on.extend(difference.added.numbers);
                    on.retain(|one| difference.removed.numbers.binary_search(one).is_err());
                }
                let found: BTreeMap<CallerListId, Vec<CallerDigest>> =
                    fold.callers().into_iter().map(|(list, content)| (list, content.numbers)).collect();
                let expected = model.iter().filter(|(_, on)| !on.is_empty());
                let expected: BTreeMap<CallerListId, Vec<CallerDigest>> =
                    expected.map(|(name, on)| (list(name), on.iter().copied().collect())).collect();
                assert!(found == expected, "seed {seed}, change {seq}");
            }
        }
    }

    #[test]
    fn the_rest_of_a_change_that_has_no_beginning_is_none() {
        let mut fold = Fold::default();
        let parts = ListPart::of(
            &list("dnc"),
            &Difference { added: numbers(0..40_000), removed: Content::default() },
        );
        assert_eq!(parts.len(), 3);
        parts[1..].iter().for_each(|part| put(&mut fold, 1, part));
        assert_eq!(fold.callers(), Vec::new());
        put(&mut fold, 2, &parts[0]);
        put(&mut fold, 3, &parts[2]);
        assert_eq!(fold.callers(), Vec::new());
        parts.iter().for_each(|part| put(&mut fold, 4, part));
        assert_eq!(fold.callers(), vec![(list("dnc"), numbers(0..40_000))]);
    }
}

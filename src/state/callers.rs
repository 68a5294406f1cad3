//! Who is on which caller list: read by every decision without a lock, changed beside it.
//!
//! A look-up costs one digest and two or three places of memory, however many lists there are. A change makes a small
//! table of what differs from the large one; now and then both become a new large one, which is up to whoever makes the
//! change to do where nobody waits. Where changes are kept is for `records`, who may make them for `admin`.

mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::domain::caller_list::{
    ALL_PREFIXES_MAX, CallerDigest, CallerListKey, CallerPrefix, LISTS_MAX, ListVerb, NUMBERS_MAX,
    PREFIXES_MAX,
};
use crate::domain::{CallerListId, CallerListIx, Catalog, E164};
use table::{Pair, Slot, Table};

/// What may differ from the large table before another is made of both: it is copied at every change.
const DELTA_MAX: usize = 16_384;

/// The lists of an exchange.
#[derive(Debug)]
pub struct Callers {
    key: CallerListKey,
    now: ArcSwap<Lists>,
}

/// All lists as they are at one moment.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// What is in the tables by its slot.
    lists: Vec<Counted>,
    base: Arc<Table>,
    /// Not in `base`.
    added: Arc<Table>,
    /// In `base`, and not on the lists.
    removed: Arc<Table>,
    /// By prefix: the lists it is on.
    prefixes: Arc<BTreeMap<CallerPrefix, Vec<Slot>>>,
    /// Lengths that prefixes have, a bit each.
    lengths: u32,
}

/// One list and how much is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The list.
    pub list: CallerListId,
    /// Numbers on it.
    pub numbers: usize,
    /// Prefixes on it.
    pub prefixes: usize,
}

/// What is on one list, in order: what a start knows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Digests of numbers.
    pub numbers: Vec<CallerDigest>,
    /// Prefixes.
    pub prefixes: Vec<CallerPrefix>,
}

/// What is asked to be done with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedOfList {
    /// Which.
    pub list: CallerListId,
    /// What.
    pub verb: ListVerb,
    /// Whom; with or without order, and some perhaps twice.
    pub named: Content,
}

/// What differs on one list after a change: nobody who was on it is added, and only such are removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// New on it.
    pub added: Content,
    /// Not on it any more.
    pub removed: Content,
}

impl Difference {
    /// Whether everything was so already.
    pub fn is_empty(&self) -> bool {
        self.added == Content::default() && self.removed == Content::default()
    }
}

/// A limit that a change would break; nothing of it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Of numbers on all lists.
    #[error("all caller lists together have at most {NUMBERS_MAX} numbers, and this would make {0}")]
    Numbers(usize),
    /// Of prefixes on one list.
    #[error("a caller list has at most {PREFIXES_MAX} prefixes, and this would make {0}")]
    Prefixes(usize),
    /// Of prefixes on all lists.
    #[error("all caller lists together have at most {ALL_PREFIXES_MAX} prefixes, and this would make {0}")]
    AllPrefixes(usize),
    /// Of lists.
    #[error(
        "there are at most {LISTS_MAX} caller lists that have anybody on them: empty one that is not used any more"
    )]
    Lists,
}

/// By what a caller is on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBy {
    /// By its number.
    Number,
    /// By a prefix of it.
    Prefix(CallerPrefix),
}

impl Callers {
    /// Empty lists, under this key.
    pub fn new(key: CallerListKey) -> Callers {
        Callers { key, now: ArcSwap::default() }
    }

    /// As they are now.
    pub fn load(&self) -> Guard<Arc<Lists>> {
        self.now.load()
    }

    /// As they are now, for longer.
    pub fn load_full(&self) -> Arc<Lists> {
        self.now.load_full()
    }

    /// What a list has of a caller.
    pub fn digest(&self, caller: E164) -> CallerDigest {
        self.key.digest(caller)
    }

    /// The catalog's lists that a caller is on, ascending.
    pub fn listed(&self, catalog: &Catalog, caller: Option<E164>) -> Vec<CallerListIx> {
        let Some(caller) = caller.filter(|_| !catalog.caller_lists.is_empty()) else { return Vec::new() };
        let lists = self.now.load();
        let mut listed = Vec::new();
        lists.find(self.key.digest(caller), caller, |slot, _| {
            listed.extend(catalog.caller_list_named(&lists.lists[usize::from(slot)].list));
        });
        listed.sort_unstable();
        listed.dedup();
        listed
    }

    /// By what a caller is on a list.
    pub fn has(&self, list: &CallerListId, caller: E164) -> Option<OnBy> {
        let lists = self.now.load();
        let wanted = lists.slot(list)?;
        let mut found = None;
        lists.find(self.key.digest(caller), caller, |slot, by| {
            if slot == wanted {
                found = found.or(Some(by));
            }
        });
        found
    }

    /// Puts lists into force. The lists before are returned: dropping them takes time where they are large.
    pub fn put(&self, lists: Lists) -> Arc<Lists> {
        self.now.swap(Arc::new(lists))
    }
}

impl Lists {
    /// Lists with this on them, each list once. What is beyond the limits is taken too: it was acknowledged.
    pub fn of(contents: impl IntoIterator<Item = (CallerListId, Content)>) -> Lists {
        let mut lists = Lists::default();
        let mut pairs: Vec<Pair> = Vec::new();
        let mut prefixes: BTreeMap<CallerPrefix, Vec<Slot>> = BTreeMap::new();
        for (list, Content { numbers, prefixes: own }) in contents {
            let slot = lists.lists.len() as Slot;
            lists.lists.push(Counted { list, numbers: numbers.len(), prefixes: own.len() });
            pairs.extend(numbers.into_iter().map(|CallerDigest(digest)| (digest, slot)));
            own.into_iter().for_each(|prefix| prefixes.entry(prefix).or_default().push(slot));
        }
        pairs.sort_unstable();
        lists.base = Arc::new(Table::of(pairs.into_iter()));
        lists.set_prefixes(prefixes);
        lists
    }

    /// Every list that has anybody on it.
    pub fn counts(&self) -> impl Iterator<Item = &Counted> {
        self.lists.iter().filter(|list| !list.is_empty())
    }

    /// How much is on one list.
    pub fn count(&self, list: &CallerListId) -> Counted {
        let empty = || Counted { list: list.clone(), numbers: 0, prefixes: 0 };
        self.slot(list).map_or_else(empty, |slot| self.lists[usize::from(slot)].clone())
    }

    /// Numbers on all lists.
    pub fn numbers(&self) -> usize {
        self.lists.iter().map(|list| list.numbers).sum()
    }

    /// Bytes they take in memory, but for prefixes.
    pub fn bytes(&self) -> usize {
        self.base.bytes() + self.added.bytes() + self.removed.bytes()
    }

    fn slot(&self, list: &CallerListId) -> Option<Slot> {
        let at = self.lists.iter().position(|counted| counted.list == *list && !counted.is_empty())?;
        Some(at as Slot)
    }

    fn is_on(&self, pair: Pair) -> bool {
        self.added.has(pair) || self.base.has(pair) && !self.removed.has(pair)
    }

    /// Tells of each list that a caller is on, and by what; of one perhaps twice.
    fn find(&self, digest: CallerDigest, caller: E164, mut tell: impl FnMut(Slot, OnBy)) {
        let CallerDigest(digest) = digest;
        let base = self.base.find(digest);
        if !base.is_empty() {
            let removed = self.removed.find(digest);
            base.iter().filter(|slot| !removed.contains(slot)).for_each(|slot| tell(*slot, OnBy::Number));
        }
        self.added.find(digest).iter().for_each(|slot| tell(*slot, OnBy::Number));
        let mut lengths = self.lengths;
        while lengths != 0 {
            let length = lengths.trailing_zeros();
            lengths &= lengths - 1;
            let prefix = CallerPrefix::of(caller, length);
            if let Some((prefix, slots)) =
                prefix.and_then(|prefix| Some((prefix, self.prefixes.get(&prefix)?)))
            {
                slots.iter().for_each(|slot| tell(*slot, OnBy::Prefix(prefix)));
            }
        }
    }

    /// What would differ if it were done, or the limit that it would break. Takes longer the more is asked.
    pub fn difference(&self, asked: &AskedOfList) -> Result<Difference, NoRoom> {
        let slot = self.slot(&asked.list);
        let on = |digest: &CallerDigest| slot.is_some_and(|slot| self.is_on((digest.0, slot)));
        let prefix_on = |prefix: &CallerPrefix| {
            slot.is_some_and(|slot| self.prefixes.get(prefix).is_some_and(|slots| slots.contains(&slot)))
        };
        let (numbers, prefixes) = (sorted(&asked.named.numbers), sorted(&asked.named.prefixes));
        let added = || Content {
            numbers: numbers.iter().copied().filter(|one| !on(one)).collect(),
            prefixes: prefixes.iter().copied().filter(|one| !prefix_on(one)).collect(),
        };
        let removed = |which: Content| Content {
            numbers: which.numbers.into_iter().filter(on).collect(),
            prefixes: which.prefixes.into_iter().filter(prefix_on).collect(),
        };
        let difference = match asked.verb {
            ListVerb::Add => Difference { added: added(), removed: Content::default() },
            ListVerb::Remove => {
                Difference { added: Content::default(), removed: removed(Content { numbers, prefixes }) }
            }
            ListVerb::Replace => {
                let mut gone = slot.map_or_else(Content::default, |slot| self.content(slot));
                gone.numbers.retain(|one| numbers.binary_search(one).is_err());
                gone.prefixes.retain(|one| prefixes.binary_search(one).is_err());
                Difference { added: added(), removed: gone }
            }
        };
        self.has_room(&asked.list, &difference)?;
        Ok(difference)
    }

    fn has_room(
        &self,
        list: &CallerListId,
        Difference { added, removed }: &Difference,
    ) -> Result<(), NoRoom> {
        // Whoever takes away is never refused, however much there is.
        let numbers = self.numbers() + added.numbers.len() - removed.numbers.len();
        if !added.numbers.is_empty() && numbers > NUMBERS_MAX {
            return Err(NoRoom::Numbers(numbers));
        }
        let change = |before: usize| before + added.prefixes.len() - removed.prefixes.len();
        let own = change(self.count(list).prefixes);
        if !added.prefixes.is_empty() && own > PREFIXES_MAX {
            return Err(NoRoom::Prefixes(own));
        }
        let all = change(self.lists.iter().map(|list| list.prefixes).sum());
        if !added.prefixes.is_empty() && all > ALL_PREFIXES_MAX {
            return Err(NoRoom::AllPrefixes(all));
        }
        let is_new = self.slot(list).is_none() && *added != Content::default();
        if is_new && self.counts().count() >= LISTS_MAX { Err(NoRoom::Lists) } else { Ok(()) }
    }

    /// What is on one list.
    fn content(&self, slot: Slot) -> Content {
        let own = |(digest, of): Pair| (of == slot).then_some(CallerDigest(digest));
        let base = self.base.iter().filter(|pair| !self.removed.has(*pair));
        let mut numbers: Vec<CallerDigest> = base.chain(self.added.iter()).filter_map(own).collect();
        numbers.sort_unstable();
        let on = self.prefixes.iter().filter(|(_, slots)| slots.contains(&slot));
        Content { numbers, prefixes: on.map(|(prefix, _)| *prefix).collect() }
    }

    /// The lists after a change that [`Lists::difference`] has worked out.
    pub fn after(&self, list: &CallerListId, difference: &Difference) -> Lists {
        let mut next = self.clone();
        let Difference { added, removed } = difference;
        let slot = next.slot_for(list);
        let counted = &mut next.lists[usize::from(slot)];
        counted.numbers = counted.numbers + added.numbers.len() - removed.numbers.len();
        counted.prefixes = counted.prefixes + added.prefixes.len() - removed.prefixes.len();
        let (mut more, mut less): (BTreeSet<Pair>, BTreeSet<Pair>) =
            (self.added.iter().collect(), self.removed.iter().collect());
        for CallerDigest(digest) in &added.numbers {
            let pair = (*digest, slot);
            // Who was removed of the large table, and comes again, is in it.
            if !less.remove(&pair) {
                more.insert(pair);
            }
        }
        for CallerDigest(digest) in &removed.numbers {
            let pair = (*digest, slot);
            if !more.remove(&pair) {
                less.insert(pair);
            }
        }
        (next.added, next.removed) =
            (Arc::new(Table::of(more.into_iter())), Arc::new(Table::of(less.into_iter())));
        if next.added.len() + next.removed.len() > DELTA_MAX {
            next.base = Arc::new(next.base.merged(&next.added, &next.removed));
            (next.added, next.removed) = (Arc::default(), Arc::default());
        }
        if added.prefixes.len() + removed.prefixes.len() > 0 {
            let mut prefixes = (*self.prefixes).clone();
            for prefix in &added.prefixes {
                prefixes.entry(*prefix).or_default().push(slot);
            }
            for prefix in &removed.prefixes {
                let slots = prefixes.entry(*prefix).or_default();
                slots.retain(|of| *of != slot);
                if slots.is_empty() {
                    prefixes.remove(prefix);
                }
            }
            next.set_prefixes(prefixes);
        }
        next
    }

    fn set_prefixes(&mut self, prefixes: BTreeMap<CallerPrefix, Vec<Slot>>) {
        self.lengths = prefixes.keys().fold(0, |bits, prefix| bits | 1 << prefix.length());
        self.prefixes = Arc::new(prefixes);
    }

    /// The slot of a list, a new one where it has nobody on it: one that is empty now, whosever it was.
    fn slot_for(&mut self, list: &CallerListId) -> Slot {
        let own = self.lists.iter().position(|counted| counted.list == *list);
        let at = own.or_else(|| self.lists.iter().position(Counted::is_empty)).unwrap_or(self.lists.len());
        let empty = Counted { list: list.clone(), numbers: 0, prefixes: 0 };
        match self.lists.get_mut(at) {
            Some(counted) if counted.is_empty() => *counted = empty,
            Some(_) => {}
            None => self.lists.push(empty),
        }
        at as Slot
    }
}

impl Counted {
    /// Whether nobody is on it.
    pub const fn is_empty(&self) -> bool {
        self.numbers == 0 && self.prefixes == 0
    }
}

fn sorted<T: Ord + Copy>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

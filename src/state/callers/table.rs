//! A sorted table of who is on which list, made once and never changed: ten bytes an entry, and a look-up that touches
//! two places of memory however many there are.
//!
//! Digests are as good as drawn, so their first bits say where they stand: `starts` has the first place of each run that
//! shares them, of about eight entries.

/// Which of the lists, by their slots.
pub type Slot = u16;
/// A digest, and a list it is on.
pub type Pair = (u64, Slot);

/// Entries of a run, about.
const RUN: usize = 8;

/// Pairs, ascending, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    digests: Vec<u64>,
    slots: Vec<Slot>,
    /// By the first bits of a digest: where its run begins; one more at the end.
    starts: Vec<u32>,
    /// How far a digest is shifted for them.
    shift: u32,
}

impl Table {
    /// Of pairs that are sorted, each once; fewer than 2^32.
    pub fn of(pairs: impl ExactSizeIterator<Item = Pair>) -> Table {
        let mut table = Table::with_room(pairs.len());
        pairs.for_each(|pair| table.put(pair));
        table.index();
        table
    }

    fn with_room(count: usize) -> Table {
        Table {
            digests: Vec::with_capacity(count),
            slots: Vec::with_capacity(count),
            starts: Vec::new(),
            shift: 0,
        }
    }

    fn put(&mut self, (digest, slot): Pair) {
        debug_assert!(self.iter().next_back().is_none_or(|last| last < (digest, slot)), "sorted, each once");
        self.digests.push(digest);
        self.slots.push(slot);
    }

    fn index(&mut self) {
        let bits = (self.digests.len() / RUN).checked_ilog2().unwrap_or(0).max(1);
        self.shift = u64::BITS - bits;
        self.starts = vec![0; (1 << bits) + 1];
        for digest in &self.digests {
            self.starts[(digest >> self.shift) as usize + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut self.starts {
            sum += *start;
            *start = sum;
        }
    }

    /// This one with `added` and without `removed`: `added` has none of its pairs, and `removed` only such.
    pub fn merged(&self, added: &Table, removed: &Table) -> Table {
        let mut merged = Table::with_room(self.len() + added.len() - removed.len());
        let mut added = added.iter().peekable();
        let mut removed = removed.iter().peekable();
        for pair in self.iter() {
            while let Some(before) = added.next_if(|other| *other < pair) {
                merged.put(before);
            }
            if removed.next_if_eq(&pair).is_none() {
                merged.put(pair);
            }
        }
        added.for_each(|pair| merged.put(pair));
        merged.index();
        merged
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Pair> + ExactSizeIterator + '_ {
        self.digests.iter().copied().zip(self.slots.iter().copied())
    }

    /// The lists of a digest.
    pub fn find(&self, digest: u64) -> &[Slot] {
        let run = (digest >> self.shift.min(63)) as usize;
        let (Some(from), Some(to)) = (self.starts.get(run), self.starts.get(run + 1)) else { return &[] };
        let run = &self.digests[*from as usize..*to as usize];
        // Eight or so beside each other are looked through faster than halved.
        let before = run.iter().take_while(|other| **other < digest).count();
        let same = run[before..].iter().take_while(|other| **other == digest).count();
        let at = *from as usize + before;
        &self.slots[at..at + same]
    }

    /// Whether it has the pair.
    pub fn has(&self, (digest, slot): Pair) -> bool {
        self.find(digest).contains(&slot)
    }

    /// Bytes it takes in memory, beside itself.
    pub fn bytes(&self) -> usize {
        self.digests.capacity() * size_of::<u64>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.starts.capacity() * size_of::<u32>()
    }
}

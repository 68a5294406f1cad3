//! Bid tables ready to be asked: which row of thousands is the first that holds for a call, found without trying them all.
//!
//! Conditions on one value of a fact (a state, a ZIP or its beginning, a publisher, a tag's value) are columns. Rows that
//! use the same columns are a group with an index by their values, so a call is looked up once a group. What else a row
//! asks, such as hours, is tried on the rows that its columns leave; the more of them there are, the longer it takes, and
//! [`BidIndex::scanned`] says so. The first row in the order written always wins: groups only say which rows may hold.

use super::filter::{Compiled, Facts, Located};
use crate::domain::bid_table::BidTable;
use crate::domain::filter::{Filter, TagTest, Text};
use crate::domain::schedule::Wall;
use crate::domain::{E164, Hours, Zone};

#[cfg(test)]
mod tests;

/// Most columns that are indexed; a condition on any other is tried row by row.
const COLUMNS_MAX: usize = 24;
/// Most columns of one group: their values make one key of 128 bits.
const KEY_COLUMNS_MAX: usize = 9;
/// Bits of a key that one column takes.
const ID_BITS: u32 = 14;
/// Most values of a column; value 0 is none.
const VALUES_MAX: usize = (1 << ID_BITS) - 1;
/// Most groups; rows of any other set of columns are tried one by one.
const GROUPS_MAX: usize = 32;
/// Most keys that one row with lists of values stands under.
const KEYS_PER_ROW_MAX: usize = 64;

/// A table that is asked.
#[derive(Clone, Debug)]
pub struct BidIndex {
    zone: Zone,
    columns: Vec<Column>,
    /// Ascending by their first row.
    groups: Vec<Group>,
    /// What of each row its columns do not say.
    rests: Vec<Rest>,
    has_hours: bool,
    scanned: Scanned,
}

/// What has to be tried row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The conditions: `hours`, `near`, …; nothing where every row is found by its columns.
    pub conditions: Vec<String>,
    /// Most rows tried for one call.
    pub rows: usize,
}

/// A fact that rows are found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    State,
    AreaCode,
    Zip,
    /// Of this many digits.
    ZipBeginning(u32),
    Publisher,
    Campaign,
    SubId,
    Number,
    Tag(String),
}

/// A value of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

/// The values of a fact that rows name, ascending: the place of one, counted from 1, stands for it in keys.
#[derive(Clone, Debug)]
struct Column {
    fact: Fact,
    texts: Vec<Box<str>>,
    numbers: Vec<u64>,
}

/// Rows that use the same columns.
#[derive(Clone, Debug)]
struct Group {
    columns: Vec<usize>,
    first: u32,
    /// Ascending; each with where its rows begin and end in `rows`.
    keys: Vec<(u128, u32, u32)>,
    /// Ascending for each key.
    rows: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Rest {
    /// In the table's own zone: a clock is read once for all of them.
    hours: Vec<Hours>,
    filters: Compiled,
}

impl BidIndex {
    /// Compiles the table of a target whose buyer lives in this zone.
    pub fn new(table: &BidTable, zone: &Zone) -> BidIndex {
        let mut columns = Columns::default();
        let mut split: Vec<(Keyed, Vec<&Filter>)> = Vec::with_capacity(table.rows.len());
        for row in table.rows.iter() {
            split.push(columns.split(&row.when));
        }
        let columns = columns.sorted();
        let mut scanned = Scanned::default();
        let mut building: Vec<Building> = Vec::new();
        let mut rests = Vec::with_capacity(split.len());
        for (at, (keyed, mut others)) in split.into_iter().enumerate() {
            let names: Vec<&Fact> = keyed.iter().map(|(fact, ..)| fact).collect();
            let mut places: Vec<usize> = names.iter().filter_map(|fact| place(&columns, fact)).collect();
            places.sort_unstable();
            let known = building.iter().position(|group| group.columns == places);
            // One group is kept for the rows that have none of their own.
            let group = match known {
                Some(known) => known,
                None if building.len() < GROUPS_MAX - 1 || places.is_empty() => {
                    building.push(Building { columns: places, entries: Vec::new() });
                    building.len() - 1
                }
                None => {
                    others.extend(keyed.iter().map(|(.., filter)| *filter));
                    scanned.name("more sets of columns than are indexed".to_owned());
                    match building.iter().position(|group| group.columns.is_empty()) {
                        Some(scan) => scan,
                        None => {
                            building.push(Building { columns: Vec::new(), entries: Vec::new() });
                            building.len() - 1
                        }
                    }
                }
            };
            others.iter().for_each(|filter| scanned.name(kind(filter)));
            for key in keys(&columns, &building[group].columns, &keyed) {
                building[group].entries.push((key, at as u32));
            }
            rests.push(Rest::new(&others, zone));
        }
        let mut groups: Vec<Group> = building.into_iter().map(|group| group.built(&rests)).collect();
        groups.sort_by_key(|group| group.first);
        scanned.rows = groups.iter().map(|group| group.longest(&rests)).sum();
        let has_hours = rests.iter().any(|rest| !rest.hours.is_empty());
        BidIndex { zone: zone.clone(), columns, groups, rests, has_hours, scanned }
    }

    /// The first row that holds.
    pub fn first(&self, facts: &Facts<'_>) -> Option<usize> {
        let mut ids = [0_u16; COLUMNS_MAX];
        for (id, column) in ids.iter_mut().zip(&self.columns) {
            *id = column.id(facts);
        }
        let wall = self.has_hours.then(|| self.zone.wall(facts.now));
        let mut best = u32::MAX;
        for group in &self.groups {
            if group.first >= best {
                break;
            }
            let Some(key) = group.key(&ids) else { continue };
            let held = group.under(key).iter().take_while(|row| **row < best).find(|row| {
                let rest = &self.rests[**row as usize];
                rest.holds(wall.as_ref(), facts)
            });
            best = held.copied().unwrap_or(best);
        }
        (best != u32::MAX).then_some(best as usize)
    }

    /// What of it has to be tried row by row, and how many rows at most.
    pub fn scanned(&self) -> &Scanned {
        &self.scanned
    }
}

impl Scanned {
    /// In words; `None` where every row is found by its columns.
    pub fn told(&self) -> Option<String> {
        let conditions = self.conditions.join(", ");
        let rows = if self.rows == 1 { "row" } else { "rows" };
        let told = || format!("up to {} {rows} tried one by one for {conditions}", self.rows);
        (!conditions.is_empty()).then(told)
    }

    fn name(&mut self, name: String) {
        if !self.conditions.contains(&name) {
            self.conditions.push(name);
        }
    }
}

impl Rest {
    fn new(filters: &[&Filter], zone: &Zone) -> Rest {
        let (mut hours, mut others) = (Vec::new(), Vec::new());
        for filter in filters {
            match filter {
                Filter::Hours(own, None) => hours.push(own.clone()),
                other => others.push((*other).clone()),
            }
        }
        Rest { hours, filters: Compiled::new(&others, zone) }
    }

    fn is_none(&self) -> bool {
        self.hours.is_empty() && self.filters.is_empty()
    }

    fn holds(&self, wall: Option<&Wall>, facts: &Facts<'_>) -> bool {
        self.hours.iter().all(|hours| wall.is_some_and(|wall| hours.hold(wall))) && self.filters.hold(facts)
    }
}

/// The columns a row is found by, each with its values and the filter that says them.
type Keyed<'t> = Vec<(Fact, Vec<Value<'t>>, &'t Filter)>;

/// Columns while rows are read.
#[derive(Default)]
struct Columns<'t>(Vec<(Fact, Vec<Value<'t>>)>);

impl<'t> Columns<'t> {
    /// Parts what a row asks into columns and the rest.
    fn split(&mut self, when: &'t [Filter]) -> (Keyed<'t>, Vec<&'t Filter>) {
        let (mut keyed, mut others) = (Keyed::new(), Vec::new());
        let mut keys = 1;
        for filter in when {
            let taken = exact(filter).filter(|(fact, values)| {
                let is_second = keyed.iter().any(|(other, ..)| other == fact);
                let fits = keys * values.len() <= KEYS_PER_ROW_MAX && keyed.len() < KEY_COLUMNS_MAX;
                !is_second && fits && self.take(fact, values)
            });
            match taken {
                Some((fact, values)) => {
                    keys *= values.len();
                    keyed.push((fact, values, filter));
                }
                None => others.push(filter),
            }
        }
        (keyed, others)
    }

    /// Whether there is room for the column and these values.
    fn take(&mut self, fact: &Fact, values: &[Value<'t>]) -> bool {
        let known = self.0.iter().position(|(other, _)| other == fact);
        if known.is_none() && self.0.len() == COLUMNS_MAX {
            return false;
        }
        let at = known.unwrap_or_else(|| {
            self.0.push((fact.clone(), Vec::new()));
            self.0.len() - 1
        });
        let all = &mut self.0[at].1;
        if all.len() + values.len() > VALUES_MAX {
            all.sort_unstable();
            all.dedup();
        }
        let fits = all.len() + values.len() <= VALUES_MAX;
        if fits {
            all.extend(values);
        }
        fits
    }

    fn sorted(self) -> Vec<Column> {
        let column = |(fact, mut values): (Fact, Vec<Value<'_>>)| {
            values.sort_unstable();
            values.dedup();
            let (mut texts, mut numbers) = (Vec::new(), Vec::new());
            for value in values {
                match value {
                    Value::Text(text) => texts.push(text.into()),
                    Value::Number(number) => numbers.push(number),
                }
            }
            Column { fact, texts, numbers }
        };
        self.0.into_iter().map(column).collect()
    }
}

impl Column {
    /// What stands for the call's value in keys; 0 where no row names it.
    fn id(&self, facts: &Facts<'_>) -> u16 {
        let zip = || match facts.zip {
            Located::At(zip, _) => Some(u64::from(zip.number())),
            Located::Unknown | Located::Impossible => None,
        };
        let value = match &self.fact {
            Fact::State => facts.state.map(Value::Text),
            Fact::AreaCode => facts.area_code.map(|code| Value::Number(code.into())),
            Fact::Zip => zip().map(Value::Number),
            Fact::ZipBeginning(digits) => zip().map(|zip| Value::Number(zip / 10_u64.pow(5 - digits))),
            Fact::Publisher => facts.publisher.map(Value::Text),
            Fact::Campaign => facts.campaign.map(Value::Text),
            Fact::SubId => facts.sub_id.map(Value::Text),
            Fact::Number => facts.dialled.map(|number| Value::Number(number.digits())),
            Fact::Tag(key) => facts.tags.get(key).map(Value::Text),
        };
        value.map_or(0, |value| self.place_of(value))
    }

    fn place_of(&self, value: Value<'_>) -> u16 {
        let found = match value {
            Value::Text(text) => self.texts.binary_search_by(|own| (**own).cmp(text)),
            Value::Number(number) => self.numbers.binary_search(&number),
        };
        found.map_or(0, |at| at as u16 + 1)
    }
}

impl Group {
    /// The key of a call, unless one of its values is in no row.
    fn key(&self, ids: &[u16; COLUMNS_MAX]) -> Option<u128> {
        let mut key = 0;
        for column in &self.columns {
            let id = ids[*column];
            if id == 0 {
                return None;
            }
            key = key << ID_BITS | u128::from(id);
        }
        Some(key)
    }

    fn under(&self, key: u128) -> &[u32] {
        match self.keys.binary_search_by_key(&key, |(key, ..)| *key) {
            Ok(at) => &self.rows[self.keys[at].1 as usize..self.keys[at].2 as usize],
            Err(_) => &[],
        }
    }

    /// Most rows that are tried under one key: a row that asks nothing else is found, not tried.
    fn longest(&self, rests: &[Rest]) -> usize {
        let tried = |(_, start, end): &(u128, u32, u32)| {
            let rows = &self.rows[*start as usize..*end as usize];
            rows.iter().filter(|row| !rests[**row as usize].is_none()).count()
        };
        self.keys.iter().map(tried).max().unwrap_or(0)
    }
}

struct Building {
    columns: Vec<usize>,
    entries: Vec<(u128, u32)>,
}

impl Building {
    fn built(mut self, rests: &[Rest]) -> Group {
        let first = self.entries.iter().map(|(_, row)| *row).min().unwrap_or(u32::MAX);
        self.entries.sort_unstable();
        let mut group = Group { columns: self.columns, first, keys: Vec::new(), rows: Vec::new() };
        let mut is_closed = false;
        for (key, row) in self.entries {
            let end = group.rows.len() as u32;
            match group.keys.last_mut().filter(|(last, ..)| *last == key) {
                // Behind a row that takes all of its key, none is ever reached.
                Some(_) if is_closed => continue,
                Some((_, _, last)) => *last = end + 1,
                None => group.keys.push((key, end, end + 1)),
            }
            group.rows.push(row);
            is_closed = rests[row as usize].is_none();
        }
        group
    }
}

fn place(columns: &[Column], fact: &Fact) -> Option<usize> {
    columns.iter().position(|column| column.fact == *fact)
}

/// Every key a row stands under, by the columns of its group.
fn keys(columns: &[Column], group: &[usize], keyed: &Keyed<'_>) -> Vec<u128> {
    let mut keys = vec![0_u128];
    for column in group {
        let column = &columns[*column];
        let Some((_, values, _)) = keyed.iter().find(|(fact, ..)| *fact == column.fact) else { continue };
        let ids: Vec<u128> = values.iter().map(|value| u128::from(column.place_of(*value))).collect();
        keys = keys.iter().flat_map(|key| ids.iter().map(move |id| key << ID_BITS | id)).collect();
    }
    keys
}

/// The fact and the values that a filter asks for, where that is all it asks.
fn exact(filter: &Filter) -> Option<(Fact, Vec<Value<'_>>)> {
    fn named(texts: &[String]) -> Vec<Value<'_>> {
        texts.iter().map(|text| Value::Text(text)).collect()
    }
    let (fact, values) = match filter {
        Filter::State(states) => (Fact::State, named(states)),
        Filter::AreaCode(codes) => {
            (Fact::AreaCode, codes.iter().map(|code| Value::Number((*code).into())).collect())
        }
        Filter::Zip(spans) => zips(spans)?,
        Filter::Publisher(ids) => (Fact::Publisher, named(ids)),
        Filter::Campaign(ids) => (Fact::Campaign, named(ids)),
        Filter::SubId(labels) => {
            fn whole(label: &Text) -> Option<Value<'_>> {
                match label {
                    Text::Whole(text) => Some(Value::Text(text)),
                    Text::Beginning(_) => None,
                }
            }
            (Fact::SubId, labels.iter().map(whole).collect::<Option<_>>()?)
        }
        Filter::Number(numbers) => {
            let whole = |number: &Text| match number {
                Text::Whole(text) => {
                    let number = E164::parse(text).filter(|number| number.reveal() == *text)?;
                    Some(Value::Number(number.digits()))
                }
                Text::Beginning(_) => None,
            };
            (Fact::Number, numbers.iter().map(whole).collect::<Option<_>>()?)
        }
        Filter::Tag(key, TagTest::In(values)) => (Fact::Tag(key.clone()), named(values)),
        Filter::All(_)
        | Filter::Any(_)
        | Filter::Not(_)
        | Filter::Country(_)
        | Filter::Near(..)
        | Filter::Hours(..)
        | Filter::Attestation(_)
        | Filter::Verified(_)
        | Filter::Anonymous(_)
        | Filter::Tag(..) => return None,
    };
    (!values.is_empty()).then_some((fact, values))
}

/// Spans of one kind: single ZIPs, or all that begin with as many digits.
fn zips(spans: &[(u32, u32)]) -> Option<(Fact, Vec<Value<'static>>)> {
    let digits = |(first, last): &(u32, u32)| {
        (1..=5_u32).find(|digits| {
            let size = 10_u32.pow(5 - digits);
            first % size == 0 && *last == first + (size - 1)
        })
    };
    let all = digits(spans.first()?)?;
    if spans.iter().any(|span| digits(span) != Some(all)) {
        return None;
    }
    let fact = if all == 5 { Fact::Zip } else { Fact::ZipBeginning(all) };
    let size = 10_u32.pow(5 - all);
    Some((fact, spans.iter().map(|(first, _)| Value::Number((first / size).into())).collect()))
}

/// What people call a condition that is tried row by row.
fn kind(filter: &Filter) -> String {
    match filter {
        Filter::All(_) => "all",
        Filter::Any(_) => "any",
        Filter::Not(_) => "not",
        Filter::State(_) => "state",
        Filter::Country(_) => "country",
        Filter::AreaCode(_) => "area_code",
        Filter::Zip(_) => "zip",
        Filter::Near(..) => "near",
        Filter::Publisher(_) => "publisher",
        Filter::Campaign(_) => "campaign",
        Filter::SubId(_) => "sub_id",
        Filter::Number(_) => "number",
        Filter::Hours(..) => "hours",
        Filter::Attestation(_) => "stir",
        Filter::Verified(_) => "stir_verified",
        Filter::Anonymous(_) => "anonymous",
        Filter::Tag(key, _) => return format!("tag {key}"),
    }
    .to_owned()
}

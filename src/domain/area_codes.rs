//! What an area code of the North American Numbering Plan says: state or province, country, time zone, or
//! that it is toll-free, premium or otherwise not a place.
//!
//! It deliberately does not say where a caller is, or who carries the number: numbers are ported and people
//! move, so a ZIP or a state from the carrier comes first and this is the last resort (`geo_source` is
//! `area_code`). It parses no phone numbers and knows no exchanges: where an area code spans zones or states
//! it gives the most common one and says so.

mod table;

/// What is known about one area code. `Copy`, and every string is static.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AreaCode {
    /// What it stands for.
    pub kind: Kind,
    /// Two-letter code of the state (with `DC`) or province; `None` for every other kind.
    pub state: Option<&'static str>,
    /// ISO 3166 code, for geographic codes only. United States territories are countries of their own here
    /// (`PR`, `GU`, `VI`, `AS`, `MP`), as in libphonenumber.
    pub country: Option<&'static str>,
    /// IANA name of the zone of most of its exchanges, for geographic codes only.
    pub zone: Option<&'static str>,
    /// Its exchanges lie in zones whose clocks differ: `zone` is wrong for some of its callers.
    pub spans_zones: bool,
    /// It serves several provinces (782, 867, 902): `state` is wrong for some of its callers.
    pub spans_states: bool,
}

/// What an area code stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A state of the United States, or the District of Columbia.
    State,
    /// A province or territory of Canada.
    Province,
    /// Anywhere else under +1: the Caribbean, Bermuda, Pacific territories.
    Country,
    /// 8xx: whoever is called pays.
    TollFree,
    /// 900: the caller pays by the minute.
    Premium,
    /// Not a place: personal numbers (5xx), Canada's 600 622 633, carriers' 700, the government's 710.
    Special,
    /// Not in the plan's data: unassigned, a service code such as 911, or not an area code at all.
    Unknown,
}

/// Looks an area code up: 512, not 1512. Never fails; what is not in the table is [`Kind::Unknown`].
#[must_use]
pub fn area_code(npa: u16) -> AreaCode {
    match table::ROWS.binary_search_by_key(&npa, |row| row.npa) {
        Ok(i) => table::ROWS[i].facts,
        Err(_) => AreaCode::placeless(Kind::Unknown),
    }
}

/// Territories of the United States: countries of their own here, and states to whoever takes or refuses callers by state.
pub const TERRITORIES: [&str; 5] = ["PR", "VI", "GU", "AS", "MP"];

impl AreaCode {
    /// The state, province or territory.
    pub fn state_or_territory(&self) -> Option<&'static str> {
        self.state.or(self.country.filter(|country| TERRITORIES.contains(country)))
    }

    const fn placeless(kind: Kind) -> AreaCode {
        AreaCode { kind, state: None, country: None, zone: None, spans_zones: false, spans_states: false }
    }
}

struct Row {
    npa: u16,
    facts: AreaCode,
}

// The words the generated table is written in.

const fn state(npa: u16, state: &'static str, zone: &'static str) -> Row {
    let mut row = country(npa, "US", zone);
    row.facts.kind = Kind::State;
    row.facts.state = Some(state);
    row
}

const fn province(npa: u16, province: &'static str, zone: &'static str) -> Row {
    let mut row = country(npa, "CA", zone);
    row.facts.kind = Kind::Province;
    row.facts.state = Some(province);
    row
}

const fn country(npa: u16, country: &'static str, zone: &'static str) -> Row {
    let mut facts = AreaCode::placeless(Kind::Country);
    facts.country = Some(country);
    facts.zone = Some(zone);
    Row { npa, facts }
}

const fn toll_free(npa: u16) -> Row {
    Row { npa, facts: AreaCode::placeless(Kind::TollFree) }
}

const fn premium(npa: u16) -> Row {
    Row { npa, facts: AreaCode::placeless(Kind::Premium) }
}

const fn special(npa: u16) -> Row {
    Row { npa, facts: AreaCode::placeless(Kind::Special) }
}

impl Row {
    const fn spanning_zones(mut self) -> Row {
        self.facts.spans_zones = true;
        self
    }

    const fn spanning_states(mut self) -> Row {
        self.facts.spans_states = true;
        self
    }
}

#[cfg(test)]
mod tests;

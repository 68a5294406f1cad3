//! The table against codes everyone knows, and against itself. Nothing here reads the data it came from.

use std::collections::BTreeSet;

use super::{AreaCode, Kind, area_code, table};

/// `code kind state country zone spans`, `-` for none.
const KNOWN: &str = "
    212 State    NY US America/New_York    -
    646 State    NY US America/New_York    -
    305 State    FL US America/New_York    -
    512 State    TX US America/Chicago     -
    915 State    TX US America/Denver      -
    312 State    IL US America/Chicago     -
    303 State    CO US America/Denver      -
    602 State    AZ US America/Phoenix     -
    310 State    CA US America/Los_Angeles -
    202 State    DC US America/New_York    -
    808 State    HI US Pacific/Honolulu    -
    907 State    AK US America/Anchorage   zones
    208 State    ID US America/Denver      zones
    986 State    ID US America/Denver      zones
    850 State    FL US America/Chicago     zones
    219 State    IN US America/Chicago     zones
    416 Province ON CA America/Toronto     -
    514 Province QC CA America/Toronto     -
    604 Province BC CA America/Vancouver   -
    709 Province NL CA America/St_Johns    zones
    902 Province NS CA America/Halifax     states
    867 Province NT CA America/Edmonton    zones,states
    876 Country  -  JM America/Jamaica     -
    809 Country  -  DO America/Santo_Domingo -
    787 Country  -  PR America/Puerto_Rico -
    671 Country  -  GU Pacific/Guam        -

    # Corrections and overlays the data alone gets wrong.
    689 State    FL US America/New_York    -
    474 Province SK CA America/Regina      -
    364 State    KY US America/Chicago     zones
    257 Province BC CA America/Vancouver   zones

    # The newest overlays.
    274 State    WI US America/Chicago     -
    728 State    FL US America/New_York    -
    942 Province ON CA America/Toronto     -

    800 TollFree - - - -
    822 TollFree - - - -
    833 TollFree - - - -
    844 TollFree - - - -
    855 TollFree - - - -
    866 TollFree - - - -
    877 TollFree - - - -
    888 TollFree - - - -
    900 Premium  - - - -
    500 Special  - - - -
    533 Special  - - - -
    600 Special  - - - -
    700 Special  - - - -
    710 Special  - - - -

    911 Unknown  - - - -
    411 Unknown  - - - -
    211 Unknown  - - - -
    999 Unknown  - - - -
    000 Unknown  - - - -
    199 Unknown  - - - -
    1512 Unknown - - - -
    65535 Unknown - - - -
";

fn describe(facts: AreaCode) -> String {
    let spans = match (facts.spans_zones, facts.spans_states) {
        (false, false) => "-",
        (true, false) => "zones",
        (false, true) => "states",
        (true, true) => "zones,states",
    };
    let or_none = |text: Option<&'static str>| text.unwrap_or("-");
    format!(
        "{:?} {} {} {} {spans}",
        facts.kind,
        or_none(facts.state),
        or_none(facts.country),
        or_none(facts.zone)
    )
}

#[test]
fn well_known_codes() {
    for row in KNOWN.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let (code, expected) = row.split_once(' ').expect("code and facts");
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(describe(area_code(code.parse().expect("a code"))), expected, "area code {code}");
    }
}

fn states_of(kind: Kind) -> Vec<&'static str> {
    let found: BTreeSet<_> =
        table::ROWS.iter().filter(|row| row.facts.kind == kind).filter_map(|row| row.facts.state).collect();
    found.into_iter().collect()
}

#[test]
fn every_state_and_province_is_present() {
    assert_eq!(
        states_of(Kind::State).join(" "),
        "AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ NM NV \
         NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY"
    );
    // PE shares its codes with NS, and NU and YT theirs with NT: see `spans_states`.
    assert_eq!(states_of(Kind::Province).join(" "), "AB BC MB NB NL NS NT ON QC SK");
}

#[test]
fn rows_are_sorted_and_unique() {
    assert!(table::ROWS.is_sorted_by(|a, b| a.npa < b.npa));
    assert!(table::ROWS.iter().all(|row| (200..1000).contains(&row.npa)));
    assert!(table::ROWS.len() > 450, "{} rows", table::ROWS.len());
}

#[test]
fn every_row_is_complete_for_its_kind() {
    for row in table::ROWS {
        let AreaCode { kind, state, country, zone, spans_zones, spans_states } = row.facts;
        let expected = match kind {
            Kind::State => (true, Some("US"), true),
            Kind::Province => (true, Some("CA"), true),
            Kind::Country => (false, country.filter(|c| !["US", "CA"].contains(c) && c.len() == 2), true),
            Kind::TollFree | Kind::Premium | Kind::Special => (false, None, false),
            Kind::Unknown => panic!("{} is listed as unknown", row.npa),
        };
        assert_eq!((state.is_some(), country, zone.is_some()), expected, "area code {}", row.npa);
        assert_eq!(kind == Kind::Country, country.is_some() && state.is_none(), "area code {}", row.npa);
        assert!(zone.is_some() || !(spans_zones || spans_states), "area code {}", row.npa);
    }
}

#[test]
fn every_zone_is_in_the_bundled_database() {
    let bundled = jiff::tz::TimeZoneDatabase::bundled();
    for row in table::ROWS {
        let Some(zone) = row.facts.zone else { continue };
        let loaded = bundled.get(zone).unwrap_or_else(|error| panic!("area code {}: {error}", row.npa));
        assert_eq!(loaded.iana_name(), Some(zone));
    }
}

#[test]
fn a_territory_is_a_state_to_whoever_asks_for_one() {
    for (area, state) in
        [(512, Some("TX")), (416, Some("ON")), (787, Some("PR")), (340, Some("VI")), (876, None), (800, None)]
    {
        assert_eq!(area_code(area).state_or_territory(), state, "{area}");
    }
}

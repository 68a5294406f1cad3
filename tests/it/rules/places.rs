//! What the tests know of the world: some area codes, some ZIPs with the middle of each, and distances.
//!
//! Copied by hand from what the sources of the exchange's tables say, so that a slip in reading those shows here.

/// Area code, state or territory, country of its numbers.
pub const AREAS: [(u16, Option<&str>, Option<&str>); 27] = [
    (512, Some("TX"), Some("US")),
    (737, Some("TX"), Some("US")),
    (214, Some("TX"), Some("US")),
    (713, Some("TX"), Some("US")),
    (212, Some("NY"), Some("US")),
    (917, Some("NY"), Some("US")),
    (213, Some("CA"), Some("US")),
    (415, Some("CA"), Some("US")),
    (305, Some("FL"), Some("US")),
    (312, Some("IL"), Some("US")),
    (404, Some("GA"), Some("US")),
    (602, Some("AZ"), Some("US")),
    (907, Some("AK"), Some("US")),
    (808, Some("HI"), Some("US")),
    (202, Some("DC"), Some("US")),
    (416, Some("ON"), Some("CA")),
    (514, Some("QC"), Some("CA")),
    (604, Some("BC"), Some("CA")),
    (787, Some("PR"), Some("PR")),
    (340, Some("VI"), Some("VI")),
    (671, Some("GU"), Some("GU")),
    (876, None, Some("JM")),
    (242, None, Some("BS")),
    (800, None, None),
    (900, None, None),
    (500, None, None),
    (999, None, None),
];

/// Calling codes beside +1.
pub const ABROAD: [(&str, Option<&str>); 6] = [
    ("+442071838750", Some("GB")),
    ("+4930123456", Some("DE")),
    ("+525512345678", Some("MX")),
    ("+79161234567", Some("RU")),
    ("+35312345678", Some("IE")),
    ("+88162345678", None),
];

/// A ZIP, its state, and its middle in degrees if it has an area.
pub type Zip = (&'static str, &'static str, Option<(f64, f64)>);

pub const ZIPS: [Zip; 28] = [
    ("78701", "TX", Some((30.2706, -97.7426))),
    ("78702", "TX", Some((30.2634, -97.7145))),
    ("78704", "TX", Some((30.2430, -97.7651))),
    ("78640", "TX", Some((29.9949, -97.8212))),
    ("75201", "TX", Some((32.7883, -96.7996))),
    ("77002", "TX", Some((29.7568, -95.3657))),
    ("78711", "TX", None),
    ("10001", "NY", Some((40.7507, -73.9973))),
    ("11201", "NY", Some((40.6937, -73.9899))),
    ("07030", "NJ", Some((40.7453, -74.0279))),
    ("19103", "PA", Some((39.9534, -75.1742))),
    ("02108", "MA", Some((42.3551, -71.0657))),
    ("20001", "DC", Some((38.9104, -77.0177))),
    ("22201", "VA", Some((38.8868, -77.0950))),
    ("33131", "FL", Some((25.7655, -80.1843))),
    ("30303", "GA", Some((33.7528, -84.3902))),
    ("60601", "IL", Some((41.8852, -87.6215))),
    ("60614", "IL", Some((41.9227, -87.6472))),
    ("85004", "AZ", Some((33.4516, -112.0699))),
    ("90001", "CA", Some((33.9737, -118.2490))),
    ("90012", "CA", Some((34.0660, -118.2386))),
    ("94103", "CA", Some((37.7730, -122.4113))),
    ("99501", "AK", Some((61.2200, -149.8578))),
    ("96813", "HI", Some((21.3165, -157.8451))),
    ("00901", "PR", Some((18.4666, -66.1080))),
    ("96910", "GU", Some((13.4529, 144.7472))),
    ("96950", "MP", Some((15.1869, 145.7544))),
    ("06390", "NY", Some((41.2879, -71.9326))),
];

/// Texts that come as a ZIP and are none: too short, too long, no digits, foreign, a beginning that nobody has.
pub const NO_ZIPS: [&str; 9] =
    ["7870", "787011234567", "00000", "M5V2T6", "78701-12", "7870x", "26901", "78701-", ""];

/// Miles along a sphere as large as the earth.
pub fn miles(from: (f64, f64), to: (f64, f64)) -> f64 {
    const RADIUS: f64 = 3_958.761;
    let (lat_a, lon_a) = (from.0.to_radians(), from.1.to_radians());
    let (lat_b, lon_b) = (to.0.to_radians(), to.1.to_radians());
    let (half_lat, half_lon) = ((lat_b - lat_a) / 2.0, (lon_b - lon_a) / 2.0);
    let haversine = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
    2.0 * RADIUS * haversine.sqrt().asin()
}

/// The ZIP of the table that this text names, with or without its last four digits.
pub fn zip(text: &str) -> Option<Zip> {
    let bare = match text.len() {
        5 => text,
        10 if &text[5..6] == "-" => &text[..5],
        9 => &text[..5],
        _ => return None,
    };
    ZIPS.into_iter().find(|known| known.0 == bare)
}

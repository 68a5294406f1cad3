//! States, territories and provinces: which two letters name one. Where a caller is says whoever knows, not this.

/// Codes of the postal services: the states of the United States, the District of Columbia, territories, those in free
/// association, and `AA AE AP` of the military; the provinces and territories of Canada.
pub const STATES: &[&str] = &[
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS",
    "KY", "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC",
    "ND", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY",
    "AS", "GU", "MP", "PR", "VI", "FM", "MH", "PW", "AA", "AE", "AP", "AB", "BC", "MB", "NB", "NL", "NS",
    "NT", "NU", "ON", "PE", "QC", "SK", "YT",
];

/// The code that a text is, in either case; `None` for any other text.
pub fn state(text: &str) -> Option<&'static str> {
    let [first, second] = *text.as_bytes() else { return None };
    let code = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
    STATES.iter().find(|state| state.as_bytes() == code).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_state_or_not() {
        for (text, is) in [
            ("TX", Some("TX")),
            ("tx", Some("TX")),
            ("On", Some("ON")),
            ("AE", Some("AE")),
            ("XX", None),
            ("Texas", None),
            ("T", None),
            ("", None),
        ] {
            assert_eq!(state(text), is, "{text:?}");
        }
    }
}

//! Phone numbers, addresses, and the free attributes of a call.
//!
//! A number shows itself masked wherever it is formatted; `E164::reveal` is the one way to its digits, so every place
//! that prints a whole number can be found. Area codes and states are in `area_codes`.

use std::fmt;
use std::sync::Arc;

use super::area_codes::{Kind, TERRITORIES, area_code};

/// A number in E.164: a plus and 7 to 15 digits, the first not zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(u64);

impl E164 {
    /// Reads `+` and 7 to 15 digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<E164> {
        let digits = text.strip_prefix('+')?;
        let plausible = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
        if !plausible || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().map(E164)
    }

    /// The whole number with its plus. For carriers' answers and the disclosure policy only; never for a log.
    pub fn reveal(self) -> String {
        self.revealed(str::to_owned)
    }

    /// The same without memory of its own.
    pub fn revealed<T>(self, to: impl FnOnce(&str) -> T) -> T {
        // The plus, and as many digits as a number can have.
        let mut text = [b'+'; 16];
        let (mut at, mut left) = (text.len(), self.0);
        while left > 0 {
            at -= 1;
            text[at] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        to(std::str::from_utf8(&text[at - 1..]).expect("digits are ASCII"))
    }

    /// The digits as a number: a store key, as sensitive as the number itself.
    pub const fn digits(self) -> u64 {
        self.0
    }

    /// The number with these digits; `None` for fewer than 7 or more than 15.
    pub const fn from_digits(digits: u64) -> Option<E164> {
        if digits >= 1_000_000 && digits < 1_000_000_000_000_000 { Some(E164(digits)) } else { None }
    }

    /// Area code and exchange of a valid number of the North American plan.
    pub fn nanp(self) -> Option<(u16, u16)> {
        let national = self.0.checked_sub(10_000_000_000).filter(|n| *n < 10_000_000_000)?;
        let (area, exchange) = ((national / 10_000_000) as u16, (national / 10_000 % 1_000) as u16);
        (area >= 200 && exchange >= 200).then_some((area, exchange))
    }

    /// Whether calling it costs extra or leaves the United States and Canada: premium numbers, everything outside +1,
    /// and the Caribbean area codes inside it, where toll fraud lives. The territories of the United States are home.
    pub fn is_premium_or_international(self) -> bool {
        let Some((area, exchange)) = self.nanp() else { return true };
        let facts = area_code(area);
        let abroad = facts.kind == Kind::Country && !facts.country.is_some_and(|c| TERRITORIES.contains(&c));
        area == 900 || exchange == 976 || facts.kind == Kind::Premium || abroad
    }
}

impl fmt::Display for E164 {
    /// Country and area code, the rest masked: `+1512•••••••`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of the plus and the digits.
        let shown = if self.nanp().is_some() { 5 } else { 3 };
        self.revealed(|text| {
            f.write_str(&text[..shown])?;
            text[shown..].chars().try_for_each(|_| f.write_str("•"))
        })
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The last seven digits of whatever came as the caller's number, valid or not: beside the area code they are all of it,
/// so foreign text that contains them is not kept or passed on as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tail([u8; 7]);

impl Tail {
    /// The tail of a text with at least seven digits.
    pub fn of(text: &str) -> Option<Tail> {
        let mut last = text.bytes().rev().filter(u8::is_ascii_digit);
        let mut tail = [0; 7];
        for digit in tail.iter_mut().rev() {
            *digit = last.next()?;
        }
        Some(Tail(tail))
    }

    /// The seven digits, as characters: as sensitive as the number.
    pub const fn digits(self) -> [u8; 7] {
        self.0
    }

    /// The tail with these; `None` for what is no digit.
    pub fn from_digits(digits: [u8; 7]) -> Option<Tail> {
        digits.iter().all(u8::is_ascii_digit).then_some(Tail(digits))
    }

    /// Whether the digits of the text contain these in a row, whatever stands between them. Digits of other scripts
    /// count as any digit: seven of them, mixed or not, are suspect enough.
    pub fn is_in(&self, text: &str) -> bool {
        if text.len() < self.0.len() {
            return false;
        }
        let mut last = ['\0'; 7];
        text.chars().filter(|c| c.is_numeric()).any(|digit| {
            last.rotate_left(1);
            last[6] = digit;
            last.iter().zip(self.0).all(|(shown, digit)| *shown == char::from(digit) || !shown.is_ascii())
        })
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(tail of a number)")
    }
}

/// Longest SIP address accepted, in bytes.
pub const SIP_MAX: usize = 256;

/// Where a call can be sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A phone number.
    Number(E164),
    /// A SIP address with its `sip:` or `sips:`.
    Sip(String),
}

impl Address {
    /// Reads `+…` or `sip:user@host`; `None` for anything else, an address with spaces, brackets or control characters
    /// included.
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(number) = E164::parse(text) {
            return Some(Address::Number(number));
        }
        let rest = text.strip_prefix("sip:").or_else(|| text.strip_prefix("sips:"))?;
        let (user, host) = rest.split_once('@')?;
        let clean = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\?,;@".contains(&b))
        };
        (text.len() <= SIP_MAX && clean(user) && clean(host)).then(|| Address::Sip(text.to_owned()))
    }

    /// The address whole, for the carrier's answer.
    pub fn reveal(&self) -> String {
        match self {
            Address::Number(number) => number.reveal(),
            Address::Sip(address) => address.clone(),
        }
    }

    /// `number` or `sip`, as the carrier's answer calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Address::Number(_) => "number",
            Address::Sip(_) => "sip",
        }
    }

    /// The host of a SIP address, without a port.
    pub fn sip_host(&self) -> Option<&str> {
        match self {
            Address::Number(_) => None,
            Address::Sip(address) => {
                let host = address.split_once('@').map(|(_, host)| host)?;
                Some(host.split(':').next().unwrap_or(host))
            }
        }
    }
}

impl fmt::Display for Address {
    /// A number masked; of a SIP address the host only, since its user may be a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Number(number) => fmt::Display::fmt(number, f),
            Address::Sip(_) => write!(f, "sip:•••@{}", self.sip_host().unwrap_or("")),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Most tags a call carries.
pub const TAGS_MAX: usize = 50;
/// Longest tag key, in bytes.
pub const TAG_KEY_MAX: usize = 40;
/// Longest tag value, in bytes.
pub const TAG_VALUE_MAX: usize = 256;
/// Tags that name a person: they leave only where the buyer's policy names them.
pub const PERSONAL_TAGS: &[&str] = &["zip", "name", "email", "address", "dob"];

/// Who set a tag; later sources do not overwrite earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The carrier's request.
    Carrier,
    /// The tracking number's own tags.
    Number,
}

/// A scalar as it came: numbers keep their text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagValue {
    /// A string.
    Text(Arc<str>),
    /// A JSON number, as written.
    Number(Arc<str>),
    /// True or false.
    Bool(bool),
}

impl TagValue {
    /// The value as filters compare it.
    pub fn as_text(&self) -> &str {
        match self {
            TagValue::Text(text) | TagValue::Number(text) => text,
            TagValue::Bool(true) => "true",
            TagValue::Bool(false) => "false",
        }
    }
}

/// One free attribute of a call. Whoever takes it over shares its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its key.
    pub key: Arc<str>,
    /// Its value.
    pub value: TagValue,
    /// Who set it.
    pub set_by: SetBy,
}

/// Why a tag is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagError {
    /// More than `TAGS_MAX`.
    TooMany,
    /// An empty key or one above `TAG_KEY_MAX` bytes.
    Key,
    /// A value above `TAG_VALUE_MAX` bytes.
    Value,
}

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagError::TooMany => write!(f, "at most {TAGS_MAX} tags"),
            TagError::Key => write!(f, "a tag key has 1 to {TAG_KEY_MAX} bytes"),
            TagError::Value => write!(f, "a tag value has at most {TAG_VALUE_MAX} bytes"),
        }
    }
}

/// The tags of a call, within their limits, in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Adds a tag unless its key is there already. Says what limit it would break.
    pub fn add(
        &mut self,
        key: impl AsRef<str> + Into<Arc<str>>,
        value: TagValue,
        set_by: SetBy,
    ) -> Result<(), TagError> {
        if !(1..=TAG_KEY_MAX).contains(&key.as_ref().len()) {
            return Err(TagError::Key);
        }
        if value.as_text().len() > TAG_VALUE_MAX {
            return Err(TagError::Value);
        }
        if self.get(key.as_ref()).is_some() {
            return Ok(());
        }
        if self.0.len() == TAGS_MAX {
            return Err(TagError::TooMany);
        }
        self.0.push(Tag { key: key.into(), value, set_by });
        Ok(())
    }

    /// The tag's value as text.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|tag| *tag.key == *key).map(|tag| tag.value.as_text())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formatted_number_is_masked() {
        let number = E164::parse("+15125550123").expect("E.164");
        assert_eq!(format!("{number} {number:?}"), "+1512••••••• +1512•••••••");
        assert_eq!(number.reveal(), "+15125550123");
        let abroad = E164::parse("+442071838750").expect("E.164");
        assert_eq!(abroad.to_string(), "+44••••••••••");
        let sip = Address::parse("sip:15125550123@edge.example.com:5061").expect("SIP");
        assert_eq!(sip.to_string(), "sip:•••@edge.example.com");
    }

    #[test]
    fn numbers_are_read_strictly() {
        for bad in
            ["", "+", "15125550123", "+0125550123", "+1512555012x", "+1 512 555 0123", "+1234567890123456"]
        {
            assert_eq!(E164::parse(bad), None, "{bad:?}");
        }
        assert_eq!(E164::parse("+15125550123").and_then(E164::nanp), Some((512, 555)));
        for (digits, fits) in
            [(999_999, false), (1_000_000, true), (999_999_999_999_999, true), (1_000_000_000_000_000, false)]
        {
            let number = E164::from_digits(digits);
            assert_eq!(number, E164::parse(&format!("+{digits}")));
            assert_eq!(number.map(E164::digits), fits.then_some(digits));
        }
        let tail = Tail::of("+1 512 555-0123").expect("seven digits");
        assert_eq!(Tail::from_digits(tail.digits()), Some(tail));
        assert_eq!(Tail::from_digits(*b"555-012"), None);
        assert_eq!(E164::parse("+11125550123").and_then(E164::nanp), None, "no area code begins with 1");
        for (text, costly) in [
            ("+19005550123", true),
            ("+15129760123", true),
            ("+442071838750", true),
            ("+18765550123", true),
            ("+17875550123", false),
            ("+15125550123", false),
        ] {
            assert_eq!(E164::parse(text).map(E164::is_premium_or_international), Some(costly), "{text}");
        }
    }

    #[test]
    fn addresses_take_no_header_injection() {
        for bad in
            ["sip:a@b;x=y", "sip:a@b\r\nX: y", "sip:@b", "sip:a", "tel:+1512", "sip:a@b?c", "sip:a@b@c"]
        {
            assert_eq!(Address::parse(bad), None, "{bad:?}");
        }
        assert!(Address::parse("sips:sales@voip.example.com").is_some());
    }

    #[test]
    fn tags_keep_their_limits_and_the_first_value() {
        let mut tags = Tags::default();
        tags.add("case", TagValue::Text("collision".into()), SetBy::Carrier).expect("fits");
        tags.add("case", TagValue::Text("other".into()), SetBy::Number).expect("ignored");
        assert_eq!(tags.get("case"), Some("collision"));
        assert_eq!(tags.add("", TagValue::Bool(true), SetBy::Carrier), Err(TagError::Key));
        assert_eq!(
            tags.add("v", TagValue::Text("x".repeat(257).into()), SetBy::Carrier),
            Err(TagError::Value)
        );
        for n in 1..TAGS_MAX {
            tags.add(format!("k{n}"), TagValue::Bool(true), SetBy::Carrier).expect("fits");
        }
        assert_eq!(tags.add("more", TagValue::Bool(true), SetBy::Carrier), Err(TagError::TooMany));
    }
}

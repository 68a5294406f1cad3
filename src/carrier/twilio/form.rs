//! Parameters as Twilio sends them: `application/x-www-form-urlencoded`, decoded, in the order they came.
//!
//! Strict where guessing would read something else than was signed: broken escapes and what is not UTF-8 are refused,
//! never replaced. Names are not judged: Twilio adds new ones without notice.

use std::fmt;

/// Most parameters of a request; Twilio sends about 40.
pub const PARAMETERS_MAX: usize = 200;

/// Decoded parameters.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

/// Why bytes are no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// A `%` without two hexadecimal digits.
    Escape,
    /// A name or value is not UTF-8 when decoded.
    Utf8,
    /// More than [`PARAMETERS_MAX`].
    TooMany,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormError::Escape => f.write_str("a % must be followed by two hexadecimal digits"),
            FormError::Utf8 => f.write_str("names and values must be UTF-8"),
            FormError::TooMany => write!(f, "at most {PARAMETERS_MAX} parameters"),
        }
    }
}

impl Form {
    /// Decodes a body or a query. Empty pieces between `&` are no parameters.
    pub fn parse(bytes: &[u8]) -> Result<Form, FormError> {
        let mut pairs = Vec::new();
        for piece in bytes.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
            if pairs.len() == PARAMETERS_MAX {
                return Err(FormError::TooMany);
            }
            let at = piece.iter().position(|byte| *byte == b'=');
            let (name, value) = at.map_or((piece, &piece[..0]), |at| (&piece[..at], &piece[at + 1..]));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Form(pairs))
    }

    /// The first value of this name that is not empty: Twilio sends an empty one for what it does not know.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, value)| *own == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// Names and values in the order they came, repeated and empty ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Form {
    /// Names only: a value may be a caller's number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn decode(coded: &[u8]) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(coded.len());
    let mut rest = coded;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let ([high, low], after) = rest.split_first_chunk().ok_or(FormError::Escape)?;
                rest = after;
                digit(*high)? << 4 | digit(*low)?
            }
            plain => *plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| FormError::Utf8)
}

fn digit(byte: u8) -> Result<u8, FormError> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(FormError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_or_refused() {
        let read = |text: &str| match Form::parse(text.as_bytes()) {
            Ok(form) => form.iter().map(|(name, value)| format!("[{name}|{value}]")).collect(),
            Err(error) => format!("{error:?}"),
        };
        for (text, wanted) in [
            ("", ""),
            ("a=1&b=2", "[a|1][b|2]"),
            ("a=%2B1512&b=+x+y", "[a|+1512][b| x y]"),
            ("a=1&a=&a=1", "[a|1][a|][a|1]"),
            ("&&a&=b&", "[a|][|b]"),
            ("a=b=c", "[a|b=c]"),
            ("n=Jos%C3%A9&%E2%98%8E=%e2%98%8e", "[n|José][☎|☎]"),
            ("a=%", "Escape"),
            ("a=%4", "Escape"),
            ("a=%zz", "Escape"),
            ("%+1=a", "Escape"),
            ("a=%C3", "Utf8"),
            ("a=%ED%A0%80", "Utf8"),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        assert_eq!(Form::parse(b"a=\xff"), Err(FormError::Utf8));
        assert!(Form::parse("a=1&".repeat(PARAMETERS_MAX).as_bytes()).is_ok());
        assert_eq!(Form::parse("a&".repeat(PARAMETERS_MAX + 1).as_bytes()), Err(FormError::TooMany));
    }

    #[test]
    fn what_is_empty_is_unknown_and_no_value_is_shown() {
        let form = Form::parse(b"From=&From=%2B15125550123&From=x&To=").expect("a form");
        assert_eq!((form.get("From"), form.get("To"), form.get("from")), (Some("+15125550123"), None, None));
        assert_eq!(format!("{form:?}"), r#"["From", "From", "From", "To"]"#);
    }
}

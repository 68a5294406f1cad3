//! What came of checking a carrier's word for the caller's number (STIR): beside the letter that is claimed, whether somebody
//! verified it. No signature is looked at here: who checks it says so.

/// Whether the claimed attestation was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verified {
    /// Nobody checked it, nobody said so, or there was nothing to check.
    #[default]
    Unverified,
    /// It was checked, and holds.
    Passed,
    /// It was checked, and does not hold.
    Failed,
}

impl Verified {
    /// All of them, as they are written.
    pub const WORDS: [(&'static str, Verified); 3] =
        [("passed", Verified::Passed), ("failed", Verified::Failed), ("unverified", Verified::Unverified)];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verified::Unverified => "unverified",
            Verified::Passed => "passed",
            Verified::Failed => "failed",
        }
    }

    /// Reads `passed`, `failed`, `unverified`.
    pub fn parse(text: &str) -> Option<Verified> {
        Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, verified)| *verified)
    }

    /// Whether it was found to hold; `None` where nobody looked. As records keep it.
    pub const fn holds(self) -> Option<bool> {
        match self {
            Verified::Unverified => None,
            Verified::Passed => Some(true),
            Verified::Failed => Some(false),
        }
    }

    /// What `holds` was said of.
    pub const fn of(holds: Option<bool>) -> Verified {
        match holds {
            None => Verified::Unverified,
            Some(true) => Verified::Passed,
            Some(false) => Verified::Failed,
        }
    }

    /// What is left of a claimed letter: nothing of one that was found not to hold.
    pub fn left_of<T>(self, claimed: Option<T>) -> Option<T> {
        claimed.filter(|_| self != Verified::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_records_say_the_same() {
        for (word, verified) in Verified::WORDS {
            assert_eq!((Verified::parse(word), verified.as_str()), (Some(verified), word));
            assert_eq!(Verified::of(verified.holds()), verified, "{word}");
        }
        assert_eq!((Verified::parse("Passed"), Verified::default()), (None, Verified::Unverified));
    }
}

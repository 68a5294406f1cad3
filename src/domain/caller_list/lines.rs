//! Lines of callers as they are imported: one number or prefix a line, or the first column of a CSV file.
//!
//! All lines are read before anything is changed, and every fault is named by its line. What is told of a line never
//! shows a number whole: what could be one is cut and masked.

use std::fmt;

use super::CallerPrefix;
use crate::domain::caller::E164;

/// Most faults that are told of one text; the rest are counted.
pub const LINES_FAULTS_MAX: usize = 50;
/// Most characters shown of a line that is at fault.
const SHOWN_MAX: usize = 24;

/// What the lines name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Numbers, in the order of their lines.
    pub numbers: Vec<E164>,
    /// Prefixes.
    pub prefixes: Vec<CallerPrefix>,
}

/// A line that names nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// Its place, from 1.
    pub line: usize,
    /// What stands there, cut and with its digits masked.
    pub shown: String,
}

impl LineFault {
    /// What a line may be.
    pub const ALLOWED: &'static str =
        "a number such as +15125550123, or a prefix of 1 to 10 digits such as +1900*";
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.shown)
    }
}

/// Reads them: numbers with a plus, prefixes with a plus and a star. Empty lines, lines that begin with `#`, and a first
/// line that is the head of a column are passed over. With any fault nothing of it counts: the first
/// [`LINES_FAULTS_MAX`] are given, and how many there are.
pub fn read_lines(text: &str) -> Result<Lines, (Vec<LineFault>, usize)> {
    let mut read = Lines::default();
    let (mut faults, mut count) = (Vec::new(), 0);
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let cell = line.split([',', ';', '\t']).next().unwrap_or("").trim().trim_matches('"').trim();
        if cell.is_empty() && line.trim().is_empty() || cell.starts_with('#') || at == 0 && is_head(cell) {
            continue;
        }
        let prefix = || cell.ends_with('*').then(|| CallerPrefix::parse(cell)).flatten();
        match (E164::parse(cell), prefix()) {
            (Some(number), _) => read.numbers.push(number),
            (None, Some(prefix)) => read.prefixes.push(prefix),
            (None, None) => {
                count += 1;
                if faults.len() < LINES_FAULTS_MAX {
                    faults.push(LineFault { line: at + 1, shown: shown(cell) });
                }
            }
        }
    }
    if count == 0 { Ok(read) } else { Err((faults, count)) }
}

/// Whether it says what stands below it.
fn is_head(cell: &str) -> bool {
    ["number", "caller", "phone", "phone_number"].iter().any(|head| cell.eq_ignore_ascii_case(head))
}

/// A cell as it may be told: its first digits, as of a number, and the others masked.
fn shown(cell: &str) -> String {
    let mut digits = 0;
    let masked = |c: char| {
        digits += usize::from(c.is_numeric());
        match c {
            c if c.is_control() => ' ',
            c if c.is_numeric() && digits > 3 => '•',
            c => c,
        }
    };
    let text: String = cell.chars().take(SHOWN_MAX).map(masked).collect();
    if cell.chars().nth(SHOWN_MAX).is_some() { format!("{text}…") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match read_lines(text) {
            Ok(lines) => {
                let prefixes: String = lines.prefixes.iter().map(|prefix| format!(" {prefix}")).collect();
                let numbers: String = lines.numbers.iter().map(|one| format!(" {}", one.reveal())).collect();
                format!("{}{numbers}{prefixes}", lines.numbers.len() + lines.prefixes.len())
            }
            Err((faults, count)) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                format!("{count} wrong: {}", faults.join(" | "))
            }
        }
    }

    #[test]
    fn lines_are_numbers_and_prefixes() {
        // The text, and what is read of it.
        let table = [
            ("", "0"),
            ("+15125550123", "1 +15125550123"),
            ("+15125550123\r\n+1900*\r\n", "2 +15125550123 +1900*"),
            ("\u{feff}number\n+15125550123\n", "1 +15125550123"),
            ("Number,why,when\n+15125550123,asked us,2026-11-20\n", "1 +15125550123"),
            ("# callers who asked\n\n  +15125550123  \n\n", "1 +15125550123"),
            ("\"+15125550123\";x\n+1900*\tpremium", "2 +15125550123 +1900*"),
            ("+15125550123\n+15125550123\n", "2 +15125550123 +15125550123"),
            // Without its plus nobody can say which country it is of.
            ("15125550123", "1 wrong: line 1: 151••••••••"),
            ("+15125550123\n5125550123\nnumber\n", "2 wrong: line 2: 512••••••• | line 3: number"),
            ("+1 (512) 555-0123", "1 wrong: line 1: +1 (51•) •••-••••"),
            // A short number without a star is no prefix, and a long one with a star is none either.
            ("+1900", "1 wrong: line 1: +190•"),
            ("+15125550123*", "1 wrong: line 1: +151••••••••*"),
            (",+15125550123", "1 wrong: line 1: "),
            ("x\u{7}y", "1 wrong: line 1: x y"),
            ("a line that is much longer than anything", "1 wrong: line 1: a line that is much long…"),
            ("+１５１２５５５０１２３", "1 wrong: line 1: +１５１••••••••"),
        ];
        for (text, expected) in table {
            assert_eq!(told(text), expected, "{text:?}");
        }
    }

    #[test]
    fn of_many_faults_the_first_are_told_and_all_are_counted() {
        let text = "nobody\n".repeat(1_000);
        let (faults, count) = read_lines(&text).expect_err("no number among them");
        assert_eq!((faults.len(), count), (LINES_FAULTS_MAX, 1_000));
    }
}

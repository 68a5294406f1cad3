//! `outcry callers …`: putting callers on lists and off, from files of any size, and asking what is on them.
//!
//! A file is read whole and every line of it checked before anything is sent; then it goes in as many requests as it
//! takes. Each is all or nothing; what was sent twice changes nothing the second time.

use std::fmt::Write;
use std::io::Read;

use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::Method;

use super::verbs::Reach;
use super::{ClientError, Remote};
use crate::domain::caller_list::{LineFault, Lines, read_lines};
use crate::domain::{CallerListId, E164};
use crate::report::{CallerLists, ListChanged, ListRow, OnList};

/// Longest file, in bytes: four million callers, each with a line beside it that says why.
const FILE_MAX: u64 = 256 * 1024 * 1024;
/// Lines of one request: with the longest numbers below a megabyte.
const LINES_MAX: usize = 60_000;

/// A list and the callers to put on it or off.
#[derive(Args, Clone, Debug)]
pub struct Named {
    /// The list's id.
    #[arg(value_name = "LIST", value_parser = list_id)]
    list: CallerListId,
    /// A file with a number or prefix (+1900*) a line, or in the first column of CSV; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    reach: Reach,
}

/// What is done with caller lists.
#[derive(Subcommand, Clone, Debug)]
pub enum CallersVerb {
    /// Put callers on a list, from the next decision on.
    #[command(
        after_help = "Examples:\n  outcry callers add dnc do-not-call.csv\n  echo +15125550123 | outcry callers add dnc -"
    )]
    Add(Named),
    /// Take callers off a list.
    #[command(
        after_help = "Examples:\n  outcry callers remove dnc called-back.txt\n  echo '+1900*' | outcry callers remove dnc -"
    )]
    Remove(Named),
    /// Replace all of a list, at once, by at most 60,000 lines; no lines empty it.
    #[command(
        after_help = "Examples:\n  outcry callers replace acme-customers customers.csv\n  outcry callers replace dnc /dev/null"
    )]
    Replace(Named),
    /// How much is on a list, or on each.
    #[command(after_help = "Examples:\n  outcry callers show\n  outcry callers show dnc --format json")]
    Show {
        /// The list's id; left out, every one.
        #[arg(value_name = "LIST", value_parser = list_id)]
        list: Option<CallerListId>,
        /// Where to.
        #[command(flatten)]
        reach: Reach,
    },
    /// Whether a caller is on a list, and by what.
    #[command(
        after_help = "Examples:\n  outcry callers has dnc +15125550123\n  outcry callers has dnc +15125550123 --format json"
    )]
    Has {
        /// The list's id.
        #[arg(value_name = "LIST", value_parser = list_id)]
        list: CallerListId,
        /// The caller.
        #[arg(value_name = "NUMBER", value_parser = number)]
        number: E164,
        /// Where to.
        #[command(flatten)]
        reach: Reach,
    },
}

/// What a verb prints.
#[derive(Clone, Debug)]
pub enum CallersTold {
    /// What differs.
    Changed(ListChanged),
    /// What is on lists.
    Lists(Vec<ListRow>),
    /// Whether somebody is on one.
    On(OnList),
}

fn list_id(text: &str) -> Result<CallerListId, String> {
    CallerListId::parse(text).map_err(|error| error.to_string())
}

fn number(text: &str) -> Result<E164, String> {
    E164::parse(text).ok_or_else(|| "a number such as +15125550123".to_owned())
}

impl CallersVerb {
    /// How the exchange is reached.
    pub fn reach(&self) -> &Reach {
        match self {
            CallersVerb::Add(named) | CallersVerb::Remove(named) | CallersVerb::Replace(named) => {
                &named.reach
            }
            CallersVerb::Show { reach, .. } | CallersVerb::Has { reach, .. } => reach,
        }
    }

    /// Asks the exchange.
    pub fn run(&self, remote: &Remote, by: Option<&str>) -> Result<CallersTold, ClientError> {
        let told = match self {
            CallersVerb::Add(named) => CallersTold::Changed(named.send(remote, "add", by)?),
            CallersVerb::Remove(named) => CallersTold::Changed(named.send(remote, "remove", by)?),
            CallersVerb::Replace(named) => CallersTold::Changed(named.replace(remote, by)?),
            CallersVerb::Show { list: Some(list), .. } => {
                CallersTold::Lists(vec![remote.ask(Method::GET, &path(list), None)?])
            }
            CallersVerb::Show { list: None, .. } => {
                let all: CallerLists = remote.ask(Method::GET, "/api/v1/caller-lists", None)?;
                CallersTold::Lists(all.lists)
            }
            CallersVerb::Has { list, number, .. } => {
                let path = format!("{}/has?number=%2B{}", path(list), number.digits());
                CallersTold::On(remote.ask(Method::GET, &path, None)?)
            }
        };
        Ok(told)
    }
}

fn path(list: &CallerListId) -> String {
    format!("/api/v1/caller-lists/{list}")
}

/// Who asks, as the end of a path. What is no plain letter is escaped.
fn query(by: Option<&str>) -> String {
    let mut query = String::new();
    for byte in by.unwrap_or_default().bytes() {
        // Writing to a string cannot fail.
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                write!(query, "{}", char::from(byte))
            }
            _ => write!(query, "%{byte:02X}"),
        };
    }
    if query.is_empty() { query } else { format!("?by={query}") }
}

impl Named {
    /// Sends all lines, in as many requests as it takes; what they did together.
    fn send(&self, remote: &Remote, verb: &str, by: Option<&str>) -> Result<ListChanged, ClientError> {
        let path = format!("{}/{verb}{}", path(&self.list), query(by));
        let lines = self.lines()?;
        let mut done: Option<ListChanged> = None;
        for body in bodies(&lines) {
            let so_far = done.as_ref().map_or((0, 0), |done| (done.added, done.removed));
            let sent: Result<ListChanged, _> = remote.ask_with(Method::POST, &path, "text/plain", body);
            let told = sent.map_err(|error| match (error, so_far) {
                (ClientError::Refused(why), (added, removed)) if added + removed > 0 => ClientError::Refused(
                    format!("{why}\nBefore that {added} were added and {removed} removed: the same command goes on."),
                ),
                (error, _) => error,
            })?;
            done =
                Some(ListChanged { added: told.added + so_far.0, removed: told.removed + so_far.1, ..told });
        }
        done.ok_or_else(|| {
            ClientError::Refused(format!("{} names no caller: nothing was changed", self.file))
        })
    }

    fn replace(&self, remote: &Remote, by: Option<&str>) -> Result<ListChanged, ClientError> {
        let lines = self.lines()?;
        let count = lines.numbers.len() + lines.prefixes.len();
        if count > LINES_MAX {
            return Err(ClientError::Refused(format!(
                "a list is replaced at once by at most {LINES_MAX} lines, and these are {count}: add them to a second list, \
                 and name that in the catalog instead. Nothing was changed."
            )));
        }
        let path = format!("{}{}", path(&self.list), query(by));
        remote.ask_with(
            Method::PUT,
            &path,
            "text/plain",
            Bytes::from(bodies(&lines).collect::<Vec<_>>().concat()),
        )
    }

    fn lines(&self) -> Result<Lines, ClientError> {
        let unread =
            |why: String| ClientError::Refused(format!("{}: {why}. Nothing was changed.", self.file));
        let mut bytes = Vec::new();
        let read = match self.file.as_str() {
            "-" => std::io::stdin().lock().take(FILE_MAX + 1).read_to_end(&mut bytes),
            file => {
                std::fs::File::open(file).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
            }
        };
        read.map_err(|error| unread(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(unread(format!("has more than {FILE_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| unread("is no text in UTF-8".to_owned()))?;
        read_lines(&text).map_err(|(faults, count)| {
            let mut said = format!("{count} lines name no caller; allowed: {}", LineFault::ALLOWED);
            faults.iter().for_each(|fault| said.push_str(&format!("\n  {fault}")));
            if count > faults.len() {
                said.push_str(&format!("\n  … and {} more", count - faults.len()));
            }
            unread(said)
        })
    }
}

/// The lines in the bodies of requests.
fn bodies(lines: &Lines) -> impl Iterator<Item = Bytes> + '_ {
    let numbers = lines.numbers.chunks(LINES_MAX).map(|numbers| {
        numbers.iter().fold(String::new(), |mut text, number| {
            text.push_str(&number.reveal());
            text.push('\n');
            text
        })
    });
    let prefixes = lines
        .prefixes
        .chunks(LINES_MAX)
        .map(|prefixes| prefixes.iter().map(|prefix| format!("{prefix}\n")).collect::<String>());
    numbers.chain(prefixes).map(Bytes::from)
}

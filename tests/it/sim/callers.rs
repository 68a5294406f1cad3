//! Caller lists of a simulated world: one caller in some is on one, from its beginning to its end. The model knows them by
//! their place in the world, the exchange by their digests.

use outcry::domain::caller_list::{CallerPrefix, ListVerb};
use outcry::domain::{CallerListId, E164, Reason};
use outcry::records::entry::{Entry, ListPart, Put};
use outcry::records::row::TrailRow;
use outcry::state::callers::{AskedOfList, Content};

use super::market::TWILIO;
use super::stage::Stage;
use super::world::{Action, Deed, call};

/// Who is on it is blocked for the campaign `auto` and the publisher `pub-b`.
pub const BLOCKED: &str = "dnc";
/// Who is on it is suppressed for the buyer `eel` and the target `fox-auto`.
pub const SUPPRESSED: &str = "known";
/// A prefix that is on `known` too.
const PREFIX: &str = "+130520000*";

/// The caller's number as its carrier shows it, if that is one: Twilio writes every one with its plus.
fn number(seed: u64, n: u32) -> Option<E164> {
    let plan = call(seed, n);
    match plan.carrier {
        TWILIO => E164::parse(&format!("+1{}", plan.digits()?)),
        _ => E164::parse(&plan.from?),
    }
}

/// Whether a caller is on a list, by its place in the world.
fn is_on(list: &str, seed: u64, n: u32) -> bool {
    let Some(number) = number(seed, n) else { return false };
    match list {
        BLOCKED => n % 23 == 5,
        _ => n % 11 == 3 || number.reveal().starts_with(PREFIX.trim_end_matches('*')),
    }
}

impl Stage {
    /// Puts the callers of a script on the lists, as an operator does before any of them calls.
    pub(super) fn put_on_lists(&self, script: &[(usize, Action)]) {
        let callers = &self.exchange.callers;
        for list in [BLOCKED, SUPPRESSED] {
            let is_one = |n: &u32| is_on(list, self.seed, *n) && (list == BLOCKED || *n % 11 == 3);
            let of_script = script.iter().filter_map(|(_, action)| match action.deed {
                Deed::Call(n) => Some(n),
                _ => None,
            });
            let numbers = of_script
                .filter(is_one)
                .filter_map(|n| number(self.seed, n))
                .map(|one| callers.digest(one))
                .collect();
            let prefix = CallerPrefix::parse(PREFIX).filter(|_| list == SUPPRESSED);
            let named = Content { numbers, prefixes: prefix.into_iter().collect() };
            let list = CallerListId::parse(list).expect("a slug");
            let asked = AskedOfList { list, verb: ListVerb::Add, named };
            let lists = callers.load_full();
            let difference = lists.difference(&asked).expect("room");
            for part in ListPart::of(&asked.list, &difference) {
                self.exchange.recorder.push(Entry::put(Put::Callers(Box::new(part))));
            }
            callers.put(lists.after(&asked.list, &difference));
        }
    }
}

/// Whether campaign or publisher of the call do not want its caller.
pub fn is_blocked(seed: u64, n: u32, row: &TrailRow) -> bool {
    let is_of = row.keys.campaign.as_ref().is_some_and(|id| id.as_str() == "auto")
        || row.keys.publisher.as_ref().is_some_and(|id| id.as_str() == "pub-b");
    is_of && is_on(BLOCKED, seed, n)
}

/// What is not true of a trail, by the lists: who is on one is not asked, and nobody else is refused for it.
pub fn faults(seed: u64, n: u32, row: &TrailRow) -> Vec<String> {
    let is_blocked = is_blocked(seed, n, row);
    let is_suppressed = is_on(SUPPRESSED, seed, n);
    let mut faults = Vec::new();
    for outcome in &row.outcomes {
        let reason = outcome.reason;
        let is_theirs = outcome.buyer.as_str() == "eel" || outcome.target.as_str() == "fox-auto";
        let holds = match () {
            () if is_blocked => matches!(reason, Reason::CallerBlocked | Reason::CampaignPaused),
            () if is_suppressed && is_theirs => matches!(
                reason,
                Reason::Suppressed
                    | Reason::Paused
                    | Reason::BuyerPaused
                    | Reason::CampaignPaused
                    | Reason::CampaignClosed
                    | Reason::PublisherClosed
                    | Reason::Branch
                    | Reason::PlanEnded
                    | Reason::NodeClosed
            ),
            () => !matches!(reason, Reason::CallerBlocked | Reason::Suppressed),
        };
        if !holds || (is_blocked || is_suppressed && is_theirs) && outcome.ping.is_some() {
            faults.push(format!(
                "{} is {reason} (blocked {is_blocked}, suppressed {is_suppressed})",
                outcome.target
            ));
        }
    }
    faults
}

//! Who a target takes calls from, compiled at load: nothing is interpreted per call.

use crate::domain::caller::PERSONAL_TAGS;
use crate::domain::catalog::{Filter, TagRule};
use crate::domain::{Reason, Tags};

/// Two letters as one of 676 bits.
#[derive(Clone, Debug, Default)]
struct States([u64; 11]);

impl States {
    fn bit(state: &str) -> Option<usize> {
        match state.as_bytes() {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Some(usize::from(a - b'A') * 26 + usize::from(b - b'A')),
            _ => None,
        }
    }

    fn of(states: &[String]) -> Option<States> {
        let mut set = States::default();
        for bit in states.iter().filter_map(|state| States::bit(state)) {
            set.0[bit / 64] |= 1 << (bit % 64);
        }
        (!states.is_empty()).then_some(set)
    }

    fn has(&self, state: &str) -> bool {
        States::bit(state).is_some_and(|bit| self.0[bit / 64] & (1 << (bit % 64)) != 0)
    }
}

/// A filter ready to judge callers.
#[derive(Clone, Debug)]
pub struct Compiled {
    states: Option<States>,
    not_states: Option<States>,
    tags: Vec<TagRule>,
}

impl Compiled {
    /// Compiles what the catalog says.
    pub fn new(filter: &Filter) -> Compiled {
        let mut tags = filter.tags.clone();
        tags.iter_mut().for_each(|rule| rule.values.sort());
        Compiled { states: States::of(&filter.states), not_states: States::of(&filter.not_states), tags }
    }

    /// Whether the target takes this caller; else the reason and the value that decided. A target that names states
    /// takes no caller whose state is unknown; one that only excludes states does.
    pub fn judge(&self, state: Option<&str>, tags: &Tags) -> Result<(), (Reason, String)> {
        let taken = self.states.as_ref().is_none_or(|set| state.is_some_and(|state| set.has(state)));
        let excluded = self.not_states.as_ref().is_some_and(|set| state.is_some_and(|state| set.has(state)));
        if !taken || excluded {
            return Err((Reason::Geo, format!("state {}", state.unwrap_or("unknown"))));
        }
        match self.tags.iter().find(|rule| !holds(rule, tags)) {
            None => Ok(()),
            Some(rule) => {
                let is_personal = PERSONAL_TAGS.iter().any(|key| key.eq_ignore_ascii_case(&rule.key));
                let value =
                    tags.get(&rule.key).map_or("absent", |value| if is_personal { "•••" } else { value });
                Err((Reason::Tag, format!("{} {value}", rule.key)))
            }
        }
    }
}

fn holds(rule: &TagRule, tags: &Tags) -> bool {
    let value = tags.get(&rule.key);
    let listed =
        value.is_some_and(|value| rule.values.binary_search_by(|one| one.as_str().cmp(value)).is_ok());
    listed == rule.must_match
}

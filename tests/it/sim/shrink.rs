//! Cuts a script that breaks a promise to what is needed for it: by halves, then by single actions, in bounded time.
//!
//! A cut stands if the same promise is still broken, by whatever.

use std::time::Duration;

use super::check::{Broken, Promise};
use super::world::{self, Action};

/// Most worlds played for one failure.
const PLAYS: usize = 300;

/// The script that is left, and what it breaks when it is played.
pub fn shrink(
    script: &[(usize, Action)],
    broken: &Broken,
    play: impl Fn(&[(usize, Action)]) -> Option<Broken>,
) -> (Vec<(usize, Action)>, Broken) {
    let (mut left, mut last) = (script.to_vec(), broken.clone());
    // What comes after it did not break it.
    left.retain(|(_, action)| u128::from(action.at_ms) <= broken.after.as_millis());
    let mut plays = 0;
    let mut part = left.len().div_ceil(2).max(1);
    while plays < PLAYS && left.len() > 1 {
        let mut at = 0;
        let before = left.len();
        while at < left.len() && plays < PLAYS {
            let mut cut = left.clone();
            cut.drain(at..(at + part).min(left.len()));
            plays += 1;
            match play(&cut).filter(|again| again.promise == broken.promise) {
                Some(again) if !cut.is_empty() => (left, last) = (cut, again),
                _ => at += part,
            }
        }
        if part == 1 && left.len() == before {
            break;
        }
        part = part.div_ceil(2).max(1);
    }
    (left, last)
}

#[test]
fn a_script_is_cut_to_the_actions_that_break_it_together() {
    let script: Vec<_> = world::script(1, 400).into_iter().enumerate().collect();
    let broken = |promise| Broken { promise, after: Duration::MAX, what: String::new() };
    let play = |cut: &[(usize, Action)]| {
        let has = |place: usize| cut.iter().any(|(at, _)| *at == place);
        let others = cut.len() > 300 && !has(3);
        let promise = if others { Promise::Money } else { Promise::Caps };
        (has(3) && has(211) && has(317) || others).then(|| broken(promise))
    };
    let (left, last) = shrink(&script, &broken(Promise::Caps), play);
    assert_eq!(left.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [3, 211, 317]);
    assert_eq!(last.promise, Promise::Caps);
}

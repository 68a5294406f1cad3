//! Attestations of a simulated world: the letter that is claimed for a caller's number and what came of verifying it, as
//! each carrier writes them, and the one target that asks for a good one.

use load::chance::Chance;
use outcry::domain::Reason;
use outcry::records::row::TrailRow;

use super::market::TWILIO;
use super::world::CallPlan;

/// Who takes only callers whose letter is one of these, and did not fail.
pub const PICKY: &str = "dog-auto";
/// What it asks for, as its line.
pub const ASKS: &str = "filters = [{ stir = [\"A\", \"B\"] }]\n";
const GOOD: [&str; 2] = ["A", "B"];

/// What is claimed of a call's number, and what came of it.
fn claimed(plan: &CallPlan) -> (Option<&'static str>, Option<&'static str>, Chance) {
    let mut chance = Chance::new(plan.seed, &["attested", &plan.n.to_string()]);
    let letters = [Some("A"), Some("A"), Some("A"), Some("B"), Some("B"), Some("C"), None];
    let verified = [Some("passed"), Some("passed"), Some("passed"), Some("failed"), Some("unverified"), None];
    let letter = *chance.pick(&letters).expect("letters");
    (letter, *chance.pick(&verified).expect("results"), chance)
}

/// A part of a request in JSON.
pub fn in_json(plan: &CallPlan) -> String {
    let (letter, verified, _) = claimed(plan);
    let field = |name: &str, value: Option<&str>| value.map(|value| format!("\"{name}\":\"{value}\""));
    let fields: Vec<String> =
        [field("attest", letter), field("verified", verified)].into_iter().flatten().collect();
    format!("\"stir\":{{{}}},", fields.join(","))
}

/// A parameter of a form: nothing, where Twilio does not know.
pub fn in_form(plan: &CallPlan) -> Option<String> {
    let (letter, verified, mut chance) = claimed(plan);
    let by = *chance.pick(&["", "", "-Diverted", "-Passthrough"]).expect("signers");
    match (verified, letter) {
        (Some("passed"), Some(letter)) => Some(format!("TN-Validation-Passed-{letter}{by}")),
        (Some("failed"), Some(letter)) => Some(format!("TN-Validation-Failed-{letter}{by}")),
        (Some("failed"), None) => Some(format!("TN-Validation-Failed{by}")),
        (Some(_), _) => Some("No-TN-Validation".to_owned()),
        (None, _) => None,
    }
}

/// Whether the picky one may have the call: of a letter that failed nothing is left, and Twilio names none that it did not
/// verify.
fn is_good(plan: &CallPlan) -> bool {
    let (letter, verified, _) = claimed(plan);
    let stands = if plan.carrier == TWILIO { verified == Some("passed") } else { verified != Some("failed") };
    stands && letter.is_some_and(|letter| GOOD.contains(&letter))
}

/// What is not true of a trail: who may not have the call is not asked, and nobody is refused for it who may.
pub fn faults(plan: &CallPlan, row: &TrailRow) -> Vec<String> {
    let is_good = is_good(plan);
    let of = |reason: Reason| reason == Reason::Attestation;
    // It stands behind what bars a target before its filters are asked.
    let is_before = |reason: Reason| {
        matches!(
            reason,
            Reason::CallerBlocked
                | Reason::CampaignPaused
                | Reason::CampaignClosed
                | Reason::PublisherClosed
                | Reason::Branch
                | Reason::PlanEnded
                | Reason::NodeClosed
                | Reason::Paused
                | Reason::BuyerPaused
                | Reason::Suppressed
        )
    };
    let holds = |target: &str, reason: Reason, is_asked: bool| match target {
        PICKY if !is_good => (of(reason) || is_before(reason)) && !is_asked,
        _ => !of(reason),
    };
    let wrong = row.outcomes.iter().filter(|one| !holds(one.target.as_str(), one.reason, one.ping.is_some()));
    wrong.map(|one| format!("{} is {} (attested {is_good})", one.target, one.reason)).collect()
}

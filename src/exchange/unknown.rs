//! Reports about calls nobody knows, kept for the operator: the newest ones, with what they said. Nothing is done about
//! them here.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::Exchange;
use crate::auction::bid::cleaned;
use crate::carrier::generic::CarrierEvent;
use crate::domain::{CallId, CarrierId, Timestamp};
use crate::telemetry::event;

impl Exchange {
    /// Keeps a report about a call nobody knows.
    pub fn keep_unknown(&self, carrier: Option<&CarrierId>, call: &str, event: &CarrierEvent) {
        self.unknown.keep(UnknownReport {
            received: self.clock.now(),
            carrier: carrier.map(ToString::to_string),
            call: call.to_owned(),
            kind: event.kind,
            detail: event.detail.clone(),
        });
    }
}

/// Reports kept.
const KEPT: usize = 1_000;

/// A report about an unknown call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReport {
    /// When it came.
    pub received: Timestamp,
    /// The carrier, where it showed who it is.
    pub carrier: Option<String>,
    /// The call as the report names it; if that is no id of ours, without what could be a phone number.
    pub call: String,
    /// What it said happened.
    pub kind: &'static str,
    /// Cause, talk time and originator as text.
    pub detail: String,
}

/// The newest reports about unknown calls.
#[derive(Debug, Default)]
pub struct UnknownReports {
    kept: Mutex<VecDeque<UnknownReport>>,
}

impl UnknownReports {
    /// One more; the oldest goes when there are too many.
    pub fn keep(&self, report: UnknownReport) {
        event::report_unknown(report.kind);
        // One in forty of our ids has digits enough in a row to be masked, and could not be looked up then.
        let is_ours = CallId::parse(&report.call).is_some();
        let call = if is_ours { report.call } else { cleaned(report.call) };
        let report = UnknownReport { call, ..report };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(report);
    }

    /// All of them, the newest first.
    pub fn list(&self) -> Vec<UnknownReport> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(call: &str) -> UnknownReport {
        UnknownReport {
            received: Timestamp::default(),
            carrier: None,
            call: call.to_owned(),
            kind: "ended",
            detail: String::new(),
        }
    }

    #[test]
    fn the_newest_are_kept_and_no_number_is() {
        let reports = UnknownReports::default();
        for n in 0..KEPT + 5 {
            reports.keep(about(&format!("{n} +15125550123")));
        }
        let kept = reports.list();
        assert_eq!(kept.len(), KEPT);
        assert!(kept[0].call.starts_with("1004 ") && kept[KEPT - 1].call.starts_with("5 "));
        assert!(kept.iter().all(|report| !report.call.contains("5550123")));
    }

    #[test]
    fn an_id_of_ours_is_shown_as_it_is_however_many_digits_it_has_in_a_row() {
        let reports = UnknownReports::default();
        let table = [
            ("01KA8XM5Q2E1234567WZ9RT3VD", "01KA8XM5Q2E1234567WZ9RT3VD"),
            // Too short to be ours, and one letter that no id of ours has.
            ("01KA8XM5Q2E1234567WZ9RT3V", "01KA8XM5Q2E1234•••WZ9RT3V"),
            ("01KA8XM5Q2E1234567WZ9RT3VU", "01KA8XM5Q2E1234•••WZ9RT3VU"),
        ];
        for (call, shown) in table {
            reports.keep(about(call));
            assert_eq!(reports.list()[0].call, shown, "{call}");
        }
    }
}

//! Hourly sums, reckoned anew from the rows and compared. The sums are kept beside the rows and nothing derives them again;
//! what is shown of a difference is hours, ids and numbers.
//!
//! Ends are compared by hour, campaign and publisher: a call whose later attempt turns out to be the one that counts leaves
//! its first count with the buyer it was counted for. All other sums are compared line by line.

use std::collections::BTreeMap;
use std::fmt::Write;

use rusqlite::params;

use super::Moment;
use super::StoreError;
use super::apply::MICROS_PER_HOUR;
use crate::domain::{Reason, Timestamp};
use crate::records::packed;
use crate::records::stored::StoredSumOff;

/// Whether a call is a test: the decision says it, or where that was dropped an attempt.
const IS_TEST: &str =
    "coalesce(c.test, (SELECT max(a.test) FROM attempt a WHERE a.call_id = c.call_id), 0) <> 0";

/// What sums of an hour have in common.
type Line = (i64, [String; 4]);

/// hour, campaign, buyer, target, reason
type OutcomeKey = (i64, String, String, String, u16);

impl Moment<'_> {
    /// Sums that are not those of the rows, at most `limit` of each kind; looks at whole tables.
    pub fn sums_off(&self, limit: usize) -> Result<Vec<StoredSumOff>, StoreError> {
        let mut off = self.money_off(limit)?;
        off.extend(self.ends_off(limit)?);
        off.extend(self.outcomes_off(limit)?);
        Ok(off)
    }

    fn money_off(&self, limit: usize) -> Result<Vec<StoredSumOff>, StoreError> {
        let sql = format!(
            "SELECT hour, campaign, publisher, buyer, target, sum(calls), sum(revenue), sum(payout), sum(margin),
               sum(s_calls), sum(s_revenue), sum(s_payout), sum(s_margin)
             FROM (
               SELECT c.at / ?1 AS hour, c.campaign, c.publisher, c.buyer, c.target, 1 AS calls, 0 AS revenue,
                 0 AS payout, 0 AS margin, 0 AS s_calls, 0 AS s_revenue, 0 AS s_payout, 0 AS s_margin
               FROM call c WHERE c.decided = 1 AND NOT ({IS_TEST})
               UNION ALL
               SELECT at / ?1, campaign, publisher, buyer, target, 0, iif(kind = 'revenue', amount, 0),
                 iif(kind = 'payout', -amount, 0), iif(kind = 'margin', -amount, 0), 0, 0, 0, 0
               FROM ledger_entry
               UNION ALL
               SELECT hour, campaign, publisher, buyer, target, 0, 0, 0, 0, calls, revenue, payout, margin
               FROM pnl_hour
             )
             GROUP BY 1, 2, 3, 4, 5
             HAVING sum(calls) <> sum(s_calls) OR sum(revenue) <> sum(s_revenue) OR sum(payout) <> sum(s_payout)
               OR sum(margin) <> sum(s_margin)
             LIMIT ?2"
        );
        self.lines_off(
            &sql,
            limit,
            ["campaign", "publisher", "buyer", "target"],
            &["calls", "revenue", "payout", "margin"],
        )
    }

    fn ends_off(&self, limit: usize) -> Result<Vec<StoredSumOff>, StoreError> {
        let sql = format!(
            "SELECT hour, campaign, publisher, 0, 0, sum(ended), sum(connected), sum(billable), sum(talk_ms),
               sum(s_ended), sum(s_connected), sum(s_billable), sum(s_talk_ms)
             FROM (
               SELECT c.at / ?1 AS hour, c.campaign, c.publisher, 1 AS ended, c.connected, c.billable, c.talk_ms,
                 0 AS s_ended, 0 AS s_connected, 0 AS s_billable, 0 AS s_talk_ms
               FROM call c WHERE c.ended_at IS NOT NULL AND NOT ({IS_TEST})
               UNION ALL
               SELECT hour, campaign, publisher, 0, 0, 0, 0, ended, connected, billable, talk_ms FROM pnl_hour
             )
             GROUP BY 1, 2, 3
             HAVING sum(ended) <> sum(s_ended) OR sum(connected) <> sum(s_connected)
               OR sum(billable) <> sum(s_billable) OR sum(talk_ms) <> sum(s_talk_ms)
             LIMIT ?2"
        );
        self.lines_off(
            &sql,
            limit,
            ["campaign", "publisher", "", ""],
            &["ended", "connected", "billable", "talk_ms"],
        )
    }

    /// The first sum of each line that differs.
    fn lines_off(
        &self,
        sql: &str,
        limit: usize,
        keys: [&str; 4],
        names: &[&'static str; 4],
    ) -> Result<Vec<StoredSumOff>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = |line: &rusqlite::Row<'_>| {
            let sums = |from: usize| -> rusqlite::Result<[i64; 4]> {
                Ok([line.get(from)?, line.get(from + 1)?, line.get(from + 2)?, line.get(from + 3)?])
            };
            let words: [i64; 4] = sums(1)?;
            Ok((line.get::<_, i64>(0)?, words, sums(5)?, sums(9)?))
        };
        let found = self.reader.list("hourly sums", sql, params![MICROS_PER_HOUR, limit], read)?;
        let mut off = Vec::new();
        for (hour, words, by_rows, kept) in found {
            let at = (0..4).find(|at| by_rows[*at] != kept[*at]).unwrap_or(0);
            let mut line: Line = (hour, Default::default());
            for (text, word) in line.1.iter_mut().zip(words) {
                *text = self.word(word)?;
            }
            let key = named(&keys, &line.1);
            off.push(StoredSumOff {
                hour: begin(hour),
                key,
                sum: names[at],
                kept: kept[at],
                by_rows: by_rows[at],
            });
        }
        Ok(off)
    }

    fn outcomes_off(&self, limit: usize) -> Result<Vec<StoredSumOff>, StoreError> {
        // Kept less reckoned, and kept: as many lines as the table has.
        let mut lines: BTreeMap<OutcomeKey, (i64, i64)> = BTreeMap::new();
        let kept = self.reader.list(
            "hourly outcomes",
            "SELECT o.hour, (SELECT text FROM word WHERE id = o.campaign), (SELECT text FROM word WHERE id = o.buyer),
               (SELECT text FROM word WHERE id = o.target), o.reason, o.count FROM outcome_hour o",
            params![],
            |line| {
                let key = (line.get(0)?, line.get(1)?, line.get(2)?, line.get(3)?, line.get(4)?);
                Ok((key, line.get::<_, i64>(5)?))
            },
        )?;
        for (key, count) in kept {
            lines.insert(key, (count, count));
        }
        let sql = "SELECT t.doc FROM trail t LEFT JOIN call c ON c.call_id = t.call_id WHERE t.is_final = 1
               AND coalesce(c.test, (SELECT max(a.test) FROM attempt a WHERE a.call_id = t.call_id), 0) = 0";
        self.each_doc(sql, |doc| {
            let nobody = crate::domain::CallId::from_bits(0);
            let trail = packed::unpack(0, nobody, 0, true, doc)?;
            let hour = trail.at.micros().div_euclid(MICROS_PER_HOUR);
            let campaign = trail.campaign.unwrap_or_default();
            for outcome in trail.outcomes {
                let key = (hour, campaign.clone(), outcome.buyer, outcome.target, outcome.reason);
                lines.entry(key).or_default().0 -= 1;
            }
            Ok(())
        })?;
        let off = lines.into_iter().filter(|(_, (off, _))| *off != 0).take(limit);
        let shown = off.map(|((hour, campaign, buyer, target, reason), (off, kept))| {
            let reason = Reason::from_code(reason)
                .map_or_else(|| format!("code {reason}"), |reason| reason.as_str().to_owned());
            let keys = ["campaign", "buyer", "target", "reason"];
            let key = named(&keys, &[campaign, buyer, target, reason]);
            StoredSumOff { hour: begin(hour), key, sum: "outcomes", kept, by_rows: kept - off }
        });
        Ok(shown.collect())
    }

    /// Documents one by one: all of them are more than there may be room for.
    fn each_doc(
        &self,
        sql: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), packed::UnpackError>,
    ) -> Result<(), StoreError> {
        let fault = |source| StoreError::Read { what: "outcomes", source };
        let mut statement = self.reader.conn.prepare_cached(sql).map_err(fault)?;
        let mut found = statement.query(()).map_err(fault)?;
        while let Some(line) = found.next().map_err(fault)? {
            let doc = line.get_ref(0).and_then(|value| Ok(value.as_blob()?)).map_err(fault)?;
            take(doc).map_err(|source| StoreError::Unpack { source })?;
        }
        Ok(())
    }

    fn word(&self, id: i64) -> Result<String, StoreError> {
        let found =
            self.reader
                .list("a word", "SELECT text FROM word WHERE id = ?1", params![id], |line| line.get(0))?;
        Ok(found.into_iter().next().unwrap_or_default())
    }
}

fn begin(hour: i64) -> Timestamp {
    Timestamp::from_micros(hour.saturating_mul(MICROS_PER_HOUR))
}

/// What of a key is something.
fn named(keys: &[&str; 4], values: &[String; 4]) -> String {
    let mut text = String::new();
    for (key, value) in keys.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        // Text takes everything.
        let _ = write!(text, "{}{key} {value}", if text.is_empty() { "" } else { ", " });
    }
    if text.is_empty() { "no campaign".to_owned() } else { text }
}

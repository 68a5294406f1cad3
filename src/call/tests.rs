//! Two kinds of table over the same events.
//!
//! A *story* has one row per thing that happens, the time we learn of it in milliseconds first, and behind `=>` the
//! effects; no `=>` means no effect:
//!
//! ```text
//!       0 offer 1
//!    4000 answered 1 at 3900                       `at`: the carrier's own time; left out, it is ours
//!  100000 ended 1 normal target talk 95000         => free 1, settle 1 normal target 95000 carrier
//!  100000 state                                    => over due never
//! ```
//!
//! Events are `ringing N`, `answered N`, `bridged N`, `ended N CAUSE WHO [talk MS]`, `call_ended CAUSE WHO`, `noted N`,
//! `handed_back N`;
//! `leg_over N CAUSE`; `tick` lets time do what is due, `step_over` is the carrier asking for the next step, `close` an
//! answer that dials nobody, `restart` the exchange started again, `onward` asks what may follow. A settlement says cause, who, talk (`-` for nobody connected) and its source.
//!
//! A target is one that a carrier's times count for, unless it is `proven`: then only its word does; `terminal` is the
//! plan's own destination; of a `screened` one an answer proves nothing. `offer 2 with 1` rings at once with attempt 1.
//! `void N` is what becomes of those when another has the caller. A state is `open`, `over`, or `lost until` when news of an end nobody reported is awaited; then when time is due.
//!
//! A *script* is a line of events between `|`, in no order, with every carrier's time given, and behind `=>` the
//! settlements they must lead to in every order, however often each is delivered, and on either side of an expiry.
//!
//! Attempts wait 5 s for late reports and for the next step, 40 s for an answer, 200 s for the end of an answered leg.

use std::time::Duration;

use super::event::{CallEvent, Effect, EventKind};
use super::{Call, Kind, Onward, Patience, Recovery, Rung};
use crate::domain::draw::Draw;
use crate::domain::{AttemptEnd, Cause, EndedBy, TalkSource, Timestamp};

const PATIENCE: Patience = Patience {
    late_events: Duration::from_secs(5),
    unanswered: Duration::from_secs(40),
    answered: Duration::from_secs(200),
};

const RECOVERY: Recovery = Recovery {
    early_hangup: Duration::from_secs(15),
    attempts: 5,
    ring_budget: Duration::from_secs(60),
    next_within: Duration::from_secs(5),
};

/// An attempt that rings alone.
fn rung(number: u32, kind: Kind) -> Rung {
    Rung { number, step: number, kind, screened: false, patience: PATIENCE }
}

/// Milliseconds, with up to three decimals.
fn ms(text: &str) -> Timestamp {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let micros = format!("{whole}{part:0<3}");
    Timestamp::from_micros(micros.parse().expect("milliseconds"))
}

fn attempt(word: &str) -> u32 {
    word.parse().expect("the number of an attempt")
}

fn event(words: &[&str], now: Timestamp) -> CallEvent {
    let field = |key| words.iter().position(|word| *word == key).map(|at| words[at + 1]);
    let why = |from: usize| {
        let cause = Cause::parse(words[from]).expect("a cause");
        (cause, EndedBy::parse(words[from + 1]).expect("whose doing"))
    };
    let (attempt, kind) = match words[0] {
        "ringing" => (Some(attempt(words[1])), EventKind::Ringing),
        "answered" => (Some(attempt(words[1])), EventKind::Answered),
        "bridged" => (Some(attempt(words[1])), EventKind::Bridged),
        "leg_over" => {
            (Some(attempt(words[1])), EventKind::LegOver { cause: Cause::parse(words[2]).expect("a cause") })
        }
        "noted" => (Some(attempt(words[1])), EventKind::Noted),
        "handed_back" => (Some(attempt(words[1])), EventKind::HandedBack),
        "ended" => {
            let (cause, ended_by) = why(2);
            let talk_ms = field("talk").map(|text| text.parse().expect("milliseconds"));
            (Some(attempt(words[1])), EventKind::Ended { cause, ended_by, talk_ms })
        }
        "call_ended" => {
            let (cause, ended_by) = why(1);
            (None, EventKind::CallEnded { cause, ended_by })
        }
        other => panic!("unknown event `{other}`"),
    };
    CallEvent { attempt, at: field("at").map_or(now, ms), kind }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::FreeSlots { attempt } => format!("free {attempt}"),
        Effect::Expire { attempt } => format!("expire {attempt}"),
        Effect::Over => "over".to_owned(),
        Effect::Settle { attempt, end } => {
            assert_eq!(end.connected, end.talk_ms > 0, "connected is having talked");
            let talk = if end.connected { end.talk_ms.to_string() } else { "-".to_owned() };
            let (cause, by, source) = (end.cause.as_str(), end.ended_by.as_str(), end.talk_source.as_str());
            let back = if end.handed_back { " handed_back" } else { "" };
            format!("settle {attempt} {cause} {by} {talk} {source}{back}")
        }
        Effect::Void { attempt, end } => {
            assert_eq!(
                (end.connected, end.cause, end.ended_by),
                (false, Cause::Cancelled, EndedBy::Exchange)
            );
            format!("void {attempt}")
        }
    }
}

fn list(effects: &[Effect]) -> String {
    effects.iter().map(effect).collect::<Vec<_>>().join(", ")
}

fn state(call: &Call) -> String {
    let over = match (call.is_over(), call.news_until()) {
        (true, Some(until)) => format!("lost until {}", until.millis()),
        (true, None) => "over".to_owned(),
        (false, _) => "open".to_owned(),
    };
    let due = call.next_deadline().map_or("never".to_owned(), |due| due.millis().to_string());
    format!("{over} due {due}")
}

/// Plays stories, each also as that of a call that is written down and rebuilt before every row.
fn check(table: &str) {
    for (story, rebuilt) in table.split("\n\n").flat_map(|story| [(story, false), (story, true)]) {
        let mut call = Call::new(RECOVERY);
        for row in story.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
            if rebuilt {
                let image = call.image();
                call = Call::restored(image.clone());
                assert_eq!(call.image(), image);
            }
            let (happens, expected) = row.split_once("=>").unwrap_or((row, ""));
            let words: Vec<&str> = happens.split_whitespace().collect();
            let now = ms(words[0]);
            let came = match words[1] {
                "state" => state(&call),
                "tick" => list(&call.on_time(now)),
                "offer" => {
                    let mut rung = rung(attempt(words[2]), Kind::Target);
                    let mut more = words[3..].iter();
                    while let Some(word) = more.next() {
                        match *word {
                            "proven" => rung.kind = Kind::ProvenTarget,
                            "terminal" => rung.kind = Kind::Terminal,
                            "screened" => rung.screened = true,
                            "with" => rung.step = attempt(more.next().expect("with N")),
                            other => panic!("unknown word `{other}`"),
                        }
                    }
                    call.offer(rung, now);
                    String::new()
                }
                "step_over" => list(&call.on_step_over(now)),
                "close" => list(&call.close(now)),
                "restart" => list(&call.on_restart(now)),
                "onward" => match call.onward() {
                    Onward::Attempt { ring } => format!("attempt {}", ring.as_millis()),
                    Onward::Terminal => "terminal".to_owned(),
                    Onward::Finished => "finished".to_owned(),
                },
                _ => list(&call.on_event(&event(&words[1..], now), now)),
            };
            assert_eq!(came, expected.trim(), "at `{row}` in\n{story}\n");
        }
    }
}

/// Every order of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(n - 1) {
        for place in 0..n {
            let mut order = shorter.clone();
            order.insert(place, n - 1);
            all.push(order);
        }
    }
    all
}

/// Runs the clock until nothing is due.
fn run_out(call: &mut Call, effects: &mut Vec<Effect>) {
    while let Some(due) = call.next_deadline() {
        let done = call.on_time(due);
        assert!(!done.is_empty() && call.next_deadline() != Some(due), "a deadline that does nothing");
        effects.extend(done);
    }
}

/// What must hold of the effects on one attempt: freed or expired once, first; settled once.
fn once_each(effects: &[Effect], number: u32) {
    let mut seen = Vec::new();
    for effect in effects {
        match effect {
            Effect::FreeSlots { attempt } if *attempt == number => seen.push("free"),
            Effect::Expire { attempt } if *attempt == number => seen.push("expire"),
            Effect::Settle { attempt, .. } if *attempt == number => seen.push("settle"),
            Effect::Void { attempt, .. } if *attempt == number => seen.push("void"),
            Effect::FreeSlots { .. }
            | Effect::Expire { .. }
            | Effect::Settle { .. }
            | Effect::Void { .. }
            | Effect::Over => {}
        }
    }
    assert!(matches!(seen[..], ["free" | "expire", "settle"]), "{seen:?}");
}

/// Delivers a script's events in this order, the first `early` of them before the clock runs out, and says what was
/// settled, in words and whole. Reports arrive a hundredth of a second apart: fast enough for every patience.
fn deliver(
    events: &[CallEvent],
    order: &[usize],
    early: usize,
    attempts: &[u32],
) -> (String, Vec<AttemptEnd>) {
    let mut call = Call::new(RECOVERY);
    let mut now = Timestamp::default();
    let mut effects = Vec::new();
    attempts.iter().for_each(|number| call.offer(rung(*number, Kind::Target), now));
    let (before, after) = order.split_at(early);
    for part in [before, after] {
        for at in part {
            now = now.after(Duration::from_millis(10));
            effects.extend(call.on_event(&events[*at], now));
        }
        run_out(&mut call, &mut effects);
        now = now.after(Duration::from_secs(1_000));
    }
    assert_eq!(state(&call), "over due never");
    for event in events {
        assert_eq!(call.on_event(event, now), [], "settled is settled");
    }
    attempts.iter().for_each(|number| once_each(&effects, *number));
    let mut settled: Vec<(String, AttemptEnd)> = effects
        .iter()
        .filter_map(|one| match one {
            Effect::Settle { end, .. } => Some((effect(one), *end)),
            Effect::FreeSlots { .. } | Effect::Expire { .. } | Effect::Void { .. } | Effect::Over => None,
        })
        .collect();
    settled.sort_by(|a, b| a.0.cmp(&b.0));
    let (words, ends): (Vec<String>, Vec<AttemptEnd>) = settled.into_iter().unzip();
    (words.join(", ").replace("settle ", ""), ends)
}

/// Plays scripts in every order, then with seeded repeats, then with an expiry before the first report of an end.
fn check_any_order(table: &str) {
    for script in table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let (events, expected) = script.split_once("=>").expect("events => settlements");
        let events: Vec<CallEvent> = events
            .split('|')
            .map(|text| {
                let words: Vec<&str> = text.split_whitespace().collect();
                assert!(words.contains(&"at"), "a script names the carrier's times: {text}");
                event(&words, Timestamp::default())
            })
            .collect();
        let is_end =
            |at: &usize| matches!(events[*at].kind, EventKind::Ended { .. } | EventKind::CallEnded { .. });
        let attempts: Vec<u32> = expected
            .split(", ")
            .map(|one| attempt(one.trim().split_once(' ').expect("an attempt").0))
            .collect();
        let in_order: Vec<usize> = (0..events.len()).collect();
        let (_, ends) = deliver(&events, &in_order, events.len(), &attempts);
        let same = |order: &[usize], early: usize| {
            let settled = deliver(&events, order, early, &attempts);
            let place = format!("delivered {order:?}, {early} before the expiry, in\n{script}\n");
            assert_eq!(settled.0, expected.trim(), "{place}");
            assert_eq!(settled.1, ends, "{place}");
        };
        assert!(events.len() <= 5, "more events than orders can be tried");
        let mut draw = Draw::new(11);
        for order in orders(events.len()) {
            same(&order, order.len());
            for _ in 0..20 {
                let mut repeated = order.clone();
                for _ in 0..=draw.below(6) {
                    let again = order[draw.below(order.len() as u64) as usize];
                    repeated.insert(draw.below(repeated.len() as u64 + 1) as usize, again);
                }
                same(&repeated, repeated.len());
                let first_end = repeated.iter().position(is_end).expect("a script ends");
                same(&repeated, draw.below(first_end as u64 + 1) as usize);
            }
        }
    }
}

/// Scenario 11: order and number of deliveries change nothing.
#[test]
fn any_order_and_any_number_of_deliveries_settle_alike() {
    check_any_order(
        "# The carrier's talk time counts, whatever the times say.
         ringing 1 at 1000 | answered 1 at 4000 | bridged 1 at 5000 | ended 1 normal target talk 95000 at 99000 | call_ended normal target at 99500 => 1 normal target 95000 carrier
         ended 1 normal caller talk 95000 at 99000 => 1 normal caller 95000 carrier
         answered 1 at 4000 | ended 1 normal caller talk 89999 at 99000 | noted 1 at 99900 => 1 normal caller 89999 carrier
         bridged 1 at 5000 | ended 1 normal caller talk 0 at 99000 => 1 normal caller - carrier
         # Without one, from bridged to ended; without bridged, from answered; without either, nobody talked.
         ringing 1 at 1000 | answered 1 at 4000 | bridged 1 at 5000 | ended 1 normal target at 95000 | call_ended normal caller at 99500 => 1 normal target 90000 event_times
         ringing 1 at 1000 | answered 1 at 4000 | ended 1 normal target at 95000 | call_ended normal caller at 99500 => 1 normal target 91000 derived
         ringing 1 at 1000 | ended 1 normal target at 95000 | call_ended normal caller at 99500 => 1 normal target - none
         # Not delivered.
         ringing 1 at 1000 | ended 1 busy target at 2000 | call_ended normal exchange at 2500 => 1 busy target - none
         ringing 1 at 1000 | ended 1 no_answer carrier at 21000 | noted 1 at 1500 | call_ended normal carrier at 30000 => 1 no_answer carrier - none
         ended 1 rejected target at 2000 | call_ended normal caller at 9000 => 1 rejected target - none
         ended 1 failed carrier talk 0 at 2000 => 1 failed carrier - carrier
         # Scenario 7: the caller is gone while it rings, with and without an end of the leg.
         ringing 1 at 1000 | ended 1 cancelled caller at 6000 | call_ended cancelled caller at 6100 => 1 cancelled caller - none
         ringing 1 at 1000 | call_ended cancelled caller at 6100 => 1 cancelled caller - none
         # Only the end of the call is ever reported.
         call_ended normal caller at 99500 => 1 normal caller - none
         ringing 1 at 1000 | answered 1 at 4000 | bridged 1 at 5000 | call_ended normal caller at 99500 => 1 normal caller 94500 event_times
         ringing 1 at 1000 | answered 1 at 4000 | call_ended normal caller at 99500 => 1 normal caller 95500 derived",
    );
}

/// Scenario 4: each attempt of a call settles by its own reports; the end of the call is news only where there are none.
#[test]
fn attempts_of_one_call_settle_apart_in_any_order() {
    check_any_order(
        "ended 1 busy target at 2000 | answered 2 at 8000 | bridged 2 at 9000 | ended 2 normal caller at 99000 | call_ended normal caller at 99100 => 1 busy target - none, 2 normal caller 90000 event_times
         ended 1 no_answer carrier at 20000 | bridged 2 at 29000 | ended 2 normal target talk 90000 at 120000 => 1 no_answer carrier - none, 2 normal target 90000 carrier
         ended 1 normal target talk 6000 at 7000 | ended 2 busy target at 8000 | ended 3 failed carrier at 9000 | call_ended normal caller at 9500 => 1 normal target 6000 carrier, 2 busy target - none, 3 failed carrier - none
         ended 1 busy target at 2000 | ringing 2 at 3000 | call_ended cancelled caller at 9100 => 1 busy target - none, 2 cancelled caller - none",
    );
}

#[test]
fn talk_time_comes_from_the_carrier_never_from_us() {
    check_any_order(
        "# The earliest bridged counts, to the millisecond begun: 89,999.9 ms are not 90 s.
         bridged 1 at 5000.4 | ended 1 normal target at 95000.3 => 1 normal target 89999 event_times
         bridged 1 at 5000.4 | ended 1 normal target at 95000.4 => 1 normal target 90000 event_times
         answered 1 at 5000.001 | ended 1 normal target at 95000 => 1 normal target 89999 derived
         # A clock that ran backwards makes no talk of it, and no panic.
         bridged 1 at 95000 | ended 1 normal target at 5000 => 1 normal target - event_times
         bridged 1 at 5000 | ended 1 normal target at 5000 => 1 normal target - event_times
         # The carrier's figure beats its own times, longer or shorter.
         bridged 1 at 5000 | ended 1 normal target talk 90000 at 94999 => 1 normal target 90000 carrier
         bridged 1 at 5000 | ended 1 normal target talk 89999 at 96000 => 1 normal target 89999 carrier
         # They talked, whatever ended it; a cause that excludes talk is believed before times are.
         bridged 1 at 5000 | ended 1 failed carrier at 95000 => 1 failed carrier 90000 event_times
         bridged 1 at 5000 | ended 1 busy carrier at 95000 => 1 busy carrier - none
         bridged 1 at 5000 | ended 1 failed carrier talk 90000 at 95000 => 1 failed carrier 90000 carrier",
    );
    check(
        "# An hour of ours between the reports is not an hour of talk.
         0     offer 1
         3000  bridged 1 at 5000
         90000 ended 1 normal target at 6500  => free 1, settle 1 normal target 1500 event_times",
    );
}

#[test]
fn a_call_goes_through_its_phases() {
    check(
        "0      offer 1
         0      state                 => open due 40000
         1000   ringing 1
         1000   state                 => open due 40000
         4000   answered 1
         4000   state                 => open due 204000
         5000   bridged 1
         5000   state                 => open due 205000
         6000   ringing 1
         6000   state                 => open due 205000
         100000 ended 1 normal target talk 95000  => free 1, settle 1 normal target 95000 carrier, over
         100000 state                 => over due never
         999999 tick

         # Scenario 4: the first is busy, so the second is offered; the newest attempt gives the phase.
         0      offer 1
         3000   ended 1 busy target   => free 1, settle 1 busy target - none
         3000   state                 => open due 8000
         3100   offer 2
         3100   state                 => open due 43100
         # A report of the first that comes late is no news, one of nobody's attempt neither.
         3200   ringing 1
         3300   answered 1
         3400   ended 9 busy target
         3400   state                 => open due 43100
         5000   answered 2
         99000  ended 2 normal caller talk 93000  => free 2, settle 2 normal caller 93000 carrier, over

         # What the machine has no use for does nothing at all.
         0      offer 1
         50     noted 1
         60     noted 9
         60     state                 => open due 40000

         # Reports to a call without attempts.
         0      close                 => over
         0      call_ended cancelled caller
         0      ringing 1
         0      tick
         0      state                 => over due never",
    );
}

/// Scenario 6: the slot is free with the first word of an end, whatever it will cost.
#[test]
fn slots_are_free_at_once_and_judgement_waits_for_late_reports() {
    check(
        "# Neither talk time nor times of it: wait, then believe that nobody talked.
         0      offer 1
         6000   call_ended cancelled caller           => free 1
         6000   state                                 => open due 11000
         10999  tick
         11000  tick                                  => settle 1 cancelled caller - none, over
         11000  state                                 => over due never

         # A cause that excludes talk needs no waiting.
         0      offer 1
         6000   call_ended cancelled caller           => free 1
         6100   ended 1 cancelled caller              => settle 1 cancelled caller - none, over

         # A failure may have ended a talk, and waits for a bridged that may be on its way.
         0      offer 1
         6000   ended 1 failed carrier                => free 1
         6100   bridged 1 at 5000                     => settle 1 failed carrier 1000 event_times, over

         # Nobody talks longer than a leg may last, whatever a carrier's clock says.
         300000 offer 1
         300001 bridged 1 at 0
         300002 ended 1 normal target                 => free 1, settle 1 normal target 200000 event_times, over

         # The missing time comes while we wait. Repeats do not prolong the wait.
         0      offer 1
         4000   answered 1
         95000  ended 1 normal target                 => free 1
         96000  ended 1 normal target at 95000
         97000  call_ended normal target
         97000  state                                 => open due 100000
         97500  bridged 1 at 5000                     => settle 1 normal target 90000 event_times, over

         # It does not come.
         0      offer 1
         4000   answered 1
         95000  ended 1 normal target                 => free 1
         99999  tick
         100000 tick                                  => settle 1 normal target 91000 derived, over

         # It comes in the very moment of judgement, before the clock was asked.
         0      offer 1
         4000   answered 1
         95000  ended 1 normal target                 => free 1
         100000 bridged 1 at 5000                     => settle 1 normal target 90000 event_times, over

         # The end of the call frees what has no end of its own, and each attempt waits for itself.
         0      offer 1
         0      offer 2
         3000   ended 1 normal target                 => free 1
         5000   call_ended normal caller              => free 2
         5000   state                                 => open due 8000
         8000   tick                                  => settle 1 normal target - none
         9999   tick
         10000  tick                                  => settle 2 normal caller - none, over",
    );
}

/// Scenario 12: the end is lost. Slots are freed by the clock, the units stay unresolved until somebody says more.
#[test]
fn a_lost_end_expires_once() {
    check(
        "# Unanswered: ring time and 20 s, ringing or not.
         0      offer 1
         1000   ringing 1
         39999  tick
         40000  tick                                  => expire 1, over
         40000  state                                 => lost until 200000 due never
         40001  tick

         # Answered: longest talk and 60 s, counted from the report.
         0      offer 1
         39999  answered 1
         40000  tick
         239998 tick
         239999 tick                                  => expire 1, over
         300000 tick

         # A repeated report is no sign of life.
         0      offer 1
         4000   answered 1
         9000   answered 1 at 4000
         9000   state                                 => open due 204000
         150000 answered 1 at 3000
         150000 state                                 => open due 204000
         203999 tick
         204000 tick                                  => expire 1, over

         # Connecting the caller is: talk begins there. Once.
         0      offer 1
         4000   answered 1
         30000  bridged 1
         90000  bridged 1 at 30000
         90000  answered 1 at 4000
         90000  state                                 => open due 230000

         # In the other order, too.
         0      offer 1
         30000  bridged 1
         39000  answered 1 at 28000
         39000  state                                 => open due 230000

         # A report that finds the time run out, before the clock was asked.
         0      offer 1
         41000  ringing 1                             => expire 1, over
         42000  tick

         # An answer that does is an answer: the caller is talking.
         0      offer 1
         41000  answered 1
         41000  state                                 => open due 241000

         # An end in time is judged, never expired.
         0      offer 1
         39000  call_ended cancelled caller           => free 1
         40000  tick
         44000  tick                                  => settle 1 cancelled caller - none, over

         # Each attempt by its own clock.
         0      offer 1
         10000  offer 2
         12000  answered 2
         40000  tick                                  => expire 1
         40000  state                                 => open due 212000
         60000  ended 2 normal caller talk 48000      => free 2, settle 2 normal caller 48000 carrier, over
         60000  state                                 => lost until 200000 due never",
    );
}

#[test]
fn a_late_end_settles_once_and_frees_nothing_twice() {
    check(
        "0      offer 1
         40000  tick                                  => expire 1, over
         90000  ended 1 normal target talk 45000      => settle 1 normal target 45000 carrier, over
         90001  ended 1 normal target talk 45000
         90002  call_ended normal target
         90003  answered 1
         99999  tick
         99999  state                                 => over due never

         # Late reports without an end start no clock; with one they are worth what they are in time.
         0      offer 1
         40000  tick                                  => expire 1, over
         50000  answered 1 at 4000
         50100  bridged 1 at 5000
         50100  state                                 => lost until 250100 due never
         90000  ended 1 normal caller at 89000        => settle 1 normal caller 84000 event_times, over

         # A late end without a talk time waits for one, too.
         0      offer 1
         40000  tick                                  => expire 1, over
         90000  call_ended normal caller
         90000  state                                 => lost until 200000 due 95000
         91000  ended 1 normal caller
         95000  tick                                  => settle 1 normal caller - none, over
         95000  bridged 1 at 5000
         99999  tick

         # Days later, by a call record.
         0         offer 1
         4000      answered 1
         204000    tick                               => expire 1, over
         259200000 ended 1 normal target talk 95000 at 99000 => settle 1 normal target 95000 carrier, over",
    );
}

/// Reports that contradict each other: what was settled stays settled, since money was booked; until then the better
/// word counts. A correction is a new entry in the ledger, not a second settlement.
#[test]
fn the_better_word_counts_until_money_is_booked() {
    check(
        "# Two ends of one leg while nothing is judged: one with a talk time, then the earlier.
         0      offer 1
         95000  ended 1 normal target at 95000             => free 1
         96000  ended 1 normal target at 94000
         97000  ended 1 normal caller talk 88000 at 96000  => settle 1 normal caller 88000 carrier, over
         98000  ended 1 normal caller talk 99000 at 94000

         0      offer 1
         4000   answered 1
         95000  ended 1 normal target at 95000             => free 1
         96000  ended 1 normal caller at 94000
         100000 tick                                       => settle 1 normal caller 90000 derived, over

         # Two times of one thing: the earlier.
         0      offer 1
         4000   bridged 1 at 4000
         4100   bridged 1 at 3000
         4200   bridged 1 at 5000
         95000  ended 1 normal target                      => free 1, settle 1 normal target 92000 event_times, over
         95100  ended 1 normal target talk 95000",
    );
}

/// The sources of talk time are all used, so that a row of each stands above.
#[test]
fn every_talk_source_can_come_out() {
    for source in TalkSource::ALL {
        let script = match source {
            TalkSource::Carrier => "ended 1 normal target talk 7 at 9 => 1 normal target 7 carrier",
            TalkSource::EventTimes => {
                "bridged 1 at 2 | ended 1 normal target at 9 => 1 normal target 7 event_times"
            }
            TalkSource::Derived => {
                "answered 1 at 2 | ended 1 normal target at 9 => 1 normal target 7 derived"
            }
            TalkSource::None => "ended 1 normal target at 9 => 1 normal target - none",
        };
        assert!(script.ends_with(source.as_str()));
        check_any_order(script);
    }
}

/// What may follow an attempt: product.md "re-route".
#[test]
fn a_call_goes_on_after_ends_that_are_nobodys_goodbye() {
    let after = |end: &str| {
        let mut call = Call::new(RECOVERY);
        call.offer(rung(1, Kind::Target), ms("0"));
        let words: Vec<&str> = end.split_whitespace().collect();
        let _ = call.on_event(&event(&words, ms("2000")), ms("2000"));
        let _ = call.on_step_over(ms("2100"));
        matches!(call.onward(), Onward::Attempt { .. })
    };
    let table = "
        ended 1 busy target        yes | ended 1 busy unknown        yes | ended 1 no_answer carrier  yes
        ended 1 rejected target    yes | ended 1 failed carrier      yes | ended 1 failed unknown     yes
        ended 1 no_answer caller   no  | ended 1 busy caller         no  | ended 1 cancelled caller   no
        ended 1 cancelled carrier  no  | ended 1 cancelled unknown   no
        # Picked up and never bridged: the target did not want it, if it was the target.
        ended 1 normal target      yes | ended 1 normal carrier      no  | ended 1 normal unknown     no
        # Scenario 8: hung up early by the target, and by nobody else.
        ended 1 normal target talk 6000   yes | ended 1 normal target talk 14999   yes
        ended 1 normal target talk 15000  no  | ended 1 normal caller talk 6000    no
        ended 1 normal unknown talk 6000  no  | ended 1 failed carrier talk 6000   no
        call_ended normal unknown  no  | call_ended cancelled caller no";
    for case in table.lines().filter(|line| !line.trim().starts_with('#')).flat_map(|line| line.split('|')) {
        let Some((end, expected)) = case.trim().rsplit_once(' ') else { continue };
        assert_eq!(after(end), expected == "yes", "{end}");
    }
}

#[test]
fn the_next_step_is_waited_for_and_bounded() {
    check(
        "# Nobody asks for the next step in time: the call is over.
         0      offer 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         3000   state                                 => open due 8000
         3000   onward                                => attempt 57000
         8000   tick                                  => over
         8000   state                                 => over due never

         # It asks: nothing is due until it is answered, however long that takes.
         0      offer 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         3100   step_over
         9000   tick
         9000   state                                 => open due never
         9000   offer 2
         9000   state                                 => open due 49000
         20000  answered 2
         99000  ended 2 normal caller talk 79000      => free 2, settle 2 normal caller 79000 carrier, over

         # It asks, and there is nobody left.
         0      offer 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         3100   step_over
         3100   close                                 => over

         # What it asks with is the last word: no late report is waited for.
         0      offer 1
         3000   ended 1 failed carrier                => free 1
         3000   onward                                => finished
         3001   step_over                             => settle 1 failed carrier - none
         3001   onward                                => attempt 57000

         # The caller leaves while the next target is looked for, or while it is waited for.
         0      offer 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         3100   step_over
         3200   call_ended cancelled caller
         3200   onward                                => finished
         3300   close                                 => over

         0      offer 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         3200   call_ended cancelled caller           => over

         # After the plan's own destination comes nothing.
         0      offer 1 terminal
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none, over
         3000   onward                                => finished

         # Attempts are bounded.
         0      offer 1
         1000   ended 1 busy target                   => free 1, settle 1 busy target - none
         1000   offer 2
         2000   ended 2 busy target                   => free 2, settle 2 busy target - none
         2000   offer 3
         3000   ended 3 busy target                   => free 3, settle 3 busy target - none
         3000   offer 4
         4000   ended 4 busy target                   => free 4, settle 4 busy target - none
         4000   onward                                => attempt 56000
         4000   offer 5
         5000   ended 5 busy target                   => free 5, settle 5 busy target - none
         5000   onward                                => terminal

         # So is the ringing a caller hears: 60 s in all, and no attempt with less than 8 s of it.
         0      offer 1
         20000  ended 1 no_answer carrier             => free 1, settle 1 no_answer carrier - none
         20000  onward                                => attempt 40000
         21000  offer 2
         53000  ended 2 no_answer carrier             => free 2, settle 2 no_answer carrier - none
         53000  onward                                => attempt 8000

         0      offer 1
         52001  ended 1 no_answer carrier             => free 1, settle 1 no_answer carrier - none
         52001  onward                                => terminal

         # Talk is no ringing, whether an answer was reported or only the talk.
         0      offer 1
         5000   answered 1
         15000  ended 1 normal target talk 9000       => free 1, settle 1 normal target 9000 carrier
         15000  onward                                => attempt 55000

         0      offer 1
         15000  ended 1 normal target talk 9000       => free 1, settle 1 normal target 9000 carrier
         15000  onward                                => attempt 54000

         # An end that was lost is followed by nothing, and settles the call anew when it comes.
         0      offer 1
         40000  tick                                  => expire 1, over
         40000  onward                                => finished
         90000  ended 1 normal target talk 45000      => settle 1 normal target 45000 carrier, over",
    );
}

/// Of a carrier that says whether it bridged, nothing else proves a talk.
#[test]
fn a_talk_is_proven_by_the_carriers_word_only() {
    check(
        "# The leg's own reports free the slot and wait for the word.
         0      offer 1 proven
         3000   answered 1
         98000  leg_over 1 normal                     => free 1
         98100  ended 1 normal target talk 95000      => settle 1 normal target 95000 carrier, over

         # In the other order, too.
         0      offer 1 proven
         98100  ended 1 normal target talk 95000      => free 1, settle 1 normal target 95000 carrier, over
         98200  leg_over 1 normal
         98300  answered 1 at 3000

         # Answered and never bridged: a screen was declined.
         0      offer 1 proven
         3000   answered 1
         9000   leg_over 1 normal                     => free 1
         9100   ended 1 rejected target               => settle 1 rejected target - none
         9100   onward                                => attempt 57000

         # The word never comes: what was answered stays unresolved, and unbilled, until it does.
         0      offer 1 proven
         3000   answered 1
         98000  leg_over 1 normal                     => free 1
         103000 tick                                  => expire 1, over
         103000 state                                 => lost until 203000 due never
         150000 call_ended normal caller
         155000 tick
         155000 state                                 => lost until 203000 due never
         160000 ended 1 normal target talk 95000      => settle 1 normal target 95000 carrier, over

         # The word comes without a time: they talked, and nobody knows how long.
         0      offer 1 proven
         98000  ended 1 normal target                 => free 1
         98001  step_over                             => expire 1
         98001  onward                                => finished
         98002  close                                 => over

         # That it was answered got lost: a leg that is completed was.
         0      offer 1 proven
         98000  leg_over 1 normal                     => free 1
         103000 tick                                  => expire 1, over
         160000 ended 1 normal target talk 95000      => settle 1 normal target 95000 carrier, over

         # What was never answered needs no proof.
         0      offer 1 proven
         3000   call_ended cancelled caller           => free 1
         8000   tick                                  => settle 1 cancelled caller - none, over

         0      offer 1 proven
         20000  leg_over 1 no_answer                  => free 1
         25000  tick                                  => settle 1 no_answer unknown - none
         25000  onward                                => attempt 40000",
    );
}

/// A step that was being decided when the exchange went down is asked for again, or the call ends; and nobody loses the time
/// in which nobody could be heard.
#[test]
fn after_a_restart_everybody_has_their_time_again() {
    check(
        "0      offer 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         3100   step_over
         3100   state                                 => open due never
         9000   restart
         9000   state                                 => open due 14000
         14000  tick                                  => over

         # Asked for again in time.
         0      offer 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         3100   step_over
         9000   restart
         9100   step_over
         9100   onward                                => attempt 57000

         # The caller left while it was decided.
         0      offer 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         3100   step_over
         3200   call_ended cancelled caller
         9000   restart                               => over

         # It talks on.
         0      offer 1
         3000   answered 1
         9000   restart
         9000   state                                 => open due 203000

         # What should have been given up or judged meanwhile waits a little for what may be on its way.
         0      offer 1
         60000  restart
         60000  state                                 => open due 65000
         61000  ended 1 normal target talk 50000      => free 1, settle 1 normal target 50000 carrier, over

         0      offer 1
         3000   answered 1
         30000  call_ended normal caller              => free 1
         90000  restart
         90000  state                                 => open due 95000
         90100  ended 1 normal caller talk 26000      => settle 1 normal caller 26000 carrier, over

         # It was over.
         0      offer 1
         3000   ended 1 normal target talk 60000      => free 1, settle 1 normal target 60000 carrier, over
         9000   restart
         9000   state                                 => over due never",
    );
}

/// What one turn of a random life leads to.
fn turn(call: &mut Call, draw: &mut Draw, now: Timestamp) -> Vec<Effect> {
    let number = 1 + draw.below(3) as u32;
    let cause = Cause::ALL[draw.below(Cause::ALL.len() as u64) as usize];
    let ended_by = EndedBy::ALL[draw.below(EndedBy::ALL.len() as u64) as usize];
    let talk_ms = (draw.below(3) == 0).then(|| draw.below(60_000));
    let at = now.before(Duration::from_millis(draw.below(4_000)));
    let told = |kind| CallEvent { attempt: Some(number), at, kind };
    match draw.below(14) {
        0 | 1 => {
            let kind = [Kind::Target, Kind::ProvenTarget, Kind::Terminal][draw.below(3) as usize];
            if call.attempts() < 3 {
                let number = call.attempts() + 1;
                // Some ring with the one before, some are screened.
                let step = if number > 1 && draw.below(2) == 0 { number - 1 } else { number };
                let screened = draw.below(3) == 0;
                call.offer(Rung { step, screened, ..rung(number, kind) }, now);
            }
            Vec::new()
        }
        2 => call.on_event(&told(EventKind::Ringing), now),
        3 | 4 => call.on_event(&told(EventKind::Answered), now),
        5 => call.on_event(&told(EventKind::Bridged), now),
        6 | 7 => call.on_event(&told(EventKind::Ended { cause, ended_by, talk_ms }), now),
        8 => call.on_event(&told(EventKind::LegOver { cause }), now),
        9 => call
            .on_event(&CallEvent { attempt: None, at, kind: EventKind::CallEnded { cause, ended_by } }, now),
        10 => call.on_event(&told(EventKind::Noted), now),
        11 => call.on_step_over(now),
        12 if draw.below(4) == 0 => call.close(now),
        _ => call.on_time(now),
    }
}

/// Cut anywhere, written down and rebuilt, a life goes on as if it had not been cut.
#[test]
fn a_call_that_is_rebuilt_goes_on_as_it_would_have() {
    let (mut settled, mut expired) = (0, 0);
    for seed in 0..400 {
        const TURNS: usize = 30;
        let live = |cut: usize| {
            let (mut draw, mut now) = (Draw::new(seed), Timestamp::from_micros(1_000_000_000));
            let (mut call, mut effects) = (Call::new(RECOVERY), Vec::new());
            for at in 0..TURNS {
                if at == cut {
                    let image = call.image();
                    call = Call::restored(image.clone());
                    assert_eq!(call.image(), image, "seed {seed}, cut at {cut}");
                }
                now = now.after(Duration::from_millis(draw.below(20_000)));
                effects.push((turn(&mut call, &mut draw, now), state(&call), call.onward()));
            }
            (effects, call.image())
        };
        let uncut = live(TURNS);
        for cut in 0..TURNS {
            assert_eq!(live(cut), uncut, "seed {seed}, cut at {cut}");
        }
        let effects = uncut.0.iter().flat_map(|(effects, ..)| effects);
        for effect in effects {
            settled += usize::from(matches!(effect, Effect::Settle { .. }));
            expired += usize::from(matches!(effect, Effect::Expire { .. }));
        }
    }
    assert!(settled > 300 && expired > 100, "the lives are worth it: {settled} settled, {expired} expired");
}

#[test]
fn calls_handed_back() {
    check(
        "
        # The buyer lets go within 15 s: the call goes on however long they talked.
             0 offer 1
          4000 bridged 1
         64000 handed_back 1
         70000 ended 1 normal target talk 66000          => free 1, settle 1 normal target 66000 carrier handed_back
         70000 onward                                    => attempt 56000

        # It keeps the caller: nothing was handed back.
             0 offer 1
          4000 bridged 1
         64000 handed_back 1
         90000 ended 1 normal target talk 86000          => free 1, settle 1 normal target 86000 carrier, over
         90000 onward                                    => finished

        # The caller hangs up: nobody is left to go on with.
             0 offer 1
          4000 bridged 1
         20000 handed_back 1
         22000 ended 1 normal caller talk 18000          => free 1, settle 1 normal caller 18000 carrier handed_back, over
         22000 onward                                    => finished

        # While it rings.
             0 offer 1
          3000 handed_back 1
          4000 ended 1 rejected target                   => free 1, settle 1 rejected target - none handed_back
          4000 onward                                    => attempt 56000

        # The last word counts; after the end it is too late.
             0 offer 1
          4000 bridged 1
         20000 handed_back 1
         40000 handed_back 1
         50000 ended 1 normal target talk 46000          => free 1, settle 1 normal target 46000 carrier handed_back
         51000 handed_back 1
        ",
    );
}
/// Several targets ring at once: the first that has the caller takes the call, the others are over and nobody's fault.
#[test]
fn of_those_that_ring_at_once_one_takes_the_call() {
    check(
        "# The second is bridged: the first is free at once, and what is reported of it later is no news.
         0      offer 1
         0      offer 2 with 1
         0      state                                 => open due 40000
         1000   ringing 1
         1000   ringing 2
         5000   answered 2
         5200   bridged 2                             => void 1
         5300   ended 1 cancelled carrier
         5400   bridged 1 at 5100
         95200  ended 2 normal caller talk 90000      => free 2, settle 2 normal caller 90000 carrier, over
         95300  ended 1 normal caller talk 90000

         # A carrier that only answers: who still rings is cancelled by its own word, which waits for nothing then.
         0      offer 1
         0      offer 2 with 1
         5000   answered 2
         5300   ended 1 cancelled carrier             => void 1
         95000  ended 2 normal caller talk 90000      => free 2, settle 2 normal caller 90000 carrier, over

         # In the other order its slot is free and its unit waits for the word on the other.
         0      offer 1
         0      offer 2 with 1
         5300   ended 1 cancelled carrier             => free 1
         5400   answered 2                            => void 1

         0      offer 1 screened
         0      offer 2 with 1 screened
         5300   ended 1 cancelled carrier             => free 1
         5400   answered 2
         5500   bridged 2                             => void 1

         0      offer 1
         0      offer 2 with 1
         5300   ended 1 cancelled carrier             => free 1
         10300  tick                                  => settle 1 cancelled carrier - none

         # Nobody said who was connected before the talk was over.
         0      offer 1
         0      offer 2 with 1
         95000  ended 2 normal caller talk 90000      => free 2, settle 2 normal caller 90000 carrier, void 1, over

         # Two say they talked: the first to be known stays.
         0      offer 1
         0      offer 2 with 1
         0      offer 3 with 1
         95000  ended 2 normal caller talk 90000      => free 2, settle 2 normal caller 90000 carrier, void 1, void 3, over
         95000  ended 3 normal caller talk 90000

         # Who was busy stays so.
         0      offer 1
         0      offer 2 with 1
         1000   ended 1 busy target                   => free 1, settle 1 busy target - none
         5200   bridged 2
         95200  ended 2 normal caller talk 90000      => free 2, settle 2 normal caller 90000 carrier, over

         # An end that was lost is void when another turns out to have had the caller.
         0      offer 1
         0      offer 2 with 1
         40000  tick                                  => expire 1, expire 2, over
         40000  onward                                => finished
         60000  ended 2 normal target talk 50000      => settle 2 normal target 50000 carrier, void 1, over

         # The caller leaves: nobody's fault, and all are over.
         0      offer 1
         0      offer 2 with 1
         6000   call_ended cancelled caller           => free 1, free 2
         11000  tick                                  => settle 1 cancelled caller - none, settle 2 cancelled caller - none, over

         0      offer 1
         0      offer 2 with 1
         6000   ended 1 cancelled caller              => free 1, settle 1 cancelled caller - none
         6000   ended 2 cancelled caller              => free 2, settle 2 cancelled caller - none, over
         6000   onward                                => finished",
    );
}

#[test]
fn when_nobody_of_those_takes_it_the_call_goes_on() {
    check(
        "# They ring at once: one ring time, and one attempt of those a call may have.
         0      offer 1
         0      offer 2 with 1
         10000  ended 1 no_answer carrier             => free 1, settle 1 no_answer carrier - none
         10000  onward                                => finished
         20000  ended 2 no_answer carrier             => free 2, settle 2 no_answer carrier - none
         20000  onward                                => attempt 40000
         20100  step_over
         20100  offer 3
         22000  ended 3 busy target                   => free 3, settle 3 busy target - none
         22000  offer 4
         23000  ended 4 busy target                   => free 4, settle 4 busy target - none
         23000  offer 5
         23500  ended 5 busy target                   => free 5, settle 5 busy target - none
         23500  onward                                => attempt 36600
         23500  offer 6
         24000  ended 6 busy target                   => free 6, settle 6 busy target - none
         24000  onward                                => terminal

         # One is cancelled by the carrier, and another was busy: it goes on.
         0      offer 1
         0      offer 2 with 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         9000   ended 2 cancelled carrier             => free 2
         9000   step_over                             => settle 2 cancelled carrier - none
         9000   onward                                => attempt 51000

         # Nobody knows what became of one: it may have been a talk.
         0      offer 1
         0      offer 2 with 1
         3000   ended 1 busy target                   => free 1, settle 1 busy target - none
         40000  tick                                  => expire 2, over
         40000  onward                                => finished

         # The one who took it hung up early: the others are not its judges.
         0      offer 1
         0      offer 2 with 1
         3000   bridged 1                             => void 2
         6000   ended 1 normal target                 => free 1, settle 1 normal target 3000 event_times
         6000   onward                                => attempt 57000",
    );
}

/// Whoever picks up has to press a digit first: so a voicemail takes no call.
#[test]
fn of_a_screened_attempt_an_answer_is_no_talk() {
    check(
        "# Voicemail picks up and presses nothing; the other goes on ringing.
         0      offer 1 screened
         0      offer 2 with 1 screened
         4000   answered 1
         24000  ended 1 rejected target               => free 1, settle 1 rejected target - none
         25000  answered 2
         26000  bridged 2
         99000  ended 2 normal caller                 => free 2, settle 2 normal caller 73000 event_times, over

         # The same, in words that an unscreened target would owe for.
         0      offer 1 screened
         4000   answered 1
         99000  ended 1 normal target                 => free 1
         104000 tick                                  => settle 1 normal target - none
         104000 onward                                => attempt 56000

         # While it waits for the digit nobody else is let go of.
         0      offer 1 screened
         0      offer 2 with 1 screened
         4000   answered 1
         5000   ended 2 cancelled carrier             => free 2
         6000   bridged 1                             => void 2",
    );
}

/// A carrier that says once, for all of them, how they ended, and of each leg by itself how that did.
#[test]
fn legs_of_a_proven_step_end_by_their_own_word() {
    check(
        "0      offer 1 proven
         0      offer 2 with 1 proven
         0      offer 3 with 1 proven
         1000   leg_over 1 busy                       => free 1, settle 1 busy unknown - none
         5000   answered 2
         5300   leg_over 3 no_answer                  => void 3
         99000  ended 2 normal caller talk 94000      => free 2, settle 2 normal caller 94000 carrier, over

         # Who pressed has the caller, and nobody else; a talk is proven by the carrier's word only.
         0      offer 1 proven screened
         0      offer 2 with 1 proven screened
         4000   answered 1
         4500   answered 2
         6000   bridged 2                             => void 1
         6100   bridged 1
         99000  leg_over 2 normal                     => free 2
         104000 tick                                  => expire 2, over
         110000 ended 2 normal caller talk 93000      => settle 2 normal caller 93000 carrier, over",
    );
}

/// Of attempts that ring at once every order of reports leads to the same talk, where one of them had the caller; and each is
/// freed once.
#[test]
fn who_had_the_caller_does_not_depend_on_the_order_of_reports() {
    let table = "
        ringing 1 at 900 | answered 2 at 4000 | bridged 2 at 5000 | ended 1 cancelled carrier at 5100 | ended 2 normal caller talk 90000 at 95000 => 2 normal caller 90000 carrier
        bridged 2 at 5000 | ended 2 normal caller talk 90000 at 95000 | call_ended normal caller at 95100 => 2 normal caller 90000 carrier
        ended 1 cancelled carrier at 5100 | ended 2 normal target at 95000 | bridged 2 at 5000 => 2 normal target 90000 event_times";
    for script in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (events, expected) = script.split_once("=>").expect("events => settlement");
        let events: Vec<CallEvent> = events
            .split('|')
            .map(|text| event(&text.split_whitespace().collect::<Vec<_>>(), Timestamp::default()))
            .collect();
        for order in orders(events.len()) {
            let mut call = Call::new(RECOVERY);
            let mut now = Timestamp::default();
            for number in [1, 2] {
                call.offer(Rung { step: 1, ..rung(number, Kind::Target) }, now);
            }
            let mut effects = Vec::new();
            for at in &order {
                now = now.after(Duration::from_millis(10));
                effects.extend(call.on_event(&events[*at], now));
            }
            run_out(&mut call, &mut effects);
            assert_eq!(state(&call), "over due never", "{order:?} of\n{script}");
            let talks =
                effects.iter().filter(|effect| matches!(effect, Effect::Settle { end, .. } if end.connected));
            let talks: Vec<String> =
                talks.map(|one| super::tests::effect(one).replace("settle ", "")).collect();
            assert_eq!(talks, [expected.trim()], "{order:?} of\n{script}");
            for number in [1, 2] {
                let of_it = |effect: &&Effect| match effect {
                    Effect::Void { attempt, .. } | Effect::Settle { attempt, .. } => *attempt == number,
                    Effect::FreeSlots { .. } | Effect::Expire { .. } | Effect::Over => false,
                };
                assert_eq!(effects.iter().filter(of_it).count(), 1, "{order:?} of\n{script}");
            }
        }
    }
}

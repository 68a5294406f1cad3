//! The one vocabulary for how things ended: closed, coded, append-only.
//!
//! Records, metrics labels, API and explain all use these words. A code is never reused and a word never changes; the
//! table below is pinned by a test. What a reason *means for money* is not said here but in `billing`.

use std::fmt;

macro_rules! reasons {
    ($($code:literal $name:ident $text:literal $meaning:literal;)*) => {
        /// Why it ended so. Groups: 0xx states, 1xx not asked, 2xx asked but no valid answer, 3xx answered but not
        /// chosen, 4xx chosen but not delivered, 5xx about the whole call, 6xx about money.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Reason { $(#[doc = $meaning] $name = $code,)* }

        impl Reason {
            /// All of them, in the order of their codes.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The word used everywhere.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }

            /// What it means, in one line.
            pub const fn meaning(self) -> &'static str {
                match self { $(Reason::$name => $meaning,)* }
            }
        }
    };
}

reasons! {
    0 Pending "pending" "Asked, and the outcome is not final yet.";
    1 Won "won" "Took the call.";

    100 Paused "paused" "The target is paused.";
    101 BuyerPaused "buyer_paused" "The target's buyer is paused.";
    102 Closed "closed" "Outside the weekly hours of the target or its buyer.";
    103 Geo "geo" "The caller's place is not one the target takes.";
    104 Tag "tag" "A tag filter of the target does not match.";
    105 Cap "cap" "A daily billable cap has no unit left.";
    106 Concurrency "concurrency" "As many calls in progress as the target or its buyer takes.";
    107 NotReached "not_reached" "An earlier node of the plan took the call.";
    108 NoTime "no_time" "Too little of the deadline was left to ask.";
    109 Overload "overload" "Not asked because the exchange was answering without pings.";
    110 FanOut "fan_out" "The auction already asks as many targets as one auction may.";
    111 Unresponsive "unresponsive" "Missed five pings in a row: only probed now and then, and not waited for.";
    112 Fallback "fallback" "The carrier asked its fallback: only the static answer was given.";
    113 Source "source" "The publisher, campaign, sub-id or dialled number is not one the target takes calls of.";
    114 Attestation "attestation" "What was verified of the caller's number is not enough for the target.";
    115 Anonymous "anonymous" "Whether the caller shows a number is not what the target takes.";
    116 Branch "branch" "The call took another branch of the plan.";
    117 Suppressed "suppressed" "The caller is on a list of callers that the target or its buyer does not want.";
    120 NodeClosed "node_closed" "Outside the hours of the target's node in the plan.";
    121 PlanEnded "plan_ended" "The call's way through the plan ended before the target, at a terminal node.";
    123 NoRow "no_row" "No row of the target's bid table holds, and it has no base bid.";
    125 EarlierAttempts "earlier_attempts" "More targets have failed the call than this one takes over from.";

    200 Timeout "timeout" "No complete reply within deadline and linger.";
    201 Late "late" "The complete reply came after the deadline.";
    202 Connect "connect" "No connection to the endpoint.";
    203 Tls "tls" "The TLS handshake failed.";
    204 Dns "dns" "The endpoint's name had no usable address.";
    205 Disconnected "disconnected" "The endpoint closed the connection before its reply was complete.";
    206 HttpStatus "http_status" "An HTTP status other than 200 and 204.";
    207 Redirect "redirect" "A redirect; redirects are not followed.";
    208 TooLarge "too_large" "Head above 8 KiB or body above 16 KiB.";
    209 Encoding "encoding" "A content encoding nobody asked for.";
    210 Malformed "malformed" "The reply is not what the bid contract says.";
    211 PingMismatch "ping_mismatch" "The reply names another ping.";
    212 AboveMax "above_max" "The bid is above the target's maximum.";
    213 BadTerms "bad_terms" "The reply asks for a longer minimum duration than the target may.";
    214 BadDestination "bad_destination" "The reply names a destination outside the target's allow-list.";
    215 BadCurrency "bad_currency" "The reply is in another currency.";
    216 Throttled "throttled" "The endpoint answered 429.";
    217 Protocol "protocol" "The reply is not HTTP/1.1 as the client accepts it.";
    218 NotNeeded "not_needed" "Outstanding when the auction closed early.";
    219 Interrupted "interrupted" "Asked, and the exchange ended before anything final was known of it.";

    300 NoBid "no_bid" "The buyer does not want the call.";
    301 BelowFloor "below_floor" "Bid below the floor.";
    302 Margin "margin" "Bid below payout plus minimum margin.";
    303 Outbid "outbid" "A better effective score won.";
    304 TieLost "tie_lost" "Equal in score, lost by value, priority or draw.";
    305 LowerTier "lower_tier" "A higher tier won.";
    306 Expired "expired" "The bid had too little of its life left to be handed out.";

    400 HoldLost "hold_lost" "The capacity was gone when it was to be held.";
    401 Busy "busy" "The destination was busy.";
    402 NoAnswer "no_answer" "Nobody answered within the ring time.";
    403 Rejected "rejected" "The destination refused the call.";
    404 Failed "failed" "The call could not be set up.";
    405 CallerAbandon "caller_abandon" "The caller hung up before anybody answered.";
    406 HoldNotDurable "hold_not_durable" "The disk did not take note of the capacity in time, so it was given back.";
    407 OtherAnswered "other_answered" "It rang together with others, and another one took the call.";

    500 UnknownNumber "unknown_number" "Nobody configured the dialled number.";
    501 CampaignPaused "campaign_paused" "The campaign is paused.";
    502 NoTaker "no_taker" "Nobody could take the call: the plan's terminal action.";
    503 Static "static" "A fixed-price target of the static answer took the call.";
    504 InternalError "internal_error" "Something failed inside the exchange; the static answer stood in.";
    505 Test "test" "A test call: never billed, no live target dialled.";
    506 CallerBlocked "caller_blocked" "The caller is on a list of callers that the campaign or publisher does not want.";
    507 CampaignClosed "campaign_closed" "Outside the hours of the campaign.";
    508 PublisherClosed "publisher_closed" "Outside the hours of the publisher.";

    600 Billable "billable" "The buyer owes for the call.";
    601 TooShort "too_short" "Talk time below the minimum duration.";
    602 NotAnswered "not_answered" "Nobody was bridged to the caller.";
    603 Unresolved "unresolved" "The end of the call was never reported: unbilled until resolved.";
    604 NotPayable "not_payable" "The publisher earns nothing: the call is not billable.";
    605 AlreadyBilled "already_billed" "Another attempt of the call is billed: at most one is.";
    607 HandedBack "handed_back" "The buyer handed the call back before it was billable.";
}

impl Reason {
    /// The stable number.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The reason with this code.
    pub fn from_code(code: u16) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// The reason with this word.
    pub fn parse(text: &str) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes and words are in other people's databases: append rows, change none.
    #[test]
    fn codes_and_words_are_pinned() {
        let pinned = "0 pending|1 won|100 paused|101 buyer_paused|102 closed|103 geo|104 tag|105 cap|106 concurrency|\
            107 not_reached|108 no_time|109 overload|110 fan_out|111 unresponsive|112 fallback|113 source|\
            114 attestation|115 anonymous|116 branch|117 suppressed|120 node_closed|121 plan_ended|\
            123 no_row|125 earlier_attempts|200 timeout|201 late|202 connect|203 tls|204 dns|\
            205 disconnected|206 http_status|207 redirect|208 too_large|209 encoding|210 malformed|\
            211 ping_mismatch|212 above_max|213 bad_terms|214 bad_destination|215 bad_currency|\
            216 throttled|217 protocol|218 not_needed|219 interrupted|300 no_bid|301 below_floor|\
            302 margin|303 outbid|304 tie_lost|305 lower_tier|306 expired|400 hold_lost|401 busy|\
            402 no_answer|403 rejected|404 failed|405 caller_abandon|406 hold_not_durable|\
            407 other_answered|500 unknown_number|501 campaign_paused|502 no_taker|503 static|\
            504 internal_error|505 test|506 caller_blocked|507 campaign_closed|508 publisher_closed|\
            600 billable|601 too_short|602 not_answered|603 unresolved|604 not_payable|605 already_billed|\
            607 handed_back";
        let now: Vec<String> = Reason::ALL.iter().map(|r| format!("{} {r}", r.code())).collect();
        assert_eq!(now.join("|"), pinned);
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert!(reason.meaning().ends_with('.'), "{reason} has no meaning");
        }
    }
}

//! The table of rules, in their order. A new rule is a row.
//!
//! Every example has the same market around it: campaign `auto` with plan `main` and a payout of 5.00, publisher `pub`,
//! buyers `acme` and `bolt` in UTC.

use super::{Example, Phase, Rule};
use crate::domain::Reason;

/// A call that most examples try: from Texas, on a Friday at three in the afternoon, UTC.
const CALL: &str = "--to +18005550100 --from +15125550123 --at 2026-11-20T15:00:00Z";

/// One target at a fixed price, with whatever an example adds below it.
macro_rules! desk {
    ($lines:literal) => {
        concat!(
            "[plan.main]\nroot = \"desk\"\nterminal = { hangup = \"busy\" }\n\
             [target.desk]\nbuyer = \"acme\"\naddress = \"+15125550901\"\nprice = \"20.00\"\n",
            $lines
        )
    };
}

/// Two bidders in one auction, with whatever an example adds below the second.
macro_rules! bidders {
    ($node:literal, $lines:literal) => {
        concat!(
            "[plan.main]\nroot = { auction = [\"a\", \"b\"]",
            $node,
            " }\nterminal = { hangup = \"busy\" }\n\
             [target.a]\nbuyer = \"acme\"\naddress = \"+15125550901\"\nendpoint = { url = \"http://127.0.0.1:9/a\" }\n\
             [target.b]\nbuyer = \"bolt\"\naddress = \"+15125550902\"\nendpoint = { url = \"http://127.0.0.1:9/b\" }\n",
            $lines
        )
    };
}

const NOTHING: &[(&str, &str)] = &[];

/// All rules, in the order in which they are held against a call.
pub const RULES: &[Rule] = &[
    Rule {
        phase: Phase::Call,
        name: "the number is ours",
        reason: Reason::UnknownNumber,
        asks: "the dialled number is one of the tracking numbers",
        unit: "",
        configured: "`[[number]]`, `numbers_csv`",
        example: Example {
            catalog: desk!(""),
            call: "--to +18005550199 --from +15125550123",
            recorded: NOTHING,
            verdicts: &[("the call", Reason::UnknownNumber)],
        },
    },
    Rule {
        phase: Phase::Call,
        name: "the campaign is not paused",
        reason: Reason::CampaignPaused,
        asks: "the campaign of the number is not paused",
        unit: "",
        configured: "`paused` of a campaign, `outcry campaign pause`",
        example: Example {
            catalog: desk!("[campaign.auto]\npaused = true\n"),
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("the call", Reason::CampaignPaused), ("desk", Reason::CampaignPaused)],
        },
    },
    Rule {
        phase: Phase::Call,
        name: "blocked callers",
        reason: Reason::CallerBlocked,
        asks: "the caller is on none of the lists that the campaign or the publisher does not want; no number is on no list",
        unit: "",
        configured: "`blocked_callers` of a campaign and of a publisher, `[caller_list.<id>]`, `outcry callers`",
        example: Example {
            catalog: desk!(
                "[caller_list.dnc]\nnote = \"Do not call\"\n[campaign.auto]\nblocked_callers = [\"dnc\"]\n"
            ),
            call: "--to +18005550100 --from +15125550123 --on-list dnc --at 2026-11-20T15:00:00Z",
            recorded: NOTHING,
            verdicts: &[("the call", Reason::CallerBlocked), ("desk", Reason::CallerBlocked)],
        },
    },
    Rule {
        phase: Phase::Call,
        name: "hours of the campaign",
        reason: Reason::CampaignClosed,
        asks: "the clock of the campaign's zone shows its hours when the call comes; a call that was taken goes on after them",
        unit: "minutes, the end not included",
        configured: "`hours` and `zone` of a campaign",
        example: Example {
            catalog: desk!(
                "[campaign.auto]\nhours = [\"mon-fri 09:00-10:00\"]\nzone = \"America/Chicago\"\n"
            ),
            call: "--to +18005550100 --from +15125550123 --at 2026-11-20T16:00:00Z",
            recorded: NOTHING,
            verdicts: &[("the call", Reason::CampaignClosed), ("desk", Reason::CampaignClosed)],
        },
    },
    Rule {
        phase: Phase::Call,
        name: "hours of the publisher",
        reason: Reason::PublisherClosed,
        asks: "the clock of the publisher's zone shows its hours when the call comes; a call that was taken goes on after them",
        unit: "minutes, the end not included",
        configured: "`hours` of a publisher",
        example: Example {
            catalog: desk!("[publisher.pub]\nhours = [\"daily 00:00-24:00\", \"2026-11-20 closed\"]\n"),
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("the call", Reason::PublisherClosed), ("desk", Reason::PublisherClosed)],
        },
    },
    Rule {
        phase: Phase::Plan,
        name: "branch",
        reason: Reason::Branch,
        asks: "the target stands in the first branch whose conditions hold, or in none",
        unit: "",
        configured: "`{ first_match = [{ when = […], node = … }] }` in a plan",
        example: Example {
            catalog: "[plan.main]\nroot = { first_match = [{ when = [{ state = [\"OK\"] }], node = \"desk\" }, { node = \"other\" }] }\n\
                      terminal = { hangup = \"busy\" }\n\
                      [target.desk]\nbuyer = \"acme\"\naddress = \"+15125550901\"\nprice = \"20.00\"\n\
                      [target.other]\nbuyer = \"bolt\"\naddress = \"+15125550902\"\nprice = \"10.00\"\n",
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Branch), ("other", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Plan,
        name: "hours of a node",
        reason: Reason::NodeClosed,
        asks: "the clock of the node's zone shows its hours; else it is as if the node were not there",
        unit: "minutes, the end not included",
        configured: "`hours` and `zone` of a node in a plan",
        example: Example {
            catalog: "[plan.main]\nroot = { sequential = [{ sequential = [\"desk\"], hours = [\"mon-fri 18:00-22:00\"], zone = \"UTC\" }, \"other\"] }\n\
                      terminal = { hangup = \"busy\" }\n\
                      [target.desk]\nbuyer = \"acme\"\naddress = \"+15125550901\"\nprice = \"20.00\"\n\
                      [target.other]\nbuyer = \"bolt\"\naddress = \"+15125550902\"\nprice = \"10.00\"\n",
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::NodeClosed), ("other", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Plan,
        name: "end of the way",
        reason: Reason::PlanEnded,
        asks: "the call's way through the plan did not end before the target, in an action that stands for its terminal",
        unit: "",
        configured: "`{ dial voicemail message hangup }` as a node of a plan",
        example: Example {
            catalog: "[plan.main]\nroot = { sequential = [\"desk\", { hangup = \"rejected\", hours = [\"mon-fri 14:00-16:00\"], zone = \"UTC\" }, \"other\"] }\n\
                      terminal = { hangup = \"busy\" }\n\
                      [target.desk]\nbuyer = \"acme\"\naddress = \"+15125550901\"\nprice = \"20.00\"\n\
                      [target.other]\nbuyer = \"bolt\"\naddress = \"+15125550902\"\nprice = \"10.00\"\n",
            call: CALL,
            recorded: &[("desk", "cap")],
            verdicts: &[("desk", Reason::Cap), ("other", Reason::PlanEnded)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "the target is not paused",
        reason: Reason::Paused,
        asks: "the target is not paused",
        unit: "",
        configured: "`paused` of a target, `outcry buyer pause --target`",
        example: Example {
            catalog: desk!("paused = true\n"),
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Paused)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "the buyer is not paused",
        reason: Reason::BuyerPaused,
        asks: "the target's buyer is not paused",
        unit: "",
        configured: "`paused` of a buyer, `outcry buyer pause`",
        example: Example {
            catalog: desk!("[buyer.acme]\npaused = true\n"),
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::BuyerPaused)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "suppressed callers",
        reason: Reason::Suppressed,
        asks: "the caller is on none of the lists that the target or its buyer does not want; no number is on no list",
        unit: "",
        configured: "`suppressed_callers` of a buyer and of a target, `[caller_list.<id>]`, `outcry callers`",
        example: Example {
            catalog: desk!("suppressed_callers = [\"dnc\"]\n[caller_list.dnc]\nnote = \"Do not call\"\n"),
            call: "--to +18005550100 --from +15125550123 --on-list dnc --at 2026-11-20T15:00:00Z",
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Suppressed)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "hours",
        reason: Reason::Closed,
        asks: "the clock of the buyer's zone shows hours of the buyer and of the target; a date of its own is ruled by what is said of it alone",
        unit: "minutes, the end not included",
        configured: "`hours` of a buyer and of a target",
        example: Example {
            catalog: desk!("hours = [\"mon-fri 09:00-15:00\"]\n"),
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Closed)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "earlier attempts",
        reason: Reason::EarlierAttempts,
        asks: "no more attempts of the call came to nothing than the target takes over from",
        unit: "attempts",
        configured: "`earlier_attempts` of a target",
        example: Example {
            catalog: desk!("earlier_attempts = 1\n"),
            call: CALL,
            recorded: &[("earlier attempts", "2")],
            verdicts: &[("desk", Reason::EarlierAttempts)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "place",
        reason: Reason::Geo,
        asks: "the caller's state, country, area code or ZIP is one of those named, or its ZIP lies so near; for the place what the caller gave to an IVR comes first, then the word of the publisher, of the carrier, of the area code",
        unit: "miles along the earth between the middles of two ZIPs",
        configured: "`filters` of a target: `state country area_code zip near`",
        example: Example {
            catalog: desk!("filters = [{ state = [\"OK\", \"NM\"] }]\n"),
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Geo)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "source",
        reason: Reason::Source,
        asks: "publisher, campaign, sub-id or dialled number is one of those named",
        unit: "letter by letter, or a beginning where it ends in `*`",
        configured: "`filters` of a target: `publisher campaign sub_id number`",
        example: Example {
            catalog: desk!("filters = [{ not = { sub_id = [\"fb-*\"] } }]\n"),
            call: "--to +18005550100 --from +15125550123 --sub-id fb-77",
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Source)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "hours of a filter",
        reason: Reason::Closed,
        asks: "the clock of the named zone, else of the buyer's, shows one of the hours",
        unit: "minutes, the end not included",
        configured: "`filters` of a target: `hours`",
        example: Example {
            catalog: desk!("filters = [{ hours = [\"daily 08:00-09:00\"], zone = \"America/Chicago\" }]\n"),
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Closed)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "attestation",
        reason: Reason::Attestation,
        asks: "the attestation that is claimed for the caller's number is one of those named; one that failed verification is none",
        unit: "`A B C`, or `none`",
        configured: "`filters` of a target: `stir`",
        example: Example {
            catalog: desk!("filters = [{ stir = [\"A\", \"B\"] }]\n"),
            call: "--to +18005550100 --from +15125550123 --stir C",
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Attestation)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "verified attestation",
        reason: Reason::Attestation,
        asks: "verification of the attestation came to one of those named",
        unit: "`passed`, `failed`, or `unverified`: nobody looked",
        configured: "`filters` of a target: `stir_verified`",
        example: Example {
            catalog: desk!("filters = [{ stir = [\"A\"] }, { stir_verified = [\"passed\"] }]\n"),
            call: "--to +18005550100 --from +15125550123 --stir A --stir-verified unverified",
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Attestation)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "anonymous callers",
        reason: Reason::Anonymous,
        asks: "the caller shows a valid number, or does not",
        unit: "",
        configured: "`filters` of a target: `anonymous`",
        example: Example {
            catalog: desk!("filters = [{ anonymous = false }]\n"),
            call: "--to +18005550100 --withheld",
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Anonymous)],
        },
    },
    Rule {
        phase: Phase::Screen,
        name: "tags",
        reason: Reason::Tag,
        asks: "a tag of the call is as the filter says; one that is not there is equal to nothing, and one that is no number is neither above nor below one",
        unit: "letter by letter, or numbers to six decimals",
        configured: "`filters` of a target: `tag`, `op` (`= != in not_in < > between exists matches prefix`), `value`",
        example: Example {
            catalog: desk!("filters = [{ tag = \"age\", op = \">\", value = 64 }]\n"),
            call: "--to +18005550100 --from +15125550123 --tag age=64",
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Tag)],
        },
    },
    Rule {
        phase: Phase::Capacity,
        name: "daily cap",
        reason: Reason::Cap,
        asks: "the target and its buyer have a unit left of the billable calls of this day in the buyer's zone, calls in progress counted",
        unit: "calls",
        configured: "`daily_billable` of a buyer and of a target",
        example: Example {
            catalog: desk!("daily_billable = 10\n"),
            call: CALL,
            recorded: &[("desk", "cap")],
            verdicts: &[("desk", Reason::Cap)],
        },
    },
    Rule {
        phase: Phase::Capacity,
        name: "concurrency",
        reason: Reason::Concurrency,
        asks: "fewer calls are in progress than the target and its buyer take",
        unit: "calls held, ringing or talking",
        configured: "`concurrency` of a buyer and of a target",
        example: Example {
            catalog: desk!("concurrency = 1\n"),
            call: CALL,
            recorded: &[("desk", "concurrency")],
            verdicts: &[("desk", Reason::Concurrency)],
        },
    },
    Rule {
        phase: Phase::Plan,
        name: "order of the plan",
        reason: Reason::NotReached,
        asks: "no node that comes before in the walk found a taker",
        unit: "",
        configured: "the order of a plan's nodes; weighted ones are drawn by the seed of the call",
        example: Example {
            catalog: "[plan.main]\nroot = { sequential = [\"desk\", \"other\"] }\nterminal = { hangup = \"busy\" }\n\
                      [target.desk]\nbuyer = \"acme\"\naddress = \"+15125550901\"\nprice = \"20.00\"\n\
                      [target.other]\nbuyer = \"bolt\"\naddress = \"+15125550902\"\nprice = \"30.00\"\n",
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::Won), ("other", Reason::NotReached)],
        },
    },
    Rule {
        phase: Phase::Plan,
        name: "round robin",
        reason: Reason::NotReached,
        asks: "no child that comes before found a taker; from call to call another child comes first",
        unit: "",
        configured: "`{ round_robin = [node, …] }` in a plan",
        example: Example {
            catalog: "[plan.main]\nroot = { round_robin = [\"desk\", \"other\"] }\n\
                      terminal = { hangup = \"busy\" }\n\
                      [target.desk]\nbuyer = \"acme\"\naddress = \"+15125550901\"\nprice = \"20.00\"\n\
                      [target.other]\nbuyer = \"bolt\"\naddress = \"+15125550902\"\nprice = \"10.00\"\n",
            call: CALL,
            recorded: &[("turn of the node", "1")],
            verdicts: &[("desk", Reason::NotReached), ("other", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Ask,
        name: "time to ask",
        reason: Reason::NoTime,
        asks: "enough of the deadline is left for an answer",
        unit: "milliseconds",
        configured: "`deadline_ms` of a campaign, `ceiling_ms` of a carrier",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "no_time"), ("b", "no_time")],
            verdicts: &[("a", Reason::NoTime), ("b", Reason::NoTime)],
        },
    },
    Rule {
        phase: Phase::Ask,
        name: "room to ask",
        reason: Reason::Overload,
        asks: "the exchange has room for one more decision with pings, and is not late",
        unit: "decisions; milliseconds",
        configured: "`limits.decisions` and `limits.auction_delay_ms` of the settings",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "overload"), ("b", "overload")],
            verdicts: &[("a", Reason::Overload), ("b", Reason::Overload)],
        },
    },
    Rule {
        phase: Phase::Ask,
        name: "the carrier waits",
        reason: Reason::Fallback,
        asks: "the carrier did not ask its fallback, for which our last answer was of no use",
        unit: "",
        configured: "",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "fallback"), ("b", "fallback")],
            verdicts: &[("a", Reason::Fallback), ("b", Reason::Fallback)],
        },
    },
    Rule {
        phase: Phase::Ask,
        name: "it answers pings",
        reason: Reason::Unresponsive,
        asks: "the endpoint did not miss its last five pings, or a probe is due",
        unit: "pings in a row",
        configured: "",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "unresponsive"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::Unresponsive), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Ask,
        name: "fan-out",
        reason: Reason::FanOut,
        asks: "fewer members of the auction with a better tier and priority are asked than may be",
        unit: "targets",
        configured: "`limits.auction_fan_out` of the settings",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "bid 20.00"), ("b", "fan_out")],
            verdicts: &[("a", Reason::Won), ("b", Reason::FanOut)],
        },
    },
    Rule {
        phase: Phase::Reply,
        name: "it bids",
        reason: Reason::NoBid,
        asks: "the buyer's answer is a bid",
        unit: "",
        configured: "the buyer's own endpoint",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "no_bid"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::NoBid), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Price,
        name: "bid table",
        reason: Reason::NoRow,
        asks: "a row of the target's table holds, the first that does is its bid, or there is a base bid",
        unit: "money",
        configured: "`bids` of a target: `base rows csv`",
        example: Example {
            catalog: "[plan.main]\nroot = { auction = [\"desk\", \"other\"] }\nterminal = { hangup = \"busy\" }\n\
                      [target.desk]\nbuyer = \"acme\"\naddress = \"+15125550901\"\n\
                      bids = { rows = [{ when = [{ state = [\"OK\"] }], bid = \"30.00\" }] }\n\
                      [target.other]\nbuyer = \"bolt\"\naddress = \"+15125550902\"\n\
                      bids = { base = \"10.00\", rows = [{ when = [{ state = [\"TX\"] }], bid = \"20.00\" }] }\n",
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::NoRow), ("other", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Price,
        name: "floor",
        reason: Reason::BelowFloor,
        asks: "the price reaches the highest of the floors of campaign, publisher, node and target; the floor itself does",
        unit: "money",
        configured: "`floor` of a campaign, of an auction node, of a target; those of publishers below",
        example: Example {
            catalog: bidders!(", floor = \"20.00\"", ""),
            call: CALL,
            recorded: &[("a", "bid 19.99"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::BelowFloor), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Price,
        name: "floors of publishers and rows",
        reason: Reason::BelowFloor,
        asks: "the price reaches the floor of the publisher, and of the first row of the campaign's floors whose conditions hold: of all floors the highest counts",
        unit: "money",
        configured: "`floors` of a campaign, `floor` and `floors` of a publisher",
        example: Example {
            catalog: bidders!(
                "",
                "[campaign.auto]\nfloor = \"10.00\"\nfloors = [{ when = [{ state = [\"TX\"] }], floor = \"20.00\" }]\n"
            ),
            call: CALL,
            recorded: &[("a", "bid 19.99"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::BelowFloor), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Price,
        name: "price and floor of a range",
        reason: Reason::BelowFloor,
        asks: "in the hours of a range the price reaches the floor that the range has, and a fixed price is that of the range",
        unit: "money",
        configured: "`ranges` of a target: `hours price floor`",
        example: Example {
            catalog: desk!(
                "ranges = [{ hours = [\"mon-fri 14:00-16:00\"], price = \"12.00\", floor = \"12.50\" }]\n"
            ),
            call: CALL,
            recorded: NOTHING,
            verdicts: &[("desk", Reason::BelowFloor)],
        },
    },
    Rule {
        phase: Phase::Price,
        name: "margin",
        reason: Reason::Margin,
        asks: "the price leaves the least margin after the payout",
        unit: "money",
        configured: "`min_margin` and `payout` of a campaign, unless `negative_margin = \"allow_and_flag\"`",
        example: Example {
            catalog: bidders!("", "[campaign.auto]\nmin_margin = \"2.00\"\n"),
            call: CALL,
            recorded: &[("a", "bid 6.99"), ("b", "bid 7.00")],
            verdicts: &[("a", Reason::Margin), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Price,
        name: "margin in percent",
        reason: Reason::Margin,
        asks: "of the price, so much in percent is left after the payout; with an amount too, the stricter counts",
        unit: "percent of the price",
        configured: "`min_margin` of a campaign, as `\"25%\"` or `{ amount, percent }`",
        example: Example {
            catalog: bidders!("", "[campaign.auto]\nmin_margin = { amount = \"1.00\", percent = \"50%\" }\n"),
            call: CALL,
            recorded: &[("a", "bid 9.99"), ("b", "bid 10.00")],
            verdicts: &[("a", Reason::Margin), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Price,
        name: "life of a bid",
        reason: Reason::Expired,
        asks: "the bid lives long enough to be handed out",
        unit: "seconds",
        configured: "`bid_ttl_s` of an endpoint, `ttl_s` of a reply, `calls.dial_guard_s` of the settings",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "expired 30.00"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::Expired), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Rank,
        name: "tier",
        reason: Reason::LowerTier,
        asks: "nobody of a better tier takes the call, unless the price reaches the node's takeover",
        unit: "1 is the best",
        configured: "`tier` of a target, `takeover` of an auction node",
        example: Example {
            catalog: bidders!(", takeover = \"50.00\"", "tier = 2\n"),
            call: CALL,
            recorded: &[("a", "bid 20.00"), ("b", "bid 49.99")],
            verdicts: &[("a", Reason::Won), ("b", Reason::LowerTier)],
        },
    },
    Rule {
        phase: Phase::Rank,
        name: "effective score",
        reason: Reason::Outbid,
        asks: "nobody of the same tier has a better price times multiplier",
        unit: "money times percent; the price itself stays as it is",
        configured: "`multiplier` of a target",
        example: Example {
            catalog: bidders!("", "multiplier = \"150%\"\n"),
            call: CALL,
            recorded: &[("a", "bid 29.99"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::Outbid), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Rank,
        name: "second price",
        reason: Reason::Outbid,
        asks: "who comes first pays what reaches the score of the next one, cut to the step of money, at least the floors and the margin, at most its own bid; who comes first does not depend on it",
        unit: "money",
        configured: "`pricing` of a campaign: `first` or `second`",
        example: Example {
            catalog: bidders!("", "[campaign.auto]\npricing = \"second\"\n"),
            call: CALL,
            recorded: &[("a", "bid 30.00"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::Won), ("b", Reason::Outbid)],
        },
    },
    Rule {
        phase: Phase::Rank,
        name: "value, priority, draw",
        reason: Reason::TieLost,
        asks: "of equal scores the higher price comes first, then the lower priority, then a draw by weight from the recorded seed, then the id",
        unit: "",
        configured: "`priority` and `weight` of a target",
        example: Example {
            catalog: bidders!("", "priority = 50\n"),
            call: CALL,
            recorded: &[("a", "bid 20.00"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::TieLost), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Hold,
        name: "capacity is held",
        reason: Reason::HoldLost,
        asks: "every cap still has a unit when the call is handed out; else the next one is tried",
        unit: "calls",
        configured: "`concurrency` and `daily_billable`",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "hold_lost 30.00"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::HoldLost), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Hold,
        name: "the hold is durable",
        reason: Reason::HoldNotDurable,
        asks: "the journal has taken the unit of a strict cap in time",
        unit: "milliseconds",
        configured: "`journal.hold_durability` and `journal.hold_ack_ms` of the settings",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "hold_not_durable 30.00"), ("b", "bid 20.00")],
            verdicts: &[("a", Reason::HoldNotDurable), ("b", Reason::Won)],
        },
    },
    Rule {
        phase: Phase::Hold,
        name: "somebody takes it",
        reason: Reason::NoTaker,
        asks: "some target could be handed the call; else the plan's terminal action",
        unit: "",
        configured: "`terminal` of a plan",
        example: Example {
            catalog: bidders!("", ""),
            call: CALL,
            recorded: &[("a", "no_bid"), ("b", "timeout")],
            verdicts: &[("the call", Reason::NoTaker), ("a", Reason::NoBid), ("b", Reason::Timeout)],
        },
    },
];

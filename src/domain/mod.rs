//! The words of the field as plain data. No I/O, no serde, no clock; everybody may import it.
//!
//! | word | what it is |
//! |---|---|
//! | campaign | one vertical's calls, with one plan |
//! | publisher | who sends calls to tracking numbers |
//! | buyer, target | the company; one destination of it, at a fixed price or with a bid endpoint |
//! | plan | the ring tree: nodes, each with a strategy |
//! | ping, reply, bid | our question to one target; its answer; an answer with a price |
//! | decision, step | the answer a carrier gets; its number within the call |
//! | hold | capacity held for one attempt: `held`, then `posted`, `voided` or `expired`, once |
//! | call, leg, attempt | the caller's call; the carrier's channel; one try at one target |
//! | billable, payable | the buyer owes; the publisher earns |
//! | revenue, payout, margin | buyer to us; us to publisher; what is left |
//! | reason | why it ended so, from a closed list |

pub mod area_codes;
pub mod bid_table;
pub mod caller;
pub mod caller_list;
pub mod catalog;
pub mod change;
pub mod country;
pub mod draw;
pub mod filter;
pub mod id;
pub mod money;
pub mod outcome;
pub mod plan;
pub mod price;
pub mod reason;
pub mod schedule;
pub mod state;
pub mod stir;
pub mod time;
pub mod time_range;
pub mod zip;

pub use caller::{Address, E164, SetBy, Tag, TagValue, Tags, Tail};
pub use caller_list::CallerList;
pub use catalog::{
    Buyer, BuyerIx, CallerListIx, Campaign, CampaignIx, Carrier, CarrierIx, Catalog, Payout, Publisher,
    PublisherIx, Target, TargetIx, TrackingNumber,
};
pub use filter::Filter;
pub use id::{
    BuyerId, CallId, CallerListId, CampaignId, CarrierId, GroupId, HoldId, PingId, PlanId, PublisherId,
    TargetId,
};
pub use money::{Bps, Money};
pub use outcome::{AttemptEnd, Cause, EndCounts, EndedBy, TalkSource};
pub use plan::{HangupCause, Node, Plan, Terminal};
pub use price::{AfterFailure, Floor, FloorOf, FloorRow, Margin, PriceRule};
pub use reason::Reason;
pub use schedule::{Hours, Window, Zone};
pub use stir::Verified;
pub use time::Timestamp;

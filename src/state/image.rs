//! A call as it lives on, written down: plain values from which it is rebuilt after a restart. How they become bytes is
//! in `records`.
//!
//! An image has what the next steps of the call need, the caller's number included: it is state, never a report.
//! `Rest` is a plain value and its own image. What is armed for a call and who waits for it ends with the process.

use std::sync::Arc;

use super::calls::{Answer, CallKey};
use super::live::{Course, Live, Offered, Open, Taker};
use super::rest::Rest;
use crate::billing::{Settlement, Terms};
use crate::call::Call;
use crate::call::image::CallImage;
use crate::capacity::hold::{Hold, HoldImage};
use crate::carrier::CarrierReply;
use crate::domain::{
    AttemptEnd, BuyerId, CallId, CampaignId, EndCounts, PublisherId, Reason, Tail, TargetId, Timestamp,
};

/// Everything a [`Live`] of which something may still come knows, but for the answers that were given, which are written
/// down one by one. Of one that is settled the last image before is all there will be.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveImage {
    /// Its id.
    pub id: CallId,
    /// Its key.
    pub key: Arc<CallKey>,
    /// Its arrival.
    pub at: Timestamp,
    /// Its campaign.
    pub campaign: Option<CampaignId>,
    /// Its publisher.
    pub publisher: Option<PublisherId>,
    /// How foreign text that spells its caller's number is known.
    pub caller: Option<Tail>,
    /// Never billed, in no count.
    pub test: bool,
    /// What its URLs carry.
    pub token: u128,
    /// Its carrier signs what it sends.
    pub signed: bool,
    /// The state machine.
    pub call: CallImage,
    /// Its attempts.
    pub offered: Vec<OfferedImage>,
    /// What further steps are taken by.
    pub rest: Option<Arc<Rest>>,
    /// The last answer was a goodbye.
    pub said_goodbye: bool,
    /// When it was over.
    pub over_since: Option<Timestamp>,
    /// What its end counts for so far.
    pub counted: Option<EndCounts>,
}

/// An attempt that was handed out, as [`Offered`].
#[derive(Clone, Debug, PartialEq)]
pub struct OfferedImage {
    /// Its number.
    pub attempt: u32,
    /// The step that handed it out.
    pub step: u32,
    /// When.
    pub at: Timestamp,
    /// What the answer rested on.
    pub basis: &'static str,
    /// Why.
    pub why: Reason,
    /// Digest of the catalog it was handed out by.
    pub catalog: Arc<str>,
    /// Who takes it.
    pub taker: Option<TakerImage>,
    /// How it ended, and what that is worth to its taker.
    pub end: Option<(AttemptEnd, Option<Settlement>)>,
    /// The carrier's name of its leg.
    pub leg: Option<String>,
}

/// A target that was given a call, as [`Taker`].
#[derive(Clone, Debug, PartialEq)]
pub struct TakerImage {
    /// The target.
    pub target: TargetId,
    /// Its buyer.
    pub buyer: BuyerId,
    /// Terms frozen when it was handed out.
    pub terms: Terms,
    /// Its capacity.
    pub hold: HoldImage,
}

/// An answer that was given, with what its bytes are made of again.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerImage {
    /// What the carrier was told: of which call and step it says itself.
    pub reply: CarrierReply,
    /// What the URLs in it begin with.
    pub base: Arc<str>,
    /// What the request was about.
    pub about: u64,
}

impl AnswerImage {
    /// The answer, written down.
    pub fn of(answer: &Answer) -> AnswerImage {
        AnswerImage { reply: answer.reply.clone(), base: Arc::clone(&answer.base), about: answer.about }
    }

    /// The answer that was given.
    pub fn restored(self) -> Answer {
        Answer { reply: self.reply, base: self.base, about: self.about }
    }
}

impl Live {
    /// The call as it is now, while something may still come of it. A step that is being decided is not in it.
    pub fn image(&self) -> Option<LiveImage> {
        let open = self.open()?;
        Some(LiveImage {
            id: self.id,
            key: Arc::clone(&self.key),
            at: open.at,
            campaign: self.campaign.clone(),
            publisher: open.publisher.clone(),
            caller: self.caller,
            test: open.test,
            token: self.token,
            signed: self.signed,
            call: open.call.image(),
            offered: open.offered.iter().map(offered_image).collect(),
            rest: open.rest.clone(),
            said_goodbye: self.said_goodbye,
            over_since: self.over_since,
            counted: open.counted,
        })
    }

    /// The call as it was, without answers, and with nothing armed for it.
    pub fn restored(image: LiveImage) -> Live {
        let open = Open {
            at: image.at,
            publisher: image.publisher,
            test: image.test,
            call: Call::restored(image.call),
            offered: image.offered.into_iter().map(offered).collect(),
            rest: image.rest,
            counted: image.counted,
        };
        Live {
            id: image.id,
            key: image.key,
            campaign: image.campaign,
            caller: image.caller,
            token: image.token,
            signed: image.signed,
            course: Course::Open(Box::new(open)),
            steps: Vec::new(),
            said_goodbye: image.said_goodbye,
            over_since: image.over_since,
            looked_at: None,
        }
    }
}

fn offered_image(offered: &Offered) -> OfferedImage {
    OfferedImage {
        attempt: offered.attempt,
        step: offered.step,
        at: offered.at,
        basis: offered.basis,
        why: offered.why,
        catalog: Arc::clone(&offered.catalog),
        taker: offered.taker.as_ref().map(|taker| TakerImage {
            target: taker.target.clone(),
            buyer: taker.buyer.clone(),
            terms: taker.terms,
            hold: taker.hold.image(),
        }),
        end: offered.end,
        leg: offered.leg.clone(),
    }
}

fn offered(image: OfferedImage) -> Offered {
    Offered {
        attempt: image.attempt,
        step: image.step,
        at: image.at,
        basis: image.basis,
        why: image.why,
        catalog: image.catalog,
        taker: image.taker.map(|taker| Taker {
            target: taker.target,
            buyer: taker.buyer,
            terms: taker.terms,
            hold: Hold::restored(taker.hold),
        }),
        end: image.end,
        leg: image.leg,
    }
}

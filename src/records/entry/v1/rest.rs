//! What the next steps of a call are taken by, and answers that were given, in version 1: the carrier's request, offers
//! that stand, the rest of the walk, and what the carrier was told.

use serde::{Deserialize, Serialize};

use super::state::tail;
use super::words::{
    AddressV1, BASIS, Coded, PayoutV1, ROLE, SpanV1, at, buyer, money, number, reason, target,
};
use super::{DecodeError, Id, id};
use crate::auction::Offer;
use crate::auction::rank::Ranked;
use crate::carrier::{Action, CallerLeg, CarrierReply, CarrierRequest, DialTarget};
use crate::domain::caller::Tag;
use crate::domain::{
    CallId, E164, HangupCause, Money, PlanId, SetBy, TagValue, Tags, Tail, TargetId, Terminal, Timestamp,
    Verified,
};
use crate::state::image::AnswerImage;
use crate::state::rest::{Ahead, AuctionAhead, Rest, Standing, TogetherAhead};

#[derive(Serialize, Deserialize)]
pub(super) struct RestV1<'a> {
    #[serde(borrow)]
    request: RequestV1<'a>,
    plan: &'a str,
    terminal: TerminalV1<'a>,
    payout: Option<PayoutV1>,
    seed: u64,
    standing: Vec<StandingV1<'a>>,
    walk: Vec<(u64, AheadV1<'a>)>,
    rings: Vec<(&'a str, SpanV1)>,
}

#[derive(Serialize, Deserialize)]
struct RequestV1<'a> {
    carrier_call_id: &'a str,
    #[serde(borrow)]
    to: AddressV1<'a>,
    from: Option<u64>,
    withheld: bool,
    tail: Option<[u8; 7]>,
    sub_id: Option<&'a str>,
    state: Option<&'a str>,
    zip: Option<&'a str>,
    stir: Option<&'a str>,
    consent: bool,
    test: bool,
    caller: u8,
    tags: Vec<TagV1<'a>>,
    /// Whether the attestation was found to hold, where somebody looked.
    stir_verified: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct TagV1<'a> {
    key: &'a str,
    #[serde(borrow)]
    value: TagValueV1<'a>,
    set_by: u8,
}

#[derive(Serialize, Deserialize)]
enum TagValueV1<'a> {
    Text(&'a str),
    Number(&'a str),
    Bool(bool),
}

#[derive(Serialize, Deserialize)]
enum TerminalV1<'a> {
    #[serde(borrow)]
    Dial(AddressV1<'a>),
    Voicemail(&'a str),
    Message(&'a str),
    Hangup(u8),
}

#[derive(Serialize, Deserialize)]
struct StandingV1<'a> {
    target: &'a str,
    buyer: &'a str,
    entrant: u64,
    price: i64,
    min_duration: SpanV1,
    #[serde(borrow)]
    destination: Option<AddressV1<'a>>,
    expires: Option<i64>,
    tier: u8,
    score: i128,
    basis: &'a str,
    pays: i64,
}

#[derive(Serialize, Deserialize)]
enum AheadV1<'a> {
    Dial(&'a str),
    Auction {
        #[serde(borrow)]
        members: Vec<&'a str>,
        floor: i64,
        takeover: Option<i64>,
        timeout: Option<SpanV1>,
    },
    Together {
        #[serde(borrow)]
        members: Vec<&'a str>,
        screen: bool,
    },
}

/// All but the call and the step, which stand before it.
#[derive(Serialize, Deserialize)]
pub(super) struct AnswerV1<'a> {
    #[serde(borrow)]
    action: ActionV1<'a>,
    basis: &'a str,
    reason: u16,
    valid_until: i64,
    max_talk_s: u64,
    caller: u8,
    token: Option<Id>,
    decided_us: u64,
    base: &'a str,
    about: u64,
}

#[derive(Serialize, Deserialize)]
enum ActionV1<'a> {
    #[serde(borrow)]
    Dial(DialV1<'a>),
    Voicemail(&'a str),
    Message(&'a str),
    Hangup(u8),
    DialAll(Vec<DialV1<'a>>),
}

#[derive(Serialize, Deserialize)]
struct DialV1<'a> {
    attempt: u32,
    #[serde(borrow)]
    address: AddressV1<'a>,
    role: &'a str,
    ring_s: u64,
    caller_id: Option<u64>,
    screen: bool,
}

impl<'a> RestV1<'a> {
    pub(super) fn of(rest: &'a Rest) -> RestV1<'a> {
        RestV1 {
            request: RequestV1::of(&rest.request),
            plan: rest.plan.as_str(),
            terminal: TerminalV1::of(&rest.terminal),
            payout: rest.payout.as_ref().map(PayoutV1::of),
            seed: rest.seed,
            standing: rest.standing.iter().map(StandingV1::of).collect(),
            walk: rest.walk.iter().map(|(place, ahead)| (*place as u64, AheadV1::of(ahead))).collect(),
            rings: rest.rings.iter().map(|(id, ring)| (id.as_str(), SpanV1::of(*ring))).collect(),
        }
    }

    pub(super) fn read(self) -> Result<Rest, DecodeError> {
        let ahead = |(place, ahead): (u64, AheadV1<'_>)| Ok((place as usize, ahead.read()?));
        let ring = |(id, ring): (&str, SpanV1)| Ok((target(id)?, ring.read()?));
        Ok(Rest {
            request: self.request.read()?.into(),
            plan: PlanId::parse(self.plan).map_err(|_| DecodeError::Invalid { what: "the id of a plan" })?,
            terminal: self.terminal.read()?,
            payout: self.payout.map(PayoutV1::read),
            seed: self.seed,
            standing: self.standing.into_iter().map(StandingV1::read).collect::<Result<_, _>>()?,
            walk: self.walk.into_iter().map(ahead).collect::<Result<_, DecodeError>>()?,
            rings: self.rings.into_iter().map(ring).collect::<Result<_, DecodeError>>()?,
        })
    }
}

impl<'a> RequestV1<'a> {
    fn of(request: &'a CarrierRequest) -> RequestV1<'a> {
        RequestV1 {
            carrier_call_id: &request.carrier_call_id,
            to: AddressV1::of(&request.to),
            from: request.from.map(E164::digits),
            withheld: request.withheld,
            tail: request.tail.map(Tail::digits),
            sub_id: request.sub_id.as_deref(),
            state: request.state.as_deref(),
            zip: request.zip.as_deref(),
            stir: request.stir.as_deref(),
            consent: request.consent,
            test: request.test,
            caller: request.caller.code(),
            tags: request.tags.iter().map(TagV1::of).collect(),
            stir_verified: request.stir_verified.holds(),
        }
    }

    fn read(self) -> Result<CarrierRequest, DecodeError> {
        let mut tags = Tags::default();
        for tag in self.tags {
            let (value, set_by) = (tag.value.read(), SetBy::read(tag.set_by)?);
            tags.add(tag.key, value, set_by).map_err(|_| DecodeError::Invalid { what: "a tag" })?;
        }
        Ok(CarrierRequest {
            carrier_call_id: self.carrier_call_id.to_owned(),
            to: self.to.read()?,
            from: self.from.map(number).transpose()?,
            withheld: self.withheld,
            tail: self.tail.map(tail).transpose()?,
            sub_id: self.sub_id.map(str::to_owned),
            state: self.state.map(str::to_owned),
            zip: self.zip.map(str::to_owned),
            stir: self.stir.map(str::to_owned),
            consent: self.consent,
            test: self.test,
            caller: CallerLeg::read(self.caller)?,
            tags,
            stir_verified: Verified::of(self.stir_verified),
        })
    }
}

impl<'a> TagV1<'a> {
    fn of(tag: &'a Tag) -> TagV1<'a> {
        let value = match &tag.value {
            TagValue::Text(text) => TagValueV1::Text(text),
            TagValue::Number(text) => TagValueV1::Number(text),
            TagValue::Bool(value) => TagValueV1::Bool(*value),
        };
        TagV1 { key: &tag.key, value, set_by: tag.set_by.code() }
    }
}

impl TagValueV1<'_> {
    fn read(self) -> TagValue {
        match self {
            TagValueV1::Text(text) => TagValue::Text(text.into()),
            TagValueV1::Number(text) => TagValue::Number(text.into()),
            TagValueV1::Bool(value) => TagValue::Bool(value),
        }
    }
}

impl<'a> TerminalV1<'a> {
    fn of(terminal: &'a Terminal) -> TerminalV1<'a> {
        match terminal {
            Terminal::Dial(address) => TerminalV1::Dial(AddressV1::of(address)),
            Terminal::Voicemail(greeting) => TerminalV1::Voicemail(greeting),
            Terminal::Message(text) => TerminalV1::Message(text),
            Terminal::Hangup(cause) => TerminalV1::Hangup(cause.code()),
        }
    }

    fn read(self) -> Result<Terminal, DecodeError> {
        Ok(match self {
            TerminalV1::Dial(address) => Terminal::Dial(address.read()?),
            TerminalV1::Voicemail(greeting) => Terminal::Voicemail(greeting.to_owned()),
            TerminalV1::Message(text) => Terminal::Message(text.to_owned()),
            TerminalV1::Hangup(cause) => Terminal::Hangup(HangupCause::read(cause)?),
        })
    }
}

impl<'a> StandingV1<'a> {
    fn of(standing: &'a Standing) -> StandingV1<'a> {
        let ranked = &standing.ranked;
        let (tier, score) = ranked.compared_by();
        StandingV1 {
            target: standing.target.as_str(),
            buyer: standing.buyer.as_str(),
            entrant: ranked.entrant as u64,
            price: ranked.offer.price.micros(),
            min_duration: SpanV1::of(ranked.offer.min_duration),
            destination: ranked.offer.destination.as_ref().map(AddressV1::of),
            expires: ranked.offer.expires.map(Timestamp::micros),
            tier,
            score,
            basis: BASIS.of(standing.basis),
            pays: ranked.pays.micros(),
        }
    }

    fn read(self) -> Result<Standing, DecodeError> {
        let offer = Offer {
            price: money(self.price),
            min_duration: self.min_duration.read()?,
            destination: self.destination.map(AddressV1::read).transpose()?,
            expires: self.expires.map(at),
        };
        Ok(Standing {
            target: target(self.target)?,
            buyer: buyer(self.buyer)?,
            ranked: Ranked::restored(self.entrant as usize, offer, (self.tier, self.score), money(self.pays)),
            basis: BASIS.read(self.basis)?,
        })
    }
}

impl<'a> AheadV1<'a> {
    fn of(ahead: &'a Ahead) -> AheadV1<'a> {
        match ahead {
            Ahead::Dial(target) => AheadV1::Dial(target.as_str()),
            Ahead::Auction(auction) => AheadV1::Auction {
                members: auction.members.iter().map(TargetId::as_str).collect(),
                floor: auction.floor.micros(),
                takeover: auction.takeover.map(Money::micros),
                timeout: auction.timeout.map(SpanV1::of),
            },
            Ahead::Together(together) => AheadV1::Together {
                members: together.members.iter().map(TargetId::as_str).collect(),
                screen: together.screen,
            },
        }
    }

    fn read(self) -> Result<Ahead, DecodeError> {
        Ok(match self {
            AheadV1::Dial(id) => Ahead::Dial(target(id)?),
            AheadV1::Auction { members, floor, takeover, timeout } => {
                Ahead::Auction(Box::new(AuctionAhead {
                    members: members.into_iter().map(target).collect::<Result<_, _>>()?,
                    floor: money(floor),
                    takeover: takeover.map(money),
                    timeout: timeout.map(SpanV1::read).transpose()?,
                }))
            }
            AheadV1::Together { members, screen } => Ahead::Together(Box::new(TogetherAhead {
                members: members.into_iter().map(target).collect::<Result<_, _>>()?,
                screen,
            })),
        })
    }
}

impl<'a> AnswerV1<'a> {
    pub(super) fn of(answer: &'a AnswerImage) -> AnswerV1<'a> {
        let reply = &answer.reply;
        AnswerV1 {
            action: ActionV1::of(&reply.action),
            basis: BASIS.of(reply.basis),
            reason: reply.reason.code(),
            valid_until: reply.valid_until.micros(),
            max_talk_s: reply.max_talk_s,
            caller: reply.caller.code(),
            token: reply.token.map(id),
            decided_us: reply.decided_us,
            base: &answer.base,
            about: answer.about,
        }
    }

    pub(super) fn read(self, call_id: CallId, step: u32) -> Result<AnswerImage, DecodeError> {
        let reply = CarrierReply {
            call_id,
            step,
            action: self.action.read()?,
            basis: BASIS.read(self.basis)?,
            reason: reason(self.reason)?,
            valid_until: at(self.valid_until),
            max_talk_s: self.max_talk_s,
            caller: CallerLeg::read(self.caller)?,
            token: self.token.map(u128::from_be_bytes),
            decided_us: self.decided_us,
        };
        Ok(AnswerImage { reply, base: self.base.into(), about: self.about })
    }
}

impl<'a> ActionV1<'a> {
    fn of(action: &'a Action) -> ActionV1<'a> {
        match action {
            Action::Dial(dial) => ActionV1::Dial(DialV1::of(dial)),
            Action::DialAll(all) => ActionV1::DialAll(all.iter().map(DialV1::of).collect()),
            Action::Voicemail(greeting) => ActionV1::Voicemail(greeting),
            Action::Message(text) => ActionV1::Message(text),
            Action::Hangup(cause) => ActionV1::Hangup(cause.code()),
        }
    }

    fn read(self) -> Result<Action, DecodeError> {
        Ok(match self {
            ActionV1::Dial(dial) => Action::Dial(dial.read()?),
            ActionV1::DialAll(all) => {
                Action::DialAll(all.into_iter().map(DialV1::read).collect::<Result<_, _>>()?)
            }
            ActionV1::Voicemail(greeting) => Action::Voicemail(greeting.to_owned()),
            ActionV1::Message(text) => Action::Message(text.to_owned()),
            ActionV1::Hangup(cause) => Action::Hangup(HangupCause::read(cause)?),
        })
    }
}

impl<'a> DialV1<'a> {
    fn of(dial: &'a DialTarget) -> DialV1<'a> {
        DialV1 {
            attempt: dial.attempt,
            address: AddressV1::of(&dial.address),
            role: ROLE.of(dial.role),
            ring_s: dial.ring_s,
            caller_id: dial.caller_id.map(E164::digits),
            screen: dial.screen,
        }
    }

    fn read(self) -> Result<DialTarget, DecodeError> {
        Ok(DialTarget {
            attempt: self.attempt,
            address: self.address.read()?,
            role: ROLE.read(self.role)?,
            ring_s: self.ring_s,
            caller_id: self.caller_id.map(number).transpose()?,
            screen: self.screen,
        })
    }
}

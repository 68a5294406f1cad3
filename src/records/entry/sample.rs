//! Entries for the tests of `records`: drawn at random with every variant there is, and three as they are every day. The
//! numbers are made up; nothing here asserts.

use std::sync::Arc;
use std::time::Duration;

use super::{Counts, Entry, HealthImage, Held, ListPart, Put, Used};
use crate::auction::Offer;
use crate::auction::rank::Ranked;
use crate::billing::{Settlement, Terms};
use crate::call::event::{CallEvent, EventKind};
use crate::call::image::{Attempt, CallImage, End};
use crate::call::{Call, Kind, Patience, Recovery, Rung};
use crate::capacity::hold::{Hold, HoldImage, HoldState};
use crate::capacity::{Basis, CapKey, Entity};
use crate::carrier::{Action, CallerLeg, CarrierReply, CarrierRequest, DialTarget};
use crate::domain::caller_list::{CallerDigest, CallerPrefix, ListVerb};
use crate::domain::change::{self, Change, Happened, Key, Noted, Origin, Value};
use crate::domain::draw::Draw;
use crate::domain::{
    Address, AttemptEnd, Bps, BuyerId, CallId, CallerListId, CampaignId, CarrierId, Cause, E164, EndCounts,
    EndedBy, HangupCause, HoldId, Money, Payout, PingId, PlanId, PublisherId, Reason, SetBy, TagValue, Tags,
    Tail, TalkSource, TargetId, Terminal, Timestamp, Verified,
};
use crate::records::fixture::{self, NINE};
use crate::records::row::{
    AttemptRow, CallKeys, CatalogRow, DecidedRow, EndFacts, EndedRow, EventRow, FactsRow, LedgerRow,
    ListedRow, OutcomeRow, Row, TrailRow, Turn,
};
use crate::state::callers::{Content, Difference};
use crate::state::calls::CallKey;
use crate::state::image::{AnswerImage, LiveImage, OfferedImage, TakerImage};
use crate::state::rest::{Ahead, AuctionAhead, Rest, Standing, TogetherAhead};

/// What is drawn.
pub struct Sampler(pub Draw);

impl Sampler {
    pub fn new(seed: u64) -> Sampler {
        Sampler(Draw::new(seed))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Sampler) -> T) -> Option<T> {
        self.yes().then(|| draw(self))
    }

    fn some<T>(&mut self, most: u64, mut draw: impl FnMut(&mut Sampler) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| draw(self)).collect()
    }

    /// Small numbers and large ones.
    fn number(&mut self) -> u64 {
        let bits = self.one(&[4, 7, 14, 32, 63]);
        self.0.bits() >> (64 - bits)
    }

    fn bits(&mut self) -> u128 {
        u128::from(self.0.bits()) << 64 | u128::from(self.0.bits())
    }

    fn at(&mut self) -> Timestamp {
        let around = self.below(1 << 40) as i64;
        match self.below(20) {
            0 => Timestamp::from_micros(i64::MIN + around),
            1 => Timestamp::from_micros(i64::MAX - around),
            _ => Timestamp::from_micros(NINE.micros() + around - (1 << 39)),
        }
    }

    fn span(&mut self) -> Duration {
        match self.below(8) {
            0 => Duration::ZERO,
            1 => Duration::MAX,
            2 => Duration::new(self.number(), 999_999_999),
            _ => Duration::from_millis(self.below(20_000_000)),
        }
    }

    fn money(&mut self) -> Money {
        let amount = Money::from_micros(self.number() as i64);
        if self.below(4) == 0 { amount.negated() } else { amount }
    }

    /// Any text of a stranger.
    fn text(&mut self) -> String {
        let words = ["", "x", "collision", "+1 512 555 0123", "naïve \u{1F4DE} \n\0", "fb-77"];
        let word = self.one(&words);
        word.repeat(self.one(&[1, 1, 1, 3, 20]))
    }

    fn slug(&mut self) -> String {
        format!("{}-{}", self.one(&["acme", "a", "nine_lives"]), self.below(100))
    }

    fn buyer(&mut self) -> BuyerId {
        BuyerId::parse(&self.slug()).expect("a slug")
    }

    fn target(&mut self) -> TargetId {
        TargetId::parse(&self.slug()).expect("a slug")
    }

    fn campaign(&mut self) -> CampaignId {
        CampaignId::parse(&self.slug()).expect("a slug")
    }

    fn publisher(&mut self) -> PublisherId {
        PublisherId::parse(&self.slug()).expect("a slug")
    }

    fn carrier(&mut self) -> CarrierId {
        CarrierId::parse(&self.slug()).expect("a slug")
    }

    pub fn call_id(&mut self) -> CallId {
        CallId::from_bits(self.bits())
    }

    fn e164(&mut self) -> E164 {
        E164::from_digits(1_000_000 + self.below(999_999_999_000_000)).expect("7 to 15 digits")
    }

    fn address(&mut self) -> Address {
        if self.yes() {
            return Address::Number(self.e164());
        }
        Address::parse(&format!("sip:u{}@edge.example.com:5061", self.below(1_000))).expect("an address")
    }

    fn reason(&mut self) -> Reason {
        self.one(Reason::ALL)
    }

    fn payout(&mut self) -> Payout {
        if self.yes() { Payout::Fixed(self.money()) } else { Payout::Share(Bps(self.below(10_001) as u32)) }
    }

    fn digest(&mut self) -> String {
        if self.yes() { format!("{:032x}{:032x}", self.bits(), self.bits()) } else { self.text() }
    }

    fn basis(&mut self) -> &'static str {
        self.one(&["auction", "static", "quote", "redial", "terminal"])
    }

    // Rows.

    fn keys(&mut self) -> CallKeys {
        CallKeys {
            call_id: self.call_id(),
            at: self.at(),
            campaign: self.maybe(Sampler::campaign),
            publisher: self.maybe(Sampler::publisher),
        }
    }

    fn facts(&mut self) -> EndFacts {
        EndFacts {
            ended_at: self.at(),
            reason: self.reason(),
            connected: self.yes(),
            talk_ms: self.number(),
            talk_source: self.one(TalkSource::ALL).as_str(),
            ended_by: self.one(EndedBy::ALL).as_str(),
            billable: self.yes(),
            payable: self.yes(),
            negative_margin: self.yes(),
        }
    }

    fn outcome(&mut self) -> OutcomeRow {
        OutcomeRow {
            target: self.target(),
            buyer: self.buyer(),
            reason: self.reason(),
            amount: self.maybe(Sampler::money),
            ping: self.maybe(|s| PingId::from_bits(s.bits())),
            latency_us: self.maybe(Sampler::number),
            note: self.maybe(Sampler::text),
        }
    }

    fn decided(&mut self) -> DecidedRow {
        DecidedRow {
            keys: self.keys(),
            carrier: self.carrier(),
            carrier_call_id: self.text(),
            test: self.yes(),
            number: self.text(),
            sub_id: self.maybe(Sampler::text),
            caller: self.text(),
            caller_token: self.maybe(Sampler::number),
            state: self.maybe(Sampler::text),
            basis: self.basis(),
            action: self.one(&["dial", "gather", "voicemail", "message", "hangup"]),
            reason: self.reason(),
            target: self.maybe(Sampler::target),
            buyer: self.maybe(Sampler::buyer),
            price: self.maybe(Sampler::money),
            decided_us: self.number(),
            overhead_us: self.maybe(Sampler::number),
            catalog: self.digest(),
        }
    }

    fn trail(&mut self) -> TrailRow {
        TrailRow {
            keys: self.keys(),
            step: self.below(9) as u32,
            is_final: self.yes(),
            test: self.yes(),
            seed: self.0.bits(),
            close: self.one(&["no_auction", "all_replied", "early", "deadline"]),
            asked_us: self.number(),
            closed_us: self.number(),
            plan: self.text(),
            tags: self.some(2, |s| (s.text().into(), s.text().into())),
            outcomes: self.some(3, Sampler::outcome),
            turns: self.some(2, |s| Turn { node: s.below(9) as u32, first: s.below(300) as u32 }),
            facts: self.maybe(Sampler::kept_facts),
        }
    }

    fn verified(&mut self) -> Verified {
        self.one(&[Verified::Unverified, Verified::Passed, Verified::Failed])
    }

    fn kept_facts(&mut self) -> FactsRow {
        FactsRow {
            at: self.at(),
            catalog: self.maybe(Sampler::digest),
            state: self.maybe(Sampler::text),
            geo_source: self.one(&["carrier", "area_code", "none", "ivr", "publisher"]),
            country: self.maybe(Sampler::text),
            area_code: self.maybe(|s| s.below(1_000) as u16),
            zip3: self.maybe(|s| s.below(1_000) as u16),
            attestation: self.maybe(|s| s.one(&['A', 'B', 'C'])),
            has_number: self.yes(),
            not_kept: self.some(2, Sampler::text),
            branches: self.some(2, |s| s.below(300) as u32),
            lists: self.some(2, Sampler::text),
            earlier_attempts: self.below(9) as u32,
            floor_row: self.maybe(|s| s.below(300) as u32),
            verified: self.verified(),
        }
    }

    fn event(&mut self) -> EventRow {
        let kinds = ["ringing", "answered", "bridged", "ended", "recording", "digits", "cost", "call_ended"];
        EventRow {
            call_id: self.call_id(),
            event_id: self.text(),
            attempt: self.maybe(|s| s.below(6) as u32),
            kind: self.one(&kinds),
            at: self.maybe(Sampler::at),
            received: self.at(),
            detail: self.text(),
        }
    }

    fn attempt(&mut self) -> AttemptRow {
        AttemptRow {
            keys: self.keys(),
            attempt: self.below(9) as u32,
            step: self.below(99) as u32,
            test: self.yes(),
            offered_at: self.at(),
            basis: self.basis(),
            reason: self.reason(),
            target: self.maybe(Sampler::target),
            buyer: self.maybe(Sampler::buyer),
            price: self.maybe(Sampler::money),
            catalog: self.digest(),
            end: self.maybe(Sampler::facts),
        }
    }

    fn end_counts(&mut self) -> EndCounts {
        EndCounts {
            ended: self.number() as i64,
            connected: -(self.below(9) as i64),
            billable: self.below(3) as i64 - 1,
            talk_ms: -(self.number() as i64),
        }
    }

    fn ended(&mut self) -> EndedRow {
        EndedRow {
            keys: self.keys(),
            target: self.maybe(Sampler::target),
            buyer: self.maybe(Sampler::buyer),
            end: self.facts(),
            counts: self.end_counts(),
        }
    }

    fn ledger(&mut self) -> LedgerRow {
        LedgerRow {
            keys: self.keys(),
            buyer: self.buyer(),
            target: self.target(),
            group: self.text(),
            kind: self.one(&["revenue", "payout", "margin"]),
            account: self.text(),
            amount: self.money(),
            booked_at: self.at(),
        }
    }

    fn entity(&mut self) -> change::Entity {
        match self.below(3) {
            0 => change::Entity::Buyer(self.buyer()),
            1 => change::Entity::Target(self.target()),
            _ => change::Entity::Campaign(self.campaign()),
        }
    }

    fn value(&mut self) -> Value {
        match self.below(3) {
            0 => Value::Paused(self.yes()),
            1 => Value::Concurrency(self.maybe(|s| 1 + s.below(100) as u32)),
            _ => Value::DailyBillable(self.maybe(|s| 1 + s.below(1_000) as u32)),
        }
    }

    fn origin(&mut self) -> Origin {
        Origin { actor: self.text(), by: self.maybe(Sampler::text), at: self.at() }
    }

    fn noted(&mut self) -> Noted {
        Noted {
            entity: self.entity(),
            key: self.one(&Key::ALL),
            happened: match self.below(3) {
                0 => Happened::Set(self.value()),
                1 => Happened::TakenBack,
                _ => Happened::FileWon,
            },
            file: self.value(),
            origin: self.origin(),
        }
    }

    fn row(&mut self) -> Row {
        match self.below(9) {
            0 => Row::Decided(Box::new(self.decided())),
            1 => Row::Trail(Box::new(self.trail())),
            2 => Row::Event(Box::new(self.event())),
            3 => Row::Attempt(Box::new(self.attempt())),
            4 => Row::Ended(Box::new(self.ended())),
            5 => Row::Ledger(self.ledger()),
            6 => Row::Catalog(CatalogRow { digest: self.digest(), text: self.text(), since: self.at() }),
            7 => Row::Change(Box::new(self.noted())),
            _ => Row::Listed(Box::new(self.listed())),
        }
    }

    // State.

    pub fn cap_key(&mut self) -> CapKey {
        let is_buyer = self.yes();
        CapKey {
            entity: if is_buyer { Entity::Buyer(self.buyer()) } else { Entity::Target(self.target()) },
            basis: self.one(&[Basis::Concurrency, Basis::BillableDay]),
            window: self.at(),
        }
    }

    fn hold(&mut self) -> HoldImage {
        HoldImage {
            id: HoldId::from_bits(self.bits()),
            state: self.one(&[HoldState::Held, HoldState::Posted, HoldState::Voided, HoldState::Expired]),
            resolved: self.yes(),
            slots: self.some(2, Sampler::cap_key),
            units: self.some(2, Sampler::cap_key),
        }
    }

    fn attempt_end(&mut self) -> AttemptEnd {
        AttemptEnd {
            cause: self.one(Cause::ALL),
            ended_by: self.one(EndedBy::ALL),
            connected: self.yes(),
            talk_ms: self.number(),
            talk_source: self.one(TalkSource::ALL),
            at: self.at(),
            handed_back: self.yes(),
        }
    }

    fn told_end(&mut self) -> End {
        End {
            at: self.at(),
            cause: self.one(Cause::ALL),
            ended_by: self.one(EndedBy::ALL),
            talk_ms: self.maybe(Sampler::number),
            inferred: self.yes(),
        }
    }

    fn leg(&mut self) -> Attempt {
        Attempt {
            number: self.below(9) as u32,
            kind: self.one(&[Kind::Target, Kind::ProvenTarget, Kind::Terminal]),
            ringing: self.maybe(Sampler::at),
            answered: self.maybe(Sampler::at),
            bridged: self.maybe(Sampler::at),
            end: self.maybe(Sampler::told_end),
            rang: self.maybe(Sampler::span),
            slots_free: self.yes(),
            expired: self.yes(),
            settled: self.maybe(Sampler::attempt_end),
            patience: Patience { late_events: self.span(), unanswered: self.span(), answered: self.span() },
            offered: self.at(),
            expires: self.at(),
            judge_at: self.maybe(Sampler::at),
            handed_back: self.maybe(Sampler::at),
            step: self.below(9) as u32,
            screened: self.yes(),
        }
    }

    fn settlement(&mut self) -> Settlement {
        Settlement {
            billable: self.yes(),
            reason: self.reason(),
            payable: self.yes(),
            revenue: self.money(),
            payout: self.money(),
            margin: self.money(),
        }
    }

    fn taker(&mut self) -> TakerImage {
        TakerImage {
            target: self.target(),
            buyer: self.buyer(),
            terms: Terms {
                price: self.money(),
                min_duration: self.span(),
                payout: self.payout(),
                money_step: self.money(),
                test: self.yes(),
            },
            hold: self.hold(),
        }
    }

    fn offered(&mut self) -> OfferedImage {
        OfferedImage {
            attempt: self.below(9) as u32,
            step: self.below(99) as u32,
            at: self.at(),
            basis: self.basis(),
            why: self.reason(),
            catalog: self.digest().into(),
            taker: self.maybe(Sampler::taker),
            end: self.maybe(|s| (s.attempt_end(), s.maybe(Sampler::settlement))),
            leg: self.maybe(Sampler::text),
        }
    }

    fn tail(&mut self) -> Tail {
        Tail::of(&format!("{:07}", self.below(10_000_000))).expect("seven digits")
    }

    fn tags(&mut self) -> Tags {
        let mut tags = Tags::default();
        for n in 0..self.below(4) {
            let value = match self.below(3) {
                0 => TagValue::Text(self.text().into()),
                1 => TagValue::Number(self.below(1_000).to_string().into()),
                _ => TagValue::Bool(self.yes()),
            };
            let set_by = self.one(&[SetBy::Carrier, SetBy::Number]);
            // A text that is too long is simply none.
            let _ = tags.add(format!("k{n}"), value, set_by);
        }
        tags
    }

    fn request(&mut self) -> CarrierRequest {
        CarrierRequest {
            carrier_call_id: self.text(),
            to: self.address(),
            from: self.maybe(Sampler::e164),
            withheld: self.yes(),
            tail: self.maybe(Sampler::tail),
            sub_id: self.maybe(Sampler::text),
            state: self.maybe(Sampler::text),
            zip: self.maybe(Sampler::text),
            stir: self.maybe(Sampler::text),
            consent: self.yes(),
            test: self.yes(),
            caller: self.one(&[CallerLeg::Ringing, CallerLeg::Answered, CallerLeg::Gone]),
            tags: self.tags(),
            stir_verified: self.verified(),
        }
    }

    fn terminal(&mut self) -> Terminal {
        match self.below(4) {
            0 => Terminal::Dial(self.address()),
            1 => Terminal::Voicemail(self.text()),
            2 => Terminal::Message(self.text()),
            _ => Terminal::Hangup(self.one(&HangupCause::ALL)),
        }
    }

    fn standing(&mut self) -> Standing {
        let offer = Offer {
            price: self.money(),
            min_duration: self.span(),
            destination: self.maybe(Sampler::address),
            expires: self.maybe(Sampler::at),
        };
        let score = i128::from(self.number()) << self.below(40);
        let compared_by = (self.below(256) as u8, if self.yes() { score } else { -score });
        Standing {
            target: self.target(),
            buyer: self.buyer(),
            ranked: Ranked::restored(self.below(100) as usize, offer, compared_by, self.money()),
            basis: self.basis(),
        }
    }

    fn ahead(&mut self) -> Ahead {
        match self.below(4) {
            0 | 1 => return Ahead::Dial(self.target()),
            2 => {
                let members = self.some(3, Sampler::target);
                return Ahead::Together(Box::new(TogetherAhead { members, screen: self.yes() }));
            }
            _ => {}
        }
        Ahead::Auction(Box::new(AuctionAhead {
            members: self.some(3, Sampler::target),
            floor: self.money(),
            takeover: self.maybe(Sampler::money),
            timeout: self.maybe(Sampler::span),
        }))
    }

    fn rest(&mut self) -> Rest {
        Rest {
            request: Arc::new(self.request()),
            plan: PlanId::parse(&self.slug()).expect("a slug"),
            terminal: self.terminal(),
            payout: self.maybe(Sampler::payout),
            seed: self.0.bits(),
            standing: self.some(2, Sampler::standing),
            walk: self.some(2, |s| (s.below(50) as usize, s.ahead())),
            rings: self.some(2, |s| (s.target(), s.span())),
        }
    }

    pub fn live(&mut self) -> LiveImage {
        LiveImage {
            id: self.call_id(),
            key: Arc::new(CallKey { carrier: self.carrier(), carrier_call_id: self.text() }),
            at: self.at(),
            campaign: self.maybe(Sampler::campaign),
            publisher: self.maybe(Sampler::publisher),
            caller: self.maybe(Sampler::tail),
            test: self.yes(),
            token: self.bits(),
            signed: self.yes(),
            call: CallImage {
                attempts: self.some(2, Sampler::leg),
                recovery: Recovery {
                    early_hangup: self.span(),
                    attempts: self.below(9) as u32,
                    ring_budget: self.span(),
                    next_within: self.span(),
                },
                caller_gone: self.yes(),
                closed: self.yes(),
                next_by: self.maybe(Sampler::at),
                asked: self.yes(),
                over: self.yes(),
            },
            offered: self.some(2, Sampler::offered),
            rest: self.maybe(|s| Arc::new(s.rest())),
            said_goodbye: self.yes(),
            over_since: self.maybe(Sampler::at),
            counted: self.maybe(Sampler::end_counts),
        }
    }

    fn dial(&mut self) -> DialTarget {
        DialTarget {
            attempt: self.below(9) as u32,
            address: self.address(),
            role: self.one(&["buyer", "terminal"]),
            ring_s: self.number(),
            caller_id: self.maybe(Sampler::e164),
            screen: self.yes(),
        }
    }

    fn action(&mut self) -> Action {
        match self.below(5) {
            0 => Action::Dial(self.dial()),
            4 => Action::DialAll(self.some(3, Sampler::dial)),
            1 => Action::Voicemail(self.text()),
            2 => Action::Message(self.text()),
            _ => Action::Hangup(self.one(&HangupCause::ALL)),
        }
    }

    pub fn answer(&mut self) -> AnswerImage {
        AnswerImage {
            reply: CarrierReply {
                call_id: self.call_id(),
                step: self.below(9) as u32,
                action: self.action(),
                basis: self.basis(),
                reason: self.reason(),
                valid_until: self.at(),
                max_talk_s: self.number(),
                caller: self.one(&[CallerLeg::Ringing, CallerLeg::Answered, CallerLeg::Gone]),
                token: self.maybe(Sampler::bits),
                decided_us: self.number(),
            },
            base: self.text().into(),
            about: self.0.bits(),
        }
    }

    pub fn changes(&mut self) -> Vec<Change> {
        self.some(3, |s| Change { entity: s.entity(), value: s.value(), file: s.value(), origin: s.origin() })
    }

    pub fn health(&mut self) -> Vec<HealthImage> {
        self.some(3, |s| HealthImage {
            target: s.target(),
            buyer: s.buyer(),
            endpoint: s.text(),
            misses_in_a_row: s.number() as u32,
            answered_at: s.at(),
        })
    }

    fn listed(&mut self) -> ListedRow {
        ListedRow {
            list: self.caller_list(),
            verb: ListVerb::ALL[self.below(3) as usize],
            added: self.number(),
            removed: self.number(),
            numbers: self.number(),
            prefixes: self.number(),
            origin: self.origin(),
        }
    }

    fn caller_list(&mut self) -> CallerListId {
        let id = ["dnc", "own-customers", "x"][self.below(3) as usize];
        CallerListId::parse(id).expect("a slug")
    }

    fn content(&mut self) -> Content {
        Content {
            numbers: self.some(4, |s| CallerDigest(s.bits() as u64)),
            prefixes: self.some(3, |s| {
                let digits = s.below(9_999_999_999) + 1;
                CallerPrefix::from_digits(digits).expect("1 to 10 digits")
            }),
        }
    }

    pub fn list_part(&mut self) -> ListPart {
        ListPart {
            list: self.caller_list(),
            part: self.below(3) as u32,
            is_last: self.below(2) == 0,
            difference: Difference { added: self.content(), removed: self.content() },
        }
    }

    fn put(&mut self) -> Put {
        match self.below(11) {
            0..=3 => Put::Call(Box::new(self.live())),
            4 => Put::Answer(Box::new(self.answer())),
            5 => Put::Forgotten(self.call_id()),
            6 => {
                let (id, call) = (HoldId::from_bits(self.bits()), self.call_id());
                Put::Held(Box::new(Held { id, call, keys: self.some(4, Sampler::cap_key) }))
            }
            7 => Put::Voided(HoldId::from_bits(self.bits())),
            8 => Put::Changes(self.changes()),
            9 => Put::Health(self.health()),
            _ => Put::Callers(Box::new(self.list_part())),
        }
    }

    pub fn entry(&mut self) -> Entry {
        Entry { rows: self.some(3, Sampler::row), state: self.some(3, Sampler::put) }
    }

    pub fn counts(&mut self) -> Counts {
        let used = |s: &mut Sampler| Used { posted: s.number() as u32, unresolved: s.number() as u32 };
        Counts { caps: self.some(5, |s| (s.cap_key(), used(s))) }
    }
}

const PATIENCE: Patience = Patience {
    late_events: Duration::from_secs(5),
    unanswered: Duration::from_secs(40),
    answered: Duration::from_secs(14_460),
};

/// Call 1, handed to `acme-1` after an auction of three; four caps are held.
fn everyday() -> LiveImage {
    let keys = fixture::keys(1);
    let at = fixture::attempt(1, None).offered_at;
    let mut call = Call::new(Recovery {
        early_hangup: Duration::from_secs(15),
        attempts: 5,
        ring_budget: Duration::from_secs(60),
        next_within: Duration::from_secs(10),
    });
    let rung = Rung { number: 1, step: 1, kind: Kind::Target, screened: false, patience: PATIENCE };
    call.offer(rung, at);
    let (buyer, target) = (fixture::buyer("acme"), fixture::target("acme-1"));
    let entities = [Entity::Buyer(buyer.clone()), Entity::Target(target.clone())];
    let caps = entities.into_iter().flat_map(|entity| {
        let slot = CapKey { entity: entity.clone(), basis: Basis::Concurrency, window: Timestamp::default() };
        [
            slot,
            CapKey {
                entity,
                basis: Basis::BillableDay,
                window: Timestamp::from_micros(NINE.micros() / 86_400_000_000 * 86_400_000_000),
            },
        ]
    });
    let hold = Hold::new(HoldId::from_bits(0x0190_0000_0000_7000_8000_0000_0000_00aa), caps.collect());
    let terms = Terms {
        price: fixture::money("25.50"),
        min_duration: Duration::from_secs(90),
        payout: Payout::Share(Bps(7_000)),
        money_step: fixture::money("0.01"),
        test: false,
    };
    let offer = Offer {
        price: fixture::money("20"),
        min_duration: Duration::from_secs(90),
        destination: Address::parse("+15125550998"),
        expires: Some(at.after(Duration::from_secs(30))),
    };
    let mut tags = Tags::default();
    tags.add("case", TagValue::Text("collision".into()), SetBy::Carrier).expect("fits");
    let request = CarrierRequest {
        carrier_call_id: "CA91f3a5b7c9d1e3f5a7b9c1d3e5f7a9b1".to_owned(),
        to: Address::parse("+18005550100").expect("a number"),
        from: E164::parse("+15125550123"),
        withheld: false,
        tail: Tail::of("+15125550123"),
        sub_id: Some("fb-77".to_owned()),
        state: Some("TX".to_owned()),
        zip: Some("78701".to_owned()),
        stir: Some("A".to_owned()),
        stir_verified: Verified::Passed,
        consent: true,
        test: false,
        caller: CallerLeg::Ringing,
        tags,
    };
    LiveImage {
        id: keys.call_id,
        key: Arc::new(CallKey {
            carrier: CarrierId::parse("tw").expect("a slug"),
            carrier_call_id: request.carrier_call_id.clone(),
        }),
        at: keys.at,
        campaign: keys.campaign,
        publisher: keys.publisher,
        caller: request.tail,
        test: false,
        token: 0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00,
        signed: false,
        call: call.image(),
        offered: vec![OfferedImage {
            attempt: 1,
            step: 1,
            at,
            basis: "auction",
            why: Reason::Won,
            catalog: "0123456789abcdef".repeat(4).into(),
            taker: Some(TakerImage { target, buyer, terms, hold: hold.image() }),
            end: None,
            leg: None,
        }],
        rest: Some(Arc::new(Rest {
            request: Arc::new(request),
            plan: PlanId::parse("main").expect("a slug"),
            terminal: Terminal::Voicemail("Nobody can take your call.".to_owned()),
            payout: Some(Payout::Share(Bps(7_000))),
            seed: 42,
            standing: vec![Standing {
                target: fixture::target("bolt-1"),
                buyer: fixture::buyer("bolt"),
                ranked: Ranked::restored(1, offer, (1, 20_000_000 * 10_000), Money::from_micros(18_000_000)),
                basis: "auction",
            }],
            walk: vec![(1, Ahead::Dial(fixture::target("core-1")))],
            rings: vec![(fixture::target("core-1"), Duration::from_secs(15))],
        })),
        said_goodbye: false,
        over_since: None,
        counted: None,
    }
}

/// A decision: its rows, the call, and the answer.
pub fn opened() -> Entry {
    let image = everyday();
    let catalog = "0123456789abcdef".repeat(4);
    let mut decided = fixture::decided(1);
    decided.carrier_call_id.clone_from(&image.key.carrier_call_id);
    decided.catalog.clone_from(&catalog);
    let mut attempt = fixture::attempt(1, None);
    attempt.catalog = catalog;
    let answer = AnswerImage {
        reply: CarrierReply {
            call_id: image.id,
            step: 1,
            action: Action::Dial(DialTarget {
                attempt: 1,
                address: Address::parse("+15125550999").expect("a number"),
                role: "buyer",
                ring_s: 20,
                caller_id: E164::parse("+15125550123"),
                screen: false,
            }),
            basis: "auction",
            reason: Reason::Won,
            valid_until: image.at.after(Duration::from_secs(20)),
            max_talk_s: 14_400,
            caller: CallerLeg::Ringing,
            token: Some(image.token),
            decided_us: 41_700,
        },
        base: "https://calls.example.com".into(),
        about: 0x0123_4567_89ab_cdef,
    };
    Entry {
        rows: vec![
            Row::Decided(Box::new(decided)),
            Row::Attempt(Box::new(attempt)),
            Row::Trail(Box::new(fixture::trail(1, false))),
        ],
        state: vec![Put::Call(Box::new(image)), Put::Answer(Box::new(answer))],
    }
}

/// A report that a target answered.
pub fn answered() -> Entry {
    let mut image = everyday();
    let mut call = Call::restored(image.call);
    let at = image.at.after(Duration::from_secs(4));
    let told = CallEvent { attempt: Some(1), at, kind: EventKind::Answered };
    assert!(call.on_event(&told, at).is_empty());
    image.call = call.image();
    let mut event = fixture::event(1, "e1");
    (event.kind, event.detail) = ("answered", String::new());
    Entry { rows: vec![Row::Event(Box::new(event))], state: vec![Put::Call(Box::new(image))] }
}

/// The end of a call that was billed.
pub fn ended() -> Entry {
    let mut image = everyday();
    let mut call = Call::restored(image.call);
    let at = image.at.after(Duration::from_secs(95));
    let kind = EventKind::Ended { cause: Cause::Normal, ended_by: EndedBy::Caller, talk_ms: Some(91_000) };
    drop(call.on_event(&CallEvent { attempt: Some(1), at, kind }, at));
    image.call = call.image();
    let settled = image.call.attempts[0].settled.expect("a talk time settles");
    if let Some(taker) = &mut image.offered[0].taker {
        let mut hold = Hold::restored(taker.hold.clone());
        drop(hold.post());
        taker.hold = hold.image();
        image.offered[0].end = Some((settled, Some(crate::billing::settle(&taker.terms, &settled, false))));
    }
    (image.rest, image.over_since) = (None, Some(at));
    image.counted = Some(fixture::ended(1).counts);
    let mut rows = vec![Row::Event(Box::new(fixture::event(1, "e2")))];
    let mut attempt = fixture::attempt(1, Some(fixture::billed()));
    attempt.catalog = "0123456789abcdef".repeat(4);
    rows.push(Row::Attempt(Box::new(attempt)));
    rows.extend(fixture::entries(1).into_iter().map(Row::Ledger));
    rows.push(Row::Ended(Box::new(fixture::ended(1))));
    Entry { rows, state: vec![Put::Call(Box::new(image))] }
}

//! What a call is about: the dialled number's campaign and publisher, and the facts about the caller.
//!
//! Where the caller is says first what it keyed in, then the publisher, then the carrier; the area code last, which only
//! says where a number was issued.

use std::borrow::Cow;
use std::sync::Arc;

use crate::auction::bid::clean_note;
use crate::bidder::sign;
use crate::carrier::CarrierRequest;
use crate::domain::area_codes::area_code;
use crate::domain::catalog::{PlanIx, Secret};
use crate::domain::country::country;
use crate::domain::{
    Address, CallerListIx, Campaign, CampaignId, CampaignIx, Catalog, E164, Plan, PublisherId, PublisherIx,
    Reason, SetBy, Tags, Tail, Timestamp, TrackingNumber,
};
use crate::routing::{Facts, Located, blocked, on_list};
use crate::runtime::hex;

/// The configured side of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Its campaign.
    pub(super) campaign: CampaignIx,
    /// Its publisher.
    pub(super) publisher: PublisherIx,
    /// The number that was dialled.
    pub(super) number: &'a TrackingNumber,
}

/// What is known of a call before anybody is asked.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// What was dialled; `None` when nobody configured it.
    pub(super) line: Option<Line<'a>>,
    /// The plan it walks.
    pub(super) plan: &'a Plan,
    /// Its position.
    pub(super) plan_ix: PlanIx,
    /// Area code of the caller, if it has a number of the North American plan.
    pub(super) area_code: Option<u16>,
    /// Two-letter state.
    pub(super) state: Option<String>,
    /// Where state and ZIP come from: `ivr publisher carrier area_code none`.
    pub(super) geo_source: &'static str,
    /// Where the caller's ZIP is.
    zip: Located,
    /// The ZIP that a tag says, where it is the one that counts.
    zip_tag: Option<Arc<str>>,
    /// The call's own tags and those of the number.
    pub(super) tags: Tags,
    /// The caller lists that the caller is on.
    lists: Vec<CallerListIx>,
}

impl<'a> Line<'a> {
    /// The line of a tracking number.
    pub(super) fn of(number: &'a TrackingNumber) -> Line<'a> {
        Line { campaign: number.campaign, publisher: number.publisher, number }
    }
}

impl<'a> Subject<'a> {
    /// Looks a call that came at `call_at` up in the catalog.
    pub(super) fn of(catalog: &'a Catalog, request: &CarrierRequest, call_at: Timestamp) -> Subject<'a> {
        let number = match &request.to {
            Address::Number(number) => catalog.number(*number),
            Address::Sip(_) => None,
        };
        let line = number.map(Line::of);
        let plan = line.map_or(catalog.default_plan, |line| catalog.campaign(line.campaign).plan_at(call_at));
        let area = request.from.and_then(E164::nanp).map(|(area, _)| area);
        let by_area = area.and_then(|area| area_code(area).state_or_territory());
        let mut tags = request.tags.clone();
        for (key, value) in number.iter().flat_map(|number| &number.tags) {
            // The catalog's tags were checked when it was loaded; a full set keeps the carrier's.
            let _ = tags.add(Arc::clone(key), value.clone(), SetBy::Number);
        }
        let (zip, zip_by) = located(request, &tags);
        let by_zip = if let Located::At(zip, _) = zip { Some(zip.state()) } else { None };
        let (state, geo_source) = match (by_zip, &request.state, by_area) {
            (Some(state), _, _) => (Some(state.to_owned()), zip_by),
            (None, Some(state), _) => (Some(state.clone()), CARRIER),
            (None, None, Some(state)) => (Some(state.to_owned()), "area_code"),
            (None, None, None) => (None, if zip == Located::Unknown { "none" } else { zip_by }),
        };
        let zip_tag = tags.get(ZIP_TAG).filter(|_| zip_by != CARRIER).map(Arc::from);
        Subject {
            line,
            plan: catalog.plan(plan),
            plan_ix: plan,
            area_code: area,
            state,
            geo_source,
            zip,
            zip_tag,
            tags,
            lists: Vec::new(),
        }
    }

    /// The same of a caller who is on these lists, ascending.
    pub(super) fn on(self, lists: Vec<CallerListIx>) -> Subject<'a> {
        Subject { lists, ..self }
    }

    /// The same if the number still belongs to this campaign and publisher; else a call to a number that nobody configured.
    pub(super) fn still(
        self,
        catalog: &Catalog,
        whose: &(Option<CampaignId>, Option<PublisherId>),
    ) -> Subject<'a> {
        let now = self.line.map(|line| (catalog.campaign(line.campaign), catalog.publisher(line.publisher)));
        let same = now.is_some_and(|(campaign, publisher)| {
            (Some(&campaign.id), Some(&publisher.id)) == (whose.0.as_ref(), whose.1.as_ref())
        });
        Subject { line: self.line.filter(|_| same), ..self }
    }

    /// What targets are screened by, for a call that came at `now`.
    pub(super) fn facts<'f>(
        &'f self,
        catalog: &'f Catalog,
        request: &'f CarrierRequest,
        now: Timestamp,
    ) -> Facts<'f> {
        let line = self.line;
        Facts {
            state: self.state.as_deref(),
            country: request.from.and_then(country),
            area_code: self.area_code,
            zip: self.zip,
            publisher: line.map(|line| catalog.publisher(line.publisher).id.as_str()),
            campaign: line.map(|line| catalog.campaign(line.campaign).id.as_str()),
            sub_id: request.sub_id.as_deref().or(line.and_then(|line| line.number.sub_id.as_deref())),
            dialled: line.map(|line| line.number.number),
            attestation: request.stir.as_deref().and_then(|stir| stir.chars().next()),
            verified: request.stir_verified,
            has_number: request.from.is_some(),
            lists: &self.lists,
            tags: &self.tags,
            now,
            earlier_attempts: 0,
        }
    }

    /// The ZIP that counts, as it came.
    pub(super) fn zip<'s>(&'s self, request: &'s CarrierRequest) -> Option<&'s str> {
        self.zip_tag.as_deref().or(request.zip.as_deref())
    }

    /// Why the call goes to where its way ends without trying anybody; see [`barred`].
    pub(super) fn barred(
        &self,
        catalog: &Catalog,
        when: (Timestamp, u32),
    ) -> Option<(Reason, Option<String>)> {
        barred(catalog, self.line, &self.lists, when)
    }

    /// The list for which the call is not sold, in words.
    pub(super) fn blocked(&self, catalog: &Catalog) -> Option<String> {
        blocked_by(catalog, &self.line?, &self.lists)
    }

    /// The campaign, unless the number is unknown.
    pub(super) fn campaign<'c>(&self, catalog: &'c Catalog) -> Option<&'c Campaign> {
        self.line.map(|line| catalog.campaign(line.campaign))
    }
}

/// The tag that says a ZIP: of the request what an IVR was told, of the number what its publisher knows.
const ZIP_TAG: &str = "zip";
const CARRIER: &str = "carrier";

/// The caller's ZIP by the best source that has one, and that source; one that is none counts only where nobody has
/// another.
fn located(request: &CarrierRequest, tags: &Tags) -> (Located, &'static str) {
    let tag = tags.iter().find(|tag| *tag.key == *ZIP_TAG);
    let of_tag = tag.map(|tag| {
        let by = match tag.set_by {
            SetBy::Carrier => "ivr",
            SetBy::Number => "publisher",
        };
        (Located::of(Some(tag.value.as_text())), by)
    });
    let of_carrier = (Located::of(request.zip.as_deref()), CARRIER);
    match of_tag {
        Some(found @ (Located::At(..), _)) => found,
        Some(none) if of_carrier.0 == Located::Unknown => none,
        _ => of_carrier,
    }
}

/// Why a call that came at `call_at` goes to where its way ends without trying anybody at this step, and the value that
/// decided.
pub(super) fn barred(
    catalog: &Catalog,
    line: Option<Line<'_>>,
    lists: &[CallerListIx],
    (call_at, step): (Timestamp, u32),
) -> Option<(Reason, Option<String>)> {
    let Some(line) = line else { return Some((Reason::UnknownNumber, None)) };
    if catalog.campaign(line.campaign).paused {
        return Some((Reason::CampaignPaused, None));
    }
    if let Some(list) = blocked_by(catalog, &line, lists) {
        return Some((Reason::CallerBlocked, Some(list)));
    }
    // A call that was taken goes on after closing time.
    let closed = closed(catalog, &line, call_at).filter(|_| step == 1)?;
    Some((closed, None))
}

fn closed(catalog: &Catalog, line: &Line<'_>, at: Timestamp) -> Option<Reason> {
    if !catalog.campaign(line.campaign).is_open(at) {
        return Some(Reason::CampaignClosed);
    }
    (!catalog.publisher(line.publisher).is_open(at)).then_some(Reason::PublisherClosed)
}

fn blocked_by(catalog: &Catalog, line: &Line<'_>, lists: &[CallerListIx]) -> Option<String> {
    let list = blocked(catalog.campaign(line.campaign), catalog.publisher(line.publisher), lists)?;
    Some(on_list(catalog, list))
}

/// The caller as this deployment's records know it: 64 bits, keyed, the same for every call of one number.
pub(super) fn record_token(key: &Secret, number: E164) -> u64 {
    let digest = number.revealed(|number| sign::keyed(&key.0, &[b"records", number.as_bytes()]));
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// Foreign text as records keep it: bounded and printable, and masked where it spells the caller's number.
pub(super) fn kept(text: &str, caller: Option<Tail>) -> Cow<'_, str> {
    if caller.is_some_and(|tail| tail.is_in(text)) { clean_note(text) } else { Cow::Borrowed(text) }
}

/// An id as records keep it: where it spells the caller's number it is masked, and told apart from others by a keyed
/// digest, since records of one id are taken for repeats.
pub(super) fn kept_id(key: &Secret, text: &str, caller: Option<Tail>) -> String {
    let masked = kept(text, caller);
    if masked == text {
        return masked.into_owned();
    }
    let digest = sign::keyed(&key.0, &[b"id", text.as_bytes()]);
    format!("{masked}#{}", hex(&digest[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_spells_the_caller_is_masked() {
        let caller = Tail::of("+15125550123");
        assert_eq!(kept("fb-77", caller), "fb-77");
        assert!(!kept("leg 512-555-0123", caller).contains("0123"));
        assert_eq!(kept("leg 512-555-0124", caller), "leg 512-555-0124");
    }

    #[test]
    fn masked_ids_are_told_apart() {
        let (key, caller) = (Secret(vec![1; 32]), Tail::of("5125550123"));
        let id = |text| kept_id(&key, text, caller);
        assert_eq!(id("e-1"), "e-1");
        assert_ne!(id("5125550123-1"), id("5125550123-2"));
        assert_eq!(id("5125550123-1"), id("5125550123-1"));
        assert!(!id("5125550123-1").contains("5550123"));
    }

    #[test]
    fn a_token_is_stable_and_keyed() {
        let number = E164::parse("+15125550123").expect("E.164");
        let (a, b) = (Secret(vec![1; 32]), Secret(vec![2; 32]));
        assert_eq!(record_token(&a, number), record_token(&a, number));
        assert_ne!(record_token(&a, number), record_token(&b, number));
    }
}

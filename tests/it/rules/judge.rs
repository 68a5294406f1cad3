//! The second implementation of screening: what docs/operators.md says, read once more, slowly.
//!
//! It looks things up by their names in the market's model and knows no type of the exchange. Of other people's work it
//! uses one thing: how far a zone is from UTC at a time.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::model::*;
use super::places::{ABROAD, AREAS, miles, zip};

/// What a test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Yes,
    No,
    /// What came cannot be compared.
    Strange,
}

impl Says {
    pub fn word(self) -> &'static str {
        match self {
            Says::Yes => "yes",
            Says::No => "no",
            Says::Strange => "strange",
        }
    }
}

/// What a target offers for a call.
#[derive(Clone, Copy, Debug)]
pub enum Offers {
    Price(i64),
    /// It is asked.
    Asked,
    Nothing(&'static str),
}

fn says(holds: bool) -> Says {
    if holds { Says::Yes } else { Says::No }
}

/// The ZIP of a call.
#[derive(Clone, Copy, PartialEq)]
pub enum Zip {
    None,
    Impossible,
    At(&'static str, Option<(f64, f64)>),
}

/// What is known of a call.
pub struct Known<'a> {
    pub market: &'a Market,
    pub call: &'a Call,
    /// The tracking number, where somebody configured it.
    pub number: Option<&'a Number>,
    pub state: Option<String>,
    pub country: Option<&'static str>,
    pub area_code: Option<u16>,
    pub zip: Zip,
    has_number: bool,
}

impl<'a> Known<'a> {
    pub fn of(market: &'a Market, call: &'a Call) -> Known<'a> {
        let number = market.numbers.iter().find(|number| number.number == call.to);
        let shown = call.from.as_deref().filter(|text| is_e164(text));
        let area_code = shown.and_then(area_of);
        let area = area_code.and_then(|code| AREAS.into_iter().find(|area| area.0 == code));
        let country = match area_code {
            Some(_) => area.and_then(|area| area.2),
            None => shown
                .and_then(|text| ABROAD.into_iter().find(|abroad| abroad.0 == text))
                .and_then(|abroad| abroad.1),
        };
        // What was keyed in, then what the publisher knows, comes before what the carrier says.
        let tag_zip = text_of("zip", &call.tags, number);
        let said: Vec<&str> = tag_zip.iter().chain(&call.zip).map(String::as_str).collect();
        let known_zip = said.iter().find_map(|text| zip(text));
        let named = call.state.as_deref().map(str::to_uppercase);
        let named = named.filter(|text| ["TX", "NY", "CA", "ON", "PR"].contains(&text.as_str()));
        let state = known_zip
            .map(|zip| zip.1.to_owned())
            .or(named)
            .or(area.and_then(|area| area.1).map(str::to_owned));
        let zip = match known_zip {
            Some(zip) => Zip::At(zip.0, zip.2),
            None if said.is_empty() => Zip::None,
            None => Zip::Impossible,
        };
        Known { market, call, number, state, country, area_code, zip, has_number: shown.is_some() }
    }

    pub fn campaign(&self) -> Option<&'a Campaign> {
        let number = self.number?;
        self.market.campaigns.iter().find(|campaign| campaign.id == number.campaign)
    }

    pub fn plan(&self) -> &'a Plan {
        let of = |campaign: &'a Campaign| {
            let now =
                campaign.scheduled.iter().find(|(hours, _)| is_open(hours, campaign.zone, self.call.at));
            now.map_or(&campaign.plan, |(_, plan)| plan)
        };
        let id = self.campaign().map_or(&self.market.default_plan, of);
        self.market.plans.iter().find(|plan| plan.id == *id).expect("a plan")
    }

    /// Whether the campaign has the plan for some hours.
    pub fn is_scheduled(&self) -> bool {
        self.campaign().is_some_and(|campaign| {
            campaign.scheduled.iter().any(|(hours, _)| is_open(hours, campaign.zone, self.call.at))
        })
    }

    /// What the winner pays.
    pub fn pricing(&self) -> Option<&'static str> {
        self.campaign().map(|campaign| if campaign.is_second { "second" } else { "first" })
    }

    pub fn publisher(&self) -> Option<&'a Publisher> {
        let number = self.number?;
        self.market.publishers.iter().find(|publisher| publisher.id == number.publisher)
    }

    /// What bars the whole call.
    pub fn barred(&self) -> Option<&'static str> {
        let (Some(campaign), Some(publisher)) = (self.campaign(), self.publisher()) else {
            return Some("unknown_number");
        };
        let is_closed = |hours: &Option<Hours>, zone| {
            hours.as_ref().is_some_and(|hours| !is_open(hours, zone, self.call.at))
        };
        if campaign.paused {
            Some("campaign_paused")
        } else if self.is_on(&campaign.blocked) || self.is_on(&publisher.blocked) {
            Some("caller_blocked")
        } else if is_closed(&campaign.hours, campaign.zone) {
            Some("campaign_closed")
        } else if is_closed(&publisher.hours, publisher.zone) {
            Some("publisher_closed")
        } else {
            None
        }
    }

    /// What every rule about the whole call says.
    pub fn whole(&self) -> Vec<&'static str> {
        let (Some(campaign), Some(publisher)) = (self.campaign(), self.publisher()) else {
            return Vec::new();
        };
        let mut all = vec![says(!campaign.paused)];
        if !campaign.blocked.is_empty() || !publisher.blocked.is_empty() {
            all.push(says(!self.is_on(&campaign.blocked) && !self.is_on(&publisher.blocked)));
        }
        all.extend(campaign.hours.iter().map(|hours| says(is_open(hours, campaign.zone, self.call.at))));
        all.extend(publisher.hours.iter().map(|hours| says(is_open(hours, publisher.zone, self.call.at))));
        all.into_iter().map(Says::word).collect()
    }

    /// Every floor that campaign and publisher ask of the call, with its name.
    pub fn floors(&self) -> Vec<(String, i64)> {
        let (Some(campaign), Some(publisher)) = (self.campaign(), self.publisher()) else {
            return Vec::new();
        };
        let mut floors = vec![("campaign".to_owned(), campaign.floor)];
        let row = campaign.floors.iter().position(|row| self.hold(&row.when));
        floors.extend(row.map(|row| (format!("campaign row {}", row + 1), campaign.floors[row].floor)));
        let own = publisher.floors.iter().find(|(id, _)| *id == campaign.id).map_or(0, |(_, floor)| *floor);
        floors.push(("publisher".to_owned(), publisher.floor.max(own)));
        floors
    }

    /// The highest of them.
    pub fn floor(&self) -> i64 {
        self.floors().into_iter().map(|(_, floor)| floor).max().unwrap_or(0)
    }

    /// Whether a price leaves the margin.
    pub fn leaves_margin(&self, price: i64) -> bool {
        let (Some(campaign), Some(publisher)) = (self.campaign(), self.publisher()) else { return true };
        let Some(Margin { amount, part }) = campaign.min_margin else { return true };
        let own = publisher.payouts.iter().find(|(id, _)| *id == campaign.id).map(|(_, payout)| payout);
        let (price, amount, part) = (i128::from(price), i128::from(amount), i128::from(part));
        // Hundredths of a per cent of what is left.
        let left = match own.unwrap_or(&campaign.payout) {
            Payout::Fixed(payout) => (price - i128::from(*payout)) * 10_000,
            // What is left is price × (1 − share).
            Payout::Share(share) => price * i128::from(10_000 - share),
        };
        // With nothing asked for, a share never leaves less.
        left >= amount * 10_000 && left >= part * price
    }

    /// The lowest price that does.
    pub fn least_leaving(&self) -> i64 {
        let (mut low, mut high) = (0, i64::from(u32::MAX) * CENT);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.leaves_margin(middle) { high = middle } else { low = middle + 1 }
        }
        low
    }

    fn tag(&self, key: &str) -> Option<String> {
        text_of(key, &self.call.tags, self.number)
    }

    /// What a filter says, for a buyer in this zone.
    pub fn says(&self, filter: &Filter, zone: &str) -> Says {
        match filter {
            Filter::All(parts) => {
                let said: Vec<Says> = parts.iter().map(|part| self.says(part, zone)).collect();
                if said.contains(&Says::No) {
                    Says::No
                } else if said.contains(&Says::Strange) {
                    Says::Strange
                } else {
                    Says::Yes
                }
            }
            Filter::Any(parts) => {
                let said: Vec<Says> = parts.iter().map(|part| self.says(part, zone)).collect();
                if said.contains(&Says::Yes) {
                    Says::Yes
                } else if said.contains(&Says::Strange) {
                    Says::Strange
                } else {
                    Says::No
                }
            }
            Filter::Not(part) => match self.says(part, zone) {
                Says::Yes => Says::No,
                Says::No => Says::Yes,
                Says::Strange => Says::Strange,
            },
            Filter::State(states) => says(self.state.as_deref().is_some_and(|state| states.contains(&state))),
            Filter::Country(countries) => {
                says(self.country.is_some_and(|country| countries.contains(&country)))
            }
            Filter::AreaCode(codes) => says(self.area_code.is_some_and(|code| codes.contains(&code))),
            Filter::Zip(zips) => match self.zip {
                Zip::None => Says::No,
                Zip::Impossible => Says::Strange,
                Zip::At(own, _) => says(zips.iter().any(|text| fits(text, own))),
            },
            Filter::Near(center, radius) => match (self.zip, zip(center).and_then(|zip| zip.2)) {
                (Zip::None, _) => Says::No,
                (Zip::At(_, Some(there)), Some(here)) => says(miles(here, there) <= f64::from(*radius)),
                _ => Says::Strange,
            },
            Filter::Publisher(ids) => says(self.number.is_some_and(|number| ids.contains(&number.publisher))),
            Filter::Campaign(ids) => says(self.number.is_some_and(|number| ids.contains(&number.campaign))),
            Filter::SubId(texts) => {
                let own = self.call.sub_id.as_ref().or_else(|| self.number?.sub_id.as_ref());
                says(own.is_some_and(|own| texts.iter().any(|text| fits(text, own))))
            }
            Filter::Number(texts) => {
                says(self.number.is_some_and(|number| texts.iter().any(|text| fits(text, &number.number))))
            }
            Filter::Hours(hours, own) => says(is_open(hours, own.unwrap_or(zone), self.call.at)),
            Filter::Stir(levels) => {
                let level = self.call.stir.as_deref().filter(|level| ["A", "B", "C"].contains(level));
                let is_false = self.call.verified == Some("failed");
                says(levels.contains(&level.filter(|_| !is_false).unwrap_or("none")))
            }
            Filter::Verified(states) => says(states.contains(&self.call.verified.unwrap_or("unverified"))),
            Filter::Anonymous(wanted) => says(*wanted != self.has_number),
            Filter::Tag(key, test) => tag_says(test, self.tag(key).as_deref()),
        }
    }

    /// The reason that a filter which does not hold gives: that of the part on which what it says rests, the first one that
    /// says the same.
    fn reason(&self, filter: &Filter, zone: &str) -> &'static str {
        match filter {
            Filter::All(parts) | Filter::Any(parts) => {
                let whole = self.says(filter, zone);
                let same = parts.iter().find(|part| self.says(part, zone) == whole);
                self.reason(same.expect("one of them decides"), zone)
            }
            Filter::Not(part) => self.reason(part, zone),
            Filter::State(_)
            | Filter::Country(_)
            | Filter::AreaCode(_)
            | Filter::Zip(_)
            | Filter::Near(..) => "geo",
            Filter::Publisher(_) | Filter::Campaign(_) | Filter::SubId(_) | Filter::Number(_) => "source",
            Filter::Hours(..) => "closed",
            Filter::Stir(_) | Filter::Verified(_) => "attestation",
            Filter::Anonymous(_) => "anonymous",
            Filter::Tag(..) => "tag",
        }
    }

    /// Whether the caller is on one of these lists.
    fn is_on(&self, lists: &[String]) -> bool {
        lists.iter().any(|list| self.call.lists.contains(list))
    }

    /// `candidate`, or why the target is not one for a call of which so many attempts came to nothing.
    pub fn verdict(&self, target: &Target, earlier: u32) -> &'static str {
        let buyer = self.buyer(target);
        let is_open = |hours: &Option<Hours>| {
            hours.as_ref().is_none_or(|hours| is_open(hours, buyer.zone, self.call.at))
        };
        if target.paused {
            return "paused";
        }
        if buyer.paused {
            return "buyer_paused";
        }
        if self.is_on(&buyer.suppressed) || self.is_on(&target.suppressed) {
            return "suppressed";
        }
        if !is_open(&buyer.hours) || !is_open(&target.hours) {
            return "closed";
        }
        if target.earlier_attempts.is_some_and(|most| earlier > most) {
            return "earlier_attempts";
        }
        for filter in &target.filters {
            if self.says(filter, buyer.zone) != Says::Yes {
                return self.reason(filter, buyer.zone);
            }
        }
        "candidate"
    }

    /// `candidate` or why not, and what every rule says, of a target that the way does not come to for a reason, or in a node
    /// with this floor.
    pub fn tried(&self, target: &Target, left: Option<&'static str>, node: i64) -> (&'static str, Vec<Says>) {
        let mut rules = self.rules(target);
        let mut verdict = self.barred().or(left).unwrap_or_else(|| self.verdict(target, 0));
        let offers = self.offers(target);
        if matches!(target.price, Price::Table(_)) || self.range(target).is_some() {
            rules.push(says(!matches!(offers, Offers::Nothing(_))));
        }
        if let (Offers::Nothing(reason), "candidate") = (offers, verdict) {
            verdict = reason;
        }
        if let (Offers::Price(price), Some(_)) = (offers, self.number) {
            let reaches = price >= self.floor().max(node).max(self.own_floor(target));
            let leaves = self.leaves_margin(price);
            rules.extend([says(reaches), says(leaves)]);
            verdict = match verdict {
                "candidate" if !reaches => "below_floor",
                "candidate" if !leaves => "margin",
                other => other,
            };
        }
        (verdict, rules)
    }

    /// The range of a target that counts now.
    fn range<'t>(&self, target: &'t Target) -> Option<&'t Range> {
        let zone = self.buyer(target).zone;
        target.ranges.iter().find(|range| is_open(&range.hours, zone, self.call.at))
    }

    /// The floor of a target now.
    pub fn own_floor(&self, target: &Target) -> i64 {
        self.range(target).and_then(|range| range.floor).unwrap_or(target.floor)
    }

    /// The row of a table that bids.
    pub fn row(&self, target: &Target, table: &Table) -> Option<usize> {
        let zone = self.buyer(target).zone;
        let holds = |row: &Row| row.when.iter().all(|filter| self.says(filter, zone) == Says::Yes);
        table.rows.iter().position(holds)
    }

    /// What a target offers for the call.
    pub fn offers(&self, target: &Target) -> Offers {
        let of_range = self.range(target).and_then(|range| range.price);
        match &target.price {
            Price::Bids(..) => Offers::Asked,
            Price::Fixed(price) => Offers::Price(of_range.unwrap_or(*price)),
            Price::Table(table) => match self.row(target, table) {
                Some(row) if table.rows[row].bid == 0 => Offers::Nothing("no_bid"),
                Some(row) => Offers::Price(table.rows[row].bid),
                None => of_range.or(table.base).map_or(Offers::Nothing("no_row"), Offers::Price),
            },
        }
    }

    /// Whether a range has another price or floor now.
    pub fn is_in_range(&self, target: &Target) -> bool {
        self.range(target).is_some()
    }

    /// What is said of where the bid of a table comes from; nothing of the base of some hours.
    pub fn note(&self, target: &Target) -> Option<String> {
        let Price::Table(table) = &target.price else { return None };
        match self.row(target, table) {
            Some(row) => Some(format!("row {} of the table", row + 1)),
            None if self.is_in_range(target) || table.base.is_none() => None,
            None => Some("base bid of the table".to_owned()),
        }
    }

    /// What every rule of a target says of a fresh call: whether it and its buyer are paused, which callers they do not want,
    /// their hours, how many may have tried before it, its filters.
    pub fn rules(&self, target: &Target) -> Vec<Says> {
        let buyer = self.buyer(target);
        let mut all = vec![says(!target.paused), says(!buyer.paused)];
        for lists in [&buyer.suppressed, &target.suppressed] {
            all.extend((!lists.is_empty()).then(|| says(!self.is_on(lists))));
        }
        for hours in [&buyer.hours, &target.hours].into_iter().flatten() {
            all.push(says(is_open(hours, buyer.zone, self.call.at)));
        }
        all.extend(target.earlier_attempts.map(|_| Says::Yes));
        all.extend(target.filters.iter().map(|filter| self.says(filter, buyer.zone)));
        all
    }

    /// Whether a branch of a plan may be taken. Its hours name their zone.
    pub fn may_take(&self, branch: &Branch) -> bool {
        self.hold(&branch.when)
    }

    /// What the first of a branch's conditions says that does not hold.
    pub fn branch_says(&self, branch: &Branch) -> Says {
        let mut said = branch.when.iter().map(|filter| self.says(filter, "UTC"));
        said.find(|says| *says != Says::Yes).unwrap_or(Says::Yes)
    }

    /// Whether all of these hold, whose hours name their zone.
    fn hold(&self, filters: &[Filter]) -> bool {
        filters.iter().all(|filter| self.says(filter, "UTC") == Says::Yes)
    }

    fn buyer(&self, target: &Target) -> &'a Buyer {
        self.market.buyers.iter().find(|buyer| buyer.id == target.buyer).expect("a buyer")
    }
}

pub fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit()) && !digits.starts_with('0')
}

/// The area code of a number of ten digits after +1, where area and exchange begin with 2 to 9.
fn area_of(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("+1").filter(|digits| digits.len() == 10)?;
    let is_plan = ['0', '1'].iter().all(|low| !digits.starts_with(*low) && !digits[3..].starts_with(*low));
    if is_plan { digits[..3].parse().ok() } else { None }
}

/// A text, or a beginning with a star.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == pattern,
    }
}

fn tag_says(test: &Test, value: Option<&str>) -> Says {
    let as_number = |holds: &dyn Fn(i128) -> bool| match value {
        None => Says::No,
        Some(text) => number(text).map_or(Says::Strange, |number| says(holds(number))),
    };
    let limit = |text: &str| number(text).expect("a limit is a number");
    let is_in = |values: &[String]| value.is_some_and(|value| values.iter().any(|one| one == value));
    match test {
        Test::Is(one) => says(value == Some(one)),
        Test::IsNot(one) => says(value != Some(one)),
        Test::In(values) => says(is_in(values)),
        Test::NotIn(values) => says(!is_in(values)),
        Test::Below(most) => as_number(&|number| number < limit(most)),
        Test::Above(least) => as_number(&|number| number > limit(least)),
        Test::Between(low, high) => as_number(&|number| limit(low) <= number && number <= limit(high)),
        Test::Exists(wanted) => says(value.is_some() == *wanted),
        Test::Prefix(beginning) => says(value.is_some_and(|value| value.starts_with(beginning))),
        Test::Matches(pattern) => says(value.is_some_and(|value| match pattern {
            Pattern::Contains(part) => value.contains(part),
            Pattern::Begins(part) => value.starts_with(part),
            Pattern::Ends(part) => value.ends_with(part),
            Pattern::Whole(whole) => whole.iter().any(|one| one == value),
            Pattern::Digit => value.chars().any(|c| c.is_ascii_digit()),
        })),
    }
}

/// A tag as text: the carrier's, else the number's.
fn text_of(key: &str, tags: &[(String, Value)], number: Option<&Number>) -> Option<String> {
    let of = |tags: &[(String, Value)]| tags.iter().find(|tag| tag.0 == key).map(|tag| tag.1.clone());
    let value = of(tags).or_else(|| of(&number?.tags))?;
    Some(match value {
        Value::Text(text) | Value::Number(text) => text,
        Value::Flag(flag) => flag.to_string(),
    })
}

/// Millionths of a number as tags may write it: digits, a sign if it is below zero, at most six decimals.
fn number(text: &str) -> Option<i128> {
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    let (whole, part) = size.split_once('.').unwrap_or((size, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) || part.len() > 6 || whole.len() > 12 {
        return None;
    }
    Some(sign * format!("{whole}{part:0<6}").parse::<i128>().expect("digits"))
}

/// Whether the clock on the wall of a zone shows opening hours.
pub fn is_open(hours: &Hours, zone: &str, at: i64) -> bool {
    let local = at + offset_of(zone, at);
    let (today, minute) = (local.div_euclid(86_400), local.rem_euclid(86_400) / 60);
    let is_dated = |day: i64| {
        hours
            .iter()
            .any(|line| matches!(line, Line::Dated(first, last, _) if (*first..=*last).contains(&day)))
    };
    let weekly = || hours.iter().filter(|line| matches!(line, Line::Weekly(..)));
    // The spans that begin on a day: its own where it has a date, else those of its weekday. Only dates at all: every other
    // day is open.
    let spans = |day: i64| -> Vec<Span> {
        // 1970-01-01 was a Thursday.
        let weekday = (day + 3).rem_euclid(7) as usize;
        if is_dated(day) {
            let of = |line: &Line| match line {
                Line::Dated(first, last, span) if (*first..=*last).contains(&day) => *span,
                _ => None,
            };
            return hours.iter().filter_map(of).collect();
        }
        if weekly().next().is_none() {
            return vec![Span { start: 0, end: 1_440 }];
        }
        let of = |line: &Line| match line {
            Line::Weekly(days, span) if days[weekday] => Some(*span),
            _ => None,
        };
        hours.iter().filter_map(of).collect()
    };
    let runs_past_midnight = |span: &Span| span.end <= span.start;
    let (from, to) = (|span: &Span| i64::from(span.start), |span: &Span| i64::from(span.end));
    let begun_today = spans(today)
        .iter()
        .any(|span| minute >= from(span) && (minute < to(span) || runs_past_midnight(span)));
    // Nothing of the night before reaches into a date of its own.
    let from_yesterday =
        !is_dated(today) && spans(today - 1).iter().any(|span| runs_past_midnight(span) && minute < to(span));
    begun_today || from_yesterday
}

/// Seconds that the clocks of a zone are ahead of UTC. Looking a zone up takes longer than all the rest of this file, so each
/// thread keeps those that it has met.
fn offset_of(zone: &str, at: i64) -> i64 {
    thread_local! {
        static MET: RefCell<BTreeMap<String, TimeZone>> = const { RefCell::new(BTreeMap::new()) };
    }
    MET.with_borrow_mut(|met| {
        if !met.contains_key(zone) {
            met.insert(zone.to_owned(), TimeZoneDatabase::bundled().get(zone).expect("a zone"));
        }
        let time = jiff::Timestamp::from_second(at).expect("a time");
        i64::from(met[zone].to_offset(time).seconds())
    })
}

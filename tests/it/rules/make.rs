//! Markets and calls drawn from a seed: small, of every kind of rule, and valid.
//!
//! What `outcry check` refuses (hours that overlap, lists that exclude each other, a target twice) is not drawn: each
//! market must load. Values come from small sets, so that rules and calls meet.

use load::chance::Chance;

use super::judge::is_e164;
use super::model::*;
use super::open;
use super::places::{ABROAD, AREAS, NO_ZIPS, ZIPS, miles, zip};

const ZONES: [&str; 10] = [
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/St_Johns",
    "Pacific/Honolulu",
    "Europe/London",
    "Australia/Lord_Howe",
    "UTC",
];
const STATES: [&str; 12] = ["TX", "NY", "CA", "FL", "IL", "GA", "AZ", "ON", "PR", "GU", "NJ", "DC"];
const COUNTRIES: [&str; 7] = ["US", "CA", "GB", "JM", "PR", "MX", "DE"];
const LABELS: [&str; 6] = ["tv-auto", "tv-home", "fb-1", "fb-22", "x", "search"];
const SUB_IDS: [&str; 6] = ["tv-auto", "tv-*", "fb-*", "search", "x", "*"];
const KEYS: [&str; 5] = ["case", "age", "score", "vip", "zip"];
const WORDS: [&str; 8] = ["collision", "slip", "Slip", "truck 2", "true", "65", "7", "78701"];
const NUMBERS: [&str; 12] =
    ["18", "64", "65", "7", "-3", "2.5", "2.50", "0.000001", "10", "100", "-0", "64.000001"];
/// What comes as a number and is none that can be compared.
const STRANGE: [&str; 7] = ["old", "6 5", "1e3", "+5", ".5", "65.", "99999999999999999999"];
const NUMBERS_DIALLED: [&str; 3] = ["+18005550100", "+18005550101", "+18885550100"];
/// Caller lists, not in the order of their ids.
const LISTS: [&str; 3] = ["members", "do-not-sell", "premium"];
/// Ends of ways.
const ACTIONS: [Action; 4] = [
    ("dial", "+16025550160"),
    ("voicemail", "Leave a number"),
    ("message", "Call later"),
    ("hangup", "rejected"),
];
/// Days around which calls come and hours have dates: changes of clocks, holidays, turns of years.
const AROUND: [i64; 9] = [20_520, 20_541, 20_547, 20_638, 20_758, 20_783, 20_811, 20_812, 20_819];

pub struct Maker {
    chance: Chance,
    /// What targets of the market ask for already.
    usual: Vec<Filter>,
}

/// The market with this number.
pub fn market(seed: u64, number: u64) -> Market {
    let mut maker = Maker { chance: Chance::new(seed, &["market", &number.to_string()]), usual: Vec::new() };
    maker.market()
}

/// The call with this number to a market.
pub fn call(seed: u64, number: u64, call: u64, market: &Market) -> Call {
    let parts = ["call", &number.to_string(), &call.to_string()];
    let mut maker = Maker { chance: Chance::new(seed, &parts), usual: Vec::new() };
    maker.call(market)
}

/// The same market, each of whose targets asks for two things, which may exclude each other.
pub fn with_pairs(seed: u64, number: u64, market: &Market) -> Market {
    let mut maker = Maker { chance: Chance::new(seed, &["pairs", &number.to_string()]), usual: Vec::new() };
    let publishers: Vec<String> = market.publishers.iter().map(|one| one.id.clone()).collect();
    let campaigns: Vec<String> = market.campaigns.iter().map(|one| one.id.clone()).collect();
    let numbers = NUMBERS_DIALLED;
    let names = Names { groups: &[], publishers: &publishers, campaigns: &campaigns, numbers: &numbers };
    let mut market = market.clone();
    // Hours of a pair could never meet those of a target or its buyer, which is another error.
    market.buyers.iter_mut().for_each(|buyer| buyer.hours = None);
    for target in &mut market.targets {
        target.hours = None;
        target.filters = maker.pair(&names);
    }
    market
}

impl Maker {
    /// Two conditions, mostly of one kind; now and then one is that a third does not hold.
    fn pair(&mut self, names: &Names<'_>) -> Vec<Filter> {
        loop {
            let are_tags = self.percent(30);
            let mut two = [(); 2].map(|()| if are_tags { self.tag() } else { self.filter(1, names, true) });
            // Short lists seldom have something in common, and seldom are the same by chance.
            two.iter_mut().filter(|_| self.percent(50)).for_each(shorten);
            if self.percent(5) {
                two[1] = two[0].clone();
            }
            let kinds = two.each_ref().map(kind_of);
            let is_of_one = kinds[0].is_some() && kinds[0] == kinds[1];
            if !is_of_one && !self.percent(6) {
                continue;
            }
            let refused = self.up_to(5);
            if let Some(one) = two.get_mut(refused) {
                *one = Filter::Not(Box::new(one.clone()));
            }
            // Beside another of its kind it excludes less.
            if is_of_one && self.percent(20) {
                let third = loop {
                    let third = if are_tags { self.tag() } else { self.filter(1, names, true) };
                    if kind_of(&third) == kinds[0] {
                        break third;
                    }
                };
                let any = Filter::Any(vec![two[1].clone(), third]);
                two[1] = if self.percent(30) { Filter::Not(Box::new(any)) } else { any };
            }
            // Part of an `all` it excludes no less.
            if self.percent(15) {
                two[1] = Filter::All(vec![two[1].clone()]);
            }
            return two.to_vec();
        }
    }

    fn up_to(&mut self, most: u64) -> usize {
        self.chance.between(0, most) as usize
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.chance.hits(percent * 100)
    }

    fn one<T: Clone>(&mut self, items: &[T]) -> T {
        self.chance.pick(items).expect("there are some").clone()
    }

    /// One or more of these, each once, in a drawn order.
    fn some<T: Clone>(&mut self, items: &[T], most: usize) -> Vec<T> {
        let mut left = items.to_vec();
        let many = 1 + self.up_to(most.min(items.len()) as u64 - 1);
        (0..many).map(|_| left.remove(self.chance.between(0, left.len() as u64 - 1) as usize)).collect()
    }

    /// Whole and half amounts, so that many are equal.
    fn amount(&mut self, low: u64, high: u64) -> i64 {
        self.chance.between(low * 2, high * 2) as i64 * 50 * CENT
    }

    /// More than half are of three amounts, so that many are level. 24.00 at 75 % is level with 18.00 in score only.
    fn price(&mut self) -> i64 {
        if self.percent(60) { self.one(&[1_800, 2_400, 3_000]) * CENT } else { self.amount(8, 40) }
    }

    fn market(&mut self) -> Market {
        let id = |maker: &mut Maker, kind: &str, at: usize| {
            // Ids sort otherwise than they are made.
            format!("{}{kind}{at}", maker.one(&["a", "m", "z"]))
        };
        let mut market = Market {
            buyers: Vec::new(),
            targets: Vec::new(),
            caller_lists: LISTS.map(str::to_owned).into(),
            groups: Vec::new(),
            plans: Vec::new(),
            campaigns: Vec::new(),
            publishers: Vec::new(),
            numbers: Vec::new(),
            default_plan: String::new(),
        };
        for at in 0..1 + self.up_to(3) {
            let id = id(self, "-buyer", at);
            let hours = self.percent(20).then(|| self.hours());
            let suppressed = self.lists(12);
            let paused = self.percent(3);
            market.buyers.push(Buyer { id, zone: self.one(&ZONES), paused, hours, suppressed });
        }
        let publishers: Vec<String> = (0..2).map(|at| id(self, "-pub", at)).collect();
        let campaigns: Vec<String> = (0..2).map(|at| id(self, "-camp", at)).collect();
        let numbers = NUMBERS_DIALLED;
        let groups = Vec::new();
        let names =
            Names { publishers: &publishers, campaigns: &campaigns, numbers: &numbers, groups: &groups };
        for at in 0..3 + self.up_to(9) {
            let id = id(self, "-target", at);
            let target = self.target(id, &market.buyers, &names);
            market.targets.push(target);
        }
        let mut groups = Vec::new();
        let mut left: Vec<&Target> = market.targets.iter().collect();
        for at in 0..self.up_to(2) {
            // Groups may use those before them.
            let names = Names { groups: &groups, ..names };
            if let Some(node) = self.node(&mut left, &names, 5) {
                groups.push((format!("group-{at}"), node));
            }
        }
        let names = Names { groups: &groups, ..names };
        for at in 0..1 + self.up_to(1) {
            let mut left: Vec<&Target> = market.targets.iter().collect();
            let root = (!self.percent(2)).then(|| self.root(&mut left, &names));
            market.plans.push(Plan { id: format!("plan-{at}"), root });
        }
        market.groups.clone_from(&groups);
        market.default_plan = self.one(&market.plans).id;
        for id in &campaigns {
            let payout = self.payout();
            let campaign = Campaign {
                id: id.clone(),
                plan: self.one(&market.plans).id,
                paused: self.percent(2),
                deadline_ms: self.one(&[100, 300]),
                early_close: self.percent(60),
                floor: if self.percent(50) { self.amount(8, 14) } else { 0 },
                floors: if self.percent(30) { self.floors(&names) } else { Vec::new() },
                is_second: self.percent(45),
                blocked: self.lists(10),
                payout,
                min_margin: self.margin(),
                scheduled: Vec::new(),
                zone: self.one(&ZONES),
                hours: self.percent(15).then(|| self.hours()),
            };
            let scheduled =
                if self.percent(30) { self.scheduled(&campaign, &market.plans) } else { Vec::new() };
            market.campaigns.push(Campaign { scheduled, ..campaign });
        }
        for id in &publishers {
            let own: Vec<String> = campaigns.iter().filter(|_| self.percent(30)).cloned().collect();
            let payouts = own.into_iter().map(|campaign| (campaign, self.payout())).collect();
            let floored: Vec<String> = campaigns.iter().filter(|_| self.percent(25)).cloned().collect();
            market.publishers.push(Publisher {
                id: id.clone(),
                zone: self.one(&ZONES),
                hours: self.percent(15).then(|| self.hours()),
                floor: if self.percent(30) { self.amount(8, 16) } else { 0 },
                blocked: self.lists(10),
                floors: floored.into_iter().map(|campaign| (campaign, self.amount(8, 20))).collect(),
                payouts,
            });
        }
        // A payout that leaves the margin at no price is an error.
        for campaign in &mut market.campaigns {
            let own = market.publishers.iter().flat_map(|publisher| &publisher.payouts);
            let own = own.filter(|(id, _)| *id == campaign.id).map(|(_, payout)| payout);
            let least = own.chain([&campaign.payout]).map(left_of_shares).min().unwrap_or(0);
            let is_possible = |margin: Margin| margin.part <= least && (least > 0 || margin.amount == 0);
            campaign.min_margin = campaign.min_margin.map(|margin| match is_possible(margin) {
                true => margin,
                false => Margin { amount: 0, part: 0 },
            });
        }
        for number in numbers {
            let sub_id = self.percent(50).then(|| self.one(&LABELS).to_owned());
            let tags = if self.percent(50) { self.tags(2) } else { Vec::new() };
            let (campaign, publisher) = (self.one(&campaigns), self.one(&publishers));
            let sends = market.publishers.iter_mut().find(|one| one.id == publisher).expect("a publisher");
            let sold_by = market.campaigns.iter().find(|one| one.id == campaign).expect("a campaign");
            open::together(sends, sold_by);
            market.numbers.push(Number { number: number.to_owned(), campaign, publisher, sub_id, tags });
        }
        open::somewhen(&mut market);
        market
    }

    fn margin(&mut self) -> Option<Margin> {
        let amount = self.amount(1, 5);
        match self.up_to(9) {
            0..=2 => None,
            3..=4 => Some(Margin { amount: 0, part: 0 }),
            5..=6 => Some(Margin { amount, part: 0 }),
            7 => Some(Margin { amount: 0, part: self.one(&[1_000, 2_500, 3_333, 4_000]) }),
            _ => Some(Margin { amount, part: self.one(&[1_000, 1_250, 3_333]) }),
        }
    }

    fn floors(&mut self, names: &Names<'_>) -> Vec<FloorRow> {
        let row = |maker: &mut Maker| {
            let when = maker.top_filters(names, false);
            FloorRow { when, floor: maker.amount(9, 22) }
        };
        let mut rows: Vec<FloorRow> = Vec::new();
        for _ in 0..1 + self.up_to(2) {
            let next = row(self);
            if !rows.iter().any(|before| may_be_taken(&before.when, &next.when)) {
                rows.push(next);
            }
        }
        rows
    }

    /// Plans by the clock, each of which has a time that those before it and the campaign's hours leave, as far as
    /// `outcry check` asks.
    fn scheduled(&mut self, campaign: &Campaign, plans: &[Plan]) -> Vec<(Hours, String)> {
        let mut left = vec![true; 7 * 1_440];
        let weekly = |hours: &Hours, week: &mut dyn FnMut(usize)| {
            for line in hours {
                if let Line::Weekly(days, span) = line {
                    minutes_of(days, *span).into_iter().for_each(&mut *week);
                }
            }
        };
        if let Some(hours) = &campaign.hours {
            let mut open = vec![false; 7 * 1_440];
            weekly(hours, &mut |minute| open[minute] = true);
            if !hours.iter().any(|line| matches!(line, Line::Weekly(..))) {
                return Vec::new();
            }
            left = open;
        }
        let mut scheduled = Vec::new();
        for _ in 0..1 + self.up_to(1) {
            let hours = self.hours();
            let mut after = left.clone();
            weekly(&hours, &mut |minute| after[minute] = false);
            // Some minutes for it, and some for those behind it.
            if after != left && after.contains(&true) {
                left = after;
                scheduled.push((hours, self.one(plans).id));
            }
        }
        scheduled
    }

    /// Some caller lists, in so many of a hundred cases.
    fn lists(&mut self, percent: u32) -> Vec<String> {
        if self.percent(percent) { self.some(&LISTS.map(str::to_owned), 2) } else { Vec::new() }
    }

    fn payout(&mut self) -> Payout {
        match self.up_to(9) {
            0 => Payout::Share(10_000),
            1..=4 => Payout::Share(self.one(&[5_000, 6_000, 6_250, 9_000])),
            _ => Payout::Fixed(self.amount(0, 18)),
        }
    }

    fn target(&mut self, id: String, buyers: &[Buyer], names: &Names<'_>) -> Target {
        let buyer = self.one(buyers);
        let most = self.amount(18, 60);
        let price = if self.percent(55) {
            Price::Bids(most, self.one(&[5, 20, 60, 60, 60, 60]))
        } else if self.percent(35) {
            Price::Table(self.table(names))
        } else {
            Price::Fixed(self.price())
        };
        let mut hours = self.percent(15).then(|| self.hours());
        if let (Some(own), Some(theirs)) = (&hours, &buyer.hours)
            && !may_meet(own, theirs)
        {
            hours = None;
        }
        let ranges = match self.percent(20) {
            true => self.ranges(&price, [&hours, &buyer.hours].into_iter().flatten()),
            false => Vec::new(),
        };
        let filters = if self.percent(45) { self.top_filters(names, true) } else { Vec::new() };
        Target {
            id,
            buyer: buyer.id,
            paused: self.percent(3),
            filters,
            hours,
            floor: if self.percent(25) { self.amount(5, 30) } else { 0 },
            tier: self.one(&[1, 1, 1, 1, 2, 3]),
            priority: self.one(&[100, 100, 100, 50]),
            weight: self.one(&[1, 1, 3, 0, 7]),
            multiplier: if self.percent(70) { 10_000 } else { self.one(&[9_000, 11_000, 10_250, 7_500]) },
            price,
            ranges,
            suppressed: self.lists(12),
            earlier_attempts: self.percent(15).then(|| self.one(&[0, 1, 2, 16])),
        }
    }

    /// Rows of which none asks as much as one before it, or more: those behind would never be reached.
    fn table(&mut self, names: &Names<'_>) -> Table {
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..1 + self.up_to(4) {
            let when = self.top_filters(names, true);
            let is_reached = !rows.iter().any(|row| asks_all_of(&when, &row.when));
            if is_reached {
                rows.push(Row { when, bid: if self.percent(15) { 0 } else { self.price() } });
            }
        }
        if self.percent(10) {
            rows.push(Row { when: Vec::new(), bid: self.price() });
        }
        let takes_all = rows.iter().any(|row| row.when.is_empty());
        // One that never bids is an error.
        let is_idle = rows.iter().all(|row| row.bid == 0);
        let base = (!takes_all && (is_idle || self.percent(60))).then(|| self.price());
        Table { base, rows }
    }

    /// Hours that do not overlap and each meet those of target and buyer.
    fn ranges<'h>(&mut self, price: &Price, open: impl Iterator<Item = &'h Hours> + Clone) -> Vec<Range> {
        let mut week = [false; 7 * 1_440];
        let mut ranges = Vec::new();
        for _ in 0..1 + self.up_to(1) {
            let set: u8 = self.one(&[0b111_1111, 0b1_1111, 0b110_0000, 0b1_0101]);
            let line = Line::Weekly(std::array::from_fn(|day| set >> day & 1 == 1), self.span());
            let Line::Weekly(days, span) = &line else { unreachable!("it is weekly") };
            let mut minutes = minutes_of(days, *span);
            minutes.sort_unstable();
            let is_alone =
                minutes.windows(2).all(|two| two[0] < two[1]) && !minutes.iter().any(|at| week[*at]);
            let hours = vec![line];
            if !is_alone || !open.clone().all(|other| may_meet(&hours, other)) {
                continue;
            }
            minutes.into_iter().for_each(|at| week[at] = true);
            let is_asked = matches!(price, Price::Bids(..));
            let price = (!is_asked && self.percent(75)).then(|| self.price());
            let floor = (price.is_none() || self.percent(30)).then(|| self.amount(5, 30));
            ranges.push(Range { hours, price, floor });
        }
        ranges
    }

    /// Filters that stand side by side; those whose lists could exclude each other come once.
    fn top_filters(&mut self, names: &Names<'_>, has_zone: bool) -> Vec<Filter> {
        let mut filters: Vec<Filter> = Vec::new();
        let (mut drawn, least) = (0, 1 + self.up_to(2));
        while drawn < least || filters.is_empty() {
            drawn += 1;
            let filter = self.usual_or_new(names, has_zone);
            let asked: Vec<Filter> = filters.iter().chain([&filter]).flat_map(side_by_side).collect();
            let excludes = |at: usize| asked[..at].iter().any(|other| may_exclude(other, &asked[at]));
            if !(0..asked.len()).any(excludes) {
                filters.push(filter);
            }
        }
        filters
    }

    /// What some target asks for already, as most do in a market, or another; of those that some zone is behind.
    fn usual_or_new(&mut self, names: &Names<'_>, has_zone: bool) -> Filter {
        if has_zone && !self.usual.is_empty() && self.percent(40) {
            return self.chance.pick(&self.usual).expect("there are some").clone();
        }
        let depth = self.one(&[1, 1, 2, 3, 8]);
        let filter = self.filter(depth, names, has_zone);
        if has_zone {
            self.usual.push(filter.clone());
        }
        filter
    }

    /// A filter of at most this depth; at 8 it goes down to the last.
    fn filter(&mut self, depth: usize, names: &Names<'_>, has_zone: bool) -> Filter {
        if depth > 1 {
            let parts = |maker: &mut Maker| -> Vec<Filter> {
                let many = 1 + maker.up_to(2);
                let first = depth - 1;
                (0..many)
                    .map(|at| maker.filter(if at == 0 { first } else { first.min(2) }, names, has_zone))
                    .collect()
            };
            return match self.up_to(2) {
                0 => Filter::All(parts(self)),
                1 => Filter::Any(parts(self)),
                _ => Filter::Not(Box::new(self.filter(depth - 1, names, has_zone))),
            };
        }
        match self.up_to(18) {
            0 | 1 => Filter::State(self.some(&STATES, 8)),
            2 => Filter::Country(self.some(&COUNTRIES, 4)),
            3 => Filter::AreaCode(self.some(&AREAS.map(|area| area.0), 12)),
            4 => {
                let mut all: Vec<String> = ZIPS.iter().map(|zip| zip.0.to_owned()).collect();
                all.extend(["787*", "78*", "7*", "1*", "90*", "9000*", "0*", "1000*"].map(str::to_owned));
                Filter::Zip(self.some(&all, 8))
            }
            5 | 6 => self.near(),
            7 => Filter::Publisher(self.some(names.publishers, 2)),
            8 => Filter::Campaign(self.some(names.campaigns, 2)),
            9 => Filter::SubId(self.some(&SUB_IDS.map(str::to_owned), 3)),
            10 => {
                let mut all: Vec<String> = names.numbers.iter().map(|number| (*number).to_owned()).collect();
                all.extend(["+1800*", "+1888*", "+18005550100*", "+44*"].map(str::to_owned));
                Filter::Number(self.some(&all, 3))
            }
            11 => {
                let zone = (!has_zone || self.percent(30)).then(|| self.one(&ZONES));
                Filter::Hours(self.hours(), zone)
            }
            12 => Filter::Stir(self.some(&["A", "B", "C", "none"], 3)),
            13 => Filter::Verified(self.some(&["passed", "failed", "unverified"], 2)),
            14 => Filter::Anonymous(self.percent(25)),
            _ => self.tag(),
        }
    }

    fn near(&mut self) -> Filter {
        let placed: Vec<_> = ZIPS.iter().filter(|zip| zip.2.is_some()).collect();
        let center = *self.chance.pick(&placed).expect("there are some");
        let mut radius = self.one(&[2, 5, 20, 25, 60, 150, 190, 250, 1_000, 3_000]);
        // No ZIP lies on the line: there two ways to compute a distance may differ.
        let is_close = |radius: u32| {
            placed.iter().any(|zip| {
                let between = miles(center.2.expect("placed"), zip.2.expect("placed"));
                (between - f64::from(radius)).abs() < 0.01
            })
        };
        while is_close(radius) {
            radius -= 1;
        }
        Filter::Near(center.0.to_owned(), radius)
    }

    fn tag(&mut self) -> Filter {
        let key = self.one(&KEYS).to_owned();
        let word = |maker: &mut Maker| maker.one(&WORDS).to_owned();
        let words = |maker: &mut Maker| maker.some(&WORDS, 6).into_iter().map(str::to_owned).collect();
        let number = |maker: &mut Maker| maker.one(&NUMBERS).to_owned();
        let test = match self.up_to(17) {
            0 | 11 | 12 => Test::Is(word(self)),
            1 | 13 | 14 => Test::IsNot(word(self)),
            2 => Test::In(words(self)),
            3 => Test::NotIn(words(self)),
            4 | 17 => Test::Below(number(self)),
            5 => Test::Above(number(self)),
            6 => {
                let (low, high) = self.one(&[("7", "64"), ("-3", "10"), ("65", "65"), ("0.000001", "100")]);
                Test::Between(low.to_owned(), high.to_owned())
            }
            7 => Test::Exists(self.percent(60)),
            8 | 15 | 16 => Test::Prefix(self.one(&["s", "S", "coll", "6", "truck", "7", "t"]).to_owned()),
            _ => Test::Matches(match self.up_to(4) {
                0 => Pattern::Contains(self.one(&["li", "6", "ck"]).to_owned()),
                1 => Pattern::Begins(self.one(&["s", "7"]).to_owned()),
                2 => Pattern::Ends(self.one(&["p", "5", "on"]).to_owned()),
                3 => Pattern::Whole(
                    self.some(&["slip", "65", "true", "old"], 3).into_iter().map(str::to_owned).collect(),
                ),
                _ => Pattern::Digit,
            }),
        };
        Filter::Tag(key, test)
    }

    /// Lines that say nothing of one minute twice.
    fn hours(&mut self) -> Hours {
        let mut lines = Vec::new();
        let mut week = [false; 7 * 1_440];
        let has_dates = self.percent(40);
        let most = if has_dates { self.up_to(3) } else { 1 + self.up_to(2) };
        for _ in 0..most {
            let sets = [0b111_1111, 0b1_1111, 0b110_0000, 0b100_0000, 0b1_0101, 0b1000, 0b111_1100];
            let set: u8 = self.one(&sets);
            let days: [bool; 7] = std::array::from_fn(|day| set >> day & 1 == 1);
            let span = self.span();
            let minutes = minutes_of(&days, span);
            let is_alone = !minutes.iter().any(|minute| week[*minute]) && {
                let mut once = minutes.clone();
                once.sort_unstable();
                once.dedup();
                once.len() == minutes.len()
            };
            if is_alone {
                minutes.iter().for_each(|minute| week[*minute] = true);
                lines.push(Line::Weekly(days, span));
            }
        }
        if has_dates || lines.is_empty() {
            let mut dates = self.some(&AROUND, 4);
            dates.sort_unstable();
            let mut free = 0;
            for date in dates {
                let last = date + i64::from(self.percent(20));
                if date < free {
                    continue;
                }
                free = last + 1;
                match self.up_to(3) {
                    0 => lines.push(Line::Dated(date, last, None)),
                    1 => {
                        lines.push(Line::Dated(date, last, Some(Span { start: 540, end: 720 })));
                        lines.push(Line::Dated(date, last, Some(Span { start: 780, end: 1_440 })));
                    }
                    _ => lines.push(Line::Dated(date, last, Some(self.span()))),
                }
            }
        }
        lines
    }

    fn span(&mut self) -> Span {
        let spans = [
            (480, 1_200),
            (540, 1_020),
            (0, 1_440),
            (0, 120),
            (60, 180),
            (120, 121),
            (1_320, 120),
            (1_200, 480),
            (1_080, 1_079),
            (150, 1_440),
            (720, 60),
        ];
        let (start, end) = self.one(&spans);
        Span { start, end }
    }

    fn root(&mut self, left: &mut Vec<&Target>, names: &Names<'_>) -> Node {
        let many = 1 + self.up_to(3);
        let nodes: Vec<Node> = (0..many).filter_map(|_| self.node(left, names, 2)).collect();
        if nodes.is_empty() { Node::Auction(self.auction(left)) } else { in_order(nodes, names) }
    }

    /// A node of targets that are left; none where none are.
    fn node(&mut self, left: &mut Vec<&Target>, names: &Names<'_>, depth: usize) -> Option<Node> {
        let node = self.plain_node(left, names, depth)?;
        let is_action = matches!(node, Node::Action(_));
        if matches!(node, Node::Target(_)) || !self.percent(if is_action { 50 } else { 15 }) {
            return Some(node);
        }
        let mut below = Vec::new();
        members(&node, names.groups, &mut below);
        let ring = (!below.is_empty() && self.percent(60)).then(|| self.one(&[5, 18, 30, 120]));
        let hours = (ring.is_none() || self.percent(40)).then(|| (self.hours(), self.one(&ZONES)));
        Some(Node::Limited(Limits { hours, ring }, Box::new(node)))
    }

    fn plain_node(&mut self, left: &mut Vec<&Target>, names: &Names<'_>, depth: usize) -> Option<Node> {
        if left.is_empty() {
            return None;
        }
        let kind = if depth >= 7 { self.up_to(5) } else { self.up_to(17) };
        Some(match kind {
            0..=3 => Node::Auction(self.auction(left)),
            4 | 5 => {
                let fixed = left.iter().position(|target| !matches!(target.price, Price::Bids(..)))?;
                Node::Target(left.remove(fixed).id.clone())
            }
            6 | 7 => {
                let nodes: Vec<Node> =
                    (0..1 + self.up_to(2)).filter_map(|_| self.node(left, names, depth + 1)).collect();
                if nodes.is_empty() {
                    return None;
                }
                in_order(nodes, names)
            }
            12 | 13 => {
                let nodes: Vec<Node> =
                    (0..1 + self.up_to(2)).filter_map(|_| self.node(left, names, depth + 1)).collect();
                if nodes.is_empty() {
                    return None;
                }
                Node::RoundRobin(nodes)
            }
            14 => {
                let (id, node) = self.chance.pick(names.groups)?;
                let mut own = Vec::new();
                members(node, names.groups, &mut own);
                if !own.iter().all(|id| left.iter().any(|target| target.id == *id)) {
                    return None;
                }
                left.retain(|target| !own.contains(&target.id));
                Node::Group(id.clone())
            }
            15 => Node::Action(self.one(&ACTIONS)),
            16 | 17 => self.together(left)?,
            8 | 9 => {
                let mut nodes = Vec::new();
                for _ in 0..1 + self.up_to(3) {
                    if let Some(node) = self.node(left, names, depth + 1) {
                        nodes.push((self.one(&[0, 1, 1, 3, 10, 1_000_000]), node));
                    }
                }
                if nodes.is_empty() {
                    return None;
                }
                // A weight of 0 comes last: behind one that ends every way no call comes to it.
                if nodes.iter().any(|node| node.1.ends(names.groups)) {
                    nodes.iter_mut().for_each(|node| node.0 = node.0.max(1));
                }
                Node::Weighted(nodes)
            }
            _ => {
                let (before, many) = (left.clone(), 1 + self.up_to(2));
                let mut branches = Vec::new();
                for at in 0..many {
                    let mut own = before.clone();
                    let is_open = at + 1 == many && self.percent(50);
                    let when = if is_open { Vec::new() } else { self.top_filters(names, false) };
                    // One whose calls a branch before it takes is an error.
                    if branches.iter().any(|before: &Branch| may_be_taken(&before.when, &when)) {
                        continue;
                    }
                    let Some(node) = self.node(&mut own, names, depth + 1) else { continue };
                    // Only one branch is taken, so the next may have the same targets; what follows may not.
                    left.retain(|target| own.iter().any(|other| other.id == target.id));
                    branches.push(Branch { when, node });
                }
                if branches.is_empty() {
                    return None;
                }
                Node::FirstMatch(branches)
            }
        })
    }

    /// Two or more that have a price of their own, in a drawn order.
    fn together(&mut self, left: &mut Vec<&Target>) -> Option<Node> {
        let own = |target: &&&Target| !matches!(target.price, Price::Bids(..));
        let priced: Vec<String> = left.iter().filter(own).map(|target| target.id.clone()).collect();
        if priced.len() < 2 {
            return None;
        }
        let mut ids = self.some(&priced, 4);
        if let [only] = &ids[..] {
            let others: Vec<String> = priced.into_iter().filter(|id| id != only).collect();
            ids.push(self.one(&others));
        }
        left.retain(|target| !ids.contains(&target.id));
        Some(Node::Together(ids, self.one(&[None, Some("screen"), Some("first")])))
    }

    fn auction(&mut self, left: &mut Vec<&Target>) -> Auction {
        let many = (1 + self.up_to(5)).min(left.len());
        let members = (0..many)
            .map(|_| left.remove(self.chance.between(0, left.len() as u64 - 1) as usize).id.clone())
            .collect();
        Auction {
            members,
            floor: if self.percent(30) { self.amount(8, 20) } else { 0 },
            takeover: self.percent(35).then(|| self.amount(15, 30)),
            timeout_ms: self.percent(15).then(|| self.one(&[50, 60, 99, 100, 200])),
        }
    }

    fn tags(&mut self, most: u64) -> Vec<(String, Value)> {
        let mut tags = Vec::new();
        for key in self.some(&KEYS, most as usize) {
            let value = match (key, self.up_to(9)) {
                ("age" | "score", 0..=3) => {
                    Value::Number(self.one(&["18", "64", "65", "7", "-3", "2.5", "10", "100"]).to_owned())
                }
                ("age" | "score", 4..=6) => Value::Text(self.one(&NUMBERS).to_owned()),
                ("age" | "score", _) => Value::Text(self.one(&STRANGE).to_owned()),
                ("vip", 0..=5) => Value::Flag(self.percent(50)),
                ("zip", 0..=4) => Value::Text(self.one(&ZIPS).0.to_owned()),
                ("zip", 5) => Value::Text(self.one(&NO_ZIPS).to_owned()),
                (_, 0) => Value::Text(String::new()),
                (_, 1) => Value::Number("65".to_owned()),
                _ => Value::Text(self.one(&WORDS).to_owned()),
            };
            tags.push((key.to_owned(), value));
        }
        tags
    }

    fn from(&mut self) -> Option<String> {
        match self.up_to(19) {
            0 | 1 => None,
            2 => Some(self.one(&["anonymous", "5125550123", "+15125", "sip:x@y.example", ""]).to_owned()),
            3 | 4 => Some(self.one(&ABROAD).0.to_owned()),
            // No area code begins with 0 or 1, and no exchange either.
            5 => Some(self.one(&["+11125550123", "+15121550123", "+1512555012"]).to_owned()),
            _ => Some(format!("+1{}555{:04}", self.one(&AREAS).0, self.up_to(9_999))),
        }
    }

    fn call(&mut self, market: &Market) -> Call {
        let day = if self.percent(60) {
            self.one(&AROUND) + self.up_to(2) as i64
        } else {
            20_454 + self.up_to(364) as i64
        };
        // On full minutes and just before them: both ends of every range.
        let at = (day * 86_400) + self.up_to(1_440) as i64 * 60 - i64::from(self.percent(20));
        let zip = match self.up_to(9) {
            0..=3 => None,
            4 => Some(self.one(&NO_ZIPS).to_owned()),
            5 => Some(format!("{}-1234", self.one(&ZIPS).0)),
            6 => Some(format!("{}1234", self.one(&ZIPS).0)),
            _ => Some(self.one(&ZIPS).0.to_owned()),
        };
        let state = self
            .percent(25)
            .then(|| self.one(&["TX", "ny", "Ca", "XX", "ON", "Texas", "T1", "", "zz", "pr"]).to_owned());
        let stir = self.percent(60).then(|| self.one(&["A", "B", "C", "D", "a"]).to_owned());
        let verified = self.percent(50).then(|| self.one(&["passed", "failed", "unverified"]));
        let sub_id = self.percent(40).then(|| self.one(&LABELS).to_owned());
        let tags = if self.percent(80) { self.tags(4) } else { Vec::new() };
        let to = match self.up_to(29) {
            0 => "+18005550199".to_owned(),
            1 => "sip:100@sw.example".to_owned(),
            _ => self.one(&market.numbers).number,
        };
        let mut call = Call {
            at,
            to,
            from: self.from(),
            zip,
            state,
            stir,
            verified,
            sub_id,
            tags,
            seed: self.chance.bits(),
            turn: self.chance.between(0, 40),
            lists: Vec::new(),
            earlier: self.one(&[0, 0, 0, 1, 2, 3]),
            replies: Default::default(),
            full: Default::default(),
        };
        // A caller without a valid number is on no list.
        if call.from.as_deref().is_some_and(is_e164) {
            call.lists = self.lists(35);
        }
        for target in &market.targets {
            if self.percent(8) {
                call.full.insert(target.id.clone());
            }
            if let Price::Bids(..) = target.price
                && !self.percent(12)
            {
                // Some at the same moment, some at the close or after it.
                let ms = self.one(&[10, 20, 20, 40, 40, 60, 80, 99, 100, 299, 300]);
                call.replies.insert(target.id.clone(), Reply { ms, bid: self.bid() });
            }
        }
        call
    }

    fn bid(&mut self) -> Option<(String, Option<u64>)> {
        let life = self.percent(25).then(|| self.one(&[1, 5, 6, 30, 500]));
        match self.up_to(11) {
            0 => None,
            1 => Some((
                self.one(&["0", "0.00", "25.509", "25.5000009", "1000000", "0.001", "-5", "1e1", "x"])
                    .to_owned(),
                life,
            )),
            _ => {
                let cents = if self.percent(50) {
                    self.one(&[1_800, 2_400, 3_000])
                } else {
                    self.amount(8, 40) / CENT
                };
                Some((format!("{}.{:02}", cents / 100, cents % 100), life))
            }
        }
    }
}

/// Nodes one behind the other, up to the first that ends every way: a node that no call comes to is an error.
fn in_order(mut nodes: Vec<Node>, names: &Names<'_>) -> Node {
    if let Some(last) = nodes.iter().position(|node| node.ends(names.groups)) {
        nodes.truncate(last + 1);
    }
    Node::Sequential(nodes)
}

/// The targets of a node.
fn members(node: &Node, groups: &[(String, Node)], all: &mut Vec<String>) {
    match node {
        Node::Target(id) => all.push(id.clone()),
        Node::Auction(auction) => all.extend(auction.members.iter().cloned()),
        Node::Together(ids, _) => all.extend(ids.iter().cloned()),
        Node::Action(_) => {}
        Node::Sequential(nodes) | Node::RoundRobin(nodes) => {
            nodes.iter().for_each(|node| members(node, groups, all));
        }
        Node::Weighted(nodes) => nodes.iter().for_each(|node| members(&node.1, groups, all)),
        Node::FirstMatch(branches) => {
            branches.iter().for_each(|branch| members(&branch.node, groups, all));
        }
        Node::Group(id) => members(group(groups, id), groups, all),
        Node::Limited(_, node) => members(node, groups, all),
    }
}

/// Ids that filters and nodes may name.
#[derive(Clone, Copy)]
struct Names<'a> {
    groups: &'a [(String, Node)],
    publishers: &'a [String],
    campaigns: &'a [String],
    numbers: &'a [&'static str],
}

/// Whether each of these conditions is among those, as far as their values tell: in whatever words and order.
fn asks_all_of(those: &[Filter], these: &[Filter]) -> bool {
    let values = |filter: &Filter| {
        let text = filter.to_string();
        let is_part = |c: char| c.is_alphanumeric() || "+-.:*/^$".contains(c);
        let words =
            text.split(|c| !is_part(c)).filter(|word| !["", "in", "not_in", "value", "op"].contains(word));
        let mut words: Vec<String> =
            words.map(|word| word.parse::<f64>().map_or(word.to_owned(), |n| n.to_string())).collect();
        words.sort();
        words
    };
    these.iter().all(|this| those.iter().any(|that| values(this) == values(that)))
}

/// What is left of every price, in hundredths of a per cent.
fn left_of_shares(payout: &Payout) -> u32 {
    match payout {
        Payout::Fixed(_) => 10_000,
        Payout::Share(share) => 10_000 - share,
    }
}

/// Leaves one value of a list.
fn shorten(filter: &mut Filter) {
    match filter {
        Filter::State(list) | Filter::Country(list) | Filter::Stir(list) | Filter::Verified(list) => {
            list.truncate(1);
        }
        Filter::AreaCode(list) => list.truncate(1),
        Filter::Zip(list)
        | Filter::Publisher(list)
        | Filter::Campaign(list)
        | Filter::SubId(list)
        | Filter::Number(list)
        | Filter::Tag(_, Test::In(list)) => list.truncate(1),
        _ => {}
    }
}

/// What two tests must not both be in one list, as their values might exclude each other; none of joined ones.
fn kind_of(filter: &Filter) -> Option<String> {
    match filter {
        Filter::Not(part) => kind_of(part),
        Filter::Tag(key, _) => Some(format!("tag {key}")),
        // A ZIP has a state.
        Filter::State(_) | Filter::Zip(_) => Some("state".to_owned()),
        Filter::Country(_) => Some("country".to_owned()),
        Filter::AreaCode(_) => Some("area_code".to_owned()),
        Filter::Publisher(_) => Some("publisher".to_owned()),
        Filter::Campaign(_) => Some("campaign".to_owned()),
        // Letters and what came of verifying them may exclude each other.
        Filter::Stir(_) | Filter::Verified(_) => Some("stir".to_owned()),
        Filter::Anonymous(_) => Some("anonymous".to_owned()),
        Filter::SubId(_) => Some("sub_id".to_owned()),
        Filter::Number(_) => Some("number".to_owned()),
        Filter::Near(..) => Some("near".to_owned()),
        Filter::Hours(..) => Some("hours".to_owned()),
        Filter::All(_) | Filter::Any(_) => None,
    }
}

/// The parts of a filter that joins some, and whether one of them is enough.
fn parts(filter: &Filter) -> Option<(Vec<Filter>, bool)> {
    let not = |part: &Filter| Filter::Not(Box::new(part.clone()));
    match filter {
        Filter::All(parts) => Some((parts.clone(), false)),
        Filter::Any(parts) => Some((parts.clone(), true)),
        Filter::Not(part) => match &**part {
            Filter::Not(part) => Some((vec![(**part).clone()], false)),
            Filter::All(parts) => Some((parts.iter().map(not).collect(), true)),
            Filter::Any(parts) => Some((parts.iter().map(not).collect(), false)),
            _ => None,
        },
        _ => None,
    }
}

/// What a filter asks for side by side, `not any` included.
fn side_by_side(filter: &Filter) -> Vec<Filter> {
    match parts(filter) {
        Some((parts, false)) => parts.iter().flat_map(side_by_side).collect(),
        _ => vec![filter.clone()],
    }
}

/// Whether their values might exclude each other.
fn may_exclude(one: &Filter, other: &Filter) -> bool {
    match (parts(one), parts(other)) {
        (Some((parts, true)), _) => parts.iter().all(|part| may_exclude(part, other)),
        (_, Some((parts, true))) => parts.iter().all(|part| may_exclude(one, part)),
        (Some((parts, false)), _) => parts.iter().any(|part| may_exclude(part, other)),
        (_, Some((parts, false))) => parts.iter().any(|part| may_exclude(one, part)),
        (None, None) => kind_of(one) == kind_of(other),
    }
}

/// Whether all calls that one row or branch takes may be taken by an earlier one.
fn may_be_taken(before: &[Filter], when: &[Filter]) -> bool {
    let (before, when) = (Filter::All(before.to_vec()), Filter::All(when.to_vec()));
    may_imply(&when, &before)
}

/// Whether the other may hold wherever one does.
fn may_imply(one: &Filter, other: &Filter) -> bool {
    fn within<T: PartialEq>(these: &[T], those: &[T]) -> bool {
        these.iter().all(|one| those.contains(one))
    }
    match (parts(one), parts(other)) {
        (Some((parts, true)), _) => parts.iter().all(|part| may_imply(part, other)),
        (_, Some((parts, false))) => parts.iter().all(|part| may_imply(one, part)),
        (Some((own, false)), Some((its, true))) => {
            own.iter().any(|part| may_imply(part, other)) || its.iter().any(|part| may_imply(one, part))
        }
        (Some((parts, false)), _) => parts.iter().any(|part| may_imply(part, other)),
        (_, Some((parts, true))) => parts.iter().any(|part| may_imply(one, part)),
        (None, None) => match (one, other) {
            (Filter::State(a), Filter::State(b)) | (Filter::Country(a), Filter::Country(b)) => within(a, b),
            (Filter::AreaCode(a), Filter::AreaCode(b)) => within(a, b),
            (Filter::Publisher(a), Filter::Publisher(b)) | (Filter::Campaign(a), Filter::Campaign(b)) => {
                within(a, b)
            }
            _ => kind_of(one) == kind_of(other),
        },
    }
}

/// Minutes of the week that a line covers.
fn minutes_of(days: &[bool; 7], span: Span) -> Vec<usize> {
    let length = if span.end > span.start { span.end - span.start } else { 1_440 - span.start + span.end };
    let of_day = |day: usize| {
        let start = day * 1_440 + usize::from(span.start);
        (start..start + usize::from(length)).map(|minute| minute % (7 * 1_440))
    };
    (0..7).filter(|day| days[*day]).flat_map(of_day).collect()
}

/// Whether a buyer and its target are ever open together, as far as `outcry check` asks.
fn may_meet(one: &Hours, other: &Hours) -> bool {
    let by_dates = |hours: &Hours| {
        let opens = hours.iter().any(|line| matches!(line, Line::Dated(_, _, Some(_))));
        opens || hours.iter().all(|line| matches!(line, Line::Dated(..)))
    };
    let week = |hours: &Hours| {
        let mut week = vec![false; 7 * 1_440];
        for line in hours {
            if let Line::Weekly(days, span) = line {
                minutes_of(days, *span).into_iter().for_each(|minute| week[minute] = true);
            }
        }
        week
    };
    by_dates(one) || by_dates(other) || week(one).iter().zip(week(other)).any(|(a, b)| *a && b)
}

/// The generator's own sets are what they are taken for.
#[test]
fn what_is_drawn_from_is_what_it_says() {
    for (text, _, _) in ZIPS {
        assert!(zip(text).is_some() && zip(&format!("{text}-0001")).is_some());
    }
    assert!(NO_ZIPS.iter().all(|text| zip(text).is_none()));
    let around: Vec<String> = AROUND.iter().map(|day| iso(*day)).collect();
    let expected = [
        "2026-03-08",
        "2026-03-29",
        "2026-04-04",
        "2026-07-04",
        "2026-11-01",
        "2026-11-26",
        "2026-12-24",
        "2026-12-25",
        "2027-01-01",
    ];
    assert_eq!(around, expected);
}

//! Screening 10,000 targets for one call: what a decision does before it asks anybody.
//!
//! Stands for the largest campaign anybody may configure; usual ones have dozens of targets. Every decision pays it
//! before the first ping is written, so a regression shortens the time buyers have and moves the engine overhead of
//! large campaigns; ten times slower here would be milliseconds of it. The two parts are apart because they fail apart:
//! filters are bits and sorted words, hours are arithmetic of time zones.

use outcry::domain::filter::{Filter, TagTest};
use outcry::domain::{Catalog, Hours, TargetIx};
use outcry::routing::filter::Compiled;
use outcry::routing::shared::{Shared, compiled};
use outcry::routing::{Facts, Verdict, screen};

use crate::{Stopwatch, market};

const TARGETS: u32 = 10_000;
const BUYERS: u32 = 200;
const STATES: [&str; 10] = ["TX", "CA", "FL", "NY", "IL", "OH", "GA", "NC", "MI", "PA"];

struct Market {
    catalog: Catalog,
    filters: Vec<Compiled>,
}

impl Market {
    /// One target in five takes Texas, half of these look at tags. With `hours` everybody keeps a working week.
    fn new(hours: Option<&str>) -> Market {
        let hours = || -> Option<Hours> {
            hours
                .map(|text| text.split(';').map(|range| Hours::parse_item(range).expect("a range")).collect())
        };
        let buyers = (0..BUYERS).map(|n| market::buyer(&format!("buyer-{n:05}"))).collect();
        let targets: Vec<_> = (0..TARGETS)
            .map(|n| {
                let mut target = market::target(&format!("target-{n:05}"), n % BUYERS);
                let at = n as usize % STATES.len();
                let states = vec![STATES[at].to_owned(), STATES[(at + 1) % STATES.len()].to_owned()];
                target.filters = vec![Filter::State(states)];
                if n % 2 == 0 {
                    let values = ["collision", "slip", "theft"].map(str::to_owned).to_vec();
                    target.filters.push(Filter::Tag("case".to_owned(), TagTest::In(values)));
                }
                target.hours = hours();
                target
            })
            .collect();
        let catalog = market::catalog(buyers, targets);
        let filters = compiled(&catalog);
        Market { catalog, filters }
    }

    fn candidates(&self, facts: &Facts<'_>) -> usize {
        let mut shared = Shared::default();
        let mut verdict = |target| screen(&self.catalog, &self.filters, TargetIx(target), facts, &mut shared);
        (0..TARGETS).filter(|target| verdict(*target) == Verdict::Candidate).count()
    }
}

pub fn run(watch: &mut Stopwatch) {
    let tags = market::tags();
    let facts = Facts { state: Some("TX"), ..Facts::bare(&tags, market::now()) };
    let filtered = Market::new(None);
    watch.measure("screen: 10,000 targets, states and tags", || {
        assert_eq!(filtered.candidates(&facts), 2_000);
    });
    let timed = Market::new(Some("mon-fri 08:00-12:00; mon-fri 13:00-18:00; sat 09:00-13:00"));
    watch.measure("screen: 10,000 targets, also hours", || {
        assert_eq!(timed.candidates(&facts), 2_000);
    });
}

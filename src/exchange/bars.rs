//! What every price of one call is held against: the floor that applies to it and the margin that must be left of it.
//!
//! By the catalog in force when a step is taken, but for what the publisher was promised. Who comes first among the prices
//! that reach them is said in `auction`.

use super::subject::Line;
use crate::billing::{NEVER, min_price};
use crate::domain::{Catalog, Floor, Money, Payout, PriceRule, Reason};
use crate::routing::floor_by;

/// The rules about prices of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bars {
    /// The highest of the floors that campaign and publisher ask of this call.
    pub(super) floor: Floor,
    /// Lowest price that leaves the margin asked for.
    pub(super) min_price: Money,
    /// What the winner of an auction pays.
    pub(super) price: PriceRule,
}

impl Bars {
    /// Those of a call to this line, for which this row of its campaign's floors holds, and whose publisher was promised
    /// so much at an earlier step, or earns what the catalog says.
    pub(super) fn of(
        catalog: &Catalog,
        (line, floor_row): (Option<&Line<'_>>, Option<usize>),
        promised: Option<Payout>,
    ) -> Bars {
        let Some(line) = line else {
            return Bars {
                floor: Floor::campaign(Money::ZERO),
                min_price: Money::ZERO,
                price: PriceRule::First,
            };
        };
        let payout = promised.unwrap_or(*catalog.payout(line.publisher, line.campaign));
        let campaign = catalog.campaign(line.campaign);
        Bars {
            floor: floor_by(catalog, (line.publisher, line.campaign), floor_row),
            min_price: min_price(&payout, campaign.min_margin),
            price: campaign.price,
        }
    }

    /// What is noted of a price that was refused: which floor it is below, or what would have left the margin.
    pub(super) fn note(&self, reason: Reason, floor: Floor) -> Option<String> {
        match reason {
            Reason::BelowFloor => Some(floor.to_string()),
            Reason::Margin if self.min_price == NEVER => Some("no price leaves it".to_owned()),
            Reason::Margin => Some(format!("at least {}", self.min_price)),
            _ => None,
        }
    }
}

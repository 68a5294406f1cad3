//! What may be set, and what it changes. That calls come out as they were recorded is shown by whole exchanges, in `tests/it`.

use super::set::Setting;

#[test]
fn settings_are_a_closed_list() {
    for good in [
        "floor=12.00",
        "payout=60%",
        "payout=12.5",
        "min_margin=none",
        "min_margin=1",
        "min_margin=25%",
        "paused=true",
        "buyer.acme.paused=false",
        "target.acme-1.floor=3",
        "target.acme-1.price=3",
        "target.acme-1.tier=2",
        "target.acme-1.priority=0",
        "target.acme-1.weight=7",
        "target.acme-1.multiplier=105%",
        "payout=0%",
        "payout=100%",
        "target.acme-1.multiplier=1%",
        "target.acme-1.multiplier=1000%",
        "target.acme-1.weight=1000000",
    ] {
        assert!(Setting::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "floor",
        "floor=",
        "floor=-1x",
        "min_margin=100%",
        "deadline_ms=3",
        "buyer.acme.floor=3",
        "target.acme-1=3",
        "target.ACME.paused=true",
        "target.acme-1.tier=0",
        "target.acme-1.tier=+3",
        "target.acme-1.tier=101",
        "target.acme-1.priority=+3",
        "target.acme-1.weight=+3",
        "target.acme-1.weight=1000001",
        "target.acme-1.multiplier=0%",
        "target.acme-1.multiplier=0.99%",
        "target.acme-1.multiplier=1000.01%",
        "payout=150%",
        "payout=100.01%",
        "target.acme-1.price=0",
        "target.acme-1.paused=yes",
        "target.acme-1.daily_billable=3",
        "campaign.auto.floor=3",
    ] {
        let said = Setting::parse(bad).expect_err(bad);
        assert!(
            ["floor=AMOUNT", "0-100%", "tier=1-100", "multiplier=1-1000%"]
                .iter()
                .all(|allowed| said.contains(allowed)),
            "{bad}: {said}"
        );
    }
}

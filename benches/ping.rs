//! Writing one ping: the JSON body for one buyer, and the keyed names in it.
//!
//! Stands for what a decision does once per target it asks, 20 times in a wide auction, before anything is sent. The
//! first ping leaves when the last one is written at the latest, so a regression here is multiplied by the fan-out and
//! shortens the time every buyer has. Rendering costs about half a microsecond, and the keyed names, an HMAC under a
//! key derived once and a code that is kept, a sixth of one.

use outcry::bidder::{Asking, Ping};
use outcry::domain::{CampaignId, E164, PingId, PublisherId, PublisherIx, Tail};

use crate::{Stopwatch, market};

pub fn run(watch: &mut Stopwatch) {
    let (buyer, target) = (market::buyer("acme"), market::target("acme-main", 0));
    let asking = Asking::compile(&[7; 32], &buyer, &target, &market::endpoint());
    let number = E164::parse("+15125550123").expect("a number");
    let publisher = PublisherId::parse("search-west").expect("a slug");
    let campaign = CampaignId::parse("auto-us").expect("a slug");
    let tags = market::tags();
    let ping_tags = ["case", "language", "injured", "represented"].map(str::to_owned);
    let code = asking.pseudonyms().publisher(PublisherIx(0), &publisher);
    let token = asking.pseudonyms().caller(number);
    let ping = Ping {
        ping_id: PingId::from_bits(0x0193_4a5b_6c7d_7e8f_8a9b_acbd_cedf_e0f1),
        deadline_ms: 487,
        test: false,
        campaign: &campaign,
        vertical: "auto",
        publisher_code: code.as_str(),
        area_code: Some(512),
        state: Some("TX"),
        zip: Some("78701"),
        number: Some(number),
        tail: Tail::of(&number.reveal()),
        token: Some(token.as_str()),
        geo_source: "zip",
        stir: Some("A"),
        consent: true,
        tags: &tags,
        ping_tags: &ping_tags,
        currency: "USD",
        floor: Some(market::money("12.50")),
        at: market::now(),
    };
    watch.measure("ping: render a body", || {
        let mut body = Vec::new();
        asking.render(&ping, &mut body);
        assert!(body.ends_with(b"}"));
        body
    });
    watch.measure("ping: caller's token and publisher's code", || {
        let names = asking.pseudonyms();
        let (token, code) = (names.caller(number), names.publisher(PublisherIx(0), &publisher));
        assert_eq!((token.as_str().len(), code.as_str().len()), (35, 8));
        (token, code)
    });
}

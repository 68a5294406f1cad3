//! Faults of a catalog, one by one and all at once: each gives exactly one problem, at its place and with its name.

use std::fs;

use super::*;

#[test]
fn fifteen_faults_give_fifteen_problems() {
    let problems =
        load_with(Path::new("tests/fixtures/catalog/faults/outcry.toml"), &env).expect_err("faults");
    let text = rendered(&problems);
    assert_eq!(problems.len(), 15, "{text}");
    let golden = fs::read_to_string("tests/fixtures/catalog/faults/expected.txt").unwrap_or_default();
    assert!(text == golden, "this is not what expected.txt says:\n{text}");
}

#[test]
fn one_line_changed_gives_one_problem() {
    let rows = [
        ("default_plan = \"auto\"", "", "default_plan: is missing"),
        ("default_plan = \"auto\"", "default_plan = \"outo\"", "default_plan: \"outo\" is no plan (auto?)"),
        ("[carrier.switch]", "[carrier.Switch]", "carrier.Switch: \"Switch\" is no id"),
        ("[carrier.switch]", "[carier.x]\n[carrier.switch]", "carier: unknown key (carrier?)"),
        (
            "[campaign.auto]",
            "[carrier.trunk]\nkey_digest = \"sha256:00000000000000000000000000000000000000000000000000000000000000AA\"\n\
             [campaign.auto]",
            "carrier.trunk: has the key of carrier switch",
        ),
        ("aa\"", "zz\"", "carrier.switch.key_digest: is not a digest"),
        (
            "[campaign.auto]",
            "ceiling_ms = 599\n[campaign.auto]",
            "campaign.auto.deadline_ms: 500 ms do not fit carrier switch, which waits 599 ms",
        ),
        ("vertical = \"auto\"", "verticle = \"auto\"", "campaign.auto.verticle: unknown key (vertical?)"),
        ("vertical = \"auto\"", "", "campaign.auto.vertical: is missing"),
        ("fixed = \"8.00\"", "share = \"60\"", "campaign.auto.payout.share: \"60\" does not fit"),
        ("fixed = \"8.00\"", "share = \"101%\"", "campaign.auto.payout.share: \"101%\" does not fit"),
        ("fixed = \"8.00\"", "", "campaign.auto.payout.fixed: is missing"),
        (
            "floor = \"10.00\"",
            "negative_margin = \"allow_and_flag\"\nmin_margin = \"1\"",
            "campaign.auto.min_margin: stands beside `negative_margin = \"allow_and_flag\"`",
        ),
        ("floor = \"10.00\"", "pricing = \"third\"", "campaign.auto.pricing: \"third\" is unknown"),
        (
            "floor = \"10.00\"",
            "after_failure = \"reauction\"",
            "campaign.auto.after_failure: \"reauction\" is unknown (re_auction?)",
        ),
        ("floor = \"10.00\"", "min_margin = \"100%\"", "campaign.auto.min_margin: \"100%\" does not fit"),
        ("floor = \"10.00\"", "min_margin = 1.5", "campaign.auto.min_margin: is a float"),
        (
            "floor = \"10.00\"",
            "min_margin = { amount = \"1\" }",
            "campaign.auto.min_margin.percent: is missing",
        ),
        (
            "floor = \"10.00\"",
            "min_margin = { amount = \"1\", percent = \"100%\" }",
            "campaign.auto.min_margin.percent: \"100%\" does not fit",
        ),
        (
            "{ fixed = \"8.00\" }",
            "{ share = \"80%\" }\nmin_margin = \"20.01%\"",
            "campaign.auto: its payout leaves 20% of every price, and the min_margin of campaign auto is 20.01%: no price is enough",
        ),
        (
            "zone = \"UTC\"",
            "zone = \"UTC\"\npayouts = { auto = { share = \"100%\" } }\n[campaign.b]\nvertical = \"b\"\nplan = \"auto\"\n\
             payout = { share = \"100%\" }\nmin_margin = \"0.01\"",
            "campaign.b: its payout leaves 0% of every price, and the min_margin of campaign b is 0.01: no price is enough",
        ),
        ("floor = \"10.00\"", "floors = [{ floor = \"1\" }]", "campaign.auto.floors[0].when: is missing"),
        (
            "floor = \"10.00\"",
            "floors = [{ when = [{ state = [\"TX\", \"OK\"] }], floor = \"1\" }, { when = [{ state = [\"NY\"] }], floor = \"1\" }, { when = [{ anonymous = true }, { state = [\"OK\"] }], floor = \"2\" }]",
            "campaign.auto.floors[2]: is never reached: row 1 takes all its calls",
        ),
        (
            "floor = \"10.00\"",
            "floors = [{ when = [{ number = [\"+18005550199\"] }], floor = \"1\" }]",
            "campaign.auto.floors[0].when[0].number[0]: \"+18005550199\" does not fit",
        ),
        (
            "floor = \"10.00\"",
            "floors = [{ when = [{ state = [\"TX\"] }] }]",
            "campaign.auto.floors[0].floor: is missing",
        ),
        (
            "floor = \"10.00\"",
            "floors = [{ when = [{ hours = [\"sat 09:00-17:00\"] }], floor = \"1\" }]",
            "campaign.auto.floors[0].when[0].zone: is missing",
        ),
        (
            "floor = \"10.00\"",
            "floors = [{ when = [], floor = \"1\" }]",
            "campaign.auto.floors[0].when: names nothing",
        ),
        (
            "zone = \"UTC\"",
            "zone = \"UTC\"\nfloors = { auta = \"1\" }",
            "publisher.metro.floors.auta: \"auta\" is no campaign (auto?)",
        ),
        ("zone = \"UTC\"", "zone = \"UTC\"\nfloor = 12", "publisher.metro.floor: is an integer"),
        (
            "zone = \"UTC\"",
            "zone = \"UTC\"\npayouts = { auta = { fixed = \"1\" } }",
            "publisher.metro.payouts.auta: \"auta\" is no campaign (auto?)",
        ),
        (
            "name = \"Acme\"",
            "name = \"Acme\"\npersonal_tags = [\"ssn\"]",
            "buyer.acme.personal_tags[0]: \"ssn\" is unknown",
        ),
        (
            "name = \"Acme\"",
            "name = \"Acme\"\nhours = []",
            "buyer.acme.hours: names no hours: it would never be open",
        ),
        (
            "name = \"Acme\"",
            "name = \"Acme\"\nsuppressed_callers = [\"dnc\"]",
            "buyer.acme.suppressed_callers[0]: \"dnc\" is no caller_list",
        ),
        (
            "[campaign.auto]",
            "[caller_list.dnc]\n[campaign.auto]\nblocked_callers = [\"dcn\"]",
            "campaign.auto.blocked_callers[0]: \"dcn\" is no caller_list (dnc?)",
        ),
        (
            "zone = \"UTC\"",
            "zone = \"UTC\"\nblocked_callers = []",
            "publisher.metro.blocked_callers: names nothing",
        ),
        (
            "[campaign.auto]",
            "[caller_list.dnc]\nnumbers = 3\n[campaign.auto]",
            "caller_list.dnc.numbers: unknown key",
        ),
        (
            "[campaign.auto]",
            "[caller_list.dnc]\n[campaign.auto]\nblocked_callers = [\"dnc\", \"dnc\"]",
            "campaign.auto.blocked_callers[1]: stands twice",
        ),
        (
            "name = \"Acme\"",
            "name = \"Acme\"\nconcurrency = 0",
            "buyer.acme.concurrency: is 0: no call would ever pass it",
        ),
        ("price = \"25.00\"", "prize = \"25.00\"", "target.acme-phone.prize: unknown key (price?)"),
        ("price = \"25.00\"", "price = 25.0", "target.acme-phone.price: is a float"),
        (
            "+15125550111",
            "+18005550100",
            "target.acme-phone.address: is one of the tracking numbers: calls would come back here",
        ),
        ("+15125550111", "+19005550111", "target.acme-phone.address: is a premium or international number"),
        (
            "price = \"25.00\"",
            "price = \"25.00\"\nfilters = [{ state = [\"TX\"] }, { not = { state = [\"OK\", \"TX\"] } }]",
            "target.acme-phone.filters[1]: and target.acme-phone.filters[0] have no value in common: no call passes both",
        ),
        (
            "price = \"25.00\"",
            "price = \"25.00\"\nfilters = [{ tag = \"case\", value = \"x\" }]",
            "target.acme-phone.filters[0].op: is missing",
        ),
        (
            "price = \"25.00\"",
            "price = \"25.00\"\nhours = [\"mon 09:00-12:00\", \"mon 11:00-13:00\"]",
            "target.acme-phone.hours: says something of the same time twice: mon 09:00-12:00, and mon 11:00-13:00",
        ),
        (
            "price = \"25.00\"",
            "price = \"25.00\"\nmax_talk_s = 60",
            "target.acme-phone.max_talk_s: ends calls before their 90 s minimum",
        ),
        (
            "https://bid.acme.example/x?key=abc",
            "https://127.0.0.1/x",
            "target.acme-bid.endpoint.url: 127.0.0.1 is on a private network",
        ),
        (
            "secret = \"env:ACME\"",
            "secret = \"env:NOT_SET\"",
            "target.acme-bid.endpoint.secret: the environment variable NOT_SET is not set",
        ),
        (
            "secret = \"env:ACME\"",
            "max_min_duration_s = 30",
            "target.acme-bid.endpoint.max_min_duration_s: is below the target's own 90 s",
        ),
        (
            "secret = \"env:ACME\"",
            "destinations = [\"+1512*\", \"+18005550100\"]",
            "target.acme-bid.endpoint.destinations[1]: is one of the tracking numbers: calls would come back here",
        ),
        (
            "publisher = \"metro\"",
            "publisher = \"metro\"\ntags = { n = inf }",
            "number[0].tags.n: is no value of a tag",
        ),
        (
            "number = \"+18005550100\"",
            "number = \"8005550100\"",
            "number[0].number: \"8005550100\" does not fit",
        ),
        ("auction = [\"acme-bid\"]", "auction = []", "plan.auto.root.sequential[0].auction: is empty"),
        (
            "auction = [\"acme-bid\"]",
            "sequential = [{ auction = [\"acme-bid\"], flor = \"1\" }]",
            "plan.auto.root.sequential[0].sequential[0].flor: unknown key (floor?)",
        ),
        ("auction = [\"acme-bid\"] }", "}", "plan.auto.root.sequential[0].sequential: is missing"),
        (
            "auction = [\"acme-bid\"]",
            "weighted = [{ weight = -1, node = { auction = [\"acme-bid\"] } }]",
            "plan.auto.root.sequential[0].weighted[0].weight: -1 is out of range",
        ),
        (
            "hangup = \"busy\"",
            "hangup = \"bussy\"",
            "plan.auto.terminal.hangup: \"bussy\" is unknown (busy?)",
        ),
        (
            "hangup = \"busy\"",
            "hangup = \"busy\", message = \"x\"",
            "plan.auto.terminal: is more than one action",
        ),
        (
            "hangup = \"busy\"",
            "dial = \"+18005550100\"",
            "plan.auto.terminal.dial: is one of the tracking numbers: calls would come back here",
        ),
    ];
    for (old, new, expected) in rows {
        let problems = market(&with(old, new)).expect_err(new);
        assert_eq!(problems.iter().map(brief).collect::<Vec<_>>(), [expected], "{new}");
    }
    let long = with("hangup = \"busy\"", &format!("message = \"{}\"", "x".repeat(501)));
    assert_eq!(market(&long).expect_err("too long").len(), 1);
}

#[test]
fn one_line_of_a_signing_carrier_changed_gives_one_problem() {
    let list = "[\"env:TWILIO\"]";
    let rows = [
        ("\"twilio\"", "\"twillio\"", "carrier.tw.dialect: \"twillio\" is unknown (twilio?)"),
        ("public_url = \"https://calls.example.com\"\n", "", "carrier.tw.public_url: is missing"),
        (
            "https://calls",
            "http://calls",
            "carrier.tw.public_url: is plain HTTP to a host that is not loopback",
        ),
        (
            "https://calls",
            "http://127.0.0.1.calls",
            "carrier.tw.public_url: is plain HTTP to a host that is not loopback",
        ),
        (".com\"", ".com/\"", "carrier.tw.public_url: \"https://calls.example.com/\" does not fit"),
        ("https://calls", "calls", "carrier.tw.public_url: \"calls.example.com\" does not fit"),
        ("secrets = [\"env:TWILIO\"]\n", "", "carrier.tw.secrets: is missing"),
        (list, "[]", "carrier.tw.secrets: has 0 secrets"),
        (list, "[1, 2, 3, 4, 5]", "carrier.tw.secrets: has 5 secrets"),
        (list, "\"env:TWILIO\"", "carrier.tw.secrets: is a string"),
        (list, "[1]", "carrier.tw.secrets[0]: is an integer"),
        (
            list,
            "[\"hunter2hunter2hunter2hunter2\"]",
            "carrier.tw.secrets[0]: is a literal secret, which must not stand in a file",
        ),
        (list, "[\"env:NOT_SET\"]", "carrier.tw.secrets[0]: the environment variable NOT_SET is not set"),
        (list, "[\"env:SHORT\"]", "carrier.tw.secrets[0]: holds no usable secret"),
        (list, "[\"env:TWILIO\", \"env:TWILIO\"]", "carrier.tw.secrets[1]: is a secret that stands twice"),
        (list, "[{}]", "carrier.tw.secrets[0].secret_file: is missing"),
        ("secrets", "secret", "carrier.tw.secret: unknown key (secrets?)"),
        (
            "[carrier.tw]",
            "[carrier.tx]\ndialect = \"twilio\"\npublic_url = \"https://x.example\"\nsecrets = [\"env:ACME\", \"env:TWILIO\"]\n[carrier.tw]",
            "carrier.tx: has a secret of carrier tw",
        ),
    ];
    for (old, new, expected) in rows {
        assert!(TWILIO.contains(old), "{old}");
        let problems = market(&format!("{MARKET}{}", TWILIO.replacen(old, new, 1))).expect_err(new);
        assert_eq!(problems.iter().map(brief).collect::<Vec<_>>(), [expected], "{new}");
        assert!(!rendered(&problems).contains("hunter2"));
    }
    let generic =
        with("[campaign.auto]", "public_url = \"https://x.example\"\nsecrets = []\n[campaign.auto]");
    assert_eq!(
        market(&generic).expect_err("of no use").iter().map(brief).collect::<Vec<_>>(),
        [
            "carrier.switch.public_url: is of no use to the generic dialect",
            "carrier.switch.secrets: is of no use to the generic dialect"
        ]
    );
    let keyless = with("key_digest", "dialect = \"generic\"\n#");
    assert_eq!(brief(&market(&keyless).expect_err("no key")[0]), "carrier.switch.key_digest: is missing");
}

#[test]
fn a_target_stands_in_a_plan_once_and_trees_have_a_depth() {
    let twice = with("\"acme-phone\"] }", "\"acme-phone\", \"acme-phone\"] }");
    let problems = market(&twice).expect_err("twice");
    assert!(
        brief(&problems[0]).contains("sequential[2]: stands twice in this plan: also at"),
        "{problems:?}"
    );
    let deep = |levels: usize| {
        let tree =
            format!("{}\"acme-phone\"{}", "{ sequential = [".repeat(levels - 1), "] }".repeat(levels - 1));
        market(&with("{ sequential = [{ auction = [\"acme-bid\"] }, \"acme-phone\"] }", &tree))
    };
    assert!(deep(32).is_ok());
    assert!(brief(&deep(33).expect_err("too deep")[0]).ends_with("is nested 33 deep"));
}

#[test]
fn a_file_that_is_no_toml_hides_no_other_fault() {
    let buyers = "[buyer.bolt]\nname = \"Bolt\"\nzone = \"UTC\"\n[buyer.cedar]\nname = = \"Cedar\"\n";
    let more = "[target.bolt]\nbuyer = \"bolt\"\naddress = \"+15125550120\"\nprice = \"1\"\ntier = 0\n\
                [target.cedar]\nbuyer = \"cedar\"\naddress = \"+15125550121\"\nprice = \"1\"\n";
    let files = [
        ("outcry.toml", ""),
        ("catalog/a.toml", buyers),
        ("catalog/b.toml", more),
        ("catalog/c.toml", MARKET),
    ];
    let problems = Folder::new(&files).load().expect_err("two faults");
    assert_eq!(problems.len(), 2, "{}", rendered(&problems));
    assert!(problems[0].file.ends_with("a.toml") && problems[0].line == 5, "{}", problems[0]);
    assert_eq!(brief(&problems[1]), "target.bolt.tier: 0 is out of range");

    let files = [("outcry.toml", "[admin\nlisten = 3\n"), ("catalog/b.toml", more)];
    let problems = Folder::new(&files).load().expect_err("faults in both");
    assert!(problems.iter().any(|problem| problem.file.ends_with("outcry.toml")), "{}", rendered(&problems));
    assert!(problems.iter().any(|problem| problem.key == "target.bolt.tier"), "{}", rendered(&problems));
}

/// Whatever part of a file its fault hides, nothing that stands in it is missed elsewhere.
#[test]
fn a_file_that_is_no_toml_is_one_problem() {
    let other = "[target.zed]\nbuyer = \"acme\"\naddress = \"+15125550117\"\nprice = \"20.00\"\n\
                 [[number]]\nnumber = \"+18005550119\"\ncampaign = \"auto\"\npublisher = \"metro\"\n\
                 [plan.zed]\nroot = { auction = [\"acme-bid\", \"acme-phone\"] }\nterminal = { hangup = \"busy\" }";
    let rows = [
        ("default_plan = ", "default_plan "),
        ("[buyer.acme]", "[buyer.acme"),
        ("name = \"Acme\"", "name = \"Acme"),
        ("name = \"Acme\"", "name = \"\"\"Acme"),
        ("zone = \"UTC\"", "zone = UTC"),
        ("zone = \"UTC\"", "zone \"UTC\""),
        ("[publisher.metro]", "publisher.metro]"),
        ("[target.acme-bid]", "[target acme-bid]"),
        ("endpoint = {", "endpoint = "),
        ("sequential = [", "sequential = "),
    ];
    for (old, new) in rows {
        let broken = with(old, new);
        let files = [("outcry.toml", ""), ("catalog/a.toml", broken.as_str()), ("catalog/b.toml", other)];
        let problems = Folder::new(&files).load().expect_err(new);
        assert_eq!(problems.len(), 1, "{}", rendered(&problems));
    }
}

#[test]
fn an_id_twice_in_one_file_is_said() {
    let problems =
        market(&format!("{MARKET}\n[buyer.acme]\nname = \"x\"\nzone = \"UTC\"\n")).expect_err("twice");
    assert_eq!(problems.len(), 1, "{}", rendered(&problems));
    assert!(problems[0].what.contains("duplicate key"), "{}", problems[0]);
}

#[test]
fn csv_is_strict() {
    let rows = [
        ("", ":1:1: is empty"),
        ("number,campaign,publisher\n+18005550101,auto,metro\n", ""),
        ("\u{feff}number,campaign,publisher\n+18005550101,auto,metro\n", ""),
        ("\u{feff}number,campain,publisher\n", ":1:8: \"campain\" is no column"),
        ("publisher, number ,campaign\r\nmetro,+18005550101 ,auto\r\n\r\n", ""),
        ("number,campaign\n", ":1:1: there is no column publisher"),
        ("number,campain,publisher\n", ":1:8: \"campain\" is no column"),
        ("number,campaign,publisher\n+18005550100,auto,metro\n", ":2:1: number: stands twice: also at"),
        ("number,campaign,publisher\n+18005550101,otto,metro\n", ":2:14: campaign: \"otto\" is no campaign"),
        ("number,campaign,publisher\n+18005550101,auto,\"metro\"\n", ":2:19: has a quote"),
        ("number,campaign,publisher\n+18005550101,auto\n", ":2:1: has 2 cells"),
        ("number,campaign,publisher\n18005550101,auto,metro\n", ":2:1: number: \"18005550101\" does not fit"),
    ];
    for (csv, expected) in rows {
        let text = format!("numbers_csv = \"n.csv\"\n{MARKET}");
        let files = [("outcry.toml", ""), ("catalog/market.toml", text.as_str()), ("catalog/n.csv", csv)];
        match Folder::new(&files).load() {
            Ok(loaded) => assert_eq!((expected, loaded.catalog.numbers.len()), ("", 2), "{csv}"),
            Err(problems) => {
                assert_eq!(problems.len(), 1, "{}", rendered(&problems));
                assert!(
                    !expected.is_empty() && problems[0].to_string().contains(expected),
                    "{}",
                    problems[0]
                );
            }
        }
    }
    let problems = market(&format!("numbers_csv = \"none.csv\"\n{MARKET}")).expect_err("no such file");
    assert_eq!((problems.len(), problems[0].key.as_str()), (1, "numbers_csv"));
}

#[test]
fn more_faults_than_anybody_reads_are_counted() {
    let text: String = (0..PROBLEMS_MAX + 5).map(|n| format!("x{n} = 1\n")).collect();
    let problems = market(&format!("{text}{MARKET}")).expect_err("unknown keys");
    assert_eq!(problems.len(), PROBLEMS_MAX + 1);
    assert!(problems[PROBLEMS_MAX].what.starts_with("5 more"), "{}", problems[PROBLEMS_MAX]);
}

#[test]
fn what_cannot_be_read_is_said_once() {
    let folder = Folder::new(&[("outcry.toml", "catalog_dir = \"nowhere\"")]);
    let problems = folder.load().expect_err("no folder");
    assert_eq!((problems.len(), problems[0].key.as_str()), (1, "catalog_dir"));
    let problems = Folder::new(&[("outcry.toml", "")]).load().expect_err("no file");
    assert_eq!(problems.iter().map(brief).collect::<Vec<_>>(), ["catalog_dir: holds 0 files *.toml"]);

    let other = "[target.x]\nbuyer = \"acme\"\naddress = \"sip:a@b\"\nprice = \"1\"";
    let folder = Folder::new(&[("outcry.toml", ""), ("catalog/b.toml", other)]);
    fs::write(folder.0.join("catalog/a.toml"), b"name = \"\xff\"").expect("a file");
    let problems = folder.load().expect_err("not UTF-8");
    assert_eq!(problems.iter().map(brief).collect::<Vec<_>>(), [": is not UTF-8"]);

    assert_eq!(load(Path::new("nowhere.toml")).expect_err("no settings").len(), 1);
}

//! Tables of filters: what stands in a catalog's file, and what it says of calls.
//!
//! A case is one filter, and below it one row per call with what comes of it behind `=>`: `yes`, `no` or `strange`, and
//! the value that the filter saw. A call names what is known of it; nothing else is.

use super::*;
use crate::domain::caller::{SetBy, TagValue};
use crate::domain::{E164, Tags, Timestamp, Verified, Zone};
use crate::routing::filter::{Compiled, Truth};
use crate::routing::{Facts, Located};

fn with_filters(list: &str) -> String {
    with("price = \"25.00\"", &format!("price = \"25.00\"\nfilters = {list}"))
}

/// Reads a call such as `state TX, zip 78701, tag age 64`; nothing else is known of it.
pub(super) fn called<T>(call: &str, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
    let mut tags = Tags::default();
    let none = Tags::default();
    let mut facts = Facts { has_number: true, ..Facts::bare(&none, Timestamp::default()) };
    let parts = call.split(", ").filter(|part| !part.is_empty());
    let call: Vec<(&str, &str)> = parts.map(|part| part.split_once(' ').unwrap_or((part, ""))).collect();
    for (_, rest) in call.iter().filter(|(key, _)| *key == "tag") {
        let (key, value) = rest.split_once(' ').expect("a key and a value");
        tags.add(key, TagValue::Text(value.into()), SetBy::Carrier).expect("fits");
    }
    for (key, value) in &call {
        match *key {
            "state" => facts.state = Some(value),
            "country" => facts.country = Some(value),
            "area_code" => facts.area_code = value.parse().ok(),
            "zip" => facts.zip = Located::of(Some(value)),
            "publisher" => facts.publisher = Some(value),
            "campaign" => facts.campaign = Some(value),
            "sub_id" => facts.sub_id = Some(value),
            "number" => facts.dialled = E164::parse(value),
            "stir" => facts.attestation = value.chars().next(),
            "verified" => facts.verified = Verified::parse(value).expect("a result"),
            "withheld" => facts.has_number = false,
            "at" => facts.now = Timestamp::parse(value).expect("an instant"),
            "tag" | "nothing" => {}
            other => panic!("unknown fact `{other}`"),
        }
    }
    ask(&Facts { tags: &tags, ..facts })
}

fn said(compiled: &Compiled, call: &str) -> String {
    let (truth, saw) = called(call, |facts| compiled.verdicts(facts).next().expect("one filter"));
    let truth = match truth {
        Truth::Yes => "yes",
        Truth::No => "no",
        Truth::Strange => "strange",
    };
    format!("{truth}: {saw}")
}

fn check(table: &str) {
    for case in table.split("\n\n") {
        let mut rows = case.lines().map(str::trim).filter(|row| !row.is_empty());
        let filter = rows.next().expect("a filter");
        let loaded = loaded(&with_filters(&format!("[{filter}]")));
        let target =
            loaded.catalog.targets.iter().find(|target| !target.filters.is_empty()).expect("the target");
        let compiled = Compiled::new(&target.filters, &Zone::load("America/Chicago").expect("a zone"));
        let mut asked = 0;
        for row in rows {
            let (call, expected) = row.split_once("=>").expect("a call => what comes of it");
            assert_eq!(said(&compiled, call.trim()), expected.trim(), "{filter}: {call}");
            asked += 1;
        }
        assert!(asked > 1, "{filter}: one call shows little");
    }
}

#[test]
fn places() {
    check(
        r#"{ state = ["TX", "OK"] }
           state TX                                => yes: state TX
           state NY                                => no: state NY
           nothing                                 => no: state unknown

           { not = { state = ["NY"] } }
           state TX                                => yes: state TX
           state NY                                => no: state NY
           nothing                                 => yes: state unknown

           { country = ["US", "CA"] }
           country US                              => yes: country US
           country JM                              => no: country JM
           nothing                                 => no: country unknown

           { area_code = [512, 737] }
           area_code 737                           => yes: area_code 737
           area_code 212                           => no: area_code 212
           nothing                                 => no: area_code unknown

           { zip = ["78701", "787*", "10001"] }
           zip 78702                               => yes: zip 787••
           zip 78702-1234                          => yes: zip 787••
           zip 10002                               => no: zip 100••
           zip 00000                               => strange: zip is none
           zip M5V2T6                              => strange: zip is none
           nothing                                 => no: zip unknown

           { not = { zip = ["787*"] } }
           zip 10001                               => yes: zip 100••
           zip 78701                               => no: zip 787••
           zip 7870                                => strange: zip is none
           nothing                                 => yes: zip unknown

           { near = "78701", miles = 50 }
           zip 78701                               => yes: 0 miles
           zip 78664                               => yes: 17 miles
           zip 75201                               => no: 183 miles
           zip 78711                               => strange: zip has no place
           zip 99                                  => strange: zip is none
           nothing                                 => no: zip unknown"#,
    );
}

#[test]
fn where_a_call_comes_from() {
    check(
        r#"{ publisher = ["metro"] }
           publisher metro                         => yes: publisher metro
           publisher other                         => no: publisher other
           nothing                                 => no: publisher unknown

           { campaign = ["auto"] }
           campaign auto                           => yes: campaign auto
           campaign home                           => no: campaign home

           { sub_id = ["tv-auto", "fb-*"] }
           sub_id tv-auto                          => yes: sub_id tv-auto
           sub_id tv-auto-2                        => no: sub_id tv-auto-2
           sub_id fb-77                            => yes: sub_id fb-77
           nothing                                 => no: sub_id absent

           { number = ["+18005550100", "+1888*"] }
           number +18005550100                     => yes: number +18005550100
           number +18885550199                     => yes: number +18885550199
           number +18005550101                     => no: number +18005550101
           nothing                                 => no: number unknown

           { stir = ["A", "B"] }
           stir A                                  => yes: stir A
           stir C                                  => no: stir C
           nothing                                 => no: stir none
           stir A, verified passed                 => yes: stir A
           stir A, verified failed                 => no: stir A, failed

           { stir = ["none"] }
           nothing                                 => yes: stir none
           stir A                                  => no: stir A
           stir A, verified failed                 => yes: stir A, failed

           { stir_verified = ["passed"] }
           stir A, verified passed                 => yes: stir_verified passed
           stir A, verified failed                 => no: stir_verified failed
           stir A                                  => no: stir_verified unverified
           nothing                                 => no: stir_verified unverified

           { not = { stir_verified = ["failed"] } }
           nothing                                 => yes: stir_verified unverified
           verified failed                         => no: stir_verified failed

           { all = [{ stir = ["A", "B"] }, { stir_verified = ["passed", "unverified"] }] }
           stir A, verified passed                 => yes: stir A
           stir A, verified failed                 => no: stir A, failed
           stir C, verified passed                 => no: stir C

           { anonymous = false }
           nothing                                 => yes: number shown
           withheld                                => no: no number

           { anonymous = true }
           nothing                                 => no: number shown
           withheld                                => yes: no number

           { hours = ["mon-fri 09:00-12:00"] }
           at 2026-11-20T15:00Z                    => yes: Fri 2026-11-20 09:00 in America/Chicago
           at 2026-11-20T14:59Z                    => no: Fri 2026-11-20 08:59 in America/Chicago

           { hours = ["mon-fri 09:00-12:00"], zone = "America/New_York" }
           at 2026-11-20T14:59Z                    => yes: Fri 2026-11-20 09:59 in America/New_York
           at 2026-11-20T17:00Z                    => no: Fri 2026-11-20 12:00 in America/New_York"#,
    );
}

#[test]
fn tags() {
    check(
        r#"{ tag = "case", op = "=", value = "collision" }
           tag case collision                      => yes: case collision
           tag case Collision                      => no: case Collision
           nothing                                 => no: case absent

           { tag = "case", op = "!=", value = "theft" }
           tag case collision                      => yes: case collision
           tag case theft                          => no: case theft
           nothing                                 => yes: case absent

           { tag = "case", op = "in", value = ["collision", "slip"] }
           tag case slip                           => yes: case slip
           tag case theft                          => no: case theft

           { tag = "case", op = "not_in", value = ["collision", "slip"] }
           tag case slip                           => no: case slip
           nothing                                 => yes: case absent

           { tag = "age", op = ">", value = 64 }
           tag age 65                              => yes: age 65
           tag age 64.000001                       => yes: age 64.000001
           tag age 64                              => no: age 64
           tag age 9                               => no: age 9
           tag age -70                             => no: age -70
           tag age old                             => strange: age old is no number
           tag age 1e3                             => strange: age 1e3 is no number
           nothing                                 => no: age absent

           { tag = "age", op = "<", value = "2.5" }
           tag age 2.4999                          => yes: age 2.4999
           tag age 2.50                            => no: age 2.50
           nothing                                 => no: age absent

           { tag = "age", op = "between", value = [18, 64] }
           tag age 18                              => yes: age 18
           tag age 64                              => yes: age 64
           tag age 64.5                            => no: age 64.5

           { not = { tag = "age", op = ">", value = 64 } }
           tag age 30                              => yes: age 30
           tag age old                             => strange: age old is no number
           nothing                                 => yes: age absent

           { tag = "case", op = "exists", value = true }
           tag case x                              => yes: case x
           nothing                                 => no: case absent

           { tag = "case", op = "exists", value = false }
           tag case x                              => no: case x
           nothing                                 => yes: case absent

           { tag = "case", op = "matches", value = "^(rear|front)-end$" }
           tag case rear-end                       => yes: case rear-end
           tag case a rear-end                     => no: case a rear-end
           nothing                                 => no: case absent

           { tag = "case", op = "prefix", value = "rear" }
           tag case rear-end                       => yes: case rear-end
           tag case near                           => no: case near

           { tag = "name", op = "=", value = "Ann" }
           tag name Ann                            => yes: name •••
           tag name Bob                            => no: name •••"#,
    );
}

/// The value shown is that of the condition on which the whole rests.
#[test]
fn joined_conditions() {
    check(
        r#"{ any = [{ state = ["TX"] }, { tag = "age", op = ">", value = 64 }] }
           state NY, tag age 70                    => yes: age 70
           state TX                                => yes: state TX
           state NY, tag age 20                    => no: state NY
           state NY, tag age old                   => strange: age old is no number
           state TX, tag age old                   => yes: state TX

           { all = [{ state = ["TX"] }, { not = { any = [{ area_code = [512] }, { zip = ["787*"] }] } }] }
           state TX, area_code 214, zip 75201      => yes: state TX
           state TX, area_code 512, zip 75201      => no: area_code 512
           state TX, area_code 214, zip 78701      => no: zip 787••
           state TX, area_code 214, zip none       => strange: zip is none
           state NY, zip none                      => no: state NY
           state TX                                => yes: state TX"#,
    );
}

#[test]
fn faults_are_named_where_they_stand() {
    let deep = (0..8).fold("{ state = [\"TX\"] }".to_owned(), |inner, _| format!("{{ not = {inner} }}"));
    for (list, expected) in [
        ("[{}]", "filters[0]: says no condition"),
        ("[{ stat = [\"TX\"] }]", "filters[0].stat: unknown key (state?)"),
        ("[{ state = [] }]", "filters[0].state"),
        (
            "[{ state = [\"TX\"], area_code = [512] }]",
            "filters[0].area_code: is a second condition in one filter",
        ),
        ("[{ state = [\"XX\"] }]", "filters[0].state[0]: \"XX\" is no state"),
        ("[{ country = [\"UK\"] }]", "filters[0].country[0]: \"UK\" does not fit"),
        ("[{ area_code = [51] }]", "filters[0].area_code[0]: 51 is out of range"),
        ("[{ zip = [\"00000\"] }]", "filters[0].zip[0]: \"00000\" does not fit"),
        ("[{ zip = [\"78701\", \"78701\"] }]", "filters[0].zip[1]: stands twice"),
        ("[{ near = \"78711\", miles = 5 }]", "filters[0].near: \"78711\" does not fit"),
        ("[{ near = \"78701\" }]", "filters[0].miles: is missing"),
        ("[{ publisher = [\"metros\"] }]", "filters[0].publisher[0]: \"metros\" is no publisher (metro?)"),
        ("[{ number = [\"8005550100\"] }]", "filters[0].number[0]: \"8005550100\" does not fit"),
        ("[{ tag = \"age\", op = \">\", value = \"old\" }]", "filters[0].value: \"old\" does not fit"),
        ("[{ tag = \"age\", op = \">=\", value = 1 }]", "filters[0].op: \">=\" is unknown"),
        (
            "[{ tag = \"age\", op = \"between\", value = [64, 18] }]",
            "filters[0].value: ends at 18 before it begins at 64",
        ),
        ("[{ tag = \"age\", op = \"between\", value = [1] }]", "filters[0].value: is no span"),
        (
            "[{ tag = \"age\", op = \"matches\", value = \"(\" }]",
            "filters[0].value: \"(\" is no regular expression",
        ),
        ("[{ tag = \"age\", op = \"in\", value = [] }]", "filters[0].value: names nothing"),
        ("[{ stir_verified = [] }]", "filters[0].stir_verified: names nothing: it would never hold"),
        ("[{ stir_verified = [\"yes\"] }]", "filters[0].stir_verified[0]: \"yes\" is unknown"),
        (
            "[{ stir_verified = [\"passed\"] }, { stir_verified = [\"failed\"] }]",
            "have no value in common: no call passes both",
        ),
        (
            "[{ stir = [\"A\", \"B\"] }, { stir_verified = [\"failed\"] }]",
            "have no value in common: no call passes both",
        ),
        ("[{ any = [] }]", "filters[0].any: names nothing: it would never hold"),
        ("[{ state = [\"TX\"] }, { state = [\"OK\"] }]", "have no value in common: no call passes both"),
        ("[{ zip = [\"787*\"] }, { zip = [\"78601\"] }]", "have no value in common: no call passes both"),
        (
            "[{ zip = [\"787*\"] }, { state = [\"OK\", \"CA\"] }]",
            "have no value in common: no call passes both",
        ),
        // Parts of an `all` stand side by side, and beside what it stands beside.
        (
            "[{ all = [{ state = [\"TX\"] }, { all = [{ state = [\"OK\"] }] }] }]",
            "filters[0]: asks for two things that have no value in common: no call passes both",
        ),
        (
            "[{ state = [\"TX\"] }, { all = [{ anonymous = false }, { state = [\"OK\"] }] }]",
            "filters[1]: and target.acme-phone.filters[0] have no value in common: no call passes both",
        ),
        ("[{ anonymous = true }, { not = { anonymous = true } }]", "have no value in common"),
        ("[{ area_code = [512] }, { not = { area_code = [737, 512] } }]", "have no value in common"),
        (
            "[{ tag = \"age\", op = \">\", value = 64 }, { tag = \"age\", op = \"<\", value = 64 }]",
            "have no value in common: no call passes both",
        ),
        ("[{ number = [\"+18005559999\"] }]", "filters[0].number[0]: \"+18005559999\" does not fit"),
        (
            "[{ not = { number = [\"+1888*\", \"+1800\"] } }]",
            "filters[0].not.number[1]: \"+1800\" does not fit",
        ),
        ("[{ state = \"TX\" }]", "filters[0].state: is a string"),
        ("[{ tag = \"age\", op = \"in\", value = \"x\" }]", "filters[0].value: is a string"),
        ("[{ zip = [\"787*\", \"000*\"] }]", "filters[0].zip[1]: would never hold: no ZIP begins so"),
        (&*format!("[{deep}]"), "is nested 9 deep"),
    ] {
        let problems = market(&with_filters(list)).map(|_| ()).expect_err(list);
        let said: Vec<String> = problems.iter().map(brief).collect();
        let hits = said.iter().filter(|one| one.contains(expected)).count();
        assert_eq!(hits, 1, "{list}: {said:#?}");
    }
}

/// Two filters, and whether no call passes both.
#[test]
fn filters_that_exclude_each_other() {
    let tag = |op: &str, value: &str| format!("{{ tag = \"age\", op = \"{op}\", value = {value} }}");
    let not = |filter: &str| format!("{{ not = {filter} }}");
    let any = |parts: &[&str]| format!("{{ any = [{}] }}", parts.join(", "));
    let all = |parts: &[&str]| format!("{{ all = [{}] }}", parts.join(", "));
    let (texas, ohio, both) =
        ("{ state = [\"TX\"] }", "{ state = [\"OH\"] }", "{ state = [\"OH\", \"TX\"] }");
    let sub_ids = |list: &str| format!("{{ sub_id = {list} }}");
    let numbers = |list: &str| format!("{{ number = {list} }}");
    let zips = |list: &str| format!("{{ zip = {list} }}");
    let hours = |list: &str, zone: &str| format!("{{ hours = {list}{zone} }}");
    let weekend = hours("[\"sat,sun 00:00-24:00\"]", "");
    let week = hours("[\"mon-fri 00:00-24:00\"]", "");
    let utc = ", zone = \"UTC\"";
    let seniors = tag(">", "64");
    for (one, other, is_refused) in [
        (sub_ids("[\"fb-*\", \"x\"]"), sub_ids("[\"tv-*\", \"y\"]"), true),
        (sub_ids("[\"fb-*\"]"), sub_ids("[\"fb-77\"]"), false),
        (sub_ids("[\"fb-*\"]"), sub_ids("[\"fb-7*\"]"), false),
        (sub_ids("[\"fb-*\"]"), not(&sub_ids("[\"fb-7*\"]")), false),
        (sub_ids("[\"fb-77\", \"fb-7*\"]"), not(&sub_ids("[\"fb-*\"]")), true),
        (sub_ids("[\"fb-*\"]"), sub_ids("[\"*\"]"), false),
        (numbers("[\"+1888*\"]"), numbers("[\"+18005550100\"]"), true),
        (numbers("[\"+1800*\"]"), numbers("[\"+18005550100\"]"), false),
        (numbers("[\"+18005550100\"]"), not(&numbers("[\"+1800*\"]")), true),
        (zips("[\"787*\"]"), not(&zips("[\"78*\"]")), true),
        (zips("[\"78*\"]"), not(&zips("[\"787*\"]")), false),
        (zips("[\"7870*\"]"), not(&zips("[\"78705*\", \"787*\"]").replace("78705*", "78705")), true),
        (zips("[\"787*\"]"), not(texas), true),
        (texas.to_owned(), not(&zips("[\"787*\"]")), false),
        (tag("=", "\"64\""), tag("!=", "\"64\""), true),
        (tag("in", "[\"64\", \"65\"]"), tag("!=", "\"64\""), false),
        (tag("in", "[\"64\", \"65\"]"), tag("not_in", "[\"65\", \"66\", \"64\"]"), true),
        (tag("in", "[\"64\", \"old\"]"), seniors.clone(), true),
        (tag("in", "[\"64.000001\", \"old\"]"), seniors.clone(), false),
        (tag("=", "\"old\""), not(&seniors), true),
        (tag("=", "\"64.0\""), not(&seniors), false),
        (tag("!=", "\"65\""), tag("between", "[65, 65]"), false),
        (tag("=", "\"65.0\""), tag("between", "[65, 65]"), false),
        (tag("=", "\"yes\""), tag("prefix", "\"no\""), true),
        (tag("=", "\"yes\""), tag("matches", "\"^n\""), true),
        (tag("=", "\"yes\""), tag("matches", "\"e\""), false),
        (tag("=", "\"yes\""), not(&tag("matches", "\"e\"")), true),
        (tag("exists", "false"), tag("=", "\"yes\""), true),
        (tag("exists", "false"), seniors.clone(), true),
        (tag("exists", "false"), not(&seniors), false),
        (tag("exists", "false"), tag("!=", "\"yes\""), false),
        (tag("exists", "false"), tag("not_in", "[\"yes\"]"), false),
        (tag("exists", "false"), not(&tag("exists", "false")), true),
        (not(&tag("exists", "true")), not(&tag("exists", "false")), true),
        (seniors.clone(), tag("<", "64.000002"), false),
        (seniors.clone(), tag("<", "64.000001"), true),
        (seniors.clone(), tag("between", "[18, 64]"), true),
        (tag("between", "[64, 70]"), tag("between", "[18, 64]"), false),
        (tag("between", "[65, 70]"), not(&seniors), true),
        (tag("between", "[64, 70]"), not(&seniors), false),
        (not(&seniors), not(&tag("<", "65")), false),
        (tag("prefix", "\"ab\""), tag("prefix", "\"ac\""), true),
        (tag("prefix", "\"ab\""), tag("prefix", "\"abc\""), false),
        (tag("prefix", "\"abc\""), not(&tag("prefix", "\"ab\"")), true),
        (tag("prefix", "\"ab\""), not(&tag("prefix", "\"abc\"")), false),
        (tag("=", "\"a\""), tag("=", "\"b\"").replace("age", "case"), false),
        (texas.to_owned(), any(&[ohio, "{ anonymous = true }"]), false),
        (texas.to_owned(), any(&[ohio, &zips("[\"10*\"]")]), true),
        (texas.to_owned(), any(&[&all(&["{ anonymous = true }", ohio]), ohio]), true),
        (texas.to_owned(), not(&any(&["{ anonymous = true }", both])), true),
        (both.to_owned(), not(&any(&["{ anonymous = true }", texas])), false),
        (any(&[texas, ohio]), not(both), true),
        (any(&[texas, ohio]), not(&all(&[both, "{ anonymous = true }"])), false),
        (texas.to_owned(), not(&not(ohio)), true),
        (not(&not(texas)), not(&not(&not(texas))), true),
        (week.clone(), weekend.clone(), true),
        (hours("[\"fri 22:00-02:00\"]", ""), weekend.clone(), false),
        (hours("[\"mon-fri 00:00-24:00\"]", utc), weekend.clone(), false),
        (hours("[\"mon-fri 00:00-24:00\"]", utc), hours("[\"sat 09:00-10:00\"]", utc), true),
        (hours("[\"2026-12-26 09:00-10:00\", \"mon 09:00-10:00\"]", ""), weekend.clone(), false),
        (hours("[\"sat 09:00-10:00\"]", ""), not(&weekend), true),
        (weekend.clone(), not(&hours("[\"sat 09:00-10:00\"]", "")), false),
        ("{ stir_verified = [\"failed\"] }".to_owned(), not("{ stir = [\"none\"] }"), true),
        ("{ stir = [\"A\"] }".to_owned(), not("{ stir_verified = [\"passed\", \"unverified\"] }"), true),
        ("{ anonymous = false }".to_owned(), not("{ anonymous = true }"), false),
    ] {
        for list in [format!("[{one}, {other}]"), format!("[{other}, {one}]")] {
            let said: Vec<String> =
                market(&with_filters(&list)).err().unwrap_or_default().iter().map(brief).collect();
            assert_eq!(said.len(), usize::from(is_refused), "{list}: {said:#?}");
            assert!(said.iter().all(|one| one.contains("have no value in common")), "{list}: {said:#?}");
        }
    }
}

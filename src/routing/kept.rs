//! Which facts of a call a filter looks at: records do not keep all of them, and who reads a record must know what it can
//! say anew by it, and what it has to take from it.

use crate::domain::Filter;

/// The caller's ZIP: records keep its first three digits.
pub const ZIP: &str = "zip";
/// The publisher's label, where it spells the caller's number.
pub const SUB_ID: &str = "sub_id";
/// Every tag: the name of one is not kept.
pub const TAGS: &str = "tags";

/// A tag by its key.
pub fn tag(key: &str) -> String {
    format!("tag {key}")
}

/// Whether a filter looks at one of these facts, which records do not keep or not whole.
pub fn looks_at(filter: &Filter, not_kept: &[String]) -> bool {
    let has = |fact: &str| not_kept.iter().any(|one| one == fact);
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().any(|part| looks_at(part, not_kept)),
        Filter::Not(part) => looks_at(part, not_kept),
        Filter::Zip(_) | Filter::Near(..) => has(ZIP),
        Filter::SubId(_) => has(SUB_ID),
        Filter::Tag(key, _) => has(TAGS) || has(&tag(key)),
        Filter::State(_)
        | Filter::Country(_)
        | Filter::AreaCode(_)
        | Filter::Publisher(_)
        | Filter::Campaign(_)
        | Filter::Number(_)
        | Filter::Hours(..)
        | Filter::Attestation(_)
        | Filter::Verified(_)
        | Filter::Anonymous(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filter::{TagTest, Text};
    use crate::domain::zip::Zip;

    #[test]
    fn a_filter_looks_at_what_it_names_however_deep() {
        let zip = || Filter::Near(Zip::parse("78701").expect("a ZIP"), 10);
        let exists = |key: &str| Filter::Tag(key.to_owned(), TagTest::Exists(true));
        let state = || Filter::State(vec!["TX".to_owned()]);
        for (filter, not_kept, looks) in [
            (zip(), vec![ZIP], true),
            (zip(), vec![SUB_ID], false),
            (Filter::Not(Box::new(Filter::All(vec![state(), Filter::Any(vec![zip()])]))), vec![ZIP], true),
            (state(), vec![ZIP, SUB_ID, TAGS], false),
            (exists("case"), vec!["tag case"], true),
            (exists("case"), vec!["tag cases"], false),
            (exists("case"), vec![TAGS], true),
            (Filter::SubId(vec![Text::parse("fb*")]), vec![SUB_ID], true),
        ] {
            let not_kept: Vec<String> = not_kept.into_iter().map(str::to_owned).collect();
            assert_eq!(looks_at(&filter, &not_kept), looks, "{filter} {not_kept:?}");
        }
    }
}

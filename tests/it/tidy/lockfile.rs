//! What must not come in through a dependency of a dependency.

use std::fs;

use super::root;

/// Every locked package: name and version.
fn locked() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let value = |block: &str, key: &str| -> String {
        let line = block.lines().find_map(|line| line.strip_prefix(key)).expect("every package has both");
        line.trim_matches('"').to_owned()
    };
    let blocks = text.split("[[package]]\n").skip(1);
    blocks.map(|block| (value(block, "name = "), value(block, "version = "))).collect()
}

#[test]
fn one_crypto_library_is_built_and_it_needs_no_cmake() {
    let foreign: Vec<_> = locked().into_iter().filter(|(name, _)| name.starts_with("aws-lc")).collect();
    assert!(foreign.is_empty(), "rustls and tokio-rustls are to use ring only, but there is {foreign:?}");
}

/// Older ones are unsound on some inputs; two of them would be one parser for tests and another for buyers.
#[test]
fn one_json_parser_reads_what_strangers_send() {
    let versions: Vec<_> = locked().into_iter().filter(|(name, _)| name == "simd-json").collect();
    let [(_, version)] = versions.as_slice() else { panic!("one simd-json, not {versions:?}") };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(version >= (0, 19), "simd-json is {version:?}, older than 0.19");
}

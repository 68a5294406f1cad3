//! Who may import whom. A module uses what stands in a lower layer, and neither its siblings nor anything above.

use std::fs;

use super::{Source, files, line_of, places, report, root, word};

/// Every module of the library with its layer.
const MODULES: &[(&str, u8)] = &[
    ("domain", 0),
    ("json", 0),
    ("auction", 1),
    ("bidder", 1),
    ("billing", 1),
    ("call", 1),
    ("capacity", 1),
    ("carrier", 1),
    ("routing", 1),
    ("journal", 2),
    ("problem", 2),
    ("runtime", 2),
    ("snapshot", 2),
    ("telemetry", 2),
    ("config", 3),
    ("listener", 3),
    ("ping", 3),
    ("records", 3),
    ("report", 3),
    ("state", 3),
    ("client", 4),
    ("exchange", 4),
    ("upkeep", 4),
    ("admin", 5),
    ("http", 5),
    ("plan", 5),
    ("replay", 5),
    ("app", 6),
    ("demo", 6),
];

/// What one module may use of a sibling: from, to, why.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("carrier", "call", "it produces `CallEvent`"),
    ("bidder", "auction", "it produces `Reply`"),
    ("records", "state", "it writes down images of what is remembered"),
    ("report", "records", "it reads what records wrote"),
    ("demo", "app", "it runs a real exchange and puts a market around it"),
];

/// Modules that are not for everybody above them: the module and who may use it.
const RESERVED: &[(&str, &[&str])] = &[
    // Only the edges say what a refusal looks like over HTTP.
    ("problem", &["listener", "http", "admin"]),
    ("listener", &["http", "admin", "app"]),
    // Everybody else is given values. `admin` knows `AdminKey`, see `ONE_NAME`.
    ("config", &["admin", "app", "demo", "replay"]),
];

/// Where one name is all that may be used: from, to, the name.
const ONE_NAME: &[(&str, &str, &str)] = &[("admin", "config", "AdminKey")];

/// Crates the core may name; whatever else is in `Cargo.toml` is the shell's. No engine logs, counts, spawns or
/// serialises its own types.
const CRATES: &[(&str, &[&str])] = &[
    ("domain", &["jiff", "regex", "thiserror"]),
    ("json", &["serde_json"]),
    ("auction", &[]),
    ("bidder", &["base64", "hmac", "serde", "serde_json", "sha2", "simd_json"]),
    ("billing", &[]),
    ("call", &[]),
    ("capacity", &[]),
    ("carrier", &["base64", "hmac", "quick_xml", "serde", "serde_json", "sha1", "sha2"]),
    ("routing", &[]),
];

fn layer(module: &str) -> Option<u8> {
    MODULES.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn may_use(from: &str, to: &str) -> bool {
    let is_below = layer(to) < layer(from);
    let is_open = RESERVED.iter().all(|(name, users)| *name != to || users.contains(&from));
    from == to || is_below && is_open || SIDEWAYS.iter().any(|row| (row.0, row.1) == (from, to))
}

/// The module a file of `src/` belongs to; none for the two roots, `lib.rs` and `main.rs`.
fn module_of(path: &str) -> Option<&str> {
    let name = word(path.strip_prefix("src/").expect("a file of src"));
    (!matches!(name, "lib" | "main")).then_some(name)
}

/// How deep the file's own module stands: 1 for `src/call.rs` and `src/call/mod.rs`, 2 for `src/call/event.rs`.
fn depth(path: &str) -> usize {
    path.matches('/').count() - usize::from(path.ends_with("/mod.rs"))
}

/// The text with its comments blanked, so that every place keeps its line.
fn code(text: &str) -> String {
    let blank = |line: &str| -> String {
        let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
        comment.map_or(line, |(at, _)| &line[..at]).to_owned()
    };
    text.lines().map(blank).collect::<Vec<_>>().join("\n")
}

/// What follows each `crate::`: the rest of the path, and where it stands. A group gives each of its members.
fn imports(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for at in places(code, "crate") {
        let Some(rest) = code[at..].strip_prefix("crate::") else { continue };
        let Some(group) = rest.strip_prefix('{') else {
            found.push((at, rest));
            continue;
        };
        let (mut deep, mut start) = (0, 0);
        for (here, byte) in group.bytes().enumerate() {
            let closes = byte == b'}' && deep == 0;
            if closes || byte == b',' && deep == 0 {
                let member = group[start..here].trim_start();
                if !member.is_empty() {
                    found.push((at, member));
                }
                start = here + 1;
            }
            match byte {
                _ if closes => break,
                b'{' => deep += 1,
                b'}' => deep -= 1,
                _ => {}
            }
        }
    }
    found
}

/// Where a path climbs to the root of the crate by `super`, past the eyes of this test. Modules written inside a file
/// stand one deeper and at its end.
fn climbs(code: &str, depth: usize) -> Vec<usize> {
    let inner = code.find("\nmod tests {").unwrap_or(code.len());
    let starts = places(code, "super").filter(|at| !code[..*at].ends_with("super::"));
    let steps = |at: usize| {
        let mut rest = &code[at..];
        let mut steps = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, steps) = (next, steps + 1);
        }
        steps
    };
    starts.filter(|at| steps(*at) >= depth + usize::from(*at > inner)).collect()
}

fn faults_of(source: &Source, foreign: &[String]) -> Vec<String> {
    let Some(module) = module_of(&source.path) else { return Vec::new() };
    let code = code(&source.text);
    let fault = |at: usize, what: String| format!("{}:{}: {what}", source.path, line_of(&code, at));
    let mut faults = Vec::new();
    for (at, path) in imports(&code) {
        let used = word(path);
        if layer(used).is_none() {
            faults.push(fault(at, format!("{used} is not in the table of modules")));
        } else if !may_use(module, used) {
            faults.push(fault(at, format!("{module} may not use {used}")));
        }
        for (_, _, name) in ONE_NAME.iter().filter(|row| (row.0, row.1) == (module, used)) {
            let own = path[used.len()..].strip_prefix("::").map(word);
            if own != Some(*name) {
                faults.push(fault(at, format!("{module} may use {name} of {used} and nothing else")));
            }
        }
    }
    for at in climbs(&code, depth(&source.path)) {
        faults.push(fault(at, "other modules are named by `crate::`, not by climbing to them".to_owned()));
    }
    if let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == module) {
        for name in foreign.iter().filter(|name| !allowed.contains(&name.as_str())) {
            for at in places(&code, name).filter(|at| code[at + name.len()..].starts_with("::")) {
                let is_root = !code[..at].ends_with("::");
                if is_root {
                    faults.push(fault(at, format!("{module} may not use the crate {name}")));
                }
            }
        }
    }
    faults
}

/// Names of the crates `Cargo.toml` brings in, as code writes them.
fn dependencies() -> Vec<String> {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, rest) = text.split_once("\n[dependencies]\n").expect("a table of dependencies");
    let table = rest.split("\n[").next().unwrap_or(rest);
    table.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_")).collect()
}

#[test]
fn nothing_looks_up_or_sideways() {
    let foreign = dependencies();
    assert!(foreign.iter().any(|name| name == "tokio"), "{foreign:?}");
    let faults: Vec<String> =
        files(&["src"], ".rs").iter().flat_map(|source| faults_of(source, &foreign)).collect();
    report(&faults);
}

#[test]
fn the_table_names_every_module_in_the_order_of_the_library() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")).map(word).collect();
    assert_eq!(modules, MODULES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert!(MODULES.is_sorted_by_key(|(_, layer)| *layer), "layers stand in their order");
    for (module, layer) in MODULES {
        let is_core = *layer < 2;
        let denied =
            format!("#[deny(clippy::disallowed_methods, clippy::disallowed_types)]\npub mod {module};");
        assert_eq!(text.contains(&denied), is_core, "{module}: the core and only the core is under the bans");
        assert_eq!(
            CRATES.iter().any(|(name, _)| name == module),
            is_core,
            "{module}: crates are listed for the core"
        );
    }
}

#[test]
fn exceptions_are_still_needed() {
    let sources = files(&["src"], ".rs");
    let uses = |from: &str, to: &str| {
        sources
            .iter()
            .filter(|source| module_of(&source.path) == Some(from))
            .any(|source| imports(&code(&source.text)).iter().any(|(_, path)| word(path) == to))
    };
    for (from, to, why) in SIDEWAYS {
        assert!(uses(from, to), "{from} does not use {to} any more, though {why}: strike the exception");
    }
    for (to, users) in RESERVED {
        for from in *users {
            let is_possible = layer(to) < layer(from);
            assert!(is_possible, "{from} cannot be a user of {to}");
        }
    }
}

/// The scan itself, on a file that breaks every rule.
#[test]
fn what_is_forbidden_is_found() {
    let text = "//! use crate::state; in a comment is a comment\n\
                use crate::state::calls;\n\
                use crate::{domain::{Money, Bps}, exchange::Ctx, telemetry};\n\
                use super::http;\n\
                use crate::nowhere;\n\
                fn f() { tracing::info!(\"\") }\n\
                mod tests {\n    use super::*;\n    use super::super::admin;\n}\n";
    let source = Source { path: "src/auction/mod.rs".to_owned(), text: text.to_owned() };
    let climbing = "other modules are named by `crate::`, not by climbing to them";
    assert_eq!(
        faults_of(&source, &["tracing".to_owned()]),
        [
            "src/auction/mod.rs:2: auction may not use state".to_owned(),
            "src/auction/mod.rs:3: auction may not use exchange".to_owned(),
            "src/auction/mod.rs:3: auction may not use telemetry".to_owned(),
            "src/auction/mod.rs:5: nowhere is not in the table of modules".to_owned(),
            format!("src/auction/mod.rs:4: {climbing}"),
            format!("src/auction/mod.rs:9: {climbing}"),
            "src/auction/mod.rs:6: auction may not use the crate tracing".to_owned(),
        ]
    );
    let admin = Source {
        path: "src/admin/mod.rs".to_owned(),
        text: "use crate::config::AdminKey;\nuse crate::config::Settings;".to_owned(),
    };
    assert_eq!(
        faults_of(&admin, &[]),
        ["src/admin/mod.rs:2: admin may use AdminKey of config and nothing else"]
    );
}

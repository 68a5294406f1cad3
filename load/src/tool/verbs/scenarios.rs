//! `load scenarios`: those that come with the tool.

use std::fmt::Write;
use std::path::Path;

use super::{Fault, scenario};
use crate::tool::shipped::SHIPPED;

/// One line for each: its name, its phases, and what it is about.
pub fn list() -> Result<String, Fault> {
    let mut text = String::new();
    for (name, _) in SHIPPED {
        let (_, scenario) = scenario(Path::new(name))?;
        let phases: Vec<&str> = scenario.phases.iter().map(|phase| phase.name.as_str()).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<18} {}\n{:<18}   phases: {}", scenario.about, "", phases.join(", "));
    }
    Ok(text)
}

//! The scenarios that come with the tool, whatever folder it is called in, and those in files.

use std::path::{Path, PathBuf};

use super::scenario::Scenario;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// Name and text of each. A file added to `load/scenarios/` is to be added here; a test says so.
pub const SHIPPED: [(&str, &str); 11] = shipped![
    "big-market",
    "burst",
    "cap-race",
    "flaky",
    "half-dead",
    "late-buyers",
    "overload",
    "reload-under-fire",
    "slow-buyer",
    "soak",
    "steady",
];

/// A scenario's text, and where it is from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Without folder and extension.
    pub name: String,
    /// How it is told to a person.
    pub told: String,
    pub text: String,
    /// Where files that it names are looked for.
    pub dir: PathBuf,
}

impl Source {
    /// A bare name is one that came with the tool; anything with a folder or an extension is a file.
    pub fn find(named: &Path) -> Result<Source, String> {
        let is_file = named.extension().is_some() || named.components().count() > 1;
        if is_file {
            let text = std::fs::read_to_string(named).map_err(|error| {
                format!(
                    "scenario file {}: {error}; give the path of a scenario file, or a name of `load scenarios`",
                    named.display()
                )
            })?;
            return Ok(Source {
                name: named.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
                told: named.display().to_string(),
                text,
                dir: named.parent().unwrap_or(Path::new(".")).to_owned(),
            });
        }
        let name = named.to_string_lossy();
        let Some((name, text)) = SHIPPED.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "no scenario is named {name:?}; there are {}; a file is given by its path, such as ./{name}.toml",
                known.join(", ")
            ));
        };
        Ok(Source {
            name: (*name).to_owned(),
            told: format!("scenario {name}"),
            text: (*text).to_owned(),
            dir: PathBuf::from("."),
        })
    }

    /// Reads and checks it; the message names the source and every fault.
    pub fn scenario(&self) -> Result<Scenario, String> {
        Scenario::read(&self.text, &self.dir).map_err(|faults| format!("{}:\n{faults}", self.told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_shipped_and_whole() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        assert_eq!(files, SHIPPED.map(|(name, _)| name));
        for (name, _) in SHIPPED {
            let scenario = Source::find(Path::new(name)).unwrap().scenario().unwrap();
            assert!(
                !scenario.about.is_empty() && !scenario.bars.is_empty(),
                "{name} says or demands nothing"
            );
        }
    }
}

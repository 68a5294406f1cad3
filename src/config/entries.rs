//! The index of the catalog: every file of its folder, and every id in them with its place.
//!
//! All files are one namespace. This finds what exists, so that references resolve whatever the order of files; what
//! an entry says is read elsewhere. Of a file that is no TOML the ids that could be made out count, and whatever else
//! stands in it may be an id: so its one fault does not look like many dangling references.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::de::DeTable;

use super::file::{Field, File, Reader, Source};
use super::problem::{Problem, Sink, nearest, shown};
use super::settings::path;
use crate::domain::caller_list::LISTS_MAX;
use crate::domain::id::{CampaignId, SlugError};

/// Most files of a catalog.
pub(super) const FILES_MAX: usize = 1_000;
/// Most bytes of all its files.
pub(super) const CATALOG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most entries of one kind.
pub(super) const ENTRIES_MAX: usize = 50_000;
/// Most ids a message lists.
const IDS_SHOWN_MAX: usize = 8;

/// The catalog's files by name: what ends in `.toml` and is not hidden. None at all if one of them cannot be read:
/// what it would have said is missing everywhere.
pub(super) fn files(dir: &Path, sink: &Sink) -> Vec<Source> {
    let fault = |what: String, allowed: &str| {
        sink.push(Problem::of_file(&dir.display().to_string(), "catalog_dir", what, allowed));
    };
    if let Some(paths) = super::stored::paths() {
        return paths.iter().filter_map(|path| Source::open(path).ok()).collect();
    }
    let mut paths: Vec<PathBuf> = match fs::read_dir(dir) {
        Ok(found) => {
            found.filter_map(|entry| Some(entry.ok()?.path())).filter(|p| is_catalog_file(p)).collect()
        }
        Err(error) => {
            fault(format!("cannot be read: {error}"), "the folder of the catalog's files");
            return Vec::new();
        }
    };
    if paths.is_empty() || paths.len() > FILES_MAX {
        fault(format!("holds {} files *.toml", paths.len()), &format!("1 to {FILES_MAX}"));
        return Vec::new();
    }
    paths.sort();
    let mut bytes = 0;
    let mut unreadable = Vec::new();
    let mut sources = Vec::new();
    for path in &paths {
        match Source::open(path) {
            Ok(source) => {
                bytes += source.text.len();
                sources.push(source);
            }
            Err(problem) => unreadable.push(*problem),
        }
        if bytes > CATALOG_BYTES_MAX {
            fault("is too large".to_owned(), "files of at most 64 MiB together");
            return Vec::new();
        }
    }
    if !unreadable.is_empty() {
        unreadable.into_iter().for_each(|problem| sink.push(problem));
        return Vec::new();
    }
    sources
}

fn is_catalog_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|end| end == "toml") && path.is_file()
}

/// Everything the files define, unread.
pub(super) struct Entries<'a> {
    pub(super) carriers: Index<'a>,
    pub(super) campaigns: Index<'a>,
    pub(super) publishers: Index<'a>,
    pub(super) buyers: Index<'a>,
    pub(super) targets: Index<'a>,
    pub(super) plans: Index<'a>,
    pub(super) caller_lists: Index<'a>,
    pub(super) groups: Index<'a>,
    /// Every `default_plan`.
    pub(super) default_plans: Vec<Field<'a>>,
    /// Every `[[number]]`.
    pub(super) numbers: Vec<Field<'a>>,
    /// Every `numbers_csv`, with the file it names.
    pub(super) csvs: Vec<(Field<'a>, PathBuf)>,
    /// Every word of files that are no TOML.
    pub(super) unread: Rc<Words<'a>>,
}

/// Words made of what an id may hold.
pub(super) type Words<'a> = BTreeSet<&'a str>;

/// A parsed file.
pub(super) struct Parsed<'a> {
    pub(super) file: File<'a>,
    pub(super) table: &'a DeTable<'a>,
    /// It is no TOML: the table is what could be made out.
    pub(super) broken: bool,
}

impl<'a> Entries<'a> {
    /// What these files define at their top level. `dir` is what CSV paths are relative to.
    pub(super) fn collect(files: impl Iterator<Item = Parsed<'a>>, dir: &Path) -> Entries<'a> {
        let mut unread = Words::new();
        let mut found: [Vec<(&str, Field<'_>)>; KINDS.len()] = Default::default();
        let (mut default_plans, mut numbers, mut csvs) = (Vec::new(), Vec::new(), Vec::new());
        for Parsed { file, table, broken } in files {
            if broken {
                unread.extend(file.source.text.split(|c: char| !is_of_id(c)));
            }
            file.root(table, |r: &Reader<'a>| {
                for (kind, found) in KINDS.iter().zip(&mut found) {
                    let allowed = format!("tables [{}.<id>]", kind.word());
                    found.extend(r.field(kind.word()).entries(&allowed));
                }
                default_plans.extend(Some(r.field("default_plan")).filter(Field::is_set));
                numbers.extend(r.field("number").long_list("tables [[number]]"));
                let csv = r.field("numbers_csv");
                csvs.extend(path(&csv, dir).map(|path| (csv, path)));
            });
        }
        let unread = Rc::new(unread);
        let index = |kind, found| Index::build(kind, found, Rc::clone(&unread));
        let [carriers, campaigns, publishers, buyers, targets, plans, caller_lists, groups] = found;
        Entries {
            carriers: index(Kind::Carrier, carriers),
            campaigns: index(Kind::Campaign, campaigns),
            publishers: index(Kind::Publisher, publishers),
            buyers: index(Kind::Buyer, buyers),
            targets: index(Kind::Target, targets),
            plans: index(Kind::Plan, plans),
            caller_lists: index(Kind::CallerList, caller_lists),
            groups: index(Kind::Group, groups),
            default_plans,
            numbers,
            csvs,
            unread: Rc::clone(&unread),
        }
    }
}

fn is_of_id(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
}

/// What has an id.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Carrier,
    Campaign,
    Publisher,
    Buyer,
    Target,
    Plan,
    CallerList,
    Group,
}

const KINDS: [Kind; 8] = [
    Kind::Carrier,
    Kind::Campaign,
    Kind::Publisher,
    Kind::Buyer,
    Kind::Target,
    Kind::Plan,
    Kind::CallerList,
    Kind::Group,
];

impl Kind {
    /// Most entries of it.
    const fn most(self) -> usize {
        match self {
            Kind::CallerList => LISTS_MAX,
            Kind::Carrier
            | Kind::Campaign
            | Kind::Publisher
            | Kind::Buyer
            | Kind::Target
            | Kind::Plan
            | Kind::Group => ENTRIES_MAX,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Kind::Carrier => "carrier",
            Kind::Campaign => "campaign",
            Kind::Publisher => "publisher",
            Kind::Buyer => "buyer",
            Kind::Target => "target",
            Kind::Plan => "plan",
            Kind::CallerList => "caller_list",
            Kind::Group => "group",
        }
    }
}

/// The entries of one kind, sorted by id: an entry's place in it is its position in the catalog.
pub(super) struct Index<'a> {
    kind: Kind,
    sorted: Vec<(&'a str, Field<'a>)>,
    unread: Rc<Words<'a>>,
}

impl<'a> Index<'a> {
    fn build(kind: Kind, mut found: Vec<(&'a str, Field<'a>)>, unread: Rc<Words<'a>>) -> Index<'a> {
        let most = kind.most();
        if let Some((_, field)) = found.get(most) {
            let allowed = format!("at most {most} of a kind");
            field.wrong(format!("is one of {} {}s", found.len(), kind.word()), &allowed);
            found.truncate(most);
        }
        for (id, field) in &found {
            // Every kind of id follows the same rules.
            if CampaignId::parse(id).is_err() {
                field.wrong(format!("{} is no id", shown(id)), &SlugError.to_string());
            }
        }
        // Stable: of two with one id the first file's stays first.
        found.sort_by_key(|(id, _)| *id);
        for pair in found.windows(2) {
            if pair[0].0 == pair[1].0 {
                pair[1].1.wrong(format!("stands twice: also at {}", pair[0].1.place()), "each id once");
            }
        }
        found.dedup_by_key(|(id, _)| *id);
        Index { kind, sorted: found, unread }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &Field<'a>)> {
        self.sorted.iter().map(|(id, field)| (*id, field))
    }

    /// The entry at a position this index gave out.
    pub(super) fn field(&self, ix: u32) -> &Field<'a> {
        &self.sorted[ix as usize].1
    }

    /// The position of the entry that a field names.
    pub(super) fn named_by(&self, field: &Field<'_>) -> Option<u32> {
        self.find(field.text(&self.allowed())?, field)
    }

    /// The position of an id that stands at `place`.
    pub(super) fn find(&self, id: &str, place: &Field<'_>) -> Option<u32> {
        match self.sorted.binary_search_by_key(&id, |(id, _)| id) {
            Ok(at) => u32::try_from(at).ok(),
            Err(_) if self.unread.contains(id) => None,
            Err(_) => {
                let hint = nearest(id, self.sorted.iter().map(|(id, _)| *id));
                place.wrong_meant(format!("{} is no {}", shown(id), self.kind.word()), &self.allowed(), hint);
                None
            }
        }
    }

    fn allowed(&self) -> String {
        let word = self.kind.word();
        if self.sorted.is_empty() || self.sorted.len() > IDS_SHOWN_MAX {
            return format!("the id of a {word}");
        }
        let ids: Vec<&str> = self.sorted.iter().map(|(id, _)| *id).collect();
        format!("the id of a {word}: {}", ids.join(", "))
    }
}

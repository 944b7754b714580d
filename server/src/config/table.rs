//! The one list of all keys: what each is called, what it defaults to, whether a reload takes it, what it does here.
//!
//! Owns: `keys.tsv`, the checked-in data, and every question that is answered by it: the parser's dispatch, `-t`, the
//! reload rule, docs/configuration.md.
//! Not here: what a value means (`apply`).
//! Paths: `a.b` is key `b` in map `a`; `[]` stands for each element of a list, `<name>` for any key.
//!
//! Invariants (checked by a test, so `Table::new` may rely on them)
//!   a path stands once; no two keys of one map share a name
//!   a key below a refused key is refused, below a warned one warned
//!   every refused or warned key says why, or stands below one that does

use std::collections::BTreeMap;

/// The data: tab separated, the first line names the columns.
const KEYS: &str = include_str!("keys.tsv");
const COLUMN_COUNT: usize = 12;

/// What a key does in this server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It does what it does in the peer.
    Effective,
    /// It is understood and does nothing, which is harmless: a notice at start.
    Warned,
    /// It is understood and does nothing, and silence about that would harm: the server does not start.
    Refused,
}

/// When a changed value counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    /// With a reload.
    Hot,
    /// With a restart only; a reload that changes it is refused.
    Restart,
    /// Some changes with a reload; the note says which.
    Partly,
}

/// One key, or one rule of the language (`is_syntax`).
#[derive(Clone, Debug)]
pub struct Key {
    /// From the top of the file, its own name last.
    pub path: &'static str,
    /// Other names in the same map.
    pub aliases: Vec<&'static str>,
    /// Type of its value.
    pub kind: &'static str,
    /// Value when it is not written; empty where there is none.
    pub default: &'static str,
    /// Unit of a number.
    pub unit: &'static str,
    /// When a changed value counts.
    pub reload: Reload,
    /// First release of the peer that has it, or of Pinion.
    pub since: &'static str,
    /// What it does here.
    pub status: Status,
    /// Values that ask for nothing, so that they never are refused.
    pub off: Vec<&'static str>,
    /// What would go wrong in silence, or why nothing does.
    pub why: &'static str,
    /// The test that shows the status.
    pub test: &'static str,
    /// Anything else.
    pub note: &'static str,
}

impl Key {
    fn parse(line: &'static str) -> Key {
        let columns: Vec<&'static str> = line.split('\t').collect();
        let columns: [&'static str; COLUMN_COUNT] = columns
            .try_into()
            .unwrap_or_else(|columns: Vec<_>| panic!("keys.tsv: {} columns: {line}", columns.len()));
        let [path, aliases, kind, default, unit, reload, since, status, off, why, test, note] = columns;
        let list = |text: &'static str, separator: char| -> Vec<&'static str> {
            text.split(separator).filter(|part| !part.is_empty()).collect()
        };
        Key {
            path,
            aliases: list(aliases, ','),
            kind,
            default,
            unit,
            reload: match reload {
                "hot" => Reload::Hot,
                "restart" => Reload::Restart,
                "partly" => Reload::Partly,
                _ => panic!("keys.tsv: reload of {path}"),
            },
            since,
            status: match status {
                "effective" => Status::Effective,
                "warned" => Status::Warned,
                "refused" => Status::Refused,
                _ => panic!("keys.tsv: status of {path}"),
            },
            off: list(off, '|'),
            why,
            test,
            note,
        }
    }

    /// Whether this is a rule of the language in place of a key.
    pub fn is_syntax(&self) -> bool {
        self.path.starts_with("(syntax)")
    }

    /// The path of the map that holds it; empty at the top.
    pub fn parent(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(parent, _)| parent)
    }

    /// Its name in that map.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// What is said when the key is found and does nothing; `None` for an effective one. `speaker` is what
    /// [`Table::speaker_for`] finds.
    pub fn complaint(&self, speaker: &Key) -> Option<String> {
        let path = self.path;
        match self.status {
            Status::Effective => None,
            Status::Warned => Some(format!("{path} has no effect in this version of Pinion: {}", speaker.why)),
            Status::Refused => Some(format!(
                "{path} is not supported by this version of Pinion, and without it {}: remove it to start all the same",
                speaker.why
            )),
        }
    }
}

/// All keys, found by name.
#[derive(Clone, Debug)]
pub struct Table {
    keys: Vec<Key>,
    /// Parent path, then name or alias in lower case, to the place in `keys`.
    names: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// Maps whose names are the user's, to the path of what stands below each: `accounts` to `accounts.<account>`.
    any_names: BTreeMap<&'static str, &'static str>,
}

impl Default for Table {
    fn default() -> Table {
        Table::new()
    }
}

impl Table {
    /// Reads the checked-in data.
    pub fn new() -> Table {
        let keys: Vec<Key> = KEYS.lines().skip(1).map(Key::parse).collect();
        let mut names: BTreeMap<&'static str, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate().filter(|(_, key)| !key.is_syntax()) {
            let siblings = names.entry(key.parent()).or_default();
            for name in std::iter::once(key.name()).chain(key.aliases.iter().copied()) {
                let earlier = siblings.insert(name, place);
                assert!(
                    earlier.is_none(),
                    "keys.tsv: {name} stands twice below {:?}",
                    key.parent()
                );
            }
        }
        let any_names = names
            .keys()
            .flat_map(|path| path.match_indices('>').map(|(end, _)| &path[..=end]))
            .filter_map(|path| path.rsplit_once('.').map(|(parent, _)| (parent, path)))
            .collect();
        Table {
            keys,
            names,
            any_names,
        }
    }

    /// The data, with the keys at and below these paths effective.
    #[cfg(test)]
    pub(super) fn with_effective(paths: &[&str]) -> Table {
        let mut table = Table::new();
        for key in &mut table.keys {
            if paths.iter().any(|path| key.path.starts_with(path)) {
                key.status = Status::Effective;
            }
        }
        table
    }

    /// All rows, in the order of the data.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key at `path`, which is its own, not an alias.
    pub fn get(&self, path: &str) -> Option<&Key> {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        self.find(parent, name).filter(|key| key.path == path)
    }

    /// The key that `name`, in any case, is called by in the map at `parent`.
    pub fn find(&self, parent: &str, name: &str) -> Option<&Key> {
        let name = name.to_lowercase();
        let siblings = self.names.get(parent)?;
        let place = siblings
            .get(name.as_str())
            .or_else(|| siblings.iter().find(|(name, _)| is_any(name)).map(|(_, p)| p));
        place.map(|place| &self.keys[*place])
    }

    /// The path that `name` leads to from the map at `path`; `None` for an unknown name.
    pub fn step(&self, path: &str, name: &str) -> Option<&'static str> {
        self.find(path, name)
            .map(|key| key.path)
            .or_else(|| self.any_names.get(path).copied())
    }

    /// Whether it is known which names the map at `path` may hold; where not, it is free of form.
    pub fn knows_below(&self, path: &str) -> bool {
        self.names.contains_key(path) || self.any_names.contains_key(path)
    }

    /// The key whose block holds `key`; `None` at the top of the file.
    pub fn above(&self, key: &Key) -> Option<&Key> {
        let mut path = key.parent();
        while !path.is_empty() {
            if let Some(above) = self.get(path.trim_end_matches("[]")) {
                return Some(above);
            }
            path = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        }
        None
    }

    /// The key that says why `key` has no effect: itself, or the nearest one above it that says so.
    ///
    /// # Panics
    /// The key has an effect.
    pub fn speaker_for<'a>(&'a self, key: &'a Key) -> &'a Key {
        let mut speaker = key;
        while speaker.why.is_empty() {
            speaker = self
                .above(speaker)
                .unwrap_or_else(|| panic!("keys.tsv: {} does not say why", key.path));
        }
        speaker
    }
}

/// Whether the name of a key stands for any name.
fn is_any(name: &str) -> bool {
    name.starts_with('<')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row keeps the rules that the rest relies on.
    #[test]
    fn rows_keep_the_invariants() {
        let table = Table::new();
        let rows_of_the_peer = table
            .keys()
            .iter()
            .filter(|key| !key.since.starts_with("pinion"))
            .count();
        assert_eq!(rows_of_the_peer, 682);
        let sources = [
            include_str!("apply/tests.rs"),
            include_str!("load/tests.rs"),
            include_str!("parser/tests.rs"),
        ]
        .concat();
        for key in table.keys() {
            assert!(
                sources.contains(&format!("fn {}()", key.test)),
                "{}: no test {:?}",
                key.path,
                key.test
            );
            if key.is_syntax() {
                continue;
            }
            assert_eq!(table.get(key.path).map(|found| found.path), Some(key.path));
            for alias in &key.aliases {
                assert_eq!(
                    table.find(key.parent(), alias).map(|found| found.path),
                    Some(key.path),
                    "{alias}"
                );
            }
            if let Some(above) = table.above(key).filter(|above| above.status != Status::Effective) {
                assert_eq!(
                    key.status, above.status,
                    "{} differs from {}",
                    key.path, above.path
                );
            } else {
                assert_eq!(
                    key.why.is_empty(),
                    key.status == Status::Effective,
                    "{}",
                    key.path
                );
            }
        }
    }

    /// Keys are found in any case, by alias, and not below another parent.
    #[test]
    fn names_are_found_where_they_belong() {
        let table = Table::new();
        let path = |parent: &str, name: &str| table.find(parent, name).map(|key| key.path);
        assert_eq!(path("", "PORT"), Some("port"));
        assert_eq!(path("", "logfile"), Some("log_file"));
        assert_eq!(path("cluster", "net"), Some("cluster.host"));
        assert_eq!(path("", "routes"), None);
        assert_eq!(path("port", "port"), None);
        assert_eq!(path("mappings", "foo.bar"), Some("mappings.<subject>"));
        assert_eq!(table.step("accounts", "A"), Some("accounts.<account>"));
        assert_eq!(
            table.step("accounts.<account>", "trace_dest"),
            Some("accounts.<account>.msg_trace")
        );
        assert!(!table.knows_below("server_metadata"));
    }

    /// Top level keys of which `complaint` speaks name themselves and the harm.
    #[test]
    fn complaints_say_what_would_go_wrong() {
        let table = Table::new();
        let cluster = table.get("cluster").unwrap();
        assert_eq!(
            cluster.complaint(cluster).unwrap(),
            "cluster is not supported by this version of Pinion, and without it the server would stand alone: \
             remove it to start all the same"
        );
        assert_eq!(table.get("port").unwrap().complaint(cluster), None);
    }
}

//! Sets of field paths, and their wire form `FieldsV1`.
//!
//! A path is a sequence of elements, each written as in `FieldsV1`: `f:name` for a field, `k:{…}` for
//! an item of a list map, `v:…` for one of a set. Keeping elements in that form makes reading and
//! writing a copy, and their order the order of the JSON.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt::Write as _;

/// Levels that are read; `serde_json` reads no more of them either.
const MAX_DEPTH: usize = 128;

/// Why a value is no `FieldsV1`. A retry with the same value fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("managed fields at {path}: {message}")]
pub struct FieldSetError {
    /// Where in the value, as its keys joined with dots.
    pub path: String,
    /// What was found and what is allowed.
    pub message: String,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element(String);

impl Element {
    pub(crate) fn field(name: &str) -> Self {
        Self(format!("f:{name}"))
    }

    /// An item of a list map, by the values of its keys.
    pub(crate) fn keys(keys: Map<String, Value>) -> Self {
        Self(format!("k:{}", Value::Object(keys)))
    }

    /// An item of a set.
    pub(crate) fn value(value: &Value) -> Self {
        Self(format!("v:{value}"))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            Some(("f", _)) => Ok(Self(text.to_owned())),
            Some(("k", keys)) => match serde_json::from_str(keys) {
                Ok(Value::Object(keys)) => Ok(Self::keys(keys)),
                _ => Err("an object of keys after k:"),
            },
            Some(("v", value)) => match serde_json::from_str(value) {
                Ok(value) => Ok(Self::value(&value)),
                Err(_) => Err("a JSON value after v:"),
            },
            Some(("i", index)) if index.parse::<u64>().is_ok() => Ok(Self(text.to_owned())),
            _ => Err("f:name, k:{keys}, v:value or i:index"),
        }
    }

    /// As people read it: `.name`, `[name="x"]`, `[="x"]`, `[3]`.
    fn render(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self.0.split_at(2) {
            ("f:", name) => write!(out, ".{name}"),
            ("k:", keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(out, "[{}]", pairs.join(","))
            }
            ("v:", value) => write!(out, "[={value}]"),
            (_, index) => write!(out, "[{index}]"),
        };
    }
}

/// A set of field paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet {
    entries: BTreeMap<Element, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    /// Whether the path that ends here is in the set.
    pub(crate) member: bool,
    /// The paths that go on from here.
    pub(crate) children: FieldSet,
}

impl Entry {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl FieldSet {
    /// Reads `FieldsV1`.
    ///
    /// # Errors
    /// When the value is not in that form.
    pub fn from_value(value: &Value) -> Result<Self, FieldSetError> {
        read(value, 0).map_err(|(path, message)| FieldSetError { path, message })
    }

    /// Writes `FieldsV1`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let fields = self.entries.iter().map(|(element, entry)| {
            let mut value = entry.children.to_value();
            if let (true, Value::Object(fields)) =
                (entry.member && !entry.children.is_empty(), &mut value)
            {
                fields.insert(".".to_owned(), Value::Object(Map::new()));
            }
            (element.0.clone(), value)
        });
        Value::Object(fields.collect())
    }

    /// Whether no path is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The paths in the set, as `.spec.disks[name="root"].size`.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths(&mut String::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &mut String, out: &mut Vec<String>) {
        for (element, entry) in &self.entries {
            let length = prefix.len();
            element.render(prefix);
            if entry.member {
                out.push(prefix.clone());
            }
            entry.children.collect_paths(prefix, out);
            prefix.truncate(length);
        }
    }

    /// Everything that is in one of the two.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (element, theirs) in &other.entries {
            match self.entries.entry(element.clone()) {
                Slot::Vacant(slot) => {
                    slot.insert(theirs.clone());
                }
                Slot::Occupied(mut slot) => {
                    let ours = slot.get_mut();
                    ours.member |= theirs.member;
                    ours.children.add(&theirs.children);
                }
            }
        }
    }

    /// Everything that is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (element, ours) in &self.entries {
            if let Some(theirs) = other.entries.get(element) {
                let entry = Entry {
                    member: ours.member && theirs.member,
                    children: ours.children.intersection(&theirs.children),
                };
                both.insert_entry(element, entry);
            }
        }
        both
    }

    /// Everything that is in this one and not in the other.
    #[must_use]
    pub fn difference(mut self, other: &Self) -> Self {
        self.subtract(other);
        self
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.entries.retain(|element, ours| {
            if let Some(theirs) = other.entries.get(element) {
                ours.member &= !theirs.member;
                ours.children.subtract(&theirs.children);
            }
            !ours.is_empty()
        });
    }

    pub(crate) fn get(&self, element: &Element) -> Option<&Entry> {
        self.entries.get(element)
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = (&str, &mut Entry)> {
        self.entries
            .iter_mut()
            .map(|(element, entry)| (element.0.as_str(), entry))
    }

    /// Puts the path of `element` into the set.
    pub(crate) fn insert(&mut self, element: Element) {
        self.entries.entry(element).or_default().member = true;
    }

    /// Puts `entry` at `element`, where there is none yet; an empty one leaves no trace.
    pub(crate) fn insert_entry(&mut self, element: &Element, entry: Entry) {
        if !entry.is_empty() {
            self.entries.insert(element.clone(), entry);
        }
    }
}

fn read(value: &Value, depth: usize) -> Result<FieldSet, (String, String)> {
    let Value::Object(fields) = value else {
        return Err((String::new(), format!("found {value}, allowed: an object")));
    };
    if depth > MAX_DEPTH {
        return Err((
            String::new(),
            format!("found more than {MAX_DEPTH} levels, allowed: {MAX_DEPTH}"),
        ));
    }
    let mut set = FieldSet::default();
    for (text, value) in fields {
        if text == "." {
            continue;
        }
        let at = |(path, message): (String, String)| {
            let separator = if path.is_empty() { "" } else { "." };
            (format!("{text}{separator}{path}"), message)
        };
        let element = Element::parse(text).map_err(|allowed| {
            at((String::new(), format!("found {text:?}, allowed: {allowed}")))
        })?;
        let children = read(value, depth + 1).map_err(at)?;
        let member = children.is_empty() || value.get(".").is_some();
        set.entries.insert(element, Entry { member, children });
    }
    Ok(set)
}

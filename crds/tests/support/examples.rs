//! The example platforms, read for tests.

use quorate_crds::manifest::{self, Limits};
use quorate_crds::{API_VERSION, KindInfo, find};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Every folder of examples.
pub(crate) fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .expect("the examples")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Every object of a folder with its kind and the file that it is from.
pub(crate) fn objects(folder: &Path) -> Vec<(String, &'static KindInfo, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of examples") {
        let path = entry.expect("a directory entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let bytes = fs::read(&path).expect("a readable file");
        let manifest = manifest::parse(&bytes, &Limits::default())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for object in manifest {
            assert_eq!(object["apiVersion"], API_VERSION, "{}", path.display());
            let kind = object["kind"].as_str().unwrap_or_default();
            let info = find(kind).unwrap_or_else(|| panic!("{}: kind {kind}", path.display()));
            let place = format!("{}: {kind} {}", path.display(), object["metadata"]["name"]);
            found.push((place, info, object));
        }
    }
    assert!(!found.is_empty(), "{} has no objects", folder.display());
    found
}

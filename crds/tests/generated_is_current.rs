//! The checked-in CRDs, JSON schemas and reference pages are exactly what the types produce.
//!
//! `UPDATE_GENERATED=1 cargo test -p quorate-crds` (which `make fix` runs) rewrites them.

#[path = "generate/reference.rs"]
mod reference;

use quorate_crds::{crd, kinds, manifest};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[test]
fn generated_files_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let definitions = root.join("generated");
    let schemas = definitions.join("schemas");
    let pages = root.join("../docs/reference");

    let mut fresh: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut resources = Vec::new();
    for info in kinds() {
        if info.crd {
            resources.push(format!("{}.yaml", info.plural));
            let definition = manifest::to_yaml(&crd::definition(info));
            fresh.insert(
                definitions.join(format!("{}.yaml", info.plural)),
                format!(
                    "# Generated from the types in crds/src/kinds by `make fix`.\n{definition}"
                ),
            );
        }
        let schema = serde_json::to_string_pretty(&crd::json_schema(info)).expect("JSON");
        fresh.insert(schemas.join(format!("{}.json", info.plural)), schema + "\n");
        fresh.insert(
            pages.join(format!("{}.md", info.singular)),
            reference::page(info),
        );
    }
    fresh.insert(pages.join("kinds.md"), reference::index());
    // So that the folder is a base of the operator's manifests as it is.
    let kustomization = manifest::to_yaml(&json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    }));
    fresh.insert(
        definitions.join("kustomization.yaml"),
        format!("# Generated from the types in crds/src/kinds by `make fix`.\n{kustomization}"),
    );

    let update = env::var_os("UPDATE_GENERATED").is_some();
    let mut stale = Vec::new();
    for folder in [&definitions, &schemas, &pages] {
        if update {
            fs::create_dir_all(folder).expect("a folder for generated files");
        }
    }
    for (path, text) in &fresh {
        if update {
            fs::write(path, text).expect("rewrite");
        } else if fs::read_to_string(path).ok().as_ref() != Some(text) {
            stale.push(path.clone());
        }
    }
    for folder in [&definitions, &schemas] {
        for entry in fs::read_dir(folder).expect("generated files") {
            let path = entry.expect("a directory entry").path();
            if path.is_file() && !fresh.contains_key(&path) {
                stale.push(path);
            }
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} differ from the types: run `make fix`"
    );
}

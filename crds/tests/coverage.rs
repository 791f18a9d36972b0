//! The table of what the kinds can declare is complete, and what it says is so.

use quorate_crds::find;
use quorate_crds::manifest::{self, Limits};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

struct Row {
    id: String,
    fields: Vec<String>,
    example: String,
}

/// The words of a table cell that are set as code.
fn code(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn rows() -> Vec<Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/coverage.md");
    let page = fs::read_to_string(page).expect("the table");
    page.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [id, fields, example] = cells.as_slice() else {
                return None;
            };
            let id = id.split(',').next()?;
            id.contains(|character: char| character.is_ascii_digit())
                .then(|| Row {
                    id: id.to_owned(),
                    fields: code(fields),
                    example: code(example).remove(0),
                })
        })
        .collect()
}

/// Whether the object has something at `path`, in any item of the lists on the way.
fn has(value: &Value, path: &[&str]) -> bool {
    match (value, path.split_first()) {
        (Value::Array(items), _) => items.iter().any(|item| has(item, path)),
        (_, None) => true,
        (_, Some((field, rest))) => value.get(field).is_some_and(|inner| has(inner, rest)),
    }
}

#[test]
fn every_row_of_the_catalogue_that_the_kinds_must_declare_is_in_the_table() {
    let listed: BTreeSet<String> = rows().into_iter().map(|row| row.id).collect();
    let ranges = [
        ("NET", (1..=8).collect::<Vec<_>>()),
        ("MEM", (1..=8).collect()),
        ("FEN", (1..=12).collect()),
        ("STO", (1..=14).chain(17..=18).collect()),
        ("VM", (1..=9).collect()),
    ];
    for (group, numbers) in ranges {
        for number in numbers {
            let id = format!("{group}-{number}");
            assert!(listed.contains(&id), "{id} is missing");
        }
    }
}

#[test]
fn every_field_of_the_table_exists() {
    for row in rows() {
        assert!(!row.fields.is_empty(), "{} names no field", row.id);
        for field in row.fields {
            let (kind, path) = field.split_once('.').expect("Kind.path");
            let info = find(kind).unwrap_or_else(|| panic!("{}: {kind}", row.id));
            assert!(
                info.schema.root().descend(path.split('.')).is_some(),
                "{}: {field} does not exist",
                row.id
            );
        }
    }
}

#[test]
fn every_example_of_the_table_sets_one_of_its_fields() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
    for row in rows() {
        let bytes = fs::read(root.join(&row.example))
            .unwrap_or_else(|error| panic!("{}: {}: {error}", row.id, row.example));
        let objects = manifest::parse(&bytes, &Limits::default()).expect("a manifest");
        let shown = row.fields.iter().any(|field| {
            let (kind, path) = field.split_once('.').expect("Kind.path");
            let path: Vec<&str> = path.split('.').collect();
            objects
                .iter()
                .any(|object| object["kind"] == kind && has(object, &path))
        });
        assert!(
            shown,
            "{}: {} sets none of {:?}",
            row.id, row.example, row.fields
        );
    }
}

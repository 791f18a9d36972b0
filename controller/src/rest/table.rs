//! Tables: the columns that a kind declares, filled from its objects.

use std::{collections::HashMap, sync::LazyLock};

use jiff::Timestamp;
use quorate_crds::Column;
use serde_json::{Value, json};
use serde_json_path::JsonPath;

use super::{core_events, reading::Collection};

/// A column and where its values are.
type Filled = (&'static Column, Option<JsonPath>);

/// The columns of each kind, by its plural.
static COLUMNS: LazyLock<HashMap<&'static str, Vec<Filled>>> = LazyLock::new(|| {
    quorate_crds::kinds()
        .iter()
        .map(|kind| {
            let columns = kind.columns.iter();
            let with_paths = columns.map(|column| (column, path(&column.json_path)));
            (kind.plural, with_paths.collect())
        })
        .collect()
});

/// A column's path, which is written as Kubernetes writes it.
fn path(written: &str) -> Option<JsonPath> {
    JsonPath::parse(&format!("${written}")).ok()
}

/// What the columns are.
pub(super) fn columns(collection: Collection) -> Vec<Value> {
    let name = json!({
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": "The name, which is unique among the objects of the kind.",
        "priority": 0,
    });
    match collection {
        Collection::CoreEvents(_) => core_events::columns(),
        Collection::Own(kind) => std::iter::once(name)
            .chain(kind.columns.iter().map(|column| {
                json!({
                    "name": column.name,
                    "type": column.type_,
                    "format": "",
                    "description": column.description,
                    "priority": column.priority,
                })
            }))
            .collect(),
    }
}

/// One object's values.
pub(super) fn cells(collection: Collection, object: &Value, now: Timestamp) -> Vec<Value> {
    let Collection::Own(kind) = collection else {
        return core_events::cells(object, now);
    };
    let name = json!(super::reading::name(object));
    let declared = COLUMNS.get(kind.plural).into_iter().flatten();
    std::iter::once(name)
        .chain(declared.map(|(column, path)| {
            path.as_ref()
                .and_then(|path| path.query(object).first())
                .map_or(Value::Null, |value| cell(&column.type_, value, now))
        }))
        .collect()
}

/// A value as a column of this type shows it: as kube-apiserver does for the columns of custom kinds.
fn cell(type_: &str, value: &Value, now: Timestamp) -> Value {
    match type_ {
        "integer" => value
            .as_i64()
            .or_else(|| value.as_f64().map(|number| number as i64))
            .map_or(Value::Null, Value::from),
        "number" => value.as_f64().map_or(Value::Null, Value::from),
        "boolean" => value.as_bool().map_or(Value::Null, Value::from),
        "date" => value
            .as_str()
            .map_or(Value::Null, |time| json!(since(time, now))),
        _ => match value {
            Value::String(text) => json!(text),
            other => json!(other.to_string()),
        },
    }
}

/// How long ago that was, in the words of kubectl.
pub(super) fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => age(now.as_second() - time.as_second()),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// Two figures at most, as `duration.HumanDuration` of apimachinery.
fn age(seconds: i64) -> String {
    let two = |whole: i64, unit: &str, rest: i64, part: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{part}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () if days < 2920 => two(days / 365, "y", days % 365, "d"),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_column_can_be_filled() {
        for (kind, columns) in COLUMNS.iter() {
            for (column, path) in columns {
                assert!(path.is_some(), "{kind}: {}", column.json_path);
            }
        }
    }

    #[test]
    fn a_row_has_a_cell_for_every_column_and_nothing_where_nothing_is() {
        let kind = quorate_crds::find("vm").expect("a kind");
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().expect("a time");
        let object = json!({
            "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"memory": "2Gi", "cpus": 2},
            "status": {"conditions": [
                {"type": "Placed", "status": "False"},
                {"type": "Ready", "status": "True"},
            ]},
        });
        let collection = Collection::Own(kind);
        let cells = cells(collection, &object, now);
        let columns = columns(collection);
        assert_eq!(cells.len(), columns.len());
        let cell = |name: &str| {
            let at = columns.iter().position(|column| column["name"] == name);
            &cells[at.expect("a column")]
        };
        assert_eq!(cell("Name"), "web");
        assert_eq!(cell("Ready"), "True");
        assert_eq!(cell("Memory"), "2Gi");
        assert_eq!(cell("CPUs"), 2);
        assert_eq!(cell("Node"), &Value::Null);
        assert_eq!(cell("Age"), "24h");
    }

    #[test]
    fn ages_are_rounded_as_kubectl_rounds_them() {
        for (seconds, words) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (301, "5m1s"),
            (3600, "60m"),
            (4 * 3600 + 60, "4h1m"),
            (9 * 3600 + 60, "9h"),
            (3 * 86_400 + 7200, "3d2h"),
            (100 * 86_400, "100d"),
            (800 * 86_400, "2y70d"),
            (4000 * 86_400, "10y"),
        ] {
            assert_eq!(age(seconds), words);
        }
    }
}

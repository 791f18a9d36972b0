//! Printing objects of one or several kinds in any format.

use std::cmp::Ordering;

use jiff::Timestamp;
use quorate_crds::KindInfo;
use quorate_schema::quantity::Quantity;
use serde_json::{Value, json};

use super::{
    age::{self, NONE},
    conditions,
    format::{CustomColumn, Format},
    table::{Cell, Table},
};
use crate::{console::Console, error::CliError, jsonpath::Path, object};

/// What belongs to `-o`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) format: Format,
    pub(crate) show_labels: bool,
    pub(crate) label_columns: Vec<String>,
    pub(crate) no_headers: bool,
    pub(crate) show_managed_fields: bool,
    pub(crate) color: bool,
}

/// Everything that was found of one kind.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kind: &'static KindInfo,
    pub(crate) objects: Vec<Value>,
}

/// Print what was found. `single` says that one object was asked for by name, which then is printed
/// itself and not as a list of one.
pub(crate) fn print(
    console: &Console,
    found: Vec<Found>,
    single: bool,
    options: &Options,
) -> Result<(), CliError> {
    let several_kinds = found.len() > 1;
    match &options.format {
        Format::Table | Format::Wide => {
            let shown: Vec<_> = found
                .iter()
                .filter(|found| !found.objects.is_empty())
                .collect();
            for (at, found) in shown.iter().enumerate() {
                if at > 0 {
                    console.line("")?;
                }
                let mut rows = Rows::new(found.kind, several_kinds, options)?;
                console.print(&rows.text(&found.objects))?;
            }
            Ok(())
        }
        Format::Name => {
            let lines: String = all(found)
                .iter()
                .map(|object| object::reference(object) + "\n")
                .collect();
            console.print(&lines)
        }
        Format::CustomColumns(columns) => {
            let rows = custom_rows(columns, &all(found));
            console.print(&custom_table(columns, options).rows(&rows))
        }
        Format::Yaml | Format::Json | Format::JsonPath(_) => {
            let mut objects = all(found);
            if !options.show_managed_fields {
                objects.iter_mut().for_each(object::drop_managed_fields);
            }
            let answer = match objects.pop() {
                Some(object) if single && objects.is_empty() => object,
                last => {
                    objects.extend(last);
                    list_of(objects)
                }
            };
            console.print(&whole(&answer, &options.format))
        }
    }
}

/// One object, or a list of them, in a format that shows everything.
pub(crate) fn whole(value: &Value, format: &Format) -> String {
    match format {
        Format::Json => format!("{value:#}\n"),
        Format::JsonPath(template) => template.render(value),
        _ => quorate_crds::manifest::to_yaml(value),
    }
}

/// The empty table of `-o custom-columns`.
pub(crate) fn custom_table(columns: &[CustomColumn], options: &Options) -> Table {
    let headers = columns.iter().map(|column| column.header.clone()).collect();
    Table::new(headers, !options.no_headers, options.color)
}

/// The rows of `-o custom-columns`.
pub(crate) fn custom_rows(columns: &[CustomColumn], objects: &[Value]) -> Vec<Vec<Cell>> {
    let cell = |column: &CustomColumn, object| {
        column
            .path
            .text(object)
            .unwrap_or_else(|| NONE.to_owned())
            .into()
    };
    objects
        .iter()
        .map(|object| columns.iter().map(|column| cell(column, object)).collect())
        .collect()
}

fn list_of(objects: Vec<Value>) -> Value {
    json!({"apiVersion": quorate_crds::API_VERSION, "kind": "List", "items": objects})
}

fn all(found: Vec<Found>) -> Vec<Value> {
    found.into_iter().flat_map(|found| found.objects).collect()
}

/// The rows of one kind; more may follow.
#[derive(Debug)]
pub(crate) struct Rows {
    kind: &'static KindInfo,
    columns: Vec<(String, Path, bool)>,
    with_kind: bool,
    show_labels: bool,
    label_columns: Vec<String>,
    table: Table,
}

impl Rows {
    /// `with_kind` writes `virtualmachine/web` into the first column, for tables of several kinds.
    pub(crate) fn new(
        kind: &'static KindInfo,
        with_kind: bool,
        options: &Options,
    ) -> Result<Self, CliError> {
        let wide = matches!(options.format, Format::Wide);
        let mut columns = Vec::new();
        for column in kind
            .columns
            .iter()
            .filter(|column| wide || column.priority == 0)
        {
            let path = column
                .json_path
                .parse()
                .map_err(|error| CliError::Broken(format!("column {}: {error}", column.name)))?;
            columns.push((column.name.to_uppercase(), path, column.type_ == "date"));
        }
        if !columns.iter().any(|(name, ..)| name == "AGE") {
            let created = ".metadata.creationTimestamp"
                .parse()
                .map_err(|error| CliError::Broken(format!("{error}")))?;
            columns.push(("AGE".to_owned(), created, true));
        }
        let mut headers = vec!["NAME".to_owned()];
        headers.extend(columns.iter().map(|(name, ..)| name.clone()));
        headers.extend(
            options
                .label_columns
                .iter()
                .map(|label| label.rsplit('/').next().unwrap_or(label).to_uppercase()),
        );
        if options.show_labels {
            headers.push("LABELS".to_owned());
        }
        Ok(Self {
            kind,
            columns,
            with_kind,
            show_labels: options.show_labels,
            label_columns: options.label_columns.clone(),
            table: Table::new(headers, !options.no_headers, options.color),
        })
    }

    /// More rows, aligned with the earlier ones where they fit.
    pub(crate) fn text(&mut self, objects: &[Value]) -> String {
        let now = Timestamp::now();
        let rows: Vec<_> = objects.iter().map(|object| self.row(object, now)).collect();
        self.table.rows(&rows)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let name = object::name(object);
        let mut row: Vec<Cell> = vec![if self.with_kind {
            format!("{}/{name}", self.kind.singular).into()
        } else {
            name.into()
        }];
        for (header, path, is_date) in &self.columns {
            let text = path.text(object).unwrap_or_else(|| NONE.to_owned());
            row.push(match *is_date && text != NONE {
                true => age::since(&text, now).into(),
                false => {
                    let tone = conditions::tone_of_word(header, &text);
                    Cell::toned(text, tone)
                }
            });
        }
        for label in &self.label_columns {
            let value = object
                .pointer("/metadata/labels")
                .and_then(|labels| labels.get(label))
                .and_then(Value::as_str);
            row.push(value.unwrap_or(NONE).into());
        }
        if self.show_labels {
            let labels = object::pairs(object, "/metadata/labels").join(",");
            row.push(if labels.is_empty() {
                NONE.into()
            } else {
                labels.into()
            });
        }
        row
    }
}

/// Order objects by what a path finds in them; those without it come first.
pub(crate) fn sort_by(objects: &mut [Value], path: &Path) {
    objects.sort_by(|a, b| compare(path.first(a), path.first(b)));
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a
            .as_f64()
            .partial_cmp(&b.as_f64())
            .unwrap_or(Ordering::Equal),
        // `8Gi` comes before `16Gi`.
        (Some(Value::String(a)), Some(Value::String(b))) => {
            match (a.parse::<Quantity>(), b.parse::<Quantity>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                _ => a.cmp(b),
            }
        }
        (Some(a), Some(b)) => a.to_string().cmp(&b.to_string()),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_sorted_by(path: &str, mut objects: Vec<Value>) -> Vec<String> {
        sort_by(&mut objects, &path.parse().expect("a path"));
        objects
            .iter()
            .map(|object| object::name(object).to_owned())
            .collect()
    }

    #[test]
    fn sorting_knows_numbers_quantities_and_words() {
        let guest = |name: &str, memory: &str, cpus: u32| json!({"metadata": {"name": name}, "spec": {"memory": memory, "cpus": cpus}});
        let guests = vec![
            guest("b", "16Gi", 2),
            guest("a", "8Gi", 10),
            guest("c", "900Mi", 4),
        ];
        assert_eq!(
            names_sorted_by(".spec.memory", guests.clone()),
            ["c", "a", "b"]
        );
        assert_eq!(
            names_sorted_by(".spec.cpus", guests.clone()),
            ["b", "c", "a"]
        );
        assert_eq!(
            names_sorted_by(".metadata.name", guests.clone()),
            ["a", "b", "c"]
        );
        assert_eq!(names_sorted_by(".spec.absent", guests), ["b", "a", "c"]);
    }

    #[test]
    fn a_table_shows_the_columns_of_the_kind_its_age_and_the_labels_asked_for() {
        let kind = quorate_crds::find("secret").expect("a kind");
        let options = Options {
            show_labels: true,
            label_columns: vec!["example.org/tier".into()],
            ..Options::default()
        };
        let created = Timestamp::now().to_string();
        let object = json!({"metadata": {"name": "ipmi", "creationTimestamp": created, "labels": {"example.org/tier": "bmc"}}});

        let text = Rows::new(kind, true, &options)
            .expect("columns")
            .text(&[object]);

        let mut lines = text.lines();
        let headers = lines.next().expect("headers");
        assert!(
            headers.starts_with("NAME ")
                && headers.contains("AGE")
                && headers.ends_with("TIER   LABELS"),
            "{text}"
        );
        let row = lines.next().expect("a row");
        assert!(
            row.starts_with("secret/ipmi ")
                && row.contains(" 0s ")
                && row.ends_with("bmc    example.org/tier=bmc"),
            "{text}"
        );
    }
}

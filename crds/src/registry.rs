//! All kinds in one list, so that nothing else has to name them one by one.

use crate::GROUP;
use crate::kinds::*;
use crate::structural;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use quorate_schema::Schema;
use schemars::JsonSchema;
use serde_json::Value;
use std::sync::LazyLock;

/// One column of a kind's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// Where the value is, as a CRD's `jsonPath`: `.status.node`.
    pub json_path: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub type_: String,
    /// 0 is always shown, more only in the wide table.
    pub priority: i32,
    /// What the column shows.
    pub description: String,
}

/// Everything that a program needs to know about a kind.
#[derive(Debug)]
pub struct KindInfo {
    /// `VirtualMachine`.
    pub kind: &'static str,
    /// `virtualmachines`, which is also the name of its bucket in the store.
    pub plural: &'static str,
    /// `virtualmachine`.
    pub singular: &'static str,
    /// `vm`.
    pub short_names: &'static [&'static str],
    /// Groups that `get` takes in place of one kind.
    pub categories: &'static [&'static str],
    /// One paragraph: what the kind stands for.
    pub description: &'static str,
    /// What its objects look like.
    pub schema: Schema,
    /// The columns of its table after the name; the age comes last.
    pub columns: Vec<Column>,
    /// Whether its status is a subresource.
    pub status: bool,
    /// Whether a Kubernetes cluster may hold objects of this kind. Those that guard access, and
    /// those that only daemons write, stay with us.
    pub crd: bool,
}

/// All kinds, in the order in which people think of them.
///
/// # Panics
/// Never in a build whose tests pass: the schemas are part of the program and every test reads
/// them.
#[must_use]
pub fn kinds() -> &'static [KindInfo] {
    static KINDS: LazyLock<Vec<KindInfo>> = LazyLock::new(|| {
        vec![
            mirrored::<Cluster>(),
            mirrored::<Node>(),
            mirrored::<FenceDevice>(),
            mirrored::<FenceOperation>(),
            mirrored::<Network>(),
            mirrored::<StoragePool>(),
            mirrored::<Volume>(),
            mirrored::<VolumeSnapshot>(),
            mirrored::<SharedFilesystem>(),
            mirrored::<FailoverDomain>(),
            mirrored::<VirtualMachine>(),
            mirrored::<VirtualMachineMigration>(),
            internal::<Secret>(),
            internal::<Event>(),
            internal::<Role>(),
            internal::<RoleBinding>(),
            internal::<NodePlan>(),
        ]
    });
    &KINDS
}

/// The kind that `name` stands for: kind, plural, singular or short name in any case, the plural
/// also with the group (`virtualmachines.quorate.dev`).
#[must_use]
pub fn find(name: &str) -> Option<&'static KindInfo> {
    let name = name.to_ascii_lowercase();
    let name = name
        .strip_suffix(GROUP)
        .and_then(|rest| rest.strip_suffix('.'))
        .unwrap_or(&name);
    kinds().iter().find(|info| {
        info.plural == name || info.singular == name || info.short_names.contains(&name)
    })
}

fn mirrored<K: CustomResourceExt + JsonSchema>() -> KindInfo {
    info::<K>(true)
}

fn internal<K: CustomResourceExt + JsonSchema>() -> KindInfo {
    info::<K>(false)
}

fn info<K: CustomResourceExt + JsonSchema>(crd: bool) -> KindInfo {
    let definition = K::crd();
    let source = structural::schema_of::<K>();
    let names = definition.spec.names.clone();
    let schema = Schema::parse(&source)
        .unwrap_or_else(|error| panic!("the schema of {} does not parse: {error}", names.kind));
    let description = source
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // The registry lives as long as the process: leaking its names makes them easy to pass around.
    KindInfo {
        kind: leak(&names.kind),
        plural: leak(&names.plural),
        singular: leak(names.singular.as_deref().unwrap_or_default()),
        short_names: K::shortnames(),
        categories: &["quorate"],
        description: leak(description),
        columns: columns(&definition),
        status: source.pointer("/properties/status").is_some(),
        schema,
        crd,
    }
}

fn leak(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn columns(definition: &CustomResourceDefinition) -> Vec<Column> {
    definition
        .spec
        .versions
        .iter()
        .flat_map(|version| version.additional_printer_columns.iter().flatten())
        .map(|column| Column {
            name: column.name.clone(),
            json_path: column.json_path.clone(),
            type_: column.type_.clone(),
            priority: column.priority.unwrap_or_default(),
            description: column.description.clone().unwrap_or_default(),
        })
        .collect()
}

//! What one full `apply` of a VirtualMachine costs, and that it does not grow with the cluster.
//!
//! The steps before the commit are measured in this process, the whole call through the API.

use std::time::{Duration, Instant};

use quorate_crds::manifest;
use quorate_merge::ApplyOptions;
use serde_json::{Value, json};

use crate::{load::percentiles, peer::Result, quorate::Quorate, table::Table};

/// Measure with 100 objects in the store, and again with `objects`.
pub(crate) async fn run(quorate: &Quorate, table: &mut Table, objects: usize) -> Result<()> {
    steps(table)?;
    let mut present = 0;
    for goal in [100, objects] {
        while present < goal {
            quorate.apply(&guest(present, 1)).await?;
            present += 1;
        }
        let mut latencies = Vec::new();
        for round in 0..200 {
            let changed = guest(round % 100, 2 + round / 100);
            let begin = Instant::now();
            quorate.apply(&changed).await?;
            latencies.push(begin.elapsed());
        }
        let (p50, p99) = percentiles(&mut latencies);
        table.alone(
            format!("apply a changed guest, {goal} objects, p50"),
            "ms",
            p50,
        );
        table.alone(
            format!("apply a changed guest, {goal} objects, p99"),
            "ms",
            p99,
        );
    }
    Ok(())
}

fn steps(table: &mut Table) -> Result<()> {
    let kind = quorate_crds::find("VirtualMachine").ok_or("no kind VirtualMachine")?;
    let yaml = manifest::to_yaml(&guest(1, 1));
    let limits = manifest::Limits::default();
    table.alone(
        "  parse the manifest",
        "µs",
        timed(|| manifest::parse(yaml.as_bytes(), &limits)),
    );
    let mut object = guest(1, 1);
    kind.schema.apply_defaults(&mut object);
    table.alone(
        "  validate the object",
        "µs",
        timed(|| kind.schema.validate(&object, None)),
    );
    let options = ApplyOptions {
        manager: "bench",
        force: false,
        subresource: None,
        api_version: quorate_crds::API_VERSION,
        now: "2026-01-01T00:00:00Z",
    };
    let live = quorate_merge::apply(&kind.schema, None, &object, &options)?.object;
    let mut changed = guest(1, 2);
    kind.schema.apply_defaults(&mut changed);
    let merge = || quorate_merge::apply(&kind.schema, Some(&live), &changed, &options);
    table.alone("  merge a changed object", "µs", timed(merge));
    Ok(())
}

/// The median time of one call in microseconds.
fn timed<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut all: Vec<Duration> = (0..500)
        .map(|_| {
            let begin = Instant::now();
            std::hint::black_box(work());
            begin.elapsed()
        })
        .collect();
    percentiles(&mut all).0 * 1e3
}

pub(crate) fn guest(number: usize, cpus: usize) -> Value {
    json!({
        "apiVersion": quorate_crds::API_VERSION,
        "kind": "VirtualMachine",
        "metadata": {"name": format!("guest-{number:05}"), "labels": {"app": "bench"}},
        "spec": {"memory": "2Gi", "cpus": cpus},
    })
}

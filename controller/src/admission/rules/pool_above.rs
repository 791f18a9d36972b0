//! Pools above a replicated volume (STO-9): what this release does not do there is refused with a way out, before
//! anything is made.

use quorate_crds::{
    PoolActivation, PoolType, Provisioning, StoragePool, VirtualMachine, Volume, VolumeAccess,
};
use quorate_schema::ViolationReason;
use quorate_store::View;
use serde_json::Value;

use super::{Findings, one, read, read_all};
use crate::error::Cause;

/// A pool that is declared, or changed.
pub(super) fn pool(view: &View, next: &Value, findings: &mut Findings) {
    let Some(pool) = read::<StoragePool>(next) else {
        return;
    };
    let Some(base) = below(&pool) else { return };
    let volume = one(view, "volumes", base).and_then(|volume| read::<Volume>(&volume));
    let nested = volume
        .as_ref()
        .is_some_and(|volume| is_above(view, volume.spec.pool.as_str()));
    for (field, text) in pool_refusals(&pool, base, volume.as_ref(), nested) {
        findings
            .causes
            .push(Cause::new(field, ViolationReason::Invalid, text));
    }
}

fn pool_refusals(
    pool: &StoragePool,
    base: &str,
    volume: Option<&Volume>,
    nested: bool,
) -> Vec<(&'static str, String)> {
    let mut refusals = Vec::new();
    let mut refuse = |field, text: String| refusals.push((field, text));
    if pool.spec.activation == PoolActivation::Shared {
        refuse(
            "spec.activation",
            "found Shared, allowed: Exclusive, because a logical volume above a replicated volume is active on the host \
             of its guest; for files on several hosts use a SharedFilesystem on a volume of access MultiWriter"
                .to_owned(),
        );
    }
    if pool.spec.provisioning == Provisioning::Thin {
        refuse(
            "spec.provisioning",
            "found Thin, allowed: Thick, because a thin pool can be open on one host only; make the volume below thin \
             instead"
                .to_owned(),
        );
    }
    if !pool.spec.hosts.is_empty() {
        refuse(
            "spec.hosts",
            format!(
                "found hosts, allowed: none beside spec.volume: the pool is where volume {base} is kept"
            ),
        );
    }
    if let Some(volume) = volume.filter(|_| nested) {
        let lies_in = &volume.spec.pool;
        refuse(
            "spec.volume",
            format!(
                "found volume {base} of pool {lies_in}, allowed: a volume of a pool of type Local, because {lies_in} \
                 lies above another volume itself"
            ),
        );
    }
    if volume.is_some_and(|volume| volume.spec.filesystem.is_some()) {
        refuse(
            "spec.volume",
            format!(
                "found volume {base} with a filesystem, allowed: a volume without one: the pool takes all of it"
            ),
        );
    }
    refusals
}

/// A volume that is declared, or changed.
pub(super) fn volume(view: &View, name: &str, next: &Value, findings: &mut Findings) {
    let Some(next) = read::<Volume>(next) else {
        return;
    };
    let above = is_above(view, next.spec.pool.as_str());
    let pools = read_all::<StoragePool>(view, "storagepools");
    let mut lying = pools.iter().filter(|(_, pool)| below(pool) == Some(name));
    let carries = lying.next().map(|(pool, _)| pool.as_str());
    for (field, text) in volume_refusals(&next, above, carries) {
        findings
            .causes
            .push(Cause::new(field, ViolationReason::Invalid, text));
    }
}

/// `carries` is the pool that lies on it.
fn volume_refusals(
    volume: &Volume,
    above: bool,
    carries: Option<&str>,
) -> Vec<(&'static str, String)> {
    let pool = &volume.spec.pool;
    let mut refusals = Vec::new();
    if above && volume.spec.access == VolumeAccess::MultiWriter {
        let text = format!(
            "found MultiWriter, allowed: SingleWriter, because pool {pool} lies above a replicated volume; use a pool of \
             type Local for what several hosts write"
        );
        refusals.push(("spec.access", text));
    }
    if above && volume.spec.source.is_some() {
        let text = format!(
            "found a source, allowed: none in pool {pool}, which lies above a replicated volume; use a pool of type Local"
        );
        refusals.push(("spec.source", text));
    }
    if above && volume.spec.filesystem.is_some() {
        let text = format!(
            "found a filesystem, allowed: none in pool {pool}, which lies above a replicated volume; use a pool of type \
             Local"
        );
        refusals.push(("spec.filesystem", text));
    }
    if let Some(carried) = carries.filter(|_| volume.spec.filesystem.is_some()) {
        let text = format!(
            "found a filesystem, allowed: none, because pool {carried} lies on this volume"
        );
        refusals.push(("spec.filesystem", text));
    }
    refusals
}

/// A guest that is moved while it runs needs its disks open on two hosts at once.
pub(super) fn disks(view: &View, next: &Value, findings: &mut Findings) {
    let Some(next) = read::<VirtualMachine>(next) else {
        return;
    };
    if !next.spec.migration.allow {
        return;
    }
    for disk in &next.spec.disks {
        let volume = disk.volume.as_ref();
        let volume =
            volume.and_then(|volume| read::<Volume>(&one(view, "volumes", volume.as_str())?));
        let pool = volume.map(|volume| volume.spec.pool).or(disk.pool.clone());
        let Some(pool) =
            pool.and_then(|pool| read::<StoragePool>(&one(view, "storagepools", pool.as_str())?))
        else {
            continue;
        };
        let base = below(&pool).and_then(|base| read::<Volume>(&one(view, "volumes", base)?));
        if let Some(base) = base.filter(|base| base.spec.access == VolumeAccess::SingleWriter) {
            findings.admitted.warnings.push(format!(
                "disk {} lies above volume {}, which is open on one host at a time: the guest is moved only while it is \
                 off; access MultiWriter of that volume lets it be moved while it runs",
                disk.name,
                base.metadata.name.unwrap_or_default()
            ));
        }
    }
}

fn below(pool: &StoragePool) -> Option<&str> {
    let base = pool.spec.volume.as_ref()?;
    (pool.spec.type_ == PoolType::Shared).then_some(base.as_str())
}

fn is_above(view: &View, pool: &str) -> bool {
    let pool = one(view, "storagepools", pool).and_then(|pool| read::<StoragePool>(&pool));
    pool.is_some_and(|pool| below(&pool).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pool(spec: Value) -> StoragePool {
        let object = json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "StoragePool",
            "metadata": {"name": "vg"}, "spec": spec,
        });
        serde_json::from_value(object).expect("a pool")
    }

    fn volume(spec: Value) -> Volume {
        let mut object =
            json!({"metadata": {"name": "pv"}, "spec": {"size": "1Gi", "pool": "local"}});
        for (field, value) in spec.as_object().expect("fields") {
            object["spec"][field] = value.clone();
        }
        serde_json::from_value(object).expect("a volume")
    }

    fn fields(refusals: &[(&'static str, String)]) -> Vec<&'static str> {
        refusals.iter().map(|(field, _)| *field).collect()
    }

    #[test]
    fn what_is_not_done_above_a_volume_is_refused_with_the_field_and_a_way_out() {
        let plain = pool(json!({"type": "Shared", "volume": "pv"}));
        let pv = volume(json!({"access": "MultiWriter"}));
        assert!(pool_refusals(&plain, "pv", Some(&pv), false).is_empty());

        let all = pool(json!({
            "type": "Shared", "volume": "pv", "activation": "Shared", "provisioning": "Thin",
            "hosts": [{"node": "an1"}],
        }));
        let with_files = volume(json!({"filesystem": {"type": "Ext4", "mountPoint": "/srv"}}));
        let refusals = pool_refusals(&all, "pv", Some(&with_files), true);
        assert_eq!(
            fields(&refusals),
            [
                "spec.activation",
                "spec.provisioning",
                "spec.hosts",
                "spec.volume",
                "spec.volume"
            ]
        );
        assert!(refusals.iter().all(|(_, text)| text.contains("allowed: ")));
    }

    #[test]
    fn a_volume_is_told_what_it_cannot_be_in_such_a_pool_and_below_one() {
        let plain = volume(json!({}));
        assert!(volume_refusals(&plain, true, None).is_empty());
        let shared = volume(json!({"access": "MultiWriter"}));
        assert_eq!(
            fields(&volume_refusals(&shared, true, None)),
            ["spec.access"]
        );
        assert!(volume_refusals(&shared, false, Some("vg")).is_empty());
        let files = json!({"filesystem": {"type": "Ext4", "mountPoint": "/srv"}});
        let files = volume(files);
        assert!(volume_refusals(&files, false, None).is_empty());
        let refusals = volume_refusals(&files, false, Some("vg"));
        assert_eq!(fields(&refusals), ["spec.filesystem"]);
        assert!(refusals[0].1.contains("pool vg lies on this volume"));
    }
}

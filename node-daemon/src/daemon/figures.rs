use crate::reconcile::Seen;
use quorate_proto::host::v1::Figure;

/// What moves all the time, and reaches no disk: how far resyncs and migrations are.
pub(super) fn figures(seen: &Seen) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut put = |subject: String, name: &str, value: Option<f64>| {
        figures.extend(value.map(|value| Figure {
            subject,
            name: name.to_owned(),
            value,
        }));
    };
    for replica in seen.replicas() {
        let (Some(volume), Some(sync)) = (replica.owner.object(), &replica.sync) else {
            continue;
        };
        let subject = format!("Volume/{volume}");
        put(
            subject.clone(),
            "syncedPercent",
            sync.percent.map(f64::from),
        );
        put(
            subject.clone(),
            "syncRateBytes",
            sync.rate.as_ref().and_then(bytes),
        );
        put(
            subject.clone(),
            "etaSeconds",
            sync.remaining
                .as_ref()
                .and_then(|left| left.parse().ok())
                .map(|left| left.as_secs_f64()),
        );
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        put(subject, "outOfSyncBytes", Some(replica.out_of_sync as f64));
    }
    for guest in seen.guests() {
        let (Some(name), Some(migration)) = (guest.owner.object(), &guest.migration) else {
            continue;
        };
        let subject = format!("VirtualMachine/{name}");
        put(
            subject.clone(),
            "migratedPercent",
            migration.percent.map(f64::from),
        );
        put(
            subject,
            "migrationRemainingBytes",
            migration.remaining.as_ref().and_then(bytes),
        );
    }
    figures
}

fn bytes(size: &quorate_crds::Size) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    size.parse()
        .ok()
        .and_then(|size| size.as_u64())
        .map(|bytes| bytes as f64)
}

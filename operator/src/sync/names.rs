//! The marks that the operator reads and leaves on objects.

/// The name under which the operator owns fields, on both sides.
pub const FIELD_MANAGER: &str = "quorate-operator";
/// Label on an object in Kubernetes: the cluster that it is for. Without it, the default cluster.
pub const CLUSTER_LABEL: &str = "operator.quorate.dev/cluster";
/// Annotation on an object in Kubernetes: its name in the cluster, where that is not the same. Two clusters may have a host of
/// the same name, and in Kubernetes all objects of a kind need different ones.
pub const NAME_ANNOTATION: &str = "operator.quorate.dev/name";
/// Annotation on an object in Kubernetes: which object of which cluster it has become. Written by the operator; a person who
/// takes it away asks for a new start.
pub const MIRRORED_ANNOTATION: &str = "operator.quorate.dev/mirrored";
/// Annotation on an object in Kubernetes: `Orphan` leaves the object in the cluster when this one is deleted.
pub const DELETION_ANNOTATION: &str = "operator.quorate.dev/deletion";
/// The value of [`DELETION_ANNOTATION`] that leaves the object in the cluster.
pub const ORPHAN: &str = "Orphan";
/// Keeps a deleted object in Kubernetes until it is gone from the cluster.
pub const FINALIZER: &str = "operator.quorate.dev/mirror";
/// Label on a Kubernetes Secret that lets the operator carry it into a cluster.
pub const MIRROR_LABEL: &str = "operator.quorate.dev/mirror";
/// Annotation on a Secret in the cluster: the Kubernetes Secret, and its version, that the values are from.
pub const SOURCE_ANNOTATION: &str = "operator.quorate.dev/source";

/// Labels and annotations of the operator's own.
const OWN: &str = "operator.quorate.dev/";
/// Annotations that mean something to the cluster.
const MEANT_FOR_THE_CLUSTER: &str = "quorate.dev/";

/// Whether a label is carried into the cluster.
pub(super) fn carries_label(key: &str) -> bool {
    !key.starts_with(OWN)
}

/// Whether an annotation is carried into the cluster. Those of other programs are about the object in Kubernetes.
pub(super) fn carries_annotation(key: &str) -> bool {
    key.starts_with(MEANT_FOR_THE_CLUSTER)
}

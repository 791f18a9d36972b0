use quorate_proto::host::v1::PlanUpdate;
use serde_json::{Value, json};

pub(crate) const POOL: &str = "an1.storagepool.local";
pub(crate) const DISK: &str = "an1.volume.web-disk";
pub(crate) const WEB: &str = "an1.virtualmachine.web";

/// A guest on a volume in a pool, all on this host.
pub(crate) struct Wanted {
    pub(crate) incarnation: u64,
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    pub(crate) guest: bool,
    pub(crate) mode: &'static str,
    /// Within how many seconds the guest's end is to be noticed, if that is said.
    pub(crate) detect_within: Option<u64>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            incarnation: 1,
            generation: 1,
            epoch: 1,
            guest: true,
            mode: "Active",
            detect_within: None,
        }
    }
}

impl Wanted {
    pub(crate) fn plan(&self) -> PlanUpdate {
        let record = |name: &str, assignment: Value| {
            json!({
                "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan", "metadata": {"name": name},
                "spec": {"node": "an1", "incarnation": self.incarnation, "term": 1,
                         "planGeneration": self.generation, "assignment": assignment},
            })
        };
        let head = json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan", "metadata": {"name": "an1"},
            "spec": {"node": "an1", "incarnation": self.incarnation, "term": 1,
                     "planGeneration": self.generation, "lowestValidGeneration": 1, "records": 3},
        });
        let object = |kind: &str, name: &str| json!({"kind": kind, "name": name});
        let records = [
            record(
                POOL,
                json!({"object": object("StoragePool", "local"), "objectGeneration": 1, "epoch": 1,
                       "active": true, "storage": {"volumeGroup": "vg"}}),
            ),
            record(
                DISK,
                json!({"object": object("Volume", "web-disk"), "objectGeneration": 1, "epoch": 1,
                       "active": true, "after": [object("StoragePool", "local")],
                       "replica": {"minor": 0, "port": 7788, "nodeId": 0, "backingDevice": "/dev/vg/web-disk",
                                   "size": "1Gi", "role": "Primary", "allowTwoPrimaries": false, "beginsHere": true}}),
            ),
            record(
                WEB,
                json!({"object": object("VirtualMachine", "web"), "objectGeneration": 1, "epoch": self.epoch,
                       "active": self.guest, "after": [object("Volume", "web-disk")],
                       "guest": {"desiredState": "Running", "step": if self.guest { "Keep" } else { "Release" }}}),
            ),
        ];
        let manifest = |kind: &str, name: &str, spec: Value| {
            json!({"apiVersion": "quorate.dev/v1alpha1", "kind": kind,
                   "metadata": {"name": name, "uid": name, "generation": 1}, "spec": spec})
        };
        let objects = [
            manifest(
                "StoragePool",
                "local",
                json!({"hosts": [{"node": "an1", "devices": ["/dev/sda"]}]}),
            ),
            manifest(
                "Volume",
                "web-disk",
                json!({"size": "1Gi", "pool": "local", "replicas": 1}),
            ),
            manifest(
                "VirtualMachine",
                "web",
                json!({"memory": "1Gi", "cpu": {"sockets": 1}, "disks": [{"name": "root", "volume": "web-disk"}],
                "recovery": match self.detect_within {
                    Some(seconds) => json!({"detectWithin": format!("{seconds}s")}),
                    None => json!({}),
                }}),
            ),
        ];
        let node = manifest("Node", "an1", json!({"mode": self.mode}));
        let bytes = |value: &Value| serde_json::to_vec(value).expect("JSON");
        PlanUpdate {
            whole: true,
            records: records
                .iter()
                .chain([&head])
                .map(|record| bytes(record).into())
                .collect(),
            objects: objects.iter().map(|object| bytes(object).into()).collect(),
            node: bytes(&node).into(),
            ..PlanUpdate::default()
        }
    }
}

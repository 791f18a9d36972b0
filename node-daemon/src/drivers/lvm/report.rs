//! What `lvm fullreport --reportformat json` says: every volume group with its disks and logical volumes, in one look.

use quorate_crds::Name;
use quorate_crds::scalar::AbsolutePath;
use serde::{Deserialize, Deserializer};

use crate::drivers::{LogicalVolumeSeen, Owner, VolumeGroupSeen, wipefs};

/// A volume group of ours, for the StoragePool of that name.
pub(super) const POOL: &str = "quorate.dev/pool=";
/// A logical volume of ours, for the Volume of that name.
pub(super) const VOLUME: &str = "quorate.dev/volume=";
/// The same, not blank yet: its making was interrupted, or is under way.
pub(super) const MAKING: &str = "quorate.dev/making=";
/// A snapshot of ours, for the object of that name.
pub(super) const SNAPSHOT: &str = "quorate.dev/snapshot=";
/// The thin pool of a volume group of ours.
pub(super) const THIN_POOL: &str = "quorate.dev/thin-pool";

/// The columns of each part of the report. At least one is asked of the parts that say nothing to us, or all would come.
pub(super) const COLUMNS: [(&str, &str); 5] = [
    ("vg", "vg_name,vg_tags,vg_size,vg_free,vg_extent_size"),
    ("pv", "pv_name,pv_uuid,pv_missing"),
    (
        "lv",
        "lv_name,lv_size,lv_tags,lv_active,lv_device_open,origin,pool_lv",
    ),
    ("pvseg", "pvseg_start"),
    ("seg", "seg_start"),
];

/// What a command may look into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// The host's own disks.
    #[default]
    Disks,
    /// Replicated devices that are open here and carry volume groups of ours.
    Replicated,
}

/// A volume group as LVM has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    /// Where it lies.
    pub(super) reach: Reach,
    pub(super) pool: Option<Name>,
    pub(super) capacity: u64,
    pub(super) free: u64,
    pub(super) extent: u64,
    pub(super) disks: Vec<Disk>,
    pub(super) volumes: Vec<Logical>,
}

/// A disk of a volume group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Disk {
    #[serde(rename = "pv_name")]
    pub(super) path: String,
    #[serde(rename = "pv_uuid", default)]
    pub(super) uuid: String,
    #[serde(rename = "pv_missing", default, deserialize_with = "is_said")]
    pub(super) missing: bool,
}

/// A logical volume as LVM has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logical {
    pub(super) name: String,
    pub(super) owner: Option<Name>,
    /// It is ours, and what it held before it was ours may still be on it.
    pub(super) making: bool,
    /// It is the thin pool in which thin ones of ours lie.
    pub(super) is_thin_pool: bool,
    pub(super) size: u64,
    pub(super) active: bool,
    pub(super) open: bool,
    pub(super) origin: Option<String>,
    pub(super) thin_pool: Option<String>,
}

#[derive(Deserialize)]
struct Report {
    report: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    vg: Vec<VolumeGroup>,
    #[serde(default)]
    pv: Vec<Disk>,
    #[serde(default)]
    lv: Vec<LogicalVolume>,
}

#[derive(Deserialize)]
struct VolumeGroup {
    vg_name: String,
    #[serde(default, deserialize_with = "tags")]
    vg_tags: Vec<String>,
    #[serde(deserialize_with = "number")]
    vg_size: u64,
    #[serde(deserialize_with = "number")]
    vg_free: u64,
    #[serde(deserialize_with = "number")]
    vg_extent_size: u64,
}

#[derive(Deserialize)]
struct LogicalVolume {
    lv_name: String,
    #[serde(deserialize_with = "number")]
    lv_size: u64,
    #[serde(default, deserialize_with = "tags")]
    lv_tags: Vec<String>,
    #[serde(default, deserialize_with = "is_said")]
    lv_active: bool,
    #[serde(default, deserialize_with = "is_said")]
    lv_device_open: bool,
    #[serde(default)]
    origin: String,
    #[serde(default)]
    pool_lv: String,
}

/// The format `json` writes numbers and lists as strings, `json_std` as what they are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either<T> {
    Itself(T),
    Text(String),
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match Either::<u64>::deserialize(from)? {
        Either::Itself(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match Either::<Vec<String>>::deserialize(from)? {
        Either::Itself(tags) => tags,
        Either::Text(text) => text.split(',').map(str::to_owned).collect(),
    })
}

/// LVM says yes with a word, no with none, and has a word for what it does not know.
fn is_said<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(match Either::<i64>::deserialize(from)? {
        Either::Itself(number) => number == 1,
        Either::Text(word) => !matches!(word.as_str(), "" | "unknown"),
    })
}

fn tagged(tags: &[String], with: &str) -> Option<Name> {
    tags.iter()
        .find_map(|tag| tag.strip_prefix(with))
        .filter(|name| !name.is_empty())
        .map(Name::from)
}

/// Reads the report.
pub(super) fn groups(text: &str) -> Result<Vec<Group>, serde_json::Error> {
    let report: Report = serde_json::from_str(text)?;
    let parts = report.report.into_iter();
    Ok(parts
        .filter_map(|part| {
            // Disks that belong to no group come in a part of their own.
            let group = part.vg.into_iter().next()?;
            Some(Group {
                name: group.vg_name,
                reach: Reach::default(),
                pool: tagged(&group.vg_tags, POOL),
                capacity: group.vg_size,
                free: group.vg_free,
                extent: group.vg_extent_size,
                disks: part.pv,
                volumes: part.lv.into_iter().map(Logical::from).collect(),
            })
        })
        .collect())
}

impl From<LogicalVolume> for Logical {
    fn from(seen: LogicalVolume) -> Self {
        let making = tagged(&seen.lv_tags, MAKING);
        Self {
            owner: tagged(&seen.lv_tags, VOLUME)
                .or_else(|| tagged(&seen.lv_tags, SNAPSHOT))
                .or_else(|| making.clone()),
            making: making.is_some(),
            is_thin_pool: seen.lv_tags.iter().any(|tag| tag == THIN_POOL),
            name: seen.lv_name,
            size: seen.lv_size,
            active: seen.lv_active,
            open: seen.lv_device_open,
            origin: Some(seen.origin).filter(|origin| !origin.is_empty()),
            thin_pool: Some(seen.pool_lv).filter(|pool| !pool.is_empty()),
        }
    }
}

impl Group {
    pub(super) fn volume(&self, name: &str) -> Option<&Logical> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// As the rest of the daemon sees it.
    pub(super) fn seen(&self) -> VolumeGroupSeen {
        VolumeGroupSeen {
            name: self.name.clone(),
            owner: owner(self.pool.as_ref()),
            capacity: self.capacity,
            free: self.free + self.unpromised(),
            missing: self
                .disks
                .iter()
                .filter(|disk| disk.missing)
                .map(|disk| AbsolutePath(format!("/dev/disk/by-id/lvm-pv-uuid-{}", disk.uuid)))
                .collect(),
            volumes: self
                .volumes
                .iter()
                .map(|volume| LogicalVolumeSeen {
                    name: volume.name.clone(),
                    owner: if volume.is_thin_pool {
                        owner(self.pool.as_ref())
                    } else {
                        owner(volume.owner.as_ref())
                    },
                    // One that is not blank yet is as good as none: it is made on.
                    size: if volume.making { 0 } else { volume.size },
                    active: volume.active,
                    open: volume.open,
                    snapshot_of: volume.origin.clone(),
                })
                .collect(),
        }
    }

    /// What thin pools of ours have and no thin volume may yet fill.
    fn unpromised(&self) -> u64 {
        let pools = self.volumes.iter().filter(|volume| volume.is_thin_pool);
        pools
            .map(|pool| {
                let in_it = self
                    .volumes
                    .iter()
                    .filter(|volume| volume.thin_pool.as_ref() == Some(&pool.name));
                let promised = in_it.fold(0_u64, |sum, volume| sum.saturating_add(volume.size));
                pool.size.saturating_sub(promised)
            })
            .fold(0, u64::saturating_add)
    }
}

fn owner(name: Option<&Name>) -> Owner {
    name.map_or(Owner::Foreign, |name| Owner::Ours(name.clone()))
}

/// What `wipefs --json --no-act` found on a disk: the kinds of signatures.
pub(super) fn signatures(text: &str) -> Result<Vec<String>, serde_json::Error> {
    let found = wipefs::signatures(text)?;
    Ok(found.iter().map(wipefs::Signature::kind).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDED: &str = include_str!("../../../tests/recorded/lvm/fullreport.json");

    #[test]
    fn a_host_s_groups_are_read_as_lvm_says_them() {
        let groups = groups(RECORDED).expect("it is JSON");
        let [group] = &groups[..] else {
            panic!("{groups:?}")
        };
        assert_eq!(group.name, "vg0");
        assert_eq!(group.pool, Some(Name::from("fast")));
        assert_eq!(group.extent, 4 << 20);
        let seen = group.seen();
        assert_eq!(seen.owner, Owner::Ours("fast".into()));
        let web = seen
            .volumes
            .iter()
            .find(|volume| volume.name == "web")
            .expect("it is there");
        assert_eq!(web.owner, Owner::Ours("web".into()));
        assert_eq!(web.size, 68 << 20);
        assert!(web.active && web.open);
        let snapshot = seen
            .volumes
            .iter()
            .find(|volume| volume.name == "web-before")
            .expect("it is there");
        assert_eq!(snapshot.snapshot_of.as_deref(), Some("web"));
        let foreign = seen
            .volumes
            .iter()
            .find(|volume| volume.name == "somebody")
            .expect("it is there");
        assert_eq!(foreign.owner, Owner::Foreign);
        let making = seen
            .volumes
            .iter()
            .find(|volume| volume.name == "half")
            .expect("it is there");
        assert_eq!(
            (making.size, making.owner.clone()),
            (0, Owner::Ours("half".into()))
        );
        let pool = group
            .volume("quorate-thin")
            .expect("the thin pool is there");
        assert!(pool.is_thin_pool);
        assert_eq!(
            seen.free,
            group.free + pool.size - group.volume("slim").expect("thin").size
        );
    }

    #[test]
    fn a_disk_that_is_gone_is_named() {
        let text = r#"{"report":[{"vg":[{"vg_name":"a","vg_tags":"x,quorate.dev/pool=p","vg_size":"8","vg_free":"4","vg_extent_size":"4"}],
            "pv":[{"pv_name":"[unknown]","pv_uuid":"UU-ID","pv_missing":"missing"}],"lv":[]},
            {"vg":[],"pv":[{"pv_name":"/dev/sdz","pv_uuid":"","pv_missing":""}]}]}"#;
        let groups = groups(text).expect("it is JSON");
        assert_eq!(groups.len(), 1, "a disk without a group is none");
        assert_eq!(
            groups[0].seen().missing,
            [AbsolutePath("/dev/disk/by-id/lvm-pv-uuid-UU-ID".into())]
        );
    }

    #[test]
    fn the_other_json_of_newer_versions_is_understood_too() {
        let text = r#"{"report":[{"vg":[{"vg_name":"a","vg_tags":["quorate.dev/pool=p"],"vg_size":8,"vg_free":4,"vg_extent_size":4}],
            "lv":[{"lv_name":"v","lv_size":4,"lv_tags":[],"lv_active":1,"lv_device_open":0,"origin":"","pool_lv":""}]}]}"#;
        let groups = groups(text).expect("it is JSON");
        assert_eq!(groups[0].pool, Some(Name::from("p")));
        assert!(groups[0].volumes[0].active && !groups[0].volumes[0].open);
    }

    #[test]
    fn signatures_are_named_by_their_kind() {
        let vg = include_str!("../../../tests/recorded/lvm/wipefs-member.json");
        assert_eq!(signatures(vg).expect("JSON"), ["LVM2_member"]);
        let blank = include_str!("../../../tests/recorded/lvm/wipefs-blank.json");
        assert!(signatures(blank).expect("JSON").is_empty());
        assert!(signatures("").expect("nothing is nothing").is_empty());
    }

    proptest! {
        #[test]
        fn no_text_and_no_cut_of_a_report_panics(text in ".{0,200}", cut in 0..RECORDED.trim_end().len()) {
            let _ = groups(&text);
            let _ = signatures(&text);
            let cut = (0..=cut).rev().find(|at| RECORDED.is_char_boundary(*at)).unwrap_or(0);
            prop_assert!(groups(&RECORDED[..cut]).is_err(), "half a report is none");
        }
    }
}

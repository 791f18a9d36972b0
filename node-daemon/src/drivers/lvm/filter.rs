//! What LVM may look into: what the administrator allows, without what belongs to guests.

use std::path::PathBuf;

/// Replicated devices and volumes of other volume managers hold what guests have written.
const OTHERS: &str = r#""r|^/dev/drbd|","r|^/dev/zd|","r|^/dev/zvol/|""#;

/// What they hold gives them more names, by udev, and one name that is allowed is enough for LVM. The host's disks have others.
const BY_CONTENT: &str = r#""r|^/dev/disk/by-id/lvm-pv-uuid-|","r|^/dev/disk/by-uuid/|","r|^/dev/disk/by-label/|","r|^/dev/disk/by-partuuid/|","r|^/dev/disk/by-partlabel/|","r|^/dev/block/|""#;

/// The value of `--config`, from what `lvmconfig` says of the administrator's own filter.
pub(super) fn config(said: &str) -> String {
    let own = said
        .trim()
        .strip_prefix("global_filter=")
        .and_then(entries)
        .unwrap_or_else(|| r#""a|.*|""#.to_owned());
    format!("devices{{scan_lvs=0 global_filter=[{OTHERS},{BY_CONTENT},{own}]}}")
}

/// The same for these devices alone, whatever the administrator says of others: volume groups of ours lie on them.
///
/// What LVM remembers about where it found something is of the other filter, and stays that.
pub(super) fn only(devices: &[PathBuf]) -> String {
    let allowed: String = devices
        .iter()
        .map(|device| format!(r#""a|^{}$|","#, device.display()))
        .collect();
    format!(
        r#"devices{{scan_lvs=0 hints="none" use_devicesfile=0 global_filter=[{allowed}"r|.*|"]}}"#
    )
}

/// A list's entries, or the one that stands alone.
fn entries(value: &str) -> Option<String> {
    let value = value.trim();
    let inner = match value.strip_prefix('[') {
        Some(list) => list.strip_suffix(']')?.trim(),
        None => value,
    };
    let sound = inner.starts_with('"') && inner.ends_with('"') && inner.len() > 2;
    (sound && !inner.contains('\n')).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{BY_CONTENT, OTHERS, config, only};

    /// A name that is allowed is enough, and a guest's volume group on a replicated device gives that a name of its own.
    #[test]
    fn no_name_that_what_it_holds_gives_a_device_is_allowed() {
        let filter = config("global_filter=[\"a|.*|\"]\n");
        let (_, entries) = filter.split_once("global_filter=[").expect("a list");
        let entries: Vec<&str> = entries
            .trim_end_matches("]}")
            .split(',')
            .map(|entry| entry.trim_matches('"'))
            .collect();
        let is_allowed = |name: &str| {
            let matches = |entry: &&&str| match entry[2..entry.len() - 1].strip_prefix('^') {
                Some(beginning) => name.starts_with(beginning),
                None => true,
            };
            let first = entries.iter().find(matches).expect("the last fits all");
            first.starts_with('a')
        };
        for name in [
            "/dev/drbd7",
            "/dev/drbd/by-res/web/0",
            "/dev/disk/by-id/lvm-pv-uuid-f0o",
            "/dev/disk/by-uuid/f0o",
            "/dev/disk/by-label/data",
            "/dev/block/147:7",
        ] {
            assert!(!is_allowed(name), "{name}");
        }
        for name in ["/dev/sda", "/dev/disk/by-id/wwn-0x5", "/dev/mapper/mpatha"] {
            assert!(is_allowed(name), "{name}");
        }
    }

    #[test]
    fn nothing_but_what_is_named_is_looked_into() {
        assert_eq!(
            only(&["/dev/drbd1".into(), "/dev/drbd12".into()]),
            r#"devices{scan_lvs=0 hints="none" use_devicesfile=0 global_filter=["a|^/dev/drbd1$|","a|^/dev/drbd12$|","r|.*|"]}"#
        );
    }

    #[test]
    fn the_administrator_s_own_filter_is_kept_behind_ours() {
        let ours = format!("devices{{scan_lvs=0 global_filter=[{OTHERS},{BY_CONTENT},");
        for (said, kept) in [
            ("global_filter=[\"a|.*|\"]\n", r#""a|.*|"]}"#),
            (
                "global_filter=[ \"r|^/dev/sdx|\", \"a|.*|\" ]",
                r#""r|^/dev/sdx|", "a|.*|"]}"#,
            ),
            ("global_filter=\"a|sd|\"", r#""a|sd|"]}"#),
            ("nonsense", r#""a|.*|"]}"#),
            ("global_filter=[", r#""a|.*|"]}"#),
            ("", r#""a|.*|"]}"#),
        ] {
            assert_eq!(config(said), format!("{ours}{kept}"), "{said}");
        }
    }
}

//! What is mounted, as the kernel says it in `/proc/self/mountinfo`.

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Major and minor number of the device.
    pub(super) device: String,
    pub(super) point: String,
    pub(super) filesystem: String,
    pub(super) source: String,
    /// Those of the filesystem itself.
    pub(super) options: String,
}

/// Those lines that can be understood. The last one at a mount point is the one that is seen there.
pub(super) fn read(text: &str) -> Vec<Line> {
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let (of_mount, of_filesystem) = text.split_once(" - ")?;
    let mut fields = of_mount.split(' ').skip(2);
    let device = fields.next()?.to_owned();
    let _root = fields.next()?;
    let point = plain(fields.next()?);
    let mut fields = of_filesystem.split(' ');
    Some(Line {
        device,
        point,
        filesystem: fields.next()?.to_owned(),
        source: plain(fields.next()?),
        options: fields.next().unwrap_or_default().to_owned(),
    })
}

/// The kernel writes blanks and their like as a backslash and three octal digits.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_its_device_and_its_point() {
        let lines = read(
            "55 27 147:0 / /mnt/fs1 rw,noatime - gfs2 /dev/drbd0 rw,rgrplvb\n\
             22 1 0:20 / /srv/two\\040words rw shared:2 master:1 - ext4 /dev/mapper/vg0-a\\134b rw\n\
             half a line\n\
             1 2 3:4 / /x rw - \n",
        );
        let [gfs2, ext4] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!(gfs2.device, "147:0");
        assert_eq!(
            (gfs2.point.as_str(), gfs2.source.as_str()),
            ("/mnt/fs1", "/dev/drbd0")
        );
        assert_eq!(ext4.point, "/srv/two words");
        assert_eq!(ext4.source, "/dev/mapper/vg0-a\\b");
        assert_eq!(ext4.filesystem, "ext4");
    }
}

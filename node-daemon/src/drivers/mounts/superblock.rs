//! What a GFS2 filesystem says of itself on its device: the lock table, and how many journals it has. All numbers on it
//! are written with their highest byte first.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::drivers::LockTable;

const MAGIC: u32 = 0x0116_1970;
const SUPERBLOCK_AT: u64 = 65_536;
/// Kinds of blocks.
const SUPERBLOCK: u32 = 1;
const DIRECTORY: u32 = 4;
/// Where entries begin in a small directory's block.
const ENTRIES: usize = 232;
const ENTRY_HEADER: usize = 40;
const LARGEST_BLOCK: u32 = 65_536;

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) table: Option<LockTable>,
    pub(super) journals: u32,
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}

fn is(block: &[u8], kind: u32) -> bool {
    number32(block, 0) == Some(MAGIC) && number32(block, 4) == Some(kind)
}

/// None: there is no GFS2 on it.
pub(super) fn read(device: &Path) -> io::Result<Option<Superblock>> {
    let file = File::open(device)?;
    // Another host may have written it since this one looked last.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    let mut first = vec![0; 512];
    match file.read_exact_at(&mut first, SUPERBLOCK_AT) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    if !is(&first, SUPERBLOCK) {
        return Ok(None);
    }
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "its GFS2 cannot be understood");
    let size = number32(&first, 36).filter(|size| (512..=LARGEST_BLOCK).contains(size));
    let size = size.ok_or_else(broken)?;
    let master = number64(&first, 56).ok_or_else(broken)?;
    let block = |number: u64| -> io::Result<Vec<u8>> {
        let mut block = vec![0; size as usize];
        let at = number.checked_mul(size.into()).ok_or_else(broken)?;
        file.read_exact_at(&mut block, at)?;
        if !is(&block, DIRECTORY) {
            return Err(broken());
        }
        Ok(block)
    };
    let index = entry(&block(master)?, b"jindex").ok_or_else(broken)?;
    // Two of its entries are the directory and the one above it.
    let entries = number32(&block(index)?, 148).ok_or_else(broken)?;
    Ok(Some(Superblock {
        table: table(&first),
        journals: entries.checked_sub(2).ok_or_else(broken)?,
    }))
}

fn table(superblock: &[u8]) -> Option<LockTable> {
    let text = |at: usize| {
        let bytes = superblock.get(at..at + 64)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    };
    let table = text(160).filter(|_| text(96) == Some("lock_dlm"))?;
    let (cluster, filesystem) = table.split_once(':')?;
    Some(LockTable {
        cluster: cluster.to_owned(),
        filesystem: filesystem.to_owned(),
    })
}

/// The block of an entry of a small directory.
fn entry(directory: &[u8], name: &[u8]) -> Option<u64> {
    let mut at = ENTRIES;
    loop {
        let header = directory.get(at..at + ENTRY_HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[20], header[21]]));
        let named = usize::from(u16::from_be_bytes([header[22], header[23]]));
        let said = directory.get(at + ENTRY_HEADER..at + ENTRY_HEADER + named)?;
        let inode = number64(header, 0).filter(|inode| *inode != 0);
        if said == name && inode.is_some() {
            return number64(header, 8);
        }
        // An entry without a length would be read for ever.
        at += Some(length).filter(|length| *length >= ENTRY_HEADER)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mkfs_has_written_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("device");
        let image = File::create(&path).expect("made");
        assert_eq!(read(&path).expect("read"), None, "nothing at all");
        image.set_len(1 << 30).expect("long enough");
        assert_eq!(read(&path).expect("read"), None, "nothing but zeros");
        let recorded = include_str!("../../../tests/recorded/gfs2/superblock-three-journals.txt");
        let mut lines = 0;
        for line in recorded.lines().filter(|line| !line.starts_with('#')) {
            let (at, hex) = line.split_once(' ').expect("an offset");
            let bytes: Vec<u8> = (0..hex.len() / 2)
                .map(|byte| u8::from_str_radix(&hex[2 * byte..2 * byte + 2], 16).expect("hex"))
                .collect();
            image
                .write_all_at(&bytes, at.parse().expect("a number"))
                .expect("written");
            lines += 1;
        }
        assert!(lines > 3);
        let found = read(&path).expect("read").expect("one");
        let table = found.table.expect("it has one");
        assert_eq!(
            (table.cluster.as_str(), table.filesystem.as_str()),
            ("lab", "fs1")
        );
        assert_eq!(found.journals, 3);

        image.set_len(SUPERBLOCK_AT + 512).expect("cut off");
        assert!(read(&path).is_err(), "half of one is an error, not nothing");
    }
}

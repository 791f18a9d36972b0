use std::collections::BTreeMap;

use super::{SECTOR, random::Random};

/// A file: what a reader sees, what the platter has, and what the sectors went through in between.
#[derive(Default)]
pub(super) struct Inode {
    visible: Vec<u8>,
    durable: Vec<u8>,
    /// Every content that a sector had since the last sync.
    versions: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Every length that the file had since the last sync.
    lengths: Vec<usize>,
    /// Whether it was cut since the last sync, which may have taken bytes of clean sectors.
    shrunk: bool,
}

impl Inode {
    pub(super) fn content(&self) -> &[u8] {
        &self.visible
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if end > self.visible.len() {
            self.set_len(end);
        }
        self.visible[offset..end].copy_from_slice(data);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let content = sector_of(&self.visible, sector);
            self.versions.entry(sector).or_default().push(content);
        }
    }

    pub(super) fn set_len(&mut self, length: usize) {
        self.shrunk |= length < self.visible.len();
        self.visible.resize(length, 0);
        self.lengths.push(length);
    }

    pub(super) fn sync(&mut self) {
        if self.shrunk {
            self.durable.clone_from(&self.visible);
            self.shrunk = false;
        }
        self.durable.resize(self.visible.len(), 0);
        for sector in self.versions.keys() {
            let start = sector * SECTOR;
            let end = self.visible.len().min(start + SECTOR);
            if start < end {
                self.durable[start..end].copy_from_slice(&self.visible[start..end]);
            }
        }
        self.versions.clear();
        self.lengths.clear();
    }

    /// Some sectors reach the platter, the others never will, and the kernel forgets which.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.persist_some(random);
        self.versions.clear();
        self.lengths.clear();
    }

    pub(super) fn cut_power(&mut self, random: &mut Random) {
        self.persist_some(random);
        self.versions.clear();
        self.lengths.clear();
        self.shrunk = false;
        self.visible.clone_from(&self.durable);
    }

    pub(super) fn flip_bit(&mut self, offset: usize, bit: u8) -> bool {
        let mask = 1 << (bit % 8);
        for content in [&mut self.visible, &mut self.durable] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= mask;
            }
        }
        offset < self.visible.len()
    }

    /// Every sector keeps its durable content or takes any later version, and so does the length.
    fn persist_some(&mut self, random: &mut Random) {
        // Cuts where nothing, nearly nothing or nearly all survives are as likely as even mixtures.
        let odds = random.below(5);
        if !self.lengths.is_empty() && random.below(4) < odds {
            let pick = random.below(self.lengths.len() as u64);
            self.durable.resize(self.lengths[pick as usize], 0);
        }
        for (sector, versions) in &self.versions {
            if random.below(4) < odds {
                let pick = random.below(versions.len() as u64);
                let start = sector * SECTOR;
                let end = self.durable.len().min(start + SECTOR);
                if start < end {
                    self.durable[start..end]
                        .copy_from_slice(&versions[pick as usize][..end - start]);
                }
            }
        }
    }
}

/// A whole sector, with zeros where the file ends within it.
fn sector_of(content: &[u8], sector: usize) -> [u8; SECTOR] {
    let start = sector * SECTOR;
    let end = content.len().min(start + SECTOR);
    let mut bytes = [0; SECTOR];
    bytes[..end - start].copy_from_slice(&content[start..end]);
    bytes
}

//! Maps and sets by hash, of names mostly.
//!
//! A round looks up names some hundred thousand times. What keeps a server that hashes what strangers send from being
//! flooded costs most of that; here every name was admitted before. Hashes are alike in every run, and nothing is ever
//! gone through in their order.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type Index<K, V> = HashMap<K, V, BuildHasherDefault<Folding>>;
pub(crate) type Marks<K> = HashSet<K, BuildHasherDefault<Folding>>;

/// An odd number with as many ones as zeroes, scattered.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Multiplies word by word, and folds the upper half of the product into the lower one.
#[derive(Default)]
pub(crate) struct Folding(u64);

impl Folding {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0.rotate_left(23) ^ word) * u128::from(FACTOR);
        let upper = (product >> 64) as u64;
        self.0 = upper ^ (product as u64);
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.fold(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(u64::from(byte));
    }

    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    #[test]
    fn names_that_differ_in_their_number_only_are_scattered() {
        let build = BuildHasherDefault::<Folding>::default();
        let hashes = |bits: u64| -> BTreeSet<u64> {
            let names = (0..1000).map(|number| format!("virtual-machine-{number:05}"));
            names.map(|name| build.hash_one(name) & bits).collect()
        };
        assert_eq!(hashes(u64::MAX).len(), 1000);
        // Of what is thrown into so many places, two thirds and less meet nobody.
        assert!(hashes(0x3ff).len() > 550, "{}", hashes(0x3ff).len());
        assert!(
            hashes(0x3ff << 54).len() > 550,
            "{}",
            hashes(0x3ff << 54).len()
        );
    }
}

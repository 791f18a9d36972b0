//! As much of the Basic Encoding Rules as SNMP needs.

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BerError {
    #[error("the message ends too early")]
    Short,
    #[error("found tag {found:#04x} where {wanted:#04x} belongs")]
    Tag { found: u8, wanted: u8 },
    #[error("a length or number of more than four bytes")]
    TooLong,
    #[error("an object identifier that ends in the middle of a number, or is empty")]
    Oid,
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// An object identifier; ordered as a walk goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(pub Vec<u32>);

impl std::fmt::Display for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|number| write!(f, ".{number}"))
    }
}

/// Reads one value after the other.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> Result<u8, BerError> {
        let (&first, rest) = self.0.split_first().ok_or(BerError::Short)?;
        self.0 = rest;
        Ok(first)
    }

    /// The next value with its tag.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8]), BerError> {
        let tag = self.byte()?;
        let first = self.byte()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return Err(BerError::TooLong);
            }
            let mut length = 0;
            for _ in 0..count {
                length = length << 8 | usize::from(self.byte()?);
            }
            length
        };
        if length > self.0.len() {
            return Err(BerError::Short);
        }
        let (value, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok((tag, value))
    }

    /// The next value, which must have this tag.
    pub(crate) fn expect(&mut self, wanted: u8) -> Result<&'a [u8], BerError> {
        match self.any()? {
            (found, value) if found == wanted => Ok(value),
            (found, _) => Err(BerError::Tag { found, wanted }),
        }
    }

    pub(crate) fn integer(&mut self) -> Result<i32, BerError> {
        integer(self.expect(INTEGER)?)
    }

    pub(crate) fn oid(&mut self) -> Result<Oid, BerError> {
        oid(self.expect(OBJECT_ID)?)
    }
}

pub(crate) fn integer(bytes: &[u8]) -> Result<i32, BerError> {
    let (&first, rest) = bytes.split_first().ok_or(BerError::Short)?;
    if rest.len() > 3 {
        return Err(BerError::TooLong);
    }
    let signed = i32::from(i8::from_be_bytes([first]));
    Ok(rest
        .iter()
        .fold(signed, |value, byte| value << 8 | i32::from(*byte)))
}

fn oid(bytes: &[u8]) -> Result<Oid, BerError> {
    let mut numbers = Vec::new();
    let mut number: u32 = 0;
    let mut complete = false;
    for byte in bytes {
        if number >> 25 != 0 {
            return Err(BerError::TooLong);
        }
        number = number << 7 | u32::from(byte & 0x7f);
        complete = byte & 0x80 == 0;
        if complete {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - first * 40]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    if complete {
        Ok(Oid(numbers))
    } else {
        Err(BerError::Oid)
    }
}

/// A value with its tag and length.
pub(crate) fn wrap(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    if value.len() < 0x80 {
        bytes.push(value.len().to_le_bytes()[0]);
    } else {
        let length = value.len().to_be_bytes();
        let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
        bytes.push(0x80 | significant.len().to_le_bytes()[0]);
        bytes.extend_from_slice(significant);
    }
    bytes.extend_from_slice(value);
    bytes
}

pub(crate) fn write_integer(value: i32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    // A leading byte is needless when it only repeats the sign of the next.
    let needless = bytes
        .windows(2)
        .take_while(|pair| pair[0] == sign && (pair[1] ^ sign) < 0x80)
        .count();
    wrap(INTEGER, &bytes[needless..])
}

pub(crate) fn write_oid(oid: &Oid) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (head, rest) = oid.0.split_at(oid.0.len().min(2));
    let first = head.first().copied().unwrap_or(0) * 40 + head.get(1).copied().unwrap_or(0);
    for number in std::iter::once(&first).chain(rest) {
        let groups = (1..5).take_while(|n| number >> (7 * n) != 0).count();
        for group in (0..=groups).rev() {
            let bits = (number >> (7 * group)).to_le_bytes()[0] & 0x7f;
            bytes.push(if group == 0 { bits } else { bits | 0x80 });
        }
    }
    wrap(OBJECT_ID, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_object_identifier_has_its_known_bytes() {
        let oid = Oid(vec![1, 3, 6, 1, 4, 1, 318]);
        let bytes = write_oid(&oid);
        assert_eq!(bytes, [0x06, 0x07, 0x2b, 6, 1, 4, 1, 0x82, 0x3e]);
        assert_eq!(Reader(&bytes).oid(), Ok(oid));
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        assert_eq!(
            Reader(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]).any(),
            Err(BerError::Short)
        );
        assert_eq!(Reader(&[0x30, 0x80]).any(), Err(BerError::TooLong));
        assert_eq!(Reader(&[0x06, 0x01, 0x80]).oid(), Err(BerError::Oid));
    }

    proptest! {
        #[test]
        fn integers_come_back(value: i32) {
            prop_assert_eq!(Reader(&write_integer(value)).integer(), Ok(value));
        }

        #[test]
        fn object_identifiers_come_back(rest in prop::collection::vec(0_u32..1 << 28, 0..12)) {
            let oid = Oid([vec![1, 3], rest].concat());
            prop_assert_eq!(Reader(&write_oid(&oid)).oid(), Ok(oid));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader(&bytes);
            while let Ok((_, value)) = reader.any() {
                let _ = (integer(value), oid(value));
            }
        }
    }
}

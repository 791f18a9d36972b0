//! XDR, as RFC 4506 has it: everything is a multiple of four bytes, big end first.

use thiserror::Error;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum XdrError {
    /// It ends too early.
    #[error("the message ends {missing} bytes too early")]
    Short {
        /// How much is missing at least.
        missing: usize,
    },
    /// A length, count or choice is beyond what the protocol allows.
    #[error("{what} is {found}, allowed: {allowed}")]
    OutOfRange {
        /// What.
        what: &'static str,
        /// What it is.
        found: i64,
        /// What may be there.
        allowed: &'static str,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    NotText,
}

/// The longest string that libvirt sends.
const LONGEST: usize = 4 << 20;

/// Writes.
#[derive(Clone, Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A whole number.
    #[must_use]
    pub fn int(self, value: i32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// A whole number that is not negative.
    #[must_use]
    pub fn uint(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// A large whole number.
    #[must_use]
    pub fn hyper(self, value: i64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// A large whole number that is not negative.
    #[must_use]
    pub fn unsigned_hyper(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// A fraction.
    #[must_use]
    pub fn double(self, value: f64) -> Self {
        self.raw(&value.to_bits().to_be_bytes())
    }

    /// Bytes, as many as both sides know of.
    #[must_use]
    pub fn fixed(self, bytes: &[u8]) -> Self {
        let length = bytes.len();
        let mut encoder = self.raw(bytes);
        encoder.0.resize(encoder.0.len() + padding(length), 0);
        encoder
    }

    /// Bytes, with their number.
    #[must_use]
    pub fn opaque(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.uint(length).fixed(bytes)
    }

    /// A string.
    #[must_use]
    pub fn string(self, text: &str) -> Self {
        self.opaque(text.as_bytes())
    }

    /// A string, or none.
    #[must_use]
    pub fn optional(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.uint(1).string(text),
            None => self.uint(0),
        }
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Reads.
#[derive(Clone, Debug)]
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], XdrError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(XdrError::Short {
            missing: length.saturating_sub(self.0.len()),
        })?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], XdrError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A whole number.
    ///
    /// # Errors
    /// When the bytes end.
    pub fn int(&mut self) -> Result<i32, XdrError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// When the bytes end.
    pub fn uint(&mut self) -> Result<u32, XdrError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A large whole number.
    ///
    /// # Errors
    /// When the bytes end.
    pub fn hyper(&mut self) -> Result<i64, XdrError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A large whole number that is not negative.
    ///
    /// # Errors
    /// When the bytes end.
    pub fn unsigned_hyper(&mut self) -> Result<u64, XdrError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A fraction.
    ///
    /// # Errors
    /// When the bytes end.
    pub fn double(&mut self) -> Result<f64, XdrError> {
        self.unsigned_hyper().map(f64::from_bits)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn fixed(&mut self, length: usize) -> Result<&'a [u8], XdrError> {
        let bytes = self.take(length)?;
        self.take(padding(length))?;
        Ok(bytes)
    }

    /// Bytes, with their number.
    ///
    /// # Errors
    /// When there are fewer, or more than libvirt sends.
    pub fn opaque(&mut self) -> Result<&'a [u8], XdrError> {
        let length = self.count("a length", LONGEST)?;
        self.fixed(length)
    }

    /// A string.
    ///
    /// # Errors
    /// When the bytes end, or are none.
    pub fn string(&mut self) -> Result<String, XdrError> {
        let text = std::str::from_utf8(self.opaque()?).map_err(|_| XdrError::NotText)?;
        Ok(text.to_owned())
    }

    /// A string, or none.
    ///
    /// # Errors
    /// As for a string.
    pub fn optional(&mut self) -> Result<Option<String>, XdrError> {
        self.present()?.then(|| self.string()).transpose()
    }

    /// Whether something optional follows.
    ///
    /// # Errors
    /// When that is neither yes nor no.
    pub fn present(&mut self) -> Result<bool, XdrError> {
        match self.uint()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(XdrError::OutOfRange {
                what: "a yes or no",
                found: other.into(),
                allowed: "0 and 1",
            }),
        }
    }

    /// How many of something follow.
    ///
    /// # Errors
    /// When they are more than `most`, or than can be in what is left.
    pub fn count(&mut self, what: &'static str, most: usize) -> Result<usize, XdrError> {
        let found = self.uint()?;
        let count = usize::try_from(found).unwrap_or(usize::MAX);
        if count > most {
            return Err(XdrError::OutOfRange {
                what,
                found: found.into(),
                allowed: "what the protocol allows",
            });
        }
        Ok(count)
    }

    /// Several of the same.
    ///
    /// # Errors
    /// As for one of them.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        most: usize,
        one: impl Fn(&mut Self) -> Result<T, XdrError>,
    ) -> Result<Vec<T>, XdrError> {
        let count = self.count(what, most)?;
        // A count is foreign input: memory is taken as the items come.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(one(self)?);
        }
        Ok(items)
    }
}

fn padding(length: usize) -> usize {
    (4 - length % 4) % 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_string_is_filled_up_to_four_bytes() {
        let bytes = Encoder::new().string("abcde").into_bytes();
        assert_eq!(bytes, b"\0\0\0\x05abcde\0\0\0");
        assert_eq!(Decoder::new(&bytes).string(), Ok("abcde".to_owned()));
    }

    #[test]
    fn what_ends_too_early_says_by_how_much() {
        let bytes = Encoder::new().string("abcde").into_bytes();
        assert_eq!(
            Decoder::new(&bytes[..6]).string(),
            Err(XdrError::Short { missing: 3 })
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(number in any::<i64>(), text in any::<Option<String>>(), bytes: Vec<u8>) {
            let written = Encoder::new().hyper(number).optional(text.as_deref()).opaque(&bytes).into_bytes();
            let mut reader = Decoder::new(&written);
            prop_assert_eq!(reader.hyper(), Ok(number));
            prop_assert_eq!(reader.optional(), Ok(text));
            prop_assert_eq!(reader.opaque(), Ok(bytes.as_slice()));
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn no_bytes_are_too_foreign(bytes: Vec<u8>) {
            let mut reader = Decoder::new(&bytes);
            while reader.optional().is_ok_and(|_| !reader.rest().is_empty()) {}
            let _ = Decoder::new(&bytes).list("strings", 1 << 20, Decoder::string);
        }
    }
}

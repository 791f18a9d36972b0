//! Typed parameters: libvirt's way to say things that more are added to later.

use crate::xdr::{Decoder, Encoder, XdrError};

/// The most that an answer may have.
const MOST: usize = 262_144;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i32),
    /// One that is not negative.
    Uint(u32),
    /// A large one.
    Long(i64),
    /// A large one that is not negative.
    UnsignedLong(u64),
    /// A fraction.
    Double(f64),
    /// Yes or no.
    Boolean(bool),
    /// Text.
    Text(String),
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl Param {
    /// One.
    pub fn new(name: &str, value: Value) -> Self {
        Self {
            name: name.to_owned(),
            value,
        }
    }

    /// A text.
    pub fn text(name: &str, text: impl Into<String>) -> Self {
        Self::new(name, Value::Text(text.into()))
    }
}

impl Value {
    /// As a number that is not negative, when it is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Uint(value) => Some((*value).into()),
            Self::Long(value) => u64::try_from(*value).ok(),
            Self::UnsignedLong(value) => Some(*value),
            Self::Double(_) | Self::Boolean(_) | Self::Text(_) => None,
        }
    }

    /// As text, when it is that.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The parameter of that name.
#[must_use]
pub fn find<'a>(params: &'a [Param], name: &str) -> Option<&'a Value> {
    params
        .iter()
        .find(|param| param.name == name)
        .map(|param| &param.value)
}

pub(crate) fn encode(mut encoder: Encoder, params: &[Param]) -> Encoder {
    encoder = encoder.uint(u32::try_from(params.len()).unwrap_or(u32::MAX));
    for param in params {
        encoder = encoder.string(&param.name);
        encoder = match &param.value {
            Value::Int(value) => encoder.int(1).int(*value),
            Value::Uint(value) => encoder.int(2).uint(*value),
            Value::Long(value) => encoder.int(3).hyper(*value),
            Value::UnsignedLong(value) => encoder.int(4).unsigned_hyper(*value),
            Value::Double(value) => encoder.int(5).double(*value),
            Value::Boolean(value) => encoder.int(6).int(i32::from(*value)),
            Value::Text(text) => encoder.int(7).string(text),
        };
    }
    encoder
}

pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Vec<Param>, XdrError> {
    decoder.list("the number of parameters", MOST, |decoder| {
        Ok(Param {
            name: decoder.string()?,
            value: match decoder.int()? {
                1 => Value::Int(decoder.int()?),
                2 => Value::Uint(decoder.uint()?),
                3 => Value::Long(decoder.hyper()?),
                4 => Value::UnsignedLong(decoder.unsigned_hyper()?),
                5 => Value::Double(decoder.double()?),
                6 => Value::Boolean(decoder.int()? != 0),
                7 => Value::Text(decoder.string()?),
                other => {
                    return Err(XdrError::OutOfRange {
                        what: "a parameter's type",
                        found: other.into(),
                        allowed: "1 to 7",
                    });
                }
            },
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_read_as_they_were_written() {
        let params = vec![
            Param::new("downtime", Value::UnsignedLong(431)),
            Param::new("operation", Value::Int(5)),
            Param::new("success", Value::Boolean(true)),
            Param::text("errmsg", "no"),
            Param::new("rate", Value::Double(0.5)),
            Param::new("left", Value::Long(-1)),
            Param::new("pages", Value::Uint(4096)),
        ];
        let bytes = encode(Encoder::new(), &params).into_bytes();
        assert_eq!(decode(&mut Decoder::new(&bytes)), Ok(params.clone()));
        assert_eq!(find(&params, "downtime").and_then(Value::number), Some(431));
        assert_eq!(find(&params, "errmsg").and_then(Value::as_text), Some("no"));
        assert_eq!(find(&params, "left").and_then(Value::number), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_foreign(bytes: Vec<u8>) {
            let _ = decode(&mut Decoder::new(&bytes));
        }
    }
}

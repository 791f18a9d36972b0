//! The lines of `drbdsetup events2`: the same words in DRBD 8.4 and 9, as key and value.

use std::collections::BTreeMap;

/// What happened to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// It was there when the stream began.
    Exists,
    /// It came.
    Create,
    /// Something about it is different.
    Change,
    /// It went.
    Destroy,
    /// The kernel calls a helper.
    Call,
}

/// What it happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Resource,
    Device,
    Connection,
    PeerDevice,
    Helper,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Everything that was there has been said.
    Complete,
    /// Something.
    Told {
        happening: Happening,
        subject: Subject,
        fields: Fields,
    },
    /// Nothing that matters here: paths, renames, answers of helpers, and what later versions add.
    Other,
}

/// Key and value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }
}

/// Reads one line.
pub(super) fn read(line: &str) -> Event {
    let mut words = line.split_ascii_whitespace().peekable();
    // With --timestamps each line begins with the time.
    if words
        .peek()
        .is_some_and(|word| word.starts_with(|first: char| first.is_ascii_digit()))
    {
        words.next();
    }
    let happening = match words.next() {
        Some("exists") => Happening::Exists,
        Some("create") => Happening::Create,
        Some("change") => Happening::Change,
        Some("destroy") => Happening::Destroy,
        Some("call") => Happening::Call,
        _ => return Event::Other,
    };
    let subject = match words.next() {
        Some("-") if happening == Happening::Exists => return Event::Complete,
        Some("resource") => Subject::Resource,
        Some("device") => Subject::Device,
        Some("connection") => Subject::Connection,
        Some("peer-device") => Subject::PeerDevice,
        Some("helper") => Subject::Helper,
        _ => return Event::Other,
    };
    let fields = words
        .filter_map(|word| word.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Event::Told {
        happening,
        subject,
        fields: Fields(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_with_and_without_a_time() {
        let line =
            "2026-11-21T12:34:47.405002+00:00 change device name:r0 volume:0 minor:0 disk:UpToDate";
        let Event::Told {
            happening: Happening::Change,
            subject: Subject::Device,
            fields,
        } = read(line)
        else {
            panic!("not understood")
        };
        assert_eq!(fields.get("disk"), Some("UpToDate"));
        assert_eq!(fields.number::<u32>("minor"), Some(0));
        assert_eq!(read("exists -"), Event::Complete);
        assert_eq!(
            read("exists path name:a local:ipv4:1.1.1.1:7000"),
            Event::Other
        );
        assert_eq!(read("rename resource name:a new_name:b"), Event::Other);
        assert_eq!(read(""), Event::Other);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,120}") {
            let _ = read(&line);
        }
    }
}

use super::Note;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Below this many notes nothing is made shorter.
const FEW: usize = 4096;

/// The notes of one filesystem, in a file below /run: one in a line, each written before anything follows from it. They are for
/// a daemon that starts, not for a host: nothing is synced, and what another boot has left is void.
#[derive(Debug)]
pub struct Notebook {
    path: PathBuf,
    boot: String,
    file: File,
    /// How much of it is whole.
    length: u64,
    notes: usize,
    /// How many its short form had.
    short: usize,
}

#[derive(Serialize, Deserialize)]
struct Head {
    boot: String,
}

impl Notebook {
    /// Opens it, and returns what is in it. A line whose end is missing was never acted on, and is dropped.
    ///
    /// # Errors
    /// When the file system refuses; or when a whole line cannot be read: then it is not known what this host holds.
    pub fn open(path: &Path, boot: &str) -> io::Result<(Self, Vec<Note>)> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        let of_this_boot = match lines.next() {
            None => false,
            Some(line) => serde_json::from_str::<Head>(line)?.boot == boot,
        };
        if !of_this_boot {
            return Ok((Self::begin(path, boot, &[])?, Vec::new()));
        }
        let notes = lines
            .map(serde_json::from_str)
            .collect::<Result<Vec<Note>, _>>()?;
        let file = File::options().append(true).open(path)?;
        let length = whole.len() as u64;
        file.set_len(length)?;
        let book = Self {
            path: path.to_owned(),
            boot: boot.to_owned(),
            file,
            length,
            notes: notes.len(),
            short: 0,
        };
        Ok((book, notes))
    }

    fn begin(path: &Path, boot: &str, notes: &[Note]) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let boot = boot.to_owned();
        let mut text = line(&Head { boot: boot.clone() })?;
        for note in notes {
            text.extend(line(note)?);
        }
        let draft = path.with_extension("draft");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut how = File::options();
        let mut file = how.append(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&text)?;
        fs::rename(&draft, path)?;
        Ok(Self {
            path: path.to_owned(),
            boot,
            file,
            length: text.len() as u64,
            notes: notes.len(),
            short: notes.len(),
        })
    }

    /// Writes one down.
    ///
    /// # Errors
    /// When it is not written; then nothing may follow from it.
    pub fn write(&mut self, note: &Note) -> io::Result<()> {
        let text = line(note)?;
        if let Err(error) = self.file.write_all(&text) {
            // Half a line must not become the beginning of the next one.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += text.len() as u64;
        self.notes += 1;
        Ok(())
    }

    /// Whether most of it is past.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.notes > FEW.max(4 * self.short)
    }

    /// Replaces all of them by these, from which the same follows; the whole of it or nothing.
    ///
    /// # Errors
    /// When the file system refuses. What was there is there still.
    pub fn shorten(&mut self, notes: &[Note]) -> io::Result<()> {
        *self = Self::begin(&self.path, &self.boot, notes)?;
        Ok(())
    }
}

fn line(what: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Effect, Host, Mode, Part, Question, Range, Wish};
    use super::*;

    fn wish(token: u64) -> Wish {
        let part = Part {
            range: Range::new(0, u64::MAX).expect("bytes"),
            mode: Mode::Exclusive,
            pid: 7,
        };
        Wish {
            file: 5,
            token,
            part,
        }
    }

    fn opened(path: &Path) -> (Notebook, Vec<Note>) {
        Notebook::open(path, "one").expect("opened")
    }

    #[test]
    fn a_daemon_that_starts_knows_what_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("locks/images");
        let (mut book, empty) = opened(&path);
        assert_eq!(empty, []);
        let mut host = Host::new(1, empty);
        host.resume(false);
        host.start(1, &[1]);
        host.ask(Question::Lock {
            wish: wish(3),
            wait: true,
        });
        for effect in host.effects() {
            if let Effect::Note(note) = effect {
                book.write(&note).expect("written");
            }
        }
        drop(book);
        let again = Host::new(1, opened(&path).1);
        assert_eq!(again.held().collect::<Vec<_>>(), [wish(3)]);
        let (_, after_a_boot) = Notebook::open(&path, "two").expect("opened");
        assert_eq!(after_a_boot, []);
    }

    #[test]
    fn half_a_line_was_never_acted_on_and_what_follows_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("images");
        let (mut book, _) = opened(&path);
        book.write(&Note::Life(1)).expect("written");
        let mut file = File::options().append(true).open(&path).expect("opened");
        file.write_all(b"{\"decided\":[3,").expect("written");
        let (mut book, notes) = opened(&path);
        assert_eq!(notes, [Note::Life(1)]);
        book.write(&Note::Decided(3, Answer::Done))
            .expect("written");
        assert_eq!(opened(&path).1.len(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("images");
        let (mut book, _) = opened(&path);
        book.write(&Note::Life(1)).expect("written");
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, text.replace("life", "knife")).expect("written");
        Notebook::open(&path, "one").expect_err("something was held");
    }

    #[test]
    fn what_is_past_is_left_out_when_there_is_much_of_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("images");
        let (mut book, _) = opened(&path);
        let mut written = 0;
        while !book.is_long() {
            book.write(&Note::Told(written)).expect("written");
            written += 1;
        }
        let before = fs::metadata(&path).expect("there").len();
        book.shorten(&[Note::Life(4), Note::Has(wish(3))])
            .expect("shorter");
        assert!(!book.is_long());
        book.write(&Note::Told(9)).expect("written");
        assert!(fs::metadata(&path).expect("there").len() < before / 10);
        let expected = [Note::Life(4), Note::Has(wish(3)), Note::Told(9)];
        assert_eq!(opened(&path).1, expected);
    }
}

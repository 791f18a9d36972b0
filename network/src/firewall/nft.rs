use super::Table;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use thiserror::Error;

/// It takes milliseconds; whoever waits for it holds the deadline of a change.
const PATIENCE: Duration = Duration::from_secs(5);

/// The program that knows the kernel's firewall.
#[derive(Clone, Debug)]
pub struct Nft(pub PathBuf);

/// The firewall could not be seen or set.
#[derive(Debug, Error)]
pub enum NftError {
    /// It is there once the package is.
    #[error("the firewall is not kept: nft is not installed (package nftables)")]
    NotInstalled,
    /// It may do another time.
    #[error("nft cannot be run")]
    NotRun(#[source] io::Error),
    /// It does not take the table, in its own words.
    #[error("nft refuses: {0}")]
    Refused(String),
}

impl Default for Nft {
    fn default() -> Self {
        Self(PathBuf::from("nft"))
    }
}

impl Nft {
    /// Puts the table in place of the one that is there, whole or not at all.
    ///
    /// # Errors
    /// When it is not in place.
    pub fn set(&self, table: &Table) -> Result<(), NftError> {
        self.run(&["-f", "-"], &table.text).map(|_| ())
    }

    /// The mark of the table that is there, if one is.
    ///
    /// # Errors
    /// When that cannot be seen.
    pub fn mark(&self) -> Result<Option<String>, NftError> {
        let said = self.run(&["-j", "list", "chains"], "")?;
        let said: Value = serde_json::from_slice(&said)
            .map_err(|error| NftError::Refused(format!("it says what is no JSON: {error}")))?;
        let entries = said["nftables"].as_array();
        let mut marks = entries.into_iter().flatten().filter_map(|entry| {
            let chain = &entry["chain"];
            let ours = chain["family"] == "inet" && chain["table"] == "quorate";
            chain["name"]
                .as_str()
                .filter(|name| ours && name.starts_with("as_"))
        });
        Ok(marks.next().map(str::to_owned))
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>, NftError> {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => NftError::NotInstalled,
                _ => NftError::NotRun(error),
            })?;
        let answer = converse(&mut child, input);
        if answer.is_err() {
            // It may have ended meanwhile; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
        let (succeeded, said, complaint) = answer.map_err(NftError::NotRun)?;
        if !succeeded {
            let complaint = String::from_utf8_lossy(&complaint);
            let words = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(NftError::Refused(words.chars().take(300).collect()));
        }
        Ok(said)
    }
}

fn converse(child: &mut Child, input: &str) -> io::Result<(bool, Vec<u8>, Vec<u8>)> {
    let begun = Instant::now();
    if let Some(mut to) = child.stdin.take() {
        to.write_all(input.as_bytes())?;
    }
    // Read beside the waiting: what it says may be more than a pipe holds.
    let said = child.stdout.take().map(aside);
    let complaint = child.stderr.take().map(aside);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let whole = |reader: Option<std::thread::JoinHandle<io::Result<Vec<u8>>>>| match reader {
        Some(reader) => reader
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a reader ended in the middle"))),
        None => Ok(Vec::new()),
    };
    Ok((status.success(), whole(said)?, whole(complaint)?))
}

fn aside(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<io::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

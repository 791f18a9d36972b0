use super::{Answer, Question};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// A change is some netlink requests and two writes to the disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the process that keeps the networks.
#[derive(Clone, Debug)]
pub struct Client(pub PathBuf);

/// No answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nothing was asked: the process does not run.
    #[error("quorate-network does not run on this host: systemctl status quorate-network")]
    NotThere(#[source] io::Error),
    /// It was asked, and nobody knows what came of it.
    #[error("quorate-network did not answer")]
    NoAnswer(#[source] io::Error),
}

impl Client {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there is none.
    pub fn ask(&self, question: &Question) -> Result<Answer, AskError> {
        let stream = UnixStream::connect(&self.0).map_err(AskError::NotThere)?;
        exchange(stream, question).map_err(AskError::NoAnswer)
    }
}

fn exchange(mut stream: UnixStream, question: &Question) -> io::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

//! What lies on a filesystem of ours: directories that people declare are made, files that guests need are looked for. Nothing
//! outside is touched or named, whatever links lie there.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::kept::{self, Notes};
use super::{FIGURES, Mounts};
use crate::drivers::{DriverError, Trouble};

impl Mounts {
    /// Waits as long as the filesystem's locks do.
    pub(super) async fn make_directories(
        &self,
        point: &str,
        directories: &[String],
    ) -> Result<(), DriverError> {
        let point = PathBuf::from(point);
        let wanted: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
        let made = tokio::task::spawn_blocking(move || {
            wanted.iter().try_for_each(|below| make(&point, below))
        });
        let made = made
            .await
            .map_err(|error| Stranger::Lost(io::Error::other(error)));
        made.and_then(|made| made)
            .map_err(|stranger| match stranger {
                Stranger::Outside(path) => DriverError::passing(
                    Trouble::ForeignInTheWay,
                    format!(
                        "{} is no directory of this filesystem: remove it, or choose another path",
                        path.display()
                    ),
                ),
                Stranger::Lost(error) => DriverError::passing(
                    Trouble::Refused,
                    "a directory of the filesystem cannot be made",
                )
                .because(error),
            })
    }

    pub(super) async fn find(&self, path: &Path) -> Result<(), DriverError> {
        let notes: Notes = kept::read(&self.places.kept);
        let lines = self.lines()?;
        let points = lines
            .iter()
            .filter(|line| matches!(super::owner(&notes, line), super::Owner::Ours(_)));
        let points = points.map(|line| PathBuf::from(&line.point));
        let point = points.filter(|point| path.starts_with(point)).max();
        let Some(point) = point else {
            return Err(missing(format!(
                "{} is on no filesystem that is mounted here",
                path.display()
            )));
        };
        let (here, file) = (point.clone(), path.to_owned());
        let asked = tokio::task::spawn_blocking(move || inside(&here, &file));
        let Ok(asked) = tokio::time::timeout(FIGURES, asked).await else {
            return Err(DriverError::passing(
                Trouble::TimedOut,
                format!(
                    "{} does not answer: its locks may be stopped",
                    point.display()
                ),
            ));
        };
        let asked = asked.map_err(|error| Stranger::Lost(io::Error::other(error)));
        asked.and_then(|asked| asked).map_err(|stranger| match stranger {
            Stranger::Outside(real) => DriverError::lasting(
                Trouble::Refused,
                format!(
                    "{} leads to {}, which is no file of that filesystem",
                    path.display(),
                    real.display()
                ),
            ),
            Stranger::Lost(error) if error.kind() == io::ErrorKind::NotFound => missing(format!(
                "{} is not there: bring it there from any host that has the filesystem mounted",
                path.display()
            )),
            Stranger::Lost(error) => DriverError::passing(
                Trouble::DeviceFailed,
                format!("{} cannot be looked at", path.display()),
            )
            .because(error),
        })
    }
}

fn missing(message: String) -> DriverError {
    DriverError::passing(Trouble::FileMissing, message)
}

enum Stranger {
    /// That is where it leads.
    Outside(PathBuf),
    Lost(io::Error),
}

impl From<io::Error> for Stranger {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// Step by step, so that nothing is made behind a link that leads out.
fn make(point: &Path, below: &Path) -> Result<(), Stranger> {
    let mut at = point.to_owned();
    for part in below.components() {
        let Component::Normal(name) = part else {
            return Err(Stranger::Outside(point.join(below)));
        };
        at.push(name);
        match fs::create_dir(&at) {
            // Another host may have made it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => done?,
        }
        let real = real(point, &at)?;
        if !fs::metadata(&real)?.is_dir() {
            return Err(Stranger::Outside(at));
        }
    }
    Ok(())
}

fn inside(point: &Path, file: &Path) -> Result<(), Stranger> {
    let real = real(point, file)?;
    match fs::metadata(&real)?.is_file() {
        true => Ok(()),
        false => Err(Stranger::Outside(real)),
    }
}

fn real(point: &Path, path: &Path) -> Result<PathBuf, Stranger> {
    let real = fs::canonicalize(path)?;
    match real.starts_with(fs::canonicalize(point)?) {
        true => Ok(real),
        false => Err(Stranger::Outside(real)),
    }
}

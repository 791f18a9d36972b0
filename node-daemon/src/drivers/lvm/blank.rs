//! Overwrites logical volumes: their ends, so that nothing of a former one is taken for data of a new one, or all of it,
//! when what they held is to be gone.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::drivers::{DriverError, Trouble};

/// At one time. Whoever waits may give up in between.
const PIECE: u64 = 64 << 20;
/// Signatures and replication's own data lie within this of either end.
const END: u64 = 1 << 20;

/// Overwrites the first and the last mebibyte.
pub(super) async fn ends(path: &Path) -> Result<(), DriverError> {
    let size = size(path).await?;
    zero(path, 0, END.min(size)).await?;
    zero(path, size.saturating_sub(END), END.min(size)).await
}

/// Overwrites everything.
pub(super) async fn all(path: &Path) -> Result<(), DriverError> {
    let size = size(path).await?;
    let mut at = 0;
    while at < size {
        let length = PIECE.min(size - at);
        zero(path, at, length).await?;
        at += length;
    }
    Ok(())
}

async fn size(path: &Path) -> Result<u64, DriverError> {
    aside(path, |path| File::open(path)?.seek(SeekFrom::End(0))).await
}

async fn zero(path: &Path, at: u64, length: u64) -> Result<(), DriverError> {
    aside(path, move |path| {
        let mut device = File::options().write(true).open(path)?;
        match fallocate(&device, FallocateFlags::ZERO_RANGE, at, length) {
            Ok(()) => {}
            // Nobody below can do it by itself.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NODEV) => {
                write_zeros(&mut device, at, length)?;
            }
            Err(error) => return Err(error.into()),
        }
        device.sync_data()
    })
    .await
}

fn write_zeros(device: &mut File, at: u64, length: u64) -> io::Result<()> {
    device.seek(SeekFrom::Start(at))?;
    let zeros = vec![0; END as usize];
    let mut left = length;
    while left > 0 {
        let now = left.min(END);
        device.write_all(&zeros[..now as usize])?;
        left -= now;
    }
    Ok(())
}

async fn aside<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, DriverError> {
    let owned = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&owned)).await;
    done.map_err(io::Error::other)
        .and_then(|done| done)
        .map_err(|error| {
            DriverError::passing(
                Trouble::DeviceFailed,
                format!("{} cannot be overwritten", path.display()),
            )
            .because(error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 3 << 20;

    fn full() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("device");
        std::fs::write(&path, vec![7; SIZE]).expect("written");
        (directory, path)
    }

    #[tokio::test]
    async fn the_ends_are_blank_and_the_middle_is_left() {
        let (_directory, path) = full();
        ends(&path).await.expect("overwritten");
        let text = std::fs::read(&path).expect("read");
        assert_eq!(text.len(), SIZE);
        let third = SIZE / 3;
        assert!(text[..third].iter().all(|byte| *byte == 0));
        assert!(text[third..2 * third].iter().all(|byte| *byte == 7));
        assert!(text[2 * third..].iter().all(|byte| *byte == 0));
    }

    #[tokio::test]
    async fn all_of_it_is_blank() {
        let (_directory, path) = full();
        all(&path).await.expect("overwritten");
        let text = std::fs::read(&path).expect("read");
        assert_eq!(text.len(), SIZE);
        assert!(text.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn where_nothing_below_helps_zeros_are_written() {
        let (_directory, path) = full();
        let mut device = File::options().write(true).open(&path).expect("open");
        write_zeros(&mut device, 5, END + 5).expect("written");
        let text = std::fs::read(&path).expect("read");
        assert_eq!(
            text.iter().filter(|byte| **byte == 0).count(),
            END as usize + 5
        );
    }

    #[tokio::test]
    async fn a_device_that_is_not_there_is_named() {
        let error = all(Path::new("/nonexistent/device"))
            .await
            .expect_err("not there");
        assert!(error.to_string().contains("/nonexistent/device"), "{error}");
    }
}

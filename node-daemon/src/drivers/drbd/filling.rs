//! A new volume that begins with an image, or with what another logical volume of the host holds.
//!
//! It is written on the one host where the volume begins, after DRBD's own data have been made on a blank device and before
//! they say that the volume holds anything. Whatever interrupts it, the next attempt begins anew, and nothing ever opens
//! a half of it; once anybody can have written, it is not written again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use quorate_crds::VolumeSource;
use ring::digest;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::drivers::{DriverError, Trouble};

/// Images of this host itself. What lies elsewhere on it is nobody's to read.
const IMAGES: &str = "/var/lib/quorate-node/images";
/// How long a source may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
const PART: usize = 1 << 20;
/// So much is written before it has to be on the disk: the host's memory is for guests.
const AHEAD: u64 = 64 << 20;
/// What a QCOW2 image begins with.
const QCOW: &[u8] = b"QFI\xfb";

/// Writes what `source` names to `device`, of which `size` bytes are the volume's.
pub(super) async fn fill(
    source: &VolumeSource,
    original: Option<(PathBuf, u64)>,
    device: &Path,
    size: u64,
) -> Result<(), DriverError> {
    if let (Some(url), Some(wanted)) = (&source.url, &source.sha256) {
        return fill_from(Path::new(IMAGES), url, wanted, device, size).await;
    }
    let Some((original, length)) = original else {
        // Left empty, it would be taken for what it should hold.
        return Err(DriverError::passing(
            Trouble::DeviceMissing,
            "the leader has not said where this host keeps what the volume begins with",
        ));
    };
    copy_of(&original, length, device, size).await
}

async fn copy_of(
    original: &Path,
    length: u64,
    device: &Path,
    size: u64,
) -> Result<(), DriverError> {
    tracing::info!(from = %original.display(), device = %device.display(), "a logical volume is copied");
    let what = original.display().to_string();
    let mut into = opened(&what, device).await?;
    let from = File::open(original)
        .await
        .map_err(|error| failing(&what, "it cannot be read").because(error))?;
    let written = copy(&what, &mut from.take(length), &mut into, size, |_| Ok(())).await?;
    if written < length {
        let why = format!("it has {written} bytes, and should have {length}");
        return Err(failing(&what, &why));
    }
    finished(&what, into).await
}

async fn opened(what: &str, device: &Path) -> Result<File, DriverError> {
    let opened = OpenOptions::new().write(true).open(device).await;
    opened.map_err(|error| failing(what, "its device cannot be written").because(error))
}

async fn finished(what: &str, into: File) -> Result<(), DriverError> {
    let synced = into.sync_all().await;
    synced.map_err(|error| failing(what, "its device cannot be written").because(error))
}

async fn fill_from(
    images: &Path,
    url: &str,
    wanted: &str,
    device: &Path,
    size: u64,
) -> Result<(), DriverError> {
    tracing::info!(url, device = %device.display(), "an image is written");
    let what = format!("image {url}");
    let mut into = opened(&what, device).await?;
    let mut image = Image::new(&what);
    let look = |part: &[u8]| image.look(part);
    if let Some(path) = url.strip_prefix("file://") {
        let mut file = File::open(own_image(images, path)?)
            .await
            .map_err(|error| failing(&what, "it cannot be read").because(error))?;
        copy(&what, &mut file, &mut into, size, look).await?;
    } else if url.starts_with("https://") || url.starts_with("http://") {
        let mut curl = fetch(url)?;
        let mut out = curl
            .stdout
            .take()
            .ok_or_else(|| failing(&what, "curl has no output"))?;
        copy(&what, &mut out, &mut into, size, look).await?;
        ended(&what, curl).await?;
    } else {
        return Err(DriverError::lasting(
            Trouble::NotSupported,
            format!(
                "{what} cannot be fetched: allowed are https://, http:// and file://{}/NAME",
                images.display()
            ),
        ));
    }
    let found = image.checksum();
    if found != wanted {
        return Err(DriverError::lasting(
            Trouble::Refused,
            format!("{what} is another one: its sha256 is {found}, wanted: {wanted}"),
        ));
    }
    finished(&what, into).await
}

/// What is seen of an image on its way.
struct Image<'a> {
    what: &'a str,
    begun: bool,
    hash: digest::Context,
}

impl<'a> Image<'a> {
    fn new(what: &'a str) -> Self {
        Self {
            what,
            begun: false,
            hash: digest::Context::new(&digest::SHA256),
        }
    }

    fn look(&mut self, part: &[u8]) -> Result<(), DriverError> {
        if !self.begun && part.starts_with(QCOW) {
            return Err(DriverError::lasting(
                Trouble::NotSupported,
                format!(
                    "{} is a QCOW2 image, and volumes begin with raw ones: qemu-img convert -O raw",
                    self.what
                ),
            ));
        }
        self.begun = true;
        self.hash.update(part);
        Ok(())
    }

    fn checksum(self) -> String {
        let bytes = self.hash.finish();
        let bytes = bytes.as_ref().iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Below the directory of images, and nowhere else.
fn own_image(images: &Path, path: &str) -> Result<PathBuf, DriverError> {
    let path = Path::new(path);
    let inside = path.strip_prefix(images).ok().filter(|inside| {
        inside
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)))
    });
    inside.map(|inside| images.join(inside)).ok_or_else(|| {
        DriverError::lasting(
            Trouble::Refused,
            format!(
                "image {} is not read: images of a host lie in {}",
                path.display(),
                images.display()
            ),
        )
    })
}

fn fetch(url: &str) -> Result<Child, DriverError> {
    Command::new("curl")
        .args(["--fail", "--location", "--silent", "--show-error"])
        .args(["--proto", "=https,http", "--proto-redir", "=https,http"])
        .args(["--", url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            DriverError::passing(
                Trouble::NotInstalled,
                format!("image {url} cannot be fetched: curl cannot be started, install curl"),
            )
            .because(error)
        })
}

async fn ended(what: &str, curl: Child) -> Result<(), DriverError> {
    let said = tokio::time::timeout(PATIENCE, curl.wait_with_output()).await;
    match said {
        Ok(Ok(said)) if said.status.success() => Ok(()),
        Ok(Ok(said)) => Err(failing(what, String::from_utf8_lossy(&said.stderr).trim())),
        Ok(Err(error)) => Err(failing(what, "curl did not end well").because(error)),
        Err(_) => Err(silent(what)),
    }
}

/// How many bytes there were.
async fn copy(
    what: &str,
    from: &mut (impl AsyncRead + Unpin),
    into: &mut File,
    size: u64,
    mut look: impl FnMut(&[u8]) -> Result<(), DriverError>,
) -> Result<u64, DriverError> {
    let mut part = vec![0; PART];
    let (mut written, mut waiting) = (0_u64, 0_u64);
    loop {
        let read = match tokio::time::timeout(PATIENCE, from.read(&mut part)).await {
            Ok(read) => read.map_err(|error| failing(what, "it cannot be read").because(error))?,
            Err(_) => return Err(silent(what)),
        };
        if read == 0 {
            return Ok(written);
        }
        look(&part[..read])?;
        written += read as u64;
        if written > size {
            return Err(DriverError::lasting(
                Trouble::NoSpace,
                format!("{what} is larger than its volume of {size} bytes"),
            ));
        }
        let put =
            |error: std::io::Error| failing(what, "its device cannot be written").because(error);
        into.write_all(&part[..read]).await.map_err(put)?;
        waiting += read as u64;
        if waiting >= AHEAD {
            waiting = 0;
            into.sync_data().await.map_err(put)?;
        }
    }
}

fn failing(what: &str, why: &str) -> DriverError {
    DriverError::passing(Trouble::Refused, format!("{what} was not written: {why}"))
}

fn silent(what: &str) -> DriverError {
    DriverError::passing(
        Trouble::TimedOut,
        format!(
            "{what} was not written: nothing came of it for {} s",
            PATIENCE.as_secs()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 20;

    struct Story {
        directory: tempfile::TempDir,
        device: PathBuf,
    }

    impl Story {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let device = directory.path().join("device");
            std::fs::write(&device, vec![0xee; 2 * SIZE as usize]).expect("made");
            Self { directory, device }
        }

        fn image(&self, bytes: &[u8]) -> (String, String) {
            let path = self.directory.path().join("image");
            std::fs::write(&path, bytes).expect("written");
            let sum = digest::digest(&digest::SHA256, bytes);
            let sum = sum.as_ref().iter().map(|byte| format!("{byte:02x}"));
            (format!("file://{}", path.display()), sum.collect())
        }

        async fn fill(&self, url: &str, sha256: &str) -> Result<(), DriverError> {
            fill_from(self.directory.path(), url, sha256, &self.device, SIZE).await
        }
    }

    #[tokio::test]
    async fn an_image_is_written_from_the_beginning_and_nothing_beyond_it() {
        let story = Story::new();
        let (url, sum) = story.image(&[7; 5000]);
        story.fill(&url, &sum).await.expect("written");
        let device = std::fs::read(&story.device).expect("there");
        assert!(device[..5000].iter().all(|byte| *byte == 7));
        assert!(device[5000..].iter().all(|byte| *byte == 0xee));
    }

    #[tokio::test]
    async fn a_copy_takes_so_much_of_its_original_and_no_more() {
        let story = Story::new();
        let original = story.directory.path().join("original");
        // What a guest has written may look like anything.
        let mut held = b"QFI\xfb".to_vec();
        held.resize(8192, 5);
        std::fs::write(&original, &held).expect("written");
        copy_of(&original, 5000, &story.device, SIZE)
            .await
            .expect("written");
        let device = std::fs::read(&story.device).expect("there");
        assert_eq!(device[..5000], held[..5000]);
        assert!(device[5000..].iter().all(|byte| *byte == 0xee));
    }

    #[tokio::test]
    async fn an_original_that_is_not_there_or_not_said_or_does_not_fit_is_refused() {
        let story = Story::new();
        let original = story.directory.path().join("original");
        let copied = copy_of(&original, 5000, &story.device, SIZE).await;
        assert_eq!(copied.expect_err("none").trouble(), Trouble::Refused);

        std::fs::write(&original, vec![1; 2 * SIZE as usize]).expect("written");
        let copied = copy_of(&original, SIZE + 1, &story.device, SIZE).await;
        assert_eq!(copied.expect_err("too large").trouble(), Trouble::NoSpace);
        let device = std::fs::read(&story.device).expect("there");
        assert_eq!(device[SIZE as usize], 0xee, "DRBD's own data lie there");

        let copied = copy_of(&original, 2 * SIZE + 1, &story.device, 4 * SIZE).await;
        let error = copied.expect_err("too short").to_string();
        assert!(error.contains("should have"), "{error}");

        let source = VolumeSource {
            snapshot: Some(quorate_crds::Name("monday".to_owned())),
            ..VolumeSource::default()
        };
        let filled = fill(&source, None, &story.device, SIZE).await;
        assert_eq!(
            filled.expect_err("not said").trouble(),
            Trouble::DeviceMissing
        );
    }

    #[tokio::test]
    async fn what_does_not_fit_or_is_another_or_no_raw_image_is_refused() {
        let story = Story::new();
        let (url, _) = story.image(b"hello");
        let error = story.fill(&url, &"0".repeat(64)).await.expect_err("other");
        assert_eq!(error.trouble(), Trouble::Refused);
        assert!(error.to_string().contains("2cf24dba5fb0a30e"), "{error}");

        let (url, sum) = story.image(&vec![1; SIZE as usize + 1]);
        let error = story.fill(&url, &sum).await.expect_err("too large");
        assert_eq!(error.trouble(), Trouble::NoSpace);
        let device = std::fs::read(&story.device).expect("there");
        assert_eq!(device[SIZE as usize], 0xee, "DRBD's own data lie there");

        let (url, sum) = story.image(b"QFI\xfb\0\0\0\x03");
        let error = story.fill(&url, &sum).await.expect_err("QCOW2");
        assert_eq!(error.trouble(), Trouble::NotSupported);
        assert!(error.to_string().contains("qemu-img convert"), "{error}");
    }

    #[tokio::test]
    async fn only_the_directory_of_images_is_read() {
        let story = Story::new();
        let inside = story.directory.path().display();
        for path in [
            "/etc/passwd".to_owned(),
            format!("{inside}/../etc/passwd"),
            "etc/passwd".to_owned(),
        ] {
            let error = story.fill(&format!("file://{path}"), "").await;
            let error = error.expect_err("not an image");
            assert!(error.to_string().contains("is not read"), "{error}");
        }
        let error = story.fill("ftp://here/image", "").await.expect_err("ftp");
        assert_eq!(error.trouble(), Trouble::NotSupported);
        let error = story.fill(&format!("file://{inside}/none"), "").await;
        assert_eq!(error.expect_err("none").trouble(), Trouble::Refused);
    }

    #[tokio::test]
    async fn an_image_is_fetched_and_a_server_that_refuses_is_said() {
        use tokio::net::TcpListener;
        let story = Story::new();
        let (_, sum) = story.image(b"over the network");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let serve = tokio::spawn(async move {
            for answer in [
                "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\nover the network",
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            ] {
                let (mut stream, _) = listener.accept().await.expect("curl comes");
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await.expect("it asks");
                stream.write_all(answer.as_bytes()).await.expect("answered");
            }
        });
        let url = format!("http://{address}/image.raw");
        match story.fill(&url, &sum).await {
            Err(error) if error.trouble() == Trouble::NotInstalled => {
                println!("skipped: {error}");
                return;
            }
            filled => filled.expect("written"),
        }
        let device = std::fs::read(&story.device).expect("there");
        assert_eq!(&device[..16], b"over the network");
        let error = story.fill(&url, &sum).await.expect_err("it is not there");
        assert!(error.to_string().contains("404"), "{error}");
        serve.await.expect("both came");
    }
}

//! The kernel's watchdogs.

use crate::drivers::{Watchdog, WatchdogFound};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the kernel lists them.
const CLASS: &str = "/sys/class/watchdog";
/// What the kernel's own timer calls itself.
const SOFTWARE: &str = "Software Watchdog";
/// Written before it is closed, it stops the watchdog.
const STOP: &[u8] = b"V";
const FEED: &[u8] = b"\0";

/// The watchdog of this host that Quorate uses: the one of that identity, or else hardware before software, in the
/// kernel's order. None: there is none.
///
/// # Errors
/// When one of that identity was asked for and is not there.
pub fn find_watchdog(identity: Option<&str>) -> io::Result<Option<WatchdogFound>> {
    find_in(Path::new(CLASS), identity)
}

fn find_in(class: &Path, identity: Option<&str>) -> io::Result<Option<WatchdogFound>> {
    let mut names: Vec<String> = match fs::read_dir(class) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    names.sort();
    let mut found: Vec<WatchdogFound> = names
        .into_iter()
        .filter_map(|name| {
            let text = fs::read_to_string(class.join(&name).join("identity")).ok()?;
            let identity = text.trim().to_owned();
            Some(WatchdogFound {
                device: format!("/dev/{name}"),
                hardware: identity != SOFTWARE,
                identity,
            })
        })
        .collect();
    found.sort_by_key(|watchdog| !watchdog.hardware);
    let Some(wanted) = identity else {
        return Ok(found.into_iter().next());
    };
    let named: Vec<&str> = found.iter().map(|it| it.identity.as_str()).collect();
    let message = format!(
        "no watchdog calls itself {wanted:?}, there are: {}",
        named.join(", ")
    );
    found
        .into_iter()
        .find(|watchdog| watchdog.identity == wanted)
        .map(Some)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, message))
}

/// A watchdog of the kernel. It runs from the moment at which its device is opened, and fires after the time that its
/// driver was loaded with; that time is what [`Watchdog::arm`] returns.
#[derive(Debug)]
pub struct DeviceWatchdog {
    found: WatchdogFound,
    device: PathBuf,
    timeout: PathBuf,
    open: Option<File>,
}

impl DeviceWatchdog {
    /// That one. Nothing is opened yet.
    #[must_use]
    pub fn new(found: WatchdogFound) -> Self {
        let device = PathBuf::from(&found.device);
        let name = device.file_name().unwrap_or_default();
        let timeout = Path::new(CLASS).join(name).join("timeout");
        Self {
            found,
            device,
            timeout,
            open: None,
        }
    }
}

impl Watchdog for DeviceWatchdog {
    fn found(&self) -> &WatchdogFound {
        &self.found
    }

    fn arm(&mut self, _timeout: Duration) -> io::Result<Duration> {
        let text = fs::read_to_string(&self.timeout)?;
        let seconds = text.trim().parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} is no number of seconds: {text:?}",
                    self.timeout.display()
                ),
            )
        })?;
        if self.open.is_none() {
            self.open = Some(OpenOptions::new().write(true).open(&self.device)?);
        }
        Ok(Duration::from_secs(seconds))
    }

    fn feed(&mut self) -> io::Result<()> {
        match &mut self.open {
            Some(device) => device.write_all(FEED),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn disarm(&mut self) -> io::Result<()> {
        let Some(device) = &mut self.open else {
            return Ok(());
        };
        let name = self.device.file_name().unwrap_or_default();
        let keeps = self.timeout.with_file_name("nowayout");
        if fs::read_to_string(keeps).is_ok_and(|text| text.trim() == "1") {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{} was made so that it cannot be stopped", name.display()),
            ));
        }
        device.write_all(STOP)?;
        self.open = None;
        Ok(())
    }
}

/// No watchdog at all.
#[derive(Debug)]
pub struct NoWatchdog(WatchdogFound);

impl Default for NoWatchdog {
    fn default() -> Self {
        Self(WatchdogFound {
            device: "none".to_owned(),
            identity: "none".to_owned(),
            hardware: false,
        })
    }
}

impl Watchdog for NoWatchdog {
    fn found(&self) -> &WatchdogFound {
        &self.0
    }

    fn arm(&mut self, _timeout: Duration) -> io::Result<Duration> {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "this host has no watchdog",
        ))
    }

    fn feed(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn disarm(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(watchdogs: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, identity) in watchdogs {
            let watchdog = dir.path().join(name);
            fs::create_dir(&watchdog).expect("made");
            fs::write(watchdog.join("identity"), format!("{identity}\n")).expect("written");
            fs::write(watchdog.join("timeout"), "60\n").expect("written");
            fs::write(watchdog.join("nowayout"), "0\n").expect("written");
        }
        dir
    }

    #[test]
    fn hardware_is_taken_before_software_and_a_named_one_before_all() {
        let class = class(&[
            ("watchdog0", SOFTWARE),
            ("watchdog1", "i6300ESB timer"),
            ("watchdog2", "iTCO_wdt"),
        ]);
        let found = find_in(class.path(), None).expect("readable");
        let found = found.expect("there are some");
        assert_eq!(found.device, "/dev/watchdog1");
        assert!(found.hardware);
        let found = find_in(class.path(), Some(SOFTWARE)).expect("there");
        assert!(!found.expect("there").hardware);
        let error = find_in(class.path(), Some("iTCO")).expect_err("not there");
        assert!(error.to_string().contains("iTCO_wdt"), "{error}");
        let none = find_in(&class.path().join("no"), None).expect("none is no error");
        assert_eq!(none, None);
    }

    #[test]
    fn a_device_is_opened_when_it_is_armed_fed_with_bytes_and_stopped_by_a_letter() {
        let class = class(&[("watchdog0", "iTCO_wdt")]);
        let device = class.path().join("device");
        fs::write(&device, "").expect("written");
        let found = find_in(class.path(), None).expect("readable");
        let mut watchdog = DeviceWatchdog::new(found.expect("there"));
        watchdog.device.clone_from(&device);
        watchdog.timeout = class.path().join("watchdog0/timeout");

        watchdog.feed().expect_err("it does not run");
        let taken = watchdog.arm(Duration::from_secs(30)).expect("armed");
        assert_eq!(taken, Duration::from_secs(60), "as its driver was loaded");
        watchdog.feed().expect("fed");
        watchdog.feed().expect("fed");
        watchdog.disarm().expect("stopped");
        watchdog.disarm().expect("stopped already");
        assert_eq!(fs::read(&device).expect("readable"), b"\0\0V");
        watchdog.feed().expect_err("it does not run");

        watchdog.arm(taken).expect("armed again");
        fs::write(class.path().join("watchdog0/nowayout"), "1").expect("written");
        watchdog.disarm().expect_err("it cannot be stopped");
        watchdog.feed().expect("so it is fed on");
    }
}

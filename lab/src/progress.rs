//! What is happening, for the person who waits.

use std::time::Instant;

/// Prints each step with the time since the beginning.
#[derive(Debug, Clone)]
pub struct Progress {
    begun: Instant,
    aloud: bool,
}

impl Progress {
    /// On standard error, so that a program may read standard output.
    #[must_use]
    pub fn aloud() -> Progress {
        Progress {
            begun: Instant::now(),
            aloud: true,
        }
    }

    /// Nothing is printed.
    #[must_use]
    pub fn silent() -> Progress {
        Progress {
            begun: Instant::now(),
            aloud: false,
        }
    }

    /// Something begins or has happened.
    pub fn step(&self, what: &str) {
        if self.aloud {
            eprintln!("{:>7.1} s  {what}", self.begun.elapsed().as_secs_f64());
        }
    }

    /// Seconds since the beginning.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}

//! How whoever stands outside waits for what goes on inside.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quorate_controller::resource::Engine;

use super::World;

/// What a task in a process tells whoever waits outside.
pub(crate) struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    pub(crate) fn fill(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// Whether the task that was to fill it has ended.
    pub(crate) fn is_forsaken(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl World {
    /// Lets time pass until something holds; an error when it does not in time.
    pub(crate) fn until(
        &mut self,
        what: &str,
        patience: Duration,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), String> {
        let deadline = self.now() + patience;
        while !holds(self) {
            if self.now() >= deadline {
                return Err(format!("{what}: not within {} s", patience.as_secs()));
            }
            self.tick();
        }
        Ok(())
    }

    /// The engine of a member that runs, or soon will.
    pub(crate) fn engine_of(&mut self, name: &str) -> Result<Engine, String> {
        let running = self.running.clone();
        let what = format!("{name} to start");
        self.until(&what, Duration::from_secs(20), |_| {
            running.get(name).is_some()
        })?;
        running.get(name).ok_or(what)
    }

    /// Does something with a member's engine, in its process, and waits for it.
    pub(crate) fn at<T, E, F>(
        &mut self,
        name: &str,
        work: impl FnOnce(Engine) -> F + Send + 'static,
    ) -> Result<T, String>
    where
        T: Send + 'static,
        E: std::fmt::Display,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let engine = self.engine_of(name)?;
        let slot = Slot::new();
        let told = slot.clone();
        let process = format!("quorated@{name}");
        self.executor.inject(&process, async move {
            told.fill(work(engine).await.map_err(|error| error.to_string()));
        });
        let mut result = None;
        self.until("an answer", Duration::from_secs(60), |_| {
            result = slot.take();
            result.is_some()
        })?;
        result.unwrap_or_else(|| Err("no answer".to_owned()))
    }
}

//! Programs as tests tell them: what is called, what it answers, and what goes wrong.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;

use super::{Command, CommandError, Ended, Run};

type Outcome = Result<Ended, CommandError>;
type Answer = Arc<dyn Fn(&str) -> Option<Outcome> + Send + Sync>;
type Line = Result<String, CommandError>;

/// Answers by the words of a command; notes every one.
#[derive(Clone)]
pub(crate) struct Scripted {
    answer: Answer,
    called: Arc<Mutex<Vec<String>>>,
    followed: Arc<Mutex<Vec<String>>>,
    faults: Arc<Mutex<VecDeque<(String, Outcome)>>>,
    lines: Arc<Mutex<Option<mpsc::UnboundedReceiver<Line>>>>,
}

impl Scripted {
    pub(crate) fn new(answer: impl Fn(&str) -> Option<Outcome> + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            called: Arc::default(),
            followed: Arc::default(),
            faults: Arc::default(),
            lines: Arc::default(),
        }
    }

    /// The next command that contains these words goes wrong so, and is not done.
    pub(crate) fn fault(&self, words: &str, outcome: Outcome) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push_back((words.to_owned(), outcome));
    }

    /// What was called since it was asked last.
    pub(crate) fn called(&self) -> Vec<String> {
        std::mem::take(&mut self.called.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose lines were asked for since it was asked last.
    pub(crate) fn followed(&self) -> Vec<String> {
        std::mem::take(&mut self.followed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lines for the next program that is followed.
    pub(crate) fn lines(&self) -> mpsc::UnboundedSender<Line> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.lines.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
        sender
    }

    fn outcome(&self, words: &str) -> Outcome {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.iter().position(|(part, _)| words.contains(part));
        if let Some((_, outcome)) = fault.and_then(|at| faults.remove(at)) {
            return outcome;
        }
        drop(faults);
        (self.answer)(words).unwrap_or_else(|| panic!("nobody expects \"{words}\""))
    }
}

impl Run for Scripted {
    fn run(&self, command: Command) -> BoxFuture<'static, Result<Ended, CommandError>> {
        let words = command.to_string();
        self.called
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(words.clone());
        let outcome = self.outcome(&words);
        Box::pin(async move { outcome })
    }

    fn follow(&self, command: Command) -> BoxStream<'static, Result<String, CommandError>> {
        self.followed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(command.to_string());
        let lines = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match lines {
            Some(lines) => stream::unfold(lines, |mut lines| async move {
                let line = lines.recv().await?;
                Some((line, lines))
            })
            .boxed(),
            None => stream::empty().boxed(),
        }
    }
}

/// It did what it should.
pub(crate) fn fine(stdout: &str) -> Option<Outcome> {
    Some(Ok(Ended {
        code: 0,
        stdout: stdout.to_owned(),
        stderr: String::new(),
    }))
}

/// It refused.
pub(crate) fn failed(code: i32, stderr: &str) -> Outcome {
    Ok(Ended {
        code,
        stdout: String::new(),
        stderr: stderr.to_owned(),
    })
}

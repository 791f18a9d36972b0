use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::Stream;

use super::{Broken, Held, Parcel, Way, Wire};
use crate::executor::ProcessId;

/// What is in a pipe.
struct Content<T> {
    /// Sent, not arrived; `None` is the end.
    under_way: VecDeque<Option<T>>,
    arrived: VecDeque<Option<T>>,
    broken: Option<Broken>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl<T> Content<T> {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn break_off(&mut self, broken: Broken) {
        self.broken = Some(broken);
        self.wake();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

type Shared<T> = Arc<Mutex<Content<T>>>;

fn lock<T>(content: &Shared<T>) -> MutexGuard<'_, Content<T>> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where things are put into a pipe. Dropping it ends the stream in order, if its machine lives.
pub struct PipeStart<T: Send + 'static> {
    wire: Wire,
    content: Shared<T>,
    ends: [(ProcessId, u64); 2],
    machine: usize,
    label: String,
}

/// Where things come out of a pipe, in the order in which they were put in.
pub struct PipeEnd<T> {
    wire: Wire,
    id: u64,
    content: Shared<T>,
}

impl Wire {
    /// A stream from one process to another; none when either does not run.
    pub fn pipe<T: Send + 'static>(
        &self,
        from: &str,
        to: &str,
        label: &str,
    ) -> Result<(PipeStart<T>, PipeEnd<T>), Broken> {
        let content = Arc::new(Mutex::new(Content {
            under_way: VecDeque::new(),
            arrived: VecDeque::new(),
            broken: None,
            reader: None,
            writer: None,
        }));
        let mut inner = self.lock();
        let (Some(sends), Some(reads)) =
            (inner.lives.get(from).copied(), inner.lives.get(to).copied())
        else {
            return Err(Broken::Unreachable);
        };
        let ends = [
            (from.to_owned(), sends.number),
            (to.to_owned(), reads.number),
        ];
        let id = inner.number();
        let failing = content.clone();
        let held = Held {
            ends: ends.clone(),
            silent: None,
            fail: Box::new(move |broken| {
                lock(&failing).break_off(broken);
            }),
        };
        inner.held.insert(id, held);
        let start = PipeStart {
            wire: self.clone(),
            content: content.clone(),
            ends,
            machine: sends.machine,
            label: format!("{from} > {to}: {label}"),
        };
        let end = PipeEnd {
            wire: self.clone(),
            id,
            content,
        };
        Ok((start, end))
    }
}

impl<T: Send + 'static> PipeStart<T> {
    /// Puts something in; whether anybody may still read it.
    pub fn send(&self, item: T, digest: u64) -> bool {
        self.put(Some(item), digest)
    }

    /// Waits until nobody reads it any more, or nothing gets through.
    pub async fn closed(&self) {
        std::future::poll_fn(|context| {
            let mut content = lock(&self.content);
            if content.broken.is_some() {
                return Poll::Ready(());
            }
            content.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn put(&self, item: Option<T>, digest: u64) -> bool {
        {
            let mut content = lock(&self.content);
            if content.broken.is_some() {
                return false;
            }
            content.under_way.push_back(item);
        }
        let (arriving, failing) = (self.content.clone(), self.content.clone());
        let [_, (to, life)] = &self.ends;
        let mut inner = self.wire.lock();
        let parcel = Parcel {
            from: self.machine,
            sent: inner.now(),
            way: Way::Connection(*life),
            label: self.label.clone(),
            digest,
            // Whichever parcel gets through first brings the oldest item, so that order is kept.
            deliver: Box::new(move || {
                let mut content = lock(&arriving);
                if let Some(item) = content.under_way.pop_front() {
                    content.arrived.push_back(item);
                }
                content.wake();
            }),
            undelivered: Some(Box::new(move |broken| {
                lock(&failing).break_off(broken);
            })),
        };
        let due = inner.now() + inner.travel();
        inner.put(to, due, parcel);
        true
    }
}

impl<T: Send + 'static> Drop for PipeStart<T> {
    fn drop(&mut self) {
        self.put(None, 0);
    }
}

impl<T> Stream for PipeEnd<T> {
    type Item = Result<T, Broken>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut content = lock(&self.content);
        match content.arrived.pop_front() {
            Some(Some(item)) => Poll::Ready(Some(Ok(item))),
            Some(None) => {
                content.arrived.push_back(None);
                Poll::Ready(None)
            }
            None => match content.broken {
                Some(broken) => {
                    content.arrived.push_back(None);
                    Poll::Ready(Some(Err(broken)))
                }
                None => {
                    content.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            },
        }
    }
}

impl<T> Drop for PipeEnd<T> {
    fn drop(&mut self) {
        lock(&self.content).break_off(Broken::Lost);
        let held = self.wire.lock().held.remove(&self.id);
        drop(held);
    }
}

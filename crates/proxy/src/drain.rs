//! Telling every idle connection of a core that it is time to go.
//!
//! One per core and not shared, so that watching costs no synchronisation.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

/// Whether this core drains, and who wants to know.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    draining: Cell<bool>,
    next: Cell<u64>,
    watchers: RefCell<HashMap<u64, Waker>>,
}

impl Drain {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub(crate) fn begin(&self) {
        self.draining.set(true);
        self.watchers.take().into_values().for_each(Waker::wake);
    }

    /// Something that waits can also wait for the drain.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch { drain: self, id: None }
    }
}

/// One waiter; forgets itself when dropped.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    drain: &'a Drain,
    id: Option<u64>,
}

impl Watch<'_> {
    /// Ready once the drain has begun. To be polled from one task only.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.draining.get() {
            return Poll::Ready(());
        }
        if self.id.is_none() {
            let id = self.drain.next.get();
            self.drain.next.set(id + 1);
            self.id = Some(id);
            self.drain.watchers.borrow_mut().insert(id, cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.drain.watchers.borrow_mut().remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_once_and_forgotten() {
        let drain = Drain::default();
        {
            let mut watch = drain.watch();
            assert!(std::future::poll_fn(|cx| Poll::Ready(watch.poll(cx))).await.is_pending());
            assert_eq!(drain.watchers.borrow().len(), 1);
        }
        assert!(drain.watchers.borrow().is_empty());
        let mut watch = drain.watch();
        let waiting = std::future::poll_fn(|cx| watch.poll(cx));
        tokio::join!(waiting, async { drain.begin() });
        assert!(drain.is_draining());
    }
}

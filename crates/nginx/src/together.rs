//! How do many small writes share what waiting for the disk costs?
//!
//! Whoever comes while the disk is busy waits, and is then served together with all who came meanwhile.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::host::blocking;

/// Writes that are done together.
pub(crate) struct Together<T, R> {
    waiting: Mutex<Vec<(T, oneshot::Sender<R>)>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T, R> Default for Together<T, R> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Together<T, R> {
    /// Has `work` done for the item, together with whatever else waits; it returns an answer for each item, in order.
    ///
    /// An item whose caller goes away is worked on all the same.
    pub(crate) async fn run(
        &self,
        item: T,
        work: impl FnOnce(Vec<T>) -> Vec<R> + Send + 'static,
    ) -> R {
        let (answer, answered) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((item, answer));
        let turn = self.turn.lock().await;
        let batch =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // It is empty when somebody else's turn took this item in.
        if !batch.is_empty() {
            blocking(move || {
                let (items, answers): (Vec<T>, Vec<_>) = batch.into_iter().unzip();
                for (answer, result) in answers.into_iter().zip(work(items)) {
                    // Who went away does not want it.
                    let _ = answer.send(result);
                }
            })
            .await;
        }
        drop(turn);
        match answered.await {
            Ok(result) => result,
            Err(_) => std::panic::resume_unwind(Box::new("the work on files panicked")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn who_comes_while_the_disk_is_busy_is_served_together() {
        let together = Arc::new(Together::<u32, (u32, usize)>::default());
        let (free, busy) = std::sync::mpsc::channel::<()>();
        let first = {
            let together = Arc::clone(&together);
            tokio::spawn(async move {
                let work = move |items: Vec<u32>| {
                    busy.recv().unwrap();
                    items.iter().map(|item| (*item, items.len())).collect()
                };
                together.run(0, work).await
            })
        };
        while together.turn.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (1..=5)
            .map(|number| {
                let together = Arc::clone(&together);
                let work =
                    |items: Vec<u32>| items.iter().map(|item| (*item, items.len())).collect();
                tokio::spawn(async move { together.run(number, work).await })
            })
            .collect();
        while together.waiting.lock().unwrap().len() < 5 {
            tokio::task::yield_now().await;
        }
        free.send(()).unwrap();
        assert_eq!(first.await.unwrap(), (0, 1));
        for (number, other) in (1..).zip(others) {
            assert_eq!(other.await.unwrap(), (number, 5));
        }
    }
}

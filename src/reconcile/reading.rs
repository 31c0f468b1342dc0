//! A listing that is read by a task of its own, so that its pages are fetched and decoded while the
//! store takes the page before.

use std::future::Future;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::error::RunError;
use crate::clients::CallError;

/// Pages that may wait for the store, beside the one that is being read.
const WAITING: usize = 1;

/// The pages of a listing. Dropping it ends the task.
pub(super) struct Reading<T> {
    pages: mpsc::Receiver<Result<Option<T>, CallError>>,
    task: JoinSet<()>,
}

/// Where the task puts what it reads.
pub(super) struct Pages<T>(mpsc::Sender<Result<Option<T>, CallError>>);

impl<T> Pages<T> {
    /// Hands over what the listing gave, its end and its failure included. `false`: nothing more is
    /// wanted.
    pub(super) async fn put(&self, page: Result<Option<T>, CallError>) -> bool {
        let is_page = matches!(page, Ok(Some(_)));
        self.0.send(page).await.is_ok() && is_page
    }
}

impl<T: Send + 'static> Reading<T> {
    /// Starts the task.
    pub(super) fn start<F>(read: impl FnOnce(Pages<T>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, pages) = mpsc::channel(WAITING);
        let mut task = JoinSet::new();
        task.spawn(read(Pages(sender)).in_current_span());
        Self { pages, task }
    }

    /// The next page, or `None` past the last one.
    ///
    /// # Errors
    /// What `failed` makes of a failure of the listing. A task that ended without having said that
    /// the listing has ended is one (G0).
    pub(super) async fn next(
        &mut self,
        failed: fn(CallError) -> RunError,
    ) -> Result<Option<T>, RunError> {
        match self.pages.recv().await {
            Some(page) => page.map_err(failed),
            None => match self.task.join_next().await {
                Some(Err(error)) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic())
                }
                _ => Err(RunError::Interrupted),
            },
        }
    }
}

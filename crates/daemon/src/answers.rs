//! The requests that a daemon is answering, a few at once: one that takes long, as a sensor that
//! asks a slow service does, keeps neither the others waiting nor the loop that finds them.

use std::collections::BTreeMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};

/// Requests that are answered at once.
const ANSWERS_MAX: usize = 8;

/// What is being answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    joined: JoinSet<()>,
    /// The request of each of them, by its place there.
    under_way: BTreeMap<Id, String>,
}

impl Answers {
    /// Begins with the answer to a request, unless that is under way or there is no place for it:
    /// what is still open is found again.
    pub(crate) fn begin(
        &mut self,
        request: &str,
        answer: impl Future<Output = ()> + Send + 'static,
    ) {
        while let Some(ended) = self.joined.try_join_next_with_id() {
            self.forget(ended);
        }
        if self.is_full() || self.under_way.values().any(|known| known == request) {
            return;
        }
        let handle = self.joined.spawn(answer);
        self.under_way.insert(handle.id(), request.to_owned());
    }

    /// Waits until there is a place, where there is none; where there is one, for ever.
    pub(crate) async fn place(&mut self) {
        if !self.is_full() {
            std::future::pending::<()>().await;
        }
        if let Some(ended) = self.joined.join_next_with_id().await {
            self.forget(ended);
        }
    }

    fn is_full(&self) -> bool {
        self.under_way.len() >= ANSWERS_MAX
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, error) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let request = self.under_way.remove(&id).unwrap_or_default();
        if let Some(error) = error {
            tracing::error!(%error, request, "the answer to a request has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_request_that_takes_long_is_answered_once_and_keeps_no_other_waiting() {
        let mut answers = Answers::default();
        answers.begin("slow", std::future::pending());
        answers.begin("slow", async { unreachable!("it is under way") });
        let (answer, answered) = oneshot::channel();
        answers.begin("quick", async move { answer.send(7).unwrap() });
        assert_eq!(answered.await, Ok(7));
    }

    #[tokio::test]
    async fn there_are_so_many_answers_at_once_and_one_that_panicked_gives_its_place_back() {
        let mut answers = Answers::default();
        answers.begin("0", async { panic!("as a test wants it") });
        for request in 1..ANSWERS_MAX {
            answers.begin(&request.to_string(), std::future::pending());
        }
        let (late, never) = oneshot::channel();
        answers.begin("late", async move { late.send(()).unwrap() });
        assert!(never.await.is_err(), "there is no place for it");
        answers.place().await;
        let (late, answered) = oneshot::channel();
        answers.begin("late", async move { late.send(()).unwrap() });
        assert_eq!(answered.await, Ok(()));
    }
}

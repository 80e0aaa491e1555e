//! The thread that traces asks the one that called it: what is done while a session stands still is no other thread's.

use std::sync::mpsc::{Receiver, Sender, channel};

use freezeframe_engine::remote::{Tracer, tracing};

use crate::engine::{BoxedError, EngineError};

/// The tracing thread's end.
pub(super) struct Asking<Q> {
    questions: Sender<Q>,
    answers: Receiver<Result<(), BoxedError>>,
}

impl<Q> Asking<Q> {
    /// Has it done, and waits.
    ///
    /// # Errors
    /// [`EngineError::InHook`] when it could not be done.
    pub(super) fn ask(&self, question: Q) -> Result<(), EngineError> {
        let lost = || Err("nobody is there to answer".into());
        let answer =
            self.questions.send(question).map_or_else(|_| lost(), |()| self.answers.recv().unwrap_or_else(|_| lost()));
        answer.map_err(EngineError::InHook)
    }
}

/// Runs `work` in a thread that traces, and `answer` in this one whenever that asks.
pub(super) fn traced<T: Send, Q: Send>(
    work: impl FnOnce(&Tracer, &Asking<Q>) -> Result<T, EngineError> + Send,
    mut answer: impl FnMut(Q) -> Result<(), BoxedError>,
) -> Result<T, EngineError> {
    let (questions, asked) = channel();
    let (answers, answered) = channel();
    let asking = Asking { questions, answers: answered };
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || tracing(move |tracer| work(tracer, &asking)));
        // Ends when the worker has dropped its end.
        for question in asked {
            // It may have gone: then nobody waits for the answer.
            let _ = answers.send(answer(question));
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_10_the_caller_answers_what_the_tracing_thread_asks() {
        let own = std::thread::current().id();
        let mut asked = Vec::new();
        let done = traced(
            |_, asking| {
                asking.ask(1)?;
                let refused = asking.ask(2).expect_err("it was answered");
                Ok((std::thread::current().id(), refused.to_string()))
            },
            |number| {
                asked.push((number, std::thread::current().id()));
                if number == 1 { Ok(()) } else { Err("not that".into()) }
            },
        );
        let (worker, refused) = done.unwrap();
        assert!(worker != own && refused == "not that");
        assert_eq!(asked, [(1, own), (2, own)]);
    }
}

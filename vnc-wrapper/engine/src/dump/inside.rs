//! What only a thread itself can be asked: lists of calls that ask, and their answers.

use crate::remote::{self, Call, Thread};

/// Calls that ask something, and the memory in which they answer.
#[derive(Debug, Default)]
pub(super) struct Questions {
    calls: Vec<Call>,
    /// For each call: which argument points to its answer, where that is in the memory, and its length.
    places: Vec<Option<(usize, usize, usize)>>,
    length: usize,
}

/// Which question an answer belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question(usize);

impl Questions {
    /// A call whose result is the answer.
    pub(super) fn ask(&mut self, number: libc::c_long, arguments: &[u64]) -> Question {
        self.add(number, arguments, None)
    }

    /// A call that writes `length` bytes to where argument `place` points.
    pub(super) fn ask_into(
        &mut self,
        number: libc::c_long,
        arguments: &[u64],
        place: usize,
        length: usize,
    ) -> Question {
        let at = self.length;
        self.length += length.next_multiple_of(8);
        self.add(number, arguments, Some((place, at, length)))
    }

    fn add(&mut self, number: libc::c_long, given: &[u64], place: Option<(usize, usize, usize)>) -> Question {
        let mut arguments = [0; 6];
        arguments[..given.len()].copy_from_slice(given);
        self.calls.push(Call::new(number, arguments));
        self.places.push(place);
        Question(self.calls.len() - 1)
    }

    /// Has `thread` make all of them.
    pub(super) fn put(mut self, thread: &mut Thread<'_, '_>) -> Result<Answers, remote::Error> {
        let mut memory = vec![0; self.length];
        let mut at = 0;
        if self.length > 0 {
            // The stack is the cheaper place; a small one for signals may have no room.
            at = match thread.borrow_stack(self.length) {
                Err(remote::Error::Other { .. }) => thread.map(self.length.next_multiple_of(4096) as u64)?,
                other => other?,
            };
            // What the kernel does not write is zero, not what stood there.
            thread.fill(at, &memory)?;
        }
        for (call, place) in self.calls.iter_mut().zip(&self.places) {
            if let Some((argument, offset, _)) = place {
                call.arguments[*argument] = at + *offset as u64;
            }
        }
        let denied: Vec<bool> = self.calls.iter().map(|call| thread.denies(call)).collect();
        let mut allowed: Vec<Call> =
            self.calls.iter().zip(&denied).filter(|(_, denied)| !**denied).map(|(call, _)| *call).collect();
        thread.run(&mut allowed)?;
        let mut made = allowed.into_iter();
        for (call, _) in self.calls.iter_mut().zip(&denied).filter(|(_, denied)| !**denied) {
            call.result = made.next().map_or(call.result, |made| made.result);
        }
        if self.length > 0 {
            thread.read(at, &mut memory)?;
        }
        Ok(Answers { calls: self.calls, denied, places: self.places, memory })
    }
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answers {
    calls: Vec<Call>,
    /// Those that its seccomp filters deny, which were not made.
    denied: Vec<bool>,
    places: Vec<Option<(usize, usize, usize)>>,
    memory: Vec<u8>,
}

impl Answers {
    /// The result of a call; none for an error, such as that of a kernel that does not know the question.
    pub(super) fn result(&self, question: Question) -> Option<u64> {
        let call = &self.calls[question.0];
        (!self.denied(question) && call.error().is_none()).then_some(call.result as u64)
    }

    /// Whether the thread's seccomp filters deny it the call.
    pub(super) fn denied(&self, question: Question) -> bool {
        self.denied[question.0]
    }

    /// The answer to a denied question, found in another way.
    pub(super) fn give(&mut self, question: Question, result: u64) {
        self.denied[question.0] = false;
        self.calls[question.0].result = result.cast_signed();
    }

    /// [`Answers::give`] for a call that would have written these numbers.
    pub(super) fn give_words(&mut self, question: Question, result: u64, words: &[u64]) {
        self.give(question, result);
        if let Some((_, at, length)) = self.places[question.0] {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).take(length).collect();
            self.memory[at..at + bytes.len()].copy_from_slice(&bytes);
        }
    }

    /// Why a question has no answer that its thread was denied, if there is one.
    pub(super) fn left(&self) -> Option<String> {
        let at = self.denied.iter().position(|denied| *denied)?;
        Some(self.failure(Question(at)))
    }

    /// What a call wrote; none after an error.
    pub(super) fn bytes(&self, question: Question) -> Option<&[u8]> {
        self.result(question)?;
        let (_, at, length) = self.places[question.0]?;
        self.memory.get(at..at + length)
    }

    /// Numbers of eight bytes that a call wrote.
    pub(super) fn words<const N: usize>(&self, question: Question) -> Option<[u64; N]> {
        let words = self.bytes(question)?.as_chunks::<8>().0;
        Some(std::array::from_fn(|at| words.get(at).map_or(0, |word| u64::from_ne_bytes(*word))))
    }

    /// The number of a call's error.
    pub(super) fn errno(&self, question: Question) -> Option<i32> {
        if self.denied(question) {
            return None;
        }
        self.calls[question.0].error()?.raw_os_error()
    }

    /// The error of a call, with its name, for what cannot be left out.
    pub(super) fn failure(&self, question: Question) -> String {
        let call = &self.calls[question.0];
        if self.denied(question) {
            return format!("its seccomp filters deny it {call}");
        }
        call.error().map_or_else(String::new, |error| format!("{call}: {error}"))
    }
}

//! Which descriptors share an open file description: kcmp(2), as a search in a sorted list, so that each takes no more than a
//! logarithm of comparisons.

use std::cmp::Ordering;
use std::io;

use libc::pid_t;

use crate::sys::kcmp::{self, What};

/// Open file descriptions of processes that stand still, each with a number.
#[derive(Debug, Default)]
pub struct Descriptions {
    /// In the order of kcmp(2): a process, its descriptor, the number.
    known: Vec<(pid_t, i32, u32)>,
}

impl Descriptions {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of what `descriptor` of `pid` refers to, and whether it is new; numbers begin with 1.
    ///
    /// # Errors
    /// Those of kcmp(2): `EPERM`, `ESRCH`, `EBADF`.
    pub fn number(&mut self, pid: pid_t, descriptor: i32) -> io::Result<(u32, bool)> {
        let found = self.search(|holder, theirs| kcmp::compare(holder, pid, What::File(theirs, descriptor)))?;
        match found {
            Ok(number) => Ok((number, false)),
            Err(place) => {
                let number = self.known.len() as u32 + 1;
                self.known.insert(place, (pid, descriptor, number));
                Ok((number, true))
            }
        }
    }

    /// The number of what an epoll instance watches: `epoll` of `pid`, the `at`th of its watches of `number`. None: nobody of
    /// whom we know has it open.
    ///
    /// # Errors
    /// As [`Self::number`].
    pub fn watched(&self, pid: pid_t, epoll: i32, number: u32, at: u32) -> io::Result<Option<u32>> {
        let found = self
            .search(|holder, descriptor| kcmp::compare(holder, pid, What::Watched { descriptor, epoll, number, at }))?;
        Ok(found.ok())
    }

    fn search(&self, mut compare: impl FnMut(pid_t, i32) -> io::Result<Ordering>) -> io::Result<Result<u32, usize>> {
        let (mut low, mut high) = (0, self.known.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let (pid, descriptor, number) = self.known[middle];
            match compare(pid, descriptor)? {
                Ordering::Equal => return Ok(Ok(number)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(Err(low))
    }
}

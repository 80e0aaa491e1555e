//! Where an archive comes from: a file or a pipe that counts what is read, and stops when it is cancelled.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::mpsc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cancel::Cancel;

/// How often it is told how much was read, in bytes.
const STEP: u64 = 4 << 20;
/// How long a cancellation may go unnoticed while a pipe is silent, in milliseconds.
const PATIENCE_MS: u8 = 200;

/// A source that is watched.
pub(super) struct Source<R> {
    inner: R,
    read: u64,
    told: u64,
    tell: mpsc::Sender<u64>,
    cancel: Cancel,
}

impl<R: Read + AsFd> Source<R> {
    /// Tells `tell` how much was read of `inner`; fails when `cancel` is asked for.
    pub(super) fn new(inner: R, tell: mpsc::Sender<u64>, cancel: &Cancel) -> Self {
        Self { inner, read: 0, told: 0, tell, cancel: cancel.clone() }
    }

    fn wait(&self) -> io::Result<()> {
        loop {
            if self.cancel.asked() {
                return Err(io::Error::other("it was cancelled"));
            }
            let mut descriptors = [PollFd::new(self.inner.as_fd(), PollFlags::POLLIN)];
            match poll(&mut descriptors, PollTimeout::from(PATIENCE_MS)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<R: Read + AsFd> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        let got = self.inner.read(buffer)?;
        self.read += got as u64;
        if self.read - self.told >= STEP {
            self.told = self.read;
            // Nobody listens any more when the other end has failed; its error is told then.
            let _ = self.tell.send(self.read);
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn it_counts_in_steps() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; 9 << 20]).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let (tell, told) = mpsc::channel();
        let mut source = Source::new(file, tell, &Cancel::default());
        io::copy(&mut source, &mut io::sink()).unwrap();
        drop(source);
        let told: Vec<u64> = told.into_iter().collect();
        assert_eq!(told.len(), 2);
        assert!(told[0] >= STEP && told[1] >= told[0] + STEP);
    }

    #[test]
    fn a_silent_pipe_can_be_cancelled() {
        let (reader, _writer) = io::pipe().unwrap();
        let cancel = Cancel::default();
        let (tell, _told) = mpsc::channel();
        let mut source = Source::new(reader, tell, &cancel);
        let asking = std::thread::spawn(move || cancel.ask());
        assert!(source.read(&mut [0; 8]).is_err());
        asking.join().unwrap();
    }
}

//! Memory that several processes share: found once, by device and inode, however often it is mapped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use super::PAGE;
use super::copy::{self, Sink};
use super::maps::{Kind, Mapping};
use super::pages::PageSet;

/// How much is read at once, in bytes.
const PIECE: u64 = 1 << 20;

/// One mapping of a shared object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The process.
    pub pid: u32,
    /// Its addresses.
    pub range: Range<u64>,
    /// Where in the object it begins, in bytes.
    pub offset: u64,
    /// Whether it can be written through.
    pub writable: bool,
}

/// Memory or a file that is mapped shared: memfd, System V segment, POSIX shared memory, anonymous shared memory, a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Device (major, minor) and inode: the same in every process.
    pub identity: ((u32, u32), u64),
    /// Its name as the kernel shows it: `/memfd:NAME (deleted)`, `/SYSV00000000 (deleted)`, `/dev/zero (deleted)`, a path.
    pub name: Vec<u8>,
    /// All its mappings.
    pub views: Vec<View>,
}

impl Object {
    /// The bytes of it that are mapped by somebody, as offsets.
    pub fn mapped(&self) -> PageSet {
        self.views.iter().map(|view| view.offset..view.offset + (view.range.end - view.range.start)).collect()
    }

    /// Reads what is mapped of it, each byte once, through the processes that map it. `sink` gets offsets for addresses. Returns
    /// what could not be read by anybody: beyond the end of the file, or without a process left that maps it.
    ///
    /// Holes of the object are filled with zeros by reading them; where a descriptor is at hand, `SEEK_DATA` spares that.
    ///
    /// # Errors
    /// When `sink` fails.
    pub fn read(&self, sink: &mut impl Sink) -> io::Result<PageSet> {
        let mut missing = self.mapped();
        for view in &self.views {
            let length = view.range.end - view.range.start;
            let here: PageSet = std::iter::once(view.offset..view.offset + length).collect();
            // What is mapped here and still missing: all of here without what is no longer missing.
            let wanted = here.without(&here.without(&missing));
            let addresses: PageSet = wanted.runs().map(|run| view.to_addresses(&run)).collect();
            let mut moved = Moved { view, sink: &mut *sink };
            let unread = match copy::copy(view.pid, &addresses, &mut moved) {
                Ok(unread) => unread,
                // This process has ended; others may have it too.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => continue,
                Err(error) => return Err(error),
            };
            for run in addresses.without(&unread).runs() {
                missing.remove(view.to_offsets(&run));
            }
        }
        Ok(missing)
    }
}

impl View {
    fn to_addresses(&self, offsets: &Range<u64>) -> Range<u64> {
        offsets.start - self.offset + self.range.start..offsets.end - self.offset + self.range.start
    }

    fn to_offsets(&self, addresses: &Range<u64>) -> Range<u64> {
        addresses.start - self.range.start + self.offset..addresses.end - self.range.start + self.offset
    }
}

/// Gives a sink offsets for addresses.
struct Moved<'a, S> {
    view: &'a View,
    sink: &'a mut S,
}

impl<S: Sink> Sink for Moved<'_, S> {
    fn pages(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.sink.pages(address - self.view.range.start + self.view.offset, bytes)
    }

    fn gone(&mut self, range: Range<u64>) -> io::Result<()> {
        self.sink.gone(self.view.to_offsets(&range))
    }
}

/// Reads the content of a memfd or file through `file`: offsets for addresses, holes left out, the last page filled up with zeros.
/// Returns its length in bytes.
///
/// `file` must be an open file description of the reader's own, as [`own_description`] gives: looking for holes moves its position.
///
/// # Errors
/// When it cannot be read, or `sink` fails.
pub fn read_file(file: &File, sink: &mut impl Sink) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut buffer = vec![0; PIECE as usize];
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data / PAGE * PAGE,
            // Only a hole is left.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let hole = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(data))?.min(size);
        let mut start = data.max(at);
        while start < hole {
            let length = (hole - start).min(PIECE);
            let whole = length.div_ceil(PAGE) * PAGE;
            let bytes = &mut buffer[..whole as usize];
            bytes[length as usize..].fill(0);
            file.read_exact_at(&mut bytes[..length as usize], start)?;
            sink.pages(start, bytes)?;
            start += whole;
        }
        at = start.max(hole);
    }
    Ok(size)
}

/// A new open file description of what `descriptor`, a copy of somebody else's, refers to: reading through it moves nothing that
/// others see.
///
/// # Errors
/// When the file may not be opened for reading.
pub fn own_description(descriptor: BorrowedFd<'_>) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// The shared objects that `processes` (pid and mappings) map, each once.
pub fn find<'a>(processes: impl IntoIterator<Item = (u32, &'a [Mapping])>) -> Vec<Object> {
    let mut objects: BTreeMap<((u32, u32), u64), Object> = BTreeMap::new();
    for (pid, mappings) in processes {
        for mapping in mappings.iter().filter(|mapping| mapping.kind() == Kind::Shared) {
            let identity = (mapping.device, mapping.inode);
            let object = objects.entry(identity).or_insert_with(|| Object {
                identity,
                name: mapping.name.clone(),
                views: Vec::new(),
            });
            object.views.push(View {
                pid,
                range: mapping.range.clone(),
                offset: mapping.offset,
                writable: mapping.access.write,
            });
        }
    }
    objects.into_values().collect()
}

//! Taking a directory tree up into the store.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, SeekFrom, Stat, major, minor, readlinkat, seek};

use super::cut::{Cutter, FILE, STREAM};
use super::entry::{Entry, Kind, Meta};
use super::list::{ListBuilder, ListRef};
use super::meta::{self, MetaReader};
use super::{MAX_DEPTH, PAGE, Progress, ProgressFn};
use crate::content::TreeRef;
use crate::error::{Error, IoContext, Result};
use crate::form::{self, Local, Part, What};
use crate::hash::ChunkHash;
use crate::pack::{ChunkKind, ChunkWriter};
use crate::wire::Encoder;

/// Bytes of a page file that are read at a time.
const READ: usize = 256 << 10;

/// Stores trees, which nothing changes meanwhile.
pub(crate) struct Capture<'a> {
    pub(crate) writer: &'a mut ChunkWriter,
    pub(crate) cancel: &'a AtomicBool,
    pub(crate) progress: ProgressFn<'a>,
    pub(crate) far: Progress,
}

/// How a tree is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Exactly.
    AsItIs,
    /// Exactly; files of memory pages lie directly below its root.
    Pages,
    /// In the normal form ([`form`]).
    Normal(What, Local),
}

/// The state of one tree's walk.
struct Walk<'a, 'b> {
    capture: &'b mut Capture<'a>,
    entries: Encoder,
    access_times: Vec<u8>,
    count: u64,
    raw_bytes: u64,
    /// Files with several names, by device and inode.
    groups: HashMap<(u64, u64), u64>,
    cutter: Cutter,
    buffer: Vec<u8>,
    meta: MetaReader,
    taken: Taken,
}

impl Capture<'_> {
    /// Stores the tree at `root`.
    pub(crate) fn tree(&mut self, root: &Path, taken: Taken) -> Result<TreeRef> {
        let mut walk = Walk {
            capture: self,
            entries: Encoder::default(),
            access_times: Vec::new(),
            count: 0,
            raw_bytes: 0,
            groups: HashMap::new(),
            cutter: Cutter::default(),
            buffer: Vec::new(),
            meta: MetaReader::new(),
            taken,
        };
        let directory = File::open(root).at("open", root)?;
        let stat = meta::stat(&directory, c".").at("read", root)?;
        if meta::kind(&stat) != FileType::Directory {
            return Err(io::Error::from(io::ErrorKind::NotADirectory)).at("store", root);
        }
        let part = match taken {
            Taken::Normal(what, _) => Part::of(what),
            _ => Part::Plain,
        };
        let meta = walk.meta(directory.as_fd(), c".", &stat, part, root)?;
        let mut open = vec![walk.enter(directory.into(), root.to_owned(), b"", meta, part, 0)?];
        // Not by recursion: a session decides how deep its directories are.
        loop {
            let depth = open.len();
            let Some(Open { directory, path, part, names }) = open.last_mut() else { break };
            if walk.capture.cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let Some(Named { name, stored }) = names.pop() else {
                Entry::end().encode(&mut walk.entries, &mut walk.access_times);
                open.pop();
                continue;
            };
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            let part = part.below(name.to_bytes());
            let below = walk.entry(directory.as_fd(), &name, &stored, &path, part, depth)?;
            if let Some((directory, meta)) = below {
                open.push(walk.enter(directory, path, &stored, meta, part, depth)?);
            }
        }
        walk.finish()
    }
}

/// A directory whose entries are being stored.
struct Open {
    directory: OwnedFd,
    path: PathBuf,
    part: Part,
    /// Those that are not yet, the next one last.
    names: Vec<Named>,
}

/// A name, and the one that it is stored by.
struct Named {
    name: CString,
    stored: Vec<u8>,
}

impl Walk<'_, '_> {
    /// What belongs to an entry, in the form that it is stored in.
    fn meta(&mut self, parent: BorrowedFd<'_>, name: &CStr, stat: &Stat, part: Part, path: &Path) -> Result<Meta> {
        let mut meta = self.meta.read(parent, name, stat).at("read", path)?;
        if let Taken::Normal(_, here) = self.taken {
            let invalid = |flaw| io::Error::new(io::ErrorKind::InvalidData, flaw);
            form::normalise(&mut meta, part, here).map_err(invalid).at("store", path)?;
        }
        Ok(meta)
    }

    fn enter(
        &mut self,
        directory: OwnedFd,
        path: PathBuf,
        name: &[u8],
        meta: Meta,
        part: Part,
        depth: usize,
    ) -> Result<Open> {
        if depth >= MAX_DEPTH {
            return Err(Error::Unsupported { path, reason: "it is too many directories deep" });
        }
        self.emit(&Entry { name: name.to_vec(), kind: Kind::Directory, group: 0, meta });
        let names = meta::names(directory.as_fd()).at("list", &path)?;
        let mut names: Vec<Named> =
            names.into_iter().map(|name| Named { stored: form::stored_name(part, name.to_bytes()), name }).collect();
        names.sort_unstable_by(|a, b| b.stored.cmp(&a.stored));
        Ok(Open { directory, path, part, names })
    }

    fn emit(&mut self, entry: &Entry) {
        entry.encode(&mut self.entries, &mut self.access_times);
        self.count += 1;
    }

    /// Stores an entry; of a directory, which comes next, returns what is needed for that.
    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        stored: &[u8],
        path: &Path,
        part: Part,
        depth: usize,
    ) -> Result<Option<(OwnedFd, Meta)>> {
        let stat = meta::stat(&parent, name).at("read", path)?;
        let mut group = 0;
        if stat.st_nlink > 1 && meta::kind(&stat) != FileType::Directory {
            let next = self.groups.len() as u64 + 1;
            group = *self.groups.entry((stat.st_dev, stat.st_ino)).or_insert(next);
            if group != next {
                let name = stored.to_vec();
                self.emit(&Entry { name, kind: Kind::Link, group, meta: Meta::default() });
                return Ok(None);
            }
        }
        let meta = self.meta(parent, name, &stat, part, path)?;
        let device = || (major(stat.st_rdev), minor(stat.st_rdev));
        let kind = match meta::kind(&stat) {
            FileType::Directory => {
                let below = meta::open_directory(parent, name).at("open", path)?;
                return Ok(Some((below, meta)));
            }
            FileType::RegularFile => self.file(parent, name, path, &stat, depth)?,
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new()).at("read", path)?;
                Kind::Symlink(target.into_bytes())
            }
            FileType::CharacterDevice => Kind::Character { major: device().0, minor: device().1 },
            FileType::BlockDevice => Kind::Block { major: device().0, minor: device().1 },
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::Unknown => {
                return Err(Error::Unsupported { path: path.to_owned(), reason: "it is of no known kind" });
            }
        };
        self.emit(&Entry { name: stored.to_vec(), kind, group, meta });
        Ok(None)
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &CStr, path: &Path, stat: &Stat, depth: usize) -> Result<Kind> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size == 0 {
            return Ok(Kind::File { size, extents: Vec::new(), chunks: ListRef::default() });
        }
        let file = File::from(meta::open_file(parent, name).at("open", path)?);
        let extents = extents(&file, size).at("read", path)?;
        let mut list = ListBuilder::default();
        if self.taken == Taken::Pages && depth == 1 && is_page_file(name.to_bytes()) {
            self.page_file(&file, path, &extents, &mut list)?;
        } else {
            self.cut_file(&file, path, &extents, &mut list)?;
        }
        let chunks = list.finish(self.capture.writer)?;
        Ok(Kind::File { size, extents, chunks })
    }

    /// Page by page, from the beginning of each stretch of data.
    fn page_file(&mut self, file: &File, path: &Path, extents: &[(u64, u64)], list: &mut ListBuilder) -> Result<()> {
        self.buffer.resize(READ, 0);
        for &(offset, length) in extents {
            let mut done = 0;
            while done < length {
                let wanted = usize::try_from(length - done).unwrap_or(READ).min(READ);
                let buffer = self.buffer.get_mut(..wanted).unwrap_or_default();
                file.read_exact_at(buffer, offset + done).at("read", path)?;
                for page in buffer.chunks(PAGE) {
                    let hash = if page == ZEROS {
                        ChunkHash::ZERO_PAGE
                    } else {
                        self.capture.writer.put(page, ChunkKind::Data)?
                    };
                    list.push(&hash, self.capture.writer)?;
                }
                done += wanted as u64;
                self.advance(wanted as u64)?;
            }
        }
        Ok(())
    }

    /// By content, all stretches of data as one.
    fn cut_file(&mut self, file: &File, path: &Path, extents: &[(u64, u64)], list: &mut ListBuilder) -> Result<()> {
        let mut rest = extents.iter().copied();
        let (mut offset, mut length) = rest.next().unwrap_or_default();
        let mut cutter = std::mem::take(&mut self.cutter);
        let read = |buffer: &mut [u8]| {
            if length == 0 {
                (offset, length) = rest.next().unwrap_or_default();
            }
            let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact_at(buffer.get_mut(..wanted).unwrap_or_default(), offset).at("read", path)?;
            offset += wanted as u64;
            length -= wanted as u64;
            Ok(wanted)
        };
        let result = cutter.cut(FILE, read, |chunk| {
            let hash = self.capture.writer.put(chunk, ChunkKind::Data)?;
            list.push(&hash, self.capture.writer)?;
            self.advance(chunk.len() as u64)
        });
        self.cutter = cutter;
        result
    }

    fn advance(&mut self, bytes: u64) -> Result<()> {
        self.raw_bytes += bytes;
        self.capture.far.done += bytes;
        self.capture.far.total = self.capture.far.total.max(self.capture.far.done);
        (self.capture.progress)(self.capture.far);
        if self.capture.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<TreeRef> {
        let mut lists = [ListRef::default(), ListRef::default()];
        for (stream, stored) in [&self.entries.0, &self.access_times].into_iter().zip(&mut lists) {
            let mut list = ListBuilder::default();
            let writer = &mut *self.capture.writer;
            self.cutter.cut_slice(STREAM, stream, |chunk| {
                let hash = writer.put(chunk, ChunkKind::Meta)?;
                list.push(&hash, writer)
            })?;
            *stored = list.finish(writer)?;
        }
        let [entries, access_times] = lists;
        Ok(TreeRef { entries, access_times, count: self.count, raw_bytes: self.raw_bytes })
    }
}

const ZEROS: [u8; PAGE] = [0; PAGE];

/// The engine's files of memory pages.
fn is_page_file(name: &[u8]) -> bool {
    name.starts_with(b"pages-") && name.ends_with(b".img")
}

/// Where a file has data, and not holes.
fn extents(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut extents = Vec::new();
    let mut position = 0;
    while position < size {
        let data = match seek(file, SeekFrom::Data(position)) {
            // A hole up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            other => other?,
        };
        let end = seek(file, SeekFrom::Hole(data))?.min(size);
        if end <= data {
            break;
        }
        extents.push((data, end - data));
        position = end;
    }
    Ok(extents)
}

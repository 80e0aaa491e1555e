//! The lines of each kind of file: fs/eventfd.c, fs/eventpoll.c, fs/signalfd.c, fs/timerfd.c, fs/notify/fdinfo.c,
//! fs/pidfs.c (kernel/fork.c before 6.9), drivers/tty/tty_io.c.

use std::time::Duration;

use super::{Kind, trimmed};
use crate::process::Signals;
use crate::process::text::{decimal, device, hex, octal, split, words};

/// Something that an epoll watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The descriptor under which it was added; may be closed, or another file's by now.
    pub descriptor: i32,
    /// `EPOLL` events and flags.
    pub events: u32,
    /// What `epoll_wait(2)` gives with an event.
    pub data: u64,
    /// The position of the file, in bytes.
    pub position: i64,
    /// Its inode; all anonymous files share one.
    pub inode: u64,
    /// Device (major, minor) of its file system.
    pub device: (u32, u32),
}

/// A file handle (`name_to_handle_at(2)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Its type, by the file system.
    pub kind: i32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A watch of an inotify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Its number.
    pub number: i32,
    /// The inode.
    pub inode: u64,
    /// Device (major, minor) of its file system.
    pub device: (u32, u32),
    /// `IN_` events and flags.
    pub mask: u32,
    /// The inode's handle; None where the file system has none.
    pub handle: Option<Handle>,
}

/// What a fanotify watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// A file or directory.
    Inode {
        /// The inode.
        inode: u64,
        /// Device (major, minor) of its file system.
        device: (u32, u32),
        /// Its handle; None where the file system has none.
        handle: Option<Handle>,
    },
    /// A mount, by its number.
    Mount(u32),
    /// A file system, by its device.
    FileSystem((u32, u32)),
    /// A mount namespace, by its inode (Linux 6.14).
    MountNamespace(u64),
}

/// A mark of a fanotify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// On what.
    pub on: Marked,
    /// `FAN_MARK_` flags.
    pub flags: u32,
    /// Events.
    pub mask: u64,
    /// Events that are not reported.
    pub ignored: u64,
}

/// Takes a line into `kind`; false for one that no kind here has, None for one that is not of its form.
pub(super) fn line(kind: &mut Kind, line: &[u8]) -> Option<bool> {
    if let Some(rest) = line.strip_prefix(b"inotify ") {
        let watch = watch(rest)?;
        match kind {
            Kind::Inotify(all) => all.push(watch),
            other => *other = Kind::Inotify(vec![watch]),
        }
        return Some(true);
    }
    if let Some(rest) = line.strip_prefix(b"fanotify ") {
        fanotify(kind, &Fields::of(rest)?)?;
        return Some(true);
    }
    let Some((key, value)) = split(line, b':') else { return Some(false) };
    match key {
        b"tfd" => {
            let watched = watched(line)?;
            match kind {
                Kind::Poll(all) => all.push(watched),
                other => *other = Kind::Poll(vec![watched]),
            }
        }
        b"eventfd-count" => *kind = Kind::Event { count: trimmed(value, hex)?, id: None, semaphore: None },
        b"eventfd-id" => {
            let Kind::Event { id, .. } = kind else { return None };
            *id = Some(trimmed(value, decimal)?);
        }
        b"eventfd-semaphore" => {
            let Kind::Event { semaphore, .. } = kind else { return None };
            *semaphore = Some(trimmed(value, decimal::<u8>)? == 1);
        }
        b"sigmask" => *kind = Kind::Signals(Signals(trimmed(value, hex)?)),
        b"clockid" => {
            let clock = trimmed(value, decimal)?;
            *kind = Kind::Timer { clock, ticks: 0, flags: 0, value: Duration::ZERO, interval: Duration::ZERO };
        }
        b"ticks" | b"settime flags" | b"it_value" | b"it_interval" => timer(kind, key, value)?,
        b"Pid" => *kind = Kind::Process { pid: trimmed(value, decimal)?, pids: Vec::new() },
        b"NSpid" => {
            let Kind::Process { pids, .. } = kind else { return None };
            *pids = words(value).map(decimal).collect::<Option<_>>()?;
        }
        b"tty-index" => *kind = Kind::Terminal(trimmed(value, decimal)?),
        _ => return Some(false),
    }
    Some(true)
}

fn timer(kind: &mut Kind, key: &[u8], text: &[u8]) -> Option<()> {
    let Kind::Timer { ticks, flags, value, interval, .. } = kind else { return None };
    match key {
        b"ticks" => *ticks = trimmed(text, decimal)?,
        b"settime flags" => *flags = trimmed(text, octal)?,
        b"it_value" => *value = duration(text)?,
        _ => *interval = duration(text)?,
    }
    Some(())
}

/// `(2, 999933528)`: seconds and nanoseconds.
fn duration(text: &[u8]) -> Option<Duration> {
    let inner = text.trim_ascii().strip_prefix(b"(")?.strip_suffix(b")")?;
    let (seconds, nanoseconds) = split(inner, b',')?;
    let nanoseconds = trimmed(nanoseconds, decimal::<u32>)?;
    (nanoseconds < 1_000_000_000).then(|| Some(Duration::new(decimal(seconds)?, nanoseconds)))?
}

/// `tfd:        6 events: 80000019 data:                6  pos:0 ino:2c3e39 sdev:f`: a blank may stand behind a key.
fn watched(line: &[u8]) -> Option<Watched> {
    let all: Vec<&[u8]> = line.split(|byte| matches!(byte, b' ' | b':')).filter(|word| !word.is_empty()).collect();
    let [b"tfd", descriptor, b"events", events, b"data", data, b"pos", position, b"ino", inode, b"sdev", number] =
        all[..]
    else {
        return None;
    };
    Some(Watched {
        descriptor: decimal(descriptor)?,
        events: hex(events)?,
        data: hex(data)?,
        position: decimal(position)?,
        inode: hex(inode)?,
        device: device(hex(number)?),
    })
}

/// Fields `key:value` with blanks between.
struct Fields<'t>(Vec<(&'t [u8], &'t [u8])>);

impl<'t> Fields<'t> {
    fn of(text: &'t [u8]) -> Option<Self> {
        words(text).map(|word| split(word, b':')).collect::<Option<_>>().map(Self)
    }

    fn get(&self, key: &str) -> Option<&'t [u8]> {
        self.0.iter().find(|(found, _)| *found == key.as_bytes()).map(|(_, value)| *value)
    }

    fn hex<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        hex(self.get(key)?)
    }

    fn device(&self) -> Option<(u32, u32)> {
        self.hex("sdev").map(device)
    }

    /// The handle, where there is one; None for one that is not of its form.
    fn handle(&self) -> Option<Option<Handle>> {
        let Some(text) = self.get("f_handle") else { return Some(None) };
        let bytes = text.chunks(2).map(|pair| hex(pair).filter(|_| pair.len() == 2)).collect::<Option<Vec<u8>>>()?;
        let kind: u32 = self.hex("fhandle-type")?;
        (bytes.len() == self.hex("fhandle-bytes")?).then(|| Some(Handle { kind: kind.cast_signed(), bytes }))
    }
}

/// Numbers are hexadecimal, that of the watch too.
fn watch(rest: &[u8]) -> Option<Watch> {
    let fields = Fields::of(rest)?;
    Some(Watch {
        number: fields.hex::<u32>("wd")?.cast_signed(),
        inode: fields.hex("ino")?,
        device: fields.device()?,
        mask: fields.hex("mask")?,
        handle: fields.handle()?,
    })
}

fn fanotify(kind: &mut Kind, fields: &Fields<'_>) -> Option<()> {
    if fields.get("flags").is_some() {
        let (flags, event_flags) = (fields.hex("flags")?, fields.hex("event-flags")?);
        *kind = Kind::Fanotify { flags, event_flags, marks: Vec::new() };
        return Some(());
    }
    let Kind::Fanotify { marks, .. } = kind else { return None };
    let on = if fields.get("ino").is_some() {
        Marked::Inode { inode: fields.hex("ino")?, device: fields.device()?, handle: fields.handle()? }
    } else if fields.get("mnt_id").is_some() {
        Marked::Mount(fields.hex("mnt_id")?)
    } else if fields.get("mnt_ns").is_some() {
        Marked::MountNamespace(fields.hex("mnt_ns")?)
    } else {
        Marked::FileSystem(fields.device()?)
    };
    let (flags, mask, ignored) = (fields.hex("mflags")?, fields.hex("mask")?, fields.hex("ignored_mask")?);
    marks.push(Mark { on, flags, mask, ignored });
    Some(())
}

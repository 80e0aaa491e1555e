//! The format of process content: what a save writes of processes, and a resume reads.
//!
//! ```text
//! header  magic 8 | format u32 | features u64 | checksum 16
//! frame   kind u16 | version u16 | length u32 | checksum 16 | payload, `length` bytes
//! …
//! region  a frame whose payload says which pages these are | zeros up to a multiple of 4096 | pages, 4096 bytes each
//! …
//! index   a frame: for each region what it is of, its first and last page, and where its frame begins
//! end     a frame of 72 bytes, the last of the stream: frames before it u64 | where the index begins u64 | digest 32
//! ```
//!
//! Numbers of the header, of frames and of the end are little-endian; those in payloads are LEB128.
//!
//! - A frame's checksum is the first 16 bytes of the BLAKE3 of: where it begins in the stream (u64), kind, version, length and
//!   payload. So a frame that was moved or doubled is found. A region's payload holds the same of each page. The digest
//!   is the BLAKE3 of the header's checksum and those of all frames before the end: it stands for the whole stream.
//! - Page N is found without a walk ([`Pages`]): the end has a fixed length, it names the index, the index the region, the
//!   region's runs of pages the place.
//! - Nothing is allocated for a length before it was compared with the bound of its kind ([`Kind`]).
//! - A later release adds fields at the end of a record and counts the kind's version up; it reads earlier versions, whose
//!   missing fields get their defaults. Later versions, kinds and features are refused: what they hold would be lost.
//! - Everything read is hostile: whether the records fit together is checked by [`check::check`].
//!
//! The reader takes any [`std::io::Read`], the writer any [`std::io::Write`]: where content is kept is the store's affair.

pub mod check;
mod error;
mod frame;
pub mod inet;
pub mod ipc;
pub mod memory;
pub mod objects;
mod pages;
pub mod process;
mod reader;
mod region;
pub mod rights;
pub mod sockets;
pub mod terminals;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wire;
mod writer;

pub use error::Error;
pub use frame::Kind;
pub use pages::Pages;
pub use reader::{Item, Reader};
pub use region::{Owner, REGION_PAGES, Region, Run};
pub use wire::{Bytes, List, TooMany};
pub use writer::Writer;

use wire::{Codec, Decoder, Flaw};

/// What content needs of the engine that resumes it, a bit each.
pub mod features {
    /// The registers are those of an x86-64 processor.
    pub const X86_64: u64 = 1;
    /// All that this release knows.
    pub const KNOWN: u64 = X86_64;
}

macro_rules! records {
    ($($number:literal = $name:ident ($type:ty) $shown:literal, version $version:literal, at most $most:expr, $many:expr;)*) => {
        /// A record of any kind.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Record {
            $(#[doc = concat!("Holds ", $shown, ".")] $name(Box<$type>),)*
        }

        impl Record {
            /// The kinds of records; regions, index and end are not among them.
            pub const KINDS: &'static [Kind] = &[
                $(Kind { number: $number, name: $shown, version: $version, most: $most, many: $many },)*
            ];

            /// The kind of this record.
            #[must_use]
            pub fn kind(&self) -> &'static Kind {
                let number = match self { $(Self::$name(_) => $number,)* };
                // The numbers are those of the table above.
                Self::KINDS.iter().find(|kind| kind.number == number).unwrap_or(&Self::KINDS[0])
            }

            fn put(&self, out: &mut Vec<u8>) {
                match self { $(Self::$name(record) => record.put(out),)* }
            }

            /// Reads the payload of a frame of that kind.
            fn take(kind: u16, version: u16, payload: &[u8]) -> Result<Self, Flaw> {
                let mut from = Decoder::new(payload, version);
                let record = match kind {
                    $($number => Self::$name(Box::new(Codec::take(&mut from)?)),)*
                    other => return Err(format!("kind {other} is no record")),
                };
                from.end()?;
                Ok(record)
            }

            /// A record of each kind.
            #[cfg(test)]
            fn samples(dice: &mut testing::Dice) -> Vec<Self> {
                vec![$(Self::$name(Box::new(Codec::sample(dice))),)*]
            }
        }

        $(impl From<$type> for Record {
            fn from(record: $type) -> Self {
                Self::$name(Box::new(record))
            }
        })*
    };
}

const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;

records! {
    1 = Process(process::Process) "a process", version 3, at most 16 * MIB, 65_536;
    2 = Thread(process::Thread) "a thread", version 1, at most 16 * MIB, 262_144;
    3 = SignalActions(process::SignalActions) "signal actions", version 1, at most 4 * KIB, 65_536;
    4 = Timers(process::Timers) "timers", version 1, at most 8 * MIB, 65_536;
    5 = Limits(process::Limits) "limits", version 1, at most KIB, 65_536;
    6 = Credentials(rights::Credentials) "credentials", version 1, at most 512 * KIB, 65_536;
    7 = Namespace(rights::Namespace) "a namespace", version 1, at most 16 * KIB, 16_384;
    8 = Filter(rights::Filter) "a filter", version 1, at most 40 * KIB, 16_384;
    16 = AddressSpace(memory::AddressSpace) "an address space", version 1, at most 8 * KIB, 65_536;
    17 = Mapping(memory::Mapping) "a mapping", version 2, at most MIB, 1_048_576;
    18 = SharedObject(memory::SharedObject) "a shared object", version 3, at most 8 * KIB, 262_144;
    32 = DescriptorTable(objects::DescriptorTable) "a descriptor table", version 2, at most 16 * MIB, 65_536;
    33 = File(objects::FileDescription) "an open file", version 2, at most 2 * MIB, 1_048_576;
    34 = Pipe(objects::Pipe) "a pipe", version 2, at most 2 * MIB, 262_144;
    35 = PipeEnd(objects::PipeEnd) "a pipe's end", version 2, at most KIB, 1_048_576;
    36 = EventFd(objects::EventFd) "an eventfd", version 1, at most KIB, 1_048_576;
    37 = Epoll(objects::Epoll) "an epoll instance", version 1, at most 32 * MIB, 262_144;
    38 = TimerFd(objects::TimerFd) "a timerfd", version 1, at most KIB, 262_144;
    39 = SignalFd(objects::SignalFd) "a signalfd", version 1, at most KIB, 262_144;
    40 = UnixSocket(sockets::UnixSocket) "a Unix socket", version 1, at most 32 * MIB, 262_144;
    41 = PidFd(objects::PidFd) "a pidfd", version 1, at most KIB, 262_144;
    42 = Inotify(objects::Inotify) "an inotify instance", version 1, at most 32 * MIB, 65_536;
    43 = Devpts(terminals::Devpts) "a devpts file system", version 1, at most 8 * KIB, 1024;
    44 = Terminal(terminals::Terminal) "a pseudo-terminal", version 1, at most 32 * MIB, 65_536;
    45 = TerminalEnd(terminals::TerminalEnd) "an end of a pseudo-terminal", version 1, at most 8 * KIB, 1_048_576;
    46 = NetlinkSocket(sockets::NetlinkSocket) "a netlink socket", version 1, at most 64 * KIB, 65_536;
    47 = TcpSocket(inet::TcpSocket) "a TCP socket", version 1, at most 32 * MIB, 262_144;
    48 = UdpSocket(inet::UdpSocket) "a UDP socket", version 1, at most 32 * MIB, 262_144;
    80 = SemaphoreSet(ipc::SemaphoreSet) "a set of semaphores", version 1, at most 4 * MIB, 32_768;
    81 = MessageQueue(ipc::MessageQueue) "a message queue", version 1, at most 32 * MIB, 32_768;
    82 = PosixQueue(ipc::PosixQueue) "a POSIX message queue", version 1, at most 32 * MIB, 65_536;
    83 = PosixQueueEnd(ipc::PosixQueueEnd) "an open POSIX message queue", version 1, at most KIB, 1_048_576;
    84 = IpcLimits(ipc::IpcLimits) "limits of an ipc namespace", version 1, at most KIB, 16_384;
}

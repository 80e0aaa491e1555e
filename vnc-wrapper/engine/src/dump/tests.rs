//! Guests are saved and say themselves what a save must say of them.

mod memory;
mod one;
mod steps;
mod tree;

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};

use libc::pid_t;

use super::{Error, Report, Saved, Session, Then, prepare};
use crate::freeze::Limits;
use crate::record::memory::{AddressSpace, Backing, Mapping, SharedObject};
use crate::record::objects::{Descriptor, DescriptorTable};
use crate::record::process::{Process, Thread};
use crate::record::{Item, Owner, Pages, Reader, Record, check::check};
use crate::remote::tracing;
use crate::sys::guests::{PATIENCE, alone};

/// Loaded machines are slow; how long a freeze takes is no test's matter.
fn patient() -> Limits {
    Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE }
}

/// A save, read back.
struct Save {
    report: Report,
    records: Vec<Record>,
    /// The stream, in a file: guests are forks of this process, and would have it in their memory.
    stream: File,
}

fn save_of(root: pid_t, then: Then) -> Result<Save, Error> {
    save_from(Session::descendants(root), then)
}

fn save_from(session: Session<'_>, then: Then) -> Result<Save, Error> {
    let _alone = alone();
    let stream = BufWriter::new(tempfile::tempfile().unwrap());
    let saved = tracing(|tracer| {
        let frozen = prepare(session, stream)?.freeze(tracer, patient())?;
        frozen.collect()?.release(then)
    })?;
    Ok(read_back(saved.finish()?))
}

/// Reads what was saved.
fn read_back(saved: Saved<BufWriter<File>>) -> Save {
    let mut stream = saved.sink.into_inner().unwrap();
    stream.rewind().unwrap();
    let mut reader = Reader::begin(BufReader::new(&stream)).unwrap();
    let (mut records, mut regions) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Record(record) => records.push(record),
            Item::Region(region) => regions.push((region.owner(), region.runs().to_vec())),
        }
    }
    check(&records, regions.iter().map(|(owner, runs)| (*owner, &runs[..]))).unwrap();
    Save { report: saved.report, records, stream }
}

/// Saves a tree that runs on.
fn save(root: pid_t) -> Save {
    save_of(root, Then::Run).unwrap_or_else(|error| panic!("{error}"))
}

macro_rules! all {
    ($name:ident, $kind:ident, $type:ty) => {
        fn $name(&self) -> Vec<&$type> {
            self.records
                .iter()
                .filter_map(|record| if let Record::$kind(it) = record { Some(&**it) } else { None })
                .collect()
        }
    };
}

impl Save {
    all!(processes, Process, Process);
    all!(threads, Thread, Thread);
    all!(spaces, AddressSpace, AddressSpace);
    all!(mappings, Mapping, Mapping);
    all!(objects, SharedObject, SharedObject);
    all!(tables, DescriptorTable, DescriptorTable);
    all!(timers, Timers, crate::record::process::Timers);
    all!(limits, Limits, crate::record::process::Limits);
    all!(actions, SignalActions, crate::record::process::SignalActions);
    all!(credentials, Credentials, crate::record::rights::Credentials);

    fn process(&self, pid: pid_t) -> &Process {
        self.processes().into_iter().find(|process| process.pids[0] == pid.cast_unsigned()).unwrap()
    }

    fn thread(&self, tid: pid_t) -> &Thread {
        self.threads().into_iter().find(|thread| thread.tids[0] == tid.cast_unsigned()).unwrap()
    }

    /// The mapping of a process at an address.
    fn mapping(&self, pid: pid_t, address: u64) -> &Mapping {
        let space = self.process(pid).space.unwrap();
        let covers = |mapping: &&Mapping| mapping.space == space && (mapping.start..mapping.end).contains(&address);
        self.mappings().into_iter().find(covers).unwrap_or_else(|| panic!("nothing at {address:#x} of {pid}"))
    }

    /// The page of a process at an address, if the save has it: its own, or of the object that is mapped there.
    fn page(&self, pid: pid_t, address: u64) -> Option<[u8; 4096]> {
        let owner = match self.mapping(pid, address) {
            Mapping { backing: Backing::Object { object, offset, private: false }, start, .. } => {
                (Owner::Object(*object), (address - start + offset) / 4096)
            }
            mapping => (Owner::Space(mapping.space), address / 4096),
        };
        self.page_of(owner.0, owner.1)
    }

    /// A page of an owner, by its number.
    fn page_of(&self, owner: Owner, number: u64) -> Option<[u8; 4096]> {
        Pages::open(self.stream.try_clone().unwrap()).unwrap().page(owner, number).unwrap()
    }

    fn descriptors(&self, pid: pid_t) -> &[Descriptor] {
        let table = self.process(pid).table.unwrap();
        &self.tables().into_iter().find(|one| one.id == table).unwrap().descriptors
    }

    /// What a descriptor refers to.
    fn descriptor(&self, pid: pid_t, number: i32) -> &Record {
        let descriptor = self.descriptors(pid).iter().find(|one| one.number == number.cast_unsigned()).unwrap();
        let common = |record: &Record| match record {
            Record::File(it) => Some(it.common.id),
            Record::PipeEnd(it) => Some(it.common.id),
            Record::EventFd(it) => Some(it.common.id),
            Record::Epoll(it) => Some(it.common.id),
            Record::TimerFd(it) => Some(it.common.id),
            Record::SignalFd(it) => Some(it.common.id),
            Record::PidFd(it) => Some(it.common.id),
            Record::Inotify(it) => Some(it.common.id),
            _ => None,
        };
        self.records.iter().find(|record| common(record) == Some(descriptor.description)).unwrap()
    }
}

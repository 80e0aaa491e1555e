//! System V semaphores: each gets its value from who operated on it last.

use crate::ipc::{self, SEMAPHORES, SETVAL};
use crate::record::ipc::SemaphoreSet;
use crate::record::process::Process;
use crate::remote::Call;

use super::super::content::Content;
use super::super::error::{Object, Result};
use super::super::list::List;
use super::super::stub::Stub;
use super::{Maker, new, permissions, was_given_away};

/// Makes a set.
pub(super) fn make(maker: &Maker<'_>, record: &SemaphoreSet) -> Result {
    let wanted = &record.ipc;
    let (object, first) = (Object::Semaphores(wanted.identifier), maker.first);
    let identifier = wanted.identifier as u64;
    let arguments = [wanted.key as u32 as u64, record.semaphores.len() as u64, new(wanted), 0, 0, 0];
    maker.create(first, object, "kernel/sem_next_id", wanted, &Call::new(libc::SYS_semget, arguments))?;
    let mut list = List::new(first);
    if was_given_away(wanted) {
        let bytes = permissions(wanted, SEMAPHORES.length);
        list.with(object, libc::SYS_semctl, &[&bytes], |at| [identifier, 0, libc::IPC_SET as u64, at[0], 0, 0])?;
    }
    if record.operated != 0 {
        // An operation that leaves no trace but its time: who did it is given below.
        let used = record.semaphores.iter().position(|semaphore| semaphore.process != 0).unwrap_or(0) as u32;
        let operations = [ipc::operation(used, 1, 0), ipc::operation(used, -1, 0)].concat();
        list.with(object, libc::SYS_semop, &[&operations], |at| [identifier, at[0], 2, 0, 0, 0])?;
    }
    list.run()?;
    for (number, semaphore) in (0..).zip(record.semaphores.iter()) {
        if semaphore.value == 0 && semaphore.process == 0 {
            continue;
        }
        let by = maker.process(semaphore.process);
        if by.tid != list.stub().tid {
            list.run()?;
            list = List::new(by);
        }
        list.call(object, libc::SYS_semctl, [identifier, number, SETVAL, semaphore.value.into(), 0, 0])?;
    }
    list.run()
}

/// Has processes do to semaphores at their ends what they would have done: after values, whose setting takes that away.
pub(in super::super) fn undo(content: &Content, pairs: &[(&Process, &Stub)]) -> Result {
    for set in &content.semaphores {
        let (object, identifier) = (Object::Semaphores(set.ipc.identifier), set.ipc.identifier as u64);
        for undo in set.undo.iter() {
            let Some((_, stub)) = pairs.iter().find(|(process, _)| process.id == undo.process) else { continue };
            let value = set.semaphores.get(undo.semaphore as usize).map_or(0, |semaphore| semaphore.value as i16);
            let mut operations = ipc::shift(undo.semaphore, undo.adjustment);
            if value > 0 {
                operations.insert(0, ipc::operation(undo.semaphore, -value, 0));
                operations.push(ipc::operation(undo.semaphore, value, 0));
            }
            let (bytes, count) = (operations.concat(), operations.len() as u64);
            let mut list = List::new(stub);
            list.with(object, libc::SYS_semop, &[&bytes], |at| [identifier, at[0], count, 0, 0, 0])?;
            list.run()?;
        }
    }
    Ok(())
}

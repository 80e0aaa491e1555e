//! Users, groups and capabilities of a thread (credentials(7), capabilities(7)).

use std::path::PathBuf;

use crate::record::rights::Credentials;

use super::error::{Object, Result};
use super::list::List;
use super::stub::Stub;

/// `_LINUX_CAPABILITY_VERSION_3` (linux/capability.h).
const VERSION: u32 = 0x2008_0522;
/// SECBIT_NO_SETUID_FIXUP and SECBIT_KEEP_CAPS (linux/securebits.h): changing users takes no capability.
pub(super) const KEEP: u64 = 1 << 2 | 1 << 4;
/// As many groups as a thread can have (NGROUPS_MAX).
const MOST_GROUPS: usize = 65_536;
const PR_CAP_AMBIENT_RAISE: u64 = libc::PR_CAP_AMBIENT_RAISE as u64;

/// What a thread has now, as it sees it.
struct Now {
    users: [u32; 3],
    groups: [u32; 3],
    supplementary: Vec<u32>,
    secure_bits: u32,
}

/// Gives a thread its credentials, the first call that takes a capability first. `before` is done before capabilities go.
pub(super) fn give(stub: &Stub, wanted: &Credentials, before: impl FnOnce() -> Result) -> Result {
    let object = Object::Credentials;
    let status = crate::process::status::read(&PathBuf::from(format!("/proc/{}", stub.tid)));
    let status = status.map_err(|error| stub.failed(object, "read its status", error))?;
    let has = status.capabilities;
    let now = ask(stub)?;
    let mut list = List::new(stub);
    let prctl = |option: libc::c_int, value: u64| [option as u64, value, 0, 0, 0, 0];
    let sets = [wanted.inheritable, wanted.permitted, wanted.effective, wanted.ambient];
    let same = now.users == wanted.users[..3]
        && now.groups == wanted.groups[..3]
        && now.supplementary == wanted.supplementary[..]
        && now.secure_bits == wanted.secure_bits
        && [has.inheritable, has.permitted, has.effective, has.ambient] == sets
        && wanted.users[3] == wanted.users[1]
        && wanted.groups[3] == wanted.groups[1];
    for capability in bits(has.bounding & !wanted.bounding) {
        list.call(object, libc::SYS_prctl, prctl(libc::PR_CAPBSET_DROP, capability))?;
    }
    if !same {
        list.call(object, libc::SYS_prctl, prctl(libc::PR_SET_SECUREBITS, u64::from(wanted.secure_bits) & !15 | KEEP))?;
        if now.supplementary != wanted.supplementary[..] {
            set_groups(&mut list, wanted)?;
        }
        let [real, effective, saved, file] = four(&wanted.groups);
        list.call(object, libc::SYS_setresgid, [real, effective, saved, 0, 0, 0])?;
        list.call(object, libc::SYS_setfsgid, [file, 0, 0, 0, 0, 0])?;
        let [real, effective, saved, file] = four(&wanted.users);
        list.call(object, libc::SYS_setresuid, [real, effective, saved, 0, 0, 0])?;
        list.call(object, libc::SYS_setfsuid, [file, 0, 0, 0, 0, 0])?;
        // Ambient ones have to be inheritable first, and a secure bit forbids them.
        capset(&mut list, has.permitted, has.permitted, wanted.inheritable)?;
        for capability in bits(wanted.ambient) {
            let arguments = [libc::PR_CAP_AMBIENT as u64, PR_CAP_AMBIENT_RAISE, capability, 0, 0, 0];
            list.call(object, libc::SYS_prctl, arguments)?;
        }
        list.call(object, libc::SYS_prctl, prctl(libc::PR_SET_SECUREBITS, wanted.secure_bits.into()))?;
        list.run()?;
        before()?;
        capset(&mut list, wanted.effective, wanted.permitted, wanted.inheritable)?;
    } else {
        before()?;
    }
    if wanted.no_new_privileges {
        list.call(object, libc::SYS_prctl, prctl(libc::PR_SET_NO_NEW_PRIVS, 1))?;
    }
    list.run()
}

/// Gives a process these groups, before it makes what shows them (SO_PEERGROUPS).
pub(super) fn groups(stub: &Stub, wanted: &Credentials) -> Result {
    if ask(stub)?.supplementary == wanted.supplementary[..] {
        return Ok(());
    }
    let mut list = List::new(stub);
    set_groups(&mut list, wanted)?;
    list.run()
}

fn set_groups(list: &mut List<'_>, wanted: &Credentials) -> Result {
    let ids: Vec<u8> = wanted.supplementary.iter().flat_map(|id| id.to_ne_bytes()).collect();
    let count = wanted.supplementary.len() as u64;
    list.with(Object::Credentials, libc::SYS_setgroups, &[&ids], |at| [count, at[0], 0, 0, 0, 0])
}

fn ask(stub: &Stub) -> Result<Now> {
    let object = Object::Credentials;
    let mut list = List::new(stub);
    let three = |at: u64| [at, at + 4, at + 8, 0, 0, 0];
    let (place, room) = (list.place(32)?, vec![0; 4 * MOST_GROUPS]);
    list.with(object, libc::SYS_getresuid, &[&[0; 16]], |at| three(at[0]))?;
    list.with(object, libc::SYS_getresgid, &[&[0; 16]], |at| three(at[0]))?;
    list.run()?;
    let mut bytes = [0; 32];
    stub.read(object, place, &mut bytes)?;
    let ids: Vec<u32> = bytes.chunks_exact(4).map(|id| u32::from_ne_bytes(id.try_into().unwrap_or_default())).collect();
    let call = |number, arguments| stub.call(object, &crate::remote::Call::new(number, arguments));
    let count = call(libc::SYS_getgroups, [MOST_GROUPS as u64, place, 0, 0, 0, 0])?;
    let mut bytes = room;
    bytes.truncate(4 * count as usize);
    stub.read(object, place, &mut bytes)?;
    let supplementary = bytes.chunks_exact(4).map(|id| u32::from_ne_bytes(id.try_into().unwrap_or_default())).collect();
    let secure_bits = call(libc::SYS_prctl, [libc::PR_GET_SECUREBITS as u64, 0, 0, 0, 0, 0])? as u32;
    Ok(Now { users: [ids[0], ids[1], ids[2]], groups: [ids[4], ids[5], ids[6]], supplementary, secure_bits })
}

fn four(ids: &[u32]) -> [u64; 4] {
    [0, 1, 2, 3].map(|at| ids.get(at).copied().unwrap_or(0).into())
}

fn bits(set: u64) -> impl Iterator<Item = u64> {
    (0..64).filter(move |bit| set >> bit & 1 == 1)
}

fn capset(list: &mut List<'_>, effective: u64, permitted: u64, inheritable: u64) -> Result {
    let header = [VERSION.to_ne_bytes(), [0; 4]].concat();
    let halves =
        |shift: u32| [effective, permitted, inheritable].map(|set| ((set >> shift) as u32).to_ne_bytes()).concat();
    let sets = [halves(0), halves(32)].concat();
    list.with(Object::Credentials, libc::SYS_capset, &[&header, &sets], |at| [at[0], at[1], 0, 0, 0, 0])
}

//! The normal form of layers and bases: what is stored of a file is what the session sees of it, and nothing of the machine.
//!
//! Raw layers and bases lie on the disk in a *local* form, in which an overlay can be mounted on them. It differs by who mounts:
//!
//! ```text
//!                                local, root's wrapper            local, a normal user's         stored
//! ids                            a range's, from first_id on      a user namespace's, from 0     as inside, from 0
//! the overlay's own attributes   trusted.overlay.X                user.overlay.X                 trusted.overlay.X
//! a program's user.overlay.X     user.overlay.X                   user.overlay.overlay.X         user.overlay.X
//! names of origins               trusted.freezeframe.name         user.overlay.freezeframe.name  trusted.freezeframe.name
//! capabilities of root inside    version 3, with its id           version 2                      version 2
//! whiteouts                      character device 0:0             the same                       the same
//! names in the index             a file handle                    (no index)                     a hash of that
//! ```
//!
//! A process that is root of a user namespace may make devices 0:0 (vfs_mknod, fs/namei.c, since 5.8) and sees the ids of its
//! namespace in all that it reads. `user.overlay.overlay.*` is how an overlay with `userxattr` keeps what programs name so
//! (fs/overlayfs/xattrs.c, since 6.7; older kernels show it to nobody). Of the overlay's own attributes
//!
//! - `origin` is kept without its value, a file handle: it says that the entry was copied up from the base, from the same path or the
//!   one in `trusted.freezeframe.name`. An overlay with `userxattr` writes it so itself.
//! - `opaque`, `impure`, `protattr` and whatever else is kept as it is. `nlink` counts links of the index, which a normal user's overlay
//!   does not have: it is not laid there. `redirect` and `metacopy`, which no overlay of ours writes, cannot be laid there: refused.
//! - `upper` and `uuid` are of one mount: dropped.
//!
//! Other attributes of `trusted.` and `security.` are of the machine (a session can set none) and dropped, and so are those of a file
//! system, such as `btrfs.compression`. Ids in POSIX ACLs and capabilities (rootid, capabilities(7)) are translated as owners are.
//! What belongs to no id of the session is nobody's (65534), as the session sees it; the host's root, who makes whiteouts, is root.
//!
//! Only the parts of a layer that an overlay was mounted on have its attributes: in all others (`own`, and bases)
//! `user.overlay.*` is a program's. In a base that would mean something to the overlay above it, and is dropped.

use serde::{Deserialize, Serialize};

use crate::hash::ChunkHash;
use crate::tree::{Entry, Kind, Meta};
use crate::wire::Flaw;

/// Ids that a session has.
pub const IDS: u32 = 65536;
/// Who owns what belongs to no id of a namespace (/proc/sys/kernel/overflowuid).
const NOBODY: u32 = 65534;

const TRUSTED: &[u8] = b"trusted.overlay.";
const USER: &[u8] = b"user.overlay.";
const ESCAPED: &[u8] = b"overlay.";
/// The attribute that has the path in the base of what an entry was copied up from, where that is not the entry's.
pub const NAME: &[u8] = b"trusted.freezeframe.name";
/// The same, where only `user.*` can be set: hidden from programs as an attribute of the overlay's.
const USER_NAME: &[u8] = b"user.overlay.freezeframe.name";
const CAPABILITY: &[u8] = b"security.capability";
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// By which names an overlay keeps attributes for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attributes {
    /// `trusted.overlay.*`: root's overlay.
    Trusted,
    /// `user.overlay.*`: an overlay with `userxattr`.
    User,
}

/// How files lie on the disk, as the process sees them that reads or makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// First id of the range that they belong to.
    pub first_id: u32,
    /// How an overlay above them is mounted.
    pub attributes: Attributes,
}

impl Local {
    /// Root's: files belong to the range from `first_id` on.
    pub fn of_root(first_id: u32) -> Self {
        Self { first_id, attributes: Attributes::Trusted }
    }

    /// A normal user's, seen by a process that is root of the user's namespace.
    pub fn of_user() -> Self {
        Self { first_id: 0, attributes: Attributes::User }
    }

    fn inside(self, id: u32) -> u32 {
        match id.checked_sub(self.first_id).filter(|inside| *inside < IDS) {
            Some(inside) => inside,
            None if id == 0 => 0,
            None => NOBODY,
        }
    }

    fn outside(self, id: u32) -> Result<u32, Flaw> {
        let known = Some(id).filter(|id| *id < IDS).and_then(|id| id.checked_add(self.first_id));
        known.ok_or_else(|| format!("something in it belongs to the id {id}, which no session has"))
    }
}

/// What a tree is to an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Layer,
    Base,
}

/// What a part of a tree is to an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Not decided: the root of a layer.
    Top,
    /// The upper directory.
    Upper,
    /// The index.
    Index,
    /// Files that no overlay was above.
    Plain,
    /// What is below an overlay.
    Base,
}

impl Part {
    /// That of the root of a tree.
    pub(crate) fn of(what: What) -> Self {
        match what {
            What::Layer => Self::Top,
            What::Base => Self::Base,
        }
    }

    /// That of a directory of this name in a directory of this part.
    pub(crate) fn below(self, name: &[u8]) -> Self {
        match (self, name) {
            (Self::Top, b"upper") => Self::Upper,
            (Self::Top, b"index") => Self::Index,
            (Self::Top, _) => Self::Plain,
            (other, _) => other,
        }
    }

    fn is_of_overlay(self) -> bool {
        matches!(self, Self::Upper | Self::Index)
    }
}

/// The stored name of an entry in a directory of this part. That of an index entry is a handle of one disk; what it is of is found by
/// the origin of the file.
pub(crate) fn stored_name(part: Part, name: &[u8]) -> Vec<u8> {
    if part != Part::Index {
        return name.to_vec();
    }
    let hash = ChunkHash::of(name).to_string();
    hash.get(..32).unwrap_or(&hash).as_bytes().to_vec()
}

/// Brings what belongs to an entry from the local form into the stored one.
///
/// # Errors
/// The text says what is wrong with an attribute.
pub(crate) fn normalise(meta: &mut Meta, part: Part, here: Local) -> Result<(), Flaw> {
    (meta.uid, meta.gid) = (here.inside(meta.uid), here.inside(meta.gid));
    let mut kept = Vec::new();
    for (name, value) in std::mem::take(&mut meta.attributes) {
        kept.extend(normal(name, value, part, here)?);
    }
    kept.sort_unstable();
    meta.attributes = kept;
    Ok(())
}

type Attribute = (Vec<u8>, Vec<u8>);
/// The value of an attribute; none where there is to be none.
type Value = Option<Vec<u8>>;

fn joined(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    [prefix, rest].concat()
}

fn normal(name: Vec<u8>, value: Vec<u8>, part: Part, here: Local) -> Result<Option<Attribute>, Flaw> {
    if part.is_of_overlay() {
        let own = match here.attributes {
            Attributes::Trusted => TRUSTED,
            Attributes::User => USER,
        };
        if name == USER_NAME && here.attributes == Attributes::User {
            return Ok(Some((NAME.to_vec(), value)));
        }
        if let Some(rest) = name.strip_prefix(own) {
            return Ok(match rest {
                b"upper" | b"uuid" => None,
                b"origin" => Some((joined(TRUSTED, rest), Vec::new())),
                // What a program of the host's has set, which no session sees.
                _ if rest.starts_with(ESCAPED) && own == TRUSTED => None,
                _ if rest.starts_with(ESCAPED) => {
                    Some((joined(USER, rest.strip_prefix(ESCAPED).unwrap_or(rest)), value))
                }
                _ => Some((joined(TRUSTED, rest), value)),
            });
        }
        if name == NAME {
            return Ok(Some((name, value)));
        }
    }
    common(name, value, part, &|id| Ok(here.inside(id)), &|value| inside_capability(value, here))
}

/// Attributes that are not the overlay's.
fn common(
    name: Vec<u8>,
    value: Vec<u8>,
    part: Part,
    id: &dyn Fn(u32) -> Result<u32, Flaw>,
    capability: &dyn Fn(&[u8]) -> Result<Value, Flaw>,
) -> Result<Option<Attribute>, Flaw> {
    if name.starts_with(b"user.") {
        return Ok(Some((name, value)).filter(|(name, _)| part != Part::Base || !name.starts_with(USER)));
    }
    if ACLS.contains(&name.as_slice()) {
        return Ok(Some((name, with_ids(&value, id)?)));
    }
    if name == CAPABILITY {
        return Ok(capability(&value)?.map(|value| (name, value)));
    }
    Ok(None)
}

/// An ACL (linux/posix_acl_xattr.h) with other ids.
fn with_ids(acl: &[u8], map: &dyn Fn(u32) -> Result<u32, Flaw>) -> Result<Vec<u8>, Flaw> {
    const VERSION: [u8; 4] = 2u32.to_le_bytes();
    /// ACL_USER and ACL_GROUP.
    const WITH_ID: [u16; 2] = [0x02, 0x08];
    let malformed = || "an ACL in it is malformed".to_owned();
    let (version, entries) = acl.split_first_chunk::<4>().ok_or_else(malformed)?;
    if *version != VERSION || entries.len() % 8 != 0 {
        return Err(malformed());
    }
    let mut out = acl.to_vec();
    for entry in out.get_mut(4..).unwrap_or_default().chunks_exact_mut(8) {
        let [t0, t1, _, _, id @ ..] = entry else { continue };
        if WITH_ID.contains(&u16::from_le_bytes([*t0, *t1])) {
            let old = id.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            id.copy_from_slice(&map(old)?.to_le_bytes());
        }
    }
    Ok(out)
}

/// Length of `struct vfs_cap_data` and of `struct vfs_ns_cap_data` (linux/capability.h), and their revisions.
const CAPABILITY_2: usize = 20;
const CAPABILITY_3: usize = 24;
const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;

/// The id of the root that a capability is of, and the capability without it. Version 2 is of the root of who reads it.
fn parse_capability(value: &[u8]) -> Result<(Option<u32>, [u8; CAPABILITY_2]), Flaw> {
    let malformed = || "a capability in it is malformed".to_owned();
    let (plain, rest) = value.split_first_chunk::<CAPABILITY_2>().ok_or_else(malformed)?;
    let (magic, _) = plain.split_first_chunk::<4>().ok_or_else(malformed)?;
    let magic = u32::from_le_bytes(*magic);
    match (magic & REVISION_MASK, <[u8; 4]>::try_from(rest)) {
        (REVISION_2, _) if rest.is_empty() => Ok((None, *plain)),
        (REVISION_3, Ok(id)) => {
            let mut plain = *plain;
            let revised = magic & !REVISION_MASK | REVISION_2;
            plain.first_chunk_mut::<4>().ok_or_else(malformed)?.copy_from_slice(&revised.to_le_bytes());
            Ok((Some(u32::from_le_bytes(id)), plain))
        }
        _ => Err(malformed()),
    }
}

/// The capability of the root with that id.
fn capability_of(plain: &[u8; CAPABILITY_2], id: u32) -> Vec<u8> {
    let mut value = Vec::with_capacity(CAPABILITY_3);
    let magic = plain.first_chunk::<4>().map_or(0, |magic| u32::from_le_bytes(*magic));
    value.extend_from_slice(&(magic & !REVISION_MASK | REVISION_3).to_le_bytes());
    value.extend_from_slice(plain.get(4..).unwrap_or_default());
    value.extend_from_slice(&id.to_le_bytes());
    value
}

/// None for one that has no meaning in the session.
fn inside_capability(value: &[u8], here: Local) -> Result<Value, Flaw> {
    let (root, plain) = parse_capability(value)?;
    // Without an id it is of who reads: of the host's root, where the ids inside begin elsewhere.
    let root = root.unwrap_or(0);
    Ok(match root.checked_sub(here.first_id) {
        Some(0) => Some(plain.to_vec()),
        Some(inside) if inside < IDS => Some(capability_of(&plain, inside)),
        _ => None,
    })
}

fn outside_capability(value: &[u8], here: Local) -> Result<Value, Flaw> {
    let (root, plain) = parse_capability(value)?;
    let root = here.outside(root.unwrap_or(0))?;
    Ok(Some(if root == 0 { plain.to_vec() } else { capability_of(&plain, root) }))
}

/// The value of an attribute, with `shift` added to every id in it, modulo 2^32.
///
/// # Errors
/// The text says what is wrong with the value.
pub fn shift_ids(name: &[u8], value: &[u8], shift: u32) -> Result<Vec<u8>, String> {
    if ACLS.contains(&name) {
        return with_ids(value, &|id| Ok(id.wrapping_add(shift)));
    }
    if name == CAPABILITY
        && let (Some(root), plain) = parse_capability(value)?
    {
        return Ok(capability_of(&plain, root.wrapping_add(shift)));
    }
    Ok(value.to_vec())
}

/// A tree's entries on their way to a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lay {
    pub(crate) what: What,
    /// How they were stored by a release that stored them as they lay; none: in the normal form.
    pub(crate) from: Option<Local>,
    /// How they are to lie.
    pub(crate) to: Local,
}

/// Brings the entries of a tree from the stored form into the local one.
///
/// # Errors
/// The text says what cannot be laid.
pub(crate) fn localise(entries: &mut [Entry], lay: Lay) -> Result<(), Flaw> {
    let mut parts: Vec<Part> = Vec::new();
    for entry in entries {
        if entry.kind == Kind::End {
            parts.pop();
            continue;
        }
        let around = parts.last().copied();
        let part = around.map_or(Part::of(lay.what), |around| around.below(&entry.name));
        if entry.kind == Kind::Directory {
            parts.push(part);
        }
        if entry.kind == Kind::Link {
            continue;
        }
        let named = |flaw: Flaw| format!("{flaw} ({:?})", String::from_utf8_lossy(&entry.name));
        if let Some(from) = lay.from {
            normalise(&mut entry.meta, part, from).map_err(named)?;
        }
        let plain = matches!(entry.kind, Kind::Directory | Kind::File { .. });
        let meta = &mut entry.meta;
        let owners = lay.to.outside(meta.uid).and_then(|uid| Ok((uid, lay.to.outside(meta.gid)?)));
        (meta.uid, meta.gid) = owners.map_err(named)?;
        let mut laid = Vec::new();
        for (name, value) in std::mem::take(&mut meta.attributes) {
            laid.extend(local(name, value, part, plain, lay.to).map_err(named)?);
        }
        laid.sort_unstable();
        meta.attributes = laid;
    }
    Ok(())
}

/// `plain`: whether it is of a file or directory, and not of what can have no attribute of a user's (xattr(7)).
fn local(name: Vec<u8>, value: Vec<u8>, part: Part, plain: bool, here: Local) -> Result<Option<Attribute>, Flaw> {
    if part.is_of_overlay() {
        let by_user = here.attributes == Attributes::User;
        if let Some(rest) = name.strip_prefix(TRUSTED) {
            let value = if rest == b"origin" { Vec::new() } else { value };
            return match rest {
                b"redirect" | b"metacopy" if by_user => Err(format!(
                    "it has something that was moved by an overlay of another kind ({}): only root can resume it",
                    String::from_utf8_lossy(rest)
                )),
                b"upper" | b"uuid" => Ok(None),
                _ if rest.starts_with(ESCAPED) || by_user && (!plain || rest == b"nlink") => Ok(None),
                _ if by_user => Ok(Some((joined(USER, rest), value))),
                _ => Ok(Some((name, value))),
            };
        }
        if name == NAME {
            let name = if by_user { USER_NAME.to_vec() } else { name };
            return Ok(Some((name, value)).filter(|_| plain || !by_user));
        }
        if let Some(rest) = name.strip_prefix(USER).filter(|_| by_user) {
            return Ok(Some((joined(USER, &joined(ESCAPED, rest)), value)));
        }
    }
    common(name, value, part, &|id| here.outside(id), &|value| outside_capability(value, here))
}

#[cfg(test)]
mod tests;

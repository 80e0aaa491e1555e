//! What is different in the files of two snapshots, by their stored trees: no file is read or laid out.
//!
//! A layer holds what differs from the base. So a file that only one layer has was changed rather than added or removed
//! where the base has it too; a whiteout (a character device 0:0, as overlayfs has it) is a removed file. Directories are
//! not told of, but for one that was removed whole; neither are times and attributes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2, statat};

use crate::error::Result;
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::pack::ChunkReader;
use crate::tree::{Entry, Kind, unfold};

/// What happened to a file from the first snapshot to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is only in the second.
    Added,
    /// It is only in the first.
    Removed,
    /// It is in both, and not the same.
    Changed,
}

impl Change {
    /// `added`, `removed` or `changed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// From the root of the session, without a slash before it; any bytes.
    pub path: Vec<u8>,
    /// What happened to it.
    pub change: Change,
    /// Its size in bytes in the second snapshot; of a removed one, in the first.
    pub bytes: u64,
}

/// What the overlay's upper directory is called in a stored layer, of which all else is the overlay's own.
const UPPER: &[u8] = b"upper/";

/// The files of a layer by path.
type Files = BTreeMap<Vec<u8>, Entry>;

impl Store {
    /// The files that differ from the first snapshot to the second, by path.
    ///
    /// # Errors
    /// [`crate::Error::Committing`] when one is not packed yet, [`crate::Error::NotFound`], or what is damaged.
    pub fn compare(&self, first: &SnapshotId, second: &SnapshotId) -> Result<Vec<FileChange>> {
        let mut reader = self.chunk_reader()?;
        let before = self.files_of(first, &mut reader)?;
        let after = self.files_of(second, &mut reader)?;
        let (base_before, base_after) = (self.base_of(first)?, self.base_of(second)?);
        Ok(differences(&before, &after, &|path| size_in(base_before.as_ref(), path), &|path| {
            size_in(base_after.as_ref(), path)
        }))
    }

    fn files_of(&self, id: &SnapshotId, reader: &mut ChunkReader) -> Result<Files> {
        let content = self.content(id)?;
        let mut entries = unfold(&content.layer, reader, &self.content_path(id))?;
        // The two may have been made with different id ranges.
        let manifest = self.manifest(id)?;
        let first =
            manifest.first_id.or_else(|| Some(self.base(&manifest.base).ok()?.first_id)).filter(|_| !content.normal);
        let first = first.unwrap_or(0);
        for entry in &mut entries {
            (entry.meta.uid, entry.meta.gid) = (inside(entry.meta.uid, first), inside(entry.meta.gid, first));
        }
        let stored = files(entries);
        Ok(stored.into_iter().filter_map(|(path, entry)| Some((path.strip_prefix(UPPER)?.to_vec(), entry))).collect())
    }

    /// The base's root directory; none when it is not here.
    fn base_of(&self, id: &SnapshotId) -> Result<Option<OwnedFd>> {
        let root = self.base_dir(&self.manifest(id)?.base)?.join("root");
        Ok(File::open(root).ok().map(OwnedFd::from))
    }
}

/// Bytes of a file in the base; none when it has none there. No symbolic link of the base is followed: it may lead anywhere.
fn size_in(base: Option<&OwnedFd>, path: &[u8]) -> Option<u64> {
    let (parent, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (path.get(..slash)?, path.get(slash + 1..)?),
        None => (b".".as_slice(), path),
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat2(base?, parent, flags, Mode::empty(), resolve).ok()?;
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Some(if is_file { stat.st_size.max(0).cast_unsigned() } else { 0 })
}

/// Everything but directories, by path.
fn files(entries: Vec<Entry>) -> Files {
    let mut files = Files::new();
    // Paths of the first names of hard-linked files, by the number of their group less one.
    let mut groups: Vec<Vec<u8>> = Vec::new();
    let mut directory: Vec<Vec<u8>> = Vec::new();
    for entry in entries {
        if entry.kind == Kind::End {
            directory.pop();
            continue;
        }
        let mut path = directory.iter().filter(|name| !name.is_empty()).fold(Vec::new(), |mut path, name| {
            path.extend_from_slice(name);
            path.push(b'/');
            path
        });
        path.extend_from_slice(&entry.name);
        match &entry.kind {
            Kind::Directory => directory.push(entry.name),
            Kind::Link => {
                let of = usize::try_from(entry.group).ok().and_then(|group| groups.get(group.checked_sub(1)?));
                if let Some(first) = of.and_then(|first| files.get(first)).cloned() {
                    files.insert(path, first);
                }
            }
            _ => {
                if entry.group != 0 {
                    groups.push(path.clone());
                }
                files.insert(path, entry);
            }
        }
    }
    files
}

/// The id that a session has for one of the range from `first` on; what is not of the range (the overlay's whiteouts) stays.
fn inside(id: u32, first: u32) -> u32 {
    const IDS: u32 = 65536;
    id.checked_sub(first).filter(|inside| *inside < IDS).unwrap_or(id)
}

fn is_whiteout(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Character { major: 0, minor: 0 })
}

fn size(entry: &Entry) -> u64 {
    if let Kind::File { size, .. } = entry.kind { size } else { 0 }
}

fn same(a: &Entry, b: &Entry) -> bool {
    (&a.kind, a.meta.mode, a.meta.uid, a.meta.gid) == (&b.kind, b.meta.mode, b.meta.uid, b.meta.gid)
}

/// `in_first` and `in_second` answer the bytes of a file in the base of the first or second snapshot.
fn differences(
    before: &Files,
    after: &Files,
    in_first: &dyn Fn(&[u8]) -> Option<u64>,
    in_second: &dyn Fn(&[u8]) -> Option<u64>,
) -> Vec<FileChange> {
    let mut paths: Vec<&Vec<u8>> = before.keys().chain(after.keys().filter(|p| !before.contains_key(*p))).collect();
    paths.sort_unstable();
    let mut changes = Vec::new();
    for path in paths {
        let (old, new) = (before.get(path), after.get(path));
        if let (Some(old), Some(new)) = (old, new)
            && same(old, new)
        {
            continue;
        }
        // What the session sees there: its layer first, and the base below it.
        let seen = |entry: Option<&Entry>, base: &dyn Fn(&[u8]) -> Option<u64>| match entry {
            Some(entry) if is_whiteout(entry) => None,
            Some(entry) => Some(size(entry)),
            None => base(path),
        };
        let (change, bytes) = match (seen(old, in_first), seen(new, in_second)) {
            (None, None) => continue,
            (None, Some(bytes)) => (Change::Added, bytes),
            (Some(bytes), None) => (Change::Removed, bytes),
            (Some(_), Some(bytes)) => (Change::Changed, bytes),
        };
        changes.push(FileChange { path: path.clone(), change, bytes });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{ListRef, Meta};

    fn entry(name: &str, kind: Kind, group: u64) -> Entry {
        Entry { name: name.into(), kind, group, meta: Meta::default() }
    }

    fn file(name: &str, size: u64) -> Entry {
        entry(name, Kind::File { size, extents: vec![], chunks: ListRef::default() }, 0)
    }

    fn layer(inside: Vec<Entry>) -> Files {
        let mut all = vec![entry("", Kind::Directory, 0)];
        all.extend(inside);
        all.push(Entry::end());
        files(all)
    }

    #[test]
    fn files_are_told_by_what_the_session_sees_there() {
        let whiteout = |name: &str| entry(name, Kind::Character { major: 0, minor: 0 }, 0);
        let before = layer(vec![
            entry("d", Kind::Directory, 0),
            file("both", 1),
            file("gone", 2),
            Entry::end(),
            file("grown", 3),
            file("hidden", 4),
            whiteout("never"),
            whiteout("returns"),
        ]);
        let after = layer(vec![
            entry("d", Kind::Directory, 0),
            file("both", 1),
            file("new", 5),
            Entry::end(),
            file("grown", 30),
            whiteout("hidden"),
            file("of-base", 6),
            file("returns", 7),
            whiteout("was-base"),
        ]);
        let base = |path: &[u8]| [b"of-base".as_slice(), b"was-base"].contains(&path).then_some(9);
        let told: Vec<_> = differences(&before, &after, &base, &base)
            .into_iter()
            .map(|c| (String::from_utf8(c.path).unwrap(), c.change.as_str(), c.bytes))
            .collect();
        let expected = [
            ("d/gone", "removed", 2),
            ("d/new", "added", 5),
            ("grown", "changed", 30),
            ("hidden", "removed", 4),
            ("of-base", "changed", 6),
            ("returns", "added", 7),
            ("was-base", "removed", 9),
        ];
        assert_eq!(told, expected.map(|(path, change, bytes)| (path.to_owned(), change, bytes)));
        assert_eq!(differences(&after, &after, &base, &base), []);
    }

    #[test]
    fn issue_9_6_links_of_a_base_lead_nowhere() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        std::fs::create_dir_all(root.join("usr/lib")).unwrap();
        std::fs::write(root.join("usr/lib/x"), "four").unwrap();
        std::fs::write(scratch.path().join("secret"), "seven77").unwrap();
        std::os::unix::fs::symlink(scratch.path(), root.join("lib")).unwrap();
        let root = OwnedFd::from(File::open(root).unwrap());
        assert_eq!(size_in(Some(&root), b"usr/lib/x"), Some(4));
        assert_eq!(size_in(Some(&root), b"lib/secret"), None);
        assert_eq!(size_in(Some(&root), b"lib"), Some(0));
        assert_eq!(size_in(None, b"lib"), None);
    }

    #[test]
    fn every_name_of_a_file_is_one() {
        let mut first = file("a", 1);
        first.group = 1;
        let all = layer(vec![first, entry("b", Kind::Link, 1)]);
        assert_eq!(all.keys().map(Vec::as_slice).collect::<Vec<_>>(), [b"a", b"b"]);
        let told = differences(&Files::new(), &all, &|_| None, &|_| None);
        assert_eq!(told.iter().map(|c| c.bytes).collect::<Vec<_>>(), [1, 1]);
    }
}

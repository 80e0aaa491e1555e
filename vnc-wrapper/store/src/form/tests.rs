//! There and back, for every attribute and every kind of entry.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::tree::ListRef;

const FIRST: u32 = 0x6FFF_0000;
const ROOT: Local = Local { first_id: FIRST, attributes: Attributes::Trusted };
const USER_HERE: Local = Local { first_id: 0, attributes: Attributes::User };

fn meta(uid: u32, gid: u32, attributes: &[(&str, &[u8])]) -> Meta {
    let mut attributes: Vec<_> = attributes.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.to_vec())).collect();
    attributes.sort();
    Meta { uid, gid, attributes, ..Meta::default() }
}

/// What is stored of it.
fn stored(mut meta: Meta, part: Part, here: Local) -> Meta {
    normalise(&mut meta, part, here).unwrap();
    meta
}

fn file() -> Kind {
    Kind::File { size: 0, extents: Vec::new(), chunks: ListRef::default() }
}

fn entry(name: &str, kind: Kind, meta: Meta) -> Entry {
    Entry { name: name.into(), kind, group: 0, meta }
}

/// What is laid of it, in that part of a layer.
fn laid(meta: Meta, part: &str, kind: Kind, to: Local) -> Result<Meta, Flaw> {
    let directory = |name: &str| entry(name, Kind::Directory, Meta::default());
    let is_directory = kind == Kind::Directory;
    let mut entries = vec![directory(""), directory(part), entry("entry", kind, meta)];
    entries.extend((0..2 + u32::from(is_directory)).map(|_| Entry::end()));
    localise(&mut entries, Lay { what: What::Layer, from: None, to })?;
    Ok(entries.swap_remove(2).meta)
}

fn acl(uid: u32, gid: u32) -> Vec<u8> {
    let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &6u16.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    [2u32.to_le_bytes().to_vec(), entry(1, none), entry(2, uid), entry(4, none), entry(8, gid), entry(16, none)]
        .concat()
}

fn capability(root: Option<u32>) -> Vec<u8> {
    let magic: u32 = if root.is_some() { 0x0300_0001 } else { 0x0200_0001 };
    let words = [magic, 1, 2, 3, 4];
    words.into_iter().chain(root).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn every_attribute_of_roots_layer_is_stored_without_what_is_of_the_machine() {
    let handle = [0, 0xfb, 29, 0, 1];
    let of_root = meta(
        FIRST + 1000,
        FIRST,
        &[
            ("trusted.overlay.origin", &handle),
            ("trusted.overlay.opaque", b"y"),
            ("trusted.overlay.impure", b"y"),
            ("trusted.overlay.protattr", b"ia"),
            ("trusted.overlay.nlink", b"U+0"),
            ("trusted.overlay.uuid", &[7; 16]),
            ("trusted.overlay.upper", &handle),
            ("trusted.overlay.overlay.opaque", b"hidden"),
            ("trusted.freezeframe.name", b"etc/issue"),
            ("trusted.other", b"of the host"),
            ("security.selinux", b"of the host"),
            ("security.capability", &capability(Some(FIRST))),
            ("system.posix_acl_access", &acl(FIRST + 5, FIRST + 6)),
            ("btrfs.compression", b"zstd"),
            ("user.overlay.opaque", b"a program's"),
            ("user.overlay.overlay.opaque", b"a program's too"),
            ("user.note", b"x"),
        ],
    );
    let normal = meta(
        1000,
        0,
        &[
            ("trusted.overlay.origin", b""),
            ("trusted.overlay.opaque", b"y"),
            ("trusted.overlay.impure", b"y"),
            ("trusted.overlay.protattr", b"ia"),
            ("trusted.overlay.nlink", b"U+0"),
            ("trusted.freezeframe.name", b"etc/issue"),
            ("security.capability", &capability(None)),
            ("system.posix_acl_access", &acl(5, 6)),
            ("user.overlay.opaque", b"a program's"),
            ("user.overlay.overlay.opaque", b"a program's too"),
            ("user.note", b"x"),
        ],
    );
    assert_eq!(stored(of_root, Part::Upper, ROOT), normal);
    let of_user = meta(
        1000,
        0,
        &[
            ("user.overlay.origin", b""),
            ("user.overlay.opaque", b"y"),
            ("user.overlay.impure", b"y"),
            ("user.overlay.protattr", b"ia"),
            ("user.overlay.freezeframe.name", b"etc/issue"),
            ("security.capability", &capability(None)),
            ("system.posix_acl_access", &acl(5, 6)),
            ("user.overlay.overlay.opaque", b"a program's"),
            ("user.overlay.overlay.overlay.opaque", b"a program's too"),
            ("user.note", b"x"),
        ],
    );
    assert_eq!(laid(normal.clone(), "upper", file(), USER_HERE).unwrap(), of_user);
    let without_count = Meta {
        attributes: normal.attributes.iter().filter(|(name, _)| name != b"trusted.overlay.nlink").cloned().collect(),
        ..normal
    };
    assert_eq!(stored(of_user, Part::Upper, USER_HERE), without_count);
}

#[test]
fn beside_the_overlay_its_names_are_a_programs() {
    let given = meta(
        FIRST,
        FIRST,
        &[("user.overlay.opaque", b"y"), ("user.overlay.overlay.x", b"z"), ("trusted.overlay.opaque", b"y")],
    );
    let normal = meta(0, 0, &[("user.overlay.opaque", b"y"), ("user.overlay.overlay.x", b"z")]);
    assert_eq!(stored(given, Part::Plain, ROOT), normal);
    assert_eq!(laid(normal.clone(), "own", file(), USER_HERE).unwrap(), normal);
    // In a base they would be the overlay's.
    assert_eq!(stored(normal, Part::Base, USER_HERE), meta(0, 0, &[]));
}

#[test]
fn capabilities_are_of_the_root_that_they_were_made_for() {
    let through = |value: Vec<u8>| {
        let normal = stored(meta(FIRST, FIRST, &[("security.capability", &value)]), Part::Upper, ROOT);
        normal.attributes.into_iter().map(|(_, value)| value).next()
    };
    assert_eq!(through(capability(Some(FIRST))), Some(capability(None)));
    assert_eq!(through(capability(Some(FIRST + 9))), Some(capability(Some(9))));
    // One of the host's root, or of another session's, has no power there.
    assert_eq!(through(capability(None)), None);
    assert_eq!(through(capability(Some(FIRST + IDS))), None);
    let back =
        |value: &[u8], to| laid(meta(0, 0, &[("security.capability", value)]), "own", file(), to).unwrap().attributes;
    for (inside, outside) in [(None, FIRST), (Some(9), FIRST + 9)] {
        assert_eq!(back(&capability(inside), ROOT)[0].1, capability(Some(outside)));
        assert_eq!(back(&capability(inside), USER_HERE)[0].1, capability(inside));
    }
    let mut short = meta(0, 0, &[("security.capability", &[1; 7])]);
    assert!(normalise(&mut short, Part::Upper, ROOT).is_err());
}

#[test]
fn what_belongs_to_nobody_of_the_session_is_nobodys() {
    let owners = |uid, gid| {
        let meta = stored(meta(uid, gid, &[]), Part::Upper, ROOT);
        (meta.uid, meta.gid)
    };
    assert_eq!(owners(0, FIRST + 65535), (0, 65535));
    assert_eq!(owners(1000, FIRST + IDS), (NOBODY, NOBODY));
    // An id that no session has comes from somebody else.
    assert!(laid(meta(IDS, 0, &[]), "upper", file(), ROOT).is_err());
    let acl = acl(IDS, 0);
    assert!(laid(meta(0, 0, &[("system.posix_acl_access", &acl)]), "upper", file(), ROOT).is_err());
    assert!(laid(meta(9, 0, &[]), "upper", file(), Local::of_root(u32::MAX - 8)).is_err());
}

#[test]
fn what_a_normal_users_overlay_cannot_have_is_refused_and_what_it_needs_not_dropped() {
    for name in ["trusted.overlay.redirect", "trusted.overlay.metacopy"] {
        let of_root = meta(0, 0, &[(name, b"/elsewhere")]);
        assert!(
            laid(of_root.clone(), "upper", Kind::Directory, USER_HERE).unwrap_err().contains("only root"),
            "{name}"
        );
        assert_eq!(laid(of_root.clone(), "upper", Kind::Directory, Local::of_root(0)).unwrap(), of_root);
    }
    // Nothing but files and directories has an attribute of a user's.
    let copied = meta(0, 0, &[("trusted.overlay.origin", b""), ("trusted.freezeframe.name", b"x")]);
    for kind in [Kind::Symlink(b"x".to_vec()), Kind::Fifo, Kind::Socket, Kind::Character { major: 0, minor: 0 }] {
        assert_eq!(laid(copied.clone(), "upper", kind.clone(), USER_HERE).unwrap(), meta(0, 0, &[]));
        assert_eq!(laid(copied.clone(), "upper", kind, Local::of_root(0)).unwrap(), copied);
    }
}

#[test]
fn an_index_entry_has_no_handle_for_a_name() {
    let one = stored_name(Part::Index, b"00fb1d0081aa");
    assert!(one.len() == 32 && one != stored_name(Part::Index, b"00fb1d0081ab"), "{one:?}");
    assert_eq!(one, stored_name(Part::Index, b"00fb1d0081aa"));
    assert_eq!(stored_name(Part::Upper, b"00fb"), b"00fb");
    assert_eq!(Part::of(What::Layer).below(b"index").below(b"x"), Part::Index);
    assert_eq!(Part::of(What::Layer).below(b"own").below(b"upper"), Part::Plain);
    assert_eq!(Part::of(What::Base).below(b"upper"), Part::Base);
}

#[test]
fn ids_in_attributes_are_shifted() {
    let shift = 1000u32.wrapping_sub(FIRST);
    assert_eq!(shift_ids(ACLS[0], &acl(FIRST, FIRST + 1), shift).unwrap(), acl(1000, 1001));
    assert_eq!(shift_ids(CAPABILITY, &capability(Some(FIRST)), shift).unwrap(), capability(Some(1000)));
    assert_eq!(shift_ids(CAPABILITY, &capability(None), shift).unwrap(), capability(None));
    assert_eq!(shift_ids(b"user.x", b"y", shift).unwrap(), b"y");
    assert!(shift_ids(ACLS[0], &[2, 0, 0, 0, 1], shift).is_err());
}

/// Attributes as they are stored, without those that only root's overlay has.
fn attribute() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let id = 0..IDS;
    prop_oneof![
        prop_oneof![Just("opaque"), Just("impure"), Just("protattr"), Just("whiteout")].prop_flat_map(|own| vec(
            any::<u8>(),
            0..4
        )
        .prop_map(move |v| ([TRUSTED, own.as_bytes()].concat(), v))),
        Just((b"trusted.overlay.origin".to_vec(), Vec::new())),
        vec(any::<u8>(), 1..9).prop_map(|value| (NAME.to_vec(), value)),
        ("user\\.(overlay\\.){0,3}[a-z]{1,5}", vec(any::<u8>(), 0..9)).prop_map(|(n, v)| (n.into_bytes(), v)),
        (0..2usize, id.clone(), id.clone()).prop_map(|(n, uid, gid)| (ACLS[n].to_vec(), acl(uid, gid))),
        proptest::option::of(1..IDS).prop_map(|root| (CAPABILITY.to_vec(), capability(root))),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Directory),
        Just(file()),
        Just(Kind::Symlink(b"x".to_vec())),
        Just(Kind::Character { major: 0, minor: 0 }),
        Just(Kind::Fifo),
        Just(Kind::Socket),
    ]
}

proptest! {
    /// Stored, laid by root or a user, and stored again it is the same, in every part and of every kind.
    #[test]
    fn there_and_back(
        uid in 0..IDS,
        gid in 0..IDS,
        first in 1..u32::MAX - IDS,
        given in vec(attribute(), 0..9),
        part in prop_oneof![Just("upper"), Just("index"), Just("own")],
        kind in kind(),
    ) {
        let given: std::collections::BTreeMap<_, _> = given.into_iter().collect();
        let plain = matches!(kind, Kind::Directory | Kind::File { .. });
        let of_overlay = part != "own";
        // What can be on such an entry.
        let fits = |name: &[u8], by_user: bool| match name {
            _ if name.starts_with(b"trusted.") => of_overlay && (plain || !by_user),
            _ => plain,
        };
        for (to, by_user) in [(Local::of_root(first), false), (USER_HERE, true)] {
            let attributes = given.iter().filter(|(n, _)| fits(n, by_user)).map(|(n, v)| (n.clone(), v.clone())).collect();
            let meta = Meta { uid, gid, mode: 0o6755, attributes, ..Meta::default() };
            let local = laid(meta.clone(), part, kind.clone(), to).unwrap();
            prop_assert!(!by_user || local.attributes.iter().all(|(n, _)| !n.starts_with(b"trusted.")));
            prop_assert_eq!((local.uid, local.mode), (uid + to.first_id, meta.mode));
            let back = stored(local, Part::Top.below(part.as_bytes()), to);
            prop_assert_eq!(back, meta);
        }
    }

    /// Whatever the attributes say, nothing panics, and what is taken is in order and of no machine.
    #[test]
    fn anything_is_taken_or_refused(
        given in proptest::collection::btree_map(
            "(trusted|user|security|system)\\.(overlay\\.|capability|posix_acl_access|freezeframe\\.name){0,3}[a-z]{0,3}",
            vec(any::<u8>(), 0..40), 0..6),
        uid in any::<u32>(),
        first in any::<u32>(),
        user in any::<bool>(),
    ) {
        let here = Local { first_id: first, attributes: if user { Attributes::User } else { Attributes::Trusted } };
        let attributes: Vec<_> = given.into_iter().map(|(n, v)| (n.into_bytes(), v)).collect();
        for part in ["upper", "index", "own"] {
            let mut meta = Meta { uid, attributes: attributes.clone(), ..Meta::default() };
            if normalise(&mut meta, Part::Top.below(part.as_bytes()), here).is_ok() {
                prop_assert!(meta.uid < IDS && meta.attributes.is_sorted_by(|a, b| a.0 < b.0));
                let _ = laid(meta, part, file(), ROOT);
            }
            let _ = laid(Meta { uid, attributes: attributes.clone(), ..Meta::default() }, part, file(), here);
        }
    }
}

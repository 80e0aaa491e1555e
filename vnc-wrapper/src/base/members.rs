//! What every session needs of its base, whatever the base was made of: the user that the desktop runs as, names for the
//! host, an identity of the machine, the directories that the container mounts on, and those that packages link manual
//! pages into.
//!
//! Pure: from what an archive had, it makes the members that are put at its end.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::header::Member;

/// The user that a desktop runs as.
pub const USER: &str = "user";
/// Id of that user, and of the group.
pub const USER_ID: u32 = 1000;
/// What a session's host is called.
pub const HOST: &str = "freezeframe";

/// Programs whose presence matters, in the order in which they are wanted as a desktop (the first three).
pub const PROGRAMS: [&str; 8] =
    ["startxfce4", "openbox-session", "xterm", "Xtigervnc", "sudo", "bash", "dbus-daemon", "dpkg"];
/// Those of [`PROGRAMS`] that can be a desktop.
pub const DESKTOPS: [&str; 3] = ["startxfce4", "openbox-session", "xterm"];

/// Files that are written anew, or that must not be there.
const REPLACED: [&str; 9] = [
    "etc/group",
    "etc/gshadow",
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "etc/passwd",
    "etc/resolv.conf",
    "etc/shadow",
    "var/lib/dbus/machine-id",
];
/// Mount points of the container, with their modes.
const MOUNT_POINTS: [(&str, u32); 6] =
    [("dev", 0o755), ("home", 0o755), ("proc", 0o555), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777)];
/// Where manual pages are. Bases and container images leave the pages out, and with them the directories; update-alternatives(1)
/// then fails, and with it the installation of Java and others.
const MANUALS: &str = "usr/share/man";
/// How many sections the manual has (man-pages(7)): directories `man1` to `man9`.
const SECTIONS: u32 = 9;
/// dpkg's pattern for these directories without what is in them.
pub const MANUAL_DIRECTORIES: &str = "/usr/share/man/man[1-9]";
/// Where dpkg is told so. Files are read in the order of their names, and the last pattern that fits counts (dpkg(1)).
const DPKG_OPTIONS: &str = "etc/dpkg/dpkg.cfg.d/zz-freezeframe";
const HOME: &str = "home/user";
const SKELETON: &str = "etc/skel/";

/// What becomes of a member of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It goes on as it is.
    Pass,
    /// It goes on, and its contents are kept.
    Read,
    /// Its contents are kept, and it does not go on.
    Replace,
}

/// What is to become of the member at `path`.
pub fn treatment(path: &[u8], is_file: bool) -> Treatment {
    if REPLACED.iter().any(|replaced| replaced.as_bytes() == path) {
        Treatment::Replace
    } else if is_file && path.starts_with(SKELETON.as_bytes()) && path.len() < 80 {
        Treatment::Read
    } else {
        Treatment::Pass
    }
}

/// The one of [`PROGRAMS`] that lies at `path`.
pub fn program(path: &[u8]) -> Option<&'static str> {
    let at = |prefix: &str| path.strip_prefix(prefix.as_bytes());
    let name = at("usr/bin/").or_else(|| at("bin/")).or_else(|| at("usr/local/bin/"))?;
    PROGRAMS.into_iter().find(|program| program.as_bytes() == name)
}

/// Whether [`made`] asks for `path`, beside the names at the top.
pub fn asked_for(path: &[u8]) -> bool {
    path == HOME.as_bytes() || path == MANUALS.as_bytes() || sections().any(|section| path == section.as_bytes())
}

/// The directories of the manual's sections.
fn sections() -> impl Iterator<Item = String> {
    (1..=SECTIONS).map(|number| format!("{MANUALS}/man{number}"))
}

/// Files that were kept, by path, with their modes.
#[derive(Clone, Debug, Default)]
pub struct Kept(BTreeMap<String, (u32, Vec<u8>)>);

impl Kept {
    /// Keeps a file. One whose name is not text cannot be one that is asked for.
    pub fn put(&mut self, path: &[u8], mode: u32, contents: &[u8]) {
        if let Ok(path) = std::str::from_utf8(path) {
            self.0.insert(path.to_owned(), (mode, contents.to_vec()));
        }
    }

    fn lines(&self, path: &str) -> Option<Vec<String>> {
        let (_, contents) = self.0.get(path)?;
        Some(String::from_utf8_lossy(contents).lines().map(str::to_owned).collect())
    }

    fn mode(&self, path: &str, otherwise: u32) -> u32 {
        self.0.get(path).map_or(otherwise, |(mode, _)| *mode)
    }
}

/// The members to put at the end of an archive that had `seen` (names at the top, directories also with a slash behind)
/// and `programs`, and whose files are in `kept`.
///
/// # Errors
/// A sentence, when the archive's accounts leave no room for the user.
pub fn made(
    kept: &Kept,
    seen: &HashSet<Vec<u8>>,
    programs: &BTreeSet<&'static str>,
    machine_id: &str,
) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    for (path, mode) in MOUNT_POINTS {
        if !seen.contains(path.as_bytes()) {
            members.push(Member::directory(path, mode));
        }
    }
    members.push(Member::file("etc/hostname", 0o644, format!("{HOST}\n")));
    let names = format!("127.0.0.1 localhost {HOST}\n::1 localhost ip6-localhost ip6-loopback {HOST}\n");
    members.push(Member::file("etc/hosts", 0o644, names));
    members.push(Member::file("etc/resolv.conf", 0o644, ""));
    members.push(Member::file("etc/machine-id", 0o444, format!("{machine_id}\n")));
    if programs.contains("sudo") {
        // Else sudo puts a second terminal between the user's and its program (use_pty, sudoers(5), the default of most
        // distributions), which the engine cannot save yet.
        let rules = format!("Defaults !use_pty\n{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n");
        members.push(Member::file("etc/sudoers.d/freezeframe", 0o440, rules));
    }
    if programs.contains("dpkg") {
        let wanted = std::iter::once(MANUALS.to_owned()).chain(sections());
        let missing = wanted.filter(|path| !seen.contains(path.as_bytes()));
        members.extend(missing.map(|path| Member::directory(path, 0o755)));
        members.push(Member::file(DPKG_OPTIONS, 0o644, format!("path-include={MANUAL_DIRECTORIES}\n")));
    }
    accounts(kept, seen, programs, &mut members)?;
    Ok(members)
}

/// The tables of accounts, with the user in them, and the user's home.
fn accounts(
    kept: &Kept,
    seen: &HashSet<Vec<u8>>,
    programs: &BTreeSet<&'static str>,
    members: &mut Vec<Member>,
) -> Result<(), String> {
    let shell = if programs.contains("bash") { "/bin/bash" } else { "/bin/sh" };
    let mut passwd = kept.lines("etc/passwd").unwrap_or_else(|| vec!["root:x:0:0:root:/root:/bin/sh".into()]);
    let known = field_of(&passwd, USER, 2);
    match known {
        Some(id) if id != USER_ID.to_string() => {
            return Err(format!("its user {USER:?} has id {id}, and the desktop's user needs {USER_ID}"));
        }
        Some(_) => {}
        None => insert(&mut passwd, 2, &format!("{USER}:x:{USER_ID}:{USER_ID}:{USER}:/{HOME}:{shell}")),
    }
    let is_new = known.is_none();
    let mut table = |path: &str, mode, lines: Vec<String>| {
        members.push(Member::file(path, kept.mode(path, mode), lines.join("\n") + "\n"));
    };
    table("etc/passwd", 0o644, passwd);
    let mut group = kept.lines("etc/group").unwrap_or_else(|| vec!["root:x:0:".into()]);
    if field_of(&group, USER, 2).is_none() {
        insert(&mut group, 2, &format!("{USER}:x:{USER_ID}:"));
    }
    table("etc/group", 0o644, group);
    // Without a line in here, PAM's checks of the account fail, and sudo with them.
    for (path, line) in [("etc/shadow", "*:19000:0:99999:7:::"), ("etc/gshadow", "*::")] {
        if let Some(mut lines) = kept.lines(path) {
            if field_of(&lines, USER, 0).is_none() {
                lines.push(format!("{USER}:{line}"));
            }
            table(path, 0o640, lines);
        }
    }
    if is_new {
        members.push(Member::directory(HOME, 0o755).owned_by(USER_ID));
        if !seen.contains(HOME.as_bytes()) {
            for (path, (mode, contents)) in &kept.0 {
                if let Some(name) = path.strip_prefix(SKELETON) {
                    members.push(Member::file(format!("{HOME}/{name}"), *mode, contents.clone()).owned_by(USER_ID));
                }
            }
        }
    }
    Ok(())
}

/// Field `at` of the line of `name` in a table like /etc/passwd.
fn field_of(lines: &[String], name: &str, at: usize) -> Option<String> {
    let mut fields = lines.iter().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
    fields.nth(at).map(str::to_owned)
}

/// Puts `line` in front of the first line that has the user's id in field `at`, so that the id has our name, or at the end.
fn insert(lines: &mut Vec<String>, at: usize, line: &str) {
    let id = USER_ID.to_string();
    let place = lines.iter().position(|other| other.split(':').nth(at) == Some(&id)).unwrap_or(lines.len());
    lines.insert(place, line.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::header::Contents;

    fn text(members: &[Member], path: &str) -> String {
        let member = members.iter().find(|m| m.path == path).unwrap_or_else(|| panic!("{path} is not made"));
        match &member.contents {
            Contents::File(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            Contents::Directory => panic!("{path} is a directory"),
        }
    }

    fn kept(files: &[(&str, &str)]) -> Kept {
        let mut kept = Kept::default();
        files.iter().for_each(|(path, contents)| kept.put(path.as_bytes(), 0o600, contents.as_bytes()));
        kept
    }

    #[test]
    fn the_user_is_added_with_home_skeleton_and_sudo() {
        let kept = kept(&[
            ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nmail:x:8:8::/:/bin/sh\n"),
            ("etc/shadow", "root:*:1::::::\n"),
            ("etc/skel/.bashrc", "PS1=x\n"),
        ]);
        let members = made(&kept, &HashSet::new(), &BTreeSet::from(["sudo", "bash"]), "f00d").unwrap();
        assert!(text(&members, "etc/passwd").ends_with("sh\nuser:x:1000:1000:user:/home/user:/bin/bash\n"));
        assert_eq!(text(&members, "etc/group"), "root:x:0:\nuser:x:1000:\n");
        assert!(text(&members, "etc/shadow").ends_with("\nuser:*:19000:0:99999:7:::\n"));
        assert_eq!(text(&members, "home/user/.bashrc"), "PS1=x\n");
        assert_eq!(text(&members, "etc/machine-id"), "f00d\n");
        let sudo = text(&members, "etc/sudoers.d/freezeframe");
        assert_eq!(sudo, "Defaults !use_pty\nuser ALL=(ALL:ALL) NOPASSWD: ALL\n");
        assert!(members.contains(&Member::directory("home/user", 0o755).owned_by(1000)));
        assert!(members.contains(&Member::directory("tmp", 0o1777)));
        assert!(!members.iter().any(|m| m.path == "etc/gshadow"), "a table that was not there is not made");
        assert_eq!(members.iter().find(|m| m.path == "etc/shadow").map(|m| m.mode), Some(0o600));
    }

    #[test]
    fn a_user_of_that_name_is_kept_and_another_with_the_id_gives_way() {
        let own = "user:x:1000:1000:Ann:/home/ann:/bin/zsh\n";
        let members = made(&kept(&[("etc/passwd", own)]), &HashSet::new(), &BTreeSet::new(), "f00d").unwrap();
        assert_eq!(text(&members, "etc/passwd"), own);
        assert!(!members.iter().any(|m| m.path.starts_with("home/user")));
        let node = "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n";
        let members = made(&kept(&[("etc/passwd", node)]), &HashSet::new(), &BTreeSet::new(), "f00d").unwrap();
        assert!(
            text(&members, "etc/passwd").find("user:").unwrap() < text(&members, "etc/passwd").find("node:").unwrap()
        );
        let other = "user:x:7:7::/:/bin/sh\n";
        let error = made(&kept(&[("etc/passwd", other)]), &HashSet::new(), &BTreeSet::new(), "f00d").unwrap_err();
        assert_eq!(error, "its user \"user\" has id 7, and the desktop's user needs 1000");
    }

    #[test]
    fn mount_points_that_are_there_are_left_alone() {
        let seen: HashSet<Vec<u8>> = ["tmp", "proc", "home"].iter().map(|s| s.as_bytes().to_vec()).collect();
        let members = made(&Kept::default(), &seen, &BTreeSet::new(), "f00d").unwrap();
        let directories: Vec<&str> =
            members.iter().filter(|m| m.contents == Contents::Directory).map(|m| m.path.as_str()).collect();
        assert_eq!(directories, ["dev", "run", "sys", "home/user"]);
    }

    #[test]
    fn packages_find_the_directories_of_manual_pages() {
        let seen: HashSet<Vec<u8>> = [b"usr/share/man/man3".to_vec()].into();
        let members = made(&Kept::default(), &seen, &BTreeSet::from(["dpkg"]), "f00d").unwrap();
        for number in [1, 2, 4, 5, 6, 7, 8, 9] {
            assert!(members.contains(&Member::directory(format!("usr/share/man/man{number}"), 0o755)), "{number}");
        }
        assert!(!members.iter().any(|m| m.path == "usr/share/man/man3"), "one that is there is left alone");
        assert!(asked_for(b"usr/share/man/man9") && !asked_for(b"usr/share/man/man10"));
        assert_eq!(text(&members, DPKG_OPTIONS), "path-include=/usr/share/man/man[1-9]\n");
        let elsewhere = made(&Kept::default(), &HashSet::new(), &BTreeSet::new(), "f00d").unwrap();
        assert!(!elsewhere.iter().any(|m| m.path.contains("man")), "nothing of Debian's is put where Debian is not");
    }

    #[test]
    fn programs_are_found_in_every_place_for_them() {
        assert_eq!(program(b"usr/bin/Xtigervnc"), Some("Xtigervnc"));
        assert_eq!(program(b"bin/bash"), Some("bash"));
        assert_eq!(program(b"usr/share/doc/xterm"), None);
        assert_eq!(treatment(b"etc/hosts", false), Treatment::Replace);
        assert_eq!(treatment(b"etc/skel/.profile", true), Treatment::Read);
        assert_eq!(treatment(b"etc/passwd-", true), Treatment::Pass);
    }
}

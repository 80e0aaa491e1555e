//! Programs of the machine that Freezeframe calls.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use freezeframe_protocol::CheckItem;

use super::{Who, good, lacking, needed_for};

struct Program {
    name: &'static str,
    package: &'static str,
    needed_for: &'static str,
    /// Root does what it does by itself.
    not_for_root: bool,
}

const PROGRAMS: [Program; 6] = [
    Program { name: "dbus-daemon", package: "dbus-daemon", needed_for: needed_for::START, not_for_root: false },
    Program { name: "newuidmap", package: "uidmap", needed_for: needed_for::START, not_for_root: true },
    Program { name: "newgidmap", package: "uidmap", needed_for: needed_for::START, not_for_root: true },
    Program { name: "tar", package: "tar", needed_for: needed_for::BASE_BUILD, not_for_root: false },
    Program { name: "mmdebstrap", package: "mmdebstrap", needed_for: needed_for::BASE_BUILD, not_for_root: false },
    Program { name: "pasta", package: "passt", needed_for: needed_for::NETWORK, not_for_root: false },
];
const TUN: &str = "/dev/net/tun";

pub(super) fn check(who: &Who) -> Vec<CheckItem> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from)).collect();
    let find = |name: &str| directories.iter().map(|d| d.join(name)).find(|p| p.is_file());
    let needed = PROGRAMS.iter().filter(|program| !(program.not_for_root && who.is_root()));
    let tun = File::options().read(true).write(true).open(TUN).map(drop);
    needed.map(|program| item(program, find(program.name).as_deref())).chain([tunnel(&tun)]).collect()
}

fn item(program: &Program, found: Option<&Path>) -> CheckItem {
    match found {
        Some(path) => good(program.name, path.display().to_string()),
        None => {
            let remedy = format!("apt-get install {}", program.package);
            lacking(program.name, program.needed_for, format!("{} is not installed", program.name), remedy)
        }
    }
}

fn tunnel(opened: &io::Result<()>) -> CheckItem {
    const NAME: &str = "tun";
    match opened {
        Ok(()) => good(NAME, format!("{TUN} can be opened")),
        Err(error) => {
            let mend =
                if error.kind() == io::ErrorKind::PermissionDenied { "chmod 666 /dev/net/tun" } else { "modprobe tun" };
            lacking(NAME, needed_for::NETWORK, format!("{TUN} cannot be opened: {error}"), mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_package() {
        let item = item(&PROGRAMS[5], None);
        assert_eq!((item.needed_for.as_str(), item.remedy.as_str()), ("network", "apt-get install passt"));
        assert!(super::item(&PROGRAMS[5], Some(Path::new("/usr/bin/pasta"))).ok);
    }

    #[test]
    fn root_needs_no_helper_for_its_maps() {
        let names = |uid| check(&Who { uid, name: "x".into() }).into_iter().map(|i| i.name).collect::<Vec<_>>();
        assert!(!names(0).contains(&"newuidmap".to_owned()));
        assert!(names(1000).contains(&"newuidmap".to_owned()));
    }

    #[test]
    fn the_tunnel_is_loaded_or_opened() {
        assert_eq!(tunnel(&Err(io::ErrorKind::NotFound.into())).remedy, "modprobe tun");
        assert_eq!(tunnel(&Err(io::ErrorKind::PermissionDenied.into())).remedy, "chmod 666 /dev/net/tun");
    }
}

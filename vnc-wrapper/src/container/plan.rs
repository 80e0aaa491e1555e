//! What the inside of a session looks like, as a list of steps. Pure: nothing here touches a system.

use freezeframe_store::session::Network;

use super::network::NAME_SERVER;
use super::{HOST_NAME, INIT_PATH, INSIDE_DIR, SYSTEM_BUS_DIRECTORY, USER_ID};

/// One thing to do inside the new namespaces, in which `/` is the session's root already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a directory where there is none, and give it this mode and owner.
    Directory {
        /// Where.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Owning user and group.
        owner: u32,
    },
    /// Write a file.
    File {
        /// Where.
        path: String,
        /// Permission bits.
        mode: u32,
        /// What is in it.
        contents: Contents,
    },
    /// Make a symbolic link.
    Link {
        /// Where.
        path: String,
        /// What it says.
        target: String,
    },
    /// Mount a new file system.
    FileSystem {
        /// Where.
        path: String,
        /// Its type.
        kind: &'static str,
        /// Its options.
        options: &'static str,
        /// Whether it is read-only.
        read_only: bool,
        /// Whether programs on it can be run.
        executable: bool,
    },
    /// Bind one of the outside's device nodes, taken before the outside was left.
    Device {
        /// Its name in /dev.
        name: &'static str,
    },
    /// Give a setting of the kernel that belongs to the session's network a value, if the kernel has it.
    Setting {
        /// Its file.
        path: &'static str,
        /// What is written there.
        value: &'static str,
    },
    /// Bind a path onto itself read-only, if it is there.
    ReadOnly {
        /// What.
        path: &'static str,
    },
    /// Cover a file with /dev/null or a directory with an empty one, if it is there.
    Mask {
        /// What.
        path: &'static str,
    },
    /// Take away the outside's mounts, which are under the session's own until then.
    LeaveOutside,
    /// Name the host.
    HostName(&'static str),
    /// Bring the loopback interface up.
    Loopback,
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The program of process 1.
    Init,
    /// Which name server to ask (resolv.conf(5)).
    NameServer(&'static str),
}

/// Devices that every program may expect (as container runtimes give them).
pub const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Entries of /proc and /sys that tell of the machine outside, or act on it.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/debug",
];

/// Entries of /proc that programs read and nobody in a session may write.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The empty directory that covers masked ones. One for all: every tmpfs of its own would cost time at each dump.
pub const EMPTY: &str = "/run/freezeframe/empty";

/// Settings of every session's network, also of one that is resumed. Multipath TCP is off, since its sockets cannot be saved:
/// programs that ask for it are answered as by a kernel without it, and take plain TCP (Go does for all that listens).
pub const NETWORK_SETTINGS: [(&str, &str); 1] = [("/proc/sys/net/mptcp/enabled", "0")];

/// All steps, in order.
pub fn session(network: Network) -> Vec<Step> {
    let mut steps = vec![
        directory("/proc", 0o755, 0),
        directory("/sys", 0o755, 0),
        // These two first: the kernel mounts them only while others are in full view.
        file_system("/proc", "proc", "", false, false),
        file_system("/sys", "sysfs", "", true, false),
        // Before anything else of the base is touched: until then a link of the base with enough `..` leads outside.
        Step::LeaveOutside,
    ];
    for path in ["/dev", "/run", "/tmp"] {
        steps.push(directory(path, 0o755, 0));
    }
    steps.push(file_system("/dev", "tmpfs", "mode=755", false, false));
    steps.push(file_system("/run", "tmpfs", "mode=755", false, true));
    steps.push(file_system("/tmp", "tmpfs", "mode=1777", false, true));
    steps.push(directory("/dev/shm", 0o1777, 0));
    steps.push(file_system("/dev/shm", "tmpfs", "mode=1777", false, true));
    steps.push(directory("/dev/pts", 0o755, 0));
    steps.push(file_system("/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5", false, false));
    steps.push(directory("/dev/mqueue", 0o1777, 0));
    steps.push(file_system("/dev/mqueue", "mqueue", "", false, false));
    steps.extend(DEVICES.map(|name| Step::Device { name }));
    for (path, target) in [
        ("/dev/ptmx", "pts/ptmx"),
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        steps.push(Step::Link { path: path.into(), target: target.into() });
    }
    let user_runtime = format!("/run/user/{USER_ID}");
    let display = format!("{INSIDE_DIR}/display");
    for (path, mode, owner) in [
        ("/run/lock", 0o1777, 0),
        ("/run/user", 0o755, 0),
        (user_runtime.as_str(), 0o700, USER_ID),
        (SYSTEM_BUS_DIRECTORY, 0o755, 0),
        (INSIDE_DIR, 0o755, 0),
        (display.as_str(), 0o700, USER_ID),
        (EMPTY, 0o555, 0),
        ("/tmp/.X11-unix", 0o1777, 0),
        ("/tmp/.ICE-unix", 0o1777, 0),
    ] {
        steps.push(directory(path, mode, owner));
    }
    steps.push(Step::File { path: INIT_PATH.into(), mode: 0o755, contents: Contents::Init });
    steps.extend(NETWORK_SETTINGS.map(|(path, value)| Step::Setting { path, value }));
    steps.extend(READ_ONLY.map(|path| Step::ReadOnly { path }));
    steps.extend(MASKED.map(|path| Step::Mask { path }));
    if network == Network::Outbound {
        let contents = Contents::NameServer(NAME_SERVER);
        steps.push(Step::File { path: "/etc/resolv.conf".into(), mode: 0o644, contents });
    }
    steps.push(Step::HostName(HOST_NAME));
    steps.push(Step::Loopback);
    steps
}

/// The steps for a session that is resumed: it has its files.
pub fn resumed(network: Network) -> Vec<Step> {
    session(network).into_iter().filter(|step| !matches!(step, Step::File { .. })).collect()
}

fn directory(path: &str, mode: u32, owner: u32) -> Step {
    Step::Directory { path: path.into(), mode, owner }
}

fn file_system(path: &str, kind: &'static str, options: &'static str, read_only: bool, executable: bool) -> Step {
    Step::FileSystem { path: path.into(), kind, options, read_only, executable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_made_before_something_is_made_in_it() {
        let mut made: Vec<String> = vec!["/".into()];
        let steps = session(Network::None);
        for step in &steps {
            let path = match step {
                Step::Directory { path, .. } | Step::File { path, .. } | Step::Link { path, .. } => path,
                Step::FileSystem { path, .. } => {
                    assert!(made.contains(path), "{path} is mounted on before it is there");
                    continue;
                }
                _ => continue,
            };
            let parent = path.rsplit_once('/').map_or("/", |(p, _)| if p.is_empty() { "/" } else { p });
            assert!(made.iter().any(|m| m == parent), "{path} before {parent}");
            made.push(path.clone());
        }
    }

    #[test]
    fn the_outside_is_left_before_the_base_is_written_to() {
        let steps = session(Network::Outbound);
        let left = steps.iter().position(|s| *s == Step::LeaveOutside).unwrap();
        let written = |s: &Step| matches!(s, Step::File { .. } | Step::Link { .. } | Step::Device { .. });
        assert!(steps.iter().position(written).unwrap() > left);
    }

    #[test]
    fn what_is_resumed_has_its_mounts_made_and_its_files_left() {
        let (new, again) = (session(Network::Outbound), resumed(Network::Outbound));
        assert!(again.iter().all(|step| new.contains(step) && !matches!(step, Step::File { .. })));
        let mounts = |steps: &[Step]| steps.iter().filter(|step| matches!(step, Step::FileSystem { .. })).count();
        assert_eq!(mounts(&new), mounts(&again));
    }

    #[test]
    fn settings_are_made_while_they_can_be_written() {
        let steps = session(Network::None);
        let at = |wanted: &dyn Fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
        let closed = at(&|s| matches!(s, Step::ReadOnly { path: "/proc/sys" }));
        assert!(at(&|s| matches!(s, Step::Setting { path: "/proc/sys/net/mptcp/enabled", value: "0" })) < closed);
    }

    #[test]
    fn nothing_is_masked_before_its_cover_is_there() {
        let steps = session(Network::None);
        let at = |wanted: &dyn Fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
        let empty = at(&|s| matches!(s, Step::Directory { path, .. } if path == EMPTY));
        let null = at(&|s| matches!(s, Step::Device { name: "null" }));
        let first_mask = at(&|s| matches!(s, Step::Mask { .. }));
        assert!(empty < first_mask && null < first_mask);
    }
}

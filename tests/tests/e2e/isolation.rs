//! From inside a session nothing of the host can be seen or reached.

use anyhow::{Result, ensure};
use freezeframe_tests::Stage;

use crate::small;

/// Everything that a curious program can read about where it is. Each part is headed by its command.
const LOOK: &str = r##"
look() { echo "== $*"; "$@" 2>&1; }
look ls -l /proc/1/fd /proc/self/fd
look ls -l /proc/1/
look mount
look cat /proc/self/mountinfo
look cat /proc/1/mountinfo
look cat /proc/1/mounts
look cat /proc/1/maps
look cat /proc/1/environ
look env
look ps -eo pid,ppid,user,args
look ss -xap
look ss -tuanp
look cat /proc/net/unix
look hostname
look cat /proc/swaps /proc/cmdline
for pid in $(ls /proc | grep -E '^[0-9]+$'); do
    look cat /proc/$pid/cgroup
    look tr '\0' '\n' < /proc/$pid/environ
    look ls -l /proc/$pid/fd
    look readlink /proc/$pid/exe /proc/$pid/cwd /proc/$pid/root
done
look find /run /tmp /dev -maxdepth 3
look ls -la / /root /home
"##;

fn as_root<'a>(session: &'a str, command: &[&'a str]) -> Vec<&'a str> {
    [&["exec", session, "--wait", "--root", "--"], command].concat()
}

/// What user and root of the session see.
fn looks_around(stage: &Stage, session: &str) -> Result<()> {
    // Its processes' own names are not ours; programs of the host that run for this very session are.
    let outside = [
        "vnc-wrapper",
        "session-agent",
        "sessionctl",
        "cargo",
        "e2e-",
        "criu",
        "/proc/self/exe enter",
        "stages",
        "FREEZEFRAME_",
    ];
    for arguments in [as_root(session, &["sh", "-c", LOOK]), vec!["exec", session, "--wait", "--", "sh", "-c", LOOK]] {
        let said = stage.ctl_plain(&arguments)?;
        let said = said.text();
        ensure!(said.contains("== ps ") && said.contains("Xtigervnc") && said.contains("== ls -la / "), "{said}");
        let words = stage.secrets().into_iter().chain(outside.map(str::to_owned));
        for word in words.chain([stage.directory().file_name().unwrap_or_default().to_string_lossy().into_owned()]) {
            let lines: Vec<&str> = said.lines().filter(|line| line.contains(&word)).collect();
            ensure!(lines.is_empty(), "{word:?} of the host can be read inside {session}: {lines:#?}");
        }
        for line in said.lines().filter(|l| l.starts_with("0::")) {
            ensure!(line == "0::/", "a cgroup's path on the host: {line}");
        }
    }
    Ok(())
}

/// The session's processes as it sees them are those that we see in it, and no more.
fn sees_its_own_processes(stage: &Stage, session: &str) -> Result<()> {
    let ours: Vec<i32> = stage.settled_pids(session)?.into_keys().collect();
    let said = stage.inside(session, &["sh", "-c", "echo $$; exec ps -eo pid="])?;
    let theirs: Vec<i32> = said.lines().filter_map(|l| l.trim().parse().ok()).collect();
    let strangers: Vec<&i32> = theirs[1..].iter().filter(|p| !ours.contains(p) && **p != theirs[0]).collect();
    ensure!(strangers.is_empty(), "{strangers:?} of {theirs:?} are not among {ours:?}");
    let parent = stage.inside(session, &["sh", "-c", "cut -d' ' -f4 /proc/$$/stat; echo $PPID"])?;
    ensure!(parent.lines().all(|line| line == "0"), "the parent of a program that is waited for is visible: {parent}");
    Ok(())
}

/// Its sockets are its own: every listening one is at a path inside.
fn reaches_nothing(stage: &Stage, session: &str) -> Result<()> {
    let name = stage.inside(session, &["hostname"])?;
    ensure!(name.trim() == "freezeframe", "{name}");
    let links = stage.inside(session, &["ip", "-o", "link"])?;
    ensure!(links.lines().count() == 1 && links.contains(": lo:"), "{links}");
    // The host's own abstract sockets belong to another network namespace, too.
    let outside = std::fs::read_to_string("/proc/net/unix")?;
    let inside = stage.inside(session, &["cat", "/proc/net/unix"])?;
    let inodes = |table: &str| -> Vec<String> {
        table.lines().skip(1).filter_map(|l| l.split_whitespace().nth(6).map(str::to_owned)).collect()
    };
    let common: Vec<String> = inodes(&inside).into_iter().filter(|i| inodes(&outside).contains(i)).collect();
    ensure!(common.is_empty(), "sockets of the host: {common:?}");
    // Root of the session, by sudo, has power over the session alone.
    stage.inside(session, &["sudo", "-n", "true"])?;
    stage.inside(session, &["sudo", "-n", "sh", "-c", "echo x > /etc/of-root && rm /etc/of-root"])?;
    for (what, script) in [
        ("the kernel's memory", "test -n \"$(head -c 1 /proc/kcore)\""),
        ("a disk of the host", "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk"),
        ("the kernel's settings", "echo 1 > /proc/sys/kernel/panic"),
        ("the magic key", "echo h > /proc/sysrq-trigger"),
        ("a file system of the host", "mkdir -p /tmp/m && mount -t ext4 /dev/vda /tmp/m"),
        ("debugfs", "mkdir -p /tmp/d && mount -t debugfs none /tmp/d"),
        ("unmasking", "umount /proc/kcore"),
        (
            "a kernel module",
            "python3 -c \"import ctypes,sys; sys.exit(ctypes.CDLL(None).syscall(313,0,b'',0)==0 or 1)\"",
        ),
        ("the clock", "date -s '2001-01-01'"),
        ("a cgroup of the host", "ls /sys/fs/cgroup/* >/dev/null 2>&1"),
        ("the init of the host", "test \"$(readlink /proc/1/exe)\" != /run/freezeframe/init"),
    ] {
        let tried = stage.ctl_plain(&as_root(session, &["sh", "-c", script]))?;
        ensure!(tried.code != 0, "root of the session reaches {what}: {}", tried.tell());
    }
    let power = stage.ctl_plain(&as_root(session, &["cat", "/proc/self/uid_map"]))?.done()?;
    ensure!(power.split_whitespace().nth(1) != Some("0"), "root inside is root outside: {power}");
    let user = stage.inside(session, &["sh", "-c", "id -u; echo $HOME; grep CapEff /proc/self/status"])?;
    let lines: Vec<&str> = user.lines().collect();
    ensure!(lines[..2] == ["1000", "/home/user"] && lines[2].ends_with("0000000000000000"), "{user}");
    // Files of the host that are there for certain.
    for path in [stage.directory().to_path_buf(), std::env::current_exe()?] {
        let seen = stage.ctl_plain(&as_root(session, &["ls", "-d", &path.to_string_lossy()]))?;
        ensure!(seen.code != 0, "{} can be seen inside", path.display());
    }
    Ok(())
}

fn is_apart(stage: &Stage, session: &str) -> Result<()> {
    looks_around(stage, session)?;
    sees_its_own_processes(stage, session)?;
    reaches_nothing(stage, session)
}

#[test]
fn nothing_of_the_outside_is_seen_or_reached() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.launch(&session, &["xterm", "-T", "terminal", "-e", "cat"])?;
        stage.wait_for_window(&session, "^terminal$")?;
        is_apart(stage, &session)
    });
}

#[test]
fn nor_from_a_resumed_session() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.launch(&session, &["xterm", "-T", "terminal", "-e", "cat"])?;
        stage.wait_for_window(&session, "^terminal$")?;
        let id = stage.save(&session)?;
        stage.json(&["stop", &session])?;
        stage.json(&["resume", &id])?;
        is_apart(stage, &session)
    });
}

#[test]
fn what_is_the_users_is_out_of_reach_for_others() {
    use std::os::unix::fs::PermissionsExt;
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.save(&session)?;
        let mode =
            |path: &std::path::Path| -> Result<u32> { Ok(std::fs::metadata(path)?.permissions().mode() & 0o777) };
        let socket = stage.display_socket(&session);
        ensure!(mode(&socket)? == 0o600, "{:o}", mode(&socket)?);
        ensure!(mode(&socket.with_file_name("control"))? == 0o600, "the control socket");
        for directory in [socket.parent(), socket.parent().and_then(|p| p.parent())].into_iter().flatten() {
            ensure!(mode(directory)? == 0o700, "{}: {:o}", directory.display(), mode(directory)?);
        }
        ensure!(mode(&stage.data())? == 0o700, "{:o}", mode(&stage.data())?);
        let ports = stage.inside(&session, &["ss", "-Hltun"])?;
        ensure!(ports.trim().is_empty(), "TCP or UDP ports: {ports}");
        Ok(())
    });
}

/// Issue 9, 5: command lines can be read by every user of the machine.
#[test]
fn what_a_program_finds_in_its_environment_is_in_no_command_line_of_the_wrapper() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let secret = format!("secret-{}", std::process::id());
        let variable = format!("PASSWORD={secret}");
        let held = "echo $PASSWORD > /tmp/had; exec cat";
        std::thread::scope(|scope| {
            let command = ["exec", &session, "--env", &variable, "--wait", "--", "sh", "-c", held];
            let mut waited = stage.command(stage.sessionctl().as_os_str());
            waited.args(command).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
            let mut waited = waited.spawn()?;
            let seen = scope.spawn(|| -> Result<Vec<String>> {
                ensure!(stage.file_inside(&session, "/tmp/had")?.trim() == secret, "the program lacks its variable");
                let all = freezeframe_tests::all_processes().into_iter();
                Ok(all.map(|p| p.command).filter(|c| c.contains(&secret) && !c.contains("sessionctl")).collect())
            });
            let seen = seen.join().map_err(|_| anyhow::anyhow!("the look was lost"))?;
            drop(waited.stdin.take());
            ensure!(waited.wait()?.success(), "the program failed");
            ensure!(seen?.is_empty(), "the secret is in a command line");
            Ok(())
        })
    });
}

/// Issue 9, 4: capabilities that no program of a desktop needs are in nobody's bounding set, and what is needed works.
#[test]
fn capabilities_that_nothing_needs_are_out_of_reach() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        // capabilities(7): CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_SYSLOG, CAP_BPF.
        let dropped = [16, 17, 22, 25, 34, 39];
        // CAP_CHOWN, CAP_SETUID, CAP_NET_RAW, CAP_SYS_CHROOT, CAP_SYS_PTRACE, CAP_SYS_ADMIN.
        let kept = [0, 7, 13, 18, 19, 21];
        let look = "grep -h CapBnd /proc/[0-9]*/status; sudo -n grep -h CapEff /proc/self/status";
        let said = stage.inside(&session, &["sh", "-c", look])?;
        let sets = said.lines().filter_map(|l| l.split_whitespace().nth(1)).map(|n| u64::from_str_radix(n, 16));
        let sets = sets.collect::<Result<Vec<u64>, _>>()?;
        ensure!(sets.len() > 4, "{said}");
        for set in sets {
            ensure!(dropped.iter().all(|bit| set >> bit & 1 == 0), "{set:x}: {said}");
            ensure!(kept.iter().all(|bit| set >> bit & 1 == 1), "{set:x}: {said}");
        }
        let works =
            "mkdir -p /tmp/m && mount -t tmpfs none /tmp/m && umount /tmp/m && chroot / true && chown 1000 /tmp/m";
        stage.inside(&session, &["sudo", "-n", "sh", "-c", works]).map(drop)
    });
}

/// Issue 9, 4: a device is the session's own, so that what it does to it (locks, watches) is nobody else's.
#[test]
fn devices_are_not_the_hosts_own_files() {
    small(|stage| {
        use std::os::unix::fs::MetadataExt;
        let session = stage.start(&["--name", "desk"])?;
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            let path = format!("/dev/{device}");
            let host = std::fs::metadata(&path)?;
            let said = stage.inside(&session, &["stat", "-c", "%d %t:%T", &path])?;
            let (file_system, numbers) = said.trim().split_once(' ').unwrap_or_default();
            ensure!(file_system.parse() != Ok(host.dev()), "{path} is the host's");
            let (major, minor) = (nix::sys::stat::major(host.rdev()), nix::sys::stat::minor(host.rdev()));
            ensure!(numbers == format!("{major:x}:{minor:x}"), "{path}: {numbers}");
        }
        stage.inside(&session, &["sh", "-c", "echo x > /dev/null && head -c 8 /dev/urandom | wc -c"]).map(drop)
    });
}

//! What every session has from its base and its container so that ordinary programs can be saved: issue 9, number 18.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually};

use crate::small;

const LIMIT: Duration = Duration::from_secs(30);

/// What io_uring_setup answers here: 0 or the number of the error.
const IO_URING: &str = "import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(0 if libc.syscall(425, 4, ctypes.create_string_buffer(120)) >= 0 else ctypes.get_errno())";

/// As a server of Go does it: Multipath TCP where the kernel has it, else TCP. Answers each connection by its protocol.
const SERVER: &str = "import socket
try: s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
except OSError: s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind(('127.0.0.1', 4711))
s.listen()
open('/tmp/listens', 'w').write('yes')
while True:
    c, _ = s.accept()
    c.send(str(c.getsockopt(socket.SOL_SOCKET, 38)).encode())
    c.close()";
const CLIENT: &str = "import socket
print(socket.create_connection(('127.0.0.1', 4711)).recv(9).decode())";

/// Stays connected to the system bus and writes what it hears, as the session's root.
const LISTENER: &str = "exec dbus-monitor --system interface=org.example.Freezeframe > /tmp/heard";

/// The session makes no io_uring (ENOSYS) for any user, and takes plain TCP in the place of Multipath TCP.
fn answers_as_it_should(stage: &Stage, session: &str) -> Result<()> {
    for command in [vec!["python3", "-c", IO_URING], vec!["sudo", "-n", "python3", "-c", IO_URING]] {
        let said = stage.inside(session, &command)?;
        ensure!(said.trim() == "38", "{command:?}: {said}");
    }
    let root = stage.ctl(&["exec", session, "--wait", "--root", "--", "python3", "-c", IO_URING])?.done()?;
    ensure!(root.trim() == "38", "as root: {root}");
    // The filter does not take sudo away, as it would with no_new_privs.
    let who = stage.inside(session, &["sudo", "-n", "id", "-u"])?;
    ensure!(who.trim() == "0", "{who}");
    let protocol = stage.inside(session, &["python3", "-c", CLIENT])?;
    ensure!(protocol.trim() == "6", "the server listens by the protocol {protocol}");
    let fresh = "import socket\ntry: socket.socket(2, 1, 262)\nexcept OSError: print('none')";
    let fresh = stage.inside(session, &["python3", "-c", fresh])?;
    ensure!(fresh.trim() == "none", "there is Multipath TCP: {fresh}");
    Ok(())
}

/// A signal on the system bus comes to who has listened from before.
fn is_heard(stage: &Stage, session: &str, word: &str) -> Result<()> {
    let signal =
        ["dbus-send", "--system", "--type=signal", "/", "org.example.Freezeframe.Said", &format!("string:{word}")];
    // dbus-monitor may not be there yet.
    eventually(LIMIT, &format!("{word:?} is heard on the system bus"), || {
        stage.inside(session, &signal)?;
        Ok(stage.inside(session, &["cat", "/tmp/heard"])?.contains(word).then_some(()))
    })
}

#[test]
fn sessions_have_a_system_bus_and_neither_io_uring_nor_multipath_tcp_also_when_resumed() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.launch(&session, &["python3", "-c", SERVER])?;
        stage.ctl(&["exec", &session, "--root", "--", "sh", "-c", LISTENER])?.done()?;
        stage.file_inside(&session, "/tmp/listens")?;
        answers_as_it_should(stage, &session)?;
        is_heard(stage, &session, "before")?;
        let names = [
            "dbus-send",
            "--system",
            "--print-reply",
            "--dest=org.freedesktop.DBus",
            "/",
            "org.freedesktop.DBus.ListNames",
        ];
        ensure!(stage.inside(&session, &names)?.contains("\"org.freedesktop.DBus\""));
        let init = stage.inside(&session, &["cat", "/proc/1/status"])?;
        ensure!(init.contains("Seccomp:\t2"), "{init}");

        let snapshot = stage.save(&session)?;
        answers_as_it_should(stage, &session)?;
        is_heard(stage, &session, "saved")?;
        stage.ctl(&["stop", &session])?.done()?;
        let resumed = stage.word(&["resume", &snapshot], "session")?;
        answers_as_it_should(stage, &resumed)?;
        is_heard(stage, &resumed, "resumed")?;
        let filters = "for p in /proc/[0-9]*; do grep -H Seccomp: $p/status; done 2> /dev/null";
        let filters = stage.inside(&resumed, &["sh", "-c", filters])?;
        ensure!(filters.lines().count() > 4 && filters.lines().all(|line| line.ends_with("\t2")), "{filters}");
        Ok(())
    });
}

#[test]
fn sudo_in_a_terminal_is_saved_and_goes_on() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let count = "i=0; while :; do i=$((i+1)); echo $i; echo $i > /tmp/count.new; mv /tmp/count.new /tmp/count; sleep 0.1; done";
        stage.launch(&session, &["xterm", "-T", "counter", "-e", "sudo", "sh", "-c", count])?;
        let counted = |session: &str| -> Result<u64> { Ok(stage.file_inside(session, "/tmp/count")?.trim().parse()?) };
        let (window, before) = (stage.wait_for_window(&session, "^counter$")?, counted(&session)?);
        let owner = stage.inside(&session, &["stat", "-c", "%U", "/tmp/count"])?;
        ensure!(owner.trim() == "root", "{owner}");
        let report = stage.json(&["check", &session])?;
        ensure!(report["savable"] == true, "{report}");
        let snapshot = stage.save(&session)?;
        stage.ctl(&["stop", &session])?.done()?;
        let resumed = stage.word(&["resume", &snapshot], "session")?;
        let at_first = counted(&resumed)?;
        ensure!(at_first >= before, "{at_first} after {before}");
        eventually(LIMIT, "sudo's program goes on", || Ok((counted(&resumed)? > at_first).then_some(())))?;
        // Still a terminal's: Control-C ends it, and with it the terminal.
        let mut viewer = stage.click_on(&resumed, &window)?;
        viewer.press(&[freezeframe_tests::keys::CONTROL, u32::from(b'c')])?;
        eventually(LIMIT, "the terminal is gone", || Ok(stage.window(&resumed, "^counter$")?.is_none().then_some(())))
    });
}

/// Makes a package with a page of the manual's sections 1 and 9 and installs it; then links a page as Java's packages do.
const PACKAGE: &str = r"set -e
cd /tmp
for section in 1 9; do
    mkdir -p package/usr/share/man/man$section
    echo .TH > package/usr/share/man/man$section/manual-page.$section
done
mkdir -p package/DEBIAN package/usr/bin package/usr/lib/manual-page
printf '%s\n' 'Package: manual-page' 'Version: 1' 'Architecture: all' 'Maintainer: Nobody <nobody@example.org>' \
    'Description: a page' > package/DEBIAN/control
echo '#!/bin/sh' > package/usr/bin/manual-page-1
chmod 755 package/usr/bin/manual-page-1
echo .TH > package/usr/lib/manual-page/manual-page.1
printf '%s\n' '#!/bin/sh' 'set -e' 'update-alternatives --install /usr/bin/manual-page manual-page /usr/bin/manual-page-1 1 \' \
    '    --slave /usr/share/man/man1/alternative.1 alternative.1 /usr/lib/manual-page/manual-page.1' > package/DEBIAN/postinst
chmod 755 package/DEBIAN/postinst
dpkg-deb --build package package.deb > /dev/null
dpkg --install package.deb
test -L /usr/share/man/man1/alternative.1
test ! -e /usr/share/man/man1/manual-page.1";

#[test]
fn a_package_that_links_a_manual_page_is_installed() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let sections = || -> Result<()> {
            let list = stage.inside(&session, &["sh", "-c", "cd /usr/share/man && ls -d man[1-9]"])?;
            let wanted: Vec<String> = (1..=9).map(|n| format!("man{n}")).collect();
            ensure!(list.lines().eq(wanted.iter()), "{list}");
            Ok(())
        };
        sections()?;
        for _ in 0..2 {
            stage.ctl(&["exec", &session, "--wait", "--root", "--", "sh", "-c", PACKAGE])?.done()?;
            sections()?;
            let remove = "update-alternatives --remove manual-page /usr/bin/manual-page-1; dpkg --remove manual-page";
            stage.ctl(&["exec", &session, "--wait", "--root", "--", "sh", "-c", remove])?.done()?;
        }
        Ok(())
    });
}

#[test]
fn a_base_without_a_system_bus_makes_sessions_all_the_same() {
    small(|stage| {
        let bases = stage.data().join("bases");
        let (whole, without) = (bases.join("minimal").canonicalize()?, bases.join("without"));
        copy_linked(&whole, &without)?;
        let record = fs::read_to_string(whole.join("base.json"))?.replace("\"minimal\"", "\"without\"");
        fs::remove_file(without.join("base.json"))?;
        fs::write(without.join("base.json"), record)?;
        fs::remove_file(without.join("root/usr/share/dbus-1/system.conf"))?;
        let session = stage.start(&["--name", "desk", "--base", "without"])?;
        ensure!(stage.inside(&session, &["ls", "-A", "/run/dbus"])?.is_empty());
        let logs = stage.logs();
        ensure!(logs.contains("no system bus") && logs.contains("dbus-system-bus-common"), "{logs}");
        stage.save(&session).map(drop)
    });
}

/// A copy of a base whose files are those of the base itself. Names can be taken from it; files must not be changed.
fn copy_linked(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-alT").args([from, to]).status().context("cp")?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

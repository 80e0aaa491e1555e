//! What the engine refuses is found before anything is stopped: one guest program for each kind.
//!
//! The table in `data/docs/preflight.md` is made of what is told here. After a change of the texts:
//! `FREEZEFRAME_WRITE_DOCS=1 cargo test -p freezeframe-tests --test e2e preflight`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually};
use serde_json::Value;

use crate::small;

const LIMIT: Duration = Duration::from_secs(30);
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/docs/preflight.md");

/// One kind of thing that cannot be saved.
struct Kind {
    /// What it is, for the table.
    name: &'static str,
    /// Python that makes it, and whether it takes the session's root.
    guest: &'static str,
    root: bool,
    /// What is told of it, in part.
    object: &'static str,
    /// What takes away what the guest leaves, by the shell as the session's root.
    clean: &'static str,
}

const fn kind(name: &'static str, guest: &'static str, object: &'static str) -> Kind {
    Kind { name, guest, root: false, object, clean: "true" }
}

const fn by_root(name: &'static str, guest: &'static str, object: &'static str) -> Kind {
    Kind { name, guest, root: true, object, clean: "true" }
}

/// What every guest begins and ends with.
const HEAD: &str = "import ctypes, mmap, os, socket, struct, subprocess, time
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    result = libc.syscall(*arguments)
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def must(result):
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def ready():
    with open('/tmp/ready', 'w') as f: f.write('ready')
";
const TAIL: &str = "\nready()\ntime.sleep(100000)\n";

// Numbers of system calls are those of x86-64; from 424 on they are everywhere the same.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &[Kind] = &[
    kind("page faults handled by a program (userfaultfd)", "fd = call(323, 1)", "userfaultfd"),
    kind(
        "measurements (perf)",
        "a = ctypes.create_string_buffer(struct.pack('IIQQQQQ', 1, 128, 9, 0, 0, 0, 0x61), 128)\nfd = call(298, a, 0, -1, -1, 0)",
        "perf_event",
    ),
    kind(
        "system calls watched (seccomp notify)",
        "libc.prctl(38, 1, 0, 0, 0)\nrule = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))\n\
         fd = call(317, 1, 8, struct.pack('HxxxxxxQ', 1, ctypes.addressof(rule)))",
        "seccomp notify",
    ),
    kind(
        "memory segments of a program's own (modify_ldt)",
        "call(154, 1, struct.pack('IIII', 3, 4096, 4095, 0x41), 16)",
        "modify_ldt",
    ),
    kind(
        "a program without the time stamp counter",
        "if os.fork() == 0:\n libc.prctl(26, 2, 0, 0, 0)\n while True: libc.pause()",
        "PR_SET_TSC",
    ),
    kind(
        "system calls that a program handles itself",
        "byte = ctypes.create_string_buffer(1)\nmust(libc.prctl(59, 1, 0, 0, ctypes.c_void_p(ctypes.addressof(byte))))",
        "PR_SET_SYSCALL_USER_DISPATCH",
    ),
    kind(
        "a program that waits for its vfork child",
        "ready()\ncall(56, 0x4000 | 17, 0, 0, 0, 0)\ntime.sleep(100000)",
        "cannot be stopped",
    ),
];
#[cfg(not(target_arch = "x86_64"))]
const ARCHITECTURE: &[Kind] = &[];

const KINDS: &[Kind] = &[
    kind(
        "more than the disk has room for",
        "s = os.statvfs('/home/user')\nfd = os.open('/home/user/full', os.O_CREAT | os.O_RDWR)\nos.unlink('/home/user/full')\n\
         half = s.f_bavail * s.f_frsize // 2 + (64 << 20)\n\
         must(libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(half)))",
        "more than the disk has room for",
    ),
    kind(
        "a large file that was deleted and is open",
        "fd = os.open('/home/user/large', os.O_CREAT | os.O_RDWR)\nos.unlink('/home/user/large')\n\
         must(libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(4096 << 20)))",
        "a deleted file",
    ),
    kind(
        "a program under a debugger (gdb, strace)",
        "child = subprocess.Popen(['sleep', '100000'])\nmust(libc.ptrace(0x4206, child.pid, 0, 0))",
        "traced by python3",
    ),
    kind("a sandbox: user namespace", "must(libc.unshare(0x10000000))", "user namespace"),
    by_root(
        "a sandbox: pid namespace",
        "must(libc.unshare(0x20000000))\nif os.fork() == 0: time.sleep(100000)",
        "pid namespace",
    ),
    by_root("a sandbox: ipc namespace", "must(libc.unshare(0x08000000))", "ipc namespace"),
    by_root("a sandbox: uts namespace", "must(libc.unshare(0x04000000))", "uts namespace"),
    by_root("a sandbox: cgroup namespace", "must(libc.unshare(0x02000000))", "cgroup namespace"),
    by_root("a sandbox: time namespace", "must(libc.unshare(0x80))", "time namespace"),
    kind("a sandbox in the making (landlock)", "fd = call(444, struct.pack('Q', 1), 8, 0)", "landlock"),
    kind(
        "a sandbox: rights given up (landlock)",
        "fd = call(444, struct.pack('Q', 1), 8, 0)\nlibc.prctl(38, 1, 0, 0, 0)\ncall(446, fd, 0)\nos.close(fd)",
        "given up rights",
    ),
    by_root("a mount in the making (fsopen)", "fd = call(430, b'tmpfs', 0)", "fscontext"),
    kind("secret memory (memfd_secret)", "fd = call(447, 0)", "nobody else may read"),
    kind("a file in huge pages", "fd = os.memfd_create('huge', os.MFD_HUGETLB)", "huge pages"),
    kind("a socket: virtual machines (vsock)", "s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)", "VSOCK"),
    by_root("a socket: packets of the network card (XDP)", "s = socket.socket(44, socket.SOCK_RAW, 0)", "XDP"),
    kind(
        "a TCP connection that was not accepted",
        "server = socket.create_server(('127.0.0.1', 0))\nclient = socket.create_connection(server.getsockname())",
        "not accepted",
    ),
    kind(
        "a Unix connection that was not accepted and has brought data",
        "server = socket.socket(socket.AF_UNIX)\nserver.bind('\\0waits')\nserver.listen(3)\n\
         client = socket.socket(socket.AF_UNIX)\nclient.connect('\\0waits')\nclient.send(b'hello')",
        "not accepted",
    ),
    kind(
        "messages of the kernel that were not read (netlink)",
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\ns.bind((0, 0))\n\
         s.send(struct.pack('IHHIIxxxx', 20, 18, 0x301, 1, 0))",
        "netlink",
    ),
    kind(
        "a datagram that is held back (UDP_CORK)",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('127.0.0.1', 9))\n\
         s.setsockopt(17, 1, 1)\ns.send(b'half')",
        "UDP_CORK",
    ),
    kind(
        "a socket that hears chosen senders of a group",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nl = socket.inet_aton('127.0.0.1')\n\
         s.setsockopt(0, 39, socket.inet_aton('239.1.2.3') + l + l)",
        "chosen senders",
    ),
    kind(
        "a directory whose changes are told by signals (F_NOTIFY)",
        "import fcntl, signal\nsignal.signal(29, signal.SIG_IGN)\nfd = os.open('/tmp', 0)\n\
         fcntl.fcntl(fd, 1026, struct.unpack('i', struct.pack('I', 0x80000008))[0])",
        "F_NOTIFY",
    ),
    Kind {
        name: "a semaphore that is given back at the end of a process (SEM_UNDO)",
        guest: "s = must(libc.semget(4711, 1, 0o1600))\n\
                must(libc.semop(s, struct.pack('HhH', 0, 1, 0x1000), 1))",
        root: false,
        object: "SEM_UNDO",
        clean: "ipcrm -S 4711",
    },
    kind(
        "many lines that were typed into a terminal and not read",
        "m, s = os.openpty()\nos.write(m, b'123456789\\n' * 350)\ntime.sleep(0.1)",
        "many lines that were typed",
    ),
    kind(
        "a message that comes with its sender's credentials",
        "a, b = socket.socketpair()\nb.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)\na.send(b'x')",
        "messages with credentials",
    ),
    kind(
        "datagrams that were not read (UDP)",
        "a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))\na.bind(('127.0.0.1', 0))\n\
         b.sendto(b'x', a.getsockname())",
        "not yet read all UDP datagrams",
    ),
    kind(
        "a connection within the session whose other end does not read (TCP)",
        "server = socket.create_server(('127.0.0.1', 0))\nclient = socket.create_connection(server.getsockname())\n\
         end, _ = server.accept()\nclient.setblocking(False)\n\
         try:\n while True: client.send(bytes(1 << 16))\nexcept BlockingIOError: pass",
        "not yet sent all over a connection",
    ),
    kind("a pipe that keeps writes apart", "r, w = os.pipe2(os.O_DIRECT)", "keeps writes apart"),
    kind("a semaphore of eventfd(2)", "fd = os.eventfd(1, os.EFD_SEMAPHORE)", "EFD_SEMAPHORE"),
    kind("an eventfd(2) with a large count", "fd = os.eventfd(0)\nos.eventfd_write(fd, 10 ** 12)", "more than 32 bits"),
    by_root("file events of fanotify", "fd = must(libc.fanotify_init(0x200, 0))", "fanotify"),
    kind(
        "half of a rename that was not read (inotify)",
        "fd = libc.inotify_init1(0)\nos.makedirs('/tmp/half', exist_ok=True)\nopen('/tmp/half/a', 'w').close()\n\
         must(libc.inotify_add_watch(fd, b'/tmp/half', 0xc0))\nos.rename('/tmp/half/a', '/tmp/half/b')\nos.read(fd, 32)",
        "half of a rename",
    ),
    kind(
        "a watch on a directory that was deleted and is open (inotify)",
        "fd = libc.inotify_init1(0)\nos.mkdir('/home/user/gone')\nd = os.open('/home/user/gone', 0)\n\
         must(libc.inotify_add_watch(fd, b'/home/user/gone', 0x100))\nos.rmdir('/home/user/gone')",
        "was deleted and is still open",
    ),
    kind(
        "a watch on files that the kernel makes as they are read (inotify)",
        "fd = libc.inotify_init1(0)\nmust(libc.inotify_add_watch(fd, b'/proc/self', 2))",
        "as those of /proc",
    ),
    kind(
        "an empty message that was not read",
        "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\na.send(b'')",
        "an empty message",
    ),
    kind(
        "messages of several senders with names",
        "a, b, c = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3))\n\
         for s, name in (a, '\\0a'), (b, '\\0b'), (c, '\\0c'): s.bind(name)\n\
         a.sendto(b'one', '\\0c')\nb.sendto(b'two', '\\0c')",
        "messages whose sender",
    ),
    Kind {
        name: "a POSIX message queue",
        guest: "fd = must(libc.mq_open(b'/queue', 0o102, 0o600, 0))",
        root: false,
        object: "message queue /queue open",
        clean: "rm -f /dev/mqueue/queue",
    },
    Kind {
        name: "a POSIX message queue that nobody has open",
        guest: "os.close(must(libc.mq_open(b'/alone', 0o102, 0o600, 0)))",
        root: false,
        object: "message queue, /alone",
        clean: "rm -f /dev/mqueue/alone",
    },
    by_root(
        "a file of a file system that was unmounted",
        "must(libc.mount(b'none', b'/mnt', b'tmpfs', 0, None))\nf = open('/mnt/file', 'w')\nmust(libc.umount2(b'/mnt', 2))",
        "not mounted any more",
    ),
    Kind {
        name: "a file system of a type that cannot be saved",
        guest: "must(libc.mount(b'none', b'/mnt', b'ramfs', 0, None))",
        root: true,
        object: "type ramfs is mounted on /mnt",
        clean: "umount /mnt",
    },
    Kind {
        name: "a part of the session's files that is mounted once more (bind mount)",
        guest: "must(libc.mount(b'/home', b'/mnt', None, 4096, None))",
        root: true,
        object: "a bind mount at /mnt",
        clean: "umount /mnt",
    },
    Kind {
        name: "an overlay within the session",
        guest: "must(libc.mount(b'none', b'/mnt', b'tmpfs', 0, None))\nfor d in 'luwm': os.mkdir('/mnt/' + d)\n\
                must(libc.mount(b'none', b'/mnt/m', b'overlay', 0, b'lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w,userxattr'))",
        root: true,
        object: "type overlay is mounted on /mnt/m",
        clean: "umount /mnt/m && umount /mnt",
    },
];

fn word<'a>(finding: &'a Value, field: &str) -> &'a str {
    finding[field].as_str().unwrap_or_default()
}

/// What `check` reports of the session.
fn findings(stage: &Stage, session: &str) -> Result<Vec<Value>> {
    let report = stage.ctl(&["check", session])?;
    ensure!([0, 4].contains(&report.code), "{}", report.tell());
    Ok(report.json()?["findings"].as_array().cloned().unwrap_or_default())
}

fn until_savable(stage: &Stage, session: &str) -> Result<()> {
    let nothing = || {
        let found = findings(stage, session)?;
        Ok(found.iter().all(|f| f["blocking"] == false).then_some(()))
    };
    eventually(LIMIT, "nothing stops a save", nothing)
}

/// Starts a guest in a window with its own name; answers once it is ready.
fn start(stage: &Stage, session: &str, guest: &str, root: bool) -> Result<i32> {
    stage.inside(session, &["sudo", "rm", "-f", "/tmp/ready"])?;
    let script = format!("{HEAD}{guest}{TAIL}");
    let options: &[&str] = if root { &["--root"] } else { &[] };
    let command = ["exec python3 -c \"$1\" 2>/tmp/problem", "sh", &script];
    let started = stage.json(&[&["exec", session], options, &["--", "sh", "-c"], &command].concat())?;
    let pid = started["pid"].as_i64().context("its pid")?;
    let done = eventually(LIMIT, "the guest is ready", || {
        let asked = "cat /tmp/problem /tmp/ready 2>/dev/null";
        let said = stage.inside(session, &["sudo", "sh", "-c", &format!("{asked}; true")])?;
        Ok((!said.is_empty()).then_some(said))
    })?;
    ensure!(done == "ready", "the guest fails: {done}");
    Ok(pid.try_into()?)
}

/// Makes one kind of trouble; answers its line of the table.
fn is_found(stage: &Stage, session: &str, kind: &Kind) -> Result<String> {
    let guest = start(stage, session, kind.guest, kind.root)?;
    let line = is_named_and_refused(stage, session, kind);
    // What is traced, or waited for, is the guest's child.
    let all = format!("pkill -9 -P {guest}; kill -9 {guest}; {}", kind.clean);
    stage.inside(session, &["sudo", "sh", "-c", &all])?;
    until_savable(stage, session)?;
    line
}

fn is_named_and_refused(stage: &Stage, session: &str, kind: &Kind) -> Result<String> {
    let found = findings(stage, session)?;
    let blocking: Vec<&Value> = found.iter().filter(|f| f["blocking"] == true).collect();
    let finding = blocking.iter().find(|f| word(f, "object").contains(kind.object));
    let finding = *finding.with_context(|| format!("nothing about {:?} in {found:?}", kind.object))?;
    ensure!(finding["pid"].as_u64().is_some_and(|p| p >= 1) && !word(finding, "application").is_empty(), "{finding}");
    ensure!(!word(finding, "remedy").is_empty(), "{finding}");

    let (stored, pids) = (stage.stored()?, stage.pids(session)?);
    let error = stage.ctl(&["save", session])?.refused(4, "Refused")?;
    let (message, hint) = (word(&error, "message"), word(&error, "hint"));
    // Figures, as of what is free, are other ones a moment later.
    ensure!(
        plain(message).contains(&plain(word(finding, "object"))) && hint.contains(word(finding, "remedy")),
        "{error}"
    );
    ensure!(stage.stored()? == stored, "something is left: {:?}", stage.stored());
    ensure!(stage.pids(session)? == pids, "the session is not as it was");

    Ok(format!("| {} | {} | {} |\n", kind.name, plain(word(finding, "object")), plain(word(finding, "remedy"))))
}

/// Without the numbers that are other ones each time.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        let changes = plain.ends_with(['(', ':', '…']) || [" of ", "kill "].iter().any(|word| plain.ends_with(word));
        match character.is_ascii_digit() && changes {
            true if plain.ends_with('…') => {}
            true => plain.push('…'),
            false => plain.push(character),
        }
    }
    plain
}

#[test]
fn whatever_the_engine_refuses_is_found_before() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        until_savable(stage, &session)?;
        stage.settled_pids(&session)?;
        let mut table = String::from(
            "# What stops a save\n\n`sessionctl check SESSION` reports it, and every save looks for it before it touches anything. \
             Made by `tests/tests/e2e/preflight.rs`, \
             whose programs have no window: of an application that has one, the remedy is to close it.\n\n| what | what is told | what to do |\n| --- | --- | --- |\n",
        );
        let mut missing = Vec::new();
        for kind in KINDS.iter().chain(ARCHITECTURE) {
            match is_found(stage, &session, kind) {
                Ok(line) => table.push_str(&line),
                Err(error) => missing.push(format!("{}: {error:#}", kind.name)),
            }
        }
        ensure!(missing.is_empty(), "{}", missing.join("\n"));
        // None of that has harmed it.
        stage.save(&session)?;
        if std::env::var_os("FREEZEFRAME_WRITE_DOCS").is_some() {
            std::fs::write(TABLE, &table).context(TABLE)?;
        }
        let written = std::fs::read_to_string(Path::new(TABLE)).context(TABLE)?;
        ensure!(
            written == table,
            "{TABLE} is not what is told; the head of this test says how to make it again:\n{table}"
        );
        Ok(())
    });
}

#[test]
fn what_only_the_engine_knows_is_named_with_its_application() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        // What is on its way between two sockets is in no process.
        let guest = format!(
            "{HEAD}fd = call(444, struct.pack('Q', 1), 8, 0)\na, b = socket.socketpair()\n\
             socket.send_fds(a, [b'x'], [fd])\nos.close(fd){TAIL}"
        );
        stage.put(&session, "/home/user/guest", &guest)?;
        stage.launch(&session, &["xterm", "-T", "a guest", "-e", "python3", "/home/user/guest"])?;
        stage.wait_for_window(&session, "^a guest$")?;
        stage.file_inside(&session, "/tmp/ready")?;
        until_savable(stage, &session)?;
        let pids = stage.settled_pids(&session)?;
        let error = stage.ctl(&["save", &session])?.refused(4, "Refused")?;
        let message = word(&error, "message");
        for named in ["python3", "“a guest”", "of a kind that cannot be saved", "landlock-ruleset"] {
            ensure!(message.contains(named), "{error}");
        }
        ensure!(word(&error, "hint").contains("close the application"), "{error}");
        ensure!(stage.pids(&session)? == pids, "the session is not as it was");
        stage.inside(&session, &["pkill", "python3"])?;
        stage.save(&session)?;
        Ok(())
    });
}

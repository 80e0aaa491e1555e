//! A machine in QEMU that runs the tests and powers off.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::packages::{Kernel, done};

/// How long the tests may take by emulation, where the same takes half a minute without it.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// Programs of busybox that the init calls, and the shell that tests start.
const PROGRAMS: [&str; 10] = ["sh", "mount", "mkdir", "ip", "insmod", "cat", "poweroff", "sleep", "true", "setsid"];

/// Ended with the value.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots `kernel` with the program of the tests, which runs those whose names hold `only`; answers what it printed, line by line.
///
/// # Errors
/// When it cannot be booted, or does not end.
pub(crate) fn run(kernel: &Kernel, tests: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let archive = kernel.directory.join("initrd");
    pack(kernel, tests, &archive)?;
    // The clock of the processor: another would keep programs from reading the time without a system call. What the kernel does
    // not know goes into the init's environment.
    let mut line = "console=ttyS0 quiet panic=-1 clocksource=tsc tsc=reliable".to_owned();
    if let Some(word) = only {
        line += &format!(" FREEZEFRAME_ONLY={word}");
    }
    let child = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048", "-nodefaults", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio"])
        .args(["-append", &line])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&archive)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("qemu-system-x86_64 cannot be run; `make setup-kernels` installs what is missing")?;
    let mut machine = Machine(child);
    let console = machine.0.stdout.take().context("console")?;
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let (begun, mut lines) = (Instant::now(), Vec::new());
    loop {
        match receive.recv_timeout(LIMIT.saturating_sub(begun.elapsed())) {
            Ok(line) => {
                // Emulation is slow: people see how far it is.
                crate::say(format_args!("  {line}"))?;
                lines.push(line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(lines),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let last = lines.iter().rev().take(20).rev().cloned().collect::<Vec<_>>().join("\n");
                bail!("it did not end within {} minutes; it printed last:\n{last}", LIMIT.as_secs() / 60);
            }
        }
    }
}

/// Packs the file system that the kernel boots into.
fn pack(kernel: &Kernel, tests: &Path, archive: &Path) -> Result<()> {
    let root = tempfile::tempdir()?;
    let place = |name: &str| root.path().join(name);
    for directory in ["bin", "proc", "sys", "dev", "tmp", "modules", "etc", "root"] {
        fs::create_dir(place(directory))?;
    }
    fs::copy("/bin/busybox", place("bin/busybox")).context("/bin/busybox; `make setup-kernels` installs it")?;
    for program in PROGRAMS {
        std::os::unix::fs::symlink("busybox", place("bin").join(program))?;
    }
    fs::write(place("etc/passwd"), "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")?;
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_name().context("a module without a name")?;
        fs::copy(module, place("modules").join(name))?;
        order += &format!("{}\n", name.to_string_lossy());
    }
    fs::write(place("modules/order"), order)?;
    fs::copy(tests, place("tests"))?;
    done(Command::new("strip").arg("--strip-debug").arg(place("tests")))?;
    for library in libraries(tests)? {
        let to = place(library.to_string_lossy().trim_start_matches('/'));
        fs::create_dir_all(to.parent().context("a library without a directory")?)?;
        fs::copy(&library, to)?;
    }
    fs::write(place("init"), include_str!("init.sh"))?;
    fs::set_permissions(place("init"), fs::Permissions::from_mode(0o755))?;
    let script = "find . -print0 | cpio --null --create --format=newc --owner=0:0 --quiet > \"$0\"";
    done(Command::new("sh").args(["-c", script]).arg(archive).current_dir(root.path()))?;
    Ok(())
}

/// The libraries that a program is linked with, the loader among them (ldd(1)).
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let said = done(Command::new("ldd").arg(program))?;
    let found: Vec<PathBuf> = said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect();
    ensure!(!found.is_empty(), "ldd finds no libraries of {}", program.display());
    Ok(found)
}

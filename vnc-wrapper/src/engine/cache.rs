//! What CRIU has found out about the kernel, kept from one session to the next. CRIU keeps that in /run (`KDAT_CACHE`,
//! criu/kerndat.c), which is each supervisor's own; asking again takes a tenth of a second.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where CRIU has it.
const OF_CRIU: &str = "/run/criu.kdat";
/// The name of the copy in the user's runtime directory: the boot's id, then what CRIU wrote.
const NAME: &str = ".criu.kdat";
/// Changes when the machine starts again, perhaps with another kernel (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Longest cache that is read, in bytes; CRIU's has less than a thousand.
const MAX_BYTES: u64 = 1 << 16;

/// Gives CRIU what an earlier session has kept in `runtime`. Without it CRIU only has more to ask.
pub fn give(runtime: &Path) {
    let given = (|| {
        let Some(cache) = of_this_boot(&read(&copy(runtime))?)? else { return Ok(()) };
        write(Path::new(OF_CRIU), &cache)
    })();
    told("give CRIU what it knew", given);
}

/// Keeps in `runtime` what CRIU has found out, if that is not kept already.
pub(super) fn keep(runtime: &Path) {
    let kept = (|| {
        let copy = copy(runtime);
        let whole = [fs::read(BOOT_ID)?, read(Path::new(OF_CRIU))?].concat();
        if read(&copy).is_ok_and(|have| have == whole) {
            return Ok(());
        }
        let partial = copy.with_extension(std::process::id().to_string());
        write(&partial, &whole)?;
        fs::rename(&partial, &copy)
    })();
    told("keep what CRIU knows", kept);
}

fn copy(runtime: &Path) -> PathBuf {
    runtime.join(NAME)
}

fn of_this_boot(whole: &[u8]) -> io::Result<Option<Vec<u8>>> {
    Ok(whole.strip_prefix(&*fs::read(BOOT_ID)?).map(<[u8]>::to_vec))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

fn told(what: &str, outcome: io::Result<()>) {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::warn!("cannot {what}: {error}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_before_a_start_of_the_machine_is_not_believed() {
        let now = fs::read(BOOT_ID).unwrap();
        assert_eq!(of_this_boot(&[&*now, b"known"].concat()).unwrap(), Some(b"known".to_vec()));
        assert_eq!(of_this_boot(b"00000000-0000-0000-0000-000000000000\nknown").unwrap(), None);
    }
}

//! Where a process can be had to enter the kernel: the kernel's own part of its memory (vdso(7)).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// The instruction `syscall`.
const INSTRUCTION: [u8; 2] = [0x0f, 0x05];

/// Where a process has the instruction for system calls: in the kernel's own part of its memory (vdso(7)).
///
/// # Errors
/// When it has ended, or has no such part.
pub fn instruction(pid: u32) -> io::Result<u64> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    for (from, to) in parts(&fs::read_to_string(format!("/proc/{pid}/maps"))?) {
        let mut code = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
        memory.read_exact_at(&mut code, from)?;
        if let Some(at) = code.windows(INSTRUCTION.len()).position(|bytes| bytes == INSTRUCTION) {
            return Ok(from + at as u64);
        }
    }
    Err(io::Error::other("it has no vdso"))
}

/// Where the kernel's own parts are in a process' memory (proc_pid_maps(5)).
fn parts(maps: &str) -> Vec<(u64, u64)> {
    let part = |line: &str| {
        let (from, to) = line.strip_suffix("[vdso]")?.split_once(' ')?.0.split_once('-')?;
        let number = |hex| u64::from_str_radix(hex, 16).ok();
        number(from).zip(number(to)).filter(|(from, to)| from < to)
    };
    maps.lines().filter_map(part).collect()
}

/// Whether threads of process `pid` can be had to make system calls: it has such a part, which is of 64 bits (`EI_CLASS`,
/// elf(5)).
///
/// # Errors
/// When it has ended.
pub fn can_call(pid: u32) -> io::Result<bool> {
    const CLASS: u64 = 4;
    const CLASS_64: u8 = 2;
    let Some((from, _)) = parts(&fs::read_to_string(format!("/proc/{pid}/maps"))?).first().copied() else {
        return Ok(false);
    };
    let mut class = [0];
    File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut class, from + CLASS)?;
    Ok(class == [CLASS_64])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_have_the_instruction_in_the_kernels_part() {
        let own = std::process::id();
        assert!(can_call(own).unwrap());
        #[cfg(target_arch = "x86_64")]
        assert!(instruction(own).is_ok());
        let maps =
            "7ffd1000-7ffd3000 r--p 00000000 00:00 0    [vvar]\n7ffd3000-7ffd5000 r-xp 00000000 00:00 0    [vdso]\n";
        assert_eq!(parts(maps), [(0x7ffd_3000, 0x7ffd_5000)]);
        assert_eq!(parts("x-y [vdso]\n[vdso]\n"), []);
    }
}

//! Reading the kernel's memory, by a BPF program of our own (bpf(2)): what no system call tells without changing it.
//!
//! It needs CAP_BPF and CAP_PERFMON, which root has, and a kernel that is not locked down. The program copies up to
//! [`MOST`] bytes with `bpf_probe_read_kernel`, which fails for addresses that are not there, into a map.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The most that is read at once.
const MOST: usize = 4096;

/// Commands of bpf(2).
const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP: libc::c_int = 1;
const PROGRAM_LOAD: libc::c_int = 5;
const PROGRAM_RUN: libc::c_int = 10;
/// `BPF_MAP_TYPE_ARRAY`, `BPF_PROG_TYPE_SYSCALL`, `BPF_F_SLEEPABLE`.
const ARRAY: u32 = 2;
const SYSTEM_CALL: u32 = 31;
const SLEEPABLE: u32 = 1 << 4;
/// Helpers (bpf-helpers(7)).
const LOOK_UP: i32 = 1;
const CURRENT_TASK: i32 = 35;
const READ_KERNEL: i32 = 113;

/// The parts of `union bpf_attr` that the commands take; it is 0 from there on.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    words: [u64; 16],
}

impl Attributes {
    fn new(words: &[u64]) -> Self {
        let mut all = Self::default();
        all.words[..words.len()].copy_from_slice(words);
        all
    }
}

/// Two 32-bit members that follow each other.
fn pair(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        u64::from(first) | u64::from(second) << 32
    } else {
        u64::from(second) | u64::from(first) << 32
    }
}

/// What the program is given and gives back.
#[repr(C)]
struct Context {
    address: u64,
    length: u64,
}

/// One instruction (Documentation/bpf/standardization/instruction-set.rst).
fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { to | from << 4 } else { from | to << 4 };
    let mut bytes = [code, registers, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
    bytes[4..].copy_from_slice(&value.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

/// With an address of 0: the task that runs it goes into `address`. Else: `length` bytes from `address` go into the map.
fn program(map: i32) -> [u64; 23] {
    let i = instruction;
    [
        i(0xbf, 6, 1, 0, 0),            // r6 = context
        i(0x79, 1, 6, 0, 0),            // r1 = address
        i(0x55, 1, 0, 4, 0),            // if r1 != 0 goto read
        i(0x85, 0, 0, 0, CURRENT_TASK), // r0 = task
        i(0x7b, 6, 0, 0, 0),            // address = r0
        i(0xb7, 0, 0, 0, 0),            // r0 = 0
        i(0x95, 0, 0, 0, 0),            // exit
        i(0x79, 7, 6, 8, 0),            // read: r7 = length
        i(0x25, 7, 0, 12, MOST as i32), // if r7 > MOST goto failed
        i(0x62, 10, 0, -4, 0),          // key = 0
        i(0x18, 1, 1, 0, map),          // r1 = map
        i(0, 0, 0, 0, 0),
        i(0xbf, 2, 10, 0, 0),          // r2 = stack
        i(0x07, 2, 0, 0, -4),          // r2 = &key
        i(0x85, 0, 0, 0, LOOK_UP),     // r0 = the map's only value
        i(0x15, 0, 0, 5, 0),           // if r0 == 0 goto failed
        i(0xbf, 1, 0, 0, 0),           // r1 = value
        i(0xbf, 2, 7, 0, 0),           // r2 = length
        i(0x79, 3, 6, 0, 0),           // r3 = address
        i(0x85, 0, 0, 0, READ_KERNEL), // r0 = bpf_probe_read_kernel
        i(0x95, 0, 0, 0, 0),           // exit
        i(0xb7, 0, 0, 0, 1),           // failed: r0 = 1
        i(0x95, 0, 0, 0, 0),           // exit
    ]
}

/// The kernel's memory.
#[derive(Debug)]
pub struct Memory {
    map: OwnedFd,
    program: OwnedFd,
}

impl Memory {
    /// Makes it readable.
    ///
    /// # Errors
    /// When the kernel does not let us.
    pub fn open() -> io::Result<Self> {
        let map = bpf(MAP_CREATE, &mut Attributes::new(&[pair(ARRAY, 4), pair(MOST as u32, 1)]))?;
        // SAFETY: BPF_MAP_CREATE returned a new descriptor, which nobody else owns.
        let map = unsafe { OwnedFd::from_raw_fd(map) };
        let code = program(map.as_raw_fd());
        let licence = c"GPL";
        let mut attributes = Attributes::new(&[
            pair(SYSTEM_CALL, code.len() as u32),
            code.as_ptr() as u64,
            licence.as_ptr() as u64,
            0,
            0,
            pair(0, SLEEPABLE),
        ]);
        let program = bpf(PROGRAM_LOAD, &mut attributes)?;
        // SAFETY: BPF_PROG_LOAD returned a new descriptor, which nobody else owns.
        Ok(Self { map, program: unsafe { OwnedFd::from_raw_fd(program) } })
    }

    /// Address of this thread's `struct task_struct`.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn own_task(&self) -> io::Result<u64> {
        let mut context = Context { address: 0, length: 0 };
        self.run(&mut context)?;
        Ok(context.address)
    }

    /// `length` bytes from `address` on.
    ///
    /// # Errors
    /// When they are not there.
    pub fn read(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        if length > MOST || address == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.run(&mut Context { address, length: length as u64 })?;
        let (key, mut value) = (0u32, vec![0u8; MOST]);
        let map = self.map.as_raw_fd().unsigned_abs();
        let (key, to) = (&raw const key as u64, value.as_mut_ptr() as u64);
        bpf(MAP_LOOKUP, &mut Attributes::new(&[pair(map, 0), key, to]))?;
        value.truncate(length);
        Ok(value)
    }

    /// The word of 64 bits at `address`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn word(&self, address: u64) -> io::Result<u64> {
        let bytes = self.read(address, 8)?;
        Ok(u64::from_ne_bytes(bytes.try_into().map_err(|_| io::ErrorKind::UnexpectedEof)?))
    }

    fn run(&self, context: &mut Context) -> io::Result<()> {
        let program = self.program.as_raw_fd().unsigned_abs();
        let (at, length) = (&raw mut *context as u64, size_of::<Context>() as u32);
        let mut attributes = Attributes::new(&[pair(program, 0), 0, 0, 0, 0, pair(length, 0), at]);
        bpf(PROGRAM_RUN, &mut attributes)?;
        // `retval` is the second word.
        let returned = attributes.words[0] ^ pair(program, 0);
        if returned == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EFAULT)) }
    }
}

fn bpf(command: libc::c_int, attributes: &mut Attributes) -> io::Result<i32> {
    let (at, length) = (&raw mut *attributes, size_of::<Attributes>());
    // SAFETY: `at` is a `union bpf_attr` of that length; every address in it is of a live value as large as the command
    // takes it to be: the map's value has MOST bytes, its key 4, the context its own length.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

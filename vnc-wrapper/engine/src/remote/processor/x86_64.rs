//! x86-64. Sources: the System V ABI, `arch/x86/entry/entry_64.S`, `arch/x86/kernel/signal.c`, syscall(2).

use std::io;

use libc::pid_t;

use crate::remote::{Call, ENTRY};
use crate::sys::ptrace;

/// As a manifest writes it.
pub const NAME: &str = "x86_64";

/// Bytes below the stack pointer that a function may use without saying so.
pub const RED_ZONE: u64 = 128;

/// The end of the addresses that a program gets without asking for more (TASK_SIZE with four levels of page tables).
pub const USER_END: u64 = (1 << 47) - 4096;

/// arch_prctl(2) that maps the vdso: `ARCH_MAP_VDSO_64`, arch/x86/include/uapi/asm/prctl.h.
pub const VDSO_CALL: u64 = 0x2003;

/// Makes one call and stops: `syscall`, `int3`.
pub const CALL_CODE: [u8; 3] = [0x0f, 0x05, 0xcc];

/// `syscall`; both bytes wherever they stand in executable memory do.
const INSTRUCTION: [u8; 2] = [0x0f, 0x05];

/// Segment of 32-bit code, `__USER32_CS`.
const CODE_32: u64 = 0x23;

const EINTR: i64 = -(libc::EINTR as i64);
const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
const ERESTARTNOHAND: i64 = -514;
const ERESTART_RESTARTBLOCK: i64 = -516;

/// Calls that the kernel ends with `EINTR` for a mere stop, although nothing was delivered and nothing done: signal(7),
/// "Interruption of system calls and library functions by stop signals", and reads and writes of sockets with a timeout.
const ENDED_BY_STOPS: [i64; 23] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_io_getevents,
    333, // io_pgetevents, which libc does not name
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
];

/// The same for 32-bit programs: their numbers, `arch/x86/entry/syscalls/syscall_32.tbl`.
const ENDED_BY_STOPS_32: [i64; 24] = [
    3, 4, 102, 117, 145, 146, 177, 245, 256, 319, 337, 345, 362, 364, 369, 370, 371, 372, 385, 416, 417, 420, 421, 441,
];

/// The general registers, `struct user_regs_struct`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    words: [u64; 27],
}

// Places in `struct user_regs_struct`.
const R13: usize = 2;
const R12: usize = 3;
const R10: usize = 7;
const R9: usize = 8;
const R8: usize = 9;
const RAX: usize = 10;
const RDX: usize = 12;
const RSI: usize = 13;
const RDI: usize = 14;
const ORIG_RAX: usize = 15;
const RIP: usize = 16;
const CS: usize = 17;
const FLAGS: usize = 18;
const RSP: usize = 19;
const FS_BASE: usize = 21;

/// The direction flag and the trap flag: the list's code and calls want neither.
const TRAP_AND_DIRECTION: u64 = 1 << 8 | 1 << 10;

impl Registers {
    /// The registers of a stopped thread.
    ///
    /// # Errors
    /// `ESRCH` when it is gone or not stopped; `Unsupported` for a 32-bit program, which has another set.
    pub fn of(tid: pid_t) -> io::Result<Self> {
        let mut bytes = [0; 27 * 8];
        let length = ptrace::registers(tid, ptrace::PRSTATUS, &mut bytes)?;
        if length != bytes.len() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the thread runs 32-bit code"));
        }
        let mut words = [0; 27];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        Ok(Self { words })
    }

    /// Puts them into a stopped thread.
    ///
    /// # Errors
    /// `ESRCH` when it is gone or not stopped; `EIO` for values that the processor refuses.
    pub fn give(&self, tid: pid_t) -> io::Result<()> {
        ptrace::set_registers(tid, ptrace::PRSTATUS, &self.bytes())
    }

    /// The place of the next instruction.
    #[must_use]
    pub fn instruction(&self) -> u64 {
        self.words[RIP]
    }

    /// The stack pointer.
    #[must_use]
    pub fn stack(&self) -> u64 {
        self.words[RSP]
    }

    /// The thread pointer: the base of `fs`.
    #[must_use]
    pub fn thread_pointer(&self) -> u64 {
        self.words[FS_BASE]
    }

    /// The number of the call that a stop interrupted, if one was.
    #[must_use]
    pub fn interrupted_call(&self) -> Option<u64> {
        // A call ends here with a number from the kernel's own range of restart codes, or with EINTR.
        let code = matches!(
            self.words[RAX] as i64,
            EINTR | ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK
        );
        (code && self.words[ORIG_RAX] as i64 >= 0).then_some(self.words[ORIG_RAX])
    }

    /// The whole register set, as the kernel reads and writes it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// The arguments of the interrupted call.
    #[must_use]
    pub fn arguments(&self) -> [u64; 6] {
        [RDI, RSI, RDX, R10, R8, R9].map(|place| self.words[place])
    }

    /// Whether the kernel would go on with the interrupted call by restart_syscall(2), from what it keeps of it.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.result() == ERESTART_RESTARTBLOCK && self.interrupted_call().is_some()
    }

    /// These registers, with the interrupted call begun again as the thread made it, unless a signal comes first.
    #[must_use]
    pub fn from_the_start(mut self) -> Self {
        self.words[RAX] = ERESTARTNOHAND as u64;
        self
    }

    /// What a call left behind.
    #[must_use]
    pub fn result(&self) -> i64 {
        self.words[RAX] as i64
    }

    /// These registers, about to make `call` by the instruction at `at`, with no call to begin again.
    #[must_use]
    pub fn making(mut self, at: u64, call: &Call) -> Self {
        self.words[RIP] = at;
        self.words[RAX] = call.number;
        self.words[ORIG_RAX] = u64::MAX;
        for (place, argument) in [RDI, RSI, RDX, R10, R8, R9].into_iter().zip(call.arguments) {
            self.words[place] = argument;
        }
        self
    }

    /// These registers, with no call to make or to begin again.
    #[must_use]
    pub fn idle(mut self, at: u64) -> Self {
        self.words[RIP] = at;
        self.words[ORIG_RAX] = u64::MAX;
        self.words[RAX] = 0;
        self
    }

    /// These registers, about to run [`LIST_CODE`] at `code` over `count` calls at `list`.
    #[must_use]
    pub fn running(mut self, code: u64, list: u64, count: u64) -> Self {
        self.words[RIP] = code;
        self.words[ORIG_RAX] = u64::MAX;
        self.words[R12] = list;
        self.words[R13] = count;
        self.words[FLAGS] &= !TRAP_AND_DIRECTION;
        self
    }

    /// These registers with the stack pointer `at`.
    #[must_use]
    pub fn with_stack(mut self, at: u64) -> Self {
        self.words[RSP] = at;
        self
    }

    /// A register set as a record has it.
    ///
    /// # Errors
    /// `InvalidData` when it is of another length, `Unsupported` when it is of a 32-bit thread.
    pub fn parse(bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() != 27 * 8 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} bytes are no registers", bytes.len())));
        }
        let mut words = [0; 27];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        if words[CS] == CODE_32 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the thread runs 32-bit code"));
        }
        Ok(Self { words })
    }

    /// Whether the kernel goes on with the interrupted call by what it keeps of it (restart_syscall(2)).
    #[must_use]
    pub fn restarts(&self) -> bool {
        self.words[RAX] as i64 == ERESTART_RESTARTBLOCK && self.words[ORIG_RAX] as i64 >= 0
    }

    /// These registers after the interrupted call has ended with `result`.
    #[must_use]
    pub fn answered(mut self, result: i64) -> Self {
        self.words[RAX] = result as u64;
        self.words[ORIG_RAX] = u64::MAX;
        self
    }

    /// How many calls of its list a thread in [`LIST_CODE`] has not finished.
    #[must_use]
    pub fn left_of_list(&self) -> u64 {
        self.words[R13]
    }

    /// If a mere stop ended a call with `EINTR`: these registers with a code that has the kernel begin the call again, or,
    /// should a signal be delivered first, end it with `EINTR` after all.
    ///
    /// Right only in a stop that no signal caused, before anything was delivered.
    #[must_use]
    pub fn begun_again(mut self) -> Option<Self> {
        let calls: &[i64] = if self.words[CS] == CODE_32 { &ENDED_BY_STOPS_32 } else { &ENDED_BY_STOPS };
        let ended = self.words[RAX] as i64 == EINTR && calls.contains(&(self.words[ORIG_RAX] as i64));
        self.words[RAX] = ERESTARTNOHAND as u64;
        ended.then_some(self)
    }
}

/// Where in `code` a system call can be made.
#[must_use]
pub fn find_instruction(code: &[u8]) -> Option<usize> {
    code.windows(INSTRUCTION.len()).position(|two| two == INSTRUCTION)
}

/// A program of one page at `address`, which holds `code` behind its headers: the ELF file, and where the code begins.
#[must_use]
pub fn program(address: u64, code: &[u8]) -> (Vec<u8>, u64) {
    // Elf64_Ehdr and two Elf64_Phdr of elf(5): EM_X86_64, ET_EXEC; what is loaded, and a stack that cannot be executed.
    const HEADERS: u64 = 64 + 2 * 56;
    let length = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, numbers: &[u16]| numbers.iter().for_each(|n| file.extend(n.to_le_bytes()));
    let word = |file: &mut Vec<u8>, numbers: &[u32]| numbers.iter().for_each(|n| file.extend(n.to_le_bytes()));
    let long = |file: &mut Vec<u8>, numbers: &[u64]| numbers.iter().for_each(|n| file.extend(n.to_le_bytes()));
    half(&mut file, &[2, 62]);
    word(&mut file, &[1]);
    long(&mut file, &[address + HEADERS, 64, 0]);
    word(&mut file, &[0]);
    half(&mut file, &[64, 56, 2, 64, 0, 0]);
    word(&mut file, &[1, 5]);
    long(&mut file, &[0, address, address, length, length, 4096]);
    word(&mut file, &[0x6474_e551, 6]);
    long(&mut file, &[0, 0, 0, 0, 0, 16]);
    file.extend(code);
    (file, address + HEADERS)
}

/// Makes the calls of a list and stops. r12: the list, r13: how many; an entry is number, six arguments, result.
pub const LIST_CODE: [u8; 56] = [
    0x4d,
    0x85,
    0xed, // 1: test r13, r13
    0x74,
    0x32, // jz 2f
    0x49,
    0x8b,
    0x04,
    0x24, // mov rax, [r12]
    0x49,
    0x8b,
    0x7c,
    0x24,
    0x08, // mov rdi, [r12 + 8]
    0x49,
    0x8b,
    0x74,
    0x24,
    0x10, // mov rsi, [r12 + 16]
    0x49,
    0x8b,
    0x54,
    0x24,
    0x18, // mov rdx, [r12 + 24]
    0x4d,
    0x8b,
    0x54,
    0x24,
    0x20, // mov r10, [r12 + 32]
    0x4d,
    0x8b,
    0x44,
    0x24,
    0x28, // mov r8, [r12 + 40]
    0x4d,
    0x8b,
    0x4c,
    0x24,
    0x30, // mov r9, [r12 + 48]
    0x0f,
    0x05, // syscall
    0x49,
    0x89,
    0x44,
    0x24,
    0x38, // mov [r12 + 56], rax
    0x49,
    0x83,
    0xc4,
    ENTRY as u8, // add r12, 64
    0x49,
    0xff,
    0xcd, // dec r13
    0xeb,
    0xc9, // jmp 1b
    0xcc, // 2: int3
];

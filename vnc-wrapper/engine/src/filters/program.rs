//! Programs of seccomp filters: what the kernel takes, and what it answers to a call (seccomp(2);
//! `seccomp_check_filter` and `seccomp_run_filters` in kernel/seccomp.c, `bpf_check_classic` in net/core/filter.c).

/// Bytes of one instruction (`struct sock_filter`, linux/filter.h).
pub const INSTRUCTION: usize = 8;
/// The most instructions of a program (`BPF_MAXINSNS`).
pub const MOST: usize = 4096;
/// `AUDIT_ARCH_X86_64` (linux/audit.h).
pub const X86_64: u32 = 0xC000_003E;

/// The words of `struct seccomp_data`: 64 bytes.
const WORDS: usize = 16;
/// Words of memory that a program has (`BPF_MEMWORDS`).
const MEMORY: usize = 16;
/// The part of an answer that says what is done (`SECCOMP_RET_ACTION_FULL`).
const ACTION: u32 = libc::SECCOMP_RET_ACTION_FULL;

/// A call as a filter sees it (`struct seccomp_data`, linux/seccomp.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Its number.
    pub number: u32,
    /// Whose numbers it has (`AUDIT_ARCH_*`).
    pub architecture: u32,
    /// Behind the instruction that makes it.
    pub instruction: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl Data {
    fn word(&self, at: usize) -> u32 {
        // The words of a number stand as the processor has them: the low one first.
        let half = |number: u64, at: usize| (number >> (32 * (at & 1))) as u32;
        match at {
            0 => self.number,
            1 => self.architecture,
            2 | 3 => half(self.instruction, at),
            _ => half(self.arguments[(at - 4) / 2 % 6], at),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u32,
    when: usize,
    otherwise: usize,
    k: u32,
}

/// A program that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Vec<Instruction>);

const SIZE_MODE: u32 = 0xf8;
const SOURCE: u32 = libc::BPF_X;

impl Program {
    /// Reads what seccomp(2) is given; none for what the kernel refuses by `EINVAL`.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (pieces, rest) = bytes.as_chunks::<INSTRUCTION>();
        if pieces.is_empty() || pieces.len() > MOST || !rest.is_empty() {
            return None;
        }
        let instructions: Vec<Instruction> = pieces
            .iter()
            .map(|[a, b, when, otherwise, k @ ..]| Instruction {
                code: u16::from_ne_bytes([*a, *b]).into(),
                when: (*when).into(),
                otherwise: (*otherwise).into(),
                k: u32::from_ne_bytes(*k),
            })
            .collect();
        let last = instructions.len() - 1;
        let fits = |(at, it): (usize, &Instruction)| it.is_known() && it.jumps_within(last - at);
        let whole = instructions.iter().enumerate().all(fits);
        let ends = instructions[last].code & 7 == libc::BPF_RET;
        (whole && ends && memory_is_written_first(&instructions)).then_some(Self(instructions))
    }

    /// How many instructions it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Whether its answer may depend on where a call is made.
    #[must_use]
    pub fn looks_at_place(&self) -> bool {
        self.0.iter().any(|it| it.code == libc::BPF_LD | libc::BPF_ABS && [8, 12].contains(&it.k))
    }

    /// What it returns for a call: an action (`SECCOMP_RET_*`) and its data.
    #[must_use]
    pub fn answer(&self, data: &Data) -> u32 {
        let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; MEMORY]);
        let mut at = 0;
        while let Some(it) = self.0.get(at) {
            at += 1;
            let place = it.k as usize % MEMORY;
            let operand = if it.code & SOURCE == 0 { it.k } else { x };
            match it.code & 7 {
                libc::BPF_LD | libc::BPF_LDX => {
                    let value = match it.code & SIZE_MODE {
                        libc::BPF_ABS => data.word(it.k as usize / 4),
                        libc::BPF_LEN => (4 * WORDS) as u32,
                        libc::BPF_MEM => memory[place],
                        // BPF_IMM.
                        _ => it.k,
                    };
                    *(if it.code & 7 == libc::BPF_LD { &mut a } else { &mut x }) = value;
                }
                libc::BPF_ST => memory[place] = a,
                libc::BPF_STX => memory[place] = x,
                libc::BPF_ALU => match arithmetic(it.code & 0xf0, a, operand) {
                    Some(value) => a = value,
                    // The kernel ends a program that divides by zero, with 0.
                    None => return 0,
                },
                libc::BPF_JMP => {
                    at += match it.code & 0xf0 {
                        libc::BPF_JA => it.k as usize,
                        compare => {
                            let holds = match compare {
                                libc::BPF_JEQ => a == operand,
                                libc::BPF_JGT => a > operand,
                                libc::BPF_JGE => a >= operand,
                                // BPF_JSET.
                                _ => a & operand != 0,
                            };
                            if holds { it.when } else { it.otherwise }
                        }
                    };
                }
                libc::BPF_RET => return if it.code & 0x18 == libc::BPF_K { it.k } else { a },
                // BPF_MISC.
                _ if it.code & 0xf8 == libc::BPF_TAX => x = a,
                _ => a = x,
            }
        }
        // Not reached: it ends by a return. 0 kills.
        0
    }
}

fn arithmetic(operation: u32, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        libc::BPF_ADD => a.wrapping_add(operand),
        libc::BPF_SUB => a.wrapping_sub(operand),
        libc::BPF_MUL => a.wrapping_mul(operand),
        libc::BPF_DIV => return a.checked_div(operand),
        libc::BPF_OR => a | operand,
        libc::BPF_AND => a & operand,
        libc::BPF_XOR => a ^ operand,
        libc::BPF_LSH => a.wrapping_shl(operand),
        libc::BPF_RSH => a.wrapping_shr(operand),
        // BPF_NEG.
        _ => a.wrapping_neg(),
    })
}

impl Instruction {
    /// Whether a filter may have it.
    fn is_known(&self) -> bool {
        let constant = self.code & SOURCE == 0;
        if self.code > 0xff {
            return false;
        }
        match self.code & 7 {
            libc::BPF_LD => match self.code & SIZE_MODE {
                libc::BPF_ABS => self.k.is_multiple_of(4) && (self.k as usize) < 4 * WORDS,
                libc::BPF_MEM => (self.k as usize) < MEMORY,
                mode => mode == libc::BPF_LEN || mode == libc::BPF_IMM,
            },
            libc::BPF_LDX => match self.code & SIZE_MODE {
                libc::BPF_MEM => (self.k as usize) < MEMORY,
                mode => mode == libc::BPF_LEN || mode == libc::BPF_IMM,
            },
            libc::BPF_ST | libc::BPF_STX => self.code & SIZE_MODE == 0 && (self.k as usize) < MEMORY,
            libc::BPF_ALU => match self.code & 0xf0 {
                libc::BPF_DIV => !constant || self.k != 0,
                libc::BPF_LSH | libc::BPF_RSH => !constant || self.k < 32,
                libc::BPF_NEG => constant,
                other => {
                    let all = [libc::BPF_ADD, libc::BPF_SUB, libc::BPF_MUL, libc::BPF_OR, libc::BPF_AND, libc::BPF_XOR];
                    all.contains(&other)
                }
            },
            libc::BPF_JMP => match self.code & 0xf0 {
                libc::BPF_JA => constant,
                other => [libc::BPF_JEQ, libc::BPF_JGT, libc::BPF_JGE, libc::BPF_JSET].contains(&other),
            },
            libc::BPF_RET => [libc::BPF_K, libc::BPF_A].contains(&(self.code & SIZE_MODE)),
            _ => [libc::BPF_TAX, libc::BPF_TXA].contains(&(self.code & SIZE_MODE)),
        }
    }

    /// Whether all its jumps end in the program, which has `behind` instructions behind it.
    fn jumps_within(&self, behind: usize) -> bool {
        match self.code & 7 {
            libc::BPF_JMP if self.code & 0xf0 == libc::BPF_JA => (self.k as usize) < behind,
            libc::BPF_JMP => self.when < behind && self.otherwise < behind,
            _ => true,
        }
    }
}

/// Whether every word of memory is written before it is read, on each way (`check_load_and_stores`).
fn memory_is_written_first(instructions: &[Instruction]) -> bool {
    let mut on_arrival = vec![u16::MAX; instructions.len()];
    let mut written = 0u16;
    for (at, it) in instructions.iter().enumerate() {
        written &= on_arrival[at];
        match it.code & 7 {
            libc::BPF_ST | libc::BPF_STX => written |= 1 << it.k,
            libc::BPF_LD | libc::BPF_LDX if it.code & SIZE_MODE == libc::BPF_MEM && written & 1 << it.k == 0 => {
                return false;
            }
            libc::BPF_JMP => {
                let ways = if it.code & 0xf0 == libc::BPF_JA { [it.k as usize; 2] } else { [it.when, it.otherwise] };
                for way in ways {
                    on_arrival[at + 1 + way] &= written;
                }
                written = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

/// What the kernel does with a call that passes through `programs`, of which the last one was installed last: the strictest
/// answer counts, and of equal ones that of the newest.
pub fn answer<'p>(programs: impl DoubleEndedIterator<Item = &'p Program>, data: &Data) -> u32 {
    let strictness = |answer: u32| (answer & ACTION).cast_signed();
    programs.rev().fold(libc::SECCOMP_RET_ALLOW, |so_far, program| {
        let answer = program.answer(data);
        if strictness(answer) < strictness(so_far) { answer } else { so_far }
    })
}

/// Whether such an answer lets the call be made.
#[must_use]
pub fn allows(answer: u32) -> bool {
    [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_LOG].contains(&(answer & ACTION))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::seccomp::testing::{answers, bytes};
    use proptest::prelude::*;

    const ERRNO: u32 = libc::SECCOMP_RET_ERRNO;

    fn statement(code: u32, k: u32) -> (u16, u8, u8, u32) {
        (code as u16, 0, 0, k)
    }

    /// Any instruction, mostly one that a filter may have.
    fn any_instruction() -> impl Strategy<Value = (u16, u8, u8, u32)> {
        let k = prop_oneof![0..20u32, (0..20u32).prop_map(|word| 4 * word), any::<u32>()];
        let code = prop_oneof![
            8 => proptest::sample::select(vec![
                0x00u16, 0x01, 0x20, 0x60, 0x61, 0x80, 0x81, 0x02, 0x03, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44,
                0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45,
                0x4d, 0x07, 0x87,
            ]),
            1 => 0..0x100u16,
            1 => any::<u16>(),
        ];
        (code, 0..4u8, 0..4u8, k)
    }

    /// A program that answers `TEST` by an error with the low bits of what `body` computes, and allows every other call.
    fn testing(body: Vec<(u16, u8, u8, u32)>) -> Vec<u8> {
        let mut program = vec![statement(0x20, 0), (0x15, 1, 0, TEST), statement(6, libc::SECCOMP_RET_ALLOW)];
        program.extend(body);
        // Where jumps of the body end.
        program.extend([statement(0x54, u32::MAX); 80]);
        program.extend([statement(0x54, 0xfff), statement(0x44, ERRNO), statement(0x16, 0)]);
        bytes(&program)
    }

    /// A call that no kernel has.
    const TEST: u32 = 3000;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn issue_10_the_kernel_takes_and_answers_what_this_does(
            body in proptest::collection::vec(any_instruction(), 0..12),
            arguments: [u64; 6],
        ) {
            // A division by zero and a return of its own can kill: these are installed only.
            let harmless = !body.iter().any(|(code, ..)| code & 7 == 6 || *code == 0x3c);
            let program = testing(body);
            let read = Program::read(&program);
            let answered = answers(&[&program], harmless.then_some(TEST), arguments);
            prop_assert_eq!(read.is_some(), answered.is_some());
            if let (true, Some(program), Some((error, instruction))) = (harmless, read, answered) {
                let data = Data { number: TEST, architecture: X86_64, instruction, arguments };
                let answer = program.answer(&data);
                prop_assert_eq!(answer & ACTION, ERRNO);
                prop_assert_eq!(answer & 0xfff, error, "{:?}", program);
            }
        }

        #[test]
        fn issue_10_no_bytes_make_it_panic(bytes: Vec<u8>, number: u32, arguments: [u64; 6]) {
            if let Some(program) = Program::read(&bytes) {
                let _ = program.answer(&Data { number, architecture: X86_64, instruction: 0, arguments });
            }
        }

        #[test]
        fn issue_10_the_strictest_of_several_counts(answers_of in proptest::collection::vec(0..4usize, 1..5)) {
            let kinds = [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_LOG, ERRNO | 7, ERRNO | 9];
            let programs: Vec<Vec<u8>> = answers_of.iter().map(|at| {
                bytes(&[statement(0x20, 0), (0x15, 1, 0, TEST), statement(6, libc::SECCOMP_RET_ALLOW), statement(6, kinds[*at])])
            }).collect();
            let (error, _) = answers(&programs.iter().map(Vec::as_slice).collect::<Vec<_>>(), Some(TEST), [0; 6]).unwrap();
            let read: Vec<Program> = programs.iter().map(|it| Program::read(it).unwrap()).collect();
            let answer = answer(read.iter(), &Data { number: TEST, ..Data::default() });
            prop_assert_eq!(if allows(answer) { libc::ENOSYS as u32 } else { answer & 0xffff }, error);
        }
    }

    #[test]
    fn issue_10_a_division_by_zero_is_answered_as_the_kernel_does() {
        let program = Program::read(&bytes(&[statement(0x3c, 0), statement(6, libc::SECCOMP_RET_ALLOW)])).unwrap();
        assert_eq!(program.answer(&Data::default()), libc::SECCOMP_RET_KILL_THREAD);
    }

    #[test]
    fn issue_10_programs_that_the_kernel_refuses_are_none() {
        let returns = statement(6, libc::SECCOMP_RET_ALLOW);
        assert!(Program::read(&bytes(&[returns])).is_some());
        for wrong in [
            vec![],
            vec![statement(0x20, 0)],
            vec![statement(0x20, 2), returns],
            vec![statement(0x20, 64), returns],
            vec![(0x15, 1, 0, 0), returns],
            vec![statement(0x60, 0), returns],
            vec![statement(0x34, 0), returns],
            vec![returns; MOST + 1],
        ] {
            assert_eq!(Program::read(&bytes(&wrong)), None, "{wrong:?}");
        }
        assert_eq!(Program::read(&bytes(&[returns])[..7]), None);
    }
}

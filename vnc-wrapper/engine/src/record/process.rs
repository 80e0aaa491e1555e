//! Processes, threads, and what belongs to them alone.

use super::wire::{Bytes, List, choice, fields};

fields! {
    /// A process, also one that has ended and waits for its parent (`/proc/PID/stat`, `/proc/PID/status`).
    pub struct Process {
        /// Its number in this snapshot, which other records refer to.
        pub id: u32,
        /// Its pids, the session's namespace first, then the nested ones (`NSpid` of `status`).
        pub pids: List<u32, 32>,
        /// The parent's number in this snapshot; none for the session's first process.
        pub parent: Option<u32>,
        /// The process group, as a pid of the session's namespace. Its leader may be gone.
        pub group: u32,
        /// The session, as a pid of the session's namespace. Its leader may be gone.
        pub session: u32,
        /// Whether it runs, and how it ended if not.
        pub state: State,
        /// The signal that its parent gets at its end; 0: none (clone(2)).
        pub exit_signal: u8,
        /// Whether orphans below it become its children (PR_GET_CHILD_SUBREAPER).
        pub subreaper: bool,
        /// The execution domain and its flags (personality(2), `/proc/PID/personality`).
        pub personality: u32,
        /// PR_GET_DUMPABLE.
        pub dumpable: u8,
        /// `/proc/PID/oom_score_adj`, from -1000 to 1000.
        pub oom_score_adj: i32,
        /// umask(2).
        pub umask: u32,
        /// The working directory, as a path in the session.
        pub directory: Bytes<4096>,
        /// The root directory, as a path in the session.
        pub root: Bytes<4096>,
        /// The number of its address space; none when it has ended.
        pub space: Option<u32>,
        /// The number of its descriptor table; none when it has ended.
        pub table: Option<u32>,
        /// The number of its signal actions; none when it has ended.
        pub actions: Option<u32>,
        /// The numbers of its namespaces, one a kind at most.
        pub namespaces: List<u32, 8>,
        /// Signals that wait for the process as a whole (PTRACE_PEEKSIGINFO_SHARED): a siginfo_t each, oldest first.
        pub signals: List<Bytes<128>, 65_536>,
        /// How its first thread ended, as wait(2) gives it (field 52 of `stat`), while other threads run on; none: it runs.
        @since 2 pub leader_ended: Option<i32>,
        /// The number of its controlling terminal (`tty_nr` of `stat`), which is that of its session; none: it has none.
        @since 3 pub terminal: Option<u32>,
    }
}

choice! {
    /// Whether a process runs.
    pub enum State {
        /// It runs, or sleeps.
        #[default]
        0 = Running,
        /// It was stopped by a signal (job control).
        1 = Stopped {
            /// The signal that stopped it.
            signal: u8,
        },
        /// It has ended, and nobody waited for it yet.
        2 = Ended {
            /// As wait(2) gives it: field 52 of `/proc/PID/stat`.
            status: i32,
        },
    }
}

fields! {
    /// A thread.
    pub struct Thread {
        /// Its process's number in this snapshot.
        pub process: u32,
        /// Its thread ids, the session's namespace first (`NSpid` of `task/TID/status`).
        pub tids: List<u32, 32>,
        /// Its name, without the zero at the end (`comm`).
        pub name: Bytes<15>,
        /// The general registers: the whole NT_PRSTATUS regset, of the processor that the content's features name.
        pub registers: Bytes<1024>,
        /// The extended state: the whole NT_X86_XSTATE regset.
        pub xstate: Bytes<16_384>,
        /// The blocked signals: bit N is signal N + 1 (PTRACE_GETSIGMASK).
        pub mask: u64,
        /// Signals that wait for this thread (PTRACE_PEEKSIGINFO): a siginfo_t each, oldest first.
        pub signals: List<Bytes<128>, 65_536>,
        /// The alternate signal stack (sigaltstack(2)).
        pub stack: AlternateStack,
        /// Its restartable sequence (PTRACE_GET_RSEQ_CONFIGURATION); none when none is registered.
        pub rseq: Option<Rseq>,
        /// The head of its list of robust futexes (get_robust_list(2)).
        pub robust: Area,
        /// The address that the kernel clears and wakes at its end (PR_GET_TID_ADDRESS); 0: none.
        pub clear_child_tid: u64,
        /// The call that goes on when the thread runs again; none when its registers say it all.
        pub restart: Option<Restart>,
        /// How it is scheduled.
        pub scheduling: Scheduling,
        /// The signal at its parent's end; 0: none (PR_GET_PDEATHSIG).
        pub parent_death_signal: u8,
        /// The number of its credentials.
        pub credentials: u32,
        /// The numbers of its seccomp filters, in the order of installation.
        pub filters: List<u32, 512>,
        /// PR_GET_TIMERSLACK, in nanoseconds.
        pub timer_slack: u64,
    }
}

fields! {
    /// A range of memory.
    pub struct Area {
        /// The first address.
        pub start: u64,
        /// The length in bytes.
        pub length: u64,
    }
}

fields! {
    /// A stack for signal handlers (`stack_t`).
    pub struct AlternateStack {
        /// Where it is.
        pub area: Area,
        /// SS_ONSTACK, SS_DISABLE, SS_AUTODISARM.
        pub flags: i32,
    }
}

fields! {
    /// A registration of rseq(2) (`struct ptrace_rseq_configuration`).
    pub struct Rseq {
        /// Where the structure is.
        pub area: Area,
        /// The signature before each abort handler.
        pub signature: u32,
        /// Its flags.
        pub flags: u32,
    }
}

fields! {
    /// A call that the kernel would go on with by restart_syscall(2): it is made again with the time that was left.
    pub struct Restart {
        /// The call's number.
        pub call: u32,
        /// Its arguments, as the thread gave them.
        pub arguments: List<u64, 6>,
        /// What is left of its time, in nanoseconds; none: no end.
        pub left: Option<u64>,
    }
}

fields! {
    /// How a thread is scheduled (sched_getattr(2), sched_getaffinity(2), ioprio_get(2)).
    pub struct Scheduling {
        /// SCHED_OTHER, SCHED_BATCH …
        pub policy: u32,
        /// SCHED_FLAG_RESET_ON_FORK and others.
        pub flags: u64,
        /// From -20 to 19.
        pub nice: i32,
        /// For the real-time policies, from 1 to 99; else 0.
        pub priority: u32,
        /// The processors it may run on, a bit each, as sched_getaffinity(2) gives them.
        pub processors: Bytes<1024>,
        /// Class and level of input and output.
        pub io_priority: u32,
    }
}

fields! {
    /// The signal actions of a process, or of several that share them (CLONE_SIGHAND).
    pub struct SignalActions {
        /// Their number in this snapshot.
        pub id: u32,
        /// Those that are not the default; each signal once, in rising order.
        pub actions: List<SignalAction, 64>,
    }
}

fields! {
    /// What happens at one signal (`struct kernel_sigaction`, rt_sigaction(2)).
    pub struct SignalAction {
        /// From 1 to 64.
        pub signal: u8,
        /// SIG_IGN or an address.
        pub handler: u64,
        /// SA_RESTART and others.
        pub flags: u64,
        /// The address that the handler returns to.
        pub restorer: u64,
        /// What is blocked while it runs.
        pub mask: u64,
    }
}

fields! {
    /// The timers of a process.
    pub struct Timers {
        /// Its process's number in this snapshot.
        pub process: u32,
        /// ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF (getitimer(2)), in microseconds.
        pub intervals: List<Time, 3>,
        /// POSIX timers (`/proc/PID/timers`, timer_gettime(2)), in nanoseconds; ids in rising order.
        pub posix: List<PosixTimer, 65_536>,
    }
}

fields! {
    /// When a timer goes off. The unit is named where it is used.
    pub struct Time {
        /// What is left until it does; 0: it is not armed.
        pub left: u64,
        /// What is between later times; 0: it goes off once.
        pub interval: u64,
    }
}

fields! {
    /// A POSIX timer (timer_create(2)).
    pub struct PosixTimer {
        /// The id that the process knows.
        pub id: i32,
        /// CLOCK_REALTIME and others.
        pub clock: i32,
        /// SIGEV_SIGNAL and others, with SIGEV_THREAD_ID.
        pub notify: i32,
        /// The signal.
        pub signal: u8,
        /// The thread that gets it, as a tid of the session's namespace; 0: the process.
        pub thread: u32,
        /// `sigev_value`.
        pub value: u64,
        /// When, in nanoseconds.
        pub time: Time,
        /// Whether it was set by an absolute time of its clock.
        pub absolute: bool,
        /// timer_getoverrun(2).
        pub overrun: u32,
    }
}

fields! {
    /// The limits of a process (prlimit(2)).
    pub struct Limits {
        /// Its process's number in this snapshot.
        pub process: u32,
        /// In the order of RLIMIT_CPU (0) to RLIMIT_RTTIME (15).
        pub limits: List<Limit, 16>,
    }
}

fields! {
    /// One limit, in that limit's unit; all bits set: none (RLIM64_INFINITY).
    pub struct Limit {
        /// What holds now.
        pub soft: u64,
        /// What it may be raised to.
        pub hard: u64,
    }
}

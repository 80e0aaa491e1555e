//! Pseudo-terminals (pty(7)) and the file systems that they are in.

use super::objects::Common;
use super::wire::{Bytes, List, choice, fields};

fields! {
    /// A devpts file system, which has pseudo-terminals numbered on its own.
    pub struct Devpts {
        /// Its number in this snapshot.
        pub id: u32,
        /// Where it is mounted in the session.
        pub path: Bytes<4096>,
        /// MOUNT_ATTR_NOSUID and others (mount_setattr(2)).
        pub attributes: u32,
        /// The access of new slaves (`mode=`).
        pub mode: u32,
        /// The access of its `ptmx` (`ptmxmode=`).
        pub ptmx_mode: u32,
        /// The owner of new slaves (`uid=`), as the session sees it; none: who makes them.
        pub user: Option<u32>,
        /// Their group (`gid=`); none: that of who makes them.
        pub group: Option<u32>,
        /// How many there may be (`max=`); none: as many as the kernel allows.
        pub most: Option<u32>,
    }
}

fields! {
    /// A pseudo-terminal: master and slave.
    pub struct Terminal {
        /// Its number in this snapshot.
        pub id: u32,
        /// The number of the devpts that it is in.
        pub devpts: u32,
        /// Its index in that, `N` of `/dev/pts/N`.
        pub index: u32,
        /// What became of its slave. Of one that was hung up, nothing else is known.
        pub life: TerminalLife,
        /// The owner of the slave's file.
        pub user: u32,
        /// Its group.
        pub group: u32,
        /// Its access.
        pub mode: u32,
        /// How it treats what is typed and shown.
        pub settings: TerminalSettings,
        /// Rows, columns, and both in pixels (TIOCGWINSZ).
        pub window: List<u16, 4>,
        /// Whether the master is in packet mode (TIOCGPKT).
        pub packet: bool,
        /// Whether the slave cannot be opened yet (TIOCGPTLCK).
        pub locked: bool,
        /// Whether the slave cannot be opened once more (TIOCGEXCL).
        pub exclusive: bool,
        /// Whether its output was stopped (Ctrl-S, tcflow(3)).
        pub stopped: bool,
        /// The session whose controlling terminal it is, as a pid of the session's namespace; 0: none.
        pub session: u32,
        /// The foreground process group (tcgetpgrp(3)); 0 without a session.
        pub foreground: u32,
        /// Lines that were typed and not read, in canonical mode.
        pub lines: List<TypedLine, 4096>,
        /// What was typed behind them: the line that is not done, or everything outside of canonical mode.
        pub typed: Bytes<4096>,
        /// Output that the master has not read.
        pub output: Bytes<262_144>,
    }
}

choice! {
    /// What became of the slave of a pseudo-terminal.
    pub enum TerminalLife {
        /// It was never opened.
        #[default]
        0 = Unopened,
        /// It was opened; it is closed if no description of it is left.
        1 = Opened,
        /// The master is closed.
        2 = HungUp,
    }
}

fields! {
    /// The settings of a terminal (`struct termios2`).
    pub struct TerminalSettings {
        /// `c_iflag`.
        pub input: u32,
        /// `c_oflag`.
        pub output: u32,
        /// `c_cflag`.
        pub control: u32,
        /// `c_lflag`.
        pub local: u32,
        /// `c_line`.
        pub line: u8,
        /// `c_cc`.
        pub characters: Bytes<19>,
        /// `c_ispeed`.
        pub input_speed: u32,
        /// `c_ospeed`.
        pub output_speed: u32,
    }
}

fields! {
    /// A line that was typed and not read: what one read(2) gives.
    pub struct TypedLine {
        /// Its bytes, with the character that ends it.
        pub bytes: Bytes<4096>,
        /// Whether no character ends it, but end of file (Ctrl-D).
        pub end_of_file: bool,
    }
}

fields! {
    /// An end of a pseudo-terminal.
    pub struct TerminalEnd {
        /// What every description has.
        pub common: Common,
        /// The number of the pseudo-terminal.
        pub terminal: u32,
        /// Which end.
        pub side: TerminalSide,
    }
}

choice! {
    /// An end of a pseudo-terminal, by how it was opened.
    pub enum TerminalSide {
        /// The slave, as `/dev/pts/N`.
        #[default]
        0 = Slave,
        /// The master, as `ptmx` of its devpts.
        1 = Master,
        /// The slave, as the controlling terminal of who opened it.
        2 = Controlling {
            /// The path, `/dev/tty`.
            path: Bytes<4096>,
        },
    }
}

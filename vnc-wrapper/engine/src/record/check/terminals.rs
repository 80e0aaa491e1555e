//! Whether the records of terminals fit together.

use std::collections::{HashMap, HashSet};

use super::values::{PID_MAX, ensure, path, refers};
use super::{Known, Result};
use crate::record::Record;
use crate::record::process::{Process, State};
use crate::record::terminals::{Devpts, Terminal, TerminalEnd, TerminalLife, TerminalSide};

/// `NR_UNIX98_PTY_MAX` (include/linux/tty.h).
const MOST: u32 = 1 << 20;
/// All bits of access.
const ACCESS: u32 = 0o7777;
/// What a terminal keeps of typed bytes (`N_TTY_BUF_SIZE`, drivers/tty/n_tty.c).
const TYPED: usize = 4096;

pub(super) fn devpts(it: &Devpts) -> Result {
    let who = format!("devpts {}", it.id);
    ensure((it.mode | it.ptmx_mode) & !ACCESS == 0, &who, || "a mode that no file has".to_owned())?;
    path(&who, &it.path)
}

impl Known<'_> {
    pub(super) fn terminal(&self, it: &Terminal) -> Result {
        let who = format!("pseudo-terminal {}", it.id);
        refers(self.devpts.contains(&it.devpts), &who, "devpts", it.devpts)?;
        ensure(it.index < MOST, &who, || format!("index {}", it.index))?;
        ensure(it.mode & !ACCESS == 0, &who, || format!("mode {:o}", it.mode))?;
        ensure(it.session <= PID_MAX && it.foreground <= PID_MAX, &who, || "its session is nobody's".to_owned())?;
        ensure((it.session == 0) == (it.foreground == 0), &who, || "a foreground group without a session".to_owned())?;
        if it.session != 0 {
            let leads = |process: &&&Process| process.pids.first() == Some(&it.session);
            let leader = self.processes.values().find(leads);
            let has = leader.is_some_and(|leader| {
                leader.terminal == Some(it.id)
                    && leader.session == it.session
                    && !matches!(leader.state, State::Ended { .. })
            });
            ensure(has, &who, || format!("process {} does not have it", it.session))?;
            let mut all = self.processes.values();
            let there = all.any(|process| process.group == it.foreground && process.session == it.session);
            ensure(there, &who, || format!("nobody of its session is in group {}", it.foreground))?;
        }
        if it.life == TerminalLife::HungUp {
            let nothing = it.session == 0 && it.lines.is_empty() && it.typed.is_empty() && it.output.is_empty();
            return ensure(nothing, &who, || "it was hung up and goes on".to_owned());
        }
        ensure(it.settings.characters.len() == 19 && it.window.len() == 4, &who, || {
            "settings or window are cut short".to_owned()
        })?;
        let typed = it.typed.len() + it.lines.iter().map(|line| line.bytes.len()).sum::<usize>();
        let canonical = it.settings.local & (libc::ICANON | libc::EXTPROC) == libc::ICANON;
        let whole = it.lines.iter().all(|line| line.end_of_file || !line.bytes.is_empty());
        ensure(typed < TYPED && whole && (canonical || it.lines.is_empty()), &who, || {
            "what was typed does not fit it".to_owned()
        })?;
        let quiet = typed == 0 && it.lines.is_empty() && it.output.is_empty() && !it.stopped && !it.exclusive;
        ensure(quiet || it.life == TerminalLife::Opened, &who, || "it was never opened and used".to_owned())
    }

    pub(super) fn terminal_end(&self, who: &str, it: &TerminalEnd) -> Result {
        let Some(terminal) = self.terminals.get(&it.terminal) else {
            return refers(false, who, "pseudo-terminal", it.terminal);
        };
        let right = match &it.side {
            TerminalSide::Master => terminal.life != TerminalLife::HungUp,
            TerminalSide::Slave => terminal.life != TerminalLife::Unopened,
            TerminalSide::Controlling { path: name } => {
                path(who, name)?;
                terminal.life == TerminalLife::Opened
            }
        };
        let plain = it.common.flags & libc::O_PATH.cast_unsigned() == 0;
        ensure(right && plain, who, || "it cannot be of that pseudo-terminal".to_owned())
    }

    /// A process has its session's controlling terminal.
    pub(super) fn controlled(&self, who: &str, it: &Process) -> Result {
        let Some(number) = it.terminal else { return Ok(()) };
        let session = self.terminals.get(&number).map(|terminal| terminal.session);
        refers(session.is_some(), who, "pseudo-terminal", number)?;
        ensure(session == Some(it.session), who, || format!("pseudo-terminal {number} is another session's"))
    }

    /// Each pseudo-terminal has its own index, and one master unless it was hung up.
    pub(super) fn terminals(&self, records: &[Record]) -> Result {
        let mut indices = HashSet::new();
        let mut masters: HashMap<u32, u32> = HashMap::new();
        for record in records {
            match record {
                Record::Terminal(it) => {
                    let who = format!("pseudo-terminal {}", it.id);
                    let new = indices.insert((it.devpts, it.index));
                    ensure(new, &who, || format!("index {} is another's too", it.index))?;
                }
                Record::TerminalEnd(it) if it.side == TerminalSide::Master => {
                    *masters.entry(it.terminal).or_default() += 1;
                }
                _ => {}
            }
        }
        self.terminals.values().try_for_each(|it| {
            let who = format!("pseudo-terminal {}", it.id);
            let found = masters.get(&it.id).copied().unwrap_or(0);
            let wanted = u32::from(it.life != TerminalLife::HungUp);
            ensure(found == wanted, &who, || format!("it has {found} masters"))
        })
    }
}

//! A normal user, made for one test.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::outcome::finish;
use crate::wait::eventually;

/// Nothing of it takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A user of this machine with ranges of subordinate ids. Dropping it removes the user.
#[derive(Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl User {
    /// Makes one, as root.
    ///
    /// # Errors
    /// When `useradd` does not, or the packages passwd and uidmap are missing.
    pub fn create() -> Result<Self> {
        let name = format!("fftest{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        ensure!(on_path("newuidmap"), "newuidmap is missing: apt install uidmap");
        // Not a system user: it is given ranges in /etc/subuid and /etc/subgid.
        finish(Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", &name]), LIMIT)?.done()?;
        let mut user = Self { name, uid: 0, gid: 0 };
        let number = |option: &str| -> Result<u32> {
            let said = finish(Command::new("id").args([option, &user.name]), LIMIT)?.done()?;
            said.trim().parse().context("what id says")
        };
        let (uid, gid) = (number("-u")?, number("-g")?);
        (user.uid, user.gid) = (uid, gid);
        let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
        ensure!(
            ranges.lines().any(|l| l.starts_with(&format!("{}:", user.name))),
            "useradd gave {} no range in /etc/subuid: see SUB_UID_COUNT in /etc/login.defs",
            user.name
        );
        Ok(user)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // A process that is ending still counts for userdel.
        let removed = eventually(LIMIT, "userdel removes the user", || {
            finish(Command::new("userdel").arg(&self.name), LIMIT)?.done().map(Some)
        });
        if let Err(error) = removed {
            eprintln!("the user {} is left: {error:#}", self.name);
        }
    }
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).is_file()))
}

//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::variables::{Variable, variable};

/// Runs whole desktops, saves them, and resumes them from any saved point.
#[derive(Debug, Parser)]
#[command(name = "sessionctl", version, propagate_version = true)]
pub struct Cli {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make, list and remove bases, which sessions start from
    #[command(subcommand)]
    Base(BaseVerb),
    /// Start a session; prints its name
    Start(Start),
    /// List the sessions
    List,
    /// Run a program in a session, on its display, as its user
    Exec(Exec),
    /// Save a session; prints the snapshot's id
    Save(Save),
    /// List the snapshots
    Timeline(Timeline),
    /// Show all that is known of a snapshot
    Show(OneSnapshot),
    /// Resume a snapshot; prints the session's name
    Resume(Resume),
    /// End a session; of a crashed one, remove what is left
    Stop(Stop),
    /// Look at a session
    View(View),
    /// Write a session's display, or a snapshot's thumbnail, as PNG
    Screenshot(Screenshot),
    /// Look for what could not be saved
    Check(OneSession),
    /// Change the words for a snapshot
    Label(Label),
    /// Keep a snapshot through every retention rule
    Pin(OneSnapshot),
    /// Take a pin away
    Unpin(OneSnapshot),
    /// Take a snapshot off the timeline; undelete brings it back
    Delete(OneSnapshot),
    /// Bring a deleted snapshot back
    Undelete(OneSnapshot),
    /// Write a snapshot to a file, signed with your key
    Export(Export),
    /// Import a snapshot from a file
    Import(Import),
    /// Print your public key, which receivers of your exports trust
    Key,
    /// List the keys of others that you trust
    Trusted,
    /// Trust a key no more
    Distrust {
        /// The key, as `sessionctl trusted` lists it
        key: String,
    },
    /// Read snapshots back, and tell what is damaged; exit code 1 when something is
    Verify(Verify),
    /// Take away what no snapshot needs, and what was deleted long enough ago
    Gc(Gc),
    /// Tell which files and windows differ between two snapshots
    Compare(Compare),
    /// Show the settings, or change them
    Settings {
        /// What to set, such as automatic=true, keep_daily=7 or shortcuts.snapshot=F9; nothing shows all
        #[arg(value_name = "KEY=VALUE", value_parser = setting)]
        changes: Vec<(String, String)>,
    },
    /// Tell what the snapshots of each session take
    Storage,
    /// Tell which snapshots would go by the rules in config.toml, and why
    Retention(Retention),
    /// Tell what this machine lacks, and the command that mends it
    Doctor,
    /// Print completions for a shell
    Completions {
        /// bash, zsh or fish
        shell: Shell,
    },
    /// Print the man page
    #[command(hide = true)]
    Man,
}

/// Verbs on bases.
#[derive(Debug, Subcommand)]
pub enum BaseVerb {
    /// Build a base from Debian packages
    Build {
        /// The recipe
        #[arg(default_value = "xfce")]
        profile: String,
        /// Another name than the recipe's
        #[arg(long)]
        name: Option<String>,
    },
    /// Import a base from a tar (plain, gzip or zstd), such as `docker export` writes
    Import {
        /// The base's name
        name: String,
        /// The file; - for standard input
        tar: PathBuf,
    },
    /// List the bases
    List,
    /// Remove a base that no session and no snapshot stands on
    Remove {
        /// The base's name
        name: String,
    },
}

/// `start`.
#[derive(Debug, Args)]
pub struct Start {
    /// The session's name
    #[arg(long)]
    pub name: Option<String>,
    /// The base to start from
    #[arg(long)]
    pub base: Option<String>,
    /// Size of the display, such as 1280x800
    #[arg(long)]
    pub size: Option<String>,
    /// none or outbound
    #[arg(long)]
    pub network: Option<String>,
}

/// `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The session
    pub session: String,
    /// Relay standard input, output, error and the exit status
    #[arg(long)]
    pub wait: bool,
    /// As the session's root
    #[arg(long)]
    pub root: bool,
    /// Working directory inside the session
    #[arg(long)]
    pub directory: Option<String>,
    /// A variable to add to the environment: NAME for the value that it has here, or NAME=VALUE
    ///
    /// Other users can read a VALUE on a command line until this program has hidden it. Give a secret by NAME, or by --env-file.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    pub environment: Vec<Variable>,
    /// A file of variables, one in each line, as --env has them; - for standard input
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `save`.
#[derive(Debug, Args)]
pub struct Save {
    /// The session; without it, the only running one
    pub session: Option<String>,
    /// Your words for the snapshot
    #[arg(long)]
    pub label: Option<String>,
    /// End the session once the snapshot is whole and was restored on the side
    #[arg(long)]
    pub stop: bool,
    /// Restore the snapshot on the side, without running it, to see that it can be resumed
    #[arg(long)]
    pub verify: bool,
    /// Wait until the snapshot is packed, too
    #[arg(long)]
    pub wait: bool,
}

/// `timeline`.
#[derive(Debug, Args)]
pub struct Timeline {
    /// Only of this session
    #[arg(long)]
    pub session: Option<String>,
    /// Only with these words in label, session or windows
    #[arg(long)]
    pub search: Option<String>,
    /// Deleted ones too
    #[arg(long)]
    pub deleted: bool,
}

/// A verb on one snapshot.
#[derive(Debug, Args)]
pub struct OneSnapshot {
    /// Its id or the beginning of it, latest, yesterday, or "@{2 hours ago}"
    pub snapshot: String,
}

/// A verb on one session.
#[derive(Debug, Args)]
pub struct OneSession {
    /// Its name or the beginning of it
    pub session: String,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Its id or the beginning of it, latest, yesterday, or "@{2 hours ago}"
    pub snapshot: String,
    /// Beside the running session rather than in its place
    #[arg(long)]
    pub alongside: bool,
    /// The new session's name
    #[arg(long)]
    pub name: Option<String>,
}

/// `stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// The session
    pub session: String,
    /// Save it first
    #[arg(long)]
    pub save: bool,
}

/// `view`.
#[derive(Debug, Args)]
pub struct View {
    /// The session
    pub session: String,
    /// In an external viewer ($FREEZEFRAME_VNC_CLIENT, else vncviewer)
    #[arg(long)]
    pub client: bool,
}

/// `screenshot`.
#[derive(Debug, Args)]
pub struct Screenshot {
    /// A session or a snapshot
    pub what: String,
    /// The file; - for standard output
    pub file: PathBuf,
}

/// `label`.
#[derive(Debug, Args)]
pub struct Label {
    /// Its id or the beginning of it, latest, yesterday, or "@{2 hours ago}"
    pub snapshot: String,
    /// The words; none takes them away
    #[arg(default_value = "")]
    pub text: String,
}

/// `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Its id or the beginning of it, latest, yesterday, or "@{2 hours ago}"
    pub snapshot: String,
    /// The file; - for standard output
    pub file: PathBuf,
    /// The base too, for receivers that do not have it
    #[arg(long)]
    pub with_base: bool,
}

/// `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The file; - for standard input
    pub file: PathBuf,
    /// A key to trust this time, as its owner's `sessionctl key` prints it: that its owner's programs may run in your sessions,
    /// and that CRIU, as root, may read what they saved. What it restores is checked before it runs
    #[arg(long)]
    pub trust: Option<String>,
    /// Trust that key from now on, under this name: whose it is, in your words
    #[arg(long, value_name = "NAME", requires = "trust")]
    pub remember: Option<String>,
}

/// `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The one to compare with
    pub first: String,
    /// The one that is compared
    pub second: String,
}

/// `gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// How long deleted snapshots stay, as "1 day" or 0s; as configured without it
    #[arg(long, value_name = "DURATION")]
    pub keep_deleted: Option<String>,
}

/// `retention`.
#[derive(Debug, Args)]
pub struct Retention {
    /// Delete what would go; undelete brings it back until gc
    #[arg(long)]
    pub apply: bool,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// One snapshot; without it, all
    pub snapshot: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_lines_of_the_contract_are_understood() {
        for line in [
            "base build",
            "base build minimal",
            "base import NAME TAR",
            "base list",
            "base remove NAME",
            "start --name n --base b --size 1280x800 --network none",
            "list --json",
            "exec SESSION --wait --root -- COMMAND --an-option",
            "exec SESSION -- COMMAND",
            "exec SESSION --env A=1 --env B --env-file - -- COMMAND",
            "save",
            "save SESSION --label TEXT --stop --wait",
            "timeline --session S --search TEXT",
            "show latest",
            "resume SNAPSHOT --alongside --name NAME",
            "stop SESSION --save",
            "view SESSION --client",
            "screenshot SESSION FILE.png",
            "check SESSION",
            "label SNAPSHOT TEXT",
            "pin SNAPSHOT",
            "unpin SNAPSHOT",
            "delete SNAPSHOT",
            "undelete SNAPSHOT",
            "export SNAPSHOT FILE",
            "export SNAPSHOT FILE --with-base",
            "import FILE",
            "import FILE --trust KEY",
            "import FILE --trust KEY --remember NAME",
            "key",
            "trusted",
            "distrust KEY",
            "verify",
            "verify SNAPSHOT",
            "gc",
            "gc --keep-deleted 0s",
            "retention",
            "retention --apply",
            "compare FIRST latest",
            "settings",
            "settings automatic=true keep_daily=7",
            "storage",
            "doctor",
            "completions bash",
        ] {
            let words = std::iter::once("sessionctl").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        assert!(Cli::try_parse_from(["sessionctl", "exec", "SESSION"]).is_err());
    }
}

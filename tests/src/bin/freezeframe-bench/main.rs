//! `make bench`: how long a save pauses a desktop and how long a resume takes, beside CRIU called by hand; what snapshots
//! cost in the store, and how fast it is ([`store`]); how soon and how smoothly a desktop is seen ([`view`]).
//! `freezeframe-bench pause`, `freezeframe-bench store` and `freezeframe-bench view` measure only that, and a number at the
//! end is that of the rounds.
//!
//! Freezeframe and CRIU called by hand do the same with the same desktop in the same run, one after the other, with the same options of CRIU. By hand
//! means: `criu dump --leave-running` whose post-dump script copies the whole layer with `cp -a`, and `criu restore` onto
//! a copy of that layer, as anybody would write it. The order of the two changes from round to round.

mod desk;
mod store;
mod view;

use std::fs;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freezeframe_tests::{Cache, Programs, Stage, finish};

use crate::desk::Desk;

const ROUNDS: usize = 7;
const LIMIT: Duration = Duration::from_secs(120);
/// As the wrapper's engine has them.
const OPTIONS: [&str; 12] = [
    "--tcp-established",
    "--ext-unix-sk",
    "--file-locks",
    "--shell-job",
    "--link-remap",
    "--ghost-limit",
    "100M",
    "--manage-cgroups=ignore",
    "--network-lock",
    "skip",
    "--external",
    "mnt[]:ms",
];
const RESTORE: &str = r#"set -e
mkdir "$TRY" "$TRY/work" "$TRY/root" "$TRY/log"
cp -a "$COPY" "$TRY/layer"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$TRY/layer,workdir=$TRY/work,index=on,nfs_export=on" "$TRY/root"
"$@" --images-dir "$IMAGES" --work-dir "$TRY/log" -o restore.log --pidfile "$TRY/log/pid" --root "$TRY/root" \
    --restore-detached >/dev/null 2>&1
echo restored
# Everything that was restored ends with this shell, which is the first process of their namespace.
read -r _ || true
"#;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nIt did not work: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn line(text: &str) -> Result<()> {
    writeln!(stdout(), "{text}").context("standard output")
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let only_store = arguments.next_if(|word| word == "store").is_some();
    let only_view = arguments.next_if(|word| word == "view").is_some();
    let only_pauses = arguments.next_if(|word| word == "pause").is_some();
    let rounds = match arguments.next() {
        Some(text) => text.parse().context("the number of rounds")?,
        None => ROUNDS,
    };
    ensure!(rounds > 0, "at least one round");
    if only_view {
        return view::measure(rounds);
    }
    ensure!(nix::unistd::geteuid().is_root(), "this needs root, as CRIU does");
    let programs = Programs::find()?;
    Cache::fill(&programs, &["xfce"], |stage| {
        // A bench whose output nobody reads any more goes on all the same.
        let _ = line(&format!("preparing: {stage}"));
    })?;
    if !only_store {
        pauses(rounds)?;
    }
    if only_pauses {
        return Ok(());
    }
    store::measure(&programs, rounds)?;
    if only_store { Ok(()) } else { view::measure(rounds) }
}

fn pauses(rounds: usize) -> Result<()> {
    let stage = Stage::new(&["xfce"])?;
    let outcome = measure_all(&stage, rounds);
    if outcome.is_err() {
        eprintln!("{}", stage.logs());
    }
    outcome
}

fn measure_all(stage: &Stage, rounds: usize) -> Result<()> {
    let bench = Bench::new(stage)?;
    line(&format!("CRIU {}, {rounds} rounds, after one that warms up; milliseconds\n", bench.version()?))?;
    bench.desk.open_applications()?;
    bench.desktop("XFCE with an editor, a terminal and vim", rounds)?;
    bench.desk.open_browser()?;
    bench.desktop("The same with Firefox", rounds)
}

/// What one way took, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Took {
    pause: f64,
    resume: f64,
}

struct Bench<'a> {
    desk: Desk<'a>,
    criu: Vec<String>,
    base: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(stage: &'a Stage) -> Result<Self> {
        let cache = Cache::find()?;
        Ok(Self { desk: Desk::start(stage)?, criu: criu(&cache)?, base: cache.base("xfce")?.join("root") })
    }

    fn version(&self) -> Result<String> {
        let said = finish(self.hand().arg("--version"), LIMIT)?.done()?;
        Ok(said.lines().next().unwrap_or_default().trim_start_matches("Version: ").to_owned())
    }

    fn hand(&self) -> Command {
        let mut command = Command::new(&self.criu[0]);
        command.args(&self.criu[1..]);
        command
    }

    fn desktop(&self, name: &str, rounds: usize) -> Result<()> {
        let processes = self.desk.stage.processes(&self.desk.session)?;
        line(&format!("{name} ({} processes)", processes.len()))?;
        let mut pairs = Vec::new();
        for round in 0..=rounds {
            let (ours, hand) = if round % 2 == 0 {
                let ours = self.ours()?;
                (ours, self.by_hand()?)
            } else {
                let hand = self.by_hand()?;
                (self.ours()?, hand)
            };
            if round > 0 {
                pairs.push((ours, hand));
            }
            let label = if round == 0 { "warm-up".to_owned() } else { format!("round {round}") };
            line(&format!(
                "  {label:<9} pause {:>6.0} by hand {:>6.0}    resume {:>6.0} by hand {:>6.0}",
                ours.pause, hand.pause, ours.resume, hand.resume
            ))?;
        }
        summary("pause", &pairs, |took| took.pause)?;
        summary("resume", &pairs, |took| took.resume)?;
        line("")
    }

    /// `sessionctl save`, and `sessionctl resume --alongside`.
    fn ours(&self) -> Result<Took> {
        written_back()?;
        let saved = self.desk.stage.json(&["save", &self.desk.session])?;
        let pause = saved["pause_ms"].as_f64().context("pause_ms")?;
        let id = saved["snapshot"].as_str().context("snapshot")?;
        written_back()?;
        let resumed = self.desk.stage.json(&["resume", id, "--alongside", "--name", "resumed"])?;
        let resume = resumed["resume_ms"].as_f64().context("resume_ms")?;
        self.desk.stage.json(&["stop", "resumed"])?;
        Ok(Took { pause, resume })
    }

    fn by_hand(&self) -> Result<Took> {
        let scratch = tempfile::Builder::new().prefix("hand.").tempdir_in(self.desk.stage.directory())?;
        let pause = self.dump_by_hand(scratch.path())?;
        let resume = self.restore_by_hand(scratch.path())?;
        Ok(Took { pause, resume })
    }

    fn dump_by_hand(&self, scratch: &Path) -> Result<f64> {
        let session = self.desk.stage.data().join("sessions").join(&self.desk.session);
        let images = scratch.join("images");
        fs::create_dir(&images)?;
        let script = scratch.join("copy");
        let copy = format!(
            "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-dump ] || exec cp -a {} {}\n",
            session.join("layer").display(),
            scratch.join("layer").display()
        );
        fs::write(&script, copy)?;
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let supervisor = self.desk.stage.supervisor(&self.desk.session)?;
        let processes = self.desk.stage.processes(&self.desk.session)?;
        let init = processes.get(&1).and_then(|p| p.pids.iter().rev().nth(1)).context("the session's init")?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", supervisor.pid)).args(["--mount", "--pid", "--"]).args(&self.criu);
        command.args(["dump", "--leave-running", "--tree", &init.to_string()]).args(OPTIONS);
        command.arg("--images-dir").arg(&images).args(["-o", "dump.log"]).arg("--root").arg(session.join("root"));
        command.arg("--action-script").arg(&script);
        written_back()?;
        let outcome = finish(&mut command, LIMIT)?;
        ensure!(outcome.code == 0, "criu dump by hand failed:\n{}", last_lines(&images.join("dump.log")));
        let statistics = fs::read(images.join("stats-dump"))?;
        let [freezing, frozen] = dump_times(&statistics).context("criu's stats-dump cannot be read")?;
        Ok((freezing + frozen) as f64 / 1e3)
    }

    fn restore_by_hand(&self, scratch: &Path) -> Result<f64> {
        let trial = scratch.join("try");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--cgroup", "--mount-proc", "--kill-child"]);
        command.args(["sh", "-c", RESTORE, "sh"]).args(&self.criu).arg("restore").args(OPTIONS);
        command.env("TRY", &trial).env("COPY", scratch.join("layer")).env("IMAGES", scratch.join("images"));
        command.env("LOWER", &self.base).stdin(Stdio::piped()).stdout(Stdio::piped());
        written_back()?;
        let began = Instant::now();
        let mut child = command.spawn().context("cannot start unshare")?;
        let mut word = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut word)?;
        let took = began.elapsed();
        drop(child.stdin.take());
        child.wait()?;
        ensure!(word == "restored\n", "criu restore by hand failed:\n{}", last_lines(&trial.join("log/restore.log")));
        Ok(took.as_secs_f64() * 1e3)
    }
}

/// The CRIU that the sessions of this run use: the private copy of the cache, else the machine's own.
fn criu(cache: &Cache) -> Result<Vec<String>> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    if let Some(copy) = cache.engines()?.pop() {
        for (loader, libraries) in [
            ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
            ("usr/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
        ] {
            if copy.join(loader).is_file() {
                let libraries = text(copy.join(libraries));
                return Ok(vec![
                    text(copy.join(loader)),
                    "--library-path".into(),
                    libraries,
                    text(copy.join("usr/sbin/criu")),
                ]);
            }
        }
    }
    let own = ["/usr/local/sbin/criu", "/usr/sbin/criu", "/sbin/criu"].into_iter().find(|p| Path::new(p).is_file());
    match own {
        Some(own) => Ok(vec![own.to_owned()]),
        None => bail!("there is no CRIU to call by hand"),
    }
}

/// What earlier rounds left to be written to disk is not to slow the next one.
fn written_back() -> Result<()> {
    finish(&mut Command::new("sync"), LIMIT)?.done().map(drop)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Microseconds until all had stopped, and until they ran again, of criu's images/stats.proto: two magic numbers, a
/// length, and a message whose field 1 is a message in which these are fields 1 and 2.
fn dump_times(bytes: &[u8]) -> Option<[u64; 2]> {
    let mut rest = bytes.get(12..)?;
    (varint(&mut rest)? == 0x0a).then_some(())?;
    varint(&mut rest)?;
    let mut times = [0; 2];
    for (number, time) in times.iter_mut().enumerate() {
        (varint(&mut rest)? == (number as u64 + 1) << 3).then_some(())?;
        *time = varint(&mut rest)?;
    }
    Some(times)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn summary(name: &str, pairs: &[(Took, Took)], of: impl Fn(&Took) -> f64) -> Result<()> {
    let ours = median(pairs.iter().map(|(ours, _)| of(ours)).collect());
    let hand = median(pairs.iter().map(|(_, hand)| of(hand)).collect());
    let ratios: Vec<f64> = pairs.iter().map(|(ours, hand)| of(ours) / of(hand)).collect();
    let (least, most) = ratios.iter().fold((f64::MAX, f64::MIN), |(l, m), r| (l.min(*r), m.max(*r)));
    line(&format!(
        "  {name:<7} median {ours:.0}, by hand {hand:.0}; ratio, pair by pair: median {:.2}, {least:.2} to {most:.2}",
        median(ratios)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn times_of_a_dump_are_read() {
        let mut bytes = vec![0; 12];
        bytes.extend([0x0a, 7, 0x08, 0xac, 0x02, 0x10, 0xf0, 0xa2, 0x04]);
        assert_eq!(dump_times(&bytes), Some([300, 70_000]));
        assert_eq!(dump_times(&bytes[..15]), None);
    }
}

//! What snapshots cost in the store, and how fast it takes them and gives them back, beside restic, and tar with zstd.
//!
//! All of them are given the same dump in the same run, in a store or repository or file of their own that was empty
//! before, with everything in the page cache; the order changes from round to round.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freezeframe_store::{Manifest, SnapshotId, Store, usage};
use freezeframe_tests::{Programs, Stage, eventually, finish, keys};

use crate::desk::Desk;
use crate::{LIMIT, line, median, written_back};

const SAVES: usize = 10;
/// From one save to the next.
const APART: Duration = Duration::from_secs(5);
/// A fast typist.
const KEYSTROKE: Duration = Duration::from_millis(80);
/// Somebody who skims.
const SCREENFUL: Duration = Duration::from_millis(250);

/// Everything about the store; `rounds` of each speed.
pub(crate) fn measure(programs: &Programs, rounds: usize) -> Result<()> {
    for program in ["restic", "tar", "zstd"] {
        let there = finish(Command::new(program).arg(if program == "restic" { "version" } else { "--version" }), LIMIT);
        there.with_context(|| format!("{program} is needed: apt install {program}"))?.done()?;
    }
    on_stage(|stage| {
        let desk = Desk::start(stage)?;
        desk.open_applications()?;
        let title = format!("{SAVES} saves of XFCE with an editor, a terminal and vim, left alone");
        let saves = series(&desk, &title, 5.0, || Ok(()))?;
        let first = saves.first().context("no save")?;
        speeds(stage, programs, first, rounds)
    })?;
    // In its own store: what the first save of this desktop comes to is to be all that it consists of.
    on_stage(|stage| {
        let desk = Desk::start(stage)?;
        desk.open_applications()?;
        desk.open_browser()?;
        let title = format!("{SAVES} saves of the same with Firefox, typing in the editor and scrolling Firefox");
        series(&desk, &title, 15.0, || type_and_scroll(&desk)).map(drop)
    })
}

fn on_stage(measure: impl FnOnce(&Stage) -> Result<()>) -> Result<()> {
    let stage = Stage::new(&["xfce"])?;
    let outcome = measure(&stage);
    if outcome.is_err() {
        eprintln!("{}", stage.logs());
    }
    outcome
}

/// Saves again and again and reports what each save added to the store. Calls `meanwhile` between two saves.
fn series(desk: &Desk<'_>, title: &str, limit: f64, meanwhile: impl Fn() -> Result<()>) -> Result<Vec<SnapshotId>> {
    line(title)?;
    let store = Store::open(desk.stage.data())?;
    let (mut ids, mut own) = (Vec::new(), Vec::new());
    for number in 1..=SAVES {
        let began = Instant::now();
        let id = SnapshotId::new(desk.stage.save(&desk.session)?)?;
        let bytes = eventually(LIMIT, "the snapshot is packed", || Ok(store.own_bytes(&id)?))? as f64;
        let raw = store.manifest(&id)?.raw_bytes() as f64;
        own.push(bytes);
        ids.push(id);
        line(&format!(
            "  save {number:>2}  raw {:>7.1} MB  added {:>7.2} MB  {:>5.1} % of the first",
            raw / 1e6,
            bytes / 1e6,
            bytes / own[0] * 100.0
        ))?;
        if number == 1 {
            line(&format!("  the first is stored in {:.1} % of its raw size (limit 33.3 %)", bytes / raw * 100.0))?;
        }
        if number < SAVES {
            meanwhile()?;
            std::thread::sleep(APART.saturating_sub(began.elapsed()));
        }
    }
    let later: Vec<f64> = own.iter().skip(1).map(|bytes| bytes / own[0] * 100.0).collect();
    let most = later.iter().copied().fold(0.0, f64::max);
    let mean = later.iter().sum::<f64>() / later.len() as f64;
    line(&format!(
        "  each save after the first adds, of the first: median {:.1} %, mean {mean:.1} %, at most {most:.1} % (limit {limit} %)\n",
        median(later)
    ))?;
    Ok(ids)
}

/// As long as two saves are apart, half of it each.
fn type_and_scroll(desk: &Desk<'_>) -> Result<()> {
    let (stage, session) = (desk.stage, desk.session.as_str());
    let mut viewer = stage.click_on(session, &desk.editor()?)?;
    let began = Instant::now();
    for character in "What somebody writes into a text, word by word. ".chars().cycle() {
        if began.elapsed() > APART / 2 {
            break;
        }
        viewer.press(&[u32::from(character)])?;
        std::thread::sleep(KEYSTROKE);
    }
    let mut viewer = stage.click_on(session, &desk.browser()?)?;
    let began = Instant::now();
    while began.elapsed() < APART / 2 {
        viewer.press(&[keys::PAGE_DOWN])?;
        std::thread::sleep(SCREENFUL);
    }
    viewer.sync()
}

/// Which of the ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Ours,
    Restic,
    Tar,
}

const WAYS: [Way; 3] = [Way::Ours, Way::Restic, Way::Tar];

/// What one way took for one round.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    commit: f64,
    materialise: f64,
    bytes: u64,
}

fn speeds(stage: &Stage, programs: &Programs, id: &SnapshotId, rounds: usize) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("store.").tempdir_in(stage.directory())?;
    let dump = Dump::new(scratch.path(), &Store::open(stage.data())?, id, &programs.vnc_wrapper)?;
    line(&format!(
        "Commit and materialise of that first save, {:.1} MB raw, {rounds} rounds, after one that warms up; MB/s",
        dump.raw / 1e6
    ))?;
    let mut all: Vec<[Took; 3]> = Vec::new();
    for round in 0..=rounds {
        let mut took = [Took::default(); 3];
        for turn in 0..WAYS.len() {
            let way = (turn + round) % WAYS.len();
            took[way] = dump.measure(WAYS[way])?;
        }
        let rates = |of: fn(&Took) -> f64| -> String {
            let rate = |t: &Took| format!("{:>6.0}", dump.raw / 1e6 / of(t));
            let [ours, restic, tar] = [rate(&took[0]), rate(&took[1]), rate(&took[2])];
            format!("{ours}, restic {restic}, tar+zstd {tar}")
        };
        let label = if round == 0 { "warm-up".to_owned() } else { format!("round {round}") };
        line(&format!("  {label:<9} commit {}    materialise {}", rates(|t| t.commit), rates(|t| t.materialise)))?;
        if round > 0 {
            all.push(took);
        }
    }
    let stored = all.last().context("no round")?.map(|t| t.bytes as f64 / 1e6);
    line(&format!("  stored in MB: {:.1}, restic {:.1}, tar+zstd {:.1}", stored[0], stored[1], stored[2]))?;
    summary("commit", &all, dump.raw, |took| took.commit, ["(limit: at least 3)", ""])?;
    summary("materialise", &all, dump.raw, |took| took.materialise, ["", "(limit: at least 1)"])?;
    line("")
}

/// How many times as fast as the others we are, round by round.
fn summary(name: &str, all: &[[Took; 3]], raw: f64, of: fn(&Took) -> f64, limits: [&str; 2]) -> Result<()> {
    let rate = |way: usize| median(all.iter().map(|round| raw / 1e6 / of(&round[way])).collect());
    line(&format!("  {name}: median {:.0}, restic {:.0}, tar+zstd {:.0}", rate(0), rate(1), rate(2)))?;
    for (way, other, limit) in [(1, "restic", limits[0]), (2, "tar+zstd", limits[1])] {
        let ratios: Vec<f64> = all.iter().map(|round| of(&round[way]) / of(&round[0])).collect();
        let (least, most) = ratios.iter().fold((f64::MAX, f64::MIN), |(l, m), r| (l.min(*r), m.max(*r)));
        line(&format!(
            "    as fast as {other}, round by round: median {:.2} times, {least:.2} to {most:.2} {limit}",
            median(ratios)
        ))?;
    }
    Ok(())
}

/// What a save leaves before it is packed, and room to try things.
struct Dump<'a> {
    scratch: &'a Path,
    wrapper: &'a Path,
    manifest: Manifest,
    raw: f64,
}

impl<'a> Dump<'a> {
    fn new(scratch: &'a Path, store: &Store, id: &SnapshotId, wrapper: &'a Path) -> Result<Self> {
        let dump =
            Self { scratch, wrapper, manifest: store.manifest(id)?, raw: store.manifest(id)?.raw_bytes() as f64 };
        fs::create_dir(dump.path())?;
        let parts = [dump.path().join("images"), dump.path().join("layer")];
        store.materialise(id, &parts[0], &parts[1], &AtomicBool::new(false), &|_| {})?;
        Ok(dump)
    }

    fn path(&self) -> PathBuf {
        self.scratch.join("dump")
    }

    /// Into an empty place, and out of it again.
    fn measure(&self, way: Way) -> Result<Took> {
        let place = tempfile::Builder::new().prefix("round.").tempdir_in(self.scratch)?;
        let (place, out) = (place.path(), place.path().join("out"));
        match way {
            Way::Ours => self.ours(place, &out),
            Way::Restic => {
                restic(place, &["init".as_ref()])?;
                let commit = restic(place, &["backup".as_ref(), self.path().as_os_str()])?;
                let bytes = usage::bytes_below(&place.join("repository"))?;
                let restore = ["restore", "latest", "--target"].map(OsStr::new);
                let materialise = restic(place, &[&restore[..], &[out.as_os_str()]].concat())?;
                Ok(Took { commit, materialise, bytes })
            }
            Way::Tar => {
                let (file, dump) = (place.join("tar.zst"), self.path());
                let create = ["zstd -1 -T2", "--sparse", "-cf"].map(OsStr::new);
                let rest = ["-C".as_ref(), dump.as_os_str(), ".".as_ref()];
                let commit = tar(&[&create[..], &[file.as_os_str()], &rest].concat())?;
                let bytes = fs::metadata(&file)?.len();
                fs::create_dir(&out)?;
                let extract = ["zstd -T2", "-xf"].map(OsStr::new);
                let rest = [file.as_os_str(), "-C".as_ref(), out.as_os_str()];
                let materialise = tar(&[&extract[..], &rest].concat())?;
                Ok(Took { commit, materialise, bytes })
            }
        }
    }

    fn ours(&self, place: &Path, out: &Path) -> Result<Took> {
        let data = place.join("data");
        let store = Store::open(&data)?;
        let id = &self.manifest.id;
        let writer = store.begin_snapshot(id.clone())?;
        for (part, to) in [("images", writer.images_dir()), ("layer", writer.layer_dir())] {
            fs::create_dir_all(&to)?;
            finish(Command::new("cp").arg("-aT").args([self.path().join(part), to]), LIMIT)?.done()?;
        }
        writer.commit(&self.manifest, None)?;
        let mut pack = Command::new(self.wrapper);
        pack.arg("pack").arg("--data").arg(&data).arg("--runtime").arg(place).args(["--id", id.as_str()]);
        let commit = timed(&mut pack)?;
        let bytes = store.own_bytes(id)?.context("it is not packed")?;
        fs::create_dir(out)?;
        written_back()?;
        let began = Instant::now();
        store.materialise(id, &out.join("images"), &out.join("layer"), &AtomicBool::new(false), &|_| {})?;
        let materialise = began.elapsed().as_secs_f64();
        let found = usage::bytes_below(out)? as f64;
        ensure!((found / self.raw - 1.0).abs() < 0.05, "{found} bytes came out, {} went in", self.raw);
        Ok(Took { commit, materialise, bytes })
    }
}

/// Runs a command and answers how many seconds it took.
fn timed(command: &mut Command) -> Result<f64> {
    written_back()?;
    let outcome = finish(command, LIMIT)?;
    outcome.done()?;
    Ok(outcome.took.as_secs_f64())
}

fn restic(place: &Path, arguments: &[&OsStr]) -> Result<f64> {
    let mut command = Command::new("restic");
    command.args(arguments).env("RESTIC_PASSWORD", "bench");
    command.env("RESTIC_REPOSITORY", place.join("repository")).env("RESTIC_CACHE_DIR", place.join("cache"));
    timed(&mut command)
}

fn tar(arguments: &[&OsStr]) -> Result<f64> {
    timed(Command::new("tar").args(["--xattrs", "--xattrs-include=*", "-I"]).args(arguments))
}

//! Measures the store on raw dumps, beside restic and tar with zstd on the same files in the same run.
//!
//! `cargo run --release -p freezeframe-store --example store-bench -- SCRATCH DUMP...`: each DUMP is a directory with `images`
//! and `layer`, as in `store/raw/<id>`; SCRATCH must not be there. Later dumps are saved into the same store as the earlier.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for developers")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use freezeframe_store::manifest::Watched;
use freezeframe_store::session::Network;
use freezeframe_store::{Manifest, SessionId, SnapshotId, Store, usage};

fn main() {
    // FREEZEFRAME
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let scratch = arguments.next().expect("SCRATCH DUMP...");
    fs::create_dir(&scratch).unwrap();
    let store = Store::open(scratch.join("data")).unwrap();
    let restic = scratch.join("restic");
    run("restic", &["init".as_ref()], &restic, &scratch);
    let (never, quiet) = (AtomicBool::new(false), |_| {});
    for (number, dump) in arguments.enumerate() {
        let id = SnapshotId::random();
        let writer = store.begin_snapshot(id.clone()).unwrap();
        copy(&dump.join("images"), &writer.images_dir());
        copy(&dump.join("layer"), &writer.layer_dir());
        let mut manifest = manifest(&id);
        manifest.memory_bytes = usage::bytes_below(&dump.join("images")).unwrap();
        manifest.layer_bytes = usage::bytes_below(&dump.join("layer")).unwrap();
        let raw = manifest.raw_bytes();
        writer.commit(&manifest, None).unwrap();
        let rate = |time: Duration| raw as f64 / 1e6 / time.as_secs_f64();
        println!("dump {number}: {} ({:.1} MB)", dump.display(), raw as f64 / 1e6);

        let (start, before) = (Instant::now(), cpu().0);
        let report = store.pack(&id, &never, &quiet).unwrap();
        let packed = start.elapsed();
        let packed_cpu = cpu().0 - before;
        println!(
            "  pack          {packed:9.3?} (cpu {packed_cpu:.2?}) {:7.0} MB/s, {:.2} MB new ({:.2} % of raw)",
            rate(packed),
            report.new_bytes as f64 / 1e6,
            report.new_bytes as f64 / raw as f64 * 100.0
        );
        let before = usage::bytes_below(&restic).unwrap();
        let (start, cpu_before) = (Instant::now(), cpu().1);
        run("restic", &["backup".as_ref(), dump.as_os_str()], &restic, &scratch);
        let time = start.elapsed();
        let grown = usage::bytes_below(&restic).unwrap() - before;
        println!(
            "  restic backup {time:9.3?} (cpu {:.2?}) {:7.0} MB/s, {:.2} MB new; pack is {:.1} times as fast",
            cpu().1 - cpu_before,
            rate(time),
            grown as f64 / 1e6,
            time.as_secs_f64() / packed.as_secs_f64()
        );
        let tar = scratch.join(format!("{number}.tar.zst"));
        let start = Instant::now();
        let create = ["--xattrs", "--xattrs-include=*", "-I", "zstd -1 -T2", "-cf"].map(OsStr::new);
        run(
            "tar",
            &[&create[..], &[tar.as_os_str(), "-C".as_ref(), dump.as_os_str(), ".".as_ref()]].concat(),
            &restic,
            &scratch,
        );
        let time = start.elapsed();
        println!(
            "  tar | zstd -1 {time:9.3?} {:7.0} MB/s, {:.2} MB",
            rate(time),
            fs::metadata(&tar).unwrap().len() as f64 / 1e6
        );

        for round in 0..3 {
            let out = scratch.join("out");
            fs::create_dir(&out).unwrap();
            let (start, cpu_before) = (Instant::now(), cpu());
            store.materialise(&id, &out.join("images"), &out.join("layer"), &never, &quiet).unwrap();
            let ours = start.elapsed();
            let our_cpu = cpu().0 - cpu_before.0;
            fs::remove_dir_all(&out).unwrap();
            fs::create_dir(&out).unwrap();
            let start = Instant::now();
            let extract = ["--xattrs", "--xattrs-include=*", "-I", "zstd -T2", "-xf"].map(OsStr::new);
            run("tar", &[&extract[..], &[tar.as_os_str(), "-C".as_ref(), out.as_os_str()]].concat(), &restic, &scratch);
            let theirs = start.elapsed();
            let their_cpu = cpu().1 - cpu_before.1;
            fs::remove_dir_all(&out).unwrap();
            println!(
                "  materialise {round} {ours:9.3?} (cpu {our_cpu:.2?}) {:7.0} MB/s; \
                 tar -I 'zstd -T2' -x {theirs:9.3?} (cpu {their_cpu:.2?}) {:7.0} MB/s",
                rate(ours),
                rate(theirs)
            );
        }
        let start = Instant::now();
        let report = store.verify(None, &never, &quiet).unwrap();
        println!("  verify of all {:9.3?}, {} damages", start.elapsed(), report.damages.len());
    }
}

/// Processor time so far of this process, and of the programs that it ran. On a machine that does other things too, this
/// is what to compare.
fn cpu() -> (Duration, Duration) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |first: usize| fields[first..first + 2].iter().map(|f| f.parse::<u64>().unwrap()).sum::<u64>() * 10;
    (Duration::from_millis(ticks(11)), Duration::from_millis(ticks(13)))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    assert!(Command::new("cp").arg("-aT").args([from, to]).status().unwrap().success());
}

fn run(program: &str, arguments: &[&OsStr], repository: &Path, scratch: &Path) {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null());
    command.env("RESTIC_REPOSITORY", repository).env("RESTIC_PASSWORD", "x");
    command.env("RESTIC_CACHE_DIR", scratch.join("cache"));
    let status = command.status().unwrap_or_else(|e| panic!("cannot run {program}: {e}; apt-get install {program}"));
    assert!(status.success(), "{program} failed");
}

fn manifest(id: &SnapshotId) -> Manifest {
    Manifest {
        format: 1,
        id: id.clone(),
        session: SessionId::new("bench").unwrap(),
        lineage: "l".into(),
        parent: None,
        created: jiff::Timestamp::now(),
        label: String::new(),
        automatic: false,
        base: "b".into(),
        base_identity: "i".into(),
        first_id: None,
        attributes: None,
        width: 1280,
        height: 800,
        network: Network::None,
        engine: "criu".into(),
        kernel: "k".into(),
        pause_ms: 0.0,
        freeze_ms: 0.0,
        memory_bytes: 0,
        layer_bytes: 0,
        processes: 0,
        threads: 0,
        windows: vec![],
        closed: vec![],
        watched: Watched::default(),
    }
}

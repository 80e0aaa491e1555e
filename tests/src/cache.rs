//! What is slow to make, made once for all stages: bases and the engine, by `make bases`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::programs::Programs;

/// Where `make bases` builds, without `$FREEZEFRAME_CACHE`.
const DEFAULT: &str = "/var/cache/freezeframe";

/// A directory with a data directory in it, `freezeframe/{bases,engine}`, and room for stages: the file system has to be
/// one that a layer can be on.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Where what is slow to make is kept, whether it is there or not.
    #[must_use]
    pub fn directory() -> PathBuf {
        std::env::var_os("FREEZEFRAME_CACHE").map_or_else(|| PathBuf::from(DEFAULT), PathBuf::from)
    }

    /// The one that `make bases` fills.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find() -> Result<Self> {
        let root = Self::directory();
        let root = root.canonicalize().with_context(|| {
            format!("{} is missing: build the bases first (`make bases`), or set FREEZEFRAME_CACHE", root.display())
        })?;
        Ok(Self { root })
    }

    /// The same, with the named bases and the engine, which are made as `make bases` makes them where they are missing.
    /// Reports what it does.
    ///
    /// # Errors
    /// When something cannot be made.
    pub fn fill(programs: &Programs, bases: &[&str], mut tell: impl FnMut(&str)) -> Result<Self> {
        let root = Self::directory();
        let runtime = root.join("run");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&runtime)
            .with_context(|| runtime.display().to_string())?;
        let cache = Self::find()?;
        let data = cache.data();
        let mut run = |verb: &[&str], rest: &[&OsStr]| -> Result<()> {
            let mut command = Command::new(&programs.vnc_wrapper);
            command.args(verb).arg("--data").arg(&data).arg("--runtime").arg(&runtime).args(rest);
            report(&mut command, &mut tell).with_context(|| verb.join(" "))
        };
        for name in bases {
            if cache.base(name).is_ok() {
                continue;
            }
            let recipe = programs.recipe(name)?;
            run(&["base", "build"], &["--name".as_ref(), name.as_ref(), "--recipe".as_ref(), recipe.as_ref()])?;
            fs::copy(&recipe, cache.root.join(format!("{name}.recipe")))?;
        }
        run(&["engine"], &[])?;
        Ok(cache)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root.join("freezeframe")
    }

    /// The base of that name.
    ///
    /// # Errors
    /// When it is not there.
    pub fn base(&self, name: &str) -> Result<PathBuf> {
        let path = self.data().join("bases").join(name);
        ensure!(
            path.join("base.json").is_file(),
            "there is no base {name:?} in {}: build it first (`make bases`)",
            self.data().display()
        );
        Ok(path)
    }

    /// The directories of the private copies of CRIU; none where the machine's own works.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn engines(&self) -> Result<Vec<PathBuf>> {
        let path = self.data().join("engine");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&path).with_context(|| path.display().to_string())?;
        let entries: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        Ok(entries.into_iter().filter(|p| p.is_dir() && is_engine(p)).collect())
    }

    /// The directory that stages are made in: on the file system of the bases.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn stages(&self) -> Result<PathBuf> {
        let path = self.root.join("stages");
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// The base as a tar (zstd) such as any user can import: its files belong to the ids that they have inside. Made at
    /// the first call, and kept for as long as the base is the same one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn archive(&self, name: &str) -> Result<PathBuf> {
        let base = self.base(name)?;
        let record: serde_json::Value = serde_json::from_slice(&fs::read(base.join("base.json"))?)?;
        let identity = record["identity"].as_str().context("the base's record has no identity")?;
        let first: u32 = record["first_id"].as_u64().and_then(|n| n.try_into().ok()).context("no first_id")?;
        let directory = self.root.join("archives");
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{name}-{identity}.tar.zst"));
        if path.is_file() {
            return Ok(path);
        }
        let scratch = tempfile::Builder::new().prefix(".archive.").tempdir_in(&directory)?;
        let tree = base.join("root");
        let mut ids = (BTreeSet::new(), BTreeSet::new());
        collect_ids(&tree, &mut ids)?;
        let map = |ids: &BTreeSet<u32>, file: &str| -> Result<PathBuf> {
            let line = |id: &u32| Some(format!("+{id} id{0}:{0}\n", id.checked_sub(first)?));
            let text: Option<String> = ids.iter().map(line).collect();
            let path = scratch.path().join(file);
            fs::write(&path, text.context("a file of the base belongs to an id that is not in its range")?)?;
            Ok(path)
        };
        let (users, groups) = (map(&ids.0, "users")?, map(&ids.1, "groups")?);
        let mut tar = Command::new("tar")
            .args(["--create", "--file=-", "--one-file-system", "--sparse", "--xattrs", "--directory"])
            .arg(&tree)
            .arg(format!("--owner-map={}", users.display()))
            .arg(format!("--group-map={}", groups.display()))
            .arg(".")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start tar")?;
        let partial = scratch.path().join("tar.zst");
        let stream = tar.stdout.take().context("tar has no output")?;
        zstd::stream::copy_encode(stream, File::create(&partial)?, 1).context("compressing the base")?;
        ensure!(tar.wait()?.success(), "tar failed");
        fs::rename(&partial, &path)?;
        Ok(path)
    }
}

/// Runs a verb of the wrapper, which reports in lines of JSON, and reports its stages.
fn report(command: &mut Command, tell: &mut impl FnMut(&str)) -> Result<()> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start vnc-wrapper")?;
    let (mut last, mut failed) = (String::new(), None);
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line: serde_json::Value = serde_json::from_str(&line?).unwrap_or_default();
        if let Some(stage) = line["progress"]["stage"].as_str().filter(|stage| *stage != last) {
            tell(stage);
            last = stage.to_owned();
        }
        failed = line["failed"]["message"].as_str().map(str::to_owned).or(failed);
    }
    let status = child.wait()?;
    ensure!(status.success(), "{}", failed.unwrap_or_else(|| status.to_string()));
    Ok(())
}

fn is_engine(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("criu-"))
}

fn collect_ids(path: &Path, ids: &mut (BTreeSet<u32>, BTreeSet<u32>)) -> Result<()> {
    let metadata = fs::symlink_metadata(path).with_context(|| path.display().to_string())?;
    ids.0.insert(metadata.uid());
    ids.1.insert(metadata.gid());
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            collect_ids(&entry?.path(), ids)?;
        }
    }
    Ok(())
}

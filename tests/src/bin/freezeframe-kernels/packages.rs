//! Kernels of Debian's packages: found by apt in its own lists for each release, unpacked into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The package that depends on a release's newest kernel for virtual machines.
const NEWEST: &str = "linux-image-cloud-amd64";
/// Debian's own keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Modules that the tests need, with what these need.
const MODULES: [&str; 4] = ["unix_diag", "inet_diag", "tcp_diag", "overlay"];

/// A kernel that is ready to boot.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` says it.
    pub(crate) version: String,
    /// The image.
    pub(crate) image: PathBuf,
    /// Its modules, unpacked, in the order in which they are loaded.
    pub(crate) modules: Vec<PathBuf>,
    /// Where it keeps what it is booted with.
    pub(crate) directory: PathBuf,
}

impl Kernel {
    /// The newest kernel of a release, fetched unless the cache has it.
    ///
    /// # Errors
    /// When it cannot be fetched, verified or unpacked.
    pub(crate) fn of(release: &str, cache: &Path) -> Result<Self> {
        ensure!(
            !release.is_empty() && release.bytes().all(|byte| byte.is_ascii_lowercase()),
            "{release:?} is no release of Debian: name one by its word, as `trixie`"
        );
        let directory = cache.join(release);
        let apt = Apt::new(release, &directory)?;
        apt.update()?;
        let packages = apt.kernel_packages()?;
        let version = packages
            .iter()
            .find_map(|package| package.strip_prefix("linux-image-"))
            .context("no package holds an image")?
            .to_owned();
        let root = directory.join(&version);
        if !root.exists() {
            let partial = directory.join("partial");
            let _ = fs::remove_dir_all(&partial);
            fs::create_dir_all(&partial)?;
            for package in apt.download(&packages)? {
                done(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&partial))?;
                fs::remove_file(&package)?;
            }
            // Newer packages have their modules below /usr, where depmod does not look.
            if !partial.join("lib").exists() {
                std::os::unix::fs::symlink("usr/lib", partial.join("lib"))?;
            }
            done(Command::new("depmod").arg("--basedir").arg(&partial).arg(&version))?;
            fs::rename(&partial, &root)?;
        }
        let image = root.join("boot").join(format!("vmlinuz-{version}"));
        let modules = modules(&root, &version, &directory.join("modules"))?;
        Ok(Self { version, image, modules, directory })
    }
}

/// apt-get(8) on its own lists.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(release: &str, directory: &Path) -> Result<Self> {
        let apt = Self { directory: directory.join("apt") };
        for part in ["lists/partial", "archives/partial", "packages"] {
            fs::create_dir_all(apt.directory.join(part))?;
        }
        fs::write(apt.directory.join("status"), "")?;
        let line = format!("deb [signed-by={KEYRING} arch=amd64] {} {release} main\n", mirror()?);
        fs::write(apt.directory.join("sources.list"), line)?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut option = |name: &str, value: &str| {
            command.arg("--option").arg(format!("{name}={value}"));
        };
        let place = |name: &str| self.directory.join(name).to_string_lossy().into_owned();
        option("Dir::Etc::SourceList", &place("sources.list"));
        option("Dir::Etc::SourceParts", "/dev/null");
        option("Dir::State::Lists", &place("lists"));
        option("Dir::State::Status", &place("status"));
        option("Dir::Cache", &self.directory.to_string_lossy());
        option("Dir::Cache::Archives", &place("archives"));
        option("APT::Architecture", "amd64");
        // Its own user may not write into our directory.
        option("APT::Sandbox::User", "");
        option("Debug::NoLocking", "true");
        command
    }

    fn update(&self) -> Result<()> {
        done(self.command("apt-get").args(["--quiet", "--error-on=any", "update"])).map(drop)
    }

    /// The packages that the newest kernel consists of.
    fn kernel_packages(&self) -> Result<Vec<String>> {
        let newest = self.depends(NEWEST)?;
        let image =
            newest.into_iter().find(|name| name.starts_with("linux-image-")).context("it depends on no image")?;
        let parts = self.depends(&image)?;
        let part = |name: &String| ["linux-binary-", "linux-modules-"].iter().any(|prefix| name.starts_with(prefix));
        Ok(std::iter::once(image).chain(parts.into_iter().filter(part)).collect())
    }

    /// The first choice of each of a package's dependencies.
    fn depends(&self, package: &str) -> Result<Vec<String>> {
        let shown = done(self.command("apt-cache").args(["--no-all-versions", "show", package]))?;
        Ok(dependencies(&shown))
    }

    /// Fetches packages; answers their files.
    fn download(&self, packages: &[String]) -> Result<Vec<PathBuf>> {
        let to = self.directory.join("packages");
        for old in fs::read_dir(&to)? {
            fs::remove_file(old?.path())?;
        }
        done(self.command("apt-get").args(["--quiet", "download"]).args(packages).current_dir(&to))?;
        let files: Vec<PathBuf> = fs::read_dir(&to)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        ensure!(files.len() == packages.len(), "of {packages:?} came {files:?}");
        Ok(files)
    }
}

/// The names in the `Depends` field of `apt-cache show`, without versions and alternatives.
fn dependencies(shown: &str) -> Vec<String> {
    let field = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    field.split(',').filter_map(|one| one.split_whitespace().next()).map(str::to_owned).collect()
}

/// The mirror from which this machine has its Debian.
fn mirror() -> Result<String> {
    let listed =
        done(Command::new("apt-get").args(["indextargets", "--format", "$(LABEL) $(SITE)", "Created-By: Packages"]))?;
    match listed.lines().find_map(|line| line.strip_prefix("Debian ")) {
        Some(site) => Ok(site.to_owned()),
        None => bail!("apt on this machine has no mirror of Debian; add one to its sources and run `apt-get update`"),
    }
}

/// Unpacks the modules that the tests need, in the order of loading. One that is built into the kernel is not among them.
fn modules(root: &Path, version: &str, to: &Path) -> Result<Vec<PathBuf>> {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to)?;
    let mut found: Vec<PathBuf> = Vec::new();
    for module in MODULES {
        let mut modprobe = Command::new("modprobe");
        let modprobe = modprobe.args(["--set-version", version, "--show-depends", module]).arg("--dirname").arg(root);
        let Ok(said) = done(modprobe) else { continue };
        for packed in said.lines().filter_map(|line| line.strip_prefix("insmod ")).map(|line| Path::new(line.trim())) {
            let name = packed.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (unpack, name) = match name.rsplit_once('.') {
                Some((name, "xz")) => (Some("xz"), name.to_owned()),
                Some((name, "zst")) => (Some("zstd"), name.to_owned()),
                _ => (None, name),
            };
            let plain = to.join(name);
            if found.contains(&plain) {
                continue;
            }
            let bytes = match unpack {
                Some(program) => {
                    let output = Command::new(program).args(["--decompress", "--stdout"]).arg(packed).output()?;
                    ensure!(output.status.success(), "{program}: {}", packed.display());
                    output.stdout
                }
                None => fs::read(packed)?,
            };
            fs::write(&plain, bytes)?;
            found.push(plain);
        }
    }
    Ok(found)
}

/// Runs a command that has to succeed; answers what it printed.
pub(crate) fn done(command: &mut Command) -> Result<String> {
    // Those of administrators are not in everybody's path.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .with_context(|| format!("{name} cannot be run; `make setup-kernels` installs what is missing"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_named_without_versions_and_alternatives() {
        let shown =
            "Package: a\nDepends: kmod, linux-modules-7 (= 7.2), initramfs-tools (>= 0.120) | dracut\nSize: 1\n";
        assert_eq!(dependencies(shown), ["kmod", "linux-modules-7", "initramfs-tools"]);
        assert!(dependencies("Package: a\n").is_empty());
    }
}

//! How mmdebstrap is called, and what it says of its progress.

use std::ffi::OsString;

use super::members::MANUAL_DIRECTORIES;
use super::recipe::{Recipe, RecipeFile};

/// The option that takes a mirror's copy although it says that it is out of date.
const STALE: &str = "--aptopt=Acquire::Check-Valid-Until \"false\"";
/// What ends a file's text in a hook; [`file_hook`] makes sure that no line of the text is it.
const END: &str = "FREEZEFRAME_END";

/// Arguments that make mmdebstrap write the root file system of `recipe` to standard output, as tar.
///
/// No mirror is named: mmdebstrap takes the machine's own, or its default.
pub fn arguments(recipe: &Recipe, stale: bool) -> Vec<OsString> {
    let mut arguments = vec!["--variant=minbase".to_owned(), "--format=tar".into(), "--verbose".into()];
    if !recipe.packages.is_empty() {
        arguments.push(format!("--include={}", recipe.packages.join(",")));
    }
    arguments.extend(recipe.exclude.iter().map(|pattern| format!("--dpkgopt=path-exclude={pattern}")));
    arguments.extend(recipe.include.iter().map(|pattern| format!("--dpkgopt=path-include={pattern}")));
    // Whatever is left out: packages that link manual pages when they are configured need these.
    arguments.push(format!("--dpkgopt=path-include={MANUAL_DIRECTORIES}"));
    let hooks = recipe.files.iter().map(file_hook).chain(recipe.run.iter().map(|command| run_hook(command)));
    arguments.extend(hooks.map(|hook| format!("--customize-hook={hook}")));
    if stale {
        arguments.push(STALE.into());
        // A base keeps mmdebstrap's options, and this one would weaken apt in every session.
        arguments.push("--customize-hook=rm -f \"$1\"/etc/apt/apt.conf.d/99mmdebstrap".into());
    }
    arguments.extend([recipe.suite.clone(), "-".into()]);
    arguments.into_iter().map(OsString::from).collect()
}

/// Arguments that unpack `packages` of `suite` into `directory`, without installing them.
pub fn extract_arguments(packages: &str, suite: &str, directory: &std::path::Path, stale: bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--variant=extract".into(), format!("--include={packages}").into()];
    if stale {
        arguments.push(STALE.into());
    }
    arguments.extend([suite.into(), directory.into()]);
    arguments
}

/// Whether mmdebstrap's words say that the mirror's copy is out of date.
pub fn says_stale(words: &str) -> bool {
    words.lines().any(|line| line.contains("Release file for") && line.contains("is expired"))
}

fn file_hook(file: &RecipeFile) -> String {
    let mut end = END.to_owned();
    while file.content.lines().any(|line| line == end) {
        end.push('_');
    }
    let path = quoted(&file.path);
    let content = file.content.trim_end_matches('\n');
    format!(
        "umask 022; f=\"$1\"{path}; mkdir -p \"${{f%/*}}\" && cat > \"$f\" <<'{end}' && chmod {mode:o} \"$f\"\n{content}\n{end}\n",
        mode = file.mode
    )
}

fn run_hook(command: &str) -> String {
    format!("chroot \"$1\" /bin/sh -ec {}", quoted(command))
}

/// `text` as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Parts of the whole that mmdebstrap's stages take, measured on a desktop.
const STAGES: [(&str, &str, f64, f64); 7] = [
    ("I: running apt-get update", "reading the lists of packages", 0.0, 0.03),
    ("I: downloading packages with apt", "downloading the essential packages", 0.03, 0.07),
    ("I: extracting archives", "unpacking the essential packages", 0.07, 0.09),
    ("I: installing essential packages", "installing the essential packages", 0.09, 0.18),
    ("I: installing remaining packages", "installing the packages", 0.18, 0.84),
    ("I: cleaning package lists", "cleaning up", 0.84, 0.86),
    ("I: creating tarball", "unpacking the base", 0.86, 1.0),
];

/// How far mmdebstrap is, by what it says.
#[derive(Debug, Default)]
pub struct Stages {
    stage: usize,
    /// Packages that apt has said it will install in this stage.
    packages: f64,
    downloaded: f64,
    unpacked: f64,
    set_up: f64,
    /// Bytes that all packages take, as apt has said.
    installed_bytes: f64,
}

impl Stages {
    /// Takes a line; answers the stage's name and the fraction of the whole, when they have changed.
    pub fn line(&mut self, line: &str) -> Option<(&'static str, f64)> {
        if let Some(stage) = STAGES.iter().position(|(start, ..)| line.starts_with(start)) {
            self.stage = stage;
            (self.downloaded, self.unpacked, self.set_up) = (0.0, 0.0, 0.0);
            return Some(self.now(0.0));
        }
        if let Some((_, rest)) = line.split_once(" upgraded, ") {
            self.packages = rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default();
            return None;
        }
        if let Some(rest) = line.strip_prefix("After this operation, ") {
            self.installed_bytes += bytes(rest).unwrap_or_default();
            return None;
        }
        let place = if line.starts_with("Get:") {
            &mut self.downloaded
        } else if line.starts_with("Unpacking ") {
            &mut self.unpacked
        } else if line.starts_with("Setting up ") {
            &mut self.set_up
        } else {
            return None;
        };
        *place += 1.0;
        let part = match self.stage {
            1 => self.downloaded,
            3 => 0.5 * self.unpacked.max(self.set_up) + 0.5 * self.set_up,
            4 => 0.2 * self.downloaded + 0.45 * self.unpacked + 0.35 * self.set_up,
            _ => return None,
        };
        Some(self.now(part / self.packages.max(1.0)))
    }

    /// Takes the bytes of tar that have come so far.
    pub fn tar_bytes(&mut self, bytes: u64) -> (&'static str, f64) {
        self.stage = STAGES.len() - 1;
        #[allow(clippy::cast_precision_loss, reason = "a fraction for a progress bar")]
        let part = if self.installed_bytes > 0.0 { bytes as f64 / self.installed_bytes } else { 0.5 };
        // Never 1 before it is done.
        self.now(part.min(0.95))
    }

    fn now(&self, part: f64) -> (&'static str, f64) {
        let (_, name, from, to) = STAGES[self.stage];
        (name, from + (to - from) * part.clamp(0.0, 1.0))
    }
}

/// Reads `1,170 MB of …` as apt writes it.
fn bytes(text: &str) -> Option<f64> {
    let mut words = text.split(' ');
    let number: f64 = words.next()?.replace(',', "").parse().ok()?;
    let unit = match words.next()? {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    Some(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(extra: &str) -> Recipe {
        let text = "format = 1\nname = \"s\"\nsummary = \"\"\nsuite = \"trixie\"\npackages = [\"vim\", \"sudo\"]\ndesktop = [\"vim\"]\n";
        Recipe::parse(&format!("{text}{extra}")).unwrap()
    }

    fn texts(arguments: Vec<OsString>) -> Vec<String> {
        arguments.into_iter().map(|a| a.into_string().unwrap()).collect()
    }

    #[test]
    fn arguments_name_packages_suite_and_no_mirror() {
        let arguments = texts(arguments(&recipe("exclude = [\"/usr/share/man/*\"]\n"), false));
        assert!(arguments.contains(&"--include=vim,sudo".into()));
        let at = |option: &str| arguments.iter().position(|a| a == option).unwrap_or_else(|| panic!("no {option}"));
        let directories = at("--dpkgopt=path-include=/usr/share/man/man[1-9]");
        assert!(at("--dpkgopt=path-exclude=/usr/share/man/*") < directories, "the last one that fits counts");
        assert_eq!(arguments[arguments.len() - 2..], ["trixie", "-"]);
        assert!(!arguments.iter().any(|a| a.contains("://") || a.contains("Valid-Until")));
    }

    #[test]
    fn a_stale_mirror_is_taken_without_leaving_that_in_the_base() {
        let arguments = texts(arguments(&recipe(""), true));
        assert!(arguments.iter().any(|a| a.ends_with("Acquire::Check-Valid-Until \"false\"")));
        assert!(arguments.iter().any(|a| a.contains("rm -f") && a.contains("99mmdebstrap")));
        assert!(says_stale("E: Release file for x://y is expired (invalid since 3d). Updates will not be applied."));
        assert!(!says_stale("E: Unable to locate package foo"));
    }

    #[test]
    fn hooks_do_what_they_say_also_with_quotes_in_them() {
        let root = tempfile::tempdir().unwrap();
        let file = RecipeFile { path: "/a b/it's".into(), content: "$x '`\nFREEZEFRAME_END\n".into(), mode: 0o640 };
        let status =
            std::process::Command::new("sh").arg("-c").arg(file_hook(&file)).arg("sh").arg(root.path()).status();
        assert!(status.unwrap().success());
        let path = root.path().join("a b/it's");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), file.content);
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777, 0o640);
        assert_eq!(run_hook("echo 'x'"), "chroot \"$1\" /bin/sh -ec 'echo '\\''x'\\'''");
    }

    #[test]
    fn the_fraction_only_grows() {
        let log = "I: running apt-get update...\nGet:1 x InRelease\nI: downloading packages with apt...\n\
            0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.\nAfter this operation, 98.9 MB of additional disk\n\
            Get:1 a\nGet:2 b\nI: extracting archives...\nI: installing essential packages...\nSetting up a (1) ...\n\
            Setting up b (1) ...\nI: installing remaining packages inside the chroot...\n\
            0 upgraded, 4 newly installed, 0 to remove and 0 not upgraded.\nAfter this operation, 1,170 MB of additional disk\n\
            Get:1 c\nUnpacking c (1) ...\nSetting up c (1) ...\nI: cleaning package lists and apt cache...\nI: creating tarball...";
        let mut stages = Stages::default();
        let mut fractions: Vec<f64> = log.lines().filter_map(|line| stages.line(line)).map(|(_, f)| f).collect();
        assert!((stages.installed_bytes - 1_268_900_000.0).abs() < 1.0);
        fractions.extend([1u64 << 20, 1 << 30, 1 << 40].map(|n| stages.tar_bytes(n).1));
        assert!(fractions.windows(2).all(|w| w[0] <= w[1]), "{fractions:?}");
        assert!(fractions.len() > 12 && fractions.last().is_some_and(|f| (0.9..1.0).contains(f)), "{fractions:?}");
    }
}

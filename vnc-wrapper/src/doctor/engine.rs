//! The engine that saves: what the kernel lacks for ours; for CRIU its own check of itself, and a probe.

use std::path::Path;
use std::process::{Command, Stdio};

use freezeframe_engine::able::{Able, Effect, Feature, Lack};
use freezeframe_protocol::CheckItem;
use freezeframe_protocol::engine::Engine;

use super::{Who, good, lacking, needed_for};
use crate::criu::provision::{self, Criu, CriuError};

pub(super) fn check(who: &Who, data: &Path, runtime: &Path) -> Vec<CheckItem> {
    match Engine::for_user(who.is_root()) {
        Engine::Native => native(&Able::here().lacks()),
        // Without root there is nothing to do with a CRIU.
        Engine::Criu if !who.is_root() => vec![rights(who)],
        Engine::Criu => criu(who, data, runtime),
    }
}

/// What follows from the lacks, those that forbid saves first.
fn native(lacks: &[Lack]) -> Vec<CheckItem> {
    const NAME: &str = "engine";
    let mut items: Vec<CheckItem> = lacks.iter().map(item).collect();
    if lacks.iter().all(|lack| lack.effect != Effect::Forbids) {
        items.insert(0, good(NAME, "sessions can be saved and resumed, without root"));
    }
    items
}

fn item(lack: &Lack) -> CheckItem {
    let needed_for = match lack.effect {
        Effect::Forbids => needed_for::SAVE,
        Effect::Slower => needed_for::FAST_SAVES,
        Effect::RefusesForeign => needed_for::SOME_RESUMES,
    };
    lacking(name(lack.feature), needed_for, format!("{}; {}", lack.found, lack.consequence), lack.remedy)
}

/// The name of a feature as one word.
fn name(feature: Feature) -> &'static str {
    match feature {
        Feature::UserNamespaces => "engine-namespaces",
        Feature::Tracing => "engine-tracing",
        Feature::TimeNamespaces => "engine-clocks",
        Feature::SetTid => "engine-pids",
        Feature::SeccompNotification => "engine-filters",
        Feature::Userfaultfd => "engine-memory",
        Feature::AsynchronousProtection => "engine-protection",
        Feature::UnpopulatedProtection => "engine-missing-pages",
        Feature::PagemapScan => "engine-scan",
        Feature::SoftDirty => "engine-soft-dirty",
        Feature::ProcmapQuery => "engine-mappings",
        Feature::BatchSlice => "engine-slice",
        Feature::TimerIds => "engine-timers",
        Feature::MultigrainTimes => "engine-file-times",
        Feature::GuardRegions => "engine-guards",
        Feature::Droppable => "engine-droppable",
    }
}

fn criu(who: &Who, data: &Path, runtime: &Path) -> Vec<CheckItem> {
    let fetch = fetch_command(data, runtime);
    let candidates = provision::candidates(data);
    let mut items = vec![rights(who), there(&candidates, &fetch)];
    if !candidates.is_empty() {
        let probed = provision::find(data);
        let used = probed.as_ref().ok().or(candidates.first());
        items.extend(used.map(|criu| self_check(&criu.version, &run_self_check(criu))));
        items.push(probe(probed, &fetch));
    }
    items
}

/// The command that fetches a CRIU of ours.
fn fetch_command(data: &Path, runtime: &Path) -> String {
    let program = std::env::current_exe().map_or_else(|_| "vnc-wrapper".into(), |path| path.display().to_string());
    format!("{program} engine --data {} --runtime {}", data.display(), runtime.display())
}

fn rights(who: &Who) -> CheckItem {
    const NAME: &str = "root";
    if who.is_root() {
        return good(NAME, "sessions of root can be saved");
    }
    let found = format!("{} is not root, which CRIU needs: sessions run, but are not saved or resumed", who.name);
    lacking(NAME, needed_for::SAVE, found, "leave FREEZEFRAME_ENGINE unset: the usual engine needs no root")
}

fn there(candidates: &[Criu], fetch: &str) -> CheckItem {
    const NAME: &str = "criu";
    match candidates {
        [] => lacking(NAME, needed_for::SAVE, "CRIU is not there", fetch),
        [first, ..] => good(NAME, format!("CRIU {} ({})", first.version, first.program.display())),
    }
}

/// What `criu check` says; the last line counts.
fn run_self_check(criu: &Criu) -> Result<String, String> {
    let mut command = Command::new(&criu.command[0]);
    let output =
        command.args(&criu.command[1..]).arg("check").stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    if output.status.success() {
        return Ok(lines().find(|line| line.contains("good")).unwrap_or("Looks good.").to_owned());
    }
    Err(lines().find(|line| line.contains("Error")).unwrap_or("it failed").to_owned())
}

fn self_check(version: &str, said: &Result<String, String>) -> CheckItem {
    const NAME: &str = "criu-check";
    match said {
        Ok(text) => good(NAME, format!("CRIU {version} says of itself: {text}")),
        // What it cannot do may never be needed; the probe tells whether it saves at all.
        Err(text) => lacking(NAME, needed_for::SOME_SAVES, format!("CRIU {version} says of itself: {text}"), ""),
    }
}

fn probe(probed: Result<Criu, CriuError>, fetch: &str) -> CheckItem {
    const NAME: &str = "criu-probe";
    match probed {
        Ok(criu) => good(NAME, format!("CRIU {} dumps processes with connections on this kernel", criu.version)),
        // A later version may do what this one does not.
        Err(error) => lacking(NAME, needed_for::SAVE, error.to_string(), fetch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::probe::ProbeError;

    #[test]
    fn what_forbids_saves_is_told_from_what_makes_them_slower() {
        let lack = |feature, effect| Lack { feature, effect, found: "f".into(), consequence: "c", remedy: "" };
        let slower = [lack(Feature::PagemapScan, Effect::Slower), lack(Feature::Droppable, Effect::RefusesForeign)];
        let items = native(&slower);
        let words: Vec<&str> = items.iter().map(|item| item.needed_for.as_str()).collect();
        assert_eq!(words, ["", "fast saves", "some resumes"]);
        let items = native(&[lack(Feature::SetTid, Effect::Forbids)]);
        assert_eq!((items.len(), items[0].needed_for.as_str(), items[0].found.as_str()), (1, "save", "f; c"));
        let names: std::collections::BTreeSet<&str> = Feature::ALL.into_iter().map(name).collect();
        assert_eq!(names.len(), Feature::ALL.len());
    }

    #[test]
    fn without_root_sessions_cannot_be_saved_by_criu_and_that_is_told() {
        let item = rights(&Who { uid: 1000, name: "ann".into() });
        assert!(!item.ok && item.needed_for == "save" && item.found.starts_with("ann is not root"), "{item:?}");
    }

    #[test]
    fn a_missing_or_broken_criu_is_fetched_by_a_command() {
        let fetch = fetch_command(Path::new("/d"), Path::new("/r"));
        assert!(fetch.ends_with(" engine --data /d --runtime /r"), "{fetch}");
        assert_eq!(there(&[], &fetch).remedy, fetch);
        let broken = CriuError::Broken { version: "3.17.1".into(), reason: ProbeError::Refused("vdso".into()) };
        let item = probe(Err(broken), &fetch);
        assert_eq!((item.remedy, item.ok), (fetch, false));
        assert!(item.found.contains("3.17.1"));
    }

    #[test]
    fn what_criu_says_of_itself_is_passed_on() {
        assert!(self_check("4.2.1", &Ok("Looks good.".into())).found.ends_with("Looks good."));
        let item = self_check("3.17.1", &Err("Error: no vdso".into()));
        assert_eq!((item.ok, item.needed_for.as_str()), (false, "some saves"));
    }
}

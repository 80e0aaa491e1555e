//! The applications that people asked about first, all in one desktop: saved while they are busy, resumed, and each looked
//! at for its text and for new input.
//!
//! Run by `make test-showcase`, on its own base (`data/bases/showcase.toml`). Pictures from before and after are left
//! in `target/showcase`.

mod applications;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use applications::{Application, all};
use freezeframe_tests::{Stage, eventually};

const SIZE: &str = "2120x1200";
const SOON: Duration = Duration::from_secs(60);

/// Some applications fill the display at their first start: a key of the window manager's takes that back.
const UNMAXIMIZE: &str = "mkdir -p ~/.config/openbox && sed 's#<keyboard>#&<keybind key=\"C-A-u\">\
                          <action name=\"Unmaximize\"/></keybind>#' /etc/xdg/openbox/rc.xml > ~/.config/openbox/rc.xml \
                          && openbox --reconfigure";

/// Where pictures are left: `showcase` in the build directory.
fn artefacts() -> Result<PathBuf> {
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = scratch.parent().context("the build directory")?.join("showcase");
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

fn keep_picture(stage: &Stage, session: &str, name: &str) -> Result<()> {
    let file = artefacts()?.join(name);
    stage.json(&["screenshot", session, &file.to_string_lossy()]).map(drop)
}

/// Has every application take `word`.
fn type_into_all(stage: &Stage, session: &str, applications: &[Application], word: &str) -> Result<()> {
    for application in applications {
        (application.type_word)(stage, session, application, word).with_context(|| application.name.to_owned())?;
    }
    Ok(())
}

/// While gdb holds a program, it is named and nothing is saved; once it has let go, nothing is in the way.
fn gdb_has_to_let_go(stage: &Stage, session: &str, gdb: &Application) -> Result<()> {
    let check = stage.ctl(&["check", session])?;
    ensure!(check.code == 4, "{}", check.tell());
    let findings = check.json()?["findings"].as_array().cloned().unwrap_or_default();
    let traced = |f: &&serde_json::Value| f["object"].as_str().is_some_and(|o| o.contains("traced by gdb"));
    let found = findings.iter().find(traced).with_context(|| format!("{findings:?}"))?;
    ensure!(found["application"] == "sleep" && found["window"] == "gdb", "{found}");
    ensure!(found["remedy"].as_str().is_some_and(|r| r.contains("detach")), "{found}");
    stage.ctl(&["save", session])?.refused(4, "Refused")?;
    applications::interrupt_and_type(stage, session, gdb, "detach\n")?;
    eventually(SOON, "nothing is in the way any more", || Ok((stage.ctl(&["check", session])?.code == 0).then_some(())))
}

/// The applications' own processes by their pids; what make starts comes and goes, and Emacs compiles in others of its name.
fn lasting(stage: &Stage, session: &str) -> Result<BTreeMap<i32, String>> {
    const NAMES: [&str; 13] = [
        "Xtigervnc",
        "dbus-daemon",
        "firefox-esr",
        "gdb",
        "mpv",
        "notepad.exe",
        "openbox",
        "screen",
        "soffice.bin",
        "thunderbird-bin",
        "vim",
        "wineserver",
        "xterm",
    ];
    let all = stage.pids(session)?.into_iter().map(|(pid, (name, _))| (pid, name));
    Ok(all.filter(|(_, name)| NAMES.contains(&name.as_str())).collect())
}

/// What Chromium has for its pages instead of its namespaces: an empty root directory, and filters of system calls.
fn pages_are_confined(stage: &Stage, session: &str) -> Result<()> {
    let all = stage.processes(session)?;
    let pages: Vec<_> = all.values().filter(|p| p.command.contains(" --type=renderer ")).collect();
    ensure!(!pages.is_empty(), "Chromium has no page");
    for page in pages {
        let proc = PathBuf::from(format!("/proc/{}", page.pid));
        let status = std::fs::read_to_string(proc.join("status"))?;
        ensure!(status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n"), "{status}");
        let inside = std::fs::read_dir(proc.join("root"))?.count();
        ensure!(inside == 0, "a page of Chromium's sees {inside} entries in its root directory");
    }
    Ok(())
}

fn works(stage: &Stage) -> Result<()> {
    let session = stage.start(&["--name", "show", "--base", "showcase", "--size", SIZE])?;
    stage.inside(&session, &["sh", "-c", UNMAXIMIZE])?;
    let applications = all();
    for application in &applications {
        (application.prepare)(stage, &session)?;
        stage.launch(&session, application.command).with_context(|| application.name.to_owned())?;
    }
    for application in &applications {
        let window =
            stage.wait_for_window(&session, application.window).with_context(|| application.name.to_owned())?;
        let keys = ["xdotool", "windowactivate", "--sync", &window.id, "key", "ctrl+alt+u"];
        stage.inside(&session, &keys).with_context(|| application.name.to_owned())?;
        stage.place(&session, &window, application.place).with_context(|| application.name.to_owned())?;
    }
    // Thunderbird's other window would be in the way.
    let mail = stage.wait_for_window(&session, "Mozilla Thunderbird$")?;
    stage.inside(&session, &["xdotool", "windowminimize", "--sync", &mail.id])?;
    let gdb = applications.iter().find(|a| a.name == "gdb").context("gdb")?;
    gdb_has_to_let_go(stage, &session, gdb)?;
    type_into_all(stage, &session, &applications, "saved")?;

    pages_are_confined(stage, &session)?;

    let made = applications::made(stage, &session)?;
    let film = applications::film(stage, &session)?;
    keep_picture(stage, &session, "before.png")?;
    let pids = lasting(stage, &session)?;
    let saving = Instant::now();
    let saved = stage.json(&["save", &session])?;
    let saving = saving.elapsed();
    let id = saved["snapshot"].as_str().context("no snapshot")?.to_owned();
    eventually(SOON, "the original goes on", || {
        Ok((applications::made(stage, &session)? > made && applications::film(stage, &session)? > film).then_some(()))
    })?;
    stage.json(&["stop", &session])?;

    let resuming = Instant::now();
    stage.json(&["resume", &id])?;
    let resuming = resuming.elapsed();
    keep_picture(stage, &session, "after.png")?;
    let now = lasting(stage, &session)?;
    ensure!(now == pids, "other processes:\n{pids:?}\n{now:?}");
    pages_are_confined(stage, &session)?;
    let (made_now, film_now) = (applications::made(stage, &session)?, applications::film(stage, &session)?);
    ensure!(made_now >= made && film_now >= film, "made {made_now} after {made}, film {film_now} after {film}");
    eventually(SOON, "the movie plays on, and make goes on", || {
        let (made, film) = (applications::made(stage, &session)?, applications::film(stage, &session)?);
        Ok((made > made_now && film > film_now).then_some(()))
    })?;
    type_into_all(stage, &session, &applications, "more")?;
    keep_picture(stage, &session, "later.png")?;
    for application in &applications {
        let text = (application.text)(stage, &session, application).with_context(|| application.name.to_owned())?;
        ensure!(text.trim() == "savedmore", "{} has {text:?}", application.name);
    }
    let show = stage.json(&["show", &id])?;
    println!(
        "{} applications, {} processes, {} threads, {} MB: saved in {:.1} s, stood still for {:.1} s, resumed in {:.1} s; \
         pictures in {}",
        applications.len(),
        show["processes"],
        show["threads"],
        show["memory_bytes"].as_u64().unwrap_or_default() / 1_000_000,
        saving.as_secs_f64(),
        saved["pause_ms"].as_f64().unwrap_or_default() / 1e3,
        resuming.as_secs_f64(),
        artefacts()?.display(),
    );
    Ok(())
}

#[test]
fn the_showcase_comes_back_as_it_was_saved() {
    let stage = Stage::new(&["showcase"]).unwrap_or_else(|error| panic!("no stage: {error:#}"));
    if let Err(error) = works(&stage) {
        let kept = keep_picture(&stage, "show", "failed.png").is_ok();
        panic!("{error:#}\n{}{}", stage.logs(), if kept { "failed.png shows the desktop\n" } else { "" });
    }
}

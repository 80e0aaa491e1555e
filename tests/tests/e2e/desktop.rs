//! A real desktop, saved in the middle of work, changed, stopped and resumed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Geometry, Stage, VIM, Window, eventually, keys};

use crate::large;

/// A page whose title counts, and says which keys it was sent; "+" adds a thousand.
const PAGE: &str = "<!DOCTYPE html><meta charset=utf-8><title>count</title><body style='font-size:60px'><script>
let count = 0, keys = '';
function show() { document.title = 'count:' + count + ' keys:' + keys; document.body.textContent = count; }
setInterval(() => { count++; show(); }, 100);
addEventListener('keydown', e => { if (e.key.length == 1) { keys += e.key; if (e.key == '+') count += 1000; } show(); });
</script>";

/// A program that prints the time that it sees, and counts.
const CLOCK: &str = "import time, os
n = 0
while True:
    n += 1
    with open('/tmp/clock.new', 'w') as f: f.write(f'{n} {time.monotonic()} {os.getpid()}')
    os.rename('/tmp/clock.new', '/tmp/clock')
    time.sleep(0.05)
";

const SIZE: (u16, u16) = (1360, 840);
const EDITOR: Geometry = Geometry { x: 20, y: 60, width: 560, height: 320 };
const TERMINAL: Geometry = Geometry { x: 20, y: 460, width: 560, height: 300 };
const BROWSER: Geometry = Geometry { x: 640, y: 60, width: 680, height: 700 };
const SOON: Duration = Duration::from_secs(30);

/// How far the page has counted, and the keys that it got.
fn page(stage: &Stage, session: &str) -> Result<(u64, String)> {
    let window = stage.window(session, "^count:")?.context("the browser's window is gone")?;
    let told = window.title.strip_prefix("count:").and_then(|rest| rest.split_once(" keys:"));
    let (count, keys) = told.with_context(|| window.title.clone())?;
    // The browser's own name stands behind it.
    let keys = keys.split(' ').next().unwrap_or_default();
    Ok((count.parse()?, keys.to_owned()))
}

/// Count, monotonic time and pid that the clock prints.
fn clock(stage: &Stage, session: &str) -> Result<(u64, f64, i32)> {
    let said = stage.inside(session, &["cat", "/tmp/clock"])?;
    let mut words = said.split(' ');
    let mut next = || words.next().with_context(|| said.clone());
    Ok((next()?.parse()?, next()?.parse()?, next()?.trim().parse()?))
}

/// The windows of the three applications.
struct Work {
    vim: Window,
    mousepad: Window,
    firefox: Window,
}

impl Work {
    fn begin(stage: &Stage, session: &str) -> Result<Self> {
        stage.put(session, "/home/user/page.html", PAGE)?;
        stage.put(session, "/home/user/deleted", "a file that is deleted later")?;
        stage.launch(session, &["python3", "-c", CLOCK])?;
        // With a size it does not fill the whole display.
        let firefox = ["firefox-esr", "-width", "680", "-height", "700", "file:///home/user/page.html"];
        stage.launch(session, &firefox)?;
        // Where the text is typed at once, no Escape can be taken together with what follows it.
        stage.launch(session, &[&VIM[..], &["-c", "startinsert"]].concat())?;
        stage.launch(session, &["mousepad"])?;
        let vim = stage.wait_for_window(session, "^editor$|VIM")?;
        let mousepad = stage.wait_for_window(session, "Mousepad$")?;
        let firefox = stage.wait_for_window(session, "^count:")?;
        stage.place(session, &vim, TERMINAL)?;
        stage.place(session, &mousepad, EDITOR)?;
        stage.place(session, &firefox, BROWSER)?;
        Ok(Self { vim, mousepad, firefox })
    }

    /// Types something into every window, by the display's socket.
    fn type_into_all(&self, stage: &Stage, session: &str, word: &str) -> Result<()> {
        stage.click_on(session, &self.vim)?.type_text(word)?;
        stage.click_on(session, &self.mousepad)?.type_text(word)?;
        stage.click_on(session, &self.firefox)?.type_text(word)?;
        eventually(SOON, &format!("the browser got {word}"), || {
            Ok(page(stage, session)?.1.ends_with(word).then_some(()))
        })
    }

    /// The text in mousepad: has it save the text under a new name, by its dialog, and reads that.
    fn text_in_mousepad(&self, stage: &Stage, session: &str, file: &str) -> Result<String> {
        let mut viewer = stage.click_on(session, &self.mousepad)?;
        viewer.press(&[keys::CONTROL, u32::from('s')])?;
        viewer.sync()?;
        stage.wait_for_window(session, "^Save As$")?;
        viewer.press(&[keys::CONTROL, u32::from('a')])?;
        viewer.type_text(file)?;
        // The first Enter may but take a proposal of the dialog's.
        eventually(SOON, "mousepad's dialog closes", || {
            viewer.press(&[keys::RETURN])?;
            viewer.sync()?;
            Ok(stage.window(session, "^Save As$")?.is_none().then_some(()))
        })?;
        stage.file_inside(session, file)
    }
}

#[test]
fn a_desktop_comes_back_as_it_was_saved() {
    large(|stage| {
        let size = format!("{}x{}", SIZE.0, SIZE.1);
        let session = stage.start(&["--name", "desk", "--base", "xfce", "--size", &size])?;
        let work = Work::begin(stage, &session)?;
        work.type_into_all(stage, &session, "saved")?;

        // What is there when it is saved.
        let began = Instant::now();
        let (count, typed) = page(stage, &session)?;
        ensure!(typed == "saved", "{typed}");
        let (ticks, time, clock_pid) = clock(stage, &session)?;
        let pids = stage.settled_pids(&session)?;
        let id = stage.save(&session)?;
        let until_saved = began.elapsed();
        let (count_after, _) = page(stage, &session)?;
        ensure!(count_after >= count, "the original goes on: {count_after} after {count}");

        // All of it changes, and a file goes.
        work.type_into_all(stage, &session, "+changed")?;
        stage.inside(&session, &["rm", "/home/user/deleted"])?;
        stage.put(&session, "/home/user/new", "made after the save")?;
        ensure!(page(stage, &session)?.0 >= count + 1000, "the page was changed");
        stage.json(&["stop", &session])?;
        let stopped = began.elapsed();

        let resuming = Instant::now();
        ensure!(stage.json(&["resume", &id])?["session"] == *session, "the session's name");
        ensure!(stage.viewer(&session)?.size() == SIZE, "{:?}", stage.viewer(&session)?.size());
        ensure!(stage.screenshot(&session)?.size() == (u32::from(SIZE.0), u32::from(SIZE.1)), "the picture's size");
        let now = stage.pids(&session)?;
        for (pid, (name, command)) in &pids {
            let same = now.get(pid).is_some_and(|(n, c)| n == name && c == command);
            ensure!(same, "process {pid} {name} ({command}) is not what it was: {:?}", now.get(pid));
        }

        // The clock goes on where it stopped: it did not see the time in between, and lost nothing else.
        let (ticks_now, time_now, pid_now) = clock(stage, &session)?;
        let seen = until_saved + resuming.elapsed();
        ensure!(pid_now == clock_pid && ticks_now >= ticks, "{ticks_now} after {ticks}, {pid_now} {clock_pid}");
        let passed = time_now - time;
        ensure!(passed >= 0.0 && passed <= seen.as_secs_f64(), "{passed} s passed inside, at most {seen:?} outside");
        ensure!(stopped > until_saved, "no time was spent stopped");
        let other = stage.inside(&session, &["python3", "-c", "import time; print(time.monotonic())"])?;
        let other: f64 = other.trim().parse()?;
        ensure!(
            other >= time_now && other - time <= (until_saved + resuming.elapsed()).as_secs_f64(),
            "{other} {time}"
        );
        eventually(SOON, "the clock ticks on", || Ok((clock(stage, &session)?.0 > ticks_now).then_some(())))?;

        // The page counts on from where it was.
        let (resumed_count, typed) = page(stage, &session)?;
        ensure!(typed == "saved", "{typed}");
        ensure!(resumed_count >= count && resumed_count < count + 1000, "{resumed_count}, saved at {count}");
        eventually(SOON, "the page counts on", || Ok((page(stage, &session)?.0 > resumed_count).then_some(())))?;

        // The files.
        ensure!(stage.inside(&session, &["cat", "/home/user/deleted"])?.starts_with("a file"), "the deleted file");
        ensure!(stage.inside_any(&session, &["test", "-e", "/home/user/new"])?.code == 1, "a file of later");

        // The texts, and every window answers to new input.
        work.type_into_all(stage, &session, "more")?;
        ensure!(page(stage, &session)?.1 == "savedmore", "{:?}", page(stage, &session));
        let text = stage.text_in_vim(&session, &work.vim, "/tmp/of-vim")?;
        ensure!(text.trim_end() == "savedmore", "vim: {text:?}");
        let text = work.text_in_mousepad(stage, &session, "/home/user/of-mousepad")?;
        ensure!(text.trim_end() == "savedmore", "mousepad: {text:?}");

        // It can be saved again.
        let second = stage.json(&["show", &stage.save(&session)?])?;
        ensure!(second["parent"] == *id, "{second}");
        Ok(())
    });
}

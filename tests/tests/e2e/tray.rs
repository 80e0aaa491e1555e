//! The tray with a real session: a click in its menu saves the desktop, and another resumes it beside the first.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually, finish};

use crate::small;

/// Nothing of it takes longer on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A tray; it ends with its owner.
struct Tray<'a> {
    stage: &'a Stage,
    program: Child,
}

impl Drop for Tray<'_> {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl<'a> Tray<'a> {
    fn start(stage: &'a Stage) -> Result<Self> {
        let program = stage.sessionctl().with_file_name("freezeframe-tray");
        let mut command = stage.command(program.as_os_str());
        let program = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self { stage, program: program.context("freezeframe-tray: cargo build -p session-agent")? })
    }

    /// Calls a method of its menu, as a host does.
    fn call(&self, method: &str, arguments: &[&str]) -> Result<String> {
        let mut command: Command = self.stage.command("dbus-send".as_ref());
        let item = format!("--dest=org.kde.StatusNotifierItem-{}-1", self.program.id());
        command.args(["--session", "--print-reply", &item, "/MenuBar", &format!("com.canonical.dbusmenu.{method}")]);
        finish(command.args(arguments), LIMIT)?.done()
    }

    /// The number of a line that can be clicked; none where there is none.
    fn line(&self, label: &str) -> Option<String> {
        let menu = self.call("GetLayout", &["int32:0", "int32:-1", "array:string:"]).ok()?;
        // A line: its number, its properties, and the lines behind it.
        let at = menu.find(&format!("string \"{label}\"\n"))?;
        let before = menu.get(..at)?;
        let line = menu.get(before.rfind("struct {")?..)?;
        let number = line.lines().nth(1)?.trim().strip_prefix("int32 ")?;
        let properties = line.get(..line.find(']')?)?;
        // Its only flag says whether it can be clicked, where it cannot.
        (!properties.contains("boolean false")).then(|| number.to_owned())
    }

    fn click(&self, label: &str) -> Result<()> {
        let number = eventually(LIMIT, &format!("{label:?} can be clicked"), || Ok(self.line(label)))?;
        let event = [&format!("int32:{number}"), "string:clicked", "variant:int32:0", "uint32:0"];
        self.call("Event", &event).map(drop)
    }
}

#[test]
fn a_click_in_the_tray_saves_a_desktop_and_another_resumes_it() {
    small(|stage| {
        let desktop = stage.start(&[])?;
        stage.put(&desktop, "/home/user/note", "kept")?;
        let tray = Tray::start(stage)?;
        tray.click("Snapshot session")?;
        let taken = || Ok(stage.json(&["timeline"])?[0]["snapshot"].as_str().map(drop));
        eventually(LIMIT, "there is a snapshot", taken)?;
        tray.click("Resume alongside")?;
        let beside = format!("{desktop}-2");
        eventually(LIMIT, "it runs", || Ok(stage.state(&beside)?.filter(|state| state == "running")))?;
        ensure!(stage.inside(&beside, &["cat", "/home/user/note"])? == "kept");
        ensure!(stage.state(&desktop)?.as_deref() == Some("running"));
        Ok(())
    });
}

//! Running a program in a session, and the other calls that go straight to its wrapper.

use std::fs::File;
use std::sync::Arc;

use freezeframe_api::records::{CheckReport, ExecuteOptions, Executed, FindingRow};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol as protocol;
use freezeframe_text::{MESSAGE, NAME, TITLE, line};
use zbus::zvariant::{Fd, OwnedFd, OwnedObjectPath};

use super::save::encode;
use crate::agent::job::Cancel;
use crate::agent::{Agent, failure};

impl Agent {
    /// Runs a program in a session. It does not count as an operation: a save meanwhile is the pre-flight's affair.
    pub(crate) async fn execute(
        self: &Arc<Self>,
        id: &str,
        argv: Vec<String>,
        options: ExecuteOptions,
    ) -> Result<OwnedObjectPath> {
        let invalid = |text: &str| Error::new(ErrorKind::InvalidArgument, text);
        if argv.first().is_none_or(String::is_empty) {
            return Err(invalid("there is no program to run"));
        }
        if options.environment.keys().any(|k| k.is_empty() || k.contains(['=', '\0'])) {
            return Err(invalid("a variable's name cannot be empty or contain \"=\""));
        }
        let mut descriptors = Vec::new();
        for given in [options.stdin, options.stdout, options.stderr] {
            match given {
                Some(_) if !options.wait => return Err(invalid("descriptors are taken with wait only")),
                Some(fd) => descriptors.push(fd),
                None if options.wait => descriptors.push(nothing()?),
                None => {}
            }
        }
        let mut environment: Vec<(String, String)> = options.environment.into_iter().collect();
        environment.sort();
        let wait = options.wait;
        let directory = options.directory.unwrap_or_default();
        let record = protocol::ExecOptions { argv, root: options.root, wait, environment, directory };
        let record = encode(&record)?;
        let control = self.control(id)?;
        let session = id.to_owned();
        self.job("execute", Cancel::No, move |_| async move {
            let given = descriptors.iter().map(Fd::from).collect();
            let number = control.wrapper.execute(&record, given).await.map_err(|e| failure::of_call(&e, &session))?;
            let (pid, status) = if wait { (0, number) } else { (number, 0) };
            Ok(Executed { session, pid, status })
        })
        .await
    }

    /// The pre-flight alone.
    pub(crate) async fn check(&self, id: &str) -> Result<CheckReport> {
        let text = self.control(id)?.wrapper.check().await.map_err(|e| failure::of_call(&e, id))?;
        let report: protocol::CheckReport = serde_json::from_str(&text)
            .map_err(|e| Error::new(ErrorKind::Failed, format!("the wrapper's report cannot be read: {e}")))?;
        let findings = report.findings.into_iter().map(|f| FindingRow {
            pid: f.pid,
            application: line(f.application, NAME),
            window: line(f.window, TITLE),
            object: line(f.object, MESSAGE),
            blocking: f.blocking,
            remedy: line(f.remedy, MESSAGE),
        });
        Ok(CheckReport { savable: report.savable, findings: findings.collect() })
    }

    /// A connected RFB socket.
    pub(crate) async fn open_display(&self, id: &str) -> Result<OwnedFd> {
        self.control(id)?.wrapper.open_display().await.map_err(|e| failure::of_call(&e, id))
    }

    /// The display as a PNG.
    pub(crate) async fn screenshot(&self, id: &str) -> Result<Vec<u8>> {
        self.control(id)?.wrapper.screenshot().await.map_err(|e| failure::of_call(&e, id))
    }
}

fn nothing() -> Result<OwnedFd> {
    let file = File::options().read(true).write(true).open("/dev/null");
    file.map(|f| std::os::fd::OwnedFd::from(f).into())
        .map_err(|e| Error::new(ErrorKind::Failed, format!("cannot open /dev/null: {e}")))
}

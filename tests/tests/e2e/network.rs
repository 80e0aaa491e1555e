//! The way out of a session: none, or outbound only.

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use freezeframe_tests::{Stage, eventually, finish};

use crate::small;

/// Addresses of the host that are not its loopback (RFC 5737: for documentation, so nobody has them), one a test.
const OUTSIDE: &str = "198.51.100.77";
const OF_TALKERS: &str = "198.51.100.78";
const LIMIT: Duration = Duration::from_secs(30);

/// An address, as one of this machine's own; taken away when dropped.
struct Address(&'static str);

impl Address {
    fn add(address: &'static str) -> Result<Self> {
        finish(Command::new("ip").args(["address", "replace", &format!("{address}/32"), "dev", "lo"]), LIMIT)?
            .done()?;
        Ok(Self(address))
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let address = self.0;
        let remove = finish(Command::new("ip").args(["address", "del", &format!("{address}/32"), "dev", "lo"]), LIMIT);
        if let Err(error) = remove {
            eprintln!("the address {address} is left: {error:#}");
        }
    }
}

/// A server that greets every client, for as long as this program runs; answers its port.
fn greeter(address: &str) -> Result<u16> {
    let listener = TcpListener::bind((address, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that left early was not interested.
            let _ = (&stream).write_all(b"hello");
        }
    });
    Ok(port)
}

fn connects(stage: &Stage, session: &str, address: &str, port: u16) -> Result<bool> {
    let script = "import socket, sys\n\
                  s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)\n\
                  s.settimeout(3)\n\
                  sys.exit(s.recv(5) != b'hello')\n";
    Ok(stage.inside_any(session, &["python3", "-c", script, address, &port.to_string()])?.code == 0)
}

/// Outwards and nowhere else.
fn reaches_out_only(stage: &Stage, session: &str, outside: u16, loopback: u16) -> Result<()> {
    let reached = || Ok(connects(stage, session, OUTSIDE, outside)?.then_some(()));
    eventually(LIMIT, &format!("{session} reaches the network"), reached)?;
    let routes = stage.inside(session, &["ip", "-4", "route", "show", "default"])?;
    let router = routes.split_whitespace().skip_while(|w| *w != "via").nth(1).unwrap_or_default().to_owned();
    ensure!(!router.is_empty(), "there is no router: {routes}");
    for address in ["127.0.0.1", router.as_str()] {
        ensure!(!connects(stage, session, address, loopback)?, "the host's loopback is reached by {address}");
    }
    Ok(())
}

#[test]
fn outbound_reaches_out_also_after_a_resume_and_none_reaches_nothing() {
    small(|stage| {
        let _address = Address::add(OUTSIDE)?;
        let (outside, loopback) = (greeter(OUTSIDE)?, greeter("127.0.0.1")?);
        stage.start(&["--name", "shut", "--network", "none"])?;
        ensure!(!connects(stage, "shut", OUTSIDE, outside)?, "none reaches the network");
        ensure!(!connects(stage, "shut", "127.0.0.1", loopback)?, "none reaches the host's loopback");
        stage.json(&["stop", "shut"])?;

        let session = stage.start(&["--name", "desk", "--network", "outbound"])?;
        reaches_out_only(stage, &session, outside, loopback)?;
        let id = stage.save(&session)?;
        reaches_out_only(stage, &session, outside, loopback)?;
        stage.json(&["resume", &id, "--alongside", "--name", "beside"])?;
        reaches_out_only(stage, "beside", outside, loopback)?;
        reaches_out_only(stage, &session, outside, loopback)?;
        stage.json(&["stop", "beside"])?;
        stage.json(&["stop", &session])?;
        stage.json(&["resume", &id])?;
        reaches_out_only(stage, &session, outside, loopback)
    });
}

/// A server that sends back whatever it is sent; answers its port.
fn echo(address: &str) -> Result<u16> {
    let listener = TcpListener::bind((address, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (&stream, &stream);
                // Ends with the connection.
                let _ = std::io::copy(&mut from, &mut to);
            });
        }
    });
    Ok(port)
}

/// Three connections: one out of the session that talks, one there that only listens, and one within the session that talks.
/// Each file says which connection it is by now, how many answers that had, and how those before it ended.
const TALKERS: &str = "import os, socket, sys, threading, time
outside = (sys.argv[1], int(sys.argv[2]))
inside = socket.create_server(('127.0.0.1', 0))
def echo():
    while True:
        c, _ = inside.accept()
        def serve(c=c):
            while data := c.recv(100): c.sendall(data)
        threading.Thread(target=serve).start()
def talk(name, to, talks):
    ends = []
    while True:
        s, answers = socket.create_connection(to), 0
        try:
            while True:
                if talks: s.sendall(b'x')
                with open('/tmp/.' + name, 'w') as f: f.write(f'{len(ends) + 1} {answers} {\" \".join(ends)}')
                os.rename('/tmp/.' + name, '/tmp/' + name)
                if not s.recv(1): raise EOFError
                answers += 1
                time.sleep(0.02)
        except (OSError, EOFError) as e: ends.append(type(e).__name__)
for work in [(echo,), (talk, 'talking', outside, True), (talk, 'listening', outside, False), (talk, 'within', inside.getsockname(), True)]:
    threading.Thread(target=work[0], args=work[1:]).start()
";

/// Which connection it is, how many answers it had, and how those before it ended.
fn talker(stage: &Stage, session: &str, name: &str) -> Result<(u32, u32, String)> {
    let said = stage.file_inside(session, &format!("/tmp/{name}"))?;
    let mut words = said.splitn(3, ' ');
    let mut next = || words.next().unwrap_or_default();
    Ok((next().parse()?, next().parse()?, next().to_owned()))
}

/// Waits until the connection has more than `answers`.
fn talks_on(stage: &Stage, session: &str, name: &str, connection: u32, answers: u32) -> Result<u32> {
    eventually(LIMIT, &format!("{name} in {session} gets more than {answers} answers"), || {
        let (number, now, ends) = talker(stage, session, name)?;
        ensure!(number == connection, "{name} in {session} is connection {number}; before it: {ends}");
        Ok((now > answers).then_some(now))
    })
}

#[test]
fn connections_within_live_on_and_those_to_the_outside_are_reset_in_what_is_resumed() {
    small(|stage| {
        let _address = Address::add(OF_TALKERS)?;
        let port = echo(OF_TALKERS)?.to_string();
        let session = stage.start(&["--name", "desk", "--network", "outbound"])?;
        let greeter = greeter(OF_TALKERS)?;
        let reached = || Ok(connects(stage, &session, OF_TALKERS, greeter)?.then_some(()));
        eventually(LIMIT, "the network is reached", reached)?;
        let pid = stage.launch(&session, &["python3", "-c", TALKERS, OF_TALKERS, &port])?;
        let talking = talks_on(stage, &session, "talking", 1, 3)?;
        let within = talks_on(stage, &session, "within", 1, 3)?;
        ensure!(talker(stage, &session, "listening")?.0 == 1, "it listens");

        // Said before, and no reason not to save.
        let object = format!("TCP connection to {OF_TALKERS}:{port}");
        let check = stage.json(&["check", &session])?;
        let findings = check["findings"].as_array().cloned().unwrap_or_default();
        let about = |f: &&serde_json::Value| f["object"] == *object && f["pid"] == pid && f["blocking"] == false;
        ensure!(check["savable"] == true && findings.iter().filter(about).count() == 2, "{check}");

        // The session that runs on keeps all of them.
        let id = stage.save(&session)?;
        talks_on(stage, &session, "talking", 1, talking)?;
        talks_on(stage, &session, "within", 1, within)?;
        ensure!(talker(stage, &session, "listening")?.0 == 1, "it listens on");
        let show = stage.json(&["show", &id])?;
        let closed = serde_json::json!({ "object": object, "application": "python3", "pid": pid });
        ensure!(show["closed"] == serde_json::json!([closed, closed]), "{show}");

        // In what is resumed, those out of the session have ended, and new ones work.
        stage.json(&["resume", &id, "--alongside", "--name", "beside"])?;
        talks_on(stage, "beside", "within", 1, within)?;
        for name in ["talking", "listening"] {
            let (_, _, ends) = eventually(LIMIT, &format!("{name} notices, and connects again"), || {
                let now = talker(stage, "beside", name)?;
                Ok((now.0 == 2).then_some(now))
            })?;
            ensure!(["ConnectionAbortedError", "ConnectionResetError"].contains(&ends.as_str()), "{name}: {ends}");
        }
        talks_on(stage, "beside", "talking", 2, 3)?;
        let now = talks_on(stage, &session, "talking", 1, talking)?;
        talks_on(stage, &session, "talking", 1, now)?;
        Ok(())
    });
}

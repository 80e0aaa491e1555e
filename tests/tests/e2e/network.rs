//! The way out of a session: none, or outbound only.

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use freezeframe_tests::{Stage, eventually, finish};

use crate::small;

/// An address of the outside that is not its loopback (RFC 5737: for documentation, so nobody has it).
const OUTSIDE: &str = "198.51.100.77";
const LIMIT: Duration = Duration::from_secs(30);

/// The address, as one of this machine's own; taken away when dropped.
struct Address;

impl Address {
    fn add() -> Result<Self> {
        finish(Command::new("ip").args(["address", "replace", &format!("{OUTSIDE}/32"), "dev", "lo"]), LIMIT)?
            .done()?;
        Ok(Self)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let remove = finish(Command::new("ip").args(["address", "del", &format!("{OUTSIDE}/32"), "dev", "lo"]), LIMIT);
        if let Err(error) = remove {
            eprintln!("the address {OUTSIDE} is left: {error:#}");
        }
    }
}

/// A server that greets whoever connects, for as long as this program runs; answers its port.
fn greeter(address: &str) -> Result<u16> {
    let listener = TcpListener::bind((address, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever left early was not interested.
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
    eventually(LIMIT, &format!("{session} reaches the outside"), reached)?;
    let routes = stage.inside(session, &["ip", "-4", "route", "show", "default"])?;
    let router = routes.split_whitespace().skip_while(|w| *w != "via").nth(1).unwrap_or_default().to_owned();
    ensure!(!router.is_empty(), "there is no router: {routes}");
    for address in ["127.0.0.1", router.as_str()] {
        ensure!(!connects(stage, session, address, loopback)?, "the outside's loopback is reached by {address}");
    }
    Ok(())
}

#[test]
fn outbound_reaches_out_also_after_a_resume_and_none_reaches_nothing() {
    small(|stage| {
        let _address = Address::add()?;
        let (outside, loopback) = (greeter(OUTSIDE)?, greeter("127.0.0.1")?);
        stage.start(&["--name", "shut", "--network", "none"])?;
        ensure!(!connects(stage, "shut", OUTSIDE, outside)?, "none reaches the outside");
        ensure!(!connects(stage, "shut", "127.0.0.1", loopback)?, "none reaches the outside's loopback");
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

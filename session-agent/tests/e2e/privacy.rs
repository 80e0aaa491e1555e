//! What belongs to one user is out of reach for every other: directories, files, secrets.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::World;

/// Command lines on this machine that have `text`.
fn command_lines_with(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(text)).collect()
}

/// Issue 9, number 5.
#[test]
fn the_value_of_a_variable_is_on_no_command_line() {
    let world = World::with_session();
    let secret = format!("secret{:x}", std::process::id() ^ 0x5eed_5eed);
    let (pair, file) = (format!("TOKEN={secret}"), world.dir.path().join("variables"));
    let joined = format!("--env={pair}");
    fs::write(&file, format!("# one\n{pair}\n")).unwrap();
    let ways: [&[&str]; 4] =
        [&["--env", "TOKEN"], &["--env-file", file.to_str().unwrap()], &["--env", &pair], &[&joined]];
    for way in ways {
        let program = ["--", "sh", "-c", "echo \"$TOKEN\"; read -r line"];
        let mut command = world.command(&[&["exec", "desktop", "--wait"], way, &program].concat());
        let mut child = command.env("TOKEN", &secret).stdin(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let shown = command_lines_with(&secret);
        drop(child.stdin.take());
        let _ = child.wait();
        assert_eq!(said.trim(), secret, "{way:?}");
        assert!(shown.is_empty(), "{way:?}: {shown:?}");
    }
    world.json(&["exec", "desktop", "--env", "NOT_SET_HERE", "--", "true"]).refused(2, "InvalidArgument");
    world.json(&["exec", "desktop", "--wait", "--env-file", "-", "--", "true"]).refused(2, "InvalidArgument");
    world.json(&["exec", "desktop", "--env-file", "/nonexistent", "--", "true"]).refused(3, "NotFound");
    assert_eq!(world.run_with_input(&["exec", "desktop", "--env-file", "-", "--", "true"], "A=1\n").stdout, "4242\n");
}

/// Everything at and below `path` that others could read, write or enter.
fn open_to_others(path: &Path) -> Vec<String> {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mut found = Vec::new();
    if metadata.mode() & 0o077 != 0 && !metadata.is_symlink() {
        found.push(format!("{} {:o}", path.display(), metadata.mode() & 0o7777));
    }
    if metadata.is_dir() {
        found.extend(fs::read_dir(path).unwrap().flatten().flat_map(|entry| open_to_others(&entry.path())));
    }
    found
}

/// Issue 9, number 5.
#[test]
fn what_is_made_is_private_whatever_the_umask() {
    for umask in ["000", "777"] {
        let world = World::without_agent();
        for verb in ["settings keep_last=3", "key", "list"] {
            let line = format!("umask {umask}; exec \"$0\" --json {verb}");
            let mut command = world.command(&[]);
            let program = command.get_program().to_owned();
            let variables: Vec<_> = command.get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())).collect();
            command = Command::new("sh");
            let output = command.args(["-c", &line]).arg(program).envs(variables).output().unwrap();
            assert!(output.status.success(), "{umask} {verb}: {output:?}");
        }
        for place in ["data/freezeframe", "config/freezeframe", "runtime/freezeframe"] {
            let open = open_to_others(&world.dir.path().join(place));
            assert!(open.is_empty(), "{umask}: {open:?}");
        }
        assert_eq!(fs::metadata(world.dir.path().join("config/freezeframe")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(world.runtime().join("freezeframe")).unwrap().mode() & 0o777, 0o700);
    }
}

/// Issue 9, number 5.
#[test]
fn directories_that_are_missing_or_relative_are_told() {
    let world = World::without_agent();
    let told = |change: &dyn Fn(&mut Command)| {
        let mut command = world.command(&["list", "--json"]);
        change(&mut command);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
        let said = told(&|command| {
            command.env(name, "some/where");
        });
        assert!(said.contains(&format!("{name} is some/where")), "{said}");
    }
    let said = told(&|command| {
        command.env_remove("XDG_DATA_HOME").env_remove("HOME");
    });
    assert!(said.contains("there is no home directory"), "{said}");
}

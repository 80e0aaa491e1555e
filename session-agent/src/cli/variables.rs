//! Variables for a program in a session. What is on a command line can be read by every user of the machine (proc_pid_cmdline(5)),
//! so a secret is taken from the environment or from a file; one that is on the command line nevertheless is blotted out.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::bounded;

/// `--env`: NAME=VALUE, or NAME for the value that it has here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The variable.
    pub name: String,
    /// Its value; none to take it over.
    pub value: Option<String>,
}

/// Most bytes of a file of variables: more than any program can be started with (execve(2), "Limits on size of arguments and
/// environment").
const MOST: u64 = 8 << 20;

/// Reads a value of `--env`, or a line of a file of variables.
///
/// # Errors
/// The text says what to write.
pub fn variable(text: &str) -> Result<Variable, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() || text.contains('\0') {
        return Err("write NAME=VALUE, or NAME for the value that it has here".into());
    }
    Ok(Variable { name: name.to_owned(), value })
}

/// All variables that are asked for, those of `file` first. `here` is the environment of this program.
pub(super) fn all(
    given: Vec<Variable>,
    file: Option<&Path>,
    here: impl Fn(&str) -> Option<OsString>,
) -> Result<HashMap<String, String>> {
    let of_file = file.map_or(Ok(Vec::new()), read)?;
    let mut all = HashMap::new();
    for Variable { name, value } in of_file.into_iter().chain(given) {
        let value = match value {
            Some(value) => value,
            None => taken_over(&name, here(&name))?,
        };
        all.insert(name, value);
    }
    Ok(all)
}

fn taken_over(name: &str, here: Option<OsString>) -> Result<String> {
    let invalid = |text: String, hint: String| Error::new(ErrorKind::InvalidArgument, text).hint(hint);
    let Some(value) = here else {
        let text = format!("the variable {name} has no value here that the program could get");
        return Err(invalid(text, format!("Set and export it first, or give it one: --env {name}=VALUE")));
    };
    value.into_string().map_err(|_| invalid(format!("the value of the variable {name} is no UTF-8"), String::new()))
}

fn read(file: &Path) -> Result<Vec<Variable>> {
    let cannot = |kind: ErrorKind, reason: String| {
        Error::new(kind, format!("cannot use the variables in {}: {reason}", file.display()))
    };
    let failed = |e: io::Error| {
        let kind = if e.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Failed };
        cannot(kind, e.to_string())
    };
    // A file may be one of a shell's own, as in --env-file <(…): no regular one is asked for.
    let read = if file == Path::new("-") {
        bounded::all(io::stdin().lock(), MOST)
    } else {
        File::open(file).and_then(|file| bounded::all(file, MOST))
    };
    let text = read.map_err(failed)?;
    let invalid = |reason: String| cannot(ErrorKind::InvalidArgument, reason);
    let text = String::from_utf8(text).map_err(|_| invalid("they are no UTF-8".into()))?;
    let mut variables = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        // The values are not told: they may be secrets.
        match variable(line) {
            _ if line.trim().is_empty() || line.starts_with('#') => {}
            Ok(found) => variables.push(found),
            Err(rule) => return Err(invalid(format!("line {number}: {rule}"))),
        }
    }
    Ok(variables)
}

/// Blots out the values on this program's own command line, as far as the system lets it: until then, which is some
/// milliseconds, they can be read.
pub(super) fn hide_own_values() {
    // A system that forbids it leaves the command line as it is; the other ways of giving a value do not depend on this.
    let _ = hide();
}

fn hide() -> io::Result<()> {
    let line = {
        let mut bytes = Vec::new();
        File::open("/proc/self/cmdline")?.take(MOST).read_to_end(&mut bytes)?;
        bytes
    };
    let values = values(&line);
    if values.is_empty() {
        return Ok(());
    }
    let begin = arguments_begin(&std::fs::read_to_string("/proc/self/stat")?)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    // The kernel copies this memory for readers of the command line. Nothing of this program refers to it: arguments were
    // copied when they were parsed.
    let memory = File::options().write(true).open("/proc/self/mem")?;
    for (at, length) in values {
        memory.write_all_at(&vec![b'*'; length], begin + at as u64)?;
    }
    Ok(())
}

/// Where on a command line, as /proc/PID/cmdline has it, values of `--env` are, and how long.
fn values(line: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut at, mut after_env) = (0, false);
    for argument in line.split(|byte| *byte == 0) {
        // The program's own arguments are not ours.
        if argument == b"--" {
            break;
        }
        let variable = match argument.strip_prefix(b"--env=") {
            Some(variable) => Some(variable),
            None if after_env => Some(argument),
            None => None,
        };
        if let Some(equals) = variable.and_then(|variable| variable.iter().position(|byte| *byte == b'=')) {
            let before = argument.len() - variable.map_or(0, <[u8]>::len) + equals + 1;
            if before < argument.len() {
                found.push((at + before, argument.len() - before));
            }
        }
        after_env = argument == b"--env";
        at += argument.len() + 1;
    }
    found
}

/// Where the arguments begin in memory: `arg_start`, field 48 of proc_pid_stat(5).
fn arguments_begin(stat: &str) -> Option<u64> {
    // The second field is a name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(48 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(name: &str) -> Option<OsString> {
        (name == "TOKEN").then(|| "secret".into())
    }

    #[test]
    fn a_value_is_given_or_taken_over() {
        let given = vec![variable("A=1=2").unwrap(), variable("TOKEN").unwrap(), variable("EMPTY=").unwrap()];
        let found = all(given, None, here).unwrap();
        assert_eq!((found["A"].as_str(), found["TOKEN"].as_str(), found["EMPTY"].as_str()), ("1=2", "secret", ""));
        let error = all(vec![variable("NONE").unwrap()], None, here).unwrap_err();
        assert!(error.message.contains("NONE") && error.kind == ErrorKind::InvalidArgument, "{error:?}");
        assert!(variable("=x").is_err() && variable("").is_err());
    }

    #[test]
    fn a_file_has_a_variable_in_each_line_and_the_command_line_goes_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# mine\nA=from the file\n\nTOKEN\nB= x \n").unwrap();
        let found = all(vec![variable("A=given").unwrap()], Some(file.path()), here).unwrap();
        assert_eq!((found["A"].as_str(), found["TOKEN"].as_str(), found["B"].as_str()), ("given", "secret", " x "));
        std::fs::write(file.path(), "A=1\n=hidden\n").unwrap();
        let error = all(Vec::new(), Some(file.path()), here).unwrap_err();
        assert!(error.message.contains("line 2") && !error.message.contains("hidden"), "{error}");
        let error = all(Vec::new(), Some(Path::new("/nonexistent")), here).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        let error = all(Vec::new(), Some(Path::new("/dev/zero")), here).unwrap_err();
        assert!(error.message.contains("more than 8388608 bytes"), "{error}");
    }

    #[test]
    fn values_are_found_on_a_command_line() {
        let line = b"sessionctl\0exec\0s\0--env\0A=one\0--env=B=two\0--env\0C\0--env\0D=\0--\0sh\0--env\0E=5\0";
        let found: Vec<&[u8]> = values(line).into_iter().map(|(at, length)| &line[at..at + length]).collect();
        assert_eq!(found, [b"one", b"two"]);
    }

    #[test]
    fn the_begin_of_the_arguments_is_read_past_any_name() {
        let fields: Vec<String> = (3..=52).map(|n| n.to_string()).collect();
        assert_eq!(arguments_begin(&format!("7 (a) b) c) {}", fields.join(" "))), Some(48));
        assert_eq!(arguments_begin(""), None);
    }
}

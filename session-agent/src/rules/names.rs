//! Names of new sessions, and which base a session gets.

use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::SessionId;
use freezeframe_store::id::MAX_NAME;
use freezeframe_text::{LABEL, is_line, line};

/// The name of a session that was given none.
pub const DEFAULT_SESSION: &str = "desktop";

/// Names that our own files in the runtime directory have.
const RESERVED: [&str; 2] = ["bus", "agent.log"];

/// The name asked for, if it can be one and is free.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] or [`ErrorKind::Exists`].
pub fn asked_for(name: &str, taken: impl Fn(&str) -> bool) -> Result<SessionId> {
    let id = SessionId::new(name).map_err(|e| Error::new(ErrorKind::InvalidArgument, e.to_string()))?;
    if RESERVED.contains(&name) {
        let text = format!("{name:?} cannot be the name of a session: Freezeframe uses it itself");
        return Err(Error::new(ErrorKind::InvalidArgument, text).hint("Choose another name."));
    }
    if taken(name) {
        return Err(Error::new(ErrorKind::Exists, format!("there is a session {name:?} already"))
            .hint(format!("Choose another name, or end that one: sessionctl stop {name}")));
    }
    Ok(id)
}

/// `wanted`, or the first of `wanted-2`, `wanted-3`, … that is free.
pub fn first_free(wanted: &SessionId, taken: impl Fn(&str) -> bool) -> SessionId {
    if !taken(wanted.as_str()) {
        return wanted.clone();
    }
    let stem = stem(wanted.as_str());
    (2_u32..)
        .filter_map(|n| {
            let suffix = format!("-{n}");
            let short: String = stem.chars().take(MAX_NAME - suffix.len()).collect();
            SessionId::new(format!("{short}{suffix}")).ok()
        })
        .find(|id| !taken(id.as_str()))
        .unwrap_or_else(|| wanted.clone())
}

/// `desktop` of `desktop-2`, so that its copies are not called `desktop-2-2`.
fn stem(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((stem, number)) if !stem.is_empty() && number.parse::<u32>().is_ok_and(|n| n >= 2) => stem,
        _ => name,
    }
}

/// The base of a new session: the one asked for, the configured one, the only one, or `xfce`.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the command that makes one.
pub fn choose_base(asked: Option<&str>, configured: Option<&str>, there: &[String]) -> Result<String> {
    let build = |name: &str| format!("Build it: sessionctl base build {name}");
    if let Some(name) = asked.or(configured) {
        if there.iter().any(|b| b == name) {
            return Ok(name.to_owned());
        }
        let source = if asked.is_none() { " (default_base of the configuration)" } else { "" };
        return Err(Error::new(ErrorKind::NotFound, format!("there is no base {name:?}{source}")).hint(build(name)));
    }
    match there {
        [] => Err(Error::new(ErrorKind::NotFound, "there is no base to start from").hint(build("xfce"))),
        [only] => Ok(only.clone()),
        several => match several.iter().find(|b| *b == "xfce") {
            Some(xfce) => Ok(xfce.clone()),
            None => Err(Error::new(ErrorKind::InvalidArgument, "there are several bases, and none is the default")
                .hint(format!("Say which: --base {}", several.join(" or --base ")))),
        },
    }
}

/// Characters of a name that are quoted in another label.
const QUOTED: usize = 60;

/// The label of what is saved before a snapshot of that name takes its place: people do not know snapshots by their ids.
pub fn before_resuming(name: &str) -> String {
    let name = line(name, QUOTED);
    format!("Before resuming “{name}”")
}

/// Checks that `label` can be shown in one line.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] with the rule that it breaks.
pub fn check_label(label: &str) -> Result<()> {
    if is_line(label.trim(), LABEL) {
        return Ok(());
    }
    let text = format!("a label is one line of at most {LABEL} characters, all of which can be seen");
    Err(Error::new(ErrorKind::InvalidArgument, text).hint("Shorten it."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SessionId {
        SessionId::new(name).unwrap()
    }

    #[test]
    fn the_first_free_name_is_taken() {
        let taken = ["desktop", "desktop-2"];
        let is_taken = |n: &str| taken.contains(&n);
        assert_eq!(first_free(&id("desktop"), is_taken), id("desktop-3"));
        assert_eq!(first_free(&id("desktop-2"), is_taken), id("desktop-3"));
        assert_eq!(first_free(&id("work"), is_taken), id("work"));
        let long = id(&"x".repeat(MAX_NAME));
        assert_eq!(first_free(&long, |n| n == long.as_str()).as_str().len(), MAX_NAME);
    }

    #[test]
    fn names_that_cannot_be_are_told_from_names_that_are_taken() {
        assert_eq!(asked_for("a b", |_| false).unwrap_err().kind, ErrorKind::InvalidArgument);
        assert_eq!(asked_for("bus", |_| false).unwrap_err().kind, ErrorKind::InvalidArgument);
        assert_eq!(asked_for("a", |_| true).unwrap_err().kind, ErrorKind::Exists);
        assert_eq!(asked_for("a", |_| false).unwrap(), id("a"));
    }

    #[test]
    fn whatever_a_snapshot_is_called_there_is_a_label_for_what_it_replaces() {
        assert_eq!(before_resuming("notes.txt"), "Before resuming “notes.txt”");
        for name in ["a\nb\u{7f}", &"ü".repeat(1000), &before_resuming(&before_resuming("x"))] {
            assert!(check_label(&before_resuming(name)).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_label_is_one_line() {
        assert!(check_label("vor dem Vortrag, größer").is_ok());
        assert!(check_label("a\nb").is_err());
        assert!(check_label("a\u{202e}b").is_err());
        assert!(check_label(&"x".repeat(LABEL + 1)).is_err());
    }

    #[test]
    fn a_base_is_chosen_in_order() {
        let bases = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let both = bases(&["minimal", "xfce"]);
        assert_eq!(choose_base(Some("minimal"), Some("xfce"), &both).unwrap(), "minimal");
        assert_eq!(choose_base(None, Some("minimal"), &both).unwrap(), "minimal");
        assert_eq!(choose_base(None, None, &both).unwrap(), "xfce");
        assert_eq!(choose_base(None, None, &bases(&["minimal"])).unwrap(), "minimal");
        let none = choose_base(None, None, &[]).unwrap_err();
        assert!(none.kind == ErrorKind::NotFound && none.hint.contains("sessionctl base build xfce"), "{none:?}");
        assert!(choose_base(Some("kde"), None, &both).unwrap_err().hint.contains("base build kde"));
        assert_eq!(choose_base(None, None, &bases(&["a", "b"])).unwrap_err().kind, ErrorKind::InvalidArgument);
    }
}

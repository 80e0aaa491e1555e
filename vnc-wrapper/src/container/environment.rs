//! What programs in a session find in their environment. Nothing of the outside's environment is passed on.

use super::{DISPLAY, USER_ID};

/// The environment of the session's user, or its root, with the base's own variables and then `extra` on top.
pub fn session(root: bool, base: &[(String, String)], extra: &[(String, String)]) -> Vec<(String, String)> {
    let runtime = format!("/run/user/{USER_ID}");
    let (name, home) = if root { ("root", "/root") } else { ("user", "/home/user") };
    let bus = format!("unix:path={runtime}/bus");
    let mut all: Vec<(String, String)> = Vec::new();
    let fixed = [
        ("HOME", home),
        ("USER", name),
        ("LOGNAME", name),
        ("SHELL", "/bin/bash"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("TERM", "xterm-256color"),
        ("DISPLAY", DISPLAY),
        ("XDG_RUNTIME_DIR", &runtime),
        ("XDG_SESSION_TYPE", "x11"),
        ("DBUS_SESSION_BUS_ADDRESS", &bus),
    ];
    let fixed = fixed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    for (key, value) in fixed.chain(base.iter().cloned()).chain(extra.iter().cloned()) {
        all.retain(|(have, _)| *have != key);
        all.push((key, value));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_values_replace_earlier_ones() {
        let base = [("LANG".to_owned(), "de_DE.UTF-8".to_owned()), ("A".to_owned(), "1".to_owned())];
        let all = session(false, &base, &[("A".to_owned(), "2".to_owned())]);
        let get = |key: &str| all.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
        assert_eq!(get("LANG"), ["de_DE.UTF-8"]);
        assert_eq!(get("A"), ["2"]);
        assert_eq!(get("HOME"), ["/home/user"]);
    }
}

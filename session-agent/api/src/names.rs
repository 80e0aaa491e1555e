//! Bus name, object paths, and how ids become path elements.

use zbus::zvariant::OwnedObjectPath;

/// The agent's name on the session bus.
pub const BUS_NAME: &str = "io.github.freezeframe.SessionAgent1";

/// Where `Manager1` and `org.freedesktop.DBus.ObjectManager` are.
pub const ROOT: &str = "/io/github/freezeframe/SessionAgent1";

/// Every interface begins so.
pub const INTERFACE_PREFIX: &str = "io.github.freezeframe.";

/// The object of the session of that name.
pub fn session_path(id: &str) -> OwnedObjectPath {
    child("sessions", id)
}

/// The object of the snapshot of that id.
pub fn snapshot_path(id: &str) -> OwnedObjectPath {
    child("snapshots", id)
}

/// The object of a job.
pub fn job_path(number: u64) -> OwnedObjectPath {
    child("jobs", &number.to_string())
}

/// An id as a path element: letters and digits stay, every other byte becomes `_` and two hexadecimal digits.
pub fn escape(id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("_{byte:02x}"));
        }
    }
    if escaped.is_empty() { "_".to_owned() } else { escaped }
}

/// The id that [`escape`] made this path element of; none if it cannot have.
pub fn unescape(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let mut bytes = Vec::new();
    let mut rest = element.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'_' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn child(kind: &str, id: &str) -> OwnedObjectPath {
    // Escaped elements are letters, digits and underscores, so this is always a path; the root stands in for a bug.
    OwnedObjectPath::try_from(format!("{ROOT}/{kind}/{}", escape(id))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_becomes_a_path_and_comes_back() {
        for id in ["desktop", "desktop-2", "a_b.c", "", "_5f", "größe", "0123456789ab"] {
            assert_eq!(unescape(&escape(id)).as_deref(), Some(id));
            let path = session_path(id);
            assert!(path.as_str().starts_with("/io/github/freezeframe/SessionAgent1/sessions/"), "{path}");
        }
        assert_eq!(escape("desktop-2"), "desktop_2d2");
        assert_eq!(unescape("x_zz"), None);
        assert_eq!(unescape("x_2"), None);
    }
}

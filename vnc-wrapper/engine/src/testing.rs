//! Helpers of the tests.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the second run of a test.
const AGAIN: &str = "FREEZEFRAME_TEST_AS_USER";
/// Nobody, who has no rights.
const NOBODY: u32 = 65534;

/// Runs `test` as who runs the tests and, when that is root, once more as a normal user: the test binary starts itself for test
/// `name` (its full path) only. What root may do, a normal user may not.
pub(crate) fn as_both_users(name: &str, test: impl FnOnce()) {
    test();
    if !rustix::process::geteuid().is_root() || std::env::var_os(AGAIN).is_some() {
        return;
    }
    let ran = Command::new("/proc/self/exe")
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(AGAIN, "1")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "as a normal user: {said}{complained}");
    assert!(said.contains("1 passed"), "no test {name}: {said}");
}

//! Why a feature is lacking: the setting or security module by its name, where one is to blame.

use std::fs;
use std::io;

use super::Feature;
use crate::sys::trial::Outcome;

/// A kernel setting that forbids a feature.
struct Setting {
    /// Below /proc/sys.
    path: &'static str,
    /// Whether a value forbids.
    forbids: fn(i64) -> bool,
    /// What mends it.
    remedy: &'static str,
}

/// Those that forbid user namespaces: of all kernels, of Debian's, and of Ubuntu's AppArmor.
const USER_NAMESPACES: [Setting; 3] = [
    Setting {
        path: "user/max_user_namespaces",
        forbids: |value| value == 0,
        remedy: "sysctl user.max_user_namespaces=10000",
    },
    Setting {
        path: "kernel/unprivileged_userns_clone",
        forbids: |value| value == 0,
        remedy: "sysctl kernel.unprivileged_userns_clone=1",
    },
    Setting {
        path: "kernel/apparmor_restrict_unprivileged_userns",
        forbids: |value| value != 0,
        remedy: "install the AppArmor profile of Freezeframe's package, or sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    },
];

/// From 2 on an ordinary user traces nothing, not even its own children. 1 leaves descendants to their ancestor and subreaper.
const YAMA: Setting = Setting {
    path: "kernel/yama/ptrace_scope",
    forbids: |value| value >= 2,
    remedy: "sysctl kernel.yama.ptrace_scope=1",
};

fn value(path: &str) -> Option<i64> {
    fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

impl Setting {
    /// The sentence about it, where `value` forbids.
    fn blame(&self, value: Option<i64>) -> Option<(String, &'static str)> {
        let value = value.filter(|value| (self.forbids)(*value))?;
        Some((format!("the setting {} is {value}", self.path.replace('/', ".")), self.remedy))
    }
}

/// Whether this process may trace those that it starts. With CAP_SYS_PTRACE, which root has, 2 does not hold; 3 holds for all.
pub(super) fn tracing() -> Outcome {
    judge_tracing(value(YAMA.path), rustix::process::geteuid().is_root())
}

pub(super) fn judge_tracing(scope: Option<i64>, root: bool) -> Outcome {
    match scope {
        Some(2) if root => Ok(()),
        Some(scope) if (YAMA.forbids)(scope) => Err(libc::EPERM),
        _ => Ok(()),
    }
}

/// What was found about `feature`, which failed with error number `error` (0: accepted without effect), and what mends it.
pub(super) fn of(feature: Feature, error: i32) -> (String, &'static str) {
    let settings: &[Setting] = match feature {
        Feature::UserNamespaces => &USER_NAMESPACES,
        Feature::Tracing => std::slice::from_ref(&YAMA),
        _ => &[],
    };
    judge(feature, error, settings.iter().map(|setting| (setting, value(setting.path))))
}

fn judge<'a>(
    feature: Feature,
    error: i32,
    mut settings: impl Iterator<Item = (&'a Setting, Option<i64>)>,
) -> (String, &'static str) {
    let name = feature.name();
    if let Some((why, remedy)) = settings.find_map(|(setting, value)| setting.blame(value)) {
        return (format!("{name}: {why}"), remedy);
    }
    match error {
        0 | libc::ENOSYS | libc::EINVAL | libc::ENOTTY | libc::EOPNOTSUPP | libc::ENOENT => {
            (format!("{name}: this kernel does not have it"), "")
        }
        error => (format!("{name}: refused ({})", io::Error::from_raw_os_error(error)), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(values: [Option<i64>; 3]) -> (String, &'static str) {
        judge(Feature::UserNamespaces, libc::EPERM, USER_NAMESPACES.iter().zip(values))
    }

    #[test]
    fn a_forbidding_setting_is_named_with_its_remedy() {
        assert_eq!(blamed([Some(0), Some(1), None]).1, "sysctl user.max_user_namespaces=10000");
        let (found, remedy) = blamed([Some(1000), Some(0), None]);
        assert!(found.contains("kernel.unprivileged_userns_clone is 0"), "{found}");
        assert_eq!(remedy, "sysctl kernel.unprivileged_userns_clone=1");
        assert!(blamed([Some(1000), None, Some(1)]).1.contains("AppArmor profile"));
    }

    #[test]
    fn without_a_setting_to_blame_the_error_is_named() {
        let (found, remedy) = blamed([Some(1000), Some(1), Some(0)]);
        assert!(found.contains("Operation not permitted"), "{found}");
        assert_eq!(remedy, "");
        assert!(of(Feature::PagemapScan, libc::ENOTTY).0.ends_with("this kernel does not have it"));
    }

    #[test]
    fn yama_forbids_from_two_on_and_root_from_three_on() {
        assert_eq!(judge_tracing(None, false), Ok(()));
        assert_eq!(judge_tracing(Some(1), false), Ok(()));
        assert_eq!(judge_tracing(Some(2), false), Err(libc::EPERM));
        assert_eq!(judge_tracing(Some(2), true), Ok(()));
        assert_eq!(judge_tracing(Some(3), true), Err(libc::EPERM));
    }
}

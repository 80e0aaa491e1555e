use super::*;
use crate::testing;

fn able(lacking: &[(Feature, i32)]) -> Able {
    let state = |feature| lacking.iter().find(|(lacks, _)| *lacks == feature).map_or(Ok(()), |(_, error)| Err(*error));
    Able(Feature::ALL.into_iter().map(|feature| (feature, state(feature))).collect())
}

#[test]
fn a_machine_that_has_everything_lacks_nothing() {
    assert!(able(&[]).lacks().is_empty());
    assert!(able(&[]).can_run());
}

#[test]
fn soft_dirty_bits_are_missed_only_where_they_would_be_used() {
    assert!(able(&[(Feature::SoftDirty, 0)]).lacks().is_empty());
    let old = able(&[(Feature::SoftDirty, 0), (Feature::PagemapScan, libc::ENOTTY)]);
    assert_eq!(old.lacks().len(), 2);
    assert!(old.can_run(), "nothing is refused for want of speed");
}

#[test]
fn what_is_tried_in_a_user_namespace_is_not_blamed_without_one() {
    let lacks = able(&[
        (Feature::UserNamespaces, libc::EPERM),
        (Feature::SetTid, libc::EPERM),
        (Feature::TimeNamespaces, libc::EPERM),
    ]);
    assert_eq!(lacks.lacks().iter().map(|lack| lack.feature).collect::<Vec<_>>(), [Feature::UserNamespaces]);
    assert!(!lacks.can_run());
}

#[test]
fn every_lack_has_words_for_people() {
    for feature in Feature::ALL {
        for lack in able(&[(feature, libc::EPERM), (Feature::PagemapScan, libc::ENOTTY)]).lacks() {
            assert!(lack.found.starts_with(lack.feature.name()) && lack.found.len() > lack.feature.name().len() + 2);
            assert!(!lack.consequence.is_empty() && !lack.consequence.ends_with('.'));
        }
    }
}

#[test]
fn probing_twice_finds_the_same_and_leaves_this_process_as_it_was() {
    testing::as_both_users("able::tests::probing_twice_finds_the_same_and_leaves_this_process_as_it_was", || {
        let state = || {
            let read = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
            (["user", "pid", "net", "time"].map(read), rustix::process::getpid())
        };
        let before = state();
        let again = Able(Feature::ALL.into_iter().map(|feature| (feature, feature.probe())).collect());
        assert_eq!(Able::here(), &again);
        assert_eq!(before, state());
    });
}

#[test]
fn features_agree_with_what_the_kernel_says_of_itself() {
    // Asked for by name where the kernel has another place that names them.
    let listed = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    assert_eq!(Able::here().has(Feature::SeccompNotification), listed.contains("user_notif"));
    let time = std::path::Path::new("/proc/self/ns/time").exists();
    assert!(time || !Able::here().has(Feature::TimeNamespaces));
    if let Ok(options) = std::fs::read_to_string(format!("/boot/config-{}", release())) {
        assert_eq!(Able::here().has(Feature::SoftDirty), options.contains("CONFIG_MEM_SOFT_DIRTY=y"));
    }
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

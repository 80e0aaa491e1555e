//! When which session is saved by itself.
//!
//! A session is due when the configured time has passed since it was saved, by whomever, or started. One that could not be
//! saved waits twice as long after each failure; one that was not as it should be for a save (its screen was as at the last
//! one, or it was busy) is looked at again soon. Never are two saved at once; the one that waits longest goes first.

use jiff::{SignedDuration, Timestamp};

use crate::config::Automatic;

/// How soon a session is looked at again that was not saved although it was its turn.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// A wait after failures is at most this many times the configured one, and at most a day, unless that one is longer.
const LONGEST_BACKOFF: u32 = 5;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What is known of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub session: String,
    /// Whether nothing is being done with it.
    pub at_rest: bool,
    /// Whether it is being saved.
    pub saving: bool,
    /// When it was saved last, or started.
    pub saved: Timestamp,
    /// When an automatic save failed last; none since one succeeded.
    pub failed: Option<Timestamp>,
    /// How often that was in a row.
    pub failures: u32,
    /// When it was its turn and it was not as it should be.
    pub passed_over: Option<Timestamp>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Save this one.
    Save(String),
    /// Look again after that time.
    Wait(SignedDuration),
    /// Look again when something has changed.
    Rest,
}

/// Decides.
pub fn decide(now: Timestamp, rule: &Automatic, paused: bool, sessions: &[Candidate]) -> Decision {
    if !rule.enabled || paused || sessions.iter().any(|s| s.saving) {
        return Decision::Rest;
    }
    let at_rest = sessions.iter().filter(|s| s.at_rest);
    let Some((due, session)) = at_rest.map(|s| (due(rule, s), &s.session)).min() else { return Decision::Rest };
    if due <= now { Decision::Save(session.clone()) } else { Decision::Wait(now.duration_until(due)) }
}

/// When it is that session's turn.
fn due(rule: &Automatic, session: &Candidate) -> Timestamp {
    let interval = SignedDuration::from_mins(i64::from(rule.minutes));
    let regular = later(session.saved, interval);
    let backoff = (interval * (1 << session.failures.min(LONGEST_BACKOFF))).min(DAY.max(interval));
    let after_failure = session.failed.map_or(regular, |failed| later(failed, backoff));
    let after_look = session.passed_over.map_or(regular, |looked| later(looked, LOOK_AGAIN));
    regular.max(after_failure).max(after_look)
}

fn later(then: Timestamp, wait: SignedDuration) -> Timestamp {
    then.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn rule(minutes: u32) -> Automatic {
        Automatic { enabled: true, minutes, ..Automatic::default() }
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        let second = -100_000i64..100_000;
        let maybe = || proptest::option::of(second.clone());
        ("[a-d]", any::<bool>(), second.clone(), maybe(), 0u32..40, maybe()).prop_map(
            |(session, at_rest, saved, failed, failures, passed_over)| Candidate {
                session,
                at_rest,
                saving: false,
                saved: at(saved),
                failed: failed.map(at),
                failures: if failed.is_some() { failures } else { 0 },
                passed_over: passed_over.map(at),
            },
        )
    }

    proptest! {
        #[test]
        fn nothing_is_saved_when_off_or_paused_or_while_one_is_saved(
            sessions in proptest::collection::vec(candidate(), 1..5), minutes in 1u32..10_080, which in 0usize..5,
        ) {
            let now = at(200_000_000);
            let off = Automatic { enabled: false, ..rule(minutes) };
            prop_assert_eq!(decide(now, &off, false, &sessions), Decision::Rest);
            prop_assert_eq!(decide(now, &rule(minutes), true, &sessions), Decision::Rest);
            let mut saving = sessions.clone();
            saving[which % sessions.len()].saving = true;
            prop_assert_eq!(decide(now, &rule(minutes), false, &saving), Decision::Rest);
        }

        #[test]
        fn whoever_is_saved_was_due_and_at_rest(
            sessions in proptest::collection::vec(candidate(), 0..5), minutes in 1u32..10_080, now in -100_000i64..800_000,
        ) {
            let (now, rule) = (at(now), rule(minutes));
            let interval = SignedDuration::from_mins(i64::from(minutes));
            match decide(now, &rule, false, &sessions) {
                Decision::Save(name) => {
                    let waited = |then: Timestamp| then.duration_until(now) >= interval;
                    let due = |s: &Candidate| s.at_rest && waited(s.saved) && s.failed.is_none_or(waited);
                    let one_was_due = sessions.iter().any(|s| s.session == name && due(s));
                    prop_assert!(one_was_due);
                }
                // Nobody is forgotten: after that wait somebody is due, and nobody was due before.
                Decision::Wait(wait) => {
                    prop_assert!(wait > SignedDuration::ZERO);
                    let then = now + wait;
                    prop_assert!(matches!(decide(then, &rule, false, &sessions), Decision::Save(_)));
                    let before = then - SignedDuration::from_nanos(1);
                    prop_assert!(!matches!(decide(before, &rule, false, &sessions), Decision::Save(_)));
                }
                Decision::Rest => prop_assert!(!sessions.iter().any(|s| s.at_rest)),
            }
        }

        #[test]
        fn a_failure_never_makes_it_sooner(session in candidate(), minutes in 1u32..10_080, more in 1u32..10) {
            let rule = rule(minutes);
            let failed = session.failed.unwrap_or(session.saved);
            let once = Candidate { failed: Some(failed), failures: session.failures.max(1), ..session.clone() };
            let again = Candidate { failures: once.failures + more, ..once.clone() };
            prop_assert!(due(&rule, &session) <= due(&rule, &once));
            prop_assert!(due(&rule, &once) <= due(&rule, &again));
        }
    }

    #[test]
    fn failures_double_the_wait_up_to_a_day() {
        let tried = |failures| Candidate {
            session: "desktop".into(),
            at_rest: true,
            saving: false,
            saved: at(-10_000),
            failed: Some(at(0)),
            failures,
            passed_over: None,
        };
        let minutes = |interval, failures| at(0).duration_until(due(&rule(interval), &tried(failures))).as_mins();
        assert_eq!([1, 2, 3, 9].map(|n| minutes(10, n)), [20, 40, 80, 320]);
        assert_eq!(minutes(600, 9), 24 * 60);
        assert_eq!(minutes(2_880, 9), 2_880);
    }

    #[test]
    fn one_that_is_as_it_was_is_looked_at_again_soon() {
        let still = Candidate {
            session: "desktop".into(),
            at_rest: true,
            saving: false,
            saved: at(-10_000),
            failed: None,
            failures: 0,
            passed_over: Some(at(0)),
        };
        assert_eq!(decide(at(0), &rule(10), false, &[still]), Decision::Wait(LOOK_AGAIN));
    }
}

//! What a machine printed, judged.

use std::fmt;

/// Before what a test says that the kernel lacks, where it looks at that instead.
const LACKS: &str = "LACKS ";

/// What became of the tests under one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    passed: usize,
    failed: Vec<String>,
    /// Tests that the engine's authors have switched off.
    ignored: usize,
    /// What the kernel lacks, as tests said.
    lacks: Vec<String>,
    /// The tests' program reported its end.
    ended: bool,
    /// What it printed last, should it not have ended.
    last: Vec<String>,
}

impl Verdict {
    /// Reads the lines that libtest and the init printed.
    pub(crate) fn of(lines: &[String]) -> Self {
        let mut verdict = Self::default();
        for line in lines {
            if let Some((_, lacks)) = line.split_once(LACKS) {
                verdict.lacks.push(lacks.to_owned());
            }
            if line.starts_with("FREEZEFRAME ended") {
                verdict.ended = true;
            }
            // A name, dots and an outcome; what a test printed may stand between.
            let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.split_whitespace().next()) else {
                continue;
            };
            if name == "result:" {
                continue;
            }
            match line.split_whitespace().next_back() {
                Some("ok") => verdict.passed += 1,
                Some("ignored") => verdict.ignored += 1,
                _ => verdict.failed.push(name.to_owned()),
            }
        }
        verdict.lacks.sort_unstable();
        verdict.lacks.dedup();
        if !verdict.ended {
            verdict.last = lines.iter().rev().take(20).rev().cloned().collect();
        }
        verdict
    }

    /// Whether all is as it has to be.
    pub(crate) fn passed(&self) -> bool {
        self.ended && self.failed.is_empty() && self.passed > 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} ignored", self.passed, self.failed.len(), self.ignored)?;
        for lacks in &self.lacks {
            write!(f, "\n  lacks {lacks}")?;
        }
        for failed in &self.failed {
            write!(f, "\n  FAILED {failed}")?;
        }
        if !self.ended {
            write!(f, "\n  the tests did not come to their end; the machine printed last:")?;
            self.last.iter().try_for_each(|line| write!(f, "\n    {line}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Verdict {
        Verdict::of(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn outcomes_are_counted_and_failures_named() {
        let verdict =
            of("test a::b ... ok\ntest c ... FAILED\ntest d ... ignored\ntest result: FAILED.\nFREEZEFRAME ended 101");
        assert_eq!((verdict.passed, verdict.ignored, verdict.ended), (1, 1, true));
        assert_eq!(verdict.failed, ["c"]);
        assert!(!verdict.passed());
        assert!(of("test a ... ok\ntest b ... LACKS timers\nok\nFREEZEFRAME ended 0").lacks == ["timers"]);
    }

    #[test]
    fn a_machine_that_dies_has_not_passed() {
        let verdict = of("test a ... ok\nKernel panic");
        assert!(!verdict.passed());
        assert!(verdict.to_string().contains("Kernel panic"));
        assert!(!of("FREEZEFRAME ended 0").passed());
    }
}

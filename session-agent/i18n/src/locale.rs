//! The process' locale.
#![allow(unsafe_code, reason = "setlocale(3), which no crate offers as a safe function")]

use std::fs;

use gettextrs::LocaleCategory;

/// Takes the locale of the environment, as setlocale(3) does for every program that is not to stay in "C". Says what is wrong when
/// it cannot.
pub(crate) fn take() -> Result<(), &'static str> {
    let alone = fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if !alone {
        return Err("a language is taken before there are threads");
    }
    // SAFETY: setlocale is no danger but to other threads that read the locale meanwhile, and there are none.
    let taken = unsafe { gettextrs::setlocale(LocaleCategory::LcAll, "") };
    taken.map(drop).ok_or("this machine lacks the locale of the environment")
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_locale_is_taken_beside_other_threads() {
        // The test runs in its own thread.
        assert!(super::take().is_err());
    }
}

//! One small guest program per kernel object (`tests/objects`): after a save that succeeded nothing of it may be lost, in
//! the session that runs on or in one that was resumed; what the engine cannot save is refused by name, and `sessionctl check`
//! has said so before, in the same words.
//!
//! `cargo test --test objects -- WORD...` plays only the guests whose names hold one of the words, and `^WORD` leaves those
//! out that hold it.

mod guests;
mod plays;

use std::process::ExitCode;

use anyhow::Result;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    match play(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the guests and reports; answers whether nothing was lost.
fn play(words: &[String]) -> Result<bool> {
    let mut all = guests::all()?;
    let (without, with): (Vec<&str>, Vec<&str>) = words.iter().map(String::as_str).partition(|w| w.starts_with('^'));
    all.retain(|g| with.is_empty() || with.iter().any(|word| g.name.contains(word)));
    all.retain(|g| !without.iter().any(|word| g.name.contains(&word[1..])));
    let mut told = plays::together(&all)?;
    for guest in all.iter().filter(|g| g.alone && g.refused.is_none()) {
        told.add(plays::saved(&[guest])?);
    }
    told.add(plays::refused(&all)?);
    eprintln!("{told}");
    Ok(told.lost.is_empty())
}

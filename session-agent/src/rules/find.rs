//! Which session or snapshot is meant: full names, unique beginnings, `latest`, `yesterday`, `@{2 hours ago}`.

use freezeframe_api::{Error, ErrorKind, Result};
use jiff::civil::DateTime;
use jiff::{Span, Timestamp, Zoned};

/// A snapshot that could be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// The instant of the freeze; none for a damaged one, which only its id finds.
    pub created: Option<Timestamp>,
    /// Deleted ones are found by their id only.
    pub deleted: bool,
}

/// The snapshot that `spec` means at `now`. An id wins over a word.
///
/// # Errors
/// [`ErrorKind::NotFound`], or [`ErrorKind::InvalidArgument`] for what is ambiguous or no instant.
pub fn snapshot(spec: &str, candidates: &[Candidate], now: &Zoned) -> Result<String> {
    let of_time = |limit: Timestamp, from: Option<Timestamp>| {
        candidates
            .iter()
            .filter(|c| !c.deleted)
            .filter_map(|c| Some((c.created?, &c.id)))
            // By the millisecond, as times are shown: what a snapshot says of itself finds it.
            .filter(|(created, _)| {
                created.as_millisecond() <= limit.as_millisecond() && from.is_none_or(|f| *created >= f)
            })
            .max()
            .map(|(_, id)| id.clone())
    };
    let none = |what: &str| {
        Error::new(ErrorKind::NotFound, format!("there is no snapshot {what}"))
            .hint("`sessionctl timeline` shows the snapshots.")
    };
    if spec == "latest" {
        return of_time(Timestamp::MAX, None).ok_or_else(|| none("yet"));
    }
    if spec == "yesterday" {
        let (from, until) = yesterday(now)?;
        return of_time(until, Some(from)).ok_or_else(|| none("of yesterday"));
    }
    if let Some(inner) = spec.strip_prefix("@{").and_then(|s| s.strip_suffix('}')) {
        let instant = instant(inner.trim(), now)?;
        return of_time(instant, None).ok_or_else(|| none(&format!("as old as {inner:?}")));
    }
    by_prefix(spec, candidates.iter().map(|c| c.id.as_str()), "snapshot")?
        .map(str::to_owned)
        .ok_or_else(|| none(&format!("{spec:?}")))
}

/// The session that `spec` means; empty means the only running one. Given are names and whether they run.
///
/// # Errors
/// [`ErrorKind::NotFound`], or [`ErrorKind::InvalidArgument`] for what is ambiguous.
pub fn session(spec: &str, sessions: &[(String, bool)]) -> Result<String> {
    let list = "`sessionctl list` shows the sessions.";
    if spec.is_empty() {
        let running: Vec<&str> = sessions.iter().filter(|(_, r)| *r).map(|(n, _)| n.as_str()).collect();
        return match running.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(Error::new(ErrorKind::NotFound, "no session is running").hint("Start one: sessionctl start")),
            several => Err(Error::new(ErrorKind::InvalidArgument, "several sessions are running")
                .hint(format!("Say which: {}.", several.join(", ")))),
        };
    }
    by_prefix(spec, sessions.iter().map(|(n, _)| n.as_str()), "session")?
        .map(str::to_owned)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no session {spec:?}")).hint(list))
}

fn by_prefix<'a>(spec: &str, names: impl Iterator<Item = &'a str>, what: &str) -> Result<Option<&'a str>> {
    if spec.is_empty() {
        return Ok(None);
    }
    let fitting: Vec<&str> = names.filter(|n| n.starts_with(spec)).collect();
    if let Some(exact) = fitting.iter().find(|n| **n == spec) {
        return Ok(Some(exact));
    }
    match fitting.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        several => {
            let text = format!("{spec:?} is short for {} {what}s", several.len());
            Err(Error::new(ErrorKind::InvalidArgument, text).hint(format!("Say which: {}.", several.join(", "))))
        }
    }
}

fn yesterday(now: &Zoned) -> Result<(Timestamp, Timestamp)> {
    let out_of_range = |e: jiff::Error| Error::new(ErrorKind::InvalidArgument, e.to_string());
    let today = now.start_of_day().map_err(out_of_range)?;
    let from = today.yesterday().and_then(|d| d.start_of_day()).map_err(out_of_range)?;
    let until = today.timestamp() - jiff::SignedDuration::from_nanos(1);
    Ok((from.timestamp(), until))
}

/// "2 hours ago", "2h", "yesterday", "2026-11-20 10:00" or an RFC 3339 time.
fn instant(text: &str, now: &Zoned) -> Result<Timestamp> {
    if text == "yesterday" {
        return Ok(yesterday(now)?.1);
    }
    if text == "now" {
        return Ok(now.timestamp());
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp);
    }
    if let Ok(zoned) = text.parse::<DateTime>().and_then(|d| d.to_zoned(now.time_zone().clone())) {
        return Ok(zoned.timestamp());
    }
    let unclear = || {
        Error::new(ErrorKind::InvalidArgument, format!("{text:?} is no instant in the past"))
            .hint("Write for example \"@{2 hours ago}\" or \"@{2026-11-20 17:30}\", with the quotes.")
    };
    let span: Span = text.parse().map_err(|_| unclear())?;
    now.checked_sub(span.abs()).map(|then| then.timestamp()).map_err(|_| unclear())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T13:00:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn candidate(id: &str, created: &str) -> Candidate {
        Candidate { id: id.into(), created: Some(created.parse().unwrap()), deleted: false }
    }

    fn all() -> Vec<Candidate> {
        vec![
            candidate("aa01", "2026-11-20T10:00:00Z"),
            candidate("aa02", "2026-11-21T22:59:59Z"),
            candidate("ab03", "2026-11-22T09:30:00Z"),
            Candidate { deleted: true, ..candidate("ac04", "2026-11-22T11:00:00Z") },
            Candidate { id: "ad05".into(), created: None, deleted: false },
        ]
    }

    fn find(spec: &str) -> Result<String> {
        snapshot(spec, &all(), &now())
    }

    #[test]
    fn words_and_instants_pass_over_what_is_deleted_or_damaged() {
        assert_eq!(find("latest").unwrap(), "ab03");
        assert_eq!(find("yesterday").unwrap(), "aa02");
        assert_eq!(find("@{2 hours ago}").unwrap(), "ab03");
        assert_eq!(find("@{3h}").unwrap(), "aa02");
        assert_eq!(find("@{1 day ago}").unwrap(), "aa01");
        assert_eq!(find("@{2026-11-21 12:00}").unwrap(), "aa01");
        assert_eq!(find("@{2026-11-22T09:30:00Z}").unwrap(), "ab03");
        assert_eq!(find("@{5 years ago}").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(find("@{whenever}").unwrap_err().kind, ErrorKind::InvalidArgument);
        assert_eq!(snapshot("latest", &[], &now()).unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn ids_may_be_short_while_unambiguous() {
        assert_eq!(find("ab").unwrap(), "ab03");
        assert_eq!(find("ac04").unwrap(), "ac04");
        assert_eq!(find("ad").unwrap(), "ad05");
        let error = find("aa").unwrap_err();
        assert!(error.kind == ErrorKind::InvalidArgument && error.hint.contains("aa01, aa02"), "{error:?}");
        assert_eq!(find("zz").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(find("").unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn an_empty_name_is_the_only_running_session() {
        let one = [("desktop".to_owned(), true), ("old".to_owned(), false)];
        assert_eq!(session("", &one).unwrap(), "desktop");
        assert_eq!(session("ol", &one).unwrap(), "old");
        assert_eq!(session("x", &one).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(session("", &one[1..]).unwrap_err().kind, ErrorKind::NotFound);
        let two = [("desktop".to_owned(), true), ("desktop-2".to_owned(), true)];
        assert_eq!(session("", &two).unwrap_err().kind, ErrorKind::InvalidArgument);
        assert_eq!(session("desktop", &two).unwrap(), "desktop");
    }
}

//! Which session or snapshot is meant: full names, unique beginnings, `latest`, `yesterday`, `@{2 hours ago}`.

use std::collections::{BTreeMap, BTreeSet};

use freezeframe_api::{Error, ErrorKind, Result};
use jiff::civil::DateTime;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// A snapshot that could be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// The instant of the freeze; none for a damaged one, which only its id finds.
    pub created: Option<Timestamp>,
    /// The snapshot before it, if its manifest says so.
    pub parent: Option<String>,
    /// Deleted ones are found by their id only.
    pub deleted: bool,
}

/// By how much clocks of two machines may differ without one of them being called wrong.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(60);

/// Whether a snapshot of that instant is dated later than `now`: the clock was wrong when it was taken, or is wrong now.
pub fn is_future(created: Timestamp, now: Timestamp) -> bool {
    created.duration_since(now) > CLOCKS_DIFFER
}

/// Places of the candidates in the order they were taken, damaged ones last.
///
/// A clock may have been wrong: a snapshot comes after the one before it, whatever their times say, and a time that is still to
/// come says nothing, unless all of them are: then it is now that is wrong.
pub fn order(candidates: &[Candidate], now: Timestamp) -> Vec<usize> {
    let places: BTreeMap<&str, usize> = candidates.iter().enumerate().map(|(at, c)| (c.id.as_str(), at)).collect();
    let parent = |at: usize| candidates.get(at)?.parent.as_deref().and_then(|id| places.get(id).copied());
    let all_to_come = candidates.iter().filter_map(|c| c.created).all(|created| is_future(created, now));
    let own = |at: usize| {
        let created =
            candidates.get(at).and_then(|c| c.created).filter(|created| all_to_come || !is_future(*created, now));
        created.unwrap_or(Timestamp::MIN)
    };
    // The latest time among a snapshot and those before it, and how many those are.
    let mut known: BTreeMap<usize, (Timestamp, usize)> = BTreeMap::new();
    for start in 0..candidates.len() {
        let (mut chain, mut met, mut at) = (Vec::new(), BTreeSet::new(), Some(start));
        while let Some(place) = at.filter(|place| !known.contains_key(place)) {
            // What a manifest says may be a circle.
            if !met.insert(place) {
                break;
            }
            chain.push(place);
            at = parent(place);
        }
        for place in chain.into_iter().rev() {
            let before = parent(place).and_then(|parent| known.get(&parent));
            let (latest, depth) = before.map_or((Timestamp::MIN, 0), |(latest, depth)| (*latest, depth + 1));
            known.insert(place, (latest.max(own(place)), depth));
        }
    }
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|at| {
        let candidate = candidates.get(*at);
        let created = candidate.and_then(|c| c.created);
        (created.is_none(), known.get(at).copied(), created, candidate.map(|c| c.id.as_str()))
    });
    order
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
        let taken = order(candidates, now.timestamp());
        let mut taken = taken.iter().rev().filter_map(|at| candidates.get(*at));
        let latest = taken.find(|c| !c.deleted && c.created.is_some());
        return latest.map(|c| c.id.clone()).ok_or_else(|| none("yet"));
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
    let until = today.timestamp() - SignedDuration::from_nanos(1);
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
        Candidate { id: id.into(), created: Some(created.parse().unwrap()), parent: None, deleted: false }
    }

    fn all() -> Vec<Candidate> {
        vec![
            candidate("aa01", "2026-11-20T10:00:00Z"),
            candidate("aa02", "2026-11-21T22:59:59Z"),
            candidate("ab03", "2026-11-22T09:30:00Z"),
            Candidate { deleted: true, ..candidate("ac04", "2026-11-22T11:00:00Z") },
            Candidate { id: "ad05".into(), created: None, parent: None, deleted: false },
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

    fn after(parent: &str, id: &str, created: &str) -> Candidate {
        Candidate { parent: Some(parent.into()), ..candidate(id, created) }
    }

    fn latest(all: &[Candidate]) -> String {
        snapshot("latest", all, &now()).unwrap()
    }

    #[test]
    fn issue_9_13_the_latest_goes_by_lineage_where_the_clock_was_wrong() {
        let first = candidate("a", "2026-11-22T10:00:00Z");
        // Taken while the clock ran years ahead, and then while it was at its beginning.
        let ahead = after("a", "b", "2031-01-01T00:00:00Z");
        assert_eq!(latest(&[first.clone(), ahead.clone()]), "b");
        let mended = after("b", "c", "2026-11-22T11:00:00Z");
        assert_eq!(latest(&[first.clone(), ahead.clone(), mended.clone()]), "c");
        let behind = after("c", "d", "1970-01-01T00:00:09Z");
        let all = [behind.clone(), mended.clone(), ahead.clone(), first.clone()];
        assert_eq!(latest(&all), "d");
        let taken: Vec<&str> = order(&all, now().timestamp()).into_iter().map(|at| all[at].id.as_str()).collect();
        assert_eq!(taken, ["a", "b", "c", "d"]);
        // Of another desktop, after all of these.
        let other = candidate("e", "2026-11-22T11:30:00Z");
        assert_eq!(latest(&[first.clone(), ahead, mended, behind, other.clone()]), "e");
        // A deleted one still says what came after it.
        let deleted = Candidate { deleted: true, ..after("a", "b", "2031-01-01T00:00:00Z") };
        assert_eq!(latest(&[first, deleted, after("b", "c", "1970-01-01T00:00:09Z")]), "c");
        // Now is wrong: everything lies ahead of it.
        let early = [candidate("x", "2030-01-02T00:00:00Z"), candidate("y", "2030-01-01T00:00:00Z")];
        assert_eq!(latest(&early), "x");
        // No manifest is believed so far that it hangs the agent.
        let circle = [after("y", "x", "2026-11-22T10:00:00Z"), after("x", "y", "2026-11-22T11:00:00Z"), other];
        assert_eq!(latest(&circle), "e");
        let alone = after("z", "z", "2026-11-22T10:00:00Z");
        assert_eq!(latest(&[alone]), "z");
    }

    #[test]
    fn issue_9_13_a_time_to_come_is_told_from_a_clock_a_little_ahead() {
        let now = now().timestamp();
        assert!(!is_future(now + SignedDuration::from_secs(59), now));
        assert!(is_future(now + SignedDuration::from_secs(61), now));
        assert!(!is_future(Timestamp::MIN, now));
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

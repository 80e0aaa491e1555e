//! What is known of the agent, and what icon and menu say of it.

use freezeframe_api::records::{AutomaticTrouble, SessionRow, Settings, SnapshotRow};
use freezeframe_i18n::{gettext, gettext_f, moment, ngettext_f};
use jiff::{Timestamp, Zoned};

/// How many snapshots the menu offers.
pub const LAST: usize = 5;

/// Characters of a label or of a message in the menu.
const WIDE: usize = 36;

/// What is known of the agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Whether it is there.
    pub there: bool,
    /// Its sessions.
    pub sessions: Vec<SessionRow>,
    /// Its snapshots, in the order they were taken, deleted ones left out.
    pub snapshots: Vec<SnapshotRow>,
    /// What the user has set.
    pub settings: Settings,
    /// Whether automatic snapshots are paused.
    pub paused: bool,
    /// Sessions that could not be saved by themselves, or whose snapshot could not be verified.
    pub troubles: Vec<AutomaticTrouble>,
}

/// What the icon shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// All is well.
    Running,
    /// A session is being saved.
    Saving,
    /// The agent is away, a session has crashed, or one could not be saved by itself.
    Trouble,
}

/// What a click asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Save a session.
    Save(String),
    /// Resume a snapshot.
    Resume {
        /// Which one.
        snapshot: String,
        /// Beside the running session.
        alongside: bool,
    },
    /// Delete a snapshot; it can be taken back in the timeline.
    Delete(String),
    /// Open the app.
    OpenTimeline,
    /// Open the app at a snapshot.
    Show(String),
    /// Pause automatic snapshots, or let them go on.
    Pause(bool),
    /// Start the agent.
    StartAgent,
    /// End the tray.
    Quit,
}

/// A line of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Something to click; without an act it only says something.
    Line(String, Option<Act>),
    /// With a mark that is on or off.
    Check(String, bool, Option<Act>),
    /// More behind it.
    More(String, Vec<Entry>),
    /// A line between others.
    Separator,
}

/// Text from inside a session, on one line and not too long.
pub(super) fn tidy(text: &str, limit: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= limit {
        return clean;
    }
    let start: String = clean.chars().take(limit - 1).collect();
    format!("{}…", start.trim_end())
}

/// What is wrong, in a few words.
fn heading(trouble: &AutomaticTrouble) -> String {
    let session = tidy(&trouble.session, WIDE);
    match trouble.snapshot.as_str() {
        "" => gettext_f("{session} could not be saved", &[("session", &session)]),
        _ => gettext_f("{session} was saved, but the snapshot is not verified", &[("session", &session)]),
    }
}

/// What a session does.
fn state(row: &SessionRow) -> String {
    let session: &[(&str, &str)] = &[("session", &row.session)];
    match row.state.as_str() {
        "running" => gettext_f("{session} is running", session),
        "starting" => gettext_f("{session} is starting", session),
        "saving" => gettext_f("{session} is being saved", session),
        "stopping" => gettext_f("{session} is stopping", session),
        "crashed" => gettext_f("{session} has crashed", session),
        // A newer agent's.
        other => format!("{}: {other}", row.session),
    }
}

/// "Yesterday, 17:42", in the zone of `now`; the text itself when it is no time.
fn moment_of(created: &str, now: &Zoned) -> String {
    let then = created.parse::<Timestamp>().map(|then| then.to_zoned(now.time_zone().clone()));
    then.map_or_else(|_| created.to_owned(), |then| moment(now.date(), then.datetime()))
}

/// Where it can be seen.
fn trouble_act(trouble: &AutomaticTrouble) -> Act {
    match trouble.snapshot.as_str() {
        "" => Act::OpenTimeline,
        snapshot => Act::Show(snapshot.to_owned()),
    }
}

impl Model {
    /// What the icon shows.
    pub fn look(&self) -> Look {
        let state = |word: &str| self.sessions.iter().any(|s| s.state == word);
        if state("saving") {
            Look::Saving
        } else if !self.there || state("crashed") || !self.troubles.is_empty() {
            Look::Trouble
        } else {
            Look::Running
        }
    }

    /// What the icon says when it is pointed at.
    pub fn says(&self) -> String {
        if !self.there {
            return gettext("The session agent is not running");
        }
        if let Some(trouble) = self.troubles.first() {
            return format!("{}: {}", heading(trouble), tidy(&trouble.message, 120));
        }
        match self.sessions.as_slice() {
            [] => gettext("No desktop is running"),
            [one] => state(one),
            many => {
                let running = many.iter().filter(|s| s.state != "crashed").count();
                let crashed = (many.len() - running).to_string();
                let (count, n) = (running as u64, running.to_string());
                match crashed.as_str() {
                    "0" => ngettext_f("{n} desktop running", "{n} desktops running", count, &[("n", &n)]),
                    _ => ngettext_f(
                        "{n} desktop running, {crashed} crashed",
                        "{n} desktops running, {crashed} crashed",
                        count,
                        &[("n", &n), ("crashed", &crashed)],
                    ),
                }
            }
        }
    }

    /// The menu.
    pub fn menu(&self, now: &Zoned) -> Vec<Entry> {
        let mut menu = Vec::new();
        if self.there {
            menu.extend(self.troubles.iter().map(|t| Entry::Line(heading(t), Some(trouble_act(t)))));
            menu.extend(self.snapshot_lines());
        } else {
            menu.push(Entry::Line(gettext("The session agent is not running"), None));
            menu.push(Entry::Line(gettext("Start it"), Some(Act::StartAgent)));
        }
        menu.push(Entry::Line(gettext("Open timeline"), Some(Act::OpenTimeline)));
        if self.there {
            // One whose record cannot be read is for the timeline to show.
            let last: Vec<&SnapshotRow> =
                self.snapshots.iter().rev().filter(|s| !s.created.is_empty()).take(LAST).collect();
            if !last.is_empty() {
                menu.push(Entry::Separator);
                menu.extend(last.into_iter().map(|s| self.resume_menu(s, now)));
            }
            menu.push(Entry::Separator);
            let act = self.settings.automatic.then_some(Act::Pause(!self.paused));
            menu.push(Entry::Check(gettext("Pause automatic snapshots"), self.paused, act));
        }
        menu.push(Entry::Separator);
        menu.push(Entry::Line(gettext("Quit tray"), Some(Act::Quit)));
        menu
    }

    fn snapshot_lines(&self) -> Vec<Entry> {
        let there: Vec<&SessionRow> =
            self.sessions.iter().filter(|s| ["running", "saving"].contains(&s.state.as_str())).collect();
        let act = |s: &SessionRow| (s.state == "running").then(|| Act::Save(s.session.clone()));
        match there.as_slice() {
            [] => vec![Entry::Line(gettext("Snapshot session"), None)],
            [one] => vec![Entry::Line(gettext("Snapshot session"), act(one))],
            many => many
                .iter()
                .map(|s| Entry::Line(gettext_f("Snapshot session “{session}”", &[("session", &s.session)]), act(s)))
                .collect(),
        }
    }

    fn resume_menu(&self, snapshot: &SnapshotRow, now: &Zoned) -> Entry {
        let words = if snapshot.label.is_empty() { &snapshot.session } else { &snapshot.label };
        let label = format!("{} – {}", moment_of(&snapshot.created, now), tidy(words, WIDE));
        if snapshot.state == "damaged" {
            return Entry::Line(gettext_f("{snapshot} (damaged)", &[("snapshot", &label)]), None);
        }
        let act = |alongside| Some(Act::Resume { snapshot: snapshot.snapshot.clone(), alongside });
        // What is stopped for it is said before.
        let runs = self.sessions.iter().any(|s| s.session == snapshot.session && s.state != "crashed");
        let resume = if runs {
            gettext_f("Save “{session}”, then resume", &[("session", &snapshot.session)])
        } else {
            gettext("Resume")
        };
        let mut lines = vec![Entry::Line(resume, act(false))];
        if runs {
            lines.push(Entry::Line(gettext("Resume alongside"), act(true)));
        }
        Entry::More(label, lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T18:00:00+00:00[UTC]".parse().unwrap()
    }

    fn session(name: &str, state: &str) -> SessionRow {
        SessionRow { session: name.into(), state: state.into(), ..SessionRow::default() }
    }

    fn snapshot(id: &str, minute: u32) -> SnapshotRow {
        SnapshotRow {
            snapshot: id.into(),
            session: "desktop".into(),
            created: format!("2026-11-22T17:{minute:02}:00.000Z"),
            state: "whole".into(),
            ..SnapshotRow::default()
        }
    }

    fn model() -> Model {
        Model { there: true, sessions: vec![session("desktop", "running")], ..Model::default() }
    }

    fn labels(menu: &[Entry]) -> Vec<&str> {
        menu.iter()
            .map(|entry| match entry {
                Entry::Line(label, _) | Entry::Check(label, _, _) | Entry::More(label, _) => label.as_str(),
                Entry::Separator => "-",
            })
            .collect()
    }

    #[test]
    fn the_icon_shows_what_is_most_urgent() {
        assert_eq!((model().look(), model().says().as_str()), (Look::Running, "desktop is running"));
        let saving = Model { sessions: vec![session("a", "saving"), session("b", "crashed")], ..model() };
        assert_eq!(saving.look(), Look::Saving);
        let crashed = Model { sessions: vec![session("a", "running"), session("b", "crashed")], ..model() };
        assert_eq!((crashed.look(), crashed.says().as_str()), (Look::Trouble, "1 desktop running, 1 crashed"));
        assert_eq!(Model::default().look(), Look::Trouble);
        let trouble = AutomaticTrouble { session: "a".into(), message: "why".into(), ..AutomaticTrouble::default() };
        let troubled = Model { troubles: vec![trouble], ..model() };
        assert_eq!((troubled.look(), troubled.says().as_str()), (Look::Trouble, "a could not be saved: why"));
        assert_eq!(labels(&troubled.menu(&now()))[0], "a could not be saved");
        let bad = AutomaticTrouble { snapshot: "7".into(), ..troubled.troubles[0].clone() };
        let unverified = Model { troubles: vec![bad], ..model() };
        assert_eq!(unverified.look(), Look::Trouble);
        let words = "a was saved, but the snapshot is not verified";
        assert_eq!(unverified.says(), format!("{words}: why"));
        assert_eq!(unverified.menu(&now())[0], Entry::Line(words.into(), Some(Act::Show("7".into()))));
    }

    #[test]
    fn the_menu_offers_what_can_be_done() {
        let menu = model().menu(&now());
        assert_eq!(
            labels(&menu),
            ["Snapshot session", "Open timeline", "-", "Pause automatic snapshots", "-", "Quit tray"]
        );
        assert_eq!(menu[0], Entry::Line("Snapshot session".into(), Some(Act::Save("desktop".into()))));
        // There is nothing to pause.
        assert_eq!(menu[3], Entry::Check("Pause automatic snapshots".into(), false, None));
        let settings = Settings { automatic: true, ..Settings::default() };
        let paused = Model { settings, paused: true, ..model() }.menu(&now());
        assert_eq!(paused[3], Entry::Check("Pause automatic snapshots".into(), true, Some(Act::Pause(false))));
        let several = Model { sessions: vec![session("a", "running"), session("b", "saving")], ..model() };
        let menu = several.menu(&now());
        assert_eq!(menu[0], Entry::Line("Snapshot session “a”".into(), Some(Act::Save("a".into()))));
        assert_eq!(menu[1], Entry::Line("Snapshot session “b”".into(), None));
        let none = Model { sessions: vec![], ..model() };
        assert_eq!(none.menu(&now())[0], Entry::Line("Snapshot session".into(), None));
        assert_eq!(
            labels(&Model::default().menu(&now())),
            ["The session agent is not running", "Start it", "Open timeline", "-", "Quit tray"]
        );
    }

    #[test]
    fn the_last_five_can_be_resumed_newest_first() {
        let mut snapshots: Vec<SnapshotRow> = (0..7).map(|n| snapshot(&n.to_string(), 10 + n)).collect();
        snapshots[6].label = "Before the talk".into();
        snapshots[5].state = "damaged".into();
        let menu = Model { snapshots: snapshots.clone(), ..model() }.menu(&now());
        let all = labels(&menu);
        assert_eq!(all[3..5], ["Today, 17:16 – Before the talk", "Today, 17:15 – desktop (damaged)"]);
        assert_eq!(all[8..], ["-", "Pause automatic snapshots", "-", "Quit tray"]);
        let act = |alongside| Some(Act::Resume { snapshot: "6".into(), alongside });
        let lines = |menu: &[Entry]| match &menu[3] {
            Entry::More(_, lines) => lines.clone(),
            other => panic!("{other:?}"),
        };
        let in_place = Entry::Line("Save “desktop”, then resume".into(), act(false));
        assert_eq!(lines(&menu), [in_place, Entry::Line("Resume alongside".into(), act(true))]);
        let alone = Model { snapshots, sessions: vec![], ..model() }.menu(&now());
        assert_eq!(lines(&alone), [Entry::Line("Resume".into(), act(false))]);
    }
}

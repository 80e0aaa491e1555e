//! What the page shows just now: sections of cards, and each card's words.

use std::rc::Rc;

use freezeframe_api::records::SessionRow;
use jiff::civil::Date;

use super::model::{Snapshot, branches, days};
use super::search::Query;
use super::words;
use crate::i18n::{gettext, gettext_f};

/// What a card stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A session, by name.
    Session(String),
    /// A snapshot, by id.
    Snapshot(String),
}

/// All that is known, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) sessions: Vec<SessionRow>,
    pub(crate) snapshots: Rc<Vec<Snapshot>>,
    branches: Rc<Vec<Option<usize>>>,
}

impl Known {
    pub(crate) fn set_snapshots(&mut self, snapshots: Vec<Snapshot>) {
        self.branches = Rc::new(branches(&snapshots));
        self.snapshots = Rc::new(snapshots);
    }

    pub(crate) fn snapshot(&self, id: &str) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.id() == id)
    }

    pub(crate) fn session(&self, name: &str) -> Option<&SessionRow> {
        self.sessions.iter().find(|session| session.session == name)
    }

    /// What a snapshot is called where its card is not seen: the card's title, and the time.
    pub(crate) fn title(&self, id: &str, today: Date) -> String {
        self.snapshot(id).map_or_else(|| id.to_owned(), |snapshot| title(snapshot, today))
    }
}

/// "Before the update (yesterday, 17:42)".
fn title(snapshot: &Snapshot, today: Date) -> String {
    format!("{} ({})", name(snapshot), words::moment(today, snapshot.local))
}

/// The title of a snapshot's card: its label, or else its first window.
fn name(snapshot: &Snapshot) -> String {
    match (snapshot.row.label.as_str(), snapshot.titles().first()) {
        ("", Some(title)) => (*title).to_owned(),
        ("", None) => gettext("Desktop"),
        (label, _) => label.to_owned(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Session(usize),
    Snapshot(usize),
}

/// What a card says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Face {
    pub(crate) key: Key,
    /// Label, or what stands for it.
    pub(crate) title: String,
    /// When, and of which session.
    pub(crate) when: String,
    /// Titles of windows.
    pub(crate) windows: String,
    /// Sizes and pause; of a session, its base and size.
    pub(crate) cost: String,
    /// Icon and word of each mark.
    pub(crate) marks: Vec<(&'static str, String)>,
    /// The snapshot that this one branches off from: id and time.
    pub(crate) from: Option<(String, String)>,
    /// Whether it runs.
    pub(crate) live: bool,
    /// Whether there may be a picture of it.
    pub(crate) pictured: bool,
    pub(crate) pinned: bool,
}

impl Face {
    /// All of it for a screen reader.
    pub(crate) fn spoken(&self) -> String {
        let marks = self.marks.iter().map(|(_, word)| word.as_str());
        let from = self.from.as_ref().map(|(_, when)| gettext_f("from {when}", &[("when", when)]));
        [self.title.as_str(), &self.when, &self.windows, &self.cost]
            .into_iter()
            .chain(marks)
            .chain(from.as_deref())
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The cards of one search, in their sections.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    known: Known,
    today: Date,
    items: Vec<Item>,
    titles: Vec<String>,
    counts: Vec<usize>,
}

impl Contents {
    pub(crate) fn new(known: &Known, query: &Query, today: Date) -> Self {
        let (mut items, mut titles, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for (at, session) in known.sessions.iter().enumerate() {
            if query.fits(&format!("{}\n{}\n{}", session.session, session.base, words::state(&session.state))) {
                items.push(Item::Session(at));
            }
        }
        if !items.is_empty() {
            titles.push(gettext("Desktops"));
            counts.push(items.len());
        }
        let found = query.find(&known.snapshots, today);
        for day in days(found.iter().map(|at| known.snapshots[*at].local.date())) {
            titles.push(words::day(today, day.date));
            counts.push(day.count);
        }
        items.extend(found.into_iter().map(Item::Snapshot));
        Self { known: known.clone(), today, items, titles, counts }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Cards of each section.
    pub(crate) fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// The heading of a section.
    pub(crate) fn heading(&self, section: usize) -> &str {
        self.titles.get(section).map_or("", String::as_str)
    }

    pub(crate) fn key(&self, item: usize) -> Option<Key> {
        Some(match *self.items.get(item)? {
            Item::Session(at) => Key::Session(self.known.sessions.get(at)?.session.clone()),
            Item::Snapshot(at) => Key::Snapshot(self.known.snapshots.get(at)?.id().to_owned()),
        })
    }

    /// Where a card is.
    pub(crate) fn find(&self, key: &Key) -> Option<usize> {
        self.items.iter().position(|item| match (*item, key) {
            (Item::Session(at), Key::Session(name)) => self.known.sessions[at].session == *name,
            (Item::Snapshot(at), Key::Snapshot(id)) => self.known.snapshots[at].id() == *id,
            _ => false,
        })
    }

    /// What a card says.
    pub(crate) fn face(&self, item: usize) -> Option<Face> {
        match *self.items.get(item)? {
            Item::Session(at) => Some(self.of_session(self.known.sessions.get(at)?)),
            Item::Snapshot(at) => Some(self.of_snapshot(at, self.known.snapshots.get(at)?)),
        }
    }

    fn moment(&self, id: &str) -> Option<(String, String)> {
        let snapshot = self.known.snapshot(id)?;
        Some((id.to_owned(), words::moment(self.today, snapshot.local)))
    }

    fn of_session(&self, session: &SessionRow) -> Face {
        let started: Option<jiff::Timestamp> = session.started.parse().ok();
        let started = started.map(|started| jiff::tz::TimeZone::system().to_datetime(started));
        let since = started.map(|at| gettext_f("Since {when}", &[("when", &words::moment(self.today, at))]));
        let crashed = session.state == "crashed";
        let parts = [session.base.clone(), session.size.replace('x', " × ")];
        Face {
            key: Key::Session(session.session.clone()),
            title: session.session.clone(),
            when: words::state(&session.state),
            windows: since.unwrap_or_default(),
            cost: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · "),
            marks: if crashed { vec![("dialog-warning-symbolic", gettext("Crashed"))] } else { Vec::new() },
            from: session.parent.as_deref().and_then(|id| self.moment(id)),
            live: !crashed,
            pictured: session.state == "running",
            pinned: false,
        }
    }

    fn of_snapshot(&self, at: usize, snapshot: &Snapshot) -> Face {
        let row = &snapshot.row;
        let titles = snapshot.titles();
        let windows = if row.label.is_empty() { titles.get(1..).unwrap_or_default() } else { &titles };
        let from = self.known.branches.get(at).copied().flatten();
        Face {
            key: Key::Snapshot(row.snapshot.clone()),
            title: name(snapshot),
            when: format!("{} · {}", words::moment(self.today, snapshot.local), row.session),
            windows: windows.join(" · "),
            cost: words::cost(row),
            marks: words::marks(row),
            from: from.and_then(|from| self.moment(self.known.snapshots[from].id())),
            live: false,
            pictured: true,
            pinned: row.pinned,
        }
    }
}

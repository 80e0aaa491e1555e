//! What is new from one look at the agent to the next, and worth a notification.

use std::collections::BTreeSet;

use freezeframe_api::records::{AutomaticTrouble, SnapshotRow};
use freezeframe_api::{Error, ErrorKind};
use freezeframe_i18n::gettext_f;
use jiff::{SignedDuration, Timestamp};

use super::model::{Model, tidy};

/// A snapshot is news for so long. One that is older came to light rather than into being.
const NEWS: SignedDuration = SignedDuration::from_mins(2);

/// Something to tell by a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A snapshot was taken.
    Snapshot {
        /// Which one.
        id: String,
        /// Of which session.
        session: String,
        /// Titles of the windows in it.
        windows: Vec<String>,
    },
    /// Something went wrong.
    Failure {
        /// What, as a heading.
        title: String,
        /// Why, and what to do.
        text: String,
    },
}

impl Told {
    /// That something could not be done.
    pub fn failure(title: impl Into<String>, error: &Error) -> Self {
        Self::Failure { title: title.into(), text: sentences(&error.message, &error.hint) }
    }
}

fn sentences(message: &str, hint: &str) -> String {
    let mut letters = message.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}. {hint}", letters.as_str()).trim_end().to_owned()
}

fn title(trouble: &AutomaticTrouble) -> String {
    let session: &[(&str, &str)] = &[("session", &trouble.session)];
    if trouble.snapshot.is_empty() {
        gettext_f("{session} could not be saved by itself", session)
    } else if trouble.name == ErrorKind::Damaged.name() {
        gettext_f("The snapshot of {session} cannot be resumed", session)
    } else {
        gettext_f("The snapshot of {session} could not be verified", session)
    }
}

/// Lists what is new from one model to the next, each thing once.
#[derive(Debug, Default)]
pub struct News {
    /// None before the first look at an agent.
    snapshots: Option<BTreeSet<String>>,
    /// Sessions and snapshots.
    troubles: BTreeSet<(String, String)>,
}

impl News {
    /// What is new in `model`, as of now.
    pub fn of(&mut self, model: &Model) -> Vec<Told> {
        self.at(model, Timestamp::now())
    }

    fn at(&mut self, model: &Model, now: Timestamp) -> Vec<Told> {
        if !model.there {
            return Vec::new();
        }
        let ids: BTreeSet<String> = model.snapshots.iter().map(|s| s.snapshot.clone()).collect();
        let known = self.snapshots.replace(ids);
        let is_news = |s: &&SnapshotRow| {
            let age = s.created.parse::<Timestamp>().map(|then| then.duration_until(now));
            let known = known.as_ref().is_none_or(|known| known.contains(&s.snapshot));
            !known && !s.automatic && !s.imported && age.is_ok_and(|age| age.abs() < NEWS)
        };
        let mut told = Vec::new();
        if model.settings.notify {
            told.extend(model.snapshots.iter().filter(is_news).map(|s| Told::Snapshot {
                id: s.snapshot.clone(),
                session: s.session.clone(),
                windows: s.windows.iter().map(|w| tidy(&w.title, 60)).collect(),
            }));
        }
        let key = |t: &AutomaticTrouble| (t.session.clone(), t.snapshot.clone());
        for trouble in model.troubles.iter().filter(|t| !self.troubles.contains(&key(t))) {
            let title = title(trouble);
            told.push(Told::Failure { title, text: sentences(&trouble.message, &trouble.hint) });
        }
        self.troubles = model.troubles.iter().map(key).collect();
        told
    }
}

#[cfg(test)]
mod tests {
    use freezeframe_api::records::Settings;

    use super::*;

    fn snapshot(id: &str, minute: u32) -> SnapshotRow {
        SnapshotRow {
            snapshot: id.into(),
            session: "desktop".into(),
            created: format!("2026-11-22T17:{minute:02}:00.000Z"),
            ..SnapshotRow::default()
        }
    }

    fn model() -> Model {
        Model { there: true, ..Model::default() }
    }

    #[test]
    fn news_are_told_once() {
        let at = |minute: u32| format!("2026-11-22T17:{minute:02}:30Z").parse::<Timestamp>().unwrap();
        let settings = Settings { notify: true, ..Settings::default() };
        let with = |snapshots: Vec<SnapshotRow>| Model { snapshots, settings: settings.clone(), ..model() };
        let mut news = News::default();
        // What was there before is none, and neither is what comes to light later.
        assert_eq!(news.at(&with(vec![snapshot("a", 10)]), at(10)), []);
        assert_eq!(news.at(&Model::default(), at(11)), []);
        let all = vec![snapshot("a", 10), snapshot("b", 11), snapshot("old", 1)];
        let told = news.at(&with(all.clone()), at(11));
        assert_eq!(told, [Told::Snapshot { id: "b".into(), session: "desktop".into(), windows: vec![] }]);
        assert_eq!(news.at(&with(all.clone()), at(11)), []);
        let by_itself = SnapshotRow { automatic: true, ..snapshot("c", 12) };
        let from_a_file = SnapshotRow { imported: true, ..snapshot("d", 12) };
        assert_eq!(news.at(&with([all.clone(), vec![by_itself, from_a_file]].concat()), at(12)), []);
        let quiet = Model { settings: Settings::default(), ..with(vec![snapshot("e", 12)]) };
        assert_eq!(news.at(&quiet, at(12)), []);
        let trouble = AutomaticTrouble { session: "a".into(), message: "it did".into(), ..AutomaticTrouble::default() };
        let troubled = Model { troubles: vec![trouble], ..quiet.clone() };
        let failure = Told::Failure { title: "a could not be saved by itself".into(), text: "It did.".into() };
        assert_eq!(news.at(&troubled, at(12)), std::slice::from_ref(&failure));
        assert_eq!(news.at(&troubled, at(13)), []);
        assert_eq!(news.at(&quiet, at(13)), []);
        assert_eq!(news.at(&troubled, at(13)), [failure]);
        let bad = |snapshot: &str, name: &str| AutomaticTrouble {
            snapshot: snapshot.into(),
            name: name.into(),
            ..troubled.troubles[0].clone()
        };
        let with = |trouble| Model { troubles: vec![troubled.troubles[0].clone(), trouble], ..quiet.clone() };
        let told = |title: &str| Told::Failure { title: title.into(), text: "It did.".into() };
        assert_eq!(news.at(&with(bad("1", "Damaged")), at(13)), [told("The snapshot of a cannot be resumed")]);
        assert_eq!(news.at(&with(bad("2", "NoSpace")), at(13)), [told("The snapshot of a could not be verified")]);
        assert_eq!(news.at(&with(bad("2", "NoSpace")), at(13)), []);
    }
}

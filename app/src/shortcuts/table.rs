//! Every shortcut there is. A key of one stands here and nowhere else.

use super::accelerator::Accelerator;
use crate::i18n::gettext;

/// Who hears the keys first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// A desktop in the window that has the keyboard; without one, the window.
    Window,
    /// The window, before any desktop in it.
    Desktop,
}

impl Group {
    /// In the order in which they are shown.
    pub(crate) const ALL: [Self; 2] = [Self::Window, Self::Desktop];

    pub(crate) fn title(self) -> String {
        match self {
            Self::Window => gettext("Desktops and Snapshots"),
            Self::Desktop => gettext("While a Desktop Has the Keyboard"),
        }
    }

    pub(crate) fn shortcuts(self) -> impl Iterator<Item = Shortcut> {
        Shortcut::ALL.into_iter().filter(move |shortcut| shortcut.group() == self)
    }
}

/// Something that can be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    Snapshot,
    SnapshotWithLabel,
    StartDesktop,
    Import,
    Search,
    Preferences,
    Shortcuts,
    Close,
    Quit,
    FullScreen,
    LeaveDesktop,
}

impl Shortcut {
    /// In the order in which they are shown.
    pub(crate) const ALL: [Self; 11] = [
        Self::Snapshot,
        Self::SnapshotWithLabel,
        Self::StartDesktop,
        Self::Import,
        Self::Search,
        Self::Preferences,
        Self::Shortcuts,
        Self::Close,
        Self::Quit,
        Self::FullScreen,
        Self::LeaveDesktop,
    ];

    /// Its id in the settings, what it does, its keys unless the user changes them, and its group.
    const fn row(self) -> (&'static str, &'static str, &'static str, Group) {
        match self {
            Self::Snapshot => ("snapshot", "win.snapshot", "<Control>s", Group::Window),
            Self::SnapshotWithLabel => {
                ("snapshot-with-label", "win.snapshot-with-label-of-shown", "<Control><Shift>s", Group::Window)
            }
            Self::StartDesktop => ("start-desktop", "win.start-desktop", "<Control>n", Group::Window),
            Self::Import => ("import", "win.import", "<Control>o", Group::Window),
            Self::Search => ("search", "win.search", "<Control>f", Group::Window),
            Self::Preferences => ("preferences", "app.preferences", "<Control>comma", Group::Window),
            Self::Shortcuts => ("shortcuts", "app.shortcuts", "<Control>question", Group::Window),
            Self::Close => ("close", "window.close", "<Control>w", Group::Window),
            Self::Quit => ("quit", "app.quit", "<Control>q", Group::Window),
            Self::FullScreen => ("full-screen", "win.full-screen", "F11", Group::Desktop),
            Self::LeaveDesktop => ("leave-desktop", "win.leave-desktop", "<Shift>F11", Group::Desktop),
        }
    }

    /// Its name in the settings; it never changes.
    pub(crate) const fn id(self) -> &'static str {
        self.row().0
    }

    /// The action of the window or program that it does.
    pub(crate) const fn action(self) -> &'static str {
        self.row().1
    }

    /// Its keys unless the user changes them.
    pub(crate) fn default(self) -> Option<Accelerator> {
        Accelerator::parse(self.row().2)
    }

    pub(crate) const fn group(self) -> Group {
        self.row().3
    }

    /// What it does, in the user's language.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Snapshot => gettext("Snapshot session"),
            Self::SnapshotWithLabel => gettext("Snapshot session, with a label"),
            Self::StartDesktop => gettext("Start a desktop"),
            Self::Import => gettext("Import a snapshot"),
            Self::Search => gettext("Search the timeline"),
            Self::Preferences => gettext("Preferences"),
            Self::Shortcuts => gettext("Keyboard shortcuts"),
            Self::Close => gettext("Close the window"),
            Self::Quit => gettext("Quit"),
            Self::FullScreen => gettext("Full screen, and back"),
            Self::LeaveDesktop => gettext("Give the keyboard back to the window"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_an_id_and_keys_of_its_own() {
        let ids: BTreeSet<&str> = Shortcut::ALL.into_iter().map(Shortcut::id).collect();
        assert_eq!(ids.len(), Shortcut::ALL.len());
        let keys: BTreeSet<String> = Shortcut::ALL.into_iter().map(|one| one.default().unwrap().to_string()).collect();
        assert_eq!(keys.len(), Shortcut::ALL.len());
        for (place, shortcut) in Shortcut::ALL.into_iter().enumerate() {
            assert_eq!(shortcut as usize, place);
            assert_eq!(shortcut.default().unwrap().check(), Ok(()), "{}", shortcut.id());
            // As it is read, so that it can be compared.
            assert_eq!(shortcut.default().unwrap().to_string(), shortcut.row().2);
        }
    }
}

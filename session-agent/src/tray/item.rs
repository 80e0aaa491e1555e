//! The model as a StatusNotifierItem with its menu.

use std::path::PathBuf;

use jiff::Zoned;
use ksni::menu::{CheckmarkItem, MenuItem, StandardItem, SubMenu};
use ksni::{OfflineReason, ToolTip, Tray};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info};

use super::model::{Act, Entry, Look, Model};

/// The item.
#[derive(Debug)]
pub(super) struct Item {
    model: Model,
    clicks: UnboundedSender<Act>,
    icons: Option<PathBuf>,
}

impl Item {
    /// `icons` is the directory of our icons, where they are not in the desktop's theme.
    pub(super) fn new(clicks: UnboundedSender<Act>, icons: Option<PathBuf>) -> Self {
        Self { model: Model::default(), clicks, icons }
    }

    /// Shows that from now on.
    pub(super) fn show(&mut self, model: Model) {
        self.model = model;
    }

    fn clicked(&mut self, act: Act) {
        debug!(?act, "clicked");
        // It fails when the program is about to end.
        let _ = self.clicks.send(act);
    }
}

impl Tray for Item {
    fn id(&self) -> String {
        "io.github.freezeframe.Freezeframe".into()
    }

    fn title(&self) -> String {
        "Freezeframe".into()
    }

    fn icon_name(&self) -> String {
        let name = match self.model.look() {
            Look::Running => "io.github.freezeframe.Freezeframe-symbolic",
            Look::Saving => "io.github.freezeframe.Freezeframe-saving-symbolic",
            Look::Trouble => "io.github.freezeframe.Freezeframe-trouble-symbolic",
        };
        name.into()
    }

    fn icon_theme_path(&self) -> String {
        self.icons.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip { title: "Freezeframe".into(), description: self.model.says(), ..ToolTip::default() }
    }

    fn activate(&mut self, _x: i32, _y: i32) {
        self.clicked(Act::OpenTimeline);
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        self.model.menu(&Zoned::now()).into_iter().map(item).collect()
    }

    fn watcher_online(&self) {
        info!("shown");
    }

    fn watcher_offline(&self, reason: OfflineReason) -> bool {
        info!(?reason, "nobody shows it; waiting for a tray");
        true
    }
}

/// An underscore would mark the letter behind it.
fn label(text: &str) -> String {
    text.replace('_', "__")
}

fn item(entry: Entry) -> MenuItem<Item> {
    match entry {
        Entry::Separator => MenuItem::Separator,
        Entry::Line(text, act) => StandardItem {
            label: label(&text),
            enabled: act.is_some(),
            activate: click(act),
            ..StandardItem::default()
        }
        .into(),
        Entry::Check(text, checked, act) => CheckmarkItem {
            label: label(&text),
            enabled: act.is_some(),
            checked,
            activate: click(act),
            ..CheckmarkItem::default()
        }
        .into(),
        Entry::More(text, entries) => {
            SubMenu { label: label(&text), submenu: entries.into_iter().map(item).collect(), ..SubMenu::default() }
                .into()
        }
    }
}

fn click(act: Option<Act>) -> Box<dyn Fn(&mut Item) + Send> {
    Box::new(move |item| {
        if let Some(act) = act.clone() {
            item.clicked(act);
        }
    })
}

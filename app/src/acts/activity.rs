//! Jobs that run, along the bottom of the window: what, how far, and a way to cancel.

use std::time::Duration;

use adw::prelude::*;
use adw::subclass::prelude::*;
use freezeframe_api::{Dict, Error, ErrorKind};
use gtk::glib;

use crate::agent::jobs::{self, Request, Update};
use crate::i18n::{gettext, gettext_f};
use crate::named::named;
use crate::timeline::words::sentence;

/// What is done sooner needs no word.
const PATIENCE: Duration = Duration::from_millis(300);
/// A bar without an end moves so often.
const PULSE: Duration = Duration::from_millis(150);

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Activity {
        pub(super) rows: gtk::Box,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Activity {
        const NAME: &'static str = "FreezeframeActivity";
        type Type = super::Activity;
        type ParentType = adw::Bin;
    }

    impl ObjectImpl for Activity {
        fn constructed(&self) {
            self.parent_constructed();
            self.rows.set_orientation(gtk::Orientation::Vertical);
            self.rows.add_css_class("activity");
            self.obj().set_child(Some(&self.rows));
            self.obj().set_visible(false);
        }
    }
    impl WidgetImpl for Activity {}
    impl BinImpl for Activity {}
}

glib::wrapper! {
    /// Jobs that run.
    pub struct Activity(ObjectSubclass<imp::Activity>) @extends adw::Bin, gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl Activity {
    /// Begins a job and shows it until its end, which is the answer.
    pub(crate) async fn run(&self, title: &str, request: Request) -> Result<Dict, Error> {
        let running = jobs::begin(request);
        let row = Row::new(title, running.cancel.clone());
        self.imp().rows.append(&row.whole);
        let showing = glib::timeout_add_local_once(
            PATIENCE,
            glib::clone!(
                #[weak(rename_to = activity)]
                self,
                #[weak(rename_to = whole)]
                row.whole,
                move || {
                    whole.set_visible(true);
                    activity.set_visible(true);
                }
            ),
        );
        let pulsing = row.pulse();
        let mut outcome = Err(Error::new(ErrorKind::Unreachable, "the job was lost"));
        while let Ok(update) = running.updates.recv().await {
            match update {
                Update::Progress { stage, fraction } => row.progress(&stage, fraction),
                Update::GoesOn(error) => row.say(&sentence(&error.message)),
                Update::Ended(ended) => {
                    outcome = ended;
                    break;
                }
            }
        }
        pulsing.remove();
        if glib::MainContext::default().find_source_by_id(&showing).is_some() {
            showing.remove();
        }
        self.imp().rows.remove(&row.whole);
        self.set_visible(self.imp().rows.first_child().is_some_and(|first| first.is_visible()));
        outcome
    }
}

struct Row {
    whole: gtk::Box,
    stage: gtk::Label,
    bar: gtk::ProgressBar,
}

impl Row {
    fn new(title: &str, cancel: async_channel::Sender<()>) -> Self {
        let whole = gtk::Box::builder().spacing(12).visible(false).build();
        let texts = gtk::Box::builder().orientation(gtk::Orientation::Vertical).spacing(3).hexpand(true).build();
        let name = gtk::Label::builder().label(title).xalign(0.0).ellipsize(gtk::pango::EllipsizeMode::End).build();
        let stage = gtk::Label::builder().xalign(0.0).ellipsize(gtk::pango::EllipsizeMode::End).visible(false).build();
        stage.add_css_class("caption");
        stage.add_css_class("dim-label");
        let bar: gtk::ProgressBar = named(title);
        texts.append(&name);
        texts.append(&bar);
        texts.append(&stage);
        let button: gtk::Button = named(&gettext_f("Cancel: {title}", &[("title", title)]));
        button.set_icon_name("process-stop-symbolic");
        button.set_tooltip_text(Some(&gettext("Cancel")));
        button.set_valign(gtk::Align::Center);
        button.add_css_class("flat");
        button.add_css_class("circular");
        button.connect_clicked(move |button| {
            // One that cannot be cancelled says so, and the button stays of no use.
            button.set_sensitive(false);
            let _ = cancel.try_send(());
        });
        whole.append(&texts);
        whole.append(&button);
        Self { whole, stage, bar }
    }

    fn progress(&self, stage: &str, fraction: f64) {
        self.say(sentence(stage).trim_end_matches('.'));
        if fraction >= 0.0 {
            self.bar.set_fraction(fraction.clamp(0.0, 1.0));
        }
        self.bar.set_pulse_step(if fraction >= 0.0 { 0.0 } else { 0.1 });
    }

    fn say(&self, text: &str) {
        self.stage.set_visible(!text.is_empty());
        self.stage.set_label(text);
    }

    /// Moves a bar of which nobody knows how far it is.
    fn pulse(&self) -> glib::SourceId {
        let bar = self.bar.downgrade();
        glib::timeout_add_local(PULSE, move || {
            let Some(bar) = bar.upgrade() else { return glib::ControlFlow::Break };
            if bar.pulse_step() > 0.0 {
                bar.pulse();
            }
            glib::ControlFlow::Continue
        })
    }
}

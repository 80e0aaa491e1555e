//! Starting a desktop: on which base, in which size. A base that is not there yet is built first.

use std::cell::RefCell;

use adw::prelude::*;
use adw::subclass::prelude::*;
use freezeframe_api::Error;
use freezeframe_api::records::{BaseDone, BaseRow, StartOptions, Started};
use gtk::{gio, glib};

use crate::agent::calls;
use crate::agent::jobs::Request;
use crate::i18n::{gettext, gettext_f};
use crate::window::Window;

/// Sizes that are offered: of small and of large monitors.
const SIZES: &[&str] = &["1024x768", "1280x800", "1440x900", "1920x1080", "2560x1440"];
const USUAL_SIZE: u32 = 1;
/// Recipes that come with the program, best first.
const RECIPES: &[&str] = &["xfce", "minimal"];

/// A base to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    name: String,
    /// Whether it has to be built before.
    build: bool,
}

/// Those that are there, then those that can be built.
fn choices(bases: &[BaseRow]) -> Vec<Choice> {
    let whole = bases.iter().filter(|base| base.state != "damaged");
    let mut choices: Vec<Choice> = whole.map(|base| Choice { name: base.base.clone(), build: false }).collect();
    choices.sort_by_key(|choice| RECIPES.iter().position(|recipe| *recipe == choice.name).unwrap_or(RECIPES.len()));
    for recipe in RECIPES {
        if !bases.iter().any(|base| base.base == *recipe) {
            choices.push(Choice { name: (*recipe).to_owned(), build: true });
        }
    }
    choices
}

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate)]
    #[template(file = "start.ui")]
    pub struct StartDialog {
        #[template_child]
        pub(super) start_button: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) base: TemplateChild<adw::ComboRow>,
        #[template_child]
        pub(super) size: TemplateChild<adw::ComboRow>,
        #[template_child]
        pub(super) network: TemplateChild<gtk::Switch>,
        #[template_child]
        pub(super) note: TemplateChild<gtk::Label>,
        pub(super) choices: RefCell<Vec<Choice>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for StartDialog {
        const NAME: &'static str = "FreezeframeStartDialog";
        type Type = super::StartDialog;
        type ParentType = adw::Window;

        fn class_init(class: &mut Self::Class) {
            class.bind_template();
            class.add_binding_action(gtk::gdk::Key::Escape, gtk::gdk::ModifierType::empty(), "window.close");
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    impl ObjectImpl for StartDialog {}
    impl WidgetImpl for StartDialog {}
    impl WindowImpl for StartDialog {}
    impl AdwWindowImpl for StartDialog {}
}

glib::wrapper! {
    /// Asks what to start.
    pub struct StartDialog(ObjectSubclass<imp::StartDialog>)
        @extends adw::Window, gtk::Window, gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget, gtk::Native, gtk::Root, gtk::ShortcutManager;
}

impl StartDialog {
    fn new(bases: &[BaseRow], settings: &Defaults) -> Self {
        let dialog: Self = glib::Object::new();
        let choices = choices(bases);
        let names: Vec<String> = choices
            .iter()
            .map(|choice| {
                if choice.build {
                    gettext_f("{base} (to be built)", &[("base", &choice.name)])
                } else {
                    choice.name.clone()
                }
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let imp = dialog.imp();
        imp.choices.replace(choices);
        imp.base.connect_selected_notify(glib::clone!(
            #[weak]
            dialog,
            move |_| dialog.update()
        ));
        imp.base.set_model(Some(&gtk::StringList::new(&names).upcast::<gio::ListModel>()));
        let mut sizes: Vec<String> = SIZES.iter().map(|size| size.replace('x', " × ")).collect();
        let usual = settings.size.as_deref().and_then(|size| SIZES.iter().position(|known| *known == size));
        if let (None, Some(size)) = (usual, &settings.size) {
            sizes.push(size.replace('x', " × "));
        }
        let sizes: Vec<&str> = sizes.iter().map(String::as_str).collect();
        imp.size.set_model(Some(&gtk::StringList::new(&sizes).upcast::<gio::ListModel>()));
        let selected = match (usual, &settings.size) {
            (Some(usual), _) => u32::try_from(usual).unwrap_or(USUAL_SIZE),
            (None, Some(_)) => u32::try_from(SIZES.len()).unwrap_or(USUAL_SIZE),
            (None, None) => USUAL_SIZE,
        };
        imp.size.set_selected(selected);
        let base = imp.choices.borrow().iter().position(|choice| choice.name == settings.base);
        if let Some(base) = base.and_then(|base| u32::try_from(base).ok()) {
            imp.base.set_selected(base);
        }
        dialog.update();
        dialog
    }

    fn choice(&self) -> Option<Choice> {
        let at = usize::try_from(self.imp().base.selected()).ok()?;
        self.imp().choices.borrow().get(at).cloned()
    }

    fn update(&self) {
        let dialog = self.imp();
        let choice = self.choice();
        dialog.start_button.set_sensitive(choice.is_some());
        let build = choice.is_some_and(|choice| choice.build);
        dialog.note.set_visible(build);
        dialog.note.set_label(&gettext(
            "This base is built from Debian’s packages first. That takes some minutes and a network, and is done once.",
        ));
        dialog.start_button.set_label(&if build { gettext("_Build and Start") } else { gettext("_Start") });
    }

    fn options(&self) -> StartOptions {
        let dialog = self.imp();
        let size = dialog.size.selected_item().and_downcast::<gtk::StringObject>();
        StartOptions {
            base: self.choice().map(|choice| choice.name),
            size: size.map(|size| size.string().replace(" × ", "x")),
            network: Some(if dialog.network.is_active() { "outbound" } else { "none" }.to_owned()),
            ..StartOptions::default()
        }
    }
}

/// What the user has set for new desktops.
#[derive(Debug, Default)]
struct Defaults {
    base: String,
    size: Option<String>,
}

impl Window {
    /// Asks what to start, and starts it.
    pub(crate) async fn start_desktop(&self) {
        let bases = match calls::bases().await {
            Ok(bases) => bases,
            Err(error) => return self.tell_failure(&gettext("The bases could not be listed"), &error),
        };
        // Without settings the usual ones do.
        let settings = calls::settings().await.unwrap_or_default();
        let size =
            (settings.default_width > 0).then(|| format!("{}x{}", settings.default_width, settings.default_height));
        let dialog = StartDialog::new(&bases, &Defaults { base: settings.default_base, size });
        dialog.set_transient_for(Some(self));
        dialog.imp().start_button.connect_clicked(glib::clone!(
            #[weak(rename_to = window)]
            self,
            #[weak]
            dialog,
            move |_| {
                let Some(choice) = dialog.choice() else { return };
                let options = dialog.options();
                dialog.close();
                super::soon(async move {
                    if let Err(error) = window.build_and_start(&choice, options).await {
                        window.tell_failure(&gettext("The desktop could not be started"), &error);
                    }
                });
            }
        ));
        dialog.present();
        dialog.imp().start_button.grab_focus();
    }

    async fn build_and_start(&self, choice: &Choice, options: StartOptions) -> Result<(), Error> {
        if choice.build {
            let doing = gettext_f("Building the base “{base}”", &[("base", &choice.name)]);
            self.run::<BaseDone>(&doing, Request::BuildBase(choice.name.clone())).await?;
        }
        let started = self.run::<Started>(&gettext("Starting a desktop"), Request::Start(options)).await?;
        self.open_session(&started.session);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_comes_before_what_can_be_built() {
        let row = |base: &str, state: &str| BaseRow { base: base.into(), state: state.into(), ..BaseRow::default() };
        let names = |bases: &[BaseRow]| {
            choices(bases)
                .into_iter()
                .map(|c| format!("{}{}", c.name, if c.build { "+" } else { "" }))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["xfce+", "minimal+"]);
        assert_eq!(names(&[row("mine", "whole"), row("minimal", "whole")]), ["minimal", "mine", "xfce+"]);
        assert_eq!(names(&[row("xfce", "damaged")]), ["minimal+"]);
    }
}

//! The widget that shows a picture and takes keyboard and pointer.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use freezeframe_rfb::{ClientMessage, Cursor};
use gtk::prelude::*;
use gtk::subclass::prelude::*;
use gtk::{gdk, glib, graphene};

use super::canvas::{Canvas, is_packed_faster};
use super::connection::Input;
use super::geometry::{Fit, fit};
use super::keys::HeldKeys;
use super::pointer::{PIXELS_PER_STEP, Pointer};
use super::tiles::Pending;

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Screen {
        pub(super) canvas: RefCell<Option<Canvas>>,
        /// What came and is not on the canvas yet.
        pub(super) pictures: RefCell<Arc<Pending>>,
        pub(super) input: RefCell<Option<Input>>,
        pub(super) dimmed: Cell<bool>,
        pub(super) keys: RefCell<HeldKeys>,
        pub(super) pointer: RefCell<Pointer>,
        pub(super) room: Cell<(i32, i32)>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Screen {
        const NAME: &'static str = "FreezeframeScreen";
        type Type = super::Screen;
        type ParentType = gtk::Widget;

        fn class_init(class: &mut Self::Class) {
            class.set_css_name("screen");
            class.set_accessible_role(gtk::AccessibleRole::Img);
        }
    }

    impl ObjectImpl for Screen {
        fn constructed(&self) {
            self.parent_constructed();
            let screen = self.obj();
            screen.set_focusable(true);
            screen.set_hexpand(true);
            screen.set_vexpand(true);
            screen.set_overflow(gtk::Overflow::Hidden);
            screen.take_keys();
            screen.take_pointer();
            screen.take_wheel();
        }

        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: std::sync::OnceLock<Vec<glib::subclass::Signal>> = std::sync::OnceLock::new();
            SIGNALS.get_or_init(|| vec![glib::subclass::Signal::builder("room-changed").build()])
        }
    }

    impl WidgetImpl for Screen {
        fn realize(&self) {
            self.parent_realize();
            self.pictures.borrow().set_packed(is_packed_faster(&*self.obj()));
        }

        fn request_mode(&self) -> gtk::SizeRequestMode {
            gtk::SizeRequestMode::ConstantSize
        }

        /// As large as the picture if there is room; it can be shown in hardly any.
        fn measure(&self, orientation: gtk::Orientation, _for_size: i32) -> (i32, i32, i32, i32) {
            let (width, height) = self.obj().picture_size().unwrap_or((640, 400));
            let natural = if orientation == gtk::Orientation::Horizontal { width } else { height };
            (1, i32::from(natural).max(1), -1, -1)
        }

        fn size_allocate(&self, width: i32, height: i32, baseline: i32) {
            self.parent_size_allocate(width, height, baseline);
            if self.room.replace((width, height)) != (width, height) {
                self.obj().emit_by_name::<()>("room-changed", &[]);
            }
        }

        fn snapshot(&self, snapshot: &gtk::Snapshot) {
            let screen = self.obj();
            // As late as can be: whatever came until now is in this frame.
            if self.pictures.borrow().grid() == self.canvas.borrow().as_ref().map(|canvas| canvas.grid) {
                screen.take_pictures();
            }
            let canvas = self.canvas.borrow();
            let (Some(canvas), Some(fit)) = (canvas.as_ref(), screen.fit()) else { return };
            canvas.append(snapshot, &fit, screen.scale_factor());
            let bounds = graphene::Rect::new(fit.x, fit.y, fit.width, fit.height);
            if self.dimmed.get() {
                snapshot.append_color(&gdk::RGBA::new(0.0, 0.0, 0.0, 0.55), &bounds);
            }
        }
    }
}

glib::wrapper! {
    /// A remote picture that takes input.
    pub struct Screen(ObjectSubclass<imp::Screen>) @extends gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl Screen {
    /// Where input goes from now on; none while there is nobody to take it.
    pub(crate) fn set_input(&self, input: Option<Input>) {
        self.release_all();
        *self.imp().input.borrow_mut() = input;
    }

    /// Where the pictures come from; each is told by [`Screen::show_picture`].
    pub(crate) fn set_pictures(&self, pictures: Arc<Pending>) {
        pictures.set_packed(is_packed_faster(self));
        self.imp().pictures.replace(pictures);
    }

    /// A newer picture is there. It is taken when the next frame is drawn; one of another size is taken at once, and
    /// that it is of another size is the answer.
    pub(crate) fn show_picture(&self) -> bool {
        let (grid, before) = (self.imp().pictures.borrow().grid(), self.picture_size());
        // None: a frame has it already.
        if grid.is_none_or(|grid| Some((grid.width, grid.height)) == before) {
            self.queue_draw();
            return false;
        }
        self.take_pictures();
        self.queue_resize();
        self.picture_size() != before
    }

    fn take_pictures(&self) {
        let Some(patch) = self.imp().pictures.borrow().take() else { return };
        let mut canvas = self.imp().canvas.borrow_mut();
        match canvas.as_mut() {
            Some(canvas) if canvas.grid == patch.grid => canvas.apply(patch),
            _ if patch.grid.len() == 0 => {}
            _ => canvas.insert(Canvas::new(patch.grid)).apply(patch),
        }
    }

    /// Shows nothing.
    pub(crate) fn clear(&self) {
        self.imp().canvas.take();
        self.imp().pictures.take();
        self.set_cursor(None);
        self.set_dimmed(false);
        self.queue_resize();
    }

    /// Whether what is shown is not live.
    pub(crate) fn set_dimmed(&self, dimmed: bool) {
        if self.imp().dimmed.replace(dimmed) != dimmed {
            self.queue_draw();
        }
    }

    /// The pointer over the picture looks like this.
    pub(crate) fn show_cursor(&self, cursor: Cursor) {
        if cursor.width == 0 || cursor.height == 0 {
            self.set_cursor_from_name(Some("none"));
            return;
        }
        let stride = usize::from(cursor.width) * 4;
        let bytes = glib::Bytes::from_owned(cursor.pixels);
        let (width, height) = (i32::from(cursor.width), i32::from(cursor.height));
        let format = gdk::MemoryFormat::B8g8r8a8Premultiplied;
        let texture = gdk::MemoryTexture::new(width, height, format, &bytes, stride);
        // A point outside is the server's mistake, and would be GDK's criticism.
        let hot_x = i32::from(cursor.hot_x).min(width - 1);
        let hot_y = i32::from(cursor.hot_y).min(height - 1);
        self.set_cursor(Some(&gdk::Cursor::from_texture(&texture, hot_x, hot_y, None)));
    }

    /// The picture's size, when there is one.
    pub(crate) fn picture_size(&self) -> Option<(u16, u16)> {
        self.imp().canvas.borrow().as_ref().map(|canvas| (canvas.grid.width, canvas.grid.height))
    }

    /// Calls back when the widget has another size than before.
    pub(crate) fn connect_room_changed(&self, call: impl Fn(&Self) + 'static) {
        self.connect_closure("room-changed", false, glib::closure_local!(move |screen: &Self| call(screen)));
    }

    /// Calls back when the keyboard comes (true) and when it goes.
    pub(crate) fn connect_keyboard(&self, call: impl Fn(&Self, bool) + Clone + 'static) {
        let focus = gtk::EventControllerFocus::new();
        let came = call.clone();
        focus.connect_enter(glib::clone!(
            #[weak(rename_to = screen)]
            self,
            move |_| came(&screen, true)
        ));
        focus.connect_leave(glib::clone!(
            #[weak(rename_to = screen)]
            self,
            move |_| call(&screen, false)
        ));
        self.add_controller(focus);
    }

    /// Lets go of every key and button: the keyboard goes elsewhere.
    pub(crate) fn release_all(&self) {
        let keys = self.imp().keys.borrow_mut().release_all();
        let buttons = self.imp().pointer.borrow_mut().release_all();
        self.send(keys.into_iter().chain(buttons));
    }

    fn send(&self, messages: impl IntoIterator<Item = ClientMessage>) {
        if let Some(input) = self.imp().input.borrow().as_ref() {
            input.send(messages);
        }
    }

    fn fit(&self) -> Option<Fit> {
        fit((self.width(), self.height()), self.picture_size()?)
    }

    fn take_keys(&self) {
        let keys = gtk::EventControllerKey::new();
        keys.connect_key_pressed(glib::clone!(
            #[weak(rename_to = screen)]
            self,
            #[upgrade_or]
            glib::Propagation::Proceed,
            move |_, key, number, _| {
                let message = screen.imp().keys.borrow_mut().press(number, keysym(key));
                screen.send(message);
                // Nothing is left for the window: Tab and the arrows belong to the session.
                glib::Propagation::Stop
            }
        ));
        keys.connect_key_released(glib::clone!(
            #[weak(rename_to = screen)]
            self,
            move |_, _, number, _| {
                let message = screen.imp().keys.borrow_mut().release(number);
                screen.send(message);
            }
        ));
        self.add_controller(keys);

        let focus = gtk::EventControllerFocus::new();
        focus.connect_leave(glib::clone!(
            #[weak(rename_to = screen)]
            self,
            move |_| screen.release_all()
        ));
        self.add_controller(focus);
    }

    fn take_pointer(&self) {
        let motion = gtk::EventControllerMotion::new();
        let moved = glib::clone!(
            #[weak(rename_to = screen)]
            self,
            move |_: &gtk::EventControllerMotion, x: f64, y: f64| {
                let Some(fit) = screen.fit() else { return };
                let message = screen.imp().pointer.borrow_mut().motion(fit.pixel(x, y));
                screen.send(message);
            }
        );
        motion.connect_enter(moved.clone());
        motion.connect_motion(moved);
        self.add_controller(motion);

        // A gesture follows one button at a time; a session wants all of them.
        let buttons = gtk::EventControllerLegacy::new();
        buttons.connect_event(glib::clone!(
            #[weak(rename_to = screen)]
            self,
            #[upgrade_or]
            glib::Propagation::Proceed,
            move |_, event| {
                let down = match event.event_type() {
                    gdk::EventType::ButtonPress => true,
                    gdk::EventType::ButtonRelease => false,
                    _ => return glib::Propagation::Proceed,
                };
                let Some(event) = event.downcast_ref::<gdk::ButtonEvent>() else {
                    return glib::Propagation::Proceed;
                };
                if down {
                    screen.grab_focus();
                }
                let message = screen.imp().pointer.borrow_mut().button(event.button(), down);
                screen.send(message);
                glib::Propagation::Stop
            }
        ));
        self.add_controller(buttons);
    }

    fn take_wheel(&self) {
        let wheel = gtk::EventControllerScroll::new(gtk::EventControllerScrollFlags::BOTH_AXES);
        wheel.connect_scroll(glib::clone!(
            #[weak(rename_to = screen)]
            self,
            #[upgrade_or]
            glib::Propagation::Proceed,
            move |wheel, dx, dy| {
                let unit = if wheel.unit() == gdk::ScrollUnit::Surface { PIXELS_PER_STEP } else { 1.0 };
                let messages = screen.imp().pointer.borrow_mut().scroll(dx / unit, dy / unit);
                screen.send(messages);
                glib::Propagation::Stop
            }
        ));
        self.add_controller(wheel);
    }
}

/// GDK's key values are X keysyms.
fn keysym(key: gdk::Key) -> u32 {
    use glib::translate::IntoGlib as _;
    key.into_glib()
}

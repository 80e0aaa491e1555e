//! Where in its widget the picture lies.

/// The picture's place in the widget, in the widget's pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fit {
    /// From the left.
    pub(crate) x: f32,
    /// From the top.
    pub(crate) y: f32,
    /// Width on the widget.
    pub(crate) width: f32,
    /// Height on the widget.
    pub(crate) height: f32,
    scale: f64,
    picture: (u16, u16),
}

/// Up to this factor a picture is not made larger: a small margin looks better than softened text.
const MIN_ENLARGEMENT: f64 = 1.2;

/// Fits the picture into the widget, keeping its shape. None while either has no size.
pub(crate) fn fit(widget: (i32, i32), picture: (u16, u16)) -> Option<Fit> {
    if widget.0 <= 0 || widget.1 <= 0 || picture.0 == 0 || picture.1 == 0 {
        return None;
    }
    let (width, height) = (f64::from(picture.0), f64::from(picture.1));
    let largest = (f64::from(widget.0) / width).min(f64::from(widget.1) / height);
    let scale = if (1.0..MIN_ENLARGEMENT).contains(&largest) { 1.0 } else { largest };
    let (width, height) = ((width * scale).round(), (height * scale).round());
    // Whole pixels, so that a picture at its own size stays sharp.
    let x = ((f64::from(widget.0) - width) / 2.0).floor();
    let y = ((f64::from(widget.1) - height) / 2.0).floor();
    Some(Fit { x: x as f32, y: y as f32, width: width as f32, height: height as f32, scale, picture })
}

impl Fit {
    /// The picture's pixel under a place of the widget; beside the picture, the nearest one.
    pub(crate) fn pixel(&self, x: f64, y: f64) -> (u16, u16) {
        let along = |place: f64, start: f32, pixels: u16| {
            // Bounded to the picture before it is made a whole number.
            ((place - f64::from(start)) / self.scale).clamp(0.0, f64::from(pixels) - 1.0) as u16
        };
        (along(x, self.x, self.picture.0), along(y, self.y, self.picture.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_its_own_size_pixels_match() {
        let fit = fit((1281, 801), (1280, 800)).unwrap();
        assert_eq!((fit.x, fit.y, fit.width, fit.height), (0.0, 0.0, 1280.0, 800.0));
        assert_eq!(fit.pixel(0.0, 0.0), (0, 0));
        assert_eq!(fit.pixel(1279.9, 799.9), (1279, 799));
        assert_eq!(fit.pixel(-5.0, 9000.0), (0, 799));
    }

    #[test]
    fn the_shape_is_kept() {
        let small = fit((640, 640), (1280, 800)).unwrap();
        assert_eq!((small.x, small.y, small.width, small.height), (0.0, 120.0, 640.0, 400.0));
        assert_eq!(small.pixel(320.0, 320.0), (640, 400));
        let large = fit((2560, 2000), (1280, 800)).unwrap();
        assert_eq!((large.width, large.height), (2560.0, 1600.0));
    }

    #[test]
    fn a_little_room_does_not_soften() {
        assert_eq!(fit((1400, 900), (1280, 800)).unwrap().width, 1280.0);
        assert_eq!(fit((1600, 1000), (1280, 800)).unwrap().width, 1600.0);
    }

    #[test]
    fn without_a_size_there_is_no_place() {
        assert_eq!(fit((0, 10), (1, 1)), None);
        assert_eq!(fit((10, 10), (0, 1)), None);
    }
}

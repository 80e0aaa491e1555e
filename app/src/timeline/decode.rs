//! Pictures from PNG into pixels as they are drawn: in the size needed, so that no frame has to scale them once more.

use freezeframe_api::{Error, ErrorKind};
use gtk::gdk_pixbuf::Pixbuf;
use gtk::{gio, glib};

/// A picture of more pixels than this is no desktop's: an imported snapshot may claim anything.
const MOST_PIXELS: u64 = 64 << 20;

/// How large a picture is needed, in pixels of the screen. It never becomes larger than it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fit {
    /// Not wider than this.
    Within(i32),
    /// All of this width and height: what stands out on two sides is cut off.
    Cover(i32, i32),
}

impl Fit {
    /// Width and height to scale to, then to cut out of the middle of that.
    fn sizes(self, (wide, tall): (u32, u32)) -> ((u32, u32), (u32, u32)) {
        let (width, height) = (f64::from(wide), f64::from(tall));
        let side = |length: f64| length.round().max(1.0) as u32;
        let at_least_one = |length: i32| u32::try_from(length).unwrap_or(0).max(1);
        match self {
            Self::Within(most) => {
                let scale = (f64::from(most.max(1)) / width).min(1.0);
                let scaled = (side(width * scale), side(height * scale));
                (scaled, scaled)
            }
            Self::Cover(over_width, over_height) => {
                let (over_width, over_height) = (at_least_one(over_width), at_least_one(over_height));
                let scale = (f64::from(over_width) / width).max(f64::from(over_height) / height);
                if scale < 1.0 {
                    let scaled = (side(width * scale).max(over_width), side(height * scale).max(over_height));
                    return (scaled, (over_width, over_height));
                }
                // As much of it as has the shape.
                let cut = (side(f64::from(over_width) / scale), side(f64::from(over_height) / scale));
                ((wide, tall), (cut.0.min(wide), cut.1.min(tall)))
            }
        }
    }
}

/// Pixels, on their way to the main thread.
pub(crate) struct Decoded {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) stride: usize,
    /// Whether a pixel is red, green, blue and alpha; or else the first three. GTK 4.8 draws none faster than the latter.
    pub(crate) alpha: bool,
    pub(crate) pixels: glib::Bytes,
    /// Whether something of the picture was cut off.
    pub(crate) cut: bool,
}

/// Width and height that a PNG claims.
fn claimed_size(png: &[u8]) -> Option<(u32, u32)> {
    if !png.starts_with(b"\x89PNG\r\n\x1a\n") || png.get(12..16)? != b"IHDR" {
        return None;
    }
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

/// Reads a PNG.
pub(crate) fn decode(png: Vec<u8>, fit: Fit) -> Result<Decoded, Error> {
    let broken = |why: &str| Error::new(ErrorKind::Damaged, format!("the picture cannot be shown: {why}"));
    let claimed = claimed_size(&png).ok_or_else(|| broken("it is no PNG"))?;
    if claimed.0 == 0 || claimed.1 == 0 || u64::from(claimed.0) * u64::from(claimed.1) > MOST_PIXELS {
        return Err(broken("it has an impossible size"));
    }
    let (scaled, cut) = fit.sizes(claimed);
    // Below the bound of pixels.
    let pixel = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    let stream = gio::MemoryInputStream::from_bytes(&glib::Bytes::from_owned(png));
    let scaled_to = (pixel(scaled.0), pixel(scaled.1));
    let pixbuf = Pixbuf::from_stream_at_scale(&stream, scaled_to.0, scaled_to.1, false, gio::Cancellable::NONE)
        .map_err(|error| broken(error.message()))?;
    if (pixbuf.width(), pixbuf.height()) != scaled_to {
        return Err(broken("it has not the size that it claims"));
    }
    let at = (pixel((scaled.0 - cut.0) / 2), pixel((scaled.1 - cut.1) / 2));
    let pixbuf = pixbuf.new_subpixbuf(at.0, at.1, pixel(cut.0), pixel(cut.1));
    Ok(Decoded {
        width: pixbuf.width(),
        height: pixbuf.height(),
        stride: usize::try_from(pixbuf.rowstride()).unwrap_or(0),
        alpha: pixbuf.has_alpha(),
        pixels: pixbuf.read_pixel_bytes(),
        cut: scaled != cut,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn png(width: i32, height: i32) -> Vec<u8> {
        let pixbuf = Pixbuf::new(gtk::gdk_pixbuf::Colorspace::Rgb, false, 8, width, height).unwrap();
        pixbuf.fill(0x3a7b_d5ff);
        pixbuf.save_to_bufferv("png", &[]).unwrap()
    }

    fn of(fit: Fit, width: i32, height: i32) -> Decoded {
        decode(png(width, height), fit).unwrap()
    }

    #[test]
    fn a_picture_is_decoded_in_the_size_needed() {
        assert_eq!(claimed_size(&png(320, 200)), Some((320, 200)));
        let small = of(Fit::Within(80), 320, 200);
        assert_eq!((small.width, small.height, small.alpha, small.cut), (80, 50, false, false));
        assert_eq!(small.pixels[..3], [0x3a, 0x7b, 0xd5]);
        // Never larger than it is.
        assert_eq!(of(Fit::Within(1000), 320, 200).width, 320);
        let over = of(Fit::Cover(80, 50), 320, 200);
        assert_eq!((over.width, over.height, over.cut), (80, 50, false));
        for (width, height) in [(320, 180), (320, 240)] {
            let over = of(Fit::Cover(80, 50), width, height);
            assert_eq!((over.width, over.height, over.cut), (80, 50, true));
        }
        // Too small: what has the shape.
        let over = of(Fit::Cover(1600, 1000), 320, 240);
        assert_eq!((over.width, over.height, over.cut), (320, 200, true));
    }

    #[test]
    fn what_is_no_picture_or_a_huge_one_is_refused() {
        assert!(decode(b"GIF89a".to_vec(), Fit::Within(80)).is_err());
        let mut png = png(4, 4);
        png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        png[20..24].copy_from_slice(&60_000u32.to_be_bytes());
        let error = decode(png, Fit::Within(80)).err().unwrap();
        assert!(error.message.contains("size"), "{error:?}");
    }

    proptest! {
        #[test]
        fn what_is_cut_out_is_inside(wide in 1..9000u32, tall in 1..9000u32, width in 0..4000i32, height in 0..3000i32) {
            for fit in [Fit::Within(width), Fit::Cover(width, height)] {
                let (scaled, cut) = fit.sizes((wide, tall));
                prop_assert!(cut.0 >= 1 && cut.1 >= 1 && cut.0 <= scaled.0 && cut.1 <= scaled.1);
                prop_assert!(scaled.0 <= wide && scaled.1 <= tall);
            }
        }
    }
}

//! The encodings this client understands, by their numbers.

/// Pixels as they are.
pub const RAW: i32 = 0;
/// A part of the picture moved.
pub const COPY_RECT: i32 = 1;
/// Palettes, gradients and four zlib streams.
pub const TIGHT: i32 = 7;
/// The picture has another size (older form).
pub const DESKTOP_SIZE: i32 = -223;
/// No more rectangles in this update.
pub const LAST_RECT: i32 = -224;
/// The mouse cursor as pixels and a mask.
pub const CURSOR: i32 = -239;
/// The picture has another size; the client may ask for one.
pub const EXTENDED_DESKTOP_SIZE: i32 = -308;
/// The mouse cursor with soft edges.
pub const CURSOR_WITH_ALPHA: i32 = -314;
/// The clipboard in UTF-8. A client that offers it answers [`crate::Clipboard::Can`] with the same.
pub const EXTENDED_CLIPBOARD: i32 = 0xc0a1_e5ce_u32.cast_signed();
/// Tight with the cheapest compression (level 0 of 9): a local socket has more room than the processor has time.
pub const COMPRESS_LEVEL_0: i32 = -256;

/// For a live view over a local socket, the best first.
///
/// Raw comes before Tight: over a Unix socket it costs both sides less time than compressing. No JPEG quality level is
/// among them, so that Tight stays lossless.
pub const LIVE: &[i32] = &[
    RAW,
    COPY_RECT,
    TIGHT,
    COMPRESS_LEVEL_0,
    CURSOR_WITH_ALPHA,
    CURSOR,
    EXTENDED_DESKTOP_SIZE,
    DESKTOP_SIZE,
    LAST_RECT,
];

/// For one picture.
pub const GRAB: &[i32] = &[RAW, DESKTOP_SIZE, LAST_RECT];

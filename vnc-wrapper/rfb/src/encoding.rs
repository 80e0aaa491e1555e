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
/// The mouse cursor as two colours and masks.
pub const X_CURSOR: i32 = -240;
/// The mouse cursor in VMware's forms.
pub const VMWARE_CURSOR: i32 = 0x574d_5664;
/// Where the server moved the pointer.
pub const VMWARE_CURSOR_POSITION: i32 = 0x574d_5666;
/// Lights of the keyboard, in VMware's form.
pub const VMWARE_LED_STATE: i32 = 0x574d_5668;
/// Lights of the keyboard, in QEMU's form.
pub const QEMU_LED_STATE: i32 = -261;
/// Keys with the code of their place.
pub const QEMU_EXTENDED_KEY: i32 = -258;
/// The display has another name.
pub const DESKTOP_NAME: i32 = -307;
/// Marks in the stream that the other side answers.
pub const FENCE: i32 = -312;
/// Updates without requests.
pub const CONTINUOUS_UPDATES: i32 = -313;
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

/// Whether a stream with this encoding can go on with another server ([`crate::splice`]): what it keeps from one
/// rectangle to the next can be reset, and where its rectangles end can be told. ZRLE and zlib, say, keep one stream of
/// zlib for the whole connection.
pub(crate) fn can_be_spliced(encoding: i32) -> bool {
    /// JPEG quality, compression, fine quality and subsampling of Tight.
    const LEVELS: [std::ops::RangeInclusive<i32>; 4] = [-32..=-23, -256..=-247, -512..=-412, -768..=-763];
    matches!(
        encoding,
        RAW | COPY_RECT
            | TIGHT
            | DESKTOP_SIZE
            | LAST_RECT
            | CURSOR
            | X_CURSOR
            | CURSOR_WITH_ALPHA
            | VMWARE_CURSOR
            | VMWARE_CURSOR_POSITION
            | VMWARE_LED_STATE
            | QEMU_LED_STATE
            | QEMU_EXTENDED_KEY
            | DESKTOP_NAME
            | EXTENDED_DESKTOP_SIZE
            | FENCE
            | CONTINUOUS_UPDATES
            | EXTENDED_CLIPBOARD
    ) || LEVELS.iter().any(|levels| levels.contains(&encoding))
}

/// For one picture.
pub const GRAB: &[i32] = &[RAW, DESKTOP_SIZE, LAST_RECT];

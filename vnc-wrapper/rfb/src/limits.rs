//! What this client takes from a server at most. Each limit is checked before memory is taken.

/// Pixels along one side of a picture.
pub const MAX_SIDE: u16 = 16_384;
/// Pixels of a whole picture: 34 Mi, which take 136 MiB and are more than 8K has (7680 x 4320).
pub const MAX_PIXELS: u32 = 34 << 20;
/// Bytes of a name, a reason or a clipboard text in Latin-1. A longer clipboard text is skipped, not kept.
pub const MAX_TEXT: u32 = 64 << 10;
/// Bytes of a clipboard text in UTF-8, and of the message that brings it. A longer message is skipped, not kept.
pub const MAX_CLIPBOARD: u32 = 1 << 20;
/// Pixels along one side of a mouse cursor.
pub const MAX_CURSOR_SIDE: u16 = 512;
/// Screens in one ExtendedDesktopSize message; the protocol itself has no more than a byte for it.
pub const MAX_SCREENS: u8 = 255;

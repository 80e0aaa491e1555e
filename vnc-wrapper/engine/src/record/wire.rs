//! How values are laid down in a record: bounded, and never panicking whatever the bytes are.
//!
//! Numbers are LEB128 in their shortest form only, signed ones in zigzag, so that one value has one serialisation. Lists and
//! bytes begin with their length, which is checked against their bound and against what is left of the record.

use std::fmt;
use std::ops::Deref;

/// Why bytes could not be read; the caller adds of what and where.
pub(super) type Flaw = String;

/// Reads from the payload of one frame.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    version: u16,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8], version: u16) -> Self {
        Self { bytes, version }
    }

    /// The version that the frame's writer gave it.
    pub(super) fn version(&self) -> u16 {
        self.version
    }

    /// Everything must have been read.
    pub(super) fn end(&self) -> Result<(), Flaw> {
        if self.bytes.is_empty() { Ok(()) } else { Err(format!("{} bytes follow its last field", self.bytes.len())) }
    }

    fn raw(&mut self, length: usize) -> Result<&'a [u8], Flaw> {
        let (head, rest) = self.bytes.split_at_checked(length).ok_or_else(|| "it ends too early".to_owned())?;
        self.bytes = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(|| "it ends too early".to_owned())?;
        self.bytes = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Flaw> {
        Ok(self.array::<1>()?[0])
    }

    fn number(&mut self) -> Result<u64, Flaw> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number in it is malformed".to_owned())
    }

    /// A length: at most `most`, and at most what is left, for everything takes a byte at least.
    fn length(&mut self, most: usize) -> Result<usize, Flaw> {
        let length = self.number()?;
        match usize::try_from(length) {
            Ok(length) if length > most => Err(format!("{length} of something in it, where at most {most} may be")),
            Ok(length) if length <= self.bytes.len() => Ok(length),
            _ => Err("it ends too early".to_owned()),
        }
    }
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// What has a form in a record.
pub(crate) trait Codec: Sized {
    /// Appends the form.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it back.
    fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw>;
    /// Any value, made of these bytes, for tests.
    #[cfg(test)]
    fn sample(from: &mut super::testing::Dice) -> Self;
}

macro_rules! unsigned {
    ($($type:ty)*) => {$(
        impl Codec for $type {
            fn put(&self, out: &mut Vec<u8>) {
                put_number(out, u64::from(*self));
            }
            fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
                Self::try_from(from.number()?).map_err(|_| "a number in it is too large".to_owned())
            }
            #[cfg(test)]
            fn sample(from: &mut super::testing::Dice) -> Self {
                from.array().map(Self::from_le_bytes).unwrap_or_default()
            }
        }
    )*};
}
unsigned!(u8 u16 u32 u64);

macro_rules! signed {
    ($($type:ty)*) => {$(
        impl Codec for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let value = i64::from(*self);
                put_number(out, (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned());
            }
            fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
                let value = from.number()?;
                let value = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
                Self::try_from(value).map_err(|_| "a number in it is too large".to_owned())
            }
            #[cfg(test)]
            fn sample(from: &mut super::testing::Dice) -> Self {
                from.array().map(Self::from_le_bytes).unwrap_or_default()
            }
        }
    )*};
}
signed!(i32 i64);

impl Codec for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
        match from.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("{other} stands where yes or no belongs")),
        }
    }
    #[cfg(test)]
    fn sample(from: &mut super::testing::Dice) -> Self {
        from.below(2) == 1
    }
}

impl Codec for [u8; 16] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
        from.array()
    }
    #[cfg(test)]
    fn sample(from: &mut super::testing::Dice) -> Self {
        from.array().unwrap_or_default()
    }
}

impl<T: Codec> Codec for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
        Ok(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
    #[cfg(test)]
    fn sample(from: &mut super::testing::Dice) -> Self {
        bool::sample(from).then(|| T::sample(from))
    }
}

/// More than a bound allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{found} where at most {most} may be")]
pub struct TooMany {
    /// How many there are.
    pub found: usize,
    /// How many there may be.
    pub most: usize,
}

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $item:ty $(, $generic:ident)?) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name<$($generic,)? const MOST: usize>(Vec<$item>);

        impl<$($generic,)? const MOST: usize> Deref for $name<$($generic,)? MOST> {
            type Target = [$item];
            fn deref(&self) -> &[$item] {
                &self.0
            }
        }

        impl<$($generic,)? const MOST: usize> Default for $name<$($generic,)? MOST> {
            fn default() -> Self {
                Self(Vec::new())
            }
        }

        impl<$($generic,)? const MOST: usize> TryFrom<Vec<$item>> for $name<$($generic,)? MOST> {
            type Error = TooMany;
            fn try_from(items: Vec<$item>) -> Result<Self, TooMany> {
                if items.len() > MOST { Err(TooMany { found: items.len(), most: MOST }) } else { Ok(Self(items)) }
            }
        }
    };
}
bounded!(
    /// At most that many bytes.
    Bytes, u8);
bounded!(
    /// At most that many items.
    List, T, T);

impl<const MOST: usize> fmt::Debug for Bytes<MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl<T: fmt::Debug, const MOST: usize> fmt::Debug for List<T, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MOST: usize> Codec for Bytes<MOST> {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.0.len() as u64);
        out.extend_from_slice(&self.0);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
        let length = from.length(MOST)?;
        Ok(Self(from.raw(length)?.to_vec()))
    }
    #[cfg(test)]
    fn sample(from: &mut super::testing::Dice) -> Self {
        Self((0..from.below(MOST.min(40) + 1)).map(|_| u8::sample(from)).collect())
    }
}

impl<T: Codec, const MOST: usize> Codec for List<T, MOST> {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.0.len() as u64);
        self.0.iter().for_each(|item| item.put(out));
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
        // Grows as items are read: a length alone allocates nothing.
        let mut items = Vec::new();
        for _ in 0..from.length(MOST)? {
            items.push(T::take(from)?);
        }
        Ok(Self(items))
    }
    #[cfg(test)]
    fn sample(from: &mut super::testing::Dice) -> Self {
        Self((0..from.below(MOST.min(5) + 1)).map(|_| T::sample(from)).collect())
    }
}

/// A plain struct and its form: its fields in their order. `@since N` before a field: records of an earlier version do not
/// have it and get its default.
macro_rules! fields {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $(@since $since:literal)? pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Default, Debug)]
        $vis struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $crate::record::wire::Codec for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::record::wire::Codec::put(&self.$field, out);)*
            }
            fn take(from: &mut $crate::record::wire::Decoder<'_>) -> Result<Self, String> {
                $(let $field = if [$($since)?].iter().all(|since: &u16| from.version() >= *since) {
                    <$type as $crate::record::wire::Codec>::take(from).map_err(|flaw| format!("{}: {flaw}", stringify!($field)))?
                } else {
                    Default::default()
                };)*
                Ok(Self { $($field,)* })
            }
            #[cfg(test)]
            fn sample(from: &mut $crate::record::testing::Dice) -> Self {
                Self { $($field: <$type as $crate::record::wire::Codec>::sample(from),)* }
            }
        }
    };
}
pub(super) use fields;

/// One of several: a number, and the fields of that variant. An unknown number is an error.
macro_rules! choice {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $number:literal = $variant:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })?,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Default, Debug)]
        pub enum $name { $($(#[$variant_doc])* $variant $({ $($(#[$field_doc])* $field: $type,)* })?,)* }

        impl $crate::record::wire::Codec for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field,)* })? => {
                        out.push($number);
                        $($($crate::record::wire::Codec::put($field, out);)*)?
                    })*
                }
            }
            fn take(from: &mut $crate::record::wire::Decoder<'_>) -> Result<Self, String> {
                match from.u8()? {
                    $($number => Ok(Self::$variant $({ $($field: $crate::record::wire::Codec::take(from)?,)* })?),)*
                    other => Err(format!("{} number {other} is not known", stringify!($name))),
                }
            }
            #[cfg(test)]
            fn sample(from: &mut $crate::record::testing::Dice) -> Self {
                let numbers = [$($number,)*];
                match numbers[from.below(numbers.len())] {
                    $($number => Self::$variant $({ $($field: $crate::record::wire::Codec::sample(from),)* })?,)*
                    _ => unreachable!(),
                }
            }
        }
    };
}
pub(super) use choice;

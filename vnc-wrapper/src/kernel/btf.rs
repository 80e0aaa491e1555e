//! Where the members of the kernel's structures are, by the kernel's own description of its types
//! (Documentation/bpf/btf.rst). Pure but for [`Types::of_this_kernel`].

use std::collections::HashMap;
use std::fs;
use std::io;

/// The description of the running kernel.
const KERNEL: &str = "/sys/kernel/btf/vmlinux";
/// `BTF_MAGIC`, and its length of the fixed part of a type.
const MAGIC: u16 = 0xeb9f;
const TYPE_LENGTH: usize = 12;
/// `BTF_KIND_STRUCT`, `BTF_KIND_UNION`, `BTF_KIND_TYPEDEF`.
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
/// No structure holds structures without a name deeper than that.
const DEEPEST: u32 = 8;

/// Byte offsets of members, by structure and member.
#[derive(Debug, Default)]
pub struct Types(HashMap<(String, String), u64>);

impl Types {
    /// The members of `structures` in the running kernel.
    ///
    /// # Errors
    /// When the kernel was built without a description.
    pub fn of_this_kernel(structures: &[&str]) -> io::Result<Self> {
        Self::parse(&fs::read(KERNEL)?, structures)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("cannot read {KERNEL}")))
    }

    /// Where `member` is in `structure`.
    ///
    /// # Errors
    /// When this kernel has no such member.
    pub fn offset(&self, structure: &str, member: &str) -> io::Result<u64> {
        let found = self.0.get(&(structure.to_owned(), member.to_owned())).copied();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no {structure}.{member} in this kernel")))
    }

    fn parse(data: &[u8], structures: &[&str]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?));
        let place = |at: usize| word(at).map(|n| n as usize);
        if u16::from_le_bytes(data.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let head = place(4)?;
        let (types, strings) = (head + place(8)?, head + place(16)?);
        let end = types + place(12)?;
        let mut parser = Parser { data, strings, places: vec![0], found: HashMap::new() };
        let mut at = types;
        while at < end {
            parser.places.push(at);
            let (kind, count) = parser.kind(at)?;
            at = at + TYPE_LENGTH + length_after(kind, count)?;
        }
        for number in 1..parser.places.len() {
            let place = *parser.places.get(number)?;
            let name = parser.name(place)?;
            if !structures.contains(&name) {
                continue;
            }
            let owned = name.to_owned();
            match parser.kind(place)?.0 {
                STRUCT => parser.members(&owned, place, 0, 0)?,
                // A structure that only its typedef names.
                TYPEDEF => {
                    let target = parser.place_of(place + 8)?;
                    if parser.kind(target)?.0 == STRUCT {
                        parser.members(&owned, target, 0, 0)?;
                    }
                }
                _ => {}
            }
        }
        Some(Self(parser.found))
    }
}

struct Parser<'a> {
    data: &'a [u8],
    /// Where names begin.
    strings: usize,
    /// Where types are, by number; the first is void, which is nowhere.
    places: Vec<usize>,
    found: HashMap<(String, String), u64>,
}

impl<'a> Parser<'a> {
    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.data.get(at..at + 4)?.try_into().ok()?))
    }

    /// The name that the word there stands for.
    fn name(&self, at: usize) -> Option<&'a str> {
        let text = self.data.get(self.strings + self.word(at)? as usize..)?;
        std::str::from_utf8(&text[..text.iter().position(|b| *b == 0)?]).ok()
    }

    /// What kind of type is at `place`, and how many members it has.
    fn kind(&self, place: usize) -> Option<(u32, usize)> {
        let info = self.word(place + 4)?;
        Some((info >> 24 & 0x1f, (info & 0xffff) as usize))
    }

    /// Where the type is whose number is at `at`.
    fn place_of(&self, at: usize) -> Option<usize> {
        self.places.get(self.word(at)? as usize).copied().filter(|place| *place != 0)
    }

    /// Notes the members of the structure or union at `place`, which itself begins `bits` into `structure`; those of
    /// members without a name are the structure's own.
    fn members(&mut self, structure: &str, place: usize, bits: u64, depth: u32) -> Option<()> {
        let has_bits = self.word(place + 4)? >> 31 == 1;
        for member in (0..self.kind(place)?.1).map(|n| place + TYPE_LENGTH + n * 12) {
            let own = self.word(member + 8)?;
            let bits = bits + u64::from(if has_bits { own & 0x00ff_ffff } else { own });
            let name = self.name(member)?;
            if !name.is_empty() {
                self.found.entry((structure.to_owned(), name.to_owned())).or_insert(bits / 8);
            } else if let Some(inner) = self.place_of(member + 4)
                && matches!(self.kind(inner)?.0, STRUCT | UNION)
                && depth < DEEPEST
            {
                self.members(structure, inner, bits, depth + 1)?;
            }
        }
        Some(())
    }
}

/// How many bytes follow the fixed part of a type of this kind, with that many members.
fn length_after(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7 | TYPEDEF | 9..=12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Enumeration, parameters of a function.
        6 | 13 => 8 * count,
        // Structure, union, section of data, enumeration of 64 bits.
        STRUCT | UNION | 15 | 19 => 12 * count,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_damage_is_not_followed() {
        let strings = b"\0list_head\0next\0prev\0of_typedef\0inner\0";
        let mut types: Vec<u8> = Vec::new();
        // Another's typedef first, to be passed over; struct list_head { next; prev; }; a structure without a name that has
        // one without a name that has a member; its typedef.
        let all = [1u32, TYPEDEF << 24, 1, 1, STRUCT << 24 | 2, 16, 11, 1, 0, 16, 1, 64]
            .into_iter()
            .chain([0, STRUCT << 24 | 1, 32, 0, 4, 128, 0, UNION << 24 | 1, 16, 32, 1, 64])
            .chain([21, TYPEDEF << 24, 3]);
        for word in all {
            types.extend(word.to_le_bytes());
        }
        let mut data = MAGIC.to_le_bytes().to_vec();
        data.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            data.extend(word.to_le_bytes());
        }
        data.extend(&types);
        data.extend(strings);
        let parsed = Types::parse(&data, &["list_head"]).unwrap();
        assert_eq!(parsed.offset("list_head", "next").unwrap(), 0);
        assert_eq!(parsed.offset("list_head", "prev").unwrap(), 8);
        assert!(parsed.offset("list_head", "other").is_err());
        let named = Types::parse(&data, &["of_typedef"]).unwrap();
        assert_eq!(named.offset("of_typedef", "inner").unwrap(), 24);
        for length in 0..data.len() {
            let _ = Types::parse(&data[..length], &["list_head"]);
        }
    }
}

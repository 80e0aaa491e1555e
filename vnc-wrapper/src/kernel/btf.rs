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
/// `BTF_KIND_STRUCT`.
const STRUCT: u32 = 4;

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
        let name = |offset: u32| {
            let text = data.get(strings + offset as usize..)?;
            std::str::from_utf8(&text[..text.iter().position(|b| *b == 0)?]).ok()
        };
        let (mut found, mut at) = (HashMap::new(), types);
        while at < end {
            let (own_name, info) = (word(at)?, word(at + 4)?);
            let (count, kind, has_bits) = ((info & 0xffff) as usize, info >> 24 & 0x1f, info >> 31 == 1);
            let body = at + TYPE_LENGTH;
            if kind == STRUCT && structures.contains(&name(own_name)?) {
                for member in (0..count).map(|n| body + n * 12) {
                    let bits = word(member + 8)?;
                    let bits = if has_bits { bits & 0x00ff_ffff } else { bits };
                    let key = (name(own_name)?.to_owned(), name(word(member)?)?.to_owned());
                    found.entry(key).or_insert(u64::from(bits / 8));
                }
            }
            at = body + length_after(kind, count)?;
        }
        Some(Self(found))
    }
}

/// How many bytes follow the fixed part of a type of this kind, with that many members.
fn length_after(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Enumeration, parameters of a function.
        6 | 13 => 8 * count,
        // Structure, union, section of data, enumeration of 64 bits.
        STRUCT | 5 | 15 | 19 => 12 * count,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_damage_is_not_followed() {
        let strings = b"\0list_head\0next\0prev\0";
        let mut types: Vec<u8> = Vec::new();
        // A typedef first, to be passed over; then struct list_head { next; prev; }.
        for word in [1u32, 8 << 24, 1, 1, STRUCT << 24 | 2, 16, 11, 1, 0, 16, 1, 64] {
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
        for length in 0..data.len() {
            let _ = Types::parse(&data[..length], &["list_head"]);
        }
    }
}

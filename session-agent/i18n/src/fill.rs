//! Values in the places of a text that have their names.

/// One pass, so that a value which looks like a placeholder stays what it is.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        rest = &rest[start..];
        let known = rest.find('}').and_then(|end| {
            let (_, value) = values.iter().find(|(name, _)| *name == &rest[1..end])?;
            Some((end, value))
        });
        let Some((end, value)) = known else {
            filled.push('{');
            rest = &rest[1..];
            continue;
        };
        filled.push_str(value);
        rest = &rest[end + 1..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ngettext_f;

    #[test]
    fn placeholders_are_filled_by_name() {
        let values = [("a", "1"), ("name", "{a}")];
        assert_eq!(fill("{name} of {a} {b} {", &values), "{a} of 1 {b} {");
        assert_eq!(fill("", &values), "");
        assert_eq!(ngettext_f("{n} file", "{n} files", 1, &[("n", "1")]), "1 file");
        assert_eq!(ngettext_f("{n} file", "{n} files", u64::MAX, &[("n", "many")]), "many files");
    }
}

//! The file format of gettext, as far as it is needed here.

use crate::sources::Found;

/// One string with its translations.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) plural: Option<String>,
    pub(crate) texts: Vec<String>,
    pub(crate) fuzzy: bool,
}

/// The template of these strings.
pub(crate) fn template(found: &[Found]) -> String {
    let mut out = String::from(
        "# The strings of Freezeframe.\n# This file is distributed under the same license as Freezeframe.\n#\nmsgid \"\"\n\
         msgstr \"\"\n\"Project-Id-Version: freezeframe\\n\"\n\"MIME-Version: 1.0\\n\"\n\
         \"Content-Type: text/plain; charset=UTF-8\\n\"\n\"Content-Transfer-Encoding: 8bit\\n\"\n\
         \"Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;\\n\"\n",
    );
    for one in found {
        out.push('\n');
        for file in &one.files {
            out += &format!("#: {file}\n");
        }
        out += &format!("msgid {}\n", quoted(&one.id));
        match &one.plural {
            Some(plural) => out += &format!("msgid_plural {}\nmsgstr[0] \"\"\nmsgstr[1] \"\"\n", quoted(plural)),
            None => out += "msgstr \"\"\n",
        }
    }
    out
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}

/// Every entry but the head.
pub(crate) fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for block in text.split("\n\n") {
        let mut entry = Entry::default();
        // Which of the entry's strings the next line goes on with.
        let mut place: Option<fn(&mut Entry) -> &mut String> = None;
        for line in block.lines() {
            if line.starts_with("#,") {
                entry.fuzzy |= line.contains("fuzzy");
            }
            let rest = if let Some(rest) = line.strip_prefix("msgid ") {
                place = Some(|entry| &mut entry.id);
                rest
            } else if let Some(rest) = line.strip_prefix("msgid_plural ") {
                entry.plural = Some(String::new());
                place = Some(|entry| entry.plural.as_mut().unwrap());
                rest
            } else if let Some(rest) = line.strip_prefix("msgstr") {
                entry.texts.push(String::new());
                place = Some(|entry| entry.texts.last_mut().unwrap());
                rest.split_once(' ').unwrap().1
            } else if line.starts_with('"') {
                line
            } else {
                continue;
            };
            let piece = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            let piece = piece.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\");
            if let Some(place) = place {
                place(&mut entry).push_str(&piece);
            }
        }
        if !entry.id.is_empty() {
            entries.push(entry);
        }
    }
    entries
}

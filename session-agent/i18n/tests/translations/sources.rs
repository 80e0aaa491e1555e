//! The strings of the sources: arguments of the crate's functions, what `.ui` files mark as translatable, and what desktop
//! entries and metainfo tell people, as `xgettext` finds it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::po;

/// Where people are spoken to: files, and folders with all in them, from the repository's root.
const PLACES: [&str; 4] = ["app/src", "data", "session-agent/i18n/src/date.rs", "session-agent/src/tray"];

/// A string that people read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) plural: Option<String>,
    /// Where, from the repository's root.
    pub(crate) files: Vec<String>,
}

/// The functions that translate, and how many of their arguments are strings of that kind.
const FUNCTIONS: [(&str, usize); 3] = [("gettext", 1), ("gettext_f", 1), ("ngettext_f", 2)];

/// All of them, in the order of the files. `root` is the repository's.
pub(crate) fn strings(root: &Path) -> Vec<Found> {
    let mut files = Vec::new();
    for place in PLACES {
        walk(&root.join(place), &mut files);
    }
    files.sort();
    let mut found: Vec<Found> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        let text = || std::fs::read_to_string(&file).unwrap();
        let here = match file.extension().and_then(|end| end.to_str()) {
            Some("ui") => in_ui(&text()),
            Some("rs") => in_rust(&text(), &name),
            Some("desktop") => in_data(&file),
            Some("xml") if name.ends_with(".metainfo.xml") => in_data(&file),
            _ => continue,
        };
        for (id, plural) in here {
            let place = *known.entry(id.clone()).or_insert_with(|| {
                found.push(Found { id, plural: plural.clone(), files: Vec::new() });
                found.len() - 1
            });
            assert_eq!(found[place].plural, plural, "{name}: one string with two plurals");
            if !found[place].files.contains(&name) {
                found[place].files.push(name.clone());
            }
        }
    }
    found
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap();
        entries.for_each(|entry| walk(&entry.unwrap().path(), files));
    } else {
        files.push(path.to_owned());
    }
}

/// What `msgfmt --desktop` and `msgfmt --xml` look for when they translate that file.
fn in_data(file: &Path) -> Vec<(String, Option<String>)> {
    let output = Command::new("xgettext").args(["--from-code=UTF-8", "--no-location", "--output=-"]).arg(file).output();
    let output = output.expect("xgettext is needed: apt-get install gettext");
    let problems = String::from_utf8_lossy(&output.stderr);
    // Without appstream's rules it only warns that it takes the file for C.
    assert!(output.status.success() && problems.is_empty(), "{problems} (apt-get install appstream)");
    let entries = po::parse(&String::from_utf8(output.stdout).unwrap());
    entries.into_iter().map(|entry| (entry.id, entry.plural)).collect()
}

fn in_ui(text: &str) -> Vec<(String, Option<String>)> {
    let marked = text.split("translatable=\"yes\">").skip(1).map(|rest| rest.split('<').next().unwrap());
    let plain = |text: &str| {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&")
    };
    marked.map(|text| (plain(text), None)).collect()
}

#[derive(Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Mark(char),
}

fn in_rust(text: &str, file: &str) -> Vec<(String, Option<String>)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Name(name) = token else { continue };
        let Some((_, count)) = FUNCTIONS.iter().find(|(function, _)| function == name) else { continue };
        if tokens.get(at + 1) != Some(&Token::Mark('(')) {
            continue;
        }
        let argument = |index: usize| match tokens.get(at + 2 + index * 2) {
            Some(Token::Text(text)) => text.clone(),
            other => panic!("{file}: {name} is given {other:?}, and takes literals only"),
        };
        let plural = (*count > 1).then(|| argument(1));
        found.push((argument(0), plural));
    }
    found
}

/// Just enough of Rust: names, texts and marks, without comments, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let letters: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        let (letter, next) = (letters[at], letters.get(at + 1).copied());
        if letter == '/' && next == Some('/') {
            at += letters[at..].iter().position(|letter| *letter == '\n').unwrap_or(letters.len() - at);
        } else if letter == '"' {
            let (text, end) = literal(&letters, at + 1);
            tokens.push(Token::Text(text));
            at = end;
        } else if letter == 'r' && matches!(next, Some('#' | '"')) && raw_start(&letters, at).is_some() {
            let hashes = raw_start(&letters, at).unwrap();
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let start = at + 2 + hashes;
            let length = letters[start..].windows(close.len()).position(|some| some == close).unwrap();
            tokens.push(Token::Text(letters[start..start + length].iter().collect()));
            at = start + length + close.len();
        } else if letter == '\'' {
            // A character, or a lifetime.
            at += if next == Some('\\') {
                2 + letters[at + 2..].iter().skip(1).position(|letter| *letter == '\'').unwrap() + 2
            } else if letters.get(at + 2) == Some(&'\'') {
                3
            } else {
                1
            };
        } else if letter.is_alphanumeric() || letter == '_' {
            let length = letters[at..].iter().take_while(|letter| letter.is_alphanumeric() || **letter == '_').count();
            tokens.push(Token::Name(letters[at..at + length].iter().collect()));
            at += length;
        } else {
            if !letter.is_whitespace() {
                tokens.push(Token::Mark(letter));
            }
            at += 1;
        }
    }
    tokens
}

/// How many hashes a raw text has, if one starts here.
fn raw_start(letters: &[char], at: usize) -> Option<usize> {
    let hashes = letters[at + 1..].iter().take_while(|letter| **letter == '#').count();
    (letters.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

/// The text from here to its closing quote, and the place after that.
fn literal(letters: &[char], mut at: usize) -> (String, usize) {
    let mut text = String::new();
    loop {
        match letters[at] {
            '"' => return (text, at + 1),
            '\\' => {
                at += 1;
                match letters[at] {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    // The line goes on where the next one begins.
                    '\n' => {
                        while letters[at + 1].is_whitespace() {
                            at += 1;
                        }
                    }
                    'u' => {
                        let end = letters[at..].iter().position(|letter| *letter == '}').unwrap();
                        let digits: String = letters[at + 2..at + end].iter().collect();
                        text.push(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap());
                        at += end;
                    }
                    other => text.push(other),
                }
            }
            other => text.push(other),
        }
        at += 1;
    }
}

#[test]
fn rust_is_read_as_rust_has_it() {
    let source = r###"
        // gettext("in a comment")
        let a = gettext("plain \"quoted\" \u{41}\n"); let c = '"'; let d: &'static str = r#"gettext("raw")"#;
        ngettext_f("{n} \
                    one", "{n} many", n, &[]);
    "###;
    assert_eq!(
        in_rust(source, "here"),
        [("plain \"quoted\" A\n".to_owned(), None), ("{n} one".to_owned(), Some("{n} many".to_owned()))]
    );
}

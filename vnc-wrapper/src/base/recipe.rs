//! Recipes: what a base is built from. `data/bases/*.toml` has those that come with Freezeframe; the agent finds them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use freezeframe_store::error::IoContext;
use serde::Deserialize;

use super::{Error, Result};

/// The newest format of recipes that this release reads.
pub const FORMAT: u32 = 1;
/// No recipe is larger, in bytes.
const MAX_RECIPE: u64 = 1 << 20;

/// One recipe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of this format.
    pub format: u32,
    /// Its name, and that of the base unless another is asked for.
    pub name: String,
    /// What it is, in a few words.
    pub summary: String,
    /// Release of Debian, by its code name.
    pub suite: String,
    /// Packages beside the essential ones.
    pub packages: Vec<String>,
    /// Files that no package installs, as dpkg's `path-exclude` has them.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What is installed all the same, as dpkg's `path-include` has it.
    #[serde(default)]
    pub include: Vec<String>,
    /// The command that is the desktop.
    pub desktop: Vec<String>,
    /// Extra environment of every program in a session.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Files to write when the packages are installed.
    #[serde(default, rename = "file")]
    pub files: Vec<RecipeFile>,
    /// Commands for the shell, run as root inside the base when all else is in place.
    #[serde(default)]
    pub run: Vec<String>,
}

/// A file that a recipe writes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    /// Absolute path inside the base.
    pub path: String,
    /// Its text.
    pub content: String,
    /// Its permission bits.
    #[serde(default = "default_mode")]
    pub mode: u32,
}

fn default_mode() -> u32 {
    0o644
}

impl Recipe {
    /// Reads a recipe's text.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let recipe: Self = toml::from_str(text).map_err(|e| e.to_string().trim().to_owned())?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Reads the recipe at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or what is wrong with it.
    pub fn load(path: &Path) -> Result<Self> {
        let mut text = String::new();
        let file = File::open(path).at("read", path)?;
        file.take(MAX_RECIPE).read_to_string(&mut text).at("read", path)?;
        Self::parse(&text).map_err(|reason| Error::BadRecipe { path: path.to_owned(), reason })
    }

    /// What the types cannot express. All of it ends up in arguments or in a shell, so it is confined to plain words.
    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("its format is {}, and this release reads {FORMAT}", self.format));
        }
        freezeframe_store::id::check_name("base", &self.name).map_err(|e| e.to_string())?;
        let word = |text: &str| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.:".contains(&b);
            text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(plain)
        };
        if !word(&self.suite) {
            return Err(format!("{:?} is not the code name of a release", self.suite));
        }
        if let Some(package) = self.packages.iter().find(|package| !word(package)) {
            return Err(format!("{package:?} is not the name of a package"));
        }
        let pattern = |text: &&String| !text.starts_with('/') || text.contains(['\n', '\'', '\\']);
        if let Some(text) = self.exclude.iter().chain(&self.include).find(pattern) {
            return Err(format!("{text:?} is not an absolute path or pattern"));
        }
        for file in &self.files {
            let parts = || file.path.strip_prefix('/').into_iter().flat_map(|rest| rest.split('/'));
            let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\n', '\0']);
            if parts().next().is_none() || !parts().all(plain) {
                return Err(format!("{:?} is not an absolute path without \".\" and \"..\"", file.path));
            }
            if file.mode > 0o7777 {
                return Err(format!("{:o} is not the mode of a file", file.mode));
            }
        }
        let variable = |name: &str| {
            name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if let Some(name) = self.environment.keys().find(|name| !variable(name)) {
            return Err(format!("{name:?} is not the name of a variable"));
        }
        if self.desktop.first().is_none_or(String::is_empty) {
            return Err("it names no command for the desktop".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str =
        "format = 1\nname = \"s\"\nsummary = \"\"\nsuite = \"trixie\"\npackages = [\"vim\"]\ndesktop = [\"vim\"]\n";

    #[test]
    fn the_recipes_that_come_with_us_are_good_and_have_their_names() {
        for name in ["minimal", "showcase", "xfce"] {
            let file = format!("{}/../data/bases/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            let recipe = Recipe::load(Path::new(&file)).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(recipe.name, name);
            for needed in ["tigervnc-standalone-server", "python3", "sudo", "dbus"] {
                assert!(recipe.packages.iter().any(|p| p == needed), "{name} has no {needed}");
            }
        }
    }

    #[test]
    fn what_a_recipe_leaves_out_has_a_default() {
        let recipe = Recipe::parse(&format!("{SMALL}[[file]]\npath = \"/a/b\"\ncontent = \"x\"\n")).unwrap();
        assert_eq!((recipe.files[0].mode, recipe.run.len()), (0o644, 0));
    }

    #[test]
    fn mistakes_are_named() {
        let with = |from: &str, to: &str| Recipe::parse(&SMALL.replace(from, to)).unwrap_err();
        assert!(with("summary", "sumary").contains("sumary"));
        assert!(with("format = 1", "format = 2").contains("format is 2"));
        assert!(with("\"vim\"]\nd", "\"vim;rm\"]\nd").contains("vim;rm"));
        assert!(with("\"vim\"]\nd", "\"-o\"]\nd").contains("not the name of a package"));
        assert!(with("trixie", "../x").contains("code name"));
        assert!(
            with("[\"vim\"]\n", "[]\n").contains("no command")
                || with("desktop = [\"vim\"]", "desktop = []").contains("no command")
        );
        for path in ["etc/x", "/etc/../x", "/", "//x", "/a/"] {
            let text = format!("{SMALL}[[file]]\npath = \"{path}\"\ncontent = \"x\"\n");
            assert!(Recipe::parse(&text).unwrap_err().contains("not an absolute path"), "{path}");
        }
        assert!(Recipe::parse(&format!("{SMALL}[environment]\n\"A=B\" = \"1\"\n")).unwrap_err().contains("variable"));
    }

    #[test]
    fn a_bad_recipe_is_told_with_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "name = 1").unwrap();
        let error = Recipe::load(file.path()).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
        assert!(Recipe::load(Path::new("/nonexistent.toml")).unwrap_err().to_string().contains("cannot read"));
    }
}

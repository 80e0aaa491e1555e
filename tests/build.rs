//! Builds the guest programs of `objects/` into one static program: it runs inside sessions, whatever C library their base
//! has. The table of guests is made from the directory, so a file in it is either played or breaks the build.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// A guest: the name it is played under, and its file.
struct Guest {
    name: String,
    source: PathBuf,
}

impl Guest {
    /// What its symbols begin with.
    fn id(&self) -> String {
        format!("guest_{}", self.name.replace('-', "_"))
    }
}

fn main() {
    println!("cargo:rerun-if-changed=objects");
    println!("cargo:rerun-if-changed=guest");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let guests = guests(Path::new("objects"));
    fs::write(out.join("registry.h"), registry(&guests)).expect("the table of guests can be written");
    let mut jobs: Vec<(Vec<String>, PathBuf, PathBuf)> = guests
        .iter()
        .map(|g| (vec![format!("-DGUEST_ID={}", g.id())], g.source.clone(), out.join(format!("{}.o", g.name))))
        .collect();
    jobs.push((vec![format!("-I{}", out.display())], "guest/guest.c".into(), out.join("guest.o")));
    let objects: Vec<PathBuf> = jobs.iter().map(|(_, _, object)| object.clone()).collect();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for share in jobs.chunks(jobs.len().div_ceil(workers)) {
            scope.spawn(move || share.iter().for_each(|(flags, source, object)| compile(flags, source, object)));
        }
    });
    let program = out.join("objects");
    run(Command::new("cc").args(["-static", "-pthread", "-o"]).arg(&program).args(&objects));
    println!("cargo:rustc-env=OBJECTS_PROGRAM={}", program.display());
}

/// Every file `FAMILY/NAME.c`, by name. Nothing else may be there.
fn guests(directory: &Path) -> Vec<Guest> {
    let list = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        entries.map(|e| e.expect("the directory can be read").path()).collect()
    };
    let mut guests = Vec::new();
    for family in list(directory) {
        for source in list(&family) {
            let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            assert!(source.extension().is_some_and(|e| e == "c"), "{} is no guest program", source.display());
            guests.push(Guest { name: format!("{}-{}", stem(&family), stem(&source).replace('_', "-")), source });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    guests
}

/// The table, as guest.c includes it.
fn registry(guests: &[Guest]) -> String {
    let mut text = String::from(
        "struct guest { const char *name; void (*play)(void); const int *tmpfs, *root, *alone; \
         const char *const *refused, *const *known; };\n",
    );
    let mut rows = String::new();
    for guest in guests {
        let (id, name) = (guest.id(), &guest.name);
        let _ = writeln!(text, "void {id}(void);");
        for flag in ["tmpfs", "root", "alone"] {
            let _ = writeln!(text, "extern const int {id}_{flag} __attribute__((weak));");
        }
        for words in ["refused", "known"] {
            let _ = writeln!(text, "extern const char *const {id}_{words} __attribute__((weak));");
        }
        let _ = writeln!(
            rows,
            "    {{\"{name}\", {id}, &{id}_tmpfs, &{id}_root, &{id}_alone, &{id}_refused, &{id}_known}},"
        );
    }
    let _ = writeln!(text, "static const struct guest guests[] = {{\n{rows}    {{0}},\n}};");
    text
}

fn compile(flags: &[String], source: &Path, object: &Path) {
    let mut command = Command::new("cc");
    command.args([
        "-std=gnu17",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-missing-field-initializers",
        "-Wno-format-zero-length",
    ]);
    command.args(["-Iguest", "-pthread", "-fno-pie", "-c", "-o"]).arg(object).args(flags).arg(source);
    run(&mut command);
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "{command:?} failed; it needs a C compiler and libc.a (packages gcc and libc6-dev)"
    );
}

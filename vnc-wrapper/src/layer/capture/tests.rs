use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use super::*;

/// The copy of `from` is the directory `to/upper`.
fn part(from: &Path) -> [Part<'_>; 1] {
    [Part { source: from, name: "upper", only_files: false, one_file_system: false, shift: 0 }]
}

fn sh(directory: &Path, script: &str) {
    let status = Command::new("bash").args(["-ec", script]).current_dir(directory).status().unwrap();
    assert!(status.success(), "{script}");
}

/// What differs between two trees, but for what no copy can keep.
fn differences(left: &Path, right: &Path) -> Vec<String> {
    fn list(root: &Path) -> Vec<(PathBuf, String)> {
        let mut all = Vec::new();
        let mut open = vec![PathBuf::new()];
        let mut inodes: HashMap<u64, usize> = HashMap::new();
        while let Some(directory) = open.pop() {
            let mut names: Vec<_> =
                fs::read_dir(root.join(&directory)).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            for name in names {
                let path = directory.join(name);
                let full = root.join(&path);
                let m = fs::symlink_metadata(&full).unwrap();
                let next = inodes.len();
                let group = *inodes.entry(m.ino()).or_insert(next);
                let kind = m.file_type();
                let contents = if kind.is_file() {
                    format!("{:?}", fs::read(&full).unwrap())
                } else if kind.is_symlink() {
                    format!("{:?}", fs::read_link(&full).unwrap())
                } else {
                    String::new()
                };
                let mut attributes = attributes(&full);
                attributes.sort();
                let what = format!(
                    "{:o} {} {} {} {} {:?} links {} group {group} {attributes:?} {contents}",
                    m.mode(),
                    m.uid(),
                    m.gid(),
                    m.rdev(),
                    m.len(),
                    (m.mtime(), m.mtime_nsec()),
                    m.nlink(),
                );
                if kind.is_dir() {
                    open.push(path.clone());
                }
                all.push((path, what.replace(&format!(" {} (", m.len()), " (").to_owned()));
            }
        }
        all.sort();
        all
    }
    let (left, right) = (list(left), list(right));
    left.iter()
        .filter(|l| !right.contains(l))
        .chain(right.iter().filter(|r| !left.contains(r)))
        .map(|(p, w)| format!("{} {}", p.display(), w.chars().take(200).collect::<String>()))
        .collect()
}

fn attributes(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut names = vec![0u8; 65536];
    let length = rustix::fs::llistxattr(&path, &mut names[..]).unwrap();
    names[..length]
        .split(|&b| b == 0)
        .filter(|n| !n.is_empty())
        .map(|n| {
            let mut value = vec![0u8; 65536];
            let length = rustix::fs::lgetxattr(&path, n, &mut value[..]).unwrap();
            (n.to_vec(), value[..length].to_vec())
        })
        .collect()
}

const SPECIAL: &str = r#"
    mkdir -p dir/sub empty; echo one > dir/one; ln dir/one dir/sub/hard; ln dir/one hard2
    ln -s dir/one link; ln -s /nowhere dangling; mkfifo fifo; truncate -s 40M sparse; printf tail >> sparse
    printf x > $'bad\xff\xfename'; chmod 4755 dir/one; chmod 1777 dir
    touch -d '2001-02-03 04:05:06.123456789' dir/sub hard2
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
    python3 -c 'import os; os.setxattr("dir", "user.a", b"\0\xff"); os.setxattr("dir/one", "user.b", b"")'
"#;

#[test]
fn a_whole_copy_is_exact() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    fs::create_dir(&from).unwrap();
    sh(&from, SPECIAL);
    if rustix::process::geteuid().is_root() {
        sh(&from, "mknod whiteout c 0 0; chown 12345:54321 dir/one; chown -h 7:8 link");
        sh(&from, "python3 -c 'import os; os.setxattr(\"dir\", \"trusted.overlay.opaque\", b\"y\")'");
    }
    copy_whole(&part(&from), &to).unwrap();
    assert_eq!(differences(&from, &to.join("upper")), Vec::<String>::new());
    let sparse = fs::metadata(to.join("upper/sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "the hole was filled");
    assert!(fs::symlink_metadata(to.join("upper/fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn the_second_pass_finds_every_change() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    fs::create_dir(&from).unwrap();
    sh(&from, SPECIAL);
    sh(&from, "for i in $(seq 50); do echo $i > f$i; done; mkdir gone; touch gone/x");
    let mut capture = Capture::new(&part(&from), &to).unwrap();
    capture.precopy(&Cancelled::new(false)).unwrap();
    // Same size, same mtime: only the ctime tells.
    sh(
        &from,
        r#"
        touch -r f1 stamp; printf 'Z\n' > f1; touch -r stamp f1
        rm f2; mv f3 moved; rm -r gone; echo dir > gone; rm f4; mkdir f4; echo deep > f4/deep
        rm hard2; ln f5 hard2; chmod 600 f6; echo more >> dir/one; rm link; ln -s elsewhere link
        printf Y | dd of=f7 conv=notrunc status=none; truncate -s 1 f8; ln f9 link_remap.1
        python3 -c 'import os; os.setxattr("f10", "user.new", b"1"); os.removexattr("dir", "user.a")'
        "#,
    );
    capture.finish().unwrap();
    assert_eq!(differences(&from, &to.join("upper")), Vec::<String>::new());
}

#[test]
fn a_store_through_a_mapping_made_before_the_first_pass_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    fs::create_dir(&from).unwrap();
    let script = r#"
import mmap, sys
f = open("mapped", "w+b"); f.truncate(8192); m = mmap.mmap(f.fileno(), 8192)
m[0] = 1
print("ready", flush=True); sys.stdin.readline()
m[0] = 2
print("stored", flush=True); sys.stdin.readline()
"#;
    let mut child = Command::new("python3")
        .args(["-c", script])
        .current_dir(&from)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = io::BufReader::new(child.stdout.take().unwrap());
    let mut input = child.stdin.take().unwrap();
    let mut line = || {
        let mut text = String::new();
        io::BufRead::read_line(&mut output, &mut text).unwrap();
        text
    };
    assert_eq!(line(), "ready\n");
    let mut capture = Capture::new(&part(&from), &to).unwrap();
    // As if all of it had been written long ago.
    capture.precopy(&Cancelled::new(false)).unwrap();
    capture.unsure_from = (i64::MAX, 0);
    io::Write::write_all(&mut input, b"\n").unwrap();
    assert_eq!(line(), "stored\n");
    capture.finish().unwrap();
    assert_eq!(fs::read(to.join("upper/mapped")).unwrap()[0], 2);
    drop(input);
    child.wait().unwrap();
}

#[test]
fn a_cancelled_pass_says_so_and_links_are_not_followed() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("a"), "a").unwrap();
    let mut capture = Capture::new(&part(&from), &to).unwrap();
    assert!(matches!(capture.precopy(&Cancelled::new(true)), Err(LayerError::Cancelled)));
    symlink("/etc", from.join("etc")).unwrap();
    capture.finish().unwrap();
    assert!(fs::symlink_metadata(to.join("upper/etc")).unwrap().is_symlink());
    assert_eq!(
        fs::metadata(to.join("upper")).unwrap().permissions().mode(),
        fs::metadata(&from).unwrap().permissions().mode()
    );
}

#[test]
fn links_between_the_parts_stay_links() {
    let scratch = tempfile::tempdir().unwrap();
    let [upper, index, to] = ["u", "i", "to"].map(|n| scratch.path().join(n));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&index).unwrap();
    fs::write(upper.join("a"), "a").unwrap();
    fs::hard_link(upper.join("a"), index.join("00fb")).unwrap();
    fs::create_dir(index.join("00fc")).unwrap();
    let mut capture = Capture::new(&super::super::parts(&upper, &index), &to).unwrap();
    capture.precopy(&Cancelled::new(false)).unwrap();
    capture.finish().unwrap();
    let inode = |path: &str| fs::metadata(to.join(path)).unwrap().ino();
    assert_eq!(inode("upper/a"), inode("index/00fb"));
    assert!(!to.join("index/00fc").exists(), "a directory's entry was copied");
}

#[test]
fn what_was_moved_away_in_the_first_pass_and_back_is_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    fs::create_dir_all(from.join("d")).unwrap();
    fs::write(from.join("d/file"), "text").unwrap();
    let mut capture = Capture::new(&part(&from), &to).unwrap();
    capture.precopy(&Cancelled::new(false)).unwrap();
    // As when the directory's copy was removed for a change that was taken back.
    fs::remove_dir_all(to.join("upper/d")).unwrap();
    capture.unsure_from = (i64::MAX, 0);
    fs::create_dir(to.join("upper/d")).unwrap();
    capture.finish().unwrap();
    assert_eq!(fs::read(to.join("upper/d/file")).unwrap(), b"text");
}

#[test]
fn what_is_nested_too_deep_is_refused_and_what_is_not_is_copied() {
    let scratch = tempfile::tempdir().unwrap();
    let from = scratch.path().join("from");
    let deepest = (0..MAX_DEPTH).fold(from.clone(), |path, _| path.join("d"));
    fs::create_dir_all(&deepest).unwrap();
    fs::write(deepest.join("file"), "deep").unwrap();
    copy_whole(&part(&from), &scratch.path().join("fits")).unwrap();
    fs::create_dir(deepest.join("d")).unwrap();
    for (number, text) in ["256 deep", "upper/d/d/d of"].into_iter().enumerate() {
        let to = scratch.path().join(number.to_string());
        let mut capture = Capture::new(&part(&from), &to).unwrap();
        let error = capture.precopy(&Cancelled::new(false)).unwrap_err();
        assert!(matches!(error, LayerError::TooDeep { limit: MAX_DEPTH, .. }), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(fs::read_to_string(deepest.join("file")).unwrap(), "deep");
}

#[test]
fn a_copy_into_what_is_there_keeps_directories_and_replaces_the_rest() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("root"));
    fs::create_dir_all(&from).unwrap();
    sh(&from, SPECIAL);
    fs::create_dir_all(to.join("upper/dir/more")).unwrap();
    fs::write(to.join("upper/hard2"), "old").unwrap();
    fs::create_dir(to.join("upper/link")).unwrap();
    let kept = fs::metadata(to.join("upper/dir")).unwrap().ino();
    let root = fs::File::open(&to).unwrap();
    copy_into(&part(&from), root.into()).unwrap();
    assert_eq!(fs::metadata(to.join("upper/dir")).unwrap().ino(), kept, "another directory");
    fs::remove_dir(to.join("upper/dir/more")).unwrap();
    let times = fs::metadata(from.join("dir")).unwrap().modified().unwrap();
    fs::File::open(to.join("upper/dir")).unwrap().set_modified(times).unwrap();
    assert_eq!(differences(&from, &to.join("upper")), Vec::<String>::new());
}

#[test]
fn a_part_ends_where_another_file_system_begins_and_ids_are_shifted() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root, which mounts and gives files away");
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    fs::create_dir_all(from.join("mounted/below")).unwrap();
    sh(&from, "mount -t tmpfs none mounted; touch mounted/other file; chown 70000:70001 file; ln file again");
    let part = Part { one_file_system: true, shift: 30_000u32.wrapping_neg(), ..part(&from)[0] };
    let copied = copy_whole(&[part], &to);
    sh(&from, "umount mounted");
    copied.unwrap();
    let names: Vec<_> = fs::read_dir(to.join("upper")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() == 2 && !names.iter().any(|name| name == "mounted"), "{names:?}");
    let (file, again) = (fs::metadata(to.join("upper/file")).unwrap(), fs::metadata(to.join("upper/again")).unwrap());
    assert_eq!((file.uid(), file.gid(), file.ino()), (40_000, 40_001, again.ino()));
}

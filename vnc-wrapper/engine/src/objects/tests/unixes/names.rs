use super::*;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Names of a server that has accepted one connection, and its client.
fn served(name: &[u8], kind: u32) -> [OwnedFd; 3] {
    let (listener, client) = (calls::socket(kind).unwrap(), calls::socket(kind).unwrap());
    calls::bind(listener.as_fd(), name).unwrap();
    calls::listen(listener.as_fd(), 5).unwrap();
    calls::connect(client.as_fd(), name).unwrap();
    let accepted = calls::accept(listener.as_fd()).unwrap();
    send(&client, b"hello");
    [listener, client, accepted]
}

/// What becomes of a file after a socket was bound to it.
type Then = fn(&Path);

#[test]
fn names_are_as_they_were_bound_wherever_their_files_are() {
    as_both_users("objects::tests::unixes::names::names_are_as_they_were_bound_wherever_their_files_are", || {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().as_os_str().as_encoded_bytes().to_vec();
        let long = [&directory[..], b"/", &vec![b'l'; calls::NAME - directory.len() - 1]].concat();
        assert_eq!(long.len(), calls::NAME);
        let path = |name: &str| place.path().join(name);
        let named = |name: &str| path(name).into_os_string().into_encoded_bytes();
        let keep: Then = |_| ();
        let rename: Then = |path| std::fs::rename(path, path.with_extension("new")).unwrap();
        let unlink: Then = |path| std::fs::remove_file(path).unwrap();
        let cases: [(Vec<u8>, Option<PathBuf>, Then); 7] = [
            (named("plain"), Some(path("plain")), keep),
            (named("renamed"), Some(path("renamed")), rename),
            (named("gone"), Some(path("gone")), unlink),
            (long.clone(), Some(PathBuf::from(std::ffi::OsString::from_vec(long))), keep),
            (b"relative".to_vec(), Some(path("relative")), keep),
            (b"./x/../moved".to_vec(), Some(path("moved")), rename),
            (format!("\0abstract {}\0more", std::process::id()).into_bytes(), None, keep),
        ];
        for (name, file, then) in cases {
            let world = World::new(|_| {
                rustix::process::chdir(place.path()).unwrap();
                std::fs::create_dir_all("x").unwrap();
                let made = served(&name, STREAM);
                if let Some(file) = &file {
                    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
                    then(file);
                }
                made.into()
            });
            let files = || {
                let mut all: Vec<_> =
                    std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                all.sort();
                all
            };
            let before = files();
            let (records, given) = again(world, 3, place.path());
            assert_eq!(records[0].name.as_deref(), Some(&name[..]));
            assert_eq!(files(), before, "no more, no less");
            assert_eq!(calls::receive(given[2].as_fd(), 9).unwrap().unwrap().bytes, b"hello");
            if let Some(place) = &records[0].place {
                use std::os::unix::fs::PermissionsExt;
                let file = Path::new(std::ffi::OsStr::from_bytes(place));
                assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
                // Who comes by the file's present name is served.
                let client = calls::socket(STREAM).unwrap();
                calls::connect(client.as_fd(), place).unwrap();
                calls::accept(given[0].as_fd()).unwrap();
            }
            for entry in std::fs::read_dir(place.path()).unwrap() {
                let entry = entry.unwrap().path();
                if entry.is_dir() { std::fs::remove_dir(entry) } else { std::fs::remove_file(entry) }.unwrap();
            }
        }
    });
}

#[test]
fn connections_wait_in_their_order() {
    as_both_users("objects::tests::unixes::names::connections_wait_in_their_order", || {
        let name = format!("\0waiting {}", std::process::id()).into_bytes();
        let world = World::new(|_| {
            let listener = calls::socket(STREAM).unwrap();
            calls::bind(listener.as_fd(), &name).unwrap();
            calls::listen(listener.as_fd(), 7).unwrap();
            let client = |own: Option<&[u8]>| {
                let client = calls::socket(STREAM).unwrap();
                own.into_iter().for_each(|own| calls::bind(client.as_fd(), own).unwrap());
                calls::connect(client.as_fd(), &name).unwrap();
                client
            };
            let first = client(Some(&[&name[..], b" client"].concat()));
            drop(client(None));
            vec![listener, first, client(None)]
        });
        let (records, given) = again(world, 3, nowhere());
        let waiting = vec![Some(2), None, Some(3)].try_into().unwrap();
        assert_eq!(records[0].state, UnixState::Listening { backlog: 7, waiting });
        let first = calls::accept(given[0].as_fd()).unwrap();
        assert!(calls::name(first.as_fd(), true).unwrap().unwrap().ends_with(b" client"));
        let closed = calls::accept(given[0].as_fd()).unwrap();
        assert_eq!(texts_and_end(&closed), (vec![], None));
        let last = calls::accept(given[0].as_fd()).unwrap();
        send(&given[2], b"hello");
        assert_eq!(calls::receive(last.as_fd(), 9).unwrap().unwrap().bytes, b"hello");
    });
}

#[test]
fn datagrams_have_the_names_of_their_senders() {
    as_both_users("objects::tests::unixes::names::datagrams_have_the_names_of_their_senders", || {
        let place = tempfile::tempdir().unwrap();
        let named = |name: &str| place.path().join(name).into_os_string().into_encoded_bytes();
        let (server, client, gone) = (named("server"), named("client"), named("gone"));
        let world = World::new(|_| {
            let bound = |name: &[u8]| {
                let socket = calls::socket(DATAGRAM).unwrap();
                calls::bind(socket.as_fd(), name).unwrap();
                socket
            };
            let (one, two, closed) = (bound(&server), bound(&client), bound(&gone));
            let nobody = calls::socket(DATAGRAM).unwrap();
            for (from, text) in [(&two, "two"), (&nobody, "nobody"), (&closed, "closed"), (&two, "again")] {
                calls::send(from.as_fd(), Some(&server), text.as_bytes(), &[], None).unwrap();
            }
            calls::connect(two.as_fd(), &server).unwrap();
            calls::connect(nobody.as_fd(), &gone).unwrap();
            drop(closed);
            std::fs::remove_file(std::ffi::OsStr::from_bytes(&gone)).unwrap();
            vec![one, two, nobody]
        });
        let (_, given) = again(world, 3, place.path());
        let got: Vec<_> = receive(&given[0]).into_iter().map(|message| (message.bytes, message.sender)).collect();
        let expected = [("two", Some(&client)), ("nobody", None), ("closed", Some(&gone)), ("again", Some(&client))];
        assert_eq!(got, expected.map(|(text, name)| (text.as_bytes().to_vec(), name.cloned())));
        send(&given[1], b"more");
        assert_eq!(texts(&given[0]), [b"more"]);
        let refused = calls::send(given[2].as_fd(), None, b"x", &[], None).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
        calls::send(given[0].as_fd(), Some(&client), b"answer", &[], None).unwrap();
        assert_eq!(texts(&given[1]), [b"answer"]);
    });
}

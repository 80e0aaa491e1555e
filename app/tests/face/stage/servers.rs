//! Displays to look at: a real one, one that only writes down what is said, and a wire that can be cut.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use freezeframe_rfb::Framebuffer;

use super::{Program, Stage, start_x, xdotool_on};

/// Xtigervnc on a Unix socket.
pub(crate) struct VncServer {
    pub(crate) socket: PathBuf,
    pub(crate) display: String,
    _server: Program,
}

impl VncServer {
    pub(crate) fn start(stage: &Stage, size: &str) -> Self {
        let socket = stage.path("rfb");
        let path = socket.to_str().unwrap();
        let arguments =
            ["-geometry", size, "-depth", "24", "-rfbport", "-1", "-rfbunixpath", path, "-SecurityTypes", "None"];
        let (server, display) = start_x(stage.directory.path(), "Xtigervnc", &arguments);
        Self { socket, display, _server: server }
    }

    pub(crate) fn solid_root(&self, colour: &str) {
        let status = Command::new("xsetroot").args(["-solid", colour]).env("DISPLAY", &self.display).status().unwrap();
        assert!(status.success());
    }

    /// Where its pointer is.
    pub(crate) fn pointer(&self) -> [u16; 2] {
        let said = xdotool_on(&self.display, &["getmouselocation", "--shell"]);
        ["X=", "Y="].map(|name| said.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap())
    }

    /// An xterm that runs this, at this place.
    pub(crate) fn xterm(&self, geometry: &str, script: &str) -> Program {
        let mut command = Command::new("xterm");
        command.args(["-geometry", geometry, "-e", "sh", "-c", script]).env("DISPLAY", &self.display);
        Program::start(&mut command)
    }

    pub(crate) async fn grab(&self) -> Framebuffer {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.unwrap();
        freezeframe_rfb::grab(stream).await.unwrap()
    }
}

/// A socket that leads to another one until it is cut.
pub(crate) struct Relay {
    path: PathBuf,
    target: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub(crate) fn start(path: PathBuf, target: &Path) -> Self {
        let task = Self::spawn(&path, target);
        Self { path, target: target.to_owned(), task }
    }

    fn spawn(path: &Path, target: &Path) -> tokio::task::JoinHandle<()> {
        let _ = std::fs::remove_file(path);
        let (listener, target) = (tokio::net::UnixListener::bind(path).unwrap(), target.to_owned());
        tokio::spawn(async move {
            let mut wires = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = tokio::net::UnixStream::connect(&target).await.unwrap();
                wires.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            }
        })
    }

    /// Ends every connection and takes no more.
    pub(crate) async fn cut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        let _ = std::fs::remove_file(&self.path);
    }

    /// Takes connections again.
    pub(crate) fn mend(&mut self) {
        self.task = Self::spawn(&self.path, &self.target);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a client said after the handshake, message for message, without requests for updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Key {
        down: bool,
        keysym: u32,
    },
    Pointer {
        buttons: u8,
        x: u16,
        y: u16,
    },
    /// The bytes of a text of the clipboard.
    CutText(usize),
    DesktopSize {
        width: u16,
        height: u16,
    },
}

/// An update that fills the whole picture with one colour, in the Raw encoding.
pub(crate) fn solid_update(width: u16, height: u16, [r, g, b]: [u8; 3]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 1];
    bytes.extend([0, 0, width, height].into_iter().flat_map(u16::to_be_bytes));
    bytes.extend([0; 4]);
    bytes.extend([b, g, r, 0].repeat(usize::from(width) * usize::from(height)));
    bytes
}

/// A server that shows one picture and writes down what is said to it.
pub(crate) struct FakeServer {
    pub(crate) socket: PathBuf,
    said: Arc<Mutex<Vec<Said>>>,
}

impl FakeServer {
    /// The first connection is sent the first answer after its handshake, right or wrong, the next the next, and all
    /// later ones the last.
    pub(crate) fn start(stage: &Stage, width: u16, height: u16, answers: Vec<Vec<u8>>) -> Self {
        let socket = stage.path("fake");
        let listener = UnixListener::bind(&socket).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&said);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (notes, answer) = (Arc::clone(&notes), answers[number.min(answers.len() - 1)].clone());
                // A client that leaves is no trouble of the server's.
                std::thread::spawn(move || serve(stream.unwrap(), width, height, &answer, &notes));
            }
        });
        Self { socket, said }
    }

    pub(crate) fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: UnixStream,
    width: u16,
    height: u16,
    answer: &[u8],
    notes: &Mutex<Vec<Said>>,
) -> std::io::Result<()> {
    stream.write_all(b"RFB 003.008\n")?;
    stream.read_exact(&mut [0; 12])?;
    stream.write_all(&[1, 1])?;
    stream.read_exact(&mut [0; 1])?;
    stream.write_all(&[0; 4])?;
    stream.read_exact(&mut [0; 1])?;
    stream.write_all(&width.to_be_bytes())?;
    stream.write_all(&height.to_be_bytes())?;
    stream.write_all(&[0; 16])?;
    stream.write_all(&[0, 0, 0, 4, b'f', b'a', b'k', b'e'])?;
    stream.write_all(answer)?;
    loop {
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        match kind[0] {
            0 => stream.read_exact(&mut [0; 19])?,
            2 => {
                let mut head = [0; 3];
                stream.read_exact(&mut head)?;
                let count = usize::from(u16::from_be_bytes([head[1], head[2]]));
                stream.read_exact(&mut vec![0; count * 4])?;
            }
            3 => stream.read_exact(&mut [0; 9])?,
            4 => {
                let mut key = [0; 7];
                stream.read_exact(&mut key)?;
                let keysym = u32::from_be_bytes([key[3], key[4], key[5], key[6]]);
                notes.lock().unwrap().push(Said::Key { down: key[0] != 0, keysym });
            }
            5 => {
                let mut pointer = [0; 5];
                stream.read_exact(&mut pointer)?;
                let [buttons, a, b, c, d] = pointer;
                let (x, y) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                notes.lock().unwrap().push(Said::Pointer { buttons, x, y });
            }
            6 => {
                let mut head = [0; 7];
                stream.read_exact(&mut head)?;
                let length = i32::from_be_bytes([head[3], head[4], head[5], head[6]]).unsigned_abs() as usize;
                stream.read_exact(&mut vec![0; length])?;
                notes.lock().unwrap().push(Said::CutText(length));
            }
            251 => {
                let mut size = [0; 23];
                stream.read_exact(&mut size)?;
                let [_, a, b, c, d, ..] = size;
                let (width, height) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                notes.lock().unwrap().push(Said::DesktopSize { width, height });
            }
            other => panic!("the app sent a message of type {other}"),
        }
    }
}

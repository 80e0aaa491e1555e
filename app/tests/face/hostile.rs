//! Servers that lie, and servers that never stop: the app lives on, says a sentence, and stays within its memory.

use std::io::{Read as _, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use crate::stage::{Access, Bus, Stage, solid_update, wait_for};

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];
/// What the app may touch at most. GTK and its fonts take 150 MiB; a picture of the largest size 136 MiB, and one more
/// may be on its way to the screen.
const MOST_MEMORY: u64 = 700 << 20;
/// A flood ends after so many bytes: far more than the app may keep.
const FLOOD: usize = 1 << 30;

type Lie = fn(&mut dyn Write) -> std::io::Result<()>;

/// One rectangle's head.
fn rect(sides: [u16; 4], encoding: i32) -> Vec<u8> {
    let mut bytes: Vec<u8> = sides.into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.extend(encoding.to_be_bytes());
    bytes
}

/// An update of one rectangle.
fn update(sides: [u16; 4], encoding: i32, rest: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1], &rect(sides, encoding)[..], rest].concat()
}

/// Writes the same bytes until a gibibyte is sent or nobody takes more.
fn flood(to: &mut dyn Write, part: &[u8]) -> std::io::Result<()> {
    let block = part.repeat((1 << 16) / part.len() + 1);
    for _ in 0..FLOOD / block.len() {
        to.write_all(&block)?;
    }
    Ok(())
}

/// What Tight calls a length.
fn compact(length: usize) -> [u8; 3] {
    [length as u8 & 0x7f | 0x80, (length >> 7) as u8 & 0x7f | 0x80, (length >> 14) as u8]
}

/// Before the handshake is over.
const EARLY: [(&str, Lie); 3] = [
    ("a greeting without end", |to| flood(to, b"RFB 003.008 ")),
    ("a reason without end", |to| {
        to.write_all(b"RFB 003.008\n\0\xff\xff\xff\xff")?;
        flood(to, b"no ")
    }),
    ("255 security types, none of them known", |to| {
        to.write_all(b"RFB 003.008\n\xff")?;
        to.write_all(&[77; 255])
    }),
];

/// After it.
const LATE: [(&str, Lie); 11] = [
    ("a picture of 65535 x 65535", |to| to.write_all(&update([0, 0, 0xffff, 0xffff], -223, &[]))),
    ("the largest pictures in turn with small ones", |to| {
        for _ in 0..40 {
            to.write_all(&update([0, 0, 8192, 4352], -223, &[]))?;
            // A single pixel makes the app show the whole.
            to.write_all(&update([0, 0, 1, 1], 0, &[0; 4]))?;
            to.write_all(&update([0, 0, 1, 1], -223, &[]))?;
        }
        Ok(())
    }),
    ("a rectangle outside the picture", |to| to.write_all(&update([0xfff0, 3, 100, 100], 0, &[0; 64]))),
    ("zlib data of 4 MiB that become more and more", |to| {
        let zeros = vec![0u8; 16 << 20];
        let mut packed = Vec::new();
        flate2_zlib(&zeros, &mut packed);
        let length = packed.len().min((4 << 20) - 1);
        let mut bytes = update([0, 0, 500, 400], 7, &[0]);
        bytes.extend(compact(length));
        bytes.extend(&packed[..length]);
        to.write_all(&bytes)
    }),
    ("zlib data that do not end", |to| {
        to.write_all(&update([0, 0, 500, 400], 7, &[0]))?;
        to.write_all(&compact((4 << 20) - 1))?;
        flood(to, &[0x78, 0x01, 0, 0, 0, 0xff, 0xff])
    }),
    ("a clipboard that unpacks to 4 GiB", |to| {
        let mut packed = Vec::new();
        flate2_zlib(&[&u32::MAX.to_be_bytes()[..], &vec![b'x'; 8 << 20]].concat(), &mut packed);
        let mut bytes = vec![3, 0, 0, 0];
        bytes.extend((-(packed.len() as i32 + 4)).to_be_bytes());
        bytes.extend((1u32 << 28 | 1).to_be_bytes());
        bytes.extend(packed);
        to.write_all(&bytes)
    }),
    ("a text without end", |to| {
        to.write_all(&[3, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff])?;
        flood(to, b"text ")
    }),
    ("an update of 65535 cursors", |to| {
        to.write_all(&[0, 0, 0xff, 0xff])?;
        let cursor = [rect([0, 0, 512, 512], -239), vec![7; 512 * 512 * 4 + 64 * 512]].concat();
        for _ in 0..400 {
            to.write_all(&cursor)?;
        }
        Ok(())
    }),
    ("bells without end", |to| {
        for _ in 0..20_000 {
            to.write_all(&[2])?;
        }
        Ok(())
    }),
    ("a clipboard that asks without end", |to| {
        let can = [&[3, 0, 0, 0][..], &(-4i32).to_be_bytes(), &(1u32 << 24 | 1).to_be_bytes()].concat();
        let wants = [&[3, 0, 0, 0][..], &(-4i32).to_be_bytes(), &(1u32 << 25 | 1).to_be_bytes()].concat();
        to.write_all(&can)?;
        to.write_all(&wants.repeat(50_000))
    }),
    ("noise", |to| {
        // A generator of the simplest kind, so that every run sends the same.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(1 << 20)
        .collect();
        to.write_all(&noise)
    }),
];

fn flate2_zlib(from: &[u8], to: &mut Vec<u8>) {
    // Stored blocks would not unpack to more than they are: this needs a real packer, and `image` brings one for PNG.
    let mut encoder = flate2::write::ZlibEncoder::new(to, flate2::Compression::best());
    encoder.write_all(from).unwrap();
    encoder.finish().unwrap();
}

/// Every connection is told the next lie; when there is none left, the truth, for good.
fn start(stage: &Stage) -> (PathBuf, std::sync::mpsc::Receiver<&'static str>) {
    let socket = stage.path("hostile");
    let listener = UnixListener::bind(&socket).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let early = EARLY.iter().map(|(name, lie)| (*name, *lie, true));
        let late = LATE.iter().map(|(name, lie)| (*name, *lie, false));
        let mut lies = early.chain(late);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lie = lies.next();
            let _ = tell.send(lie.map_or("the truth", |(name, ..)| name));
            match lie {
                // An app that hangs up is what the lie deserves. One at a time: the next comes when this is over.
                Some((_, lie, early)) => {
                    let _ = if early { lie(&mut stream) } else { greet(&mut stream).and_then(|()| lie(&mut stream)) };
                }
                None => {
                    std::thread::spawn(move || {
                        greet(&mut stream)?;
                        stream.write_all(&solid_update(500, 400, BLUE))?;
                        std::io::copy(&mut stream, &mut std::io::sink())
                    });
                }
            }
        }
    });
    (socket, told)
}

fn greet(stream: &mut UnixStream) -> std::io::Result<()> {
    stream.write_all(b"RFB 003.008\n")?;
    stream.read_exact(&mut [0; 12])?;
    stream.write_all(&[1, 1])?;
    stream.read_exact(&mut [0; 1])?;
    stream.write_all(&[0; 4])?;
    stream.read_exact(&mut [0; 1])?;
    stream.write_all(&[1, 244, 1, 144])?;
    stream.write_all(&[0; 16])?;
    stream.write_all(&[0, 0, 0, 3, b'b', b'a', b'd'])
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_and_floods_harm_nobody() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let (socket, told) = start(&stage);
    let mut app = stage.app(&["--socket", socket.to_str().unwrap()]);

    // From the first lie on there is a sentence about what happens.
    access.wait("the word that it is tried", |one| one.name.starts_with("Connecting to the desktop…\n"));
    let mut seen = Vec::new();
    while seen.last() != Some(&"the truth") {
        let name = wait_for("the next connection", || told.try_recv().ok());
        seen.push(name);
        assert!(app.running(), "the app ended; its server had told {seen:?}");
        let memory = app.memory();
        assert!(memory < MOST_MEMORY, "{} MiB after {seen:?}", memory >> 20);
    }
    assert_eq!(seen.len(), EARLY.len() + LATE.len() + 1);
    wait_for("the desktop after the lies", || stage.find(BLUE));
    let memory = app.memory();
    eprintln!("at most {} MiB were touched", memory >> 20);
    assert!(memory < MOST_MEMORY, "{} MiB", memory >> 20);
    stage.keep("after-floods");
}

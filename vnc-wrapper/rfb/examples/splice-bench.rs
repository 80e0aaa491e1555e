//! What the splice costs beside a plain relay of bytes: processor time, and the time from a key to its picture.
//!
//! `splice-bench SOCKET SECONDS moving` with something that moves on the display of an RFB server at SOCKET, `splice-bench
//! SOCKET SECONDS still` with a terminal under the pointer and nothing else. Each way is measured in turn, in a thread of
//! its own.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use freezeframe_rfb::splice::{Outlet, Server};
use freezeframe_rfb::{Client, ClientMessage, Event, encoding};
use tokio::net::UnixStream;

/// A display that did not change for so long is still.
const REST: Duration = Duration::from_millis(60);

#[derive(Debug)]
struct Socket(PathBuf);

impl Server for Socket {
    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.0).await
    }
}

/// Processor time of a thread in nanoseconds (proc_pid_schedstat: the first field).
fn spent(thread: &Path) -> u64 {
    std::fs::read_to_string(thread.join("schedstat")).unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn between(socket: PathBuf, splice: bool) -> (std::os::unix::net::UnixStream, PathBuf) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut viewer = UnixStream::from_std(theirs).unwrap();
            if splice {
                let _ = Outlet::new(Socket(socket)).serve(viewer).await;
            } else {
                let mut server = UnixStream::connect(socket).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut viewer, &mut server).await;
            }
        });
    });
    (ours, Path::new("/proc").join(told.recv().unwrap()))
}

async fn measure(name: &str, socket: PathBuf, splice: bool, time: Duration, still: bool, encodings: &[i32]) {
    let (stream, thread) = between(socket, splice);
    stream.set_nonblocking(true).unwrap();
    let mut client = Client::connect(UnixStream::from_std(stream).unwrap(), encodings).await.unwrap();
    client.request_update(false).await.unwrap();
    let (start, before, mut updates, mut pixels) = (Instant::now(), spent(&thread), 0u32, 0u64);
    let (mut latencies, mut pressed) = (Vec::new(), None::<Instant>);
    while start.elapsed() < time {
        let event = match tokio::time::timeout(REST, client.next_event()).await {
            Ok(event) => event.unwrap(),
            // Whatever the last key did is over.
            Err(_) if still => {
                let key = [true, false].map(|down| ClientMessage::Key { down, keysym: 0x61 });
                client.send(&key).await.unwrap();
                pressed = Some(Instant::now());
                continue;
            }
            Err(_) => continue,
        };
        if let Event::Updated { area, .. } = event {
            updates += 1;
            pixels += area;
            if let Some(at) = pressed.take() {
                latencies.push(at.elapsed());
            }
            client.request_update(true).await.unwrap();
        }
    }
    latencies.sort_unstable();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{name}: {:.0} updates/s, {:.1} Mpixel/s, {:.2} % of a core, key to update {:.2?} (median of {})",
        f64::from(updates) / seconds,
        pixels as f64 / 1e6 / seconds,
        (spent(&thread) - before) as f64 / 1e7 / seconds,
        latencies.get(latencies.len() / 2).copied().unwrap_or_default(),
        latencies.len(),
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let socket = PathBuf::from(arguments.next().unwrap());
    let time = Duration::from_secs(arguments.next().unwrap().parse().unwrap());
    let still = arguments.next().unwrap() == "still";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tight: &[i32] = &[encoding::TIGHT, encoding::COPY_RECT, encoding::LAST_RECT];
    for _ in 0..2 {
        for (form, encodings) in [("Raw", encoding::LIVE), ("Tight", tight)] {
            for splice in [false, true] {
                let name = format!("{form}, {}", if splice { "splice" } else { "relay " });
                runtime.block_on(measure(&name, socket.clone(), splice, time, still, encodings));
            }
        }
    }
}

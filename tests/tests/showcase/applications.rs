//! The applications: how each is started, where its window is, how it takes a word, and how its text is read.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Geometry, QUIET, Stage, eventually, keys};

const SOON: Duration = Duration::from_secs(60);
/// The left Alt key.
const ALT: u32 = 0xffe9;

/// One of them.
pub(crate) struct Application {
    pub(crate) name: &'static str,
    /// What its window is called.
    pub(crate) window: &'static str,
    pub(crate) place: Geometry,
    /// Puts what it needs into the session.
    pub(crate) prepare: fn(&Stage, &str) -> Result<()>,
    pub(crate) command: &'static [&'static str],
    pub(crate) type_word: fn(&Stage, &str, &Application, &str) -> Result<()>,
    /// What it has taken so far.
    pub(crate) text: fn(&Stage, &str, &Application) -> Result<String>,
}

const fn place(x: u16, y: u16, width: u16, height: u16) -> Geometry {
    Geometry { x, y, width, height }
}

/// A terminal whose title programs cannot change.
macro_rules! terminal {
    ($title:literal, $($word:expr),+) => {
        &["xterm", "-xrm", "XTerm*allowTitleOps: false", "-geometry", "50x12", "-T", $title, "-e", $($word),+]
    };
}

pub(crate) fn all() -> Vec<Application> {
    vec![
        Application {
            name: "the movie player",
            window: "^movie$",
            place: place(10, 40, 400, 300),
            prepare: nothing,
            command: &[
                "mpv",
                "--no-config",
                "--ao=null",
                "--vo=x11",
                "--title=movie",
                "--geometry=400x300",
                "--input-ipc-server=/tmp/mpv",
                "--script=/home/user/movie.lua",
                "av://lavfi:testsrc=size=400x300:rate=15",
            ],
            type_word: one_by_one,
            text: |stage, session, _| stage.file_inside(session, "/tmp/of-movie"),
        },
        Application {
            name: "Firefox",
            window: "^count:",
            place: place(430, 40, 560, 420),
            prepare: |stage, session| stage.put(session, "/home/user/page.html", PAGE),
            command: &["firefox-esr", "-width", "560", "-height", "420", "file:///home/user/page.html"],
            type_word: keys_into,
            text: keys_in_title,
        },
        Application {
            name: "Chromium",
            window: "^pages:",
            place: place(1600, 40, 500, 420),
            prepare: |stage, session| {
                stage.put(session, "/home/user/pages.html", &PAGE.replace("'count:'", "'pages:'"))
            },
            command: &[
                "chromium",
                "--no-first-run",
                "--window-position=1600,40",
                "--window-size=500,420",
                "file:///home/user/pages.html",
            ],
            type_word: keys_into,
            text: keys_in_title,
        },
        Application {
            name: "Thunderbird",
            window: "^Write: ",
            place: place(1010, 40, 570, 420),
            prepare: |stage, session| {
                stage.inside(session, &["mkdir", "-p", "/home/user/mail"])?;
                stage.put(session, "/home/user/mail/user.js", MAIL)
            },
            command: &["thunderbird", "--profile", "/home/user/mail", "-compose", "to='a@example.org',subject='x'"],
            type_word: |stage, session, own, word| {
                let window = stage.wait_for_window(session, own.window)?;
                let mut viewer = stage.click_on(session, &window)?;
                // To the subject, which is the window's title.
                viewer.press(&[ALT, u32::from('s')])?;
                viewer.press(&[keys::END])?;
                viewer.type_text(word)?;
                eventually(SOON, "the subject has it", || {
                    Ok(stage.window(session, own.window)?.filter(|w| w.title.contains(word)))
                })
                .map(drop)
            },
            text: |stage, session, own| {
                let title = stage.window(session, own.window)?.context("its window is gone")?.title;
                let subject = title.strip_prefix("Write: x").and_then(|rest| rest.strip_suffix(" - Thunderbird"));
                subject.map(str::to_owned).with_context(|| title.clone())
            },
        },
        Application {
            name: "LibreOffice Writer",
            window: "LibreOffice Writer$",
            // So that a click into its middle is below the header of the page.
            place: place(10, 380, 600, 500),
            prepare: |stage, session| stage.put(session, "/home/user/text.fodt", DOCUMENT),
            command: &[
                "soffice",
                "--writer",
                "--norestore",
                "--nologo",
                "--nofirststartwizard",
                "/home/user/text.fodt",
            ],
            type_word: at_the_end,
            text: |stage, session, own| {
                press(stage, session, own, &[&[keys::CONTROL, u32::from('s')]])?;
                eventually(SOON, "the document is written", || {
                    let document = stage.inside(session, &["cat", "/home/user/text.fodt"])?;
                    let body = document.split_once("<office:body>").map_or("", |(_, body)| body);
                    let text: String = body.split('<').filter_map(|t| t.split_once('>')).map(|(_, t)| t).collect();
                    Ok(text.contains("saved").then(|| text.trim().to_owned()))
                })
            },
        },
        Application {
            name: "Wine's notepad",
            window: "Notepad$",
            place: place(630, 500, 440, 300),
            prepare: |stage, session| {
                stage.inside(session, &["mkdir", "-p", "/home/user/.wine/drive_c"])?;
                stage.inside(session, &["touch", "/home/user/.wine/drive_c/note.txt"]).map(drop)
            },
            command: &["wine", "notepad", "C:\\note.txt"],
            type_word: at_the_end,
            text: |stage, session, own| {
                press(stage, session, own, &[&[keys::CONTROL, u32::from('s')]])?;
                stage.file_inside(session, "/home/user/.wine/drive_c/note.txt")
            },
        },
        Application {
            name: "make",
            window: "^make$",
            place: place(1090, 500, 460, 200),
            prepare: |stage, session| {
                stage.put(session, "/home/user/Makefile", "main: main.c\n\tgcc -O1 -o main main.c\n")?;
                stage.put(session, "/home/user/main.c", "int main(void) { return 0; }\n")
            },
            command: terminal!("make", "bash", "-c", MAKE),
            type_word: keys_into,
            text: |stage, session, own| {
                press(stage, session, own, &[&[keys::RETURN]])?;
                stage.file_inside(session, "/tmp/of-make")
            },
        },
        Application {
            name: "vim",
            window: "^vim$",
            place: place(1090, 740, 460, 200),
            prepare: nothing,
            // What a terminal says of its focus and of itself is taken for keys in insert mode, by a vim that is compatible
            // with vi, and by any when it comes in pieces, as on a slow machine.
            command: terminal!("vim", "vim", "-N", "-u", "NONE", "--cmd", QUIET, "-c", "startinsert"),
            type_word: keys_into,
            text: |stage, session, own| {
                let window = stage.wait_for_window(session, own.window)?;
                let mut viewer = stage.click_on(session, &window)?;
                viewer.press(&[keys::CONTROL, u32::from('o')])?;
                viewer.type_text(":w! /tmp/of-vim\n")?;
                stage.file_inside(session, "/tmp/of-vim")
            },
        },
        Application {
            name: "emacs",
            window: "^emacs$",
            place: place(630, 830, 440, 330),
            prepare: nothing,
            command: &["emacs", "-Q", "--title", "emacs", "/tmp/of-emacs"],
            type_word: at_the_end,
            text: |stage, session, own| {
                let (x, s) = (u32::from('x'), u32::from('s'));
                press(stage, session, own, &[&[keys::CONTROL, x], &[keys::CONTROL, s]])?;
                stage.file_inside(session, "/tmp/of-emacs")
            },
        },
        Application {
            name: "screen",
            window: "^screen$",
            place: place(10, 940, 290, 200),
            prepare: |stage, session| {
                stage.inside(session, &["mkdir", "-m", "700", "/home/user/screens"])?;
                stage.put(
                    session,
                    "/home/user/.screenrc",
                    "startup_message off\nhardstatus alwayslastline \"%H %t %c:%s\"\n",
                )
            },
            command: terminal!(
                "screen",
                "sh",
                "-c",
                "SCREENDIR=~/screens exec screen -S show bash -c 'read a; echo $a > /tmp/of-screen'"
            ),
            type_word: keys_into,
            text: |stage, session, own| {
                // Its own picture, with the line at the bottom.
                let copy = "SCREENDIR=~/screens screen -S show -X hardcopy /tmp/hardcopy";
                stage.inside(session, &["sh", "-c", copy])?;
                let picture = stage.file_inside(session, "/tmp/hardcopy")?;
                ensure!(picture.contains("savedmore"), "{picture}");
                press(stage, session, own, &[&[keys::RETURN]])?;
                stage.file_inside(session, "/tmp/of-screen")
            },
        },
        Application {
            name: "tmux",
            window: "^tmux$",
            place: place(320, 940, 290, 200),
            prepare: nothing,
            command: terminal!("tmux", "tmux", "new", "exec bash -c 'read a; echo $a > /tmp/of-tmux; read a'"),
            type_word: keys_into,
            text: |stage, session, own| {
                let pane = stage.inside(session, &["tmux", "capture-pane", "-p"])?;
                ensure!(pane.contains("savedmore"), "{pane}");
                press(stage, session, own, &[&[keys::RETURN]])?;
                stage.file_inside(session, "/tmp/of-tmux")
            },
        },
        Application {
            name: "gdb",
            window: "^gdb$",
            place: place(1090, 960, 460, 200),
            prepare: nothing,
            command: terminal!("gdb", "gdb", "-q", "-ex", "set confirm off", "-ex", "run", "--args", "sleep", "100000"),
            type_word: keys_into,
            text: |stage, session, own| {
                // Whatever was typed becomes the argument of a command of gdb's: its line is edited at its beginning.
                let window = stage.wait_for_window(session, own.window)?;
                let mut viewer = stage.click_on(session, &window)?;
                viewer.press(&[keys::CONTROL, u32::from('a')])?;
                viewer.type_text("shell echo ")?;
                viewer.press(&[keys::END])?;
                viewer.type_text(" > /tmp/of-gdb\n")?;
                stage.file_inside(session, "/tmp/of-gdb")
            },
        },
    ]
}

fn nothing(stage: &Stage, session: &str) -> Result<()> {
    // mpv's keys, written down one by one.
    stage.put(session, "/home/user/movie.lua", MOVIE)
}

/// Clicks into its window and types.
fn keys_into(stage: &Stage, session: &str, own: &Application, word: &str) -> Result<()> {
    let window = stage.wait_for_window(session, own.window)?;
    stage.click_on(session, &window)?.type_text(word)
}

/// The keys that a page has taken and shows in its title.
fn keys_in_title(stage: &Stage, session: &str, own: &Application) -> Result<String> {
    let title = stage.window(session, own.window)?.context("its window is gone")?.title;
    let keys = title.split_once(" keys:").map_or("", |(_, rest)| rest);
    Ok(keys.split(' ').next().unwrap_or_default().to_owned())
}

/// The same, each key when the one before was taken: a player that is late with its pictures passes keys over.
fn one_by_one(stage: &Stage, session: &str, own: &Application, word: &str) -> Result<()> {
    let mut taken = stage.inside_any(session, &["cat", "/tmp/of-movie"])?.text();
    for key in word.chars() {
        keys_into(stage, session, own, &key.to_string())?;
        taken.push(key);
        eventually(SOON, "the key is taken", || Ok(((own.text)(stage, session, own)? == taken).then_some(())))?;
    }
    Ok(())
}

/// The same in an editor, where the click has moved the cursor.
fn at_the_end(stage: &Stage, session: &str, own: &Application, word: &str) -> Result<()> {
    let window = stage.wait_for_window(session, own.window)?;
    let mut viewer = stage.click_on(session, &window)?;
    viewer.press(&[keys::CONTROL, keys::END])?;
    viewer.type_text(word)
}

fn press(stage: &Stage, session: &str, own: &Application, chords: &[&[u32]]) -> Result<()> {
    let window = stage.wait_for_window(session, own.window)?;
    let mut viewer = stage.click_on(session, &window)?;
    for chord in chords {
        viewer.press(chord)?;
    }
    viewer.sync()
}

/// Interrupts what runs in its terminal, and types.
pub(crate) fn interrupt_and_type(stage: &Stage, session: &str, own: &Application, text: &str) -> Result<()> {
    press(stage, session, own, &[&[keys::CONTROL, u32::from('c')]])?;
    keys_into(stage, session, own, text)
}

/// How often make has built.
pub(crate) fn made(stage: &Stage, session: &str) -> Result<u64> {
    stage.file_inside(session, "/tmp/made")?.trim().parse().context("make's count")
}

/// Where the movie is, in milliseconds.
pub(crate) fn film(stage: &Stage, session: &str) -> Result<u64> {
    let script = "import json, socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('/tmp/mpv')\n\
                  s.sendall(b'{\"command\":[\"get_property\",\"time-pos\"]}\\n')\n\
                  for line in s.makefile():\n    m = json.loads(line)\n    if 'data' in m: break\n\
                  print(int(m['data'] * 1000))";
    stage.inside(session, &["python3", "-c", script])?.trim().parse().context("the movie's time")
}

const MAKE: &str = "n=0; cd; (while :; do make -B; n=$((n+1)); echo $n > /tmp/.made; mv /tmp/.made /tmp/made; done) & read a; \
                    echo $a > /tmp/of-make; wait";

const MOVIE: &str = "local typed = ''
for key in ('savedmore'):gmatch('.') do
    mp.add_forced_key_binding(key, function()
        typed = typed .. key
        local f = io.open('/tmp/of-movie', 'w'); f:write(typed); f:close()
    end)
end
";

const PAGE: &str = "<!DOCTYPE html><meta charset=utf-8><title>count</title><body style='font-size:60px'><script>
let count = 0, keys = '';
function show() { document.title = 'count:' + count + ' keys:' + keys; document.body.textContent = count; }
setInterval(() => { count++; show(); }, 100);
addEventListener('keydown', e => { if (e.key.length == 1) keys += e.key; show(); });
</script>";

const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<office:document xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\"
 xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\" office:version=\"1.3\"
 office:mimetype=\"application/vnd.oasis.opendocument.text\"><office:body><office:text><text:p/></office:text></office:body>
</office:document>";

/// An account that is never asked for mail.
const MAIL: &str = "user_pref('mail.account.account1.server', 'server1');
user_pref('mail.account.account2.server', 'server2');
user_pref('mail.account.account2.identities', 'id1');
user_pref('mail.accountmanager.accounts', 'account1,account2');
user_pref('mail.accountmanager.defaultaccount', 'account2');
user_pref('mail.accountmanager.localfoldersserver', 'server1');
user_pref('mail.identity.id1.fullName', 'User');
user_pref('mail.identity.id1.useremail', 'user@example.org');
user_pref('mail.identity.id1.smtpServer', 'smtp1');
user_pref('mail.identity.id1.valid', true);
user_pref('mail.server.server1.directory-rel', '[ProfD]Mail/Local Folders');
user_pref('mail.server.server1.hostname', 'Local Folders');
user_pref('mail.server.server1.name', 'Local Folders');
user_pref('mail.server.server1.type', 'none');
user_pref('mail.server.server1.userName', 'nobody');
user_pref('mail.server.server2.directory-rel', '[ProfD]Mail/example.org');
user_pref('mail.server.server2.hostname', 'example.org');
user_pref('mail.server.server2.name', 'user@example.org');
user_pref('mail.server.server2.type', 'pop3');
user_pref('mail.server.server2.userName', 'user');
user_pref('mail.server.server2.check_new_mail', false);
user_pref('mail.server.server2.login_at_startup', false);
user_pref('mail.smtpserver.smtp1.hostname', 'example.org');
user_pref('mail.smtpserver.smtp1.username', 'user');
user_pref('mail.smtpservers', 'smtp1');
user_pref('mail.provider.suppress_dialog_on_startup', true);
user_pref('mail.shell.checkDefaultClient', false);
user_pref('mail.spotlight.firstRunDone', true);
user_pref('mail.rights.version', 1);
user_pref('mailnews.start_page.enabled', false);
user_pref('mailnews.start_page_override.mstone', 'ignore');
user_pref('datareporting.policy.dataSubmissionEnabled', false);
user_pref('datareporting.policy.dataSubmissionPolicyBypassNotification', true);
user_pref('mail.compose.autosave', false);
";

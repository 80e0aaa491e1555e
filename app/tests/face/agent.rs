//! The app and the agent: the list, opening a session, a session that ends, an agent that goes and comes.

use crate::stage::{Bus, FakeAgent, Relay, Stage, VncServer, wait_for};

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];
/// libadwaita's accent colour, which only the button of a status page has here.
const ACCENT: [u8; 3] = [0x35, 0x84, 0xe4];

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_listed_opened_and_ends() {
    let bus = Bus::start();
    let stage = Stage::new(Some(&bus.address));
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let mut relay = Relay::start(stage.path("relay"), &server.socket);
    let agent = FakeAgent::start(&bus).await;
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    let empty = wait_for("the word that there is none", || {
        let picture = stage.picture();
        (picture == stage.picture()).then_some(picture)
    });
    stage.keep("empty");

    // Sessions appear by themselves, and Return opens the first: the keyboard is there already.
    agent.add("amber-fox", &stage.path("relay")).await;
    agent.add("blue-heron", &stage.path("relay")).await;
    wait_for("the list", || (stage.picture() != empty).then_some(()));
    stage.xdotool(&["key", "Return"]);
    stage.wait_for_title("amber-fox");
    wait_for("its picture", || stage.find(BLUE));

    // The agent goes: the desktop stays, since it hangs on the display alone. Another agent comes.
    agent.stop().await;
    server.solid_root("#10a040");
    wait_for("a desktop without an agent", || stage.find([0x10, 0xa0, 0x40]));
    let agent = FakeAgent::start(&bus).await;
    agent.add("amber-fox", &stage.path("relay")).await;
    agent.add("blue-heron", &stage.path("relay")).await;
    relay.cut().await;
    relay.mend();
    server.solid_root("#3a7bd5");
    wait_for("the desktop by way of the new agent", || stage.find(BLUE));

    // The session ends: the app says so, and its one button leads back.
    agent.remove("amber-fox").await;
    relay.cut().await;
    wait_for("the word that it ended", || stage.find(ACCENT));
    stage.keep("ended");
    stage.xdotool(&["key", "Return"]);
    stage.wait_for_title("Freezeframe");
    wait_for("the list", || stage.find(ACCENT).is_none().then_some(()));
    stage.keep("list");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_out_of_reach_is_told_and_found_again() {
    let bus = Bus::start();
    let stage = Stage::new(Some(&bus.address));
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    wait_for("the word that the agent does not answer", || stage.find(ACCENT));
    stage.keep("unreachable");
    let agent = FakeAgent::start(&bus).await;
    agent.add("amber-fox", &server.socket).await;
    wait_for("the list", || stage.find(ACCENT).is_none().then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_by_name_in_the_instance_that_runs() {
    let bus = Bus::start();
    let stage = Stage::new(Some(&bus.address));
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let agent = FakeAgent::start(&bus).await;
    agent.add("amber-fox", &server.socket).await;
    let _app = stage.app(&["--session", "amber-fox"]);
    stage.wait_for_title("amber-fox");
    wait_for("its picture", || stage.find(BLUE));

    // A second call goes to the first process, and ends.
    let mut second = stage.app(&["--session", "no-such"]);
    stage.wait_for_title("no-such");
    wait_for("the word that there is none", || stage.find(ACCENT));
    stage.keep("no-such-session");
    wait_for("the second call's end", || (!second.running()).then_some(()));
}

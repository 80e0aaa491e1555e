//! Sessions that are saved by themselves.

use std::fs;

use freezeframe_api::Manager1Proxy;
use freezeframe_api::records::AutomaticTrouble;
use serde_json::{Value, json};

use crate::world::{World, until};

/// A session that was started long ago.
pub(crate) fn make_old(world: &World, session: &str) {
    let file = world.data().join("sessions").join(session).join("session.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    record["started"] = json!("2026-01-02T03:04:05Z");
    fs::write(&file, record.to_string()).unwrap();
}

fn configure(world: &World, text: &str) {
    fs::write(world.dir.path().join("config.toml"), text).unwrap();
}

fn rows(world: &World) -> Vec<Value> {
    world.json(&["timeline", "--deleted"]).done().as_array().unwrap().clone()
}

/// What `ask` answers of the agent's manager.
pub(crate) fn manager<T>(world: &World, ask: impl AsyncFnOnce(Manager1Proxy<'static>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = world.address();
        let connection = zbus::connection::Builder::address(address.as_str()).unwrap().build().await.unwrap();
        let manager = Manager1Proxy::builder(&connection).cache_properties(zbus::proxy::CacheProperties::No);
        ask(manager.build().await.unwrap()).await
    })
}

fn troubles(world: &World) -> Vec<AutomaticTrouble> {
    use freezeframe_api::Dictionary;
    let rows = manager(world, async |m| m.automatic_trouble().await.unwrap());
    rows.iter().map(|row| AutomaticTrouble::from_dict(row).unwrap()).collect()
}

#[test]
fn a_session_whose_time_has_come_is_saved_once_and_the_timeline_thinned_out() {
    let mut world = World::with_session();
    let by_hand: Vec<Value> = (0..3).map(|_| world.json(&["save", "--wait"]).done()["snapshot"].clone()).collect();
    assert_eq!(world.json(&["start", "--name", "other"]).done()["session"], "other");
    world.end_agent();
    make_old(&world, "other");
    configure(&world, "[automatic]\nenabled = true\nminutes = 60\n[retention]\nkeep_last = 1\n");
    world.start_agent(true);
    until("it is saved", || rows(&world).len() == 4);
    let saved = rows(&world).into_iter().find(|row| row["session"] == "other").unwrap();
    assert_eq!((&saved["automatic"], &saved["label"]), (&json!(true), &json!("")));
    let state = |id: &Value| rows(&world).into_iter().find(|row| row["snapshot"] == *id).unwrap()["state"].clone();
    until("the rules are applied", || state(&by_hand[0]) == "deleted" && state(&by_hand[1]) == "deleted");
    assert_eq!((state(&by_hand[2]), &rows(&world)[0]["automatic"]), (json!("whole"), &json!(false)));
    assert_eq!(world.state("other").as_deref(), Some("running"));
    assert!(world.run(&["timeline"]).stdout.contains("automatic"));
}

#[test]
fn nothing_is_saved_while_it_is_off_or_paused() {
    let mut world = World::with_session();
    world.end_agent();
    make_old(&world, "desktop");
    world.start_agent(true);
    manager(&world, async |m| m.set_automatic_paused(true).await.unwrap());
    assert!(manager(&world, async |m| m.automatic_paused().await.unwrap()));
    assert_eq!(world.json(&["settings", "automatic=true"]).done()["automatic"], true);
    let before = rows(&world);
    manager(&world, async |m| m.set_automatic_paused(false).await.unwrap());
    until("it is saved", || rows(&world).len() == 1);
    assert_eq!(before, Vec::<Value>::new());
}

#[test]
fn a_failure_is_told_until_a_save_goes_well() {
    let mut world = World::with_session();
    world.end_agent();
    make_old(&world, "desktop");
    fs::write(world.runtime().join("refuse-automatic"), "").unwrap();
    configure(&world, "[automatic]\nenabled = true\n");
    world.start_agent(true);
    until("it is told", || troubles(&world).len() == 1);
    let trouble = troubles(&world).remove(0);
    assert_eq!((trouble.session.as_str(), trouble.name.as_str()), ("desktop", "Refused"));
    assert!(trouble.message.contains("gdb") && trouble.hint.contains("End gdb"), "{trouble:?}");
    assert_eq!((world.state("desktop").as_deref(), rows(&world)), (Some("running"), vec![]));
    world.json(&["save"]).done();
    assert_eq!(troubles(&world), []);
}

#[test]
fn an_agent_that_cannot_save_says_so_and_goes_on() {
    let mut world = World::with_session();
    world.end_agent();
    make_old(&world, "desktop");
    configure(&world, "[automatic]\nenabled = true\n");
    world.start_agent(false);
    until("it is told", || troubles(&world).iter().any(|t| t.name == "NeedsRoot"));
    // Once the session is gone, so is its trouble.
    world.json(&["stop", "desktop"]).done();
    until("it is forgotten", || troubles(&world).is_empty());
}

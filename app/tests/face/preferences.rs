//! The preferences, used by keyboard: what is changed arrives at the agent.

use crate::stage::{Access, Bus, FakeAgent, Stage, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_is_kept_by_the_agent() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let agent = FakeAgent::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    wait_for("the preferences", || {
        stage.xdotool(&["key", "ctrl+comma"]);
        (stage.active_title() == "Preferences").then_some(())
    });
    access.wait("what the rules would keep", |one| one.name.starts_with("5 stay, 35 would go"));
    stage.keep("preferences");

    // To the first switch by Tab, and on with Space.
    wait_for("the switch in the keyboard's reach", || {
        let switch = |one: &crate::stage::Accessible| one.focused() && one.name == "Save Desktops Automatically";
        access.now().iter().any(switch).then_some(()).or_else(|| {
            stage.xdotool(&["key", "Tab"]);
            None
        })
    });
    stage.xdotool(&["key", "space"]);
    wait_for("automatic snapshots at the agent", || agent.settings().automatic.then_some(()));

    // A number: further by Tab, then typed. The drawing follows.
    wait_for("the rule in the keyboard's reach", || {
        let rule = |one: &crate::stage::Accessible| one.focused() && one.name == "Newest";
        access.now().iter().any(rule).then_some(()).or_else(|| {
            stage.xdotool(&["key", "Tab"]);
            None
        })
    });
    // The row gives the keyboard to its number.
    stage.xdotool(&["key", "Return"]);
    stage.xdotool(&["key", "ctrl+a"]);
    stage.xdotool(&["type", "12"]);
    stage.xdotool(&["key", "Return"]);
    wait_for("the rule at the agent", || (agent.settings().keep_last == 12).then_some(()));
    access.wait("what the rules would keep now", |one| one.name.starts_with("12 stay, 28 would go"));
    assert_eq!(agent.settings().automatic_minutes, 30, "what was not touched stays");
    stage.keep("preferences-changed");
}

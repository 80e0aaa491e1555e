//! The interface XML in `data/dbus/` is what the code says. `FREEZEFRAME_BLESS=1 cargo test` rewrites it.

use std::fs;
use std::path::Path;

use freezeframe_api::names::{BUS_NAME, ROOT, session_path, snapshot_path};
use freezeframe_api::records::SaveOptions;
use freezeframe_api::{Dictionary, Session1Proxy};
use zbus::fdo::{IntrospectableProxy, ObjectManagerProxy};

use crate::world::World;

const HEAD: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
                    \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n";

/// One interface of an introspection, as its own document.
fn document(xml: &str, interface: &str) -> String {
    let begin = format!("<interface name=\"{interface}\">");
    let from = xml.find(&begin).unwrap_or_else(|| panic!("no {interface} in {xml}"));
    let end = from + xml[from..].find("</interface>").unwrap() + "</interface>".len();
    let indent = from - xml[..from].rfind('\n').map_or(0, |n| n + 1);
    let indent = " ".repeat(indent);
    let lines = xml[from..end].lines().map(|line| {
        let line = line.strip_prefix(&indent).unwrap_or(line);
        if line.trim().is_empty() { String::new() } else { format!("  {}", line.trim_end()) }
    });
    format!("{HEAD}<node>\n{}\n</node>\n", lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_interface_files_are_what_the_code_says() {
    let world = World::with_session();
    let snapshot = world.run(&["save"]).stdout.trim().to_owned();
    let address = world.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let documents = runtime.block_on(async {
        let connection = zbus::connection::Builder::address(address.as_str()).unwrap().build().await.unwrap();
        let session = Session1Proxy::builder(&connection).path(session_path("desktop")).unwrap();
        let session = session.build().await.unwrap();
        let options = SaveOptions { label: Some("refuse".into()), ..SaveOptions::default() };
        let job = session.save(&options.to_dict()).await.unwrap();
        let objects = ObjectManagerProxy::new(&connection, BUS_NAME, ROOT).await.unwrap();
        let objects = objects.get_managed_objects().await.unwrap();
        let mut documents = Vec::new();
        for (path, name) in [
            (ROOT, "Manager1"),
            (session_path("desktop").as_str(), "Session1"),
            (snapshot_path(&snapshot).as_str(), "Snapshot1"),
            (job.as_str(), "Job1"),
        ] {
            let interface = format!("io.github.freezeframe.{name}");
            let managed = objects.iter().find(|(p, _)| p.as_str() == path);
            assert!(path == ROOT || managed.is_some_and(|(_, i)| i.keys().any(|k| k.as_str() == interface)), "{path}");
            let object = IntrospectableProxy::builder(&connection).destination(BUS_NAME).unwrap().path(path).unwrap();
            let object = object.build().await.unwrap();
            documents.push((interface.clone(), document(&object.introspect().await.unwrap(), &interface)));
        }
        documents
    });
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/dbus");
    let bless = std::env::var_os("FREEZEFRAME_BLESS").is_some();
    for (interface, document) in documents {
        let file = directory.join(format!("{interface}.xml"));
        if bless {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&file, &document).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(written, document, "{} differs; FREEZEFRAME_BLESS=1 rewrites it", file.display());
    }
}

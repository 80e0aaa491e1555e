//! The threads that wait for sockets, so that the main thread never does.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// The runtime, started when first asked for.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("freezeframe-io")
            .enable_all()
            .build()
            // Without threads there is no program; the system's own message says what is short.
            .unwrap_or_else(|error| panic!("cannot start threads: {error}"))
    })
}

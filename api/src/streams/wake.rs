//! One listener for all streams of the process.

use zeitwork_database::listen::{EVENTS, KEYS, LOGS, Signals};
use zeitwork_runtime::Lifecycle;

use crate::state::App;

/// Wakes every stream when lines, events or keys have changed.
pub fn listen(app: &App, life: &Lifecycle) {
    let (app, stopping) = (app.clone(), life.clone());
    life.spawn("stream signals", async move {
        let mut signals = Signals::new(&app.database, &[LOGS, EVENTS, KEYS]);
        loop {
            tokio::select! {
                () = stopping.stopping() => return,
                () = signals.next() => {}
            }
            app.streams.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    });
}

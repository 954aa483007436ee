//! Swaps handlers when their files change.
//!
//! Editors write a file in several steps, or write another one and rename it, and people save several at once: what
//! comes close together is one change.

use crate::keeper::Handle;
use chathost_core::host::Reload;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind, event::AccessMode};
use std::{path::Path, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

/// So long nothing may come for a change to be over, and so long it may go on.
const QUIET: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(100);

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
}

/// Watches these folders, as far as they exist.
///
/// # Errors
/// The system has no more watches to give.
pub fn watch<'a>(folders: impl IntoIterator<Item = &'a Path>, host: Handle) -> notify::Result<Watch> {
    // One is enough to know that something changed.
    let (changed, changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_change(event.kind) && event.paths.iter().any(|path| may_matter(path))) {
            // Full: somebody knows already.
            let _ = changed.try_send(());
        }
    })?;
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        watcher.watch(folder, RecursiveMode::Recursive)?;
    }
    tokio::spawn(run(changes, host));
    Ok(Watch { _watcher: watcher })
}

/// Scripts, libraries, and what may be a folder of them; not the `chat.lua~` that an editor leaves behind.
fn may_matter(path: &Path) -> bool {
    path.ends_with("handlers.json")
        || path
            .extension()
            .is_none_or(|extension| ["lua", "so", "dylib"].iter().any(|known| extension == *known))
}

fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

async fn run(mut changes: mpsc::Receiver<()>, host: Handle) {
    while changes.recv().await.is_some() {
        let end = Instant::now() + LONGEST;
        while let Ok(Some(())) = timeout_at(end.min(Instant::now() + QUIET), changes.recv()).await {}
        // What is refused, the keeper has logged.
        if host.reload(None, Reload::default()).await.is_err() {
            return;
        }
    }
}

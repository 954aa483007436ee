//! What handlers ask of their server while they load happens when they begin to serve, or never.
//!
//! A new generation is built beside the one that serves: its `app:route`, its filters for everybody, its values must not
//! be seen before it is accepted.

use crate::{app::App, kept::Kept};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
};

/// Something to do to the server.
pub(crate) type Change = Box<dyn FnOnce(&Rc<App>)>;

/// What a generation that loads has asked for so far.
#[derive(Default)]
pub(crate) struct Staging {
    loading: Cell<bool>,
    staged: RefCell<Staged>,
}

/// What a generation that was loaded wants to happen when it begins to serve.
#[derive(Default)]
pub(crate) struct Staged {
    changes: Vec<Change>,
    values: HashMap<Box<str>, (Value, Kept)>,
}

impl Staging {
    /// Until `end`, nothing happens at once.
    pub(crate) fn begin(&self) {
        self.loading.set(true);
    }

    /// What was asked for since `begin`.
    pub(crate) fn end(&self) -> Staged {
        self.loading.set(false);
        self.staged.take()
    }

    /// Gives a change back if it is to be made at once.
    pub(crate) fn stage(&self, change: Change) -> Option<Change> {
        if !self.loading.get() {
            return Some(change);
        }
        self.staged.borrow_mut().changes.push(change);
        None
    }

    /// Gives a value back if it is to be set at once.
    pub(crate) fn stage_value(&self, key: &str, value: (Value, Kept)) -> Option<(Value, Kept)> {
        if !self.loading.get() {
            return Some(value);
        }
        self.staged.borrow_mut().values.insert(key.into(), value);
        None
    }

    /// A value that was staged. Only what loads sees it.
    pub(crate) fn value(&self, key: &str) -> Option<Value> {
        if !self.loading.get() {
            return None;
        }
        self.staged
            .borrow()
            .values
            .get(key)
            .map(|(value, _)| value.clone())
    }
}

impl Staged {
    /// Makes it so.
    pub(crate) fn apply(self, app: &Rc<App>) {
        for (key, value) in self.values {
            app.put(key, value);
        }
        for change in self.changes {
            change(app);
        }
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging")
            .field("loading", &self.loading.get())
            .finish_non_exhaustive()
    }
}

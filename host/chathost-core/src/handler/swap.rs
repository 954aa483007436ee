//! Replacing the handlers of one server: build beside, hand over, switch. All servers of a type do it together; the
//! [`crate::host`] leads.

use super::{Generation, HandlerFactory, LoadError, staging::Staged};
use crate::{app::App, error::CallError};
use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

/// A generation that is built and does not serve yet.
pub struct Prepared {
    generation: Rc<Generation>,
    staged: Staged,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.generation.fmt(f)
    }
}

impl Prepared {
    /// Builds a generation and lets it test itself. What serves does not notice, apart from the time.
    pub fn build(app: &Rc<App>, factory: &dyn HandlerFactory, number: u64) -> Result<Self, LoadError> {
        app.staging.begin();
        let built = factory.build(app, number).and_then(|handlers| {
            handlers.selftest()?;
            Ok(handlers)
        });
        let staged = app.staging.end();
        let built = built?;
        let label: Arc<str> = format!("{number}-{}", factory.hash()).into();
        Ok(Self {
            generation: Generation::new(label, built, app.pulse.clone()),
            staged,
        })
    }

    /// The routes it answers.
    pub(crate) fn routes(&self) -> Vec<String> {
        self.generation.handlers().manifest().routes().collect()
    }

    /// Hands the state of what serves to it.
    pub(crate) fn take_over(&self, app: &Rc<App>) -> Result<(), LoadError> {
        let Some(old) = app.serving.current() else {
            return Ok(());
        };
        match old.handlers().export_state()? {
            Some(state) => self.generation.handlers().import_state(state),
            None => Ok(()),
        }
    }

    /// From now on it serves.
    pub fn switch(self, app: &Rc<App>) {
        app.router.clear();
        app.hooks.clear();
        app.sessions.clear_listeners();
        self.staged.apply(app);
        let manifest = self.generation.handlers().manifest();
        let name = |method: &super::Method| {
            format!(
                "{}.{}.{} ({}, generation {})",
                app.server_type(),
                method.group,
                method.name,
                method.place,
                self.generation.label()
            )
        };
        app.pulse.set_names(manifest.methods().iter().map(name).collect());
        let deadline = std::time::Duration::from_secs(app.settings.script.deadline_seconds.into());
        app.serving.switch(&app.tasks, self.generation, deadline);
    }
}

/// Work that arrives between the hand-over and the switch: it waits, or it would run on the old generation after its
/// state was taken.
#[derive(Default)]
pub(crate) struct Gate(RefCell<Option<Waiting>>);

#[derive(Default)]
struct Waiting {
    work: Vec<Work>,
    refused: usize,
}

type Work = Box<dyn FnOnce()>;

impl Gate {
    /// Until `open`, work waits.
    pub(crate) fn close(&self) {
        self.0.borrow_mut().get_or_insert_with(Waiting::default);
    }

    /// What waits goes on, in order.
    pub(crate) fn open(&self) {
        let Some(Waiting { work, refused }) = self.0.take() else {
            return;
        };
        if refused > 0 {
            tracing::warn!(
                refused,
                "requests, calls and notifies did not wait for the new handlers"
            );
        }
        for work in work {
            work();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Does it when the gate opens. Only while it is closed.
    pub(crate) fn wait(&self, work: impl FnOnce() + 'static) {
        if let Some(waiting) = &mut *self.0.borrow_mut() {
            waiting.work.push(Box::new(work));
        }
    }

    /// Refuses what is to wait where so many do already. Only while it is closed.
    pub(crate) fn admit(&self, limit: usize) -> Result<(), CallError> {
        match &mut *self.0.borrow_mut() {
            Some(waiting) if waiting.work.len() >= limit => {
                if waiting.refused == 0 {
                    tracing::warn!("{limit} wait for the new handlers: whatever else comes is refused");
                }
                waiting.refused += 1;
                Err(CallError::new(
                    CallError::BUSY,
                    "too much waits for the new handlers",
                ))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.is_closed()).finish()
    }
}

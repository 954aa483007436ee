//! One file per scenario.

pub(crate) mod idle;
pub(crate) mod join;
pub(crate) mod latency;
pub(crate) mod talk;

//! A message between JSON and a script's values.

use super::Routine;
use crate::stage::BODY;
use chathost_lua::{Limits, RealWorld, Vm};
use std::{path::Path, rc::Rc};

/// A body to a table.
pub(super) fn to_lua(_: &Path) -> Routine {
    let vm = vm();
    Box::new(move |meter| meter.each(|| vm.json().read(vm.lua(), BODY.as_bytes()).unwrap()))
}

/// A table to a body.
pub(super) fn from_lua(_: &Path) -> Routine {
    let vm = vm();
    let table = vm.json().read(vm.lua(), BODY.as_bytes()).unwrap();
    Box::new(move |meter| {
        meter.each(|| {
            let mut text = Vec::with_capacity(128);
            vm.json().write(&table, &mut text).unwrap();
            text
        });
    })
}

fn vm() -> Vm {
    Vm::new(Limits::default(), Rc::new(RealWorld::default()), |_| Ok(())).expect("a VM")
}

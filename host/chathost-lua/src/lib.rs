//! Handlers in Lua: the script VM of a chathost server.
//!
//! ```no_run
//! use chathost_lua::{Limits, RealWorld, Snapshot, Vm, load};
//! use std::{path::Path, rc::Rc, sync::Arc};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let snapshot = Arc::new(Snapshot::read(Path::new("handlers"))?);
//! let vm = Vm::new(Limits::default(), Rc::new(RealWorld::default()), |vm| {
//!     // The host's API: what scripts see as globals.
//!     vm.lua().globals().set("answer", 42)
//! })?;
//! let scripts = load(&vm, &snapshot, "chat")?;
//!
//! let method = scripts.methods().first().ok_or("nothing to call")?;
//! let msg = vm.json().read(vm.lua(), br#"{ "content": "hello" }"#)?;
//! let result: mlua::Value = vm.call(&method.function, msg).await?;
//! let mut answer = Vec::new();
//! vm.json().write(&result, &mut answer)?;
//! # Ok(())
//! # }
//! ```

mod api;
pub mod budget;
mod clock;
pub mod error;
mod handlers;
pub mod load;
mod memory;
mod next;
pub mod value;
pub mod vm;
pub mod world;

#[doc(hidden)]
pub use api::registered;
pub use budget::{Budget, CallLimits, Spend};
pub use error::{Location, ScriptError};
pub use handlers::LuaHandlers;
pub use load::{LoadError, Scripts, Snapshot, load};
pub use value::Json;
pub use vm::{Limits, Vm};
pub use world::{RealWorld, World};

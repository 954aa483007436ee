//! Handlers in Lua: the script VM of a chathost server.
//!
//! ```
//! use chathost_lua::{Limits, RealWorld, Vm};
//! use std::rc::Rc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let vm = Vm::new(Limits::default(), Rc::new(RealWorld::default()), |_vm| Ok(()))?;
//! # Ok(())
//! # }
//! ```

pub mod budget;
mod clock;
pub mod error;
pub mod load;
pub mod value;
pub mod vm;
pub mod world;

pub use budget::{Budget, CallLimits};
pub use error::{Location, ScriptError};
pub use load::{LoadError, Scripts, Snapshot, load};
pub use value::Json;
pub use vm::{Limits, Vm};
pub use world::{RealWorld, World};

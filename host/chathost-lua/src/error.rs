//! How script code fails, and where.
//!
//! What a client gets for it is decided where the answer is written; this says what happened, for the log and for that
//! decision. Nothing here calls back into a script: an error object's `__tostring` is never asked.

use crate::{budget::Spend, value::WriteError};
use chathost_core::error::CallError;
use mlua::{Lua, Table, Value};
use std::{borrow::Cow, fmt, fmt::Write as _, time::Duration};

/// A call into a script that did not come back with a result.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It computed too long.
    #[error("{}more than {limit:?} of processor time", in_front(.at))]
    Cpu {
        /// What it was allowed.
        limit: Duration,
        /// Where it was stopped.
        at: Option<Location>,
    },
    /// It waited too long.
    #[error("no result within {limit:?}")]
    Deadline {
        /// What it was allowed.
        limit: Duration,
    },
    /// It asked others for more than a call may.
    #[error("{}more than {limit} {what} in one call", in_front(.at))]
    Spent {
        /// What.
        what: Spend,
        /// How many it was allowed.
        limit: u32,
        /// Where it was stopped.
        at: Option<Location>,
    },
    /// It used more memory than the VM may have.
    #[error("{}the VM's limit of {limit} bytes of memory is reached", in_front(.at))]
    Memory {
        /// What the VM may have.
        limit: usize,
        /// Where the memory ran out.
        at: Option<Location>,
        /// After a collection still more than half of it is in use: the VM should be replaced.
        strained: bool,
    },
    /// It raised an error.
    #[error("{0}")]
    Raised(Box<Raised>),
    /// Its result cannot be sent.
    #[error(transparent)]
    Result(#[from] WriteError),
    /// Nobody waited for it any more.
    #[error("the call was abandoned")]
    Dropped,
}

impl ScriptError {
    /// The error if a script raised one.
    pub fn raised(&self) -> Option<&Raised> {
        match self {
            Self::Raised(raised) => Some(raised),
            _ => None,
        }
    }

    /// Whether the call was ended for what it used or wanted to send: the answer is a 503.
    pub fn is_over_budget(&self) -> bool {
        matches!(
            self,
            Self::Cpu { .. }
                | Self::Spent { .. }
                | Self::Memory { .. }
                | Self::Result(WriteError::TooLarge { .. } | WriteError::OutOfTime)
        )
    }
}

/// What fails in the host on a script's behalf, before or after the script runs.
impl From<mlua::Error> for ScriptError {
    fn from(error: mlua::Error) -> Self {
        let error = Value::Error(Box::new(error));
        Self::Raised(Box::new(Raised::new(&error, Trace::default())))
    }
}

fn in_front(at: &Option<Location>) -> String {
    at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default()
}

/// An error that a script raised, or a host function for it.
#[derive(Debug)]
pub struct Raised {
    /// The message, with the place in front; what is known of it if it was no text.
    pub message: String,
    /// One line per function that was running, innermost first. Empty for a table with a `code`: that is an answer.
    pub traceback: String,
    /// The value if it was a table: `error { code = 404, message = "…" }`.
    pub table: Option<Table>,
}

impl Raised {
    /// Longer messages are cut.
    const MESSAGE: usize = 2048;

    pub(crate) fn new(value: &Value, trace: Trace) -> Self {
        let text: Cow<'_, str> = match value {
            Value::String(text) => String::from_utf8_lossy(cut(&text.as_bytes())).into_owned().into(),
            Value::Error(error) => innermost(error).into(),
            Value::Table(table) => describe(table).into(),
            Value::Integer(number) => number.to_string().into(),
            Value::Number(number) => number.to_string().into(),
            Value::Boolean(value) => value.to_string().into(),
            other => format!("an error that is a {}", other.type_name()).into(),
        };
        // Where the prelude checks arguments in a script's stead, the place of interest is the script's.
        let text = text
            .strip_prefix(PRELUDE_PLACE)
            .and_then(|rest| rest.split_once(": "))
            .map_or(&*text, |(_, rest)| rest);
        let message = match &trace.at {
            Some(at) if !text.starts_with(&*at.file) => format!("{at}: {text}"),
            _ => text.to_owned(),
        };
        Self {
            message,
            traceback: trace.text,
            table: value.as_table().cloned(),
        }
    }
}

impl Raised {
    /// The table, if a script raised it as an answer: it has a `code`, and is not the host's own.
    pub(crate) fn answer(&self) -> Option<&Table> {
        self.table
            .as_ref()
            .filter(|table| code_of(table).is_some() && !is_host_error(table))
    }

    /// The error of a host function that nobody caught: `app.rpc`, `session:bind`, …
    pub(crate) fn host_error(&self) -> Option<CallError> {
        let table = self.table.as_ref().filter(|table| is_host_error(table))?;
        let message: String = table.raw_get("message").ok()?;
        Some(CallError::new(table.raw_get("code").ok()?, message))
    }
}

/// The mark of tables that host functions raise: a metatable with this field.
pub(crate) const HOST_ERROR: &str = "__host_error";

fn is_host_error(table: &Table) -> bool {
    table
        .metatable()
        .is_some_and(|mark| mark.raw_get::<bool>(HOST_ERROR).unwrap_or(false))
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The code of a raised table.
pub(crate) fn code_of(table: &Table) -> Option<Value> {
    table.raw_get::<Value>("code").ok().filter(|code| !code.is_nil())
}

/// The message mlua got from Luau, without the tracebacks it adds.
pub(crate) fn innermost(error: &mlua::Error) -> String {
    let mut error = error;
    while let mlua::Error::CallbackError { cause, .. } = error {
        error = cause;
    }
    let text = match error {
        mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => text.clone(),
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::BadArgument { pos: 1, cause, .. } if is_not_this(cause) => {
            "a method is called with a colon, and on what it belongs to: session:get(key)".to_owned()
        }
        other => other.to_string(),
    };
    let text = text.split("\nstack traceback:").next().unwrap_or_default();
    String::from_utf8_lossy(cut(text.as_bytes())).into_owned()
}

fn is_not_this(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::FromLuaConversionError { to, .. } => to == "userdata",
        error => matches!(error, mlua::Error::UserDataTypeMismatch),
    }
}

fn describe(table: &Table) -> String {
    let field = |name: &str| match table.raw_get::<Value>(name) {
        Ok(Value::String(text)) => Some(String::from_utf8_lossy(cut(&text.as_bytes())).into_owned()),
        Ok(Value::Integer(number)) => Some(number.to_string()),
        Ok(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    match (field("message"), field("code")) {
        (Some(message), Some(code)) => format!("{message} (code {code})"),
        (Some(message), None) => message,
        (None, Some(code)) => format!("code {code}"),
        (None, None) => "an error that is a table without code and message".to_owned(),
    }
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..Raised::MESSAGE).unwrap_or(text)
}

/// A line of a script, `handlers/chat.lua:12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, relative to the base directory.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Location {
    /// Which line of a script runs now, in whatever it has called.
    pub fn of_script(lua: &Lua) -> Option<Self> {
        (0..Trace::SEARCHED).find_map(|level| frame(lua, level)?.map(|(at, _)| at))
    }
}

/// The calls that led to an error.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) at: Option<Location>,
    pub(crate) text: String,
}

impl Trace {
    /// Of a recursion that went too deep, the innermost calls say enough.
    const SHOWN: usize = 12;
    /// How far to look for them among functions that are not a script's.
    const SEARCHED: usize = 64;

    /// The running functions of scripts. Allocates nothing in the VM, so that it works when memory has run out.
    pub(crate) fn of_script(lua: &Lua) -> Self {
        let mut trace = Self::default();
        let mut shown = 0;
        for level in 0..Self::SEARCHED {
            match frame(lua, level) {
                None => return trace,
                Some(None) => {}
                Some(Some(_)) if shown == Self::SHOWN => {
                    trace.text.push_str("\n  …");
                    return trace;
                }
                Some(Some((at, function))) => {
                    let line_break = if shown == 0 { "" } else { "\n" };
                    let _ = write!(trace.text, "{line_break}  {at} in {function}");
                    trace.at.get_or_insert(at);
                    shown += 1;
                }
            }
        }
        trace
    }
}

/// The chunk name of the host's own Luau code, which does not count as a script's.
pub(crate) const PRELUDE: &str = "=[host]";
const PRELUDE_PLACE: &str = "[host]:";

/// The script's line at this level of the stack; `None` above its end, `Some(None)` where something else runs.
fn frame(lua: &Lua, level: usize) -> Option<Option<(Location, String)>> {
    lua.inspect_stack(level, |frame| {
        let source = frame.source();
        let file = source
            .source
            .as_deref()
            .filter(|source| source.starts_with('=') && *source != PRELUDE)?;
        let file = file.strip_prefix('=').filter(|file| file.ends_with(".lua"))?;
        let line = frame.current_line()?;
        let function = match frame.names().name {
            Some(name) => format!("function {name}"),
            None => "the file or an unnamed function".to_owned(),
        };
        Some((
            Location {
                file: file.to_owned(),
                line,
            },
            function,
        ))
    })
}

//! `next(err, resp)`: the way in which Pomelo's handlers and filters answer, for those that declare the parameter.
//!
//! It may be called once, now or later, from a timer or after a call of another server; the call's deadline stands.

use crate::{
    error::{Raised, ScriptError, Trace},
    vm::Vm,
};
use mlua::{Function, MultiValue, Table, Value};
use std::cell::Cell;
use tokio::sync::oneshot;

/// Calls a function with these arguments. One that declares a parameter more gets `next` there and answers through it,
/// any other by returning.
///
/// # Errors
/// What it raised, or called `next` with.
pub(crate) async fn call(vm: &Vm, function: &Function, args: MultiValue) -> Result<Value, ScriptError> {
    if usize::from(function.info().num_params) > args.len() {
        return Box::pin(call_with_next(vm, function, args)).await;
    }
    vm.invoke::<Value>(function, args).await
}

/// As `call`, for a function that is known to declare `next`.
pub(crate) async fn call_with_next(
    vm: &Vm,
    function: &Function,
    mut args: MultiValue,
) -> Result<Value, ScriptError> {
    let (answer, answered) = oneshot::channel::<(Value, Value)>();
    let answer = Cell::new(Some(answer));
    let next = vm.lua().create_function(move |_, answered: (Value, Value)| {
        match answer.take() {
            // Nobody may be there to hear it any more: its time was up.
            Some(answer) => drop(answer.send(answered)),
            None => tracing::warn!("next was called twice; the second answer goes nowhere"),
        }
        Ok(())
    })?;
    args.push_back(Value::Function(next));
    vm.invoke::<Value>(function, args).await?;
    // Not kept by anybody, it can never be called: that is found when the garbage is collected, or at the deadline.
    let (error, resp) = answered.await.map_err(|_| ScriptError::Deadline {
        limit: vm.limits().call.deadline,
    })?;
    match error {
        Value::Nil | Value::Boolean(false) => Ok(resp),
        error => Err(failed(&error, resp)?),
    }
}

/// `next(err, resp)`: a `resp` that is a table is the answer, with the code 500 if it has none.
fn failed(error: &Value, resp: Value) -> Result<ScriptError, ScriptError> {
    let raised = |value: &Value| ScriptError::Raised(Box::new(Raised::new(value, Trace::default())));
    let Value::Table(resp) = resp else {
        return Ok(raised(error));
    };
    let code: Value = resp.raw_get("code")?;
    if code.is_nil() {
        Table::raw_set(&resp, "code", 500)?;
    }
    Ok(raised(&Value::Table(resp)))
}

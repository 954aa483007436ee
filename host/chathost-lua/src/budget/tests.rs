//! What counts as a call's time, and what ends it. Scripts that fight back are in `tests/hostile.rs`.

use super::*;
use crate::{Limits, RealWorld, Vm};
use mlua::{Function, Value};
use tokio::sync::Notify;

const SHORT: CallLimits = CallLimits {
    cpu: Duration::from_millis(60),
    deadline: Duration::from_secs(5),
    spend: [1000; 3],
};

/// A VM whose scripts can wait: `tick()` for another turn of the loop, `signal()` until somebody gives it.
fn vm() -> (Vm, Rc<Notify>) {
    let signal = Rc::new(Notify::new());
    let vm = Vm::new(Limits::default(), Rc::new(RealWorld::default()), |vm| {
        let globals = vm.lua().globals();
        let tick = vm.lua().create_async_function(|_, ()| async {
            tokio::task::yield_now().await;
            Ok(())
        });
        globals.set("tick", tick?)?;
        let signal = Rc::clone(&signal);
        let wait = vm.lua().create_async_function(move |_, ()| {
            let signal = Rc::clone(&signal);
            async move {
                signal.notified().await;
                Ok(())
            }
        });
        globals.set("signal", wait?)
    })
    .unwrap();
    (vm, signal)
}

fn function(vm: &Vm, body: &str) -> Function {
    let text = format!(
        "local function busy(seconds) local start = os.clock() while os.clock() < start + seconds do end end {body}"
    );
    vm.lua().load(text).set_name("=test.lua").into_function().unwrap()
}

async fn call(vm: &Vm, limits: CallLimits, body: &str) -> Result<Value, ScriptError> {
    vm.budget()
        .watch(limits, vm.invoke(&function(vm, body), ()))
        .await
}

#[tokio::test(start_paused = true)]
async fn what_others_compute_while_a_call_waits_is_not_its_time() {
    let (vm, signal) = vm();
    let long = CallLimits {
        cpu: Duration::from_secs(10),
        ..SHORT
    };
    let (waiting, computing) = tokio::join!(call(&vm, SHORT, "signal() return 1"), async {
        let result = call(&vm, long, "busy(0.2)").await;
        signal.notify_one();
        result
    });
    assert_eq!(waiting.unwrap(), Value::Integer(1));
    computing.unwrap();
}

#[tokio::test(start_paused = true)]
async fn time_adds_up_over_awaits() {
    let (vm, _) = vm();
    let result = call(&vm, SHORT, "for _ = 1, 100 do busy(0.01) tick() end").await;
    assert!(
        matches!(result, Err(ScriptError::Cpu { at: Some(_), .. })),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_the_deadline() {
    let (vm, _) = vm();
    for body in [
        "signal()",
        "pcall(signal) while true do pcall(signal) end",
        "coroutine.wrap(signal)()",
        "pcall(coroutine.wrap(function() pcall(signal) signal() end))",
    ] {
        let result = call(&vm, SHORT, body).await;
        assert!(
            matches!(result, Err(ScriptError::Deadline { limit }) if limit == SHORT.deadline),
            "{body}: {result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn any_deadline_is_one_and_ends_what_was_waited_for() {
    let (vm, signal) = vm();
    let none = CallLimits {
        deadline: Duration::ZERO,
        ..SHORT
    };
    let result = call(&vm, none, "signal()").await;
    assert!(matches!(result, Err(ScriptError::Deadline { .. })), "{result:?}");
    let endless = CallLimits {
        deadline: Duration::MAX,
        ..SHORT
    };
    signal.notify_one();
    call(&vm, endless, "signal()").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_does_nothing_more() {
    let (vm, signal) = vm();
    let kept = Rc::new(Cell::new(0));
    let count = {
        let kept = Rc::clone(&kept);
        let count = vm.lua().create_function(move |_, ()| {
            kept.set(kept.get() + 1);
            Ok(())
        });
        count.unwrap()
    };
    let body = "local count = ... count() pcall(signal) count()";
    let mut abandoned = Box::pin(vm.call::<Value>(&function(&vm, body), &count));
    tokio::select! {
        biased;
        result = &mut abandoned => panic!("{result:?}"),
        () = std::future::ready(()) => {}
    }
    drop(abandoned);
    signal.notify_one();
    call(&vm, SHORT, "tick()").await.unwrap();
    assert_eq!(kept.get(), 1);
}

#[test]
fn a_call_within_a_call_has_its_own_time() {
    let (vm, _) = vm();
    let outer = Budget::call(SHORT);
    let _outer = vm.budget().enter(&outer);
    {
        let _inner = vm.budget().enter(&Budget::call(SHORT));
        let result = vm.run::<Value>(&function(&vm, "pcall(busy, 10)"), ());
        assert!(matches!(result, Err(ScriptError::Cpu { .. })), "{result:?}");
    }
    assert!(!vm.budget().is_over());
    vm.run::<Value>(&function(&vm, "busy(0.001)"), ()).unwrap();
}

#[test]
fn code_outside_of_a_call_is_refused() {
    let (vm, _) = vm();
    let error = function(&vm, "busy(1)").call::<()>(()).unwrap_err();
    assert!(error.to_string().contains("outside of a call"), "{error}");
}

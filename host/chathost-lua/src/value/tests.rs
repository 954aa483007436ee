//! What goes in comes out, and what cannot go out is said where.

use super::*;
use crate::{Limits, RealWorld, Vm};
use proptest::prelude::*;
use std::rc::Rc;

const LIMIT: usize = 1 << 16;

fn vm() -> Vm {
    Vm::new(
        Limits {
            json: LIMIT,
            ..Limits::default()
        },
        Rc::new(RealWorld::default()),
        |_| Ok(()),
    )
    .unwrap()
}

fn written(vm: &Vm, value: &Value) -> Result<String, WriteError> {
    let mut out = Vec::new();
    vm.json()
        .write(value, &mut out)
        .map(|()| String::from_utf8(out).unwrap())
}

/// Evaluates an expression as a script would, and writes the result.
fn lua(vm: &Vm, expression: &str) -> Result<String, WriteError> {
    let _entered = vm.budget().enter(&Budget::call(vm.limits().call));
    let value: Value = vm.lua().load(format!("return {expression}")).eval().unwrap();
    written(vm, &value)
}

fn echo(vm: &Vm, text: &str) -> String {
    let value = vm.json().read(vm.lua(), text.as_bytes()).unwrap();
    written(vm, &value).unwrap()
}

#[test]
fn text_that_survives_unchanged() {
    let vm = vm();
    for text in [
        r#"{"deep":[1,null]}"#,
        "[]",
        "{}",
        r#"[[],{},[{}],[[]]]"#,
        r#"{"users":[]}"#,
        "[null]",
        "[null,null,3]",
        "null",
        "true",
        "false",
        "-1",
        "0.5",
        "9007199254740991",
        "-9007199254740991",
        r#""text""#,
        r#""\"\\\n\r\t\b\f\u0001""#,
        r#""大厅 é""#,
        r#""\uD83D\uDE00 and \uD83D\uDC4D\uD83C\uDFFD""#,
        r#"{"":1}"#,
        r#"{"1":"a"}"#,
    ] {
        assert_eq!(echo(&vm, text), text);
    }
}

#[test]
fn text_that_changes() {
    let vm = vm();
    for (text, expected) in [
        (" { \"a\" : 1 } ", r#"{"a":1}"#),
        ("1.0", "1"),
        ("1e2", "100"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("9007199254740993", "9007199254740992"),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":null,"b":[null,{"c":null}]}"#, r#"{"b":[null,{}]}"#),
        (r#"{"a":1,"a":null}"#, "{}"),
        (r#""\u0041\/""#, r#""A/""#),
        ("\"\u{1F600}\"", r#""\uD83D\uDE00""#),
        (r#""\ud83d""#, "\"\u{FFFD}\""),
        (r#"{"\ude00":["\ud83d!"]}"#, "{\"\u{FFFD}\":[\"\u{FFFD}!\"]}"),
    ] {
        assert_eq!(echo(&vm, text), expected, "{text}");
    }
    assert_eq!(
        serde_json::from_str::<f64>(&echo(&vm, "18446744073709551615"))
            .unwrap()
            .to_bits(),
        18_446_744_073_709_551_615_f64.to_bits()
    );
}

#[test]
fn text_that_is_refused() {
    let vm = vm();
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
    let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    let abyss = "[".repeat(LIMIT);
    for text in [
        "",
        "x",
        "{",
        "[1,]",
        "1 2",
        "{\"a\"}",
        "\"\\x\"",
        "\"\u{1}\"",
        "1e999",
        "nul",
        &deep,
        &abyss,
    ] {
        assert!(
            matches!(vm.json().read(vm.lua(), text.as_bytes()), Err(ReadError::Json(_))),
            "{text:.20}"
        );
    }
    assert!(matches!(
        vm.json().read(vm.lua(), b"\"\xFF\""),
        Err(ReadError::Json(_))
    ));
    assert_eq!(echo(&vm, &deepest), deepest);
    let long = format!("{}1", " ".repeat(LIMIT));
    assert!(matches!(
        vm.json().read(vm.lua(), long.as_bytes()),
        Err(ReadError::TooLarge { limit: LIMIT })
    ));
}

#[test]
fn tables_of_scripts() {
    let vm = vm();
    for (expression, expected) in [
        ("nil", "null"),
        ("{}", "{}"),
        ("json.array({})", "[]"),
        ("json.array()", "[]"),
        ("{ json.array {} }", "[[]]"),
        ("table.clone(json.decode('[]'))", "[]"),
        ("{ 1, 2, 3 }", "[1,2,3]"),
        (
            "(function() local t = {} t[3] = 'c' t[2] = 'b' t[1] = 'a' return t end)()",
            r#"["a","b","c"]"#,
        ),
        ("{ [1] = 'a', [3] = 'c' }", r#"{"1":"a","3":"c"}"#),
        ("{ [2] = 'b' }", r#"{"2":"b"}"#),
        ("{ [0] = 'z' }", r#"{"0":"z"}"#),
        ("{ [1.5] = 'x' }", r#"{"1.5":"x"}"#),
        ("{ [-1] = 'x' }", r#"{"-1":"x"}"#),
        ("{ [1700000000000] = 'x' }", r#"{"1700000000000":"x"}"#),
        ("{ [2 ^ 53] = 'x' }", r#"{"9007199254740992":"x"}"#),
        (
            "(function() local t = json.decode('[1]') t[1] = nil return t end)()",
            "[]",
        ),
        (
            "(function() local t = json.decode('[1,2,3]') t[2] = nil return t end)()",
            "[1,null,3]",
        ),
        (
            "(function() local t = json.decode('[1]') t.x = 2 t[1] = nil return t end)()",
            r#"{"x":2}"#,
        ),
        ("json.array { [4] = 'd' }", r#"[null,null,null,"d"]"#),
        ("json.array { [0] = 'z' }", r#"{"0":"z"}"#),
        ("{ json.null }", "[null]"),
        ("{ a = json.null, b = nil }", r#"{"a":null}"#),
        ("{ 0/0, 1/0, -1/0, -0 }", "[null,null,null,0]"),
        (
            "{ 1e15, 2^53, 1e300, 0.1, -1.5 }",
            "[1000000000000000,9007199254740992,1e+300,0.1,-1.5]",
        ),
        ("'\\xff\\xed\\xa0\\xbd'", "\"\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\""),
        ("{ ['\\xff'] = 1 }", "{\"\u{FFFD}\":1}"),
        (
            "setmetatable({ 1 }, { __index = error, __len = error, __iter = error })",
            "[1]",
        ),
        ("json.decode(json.encode({ a = { 1, 2 } })).a", "[1,2]"),
        ("tostring(json.null)", r#""null""#),
        ("json.decode('{\"a\":null}').a == nil", "true"),
        ("json.decode('[null]')[1] == json.null", "true"),
        ("json.decode('null') == nil", "true"),
    ] {
        assert_eq!(lua(&vm, expression).unwrap(), expected, "{expression}");
    }
    let mixed: serde_json::Value =
        serde_json::from_str(&lua(&vm, "{ 'a', 'b', x = true }").unwrap()).unwrap();
    assert_eq!(mixed, serde_json::json!({ "1": "a", "2": "b", "x": true }));
}

#[test]
fn values_that_cannot_be_sent_are_named() {
    let vm = vm();
    for (expression, expected) in [
        ("print", "a function has no JSON"),
        (
            "{ users = { {}, {}, { name = print } } }",
            "a function has no JSON, at users[3].name",
        ),
        (
            "{ ['a b'] = { coroutine.create(print) } }",
            "a thread has no JSON, at [\"a b\"][1]",
        ),
        (
            "{ { { vector.create(1, 2, 3) } } }",
            "a vector has no JSON, at [1][1][1]",
        ),
        ("buffer.create(1)", "a buffer has no JSON"),
        (
            "{ a = { [true] = 1 } }",
            "a boolean cannot be the key of a JSON object, at a",
        ),
        ("{ a = ('x'):rep(70000) }", "more than 65536 bytes of JSON, at a"),
        ("table.create(70000, 1)", "more than 65536 bytes of JSON"),
        (
            "json.array { [2 ^ 40] = 1 }",
            "more than 65536 bytes of JSON, at [13108]",
        ),
        (
            "table.create(30000, 'x')",
            "more than 65536 bytes of JSON, at [16385]",
        ),
    ] {
        assert_eq!(
            lua(&vm, expression).unwrap_err().to_string(),
            expected,
            "{expression}"
        );
    }
    let cycle = lua(&vm, "(function() local t = {} t.self = { t } return t end)()")
        .unwrap_err()
        .to_string();
    assert!(
        cycle.starts_with(
            "nested deeper than 100 levels, or a table that contains itself, at self[1].self[1]"
        ),
        "{cycle}"
    );
    assert!(cycle.ends_with('…') && cycle.len() < 200, "{cycle}");
}

#[test]
fn arguments() {
    let vm = vm();
    for (text, expected) in [
        ("[1,null,{\"a\":[null]}]", r#"[1,null,{"a":[null]}]"#),
        ("[]", "[]"),
        (" [[]]", "[[]]"),
        (r#"{"a":1}"#, r#"[{"a":1}]"#),
        ("null", "[null]"),
        ("\"x\"", r#"["x"]"#),
    ] {
        let values = vm.json().read_list(vm.lua(), text.as_bytes()).unwrap();
        let mut out = Vec::new();
        vm.json().write_list(&values, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    let values = vm.json().read_list(vm.lua(), b"[null]").unwrap();
    assert!(
        values.front().is_some_and(Value::is_nil),
        "an argument that was not given"
    );
    let error = vm
        .json()
        .write_list(&[Value::Nil, Value::Table(vm.globals().clone())], &mut Vec::new());
    assert!(error.unwrap_err().to_string().contains("at [2]"));
}

#[test]
fn reading_above_the_memory_limit_is_refused_and_leaves_the_vm_usable() {
    let limits = Limits {
        memory: 4 << 20,
        json: 8 << 20,
        ..Limits::default()
    };
    let vm = Vm::new(limits, Rc::new(RealWorld::default()), |_| Ok(())).unwrap();
    let strings: Vec<String> = (0..100_000)
        .map(|number| format!("a text that is not another: {number}"))
        .collect();
    let text = serde_json::to_string(&strings).unwrap();
    assert!(matches!(
        vm.json().read(vm.lua(), text.as_bytes()),
        Err(ReadError::Memory)
    ));
    vm.lua().gc_collect().unwrap();
    assert!(vm.used_memory() < 1 << 20);
    assert_eq!(echo(&vm, "[1]"), "[1]");
}

/// JSON as far as a double and a table can tell it: no `-0`, no fraction that is whole, no equal keys.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-(1i64 << 53)..=1 << 53).prop_map(Into::into),
        any::<f64>()
            .prop_filter("whole", |number| number.is_finite() && number.fract() != 0.0)
            .prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// What comes back: fields that are `null` are absent.
fn without_null_fields(json: serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::Array(items) => items.into_iter().map(without_null_fields).collect(),
        serde_json::Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_null_fields(value)))
            .collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn round_trip(json in any_json()) {
        thread_local!(static VM: Vm = vm());
        VM.with(|vm| {
            let back = echo(vm, &json.to_string());
            let json = without_null_fields(json);
            prop_assert!(back.bytes().all(|byte| byte < 0xF0));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&back).unwrap(), json);
            Ok(())
        })?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        thread_local!(static VM: Vm = vm());
        VM.with(|vm| {
            let ours = vm.json().read(vm.lua(), &bytes).is_ok();
            let theirs = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
            prop_assert!(ours || !theirs);
            Ok(())
        })?;
    }
}

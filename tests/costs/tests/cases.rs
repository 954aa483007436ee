//! Every case runs, a few times and without valgrind: what is measured is still there.

use chathost_costs::{cases::CASES, meter::Meter};
use std::path::Path;

#[test]
fn every_case_runs() {
    let program = Path::new(env!("CARGO_BIN_EXE_chathost-costs"));
    let wanted = |name: &str| {
        // The plugin is built by `check`; ten thousand clients take their time.
        !name.contains("native") && name != "push/deliver_to_10000"
    };
    for case in CASES.iter().filter(|case| wanted(case.name)) {
        let mut routine = (case.prepare)(program);
        routine(&mut Meter::warm_up(2));
        routine(&mut Meter::new(3));
    }
}

#[test]
fn names_are_unique_and_have_a_group() {
    for (place, case) in CASES.iter().enumerate() {
        assert_eq!(case.name.split('/').count(), 2, "{}", case.name);
        assert!(
            CASES[..place].iter().all(|other| other.name != case.name),
            "{}",
            case.name
        );
    }
}

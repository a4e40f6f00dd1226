//! What tests of the compiler stand on.

use std::collections::HashMap;
use std::time::SystemTime;

use veloflux_model::{Desired, Document};
use veloflux_snapshot::compile::AccessData;
use veloflux_snapshot::runtime::Registry;
use veloflux_snapshot::{Inputs, Lapsed, Snapshot, compile};

pub(crate) fn inputs() -> Inputs {
    Inputs {
        access: AccessData::default(),
        max_work_budget_percent: 400,
        state_file: "state.yaml".to_owned(),
        files: HashMap::new(),
        rulesets: HashMap::new(),
        active_ruleset: None,
        native_roots: Vec::new(),
        now: SystemTime::now(),
        lapsed: Lapsed::Refuse,
        managed: None,
    }
}

pub(crate) fn parse(text: &str) -> Desired {
    Desired::parse("state.yaml", text).unwrap_or_else(|report| panic!("{report}"))
}

pub(crate) fn compiled(text: &str, inputs: &Inputs) -> Snapshot {
    compile(&parse(text), inputs, &Registry::default(), 1).unwrap_or_else(|report| panic!("{report}"))
}

pub(crate) fn refused(text: &str, inputs: &Inputs) -> String {
    compile(&parse(text), inputs, &Registry::default(), 1).unwrap_err().to_string()
}

pub(crate) const OFF: &str = "firewall: {mode: off}";

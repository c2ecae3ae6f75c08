//! The epochs that a log's bindings make, by the fold of the schemas alone.

use eddyline_connect::log::EventLog;
use eddyline_schemas::binding::{Accepted, Binding, BindingFold};
use eddyline_schemas::codec::decode_binding;

use super::contents::binding_values;

/// What the bindings accept, in order.
pub(crate) fn accepted_bindings(log: &dyn EventLog) -> Vec<Binding> {
    let mut fold = BindingFold::default();
    let mut bindings = Vec::new();
    for value in binding_values(log) {
        let record = decode_binding(&value).expect("a writer wrote it");
        if let Ok(Accepted::Binding(binding)) = fold.step(record, &value).expect("no range breaks")
        {
            bindings.push(binding);
        }
    }
    bindings
}

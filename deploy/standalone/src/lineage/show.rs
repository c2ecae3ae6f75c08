//! What `eddyline lineage` prints.

use eddyline_replay::lineages::{Lineages, Registered};
use eddyline_schemas::lineage::{Epoch, Lineage, find_lineage};
use eddyline_schemas::record::Digest;
use serde_json::{Value, json};

use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::output::{Format, print_json, print_json_line, print_line, print_table};

/// Prints a report.
pub(super) fn list(report: &Value, format: Format) -> Outcome {
    let mut report = report.clone();
    for one in rows_mut(&mut report) {
        // As long as everything else together; `diff` shows what is of interest in it.
        one.as_object_mut().and_then(|one| one.shift_remove("core"));
    }
    match format {
        Format::Json => print_json(&report),
        Format::Ndjson => rows(&report).iter().try_for_each(print_json_line),
        Format::Table => {
            let headers =
                ["lineage", "state", "epoch", "lag", "parent", "first epoch", "differs in"];
            print_table(&headers, &rows(&report).iter().map(cells).collect::<Vec<_>>())?;
            rows(&report).iter().filter_map(|one| one["detail"].as_str()).try_for_each(print_line)
        }
    }
}

fn rows(report: &Value) -> &[Value] {
    report["lineages"].as_array().map_or(&[], Vec::as_slice)
}

fn rows_mut(report: &mut Value) -> &mut [Value] {
    report["lineages"].as_array_mut().map_or(&mut [], Vec::as_mut_slice)
}

fn cells(one: &Value) -> Vec<String> {
    let text = |key: &str| match &one[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let short = |text: String| text.chars().take(16).collect::<String>();
    let state = match one["own"] == json!(true) {
        true => format!("{} (configured)", text("state")),
        false => text("state"),
    };
    let differs: Vec<&str> =
        one["core_differs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    vec![
        short(text("lineage")),
        state,
        text("epoch"),
        text("lag_epochs"),
        short(text("parent")),
        text("first_epoch"),
        differs.join(" "),
    ]
}

/// Prints how two lineages of a report differ.
pub(super) fn difference(report: &Value, (a, b): (&str, &str), format: Format) -> Outcome {
    let (a, b) = (one_of(report, a)?, one_of(report, b)?);
    let differs = Lineages::core_differs(&a, &b);
    let row = |(key, a, b): &(String, Value, Value)| json!({"key": key, "a": a, "b": b});
    match format {
        Format::Json => {
            let side = |of: &Registered| json!({"lineage": of.lineage, "parent": of.parent, "first_epoch": of.first_epoch});
            let rows: Vec<Value> = differs.iter().map(row).collect();
            print_json(&json!({"a": side(&a), "b": side(&b), "core": rows}))
        }
        Format::Ndjson => differs.iter().map(row).try_for_each(|row| print_json_line(&row)),
        Format::Table => {
            let parent = |of: &Registered| of.parent.map_or("-".to_owned(), |one| one.to_string());
            let mut rows = vec![
                vec!["lineage".to_owned(), a.lineage.to_string(), b.lineage.to_string()],
                vec!["parent".to_owned(), parent(&a), parent(&b)],
                vec![
                    "first epoch".to_owned(),
                    a.first_epoch.to_string(),
                    b.first_epoch.to_string(),
                ],
            ];
            let of_core = |(key, a, b): (String, Value, Value)| {
                vec![format!("core.{key}"), a.to_string(), b.to_string()]
            };
            rows.extend(differs.into_iter().map(of_core));
            print_table(&["what", "a", "b"], &rows)
        }
    }
}

fn one_of(report: &Value, text: &str) -> Outcome<Registered> {
    let all: Vec<Registered> = rows(report)
        .iter()
        .map(read)
        .collect::<Option<_>>()
        .ok_or_else(|| Stop::new(Exit::Failure, "the server's list is not understood"))?;
    let lineage = find_lineage(text, all.iter().map(|one| one.lineage))
        .or_stop(Exit::Usage, || "nothing is compared".into())
        .map_err(|stop| stop.remedy("`eddyline lineage ls` names them"))?;
    let found = all.into_iter().find(|one| one.lineage == lineage);
    Ok(found.expect("it was found among them"))
}

fn read(one: &Value) -> Option<Registered> {
    let lineage = |value: &Value| Some(Lineage(Digest::from_hex(value.as_str()?)?));
    Some(Registered {
        lineage: lineage(&one["lineage"])?,
        core: one["core"].clone(),
        parent: match &one["parent"] {
            Value::Null => None,
            parent => Some(lineage(parent)?),
        },
        first_epoch: Epoch(one["first_epoch"].as_u64()?),
    })
}

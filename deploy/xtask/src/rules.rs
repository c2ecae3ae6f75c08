//! Every threshold, edge and home of the house rules, and the reasoned exceptions.

/// Longest file in lines, tests included.
pub const MAX_FILE_LINES: usize = 400;
/// Longest function in lines, signature and braces included.
pub const MAX_FUNCTION_LINES: usize = 60;
/// Most parameters of a function beside `self`.
pub const MAX_PARAMETERS: usize = 5;

/// Files that may break a size rule: path and reason. One that breaks none must go.
pub const SIZE_EXCEPTIONS: &[(&str, &str)] = &[];

/// A crate, and the crates of the workspace that it may use.
#[derive(Clone, Copy, Debug)]
pub struct Crate {
    /// Folder below the root.
    pub folder: &'static str,
    /// Package name.
    pub name: &'static str,
    /// Packages of the workspace that it may name, in any kind of dependency.
    pub may_use: &'static [&'static str],
}

/// Crates and edges: `schemas < dataflows < serving < replay < deploy`, and narrower.
pub const CRATES: &[Crate] = &[
    Crate { folder: "schemas", name: "eddyline-schemas", may_use: &[] },
    Crate { folder: "dataflows/model", name: "eddyline-model", may_use: &["eddyline-schemas"] },
    Crate { folder: "dataflows/connect", name: "eddyline-connect", may_use: &["eddyline-schemas"] },
    Crate {
        folder: "dataflows/engine",
        name: "eddyline-dataflows",
        may_use: &["eddyline-schemas", "eddyline-model", "eddyline-connect"],
    },
    Crate { folder: "serving/pipeline", name: "eddyline-pipeline", may_use: &[] },
    Crate { folder: "serving/index", name: "eddyline-index", may_use: &["eddyline-model"] },
    Crate {
        folder: "serving/api",
        name: "eddyline-serving",
        may_use: &[
            "eddyline-schemas",
            "eddyline-model",
            "eddyline-connect",
            "eddyline-pipeline",
            "eddyline-index",
        ],
    },
    Crate {
        folder: "replay",
        name: "eddyline-replay",
        may_use: &[
            "eddyline-schemas",
            "eddyline-model",
            "eddyline-connect",
            "eddyline-dataflows",
            "eddyline-pipeline",
            "eddyline-index",
        ],
    },
    Crate {
        folder: "deploy/standalone",
        name: "eddyline",
        may_use: &[
            "eddyline-schemas",
            "eddyline-model",
            "eddyline-connect",
            "eddyline-dataflows",
            "eddyline-pipeline",
            "eddyline-index",
            "eddyline-serving",
            "eddyline-replay",
        ],
    },
    Crate { folder: "deploy/xtask", name: "eddyline-xtask", may_use: &[] },
];

/// Crates below this folder must reach none of [`NEVER_SERVED`], by whatever path.
pub const SERVING_FOLDER: &str = "serving/";
/// What serving never reaches.
pub const NEVER_SERVED: &[&str] = &["timely", "differential-dataflow"];

/// Heavy dependencies and the only crate that may name each.
pub const HOMES: &[(&str, &str)] = &[
    ("anyhow", "eddyline"),
    ("axum", "eddyline-serving"),
    ("clap", "eddyline"),
    ("differential-dataflow", "eddyline-dataflows"),
    ("fjall", "eddyline-connect"),
    ("fluvio", "eddyline-connect"),
    ("fluvio-future", "eddyline-connect"),
    ("fluvio-socket", "eddyline-connect"),
    ("fluvio-spu-schema", "eddyline-connect"),
    ("hnsw_rs", "eddyline-index"),
    ("ndarray", "eddyline-model"),
    ("object_store", "eddyline-connect"),
    ("parquet", "eddyline-replay"),
    ("prost", "eddyline-schemas"),
    ("prost-build", "eddyline-schemas"),
    ("protox", "eddyline-schemas"),
    ("rdkafka", "eddyline-connect"),
    ("redis", "eddyline-connect"),
    ("timely", "eddyline-dataflows"),
    ("tonic", "eddyline-serving"),
];

/// Sources that do no I/O, and what would be some.
pub const PURE_FOLDERS: &[&str] =
    &["schemas/src/", "dataflows/model/src/", "serving/pipeline/src/", "serving/index/src/"];
/// Paths of the standard library that a pure source must not name.
pub const IMPURE: &[&str] =
    &["std::env", "std::fs", "std::net", "std::os", "std::process", "SystemTime"];

/// The top level of the repository, beside dotfiles.
pub const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "dataflows",
    "deploy",
    "replay",
    "schemas",
    "serving",
];
/// What builds and runs leave at the top level, ignored by git.
pub const LEFT_BEHIND: &[&str] = &["eddyline-data", "target"];

/// First segments of absolute paths that belong to one machine.
pub const MACHINE_FOLDERS: &[&str] = &["Users", "home", "root", "tmp", "work"];

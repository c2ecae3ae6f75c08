//! Generates the Rust types of `proto/` with a compiler written in Rust: no `protoc` is needed.

/// Messages of the feature store, which may be kept as JSON too.
const JSON: [&str; 8] = [
    "StoredPart",
    "StoredSeen",
    "StoredFeatures",
    "StoredSession",
    "PriceRange",
    "Preference",
    "UserPreferences",
    "FloatRow",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["event", "binding", "delta", "digest", "snapshot", "stored"]
        .map(|name| format!("proto/eddyline/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    // Maps become ordered maps, so that equal messages are equal bytes.
    let mut config = prost_build::Config::new();
    config.btree_map(["."]);
    for name in JSON {
        config.type_attribute(
            format!(".eddyline.v1.{name}"),
            "#[derive(serde::Serialize, serde::Deserialize)] #[serde(rename_all = \"snake_case\")]",
        );
    }
    let hex = "#[serde(with = \"crate::codec::stored::hex\")]";
    config.field_attribute(".eddyline.v1.StoredPart.lineage", hex);
    config.compile_fds(descriptors)?;
    Ok(())
}

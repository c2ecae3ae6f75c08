//! Generates the Rust types of `proto/` with a compiler written in Rust: no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["event", "binding", "delta", "snapshot"]
        .map(|name| format!("proto/eddyline/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    // Maps become ordered maps, so that equal messages are equal bytes.
    prost_build::Config::new().btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}

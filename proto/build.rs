//! Generates messages, clients and servers from `offerd/v1/*.proto` without a `protoc`.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 5] = [
    "offerd/v1/decision.proto",
    "offerd/v1/event.proto",
    "offerd/v1/model.proto",
    "offerd/v1/catalog.proto",
    "offerd/v1/report.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("offerd.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // A connection is its user's choice: this crate knows no transport.
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}

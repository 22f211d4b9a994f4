//! Compiles the `.proto` files of this crate. No `protoc` is needed: protox parses them.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let roots = [
        "modal/client/service.proto",
        "modal/task_command_router/service.proto",
    ];
    let files = protox::compile(roots, ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        .compile_fds(files)?;
    Ok(())
}

//! The checked-in code is exactly what the `.proto` files produce.
//!
//! `UPDATE_GENERATED=1 cargo test -p quorate-proto` (which `make fix` runs) rewrites it.

use std::{env, fs, path::Path};

const PROTOS: [&str; 8] = [
    "quorate/api/v1/objects.proto",
    "quorate/api/v1/cluster.proto",
    "quorate/api/v1/identity.proto",
    "quorate/api/v1/planning.proto",
    "quorate/api/v1/consoles.proto",
    "quorate/host/v1/host.proto",
    "quorate/member/v1/member.proto",
    "quorate/raft/v1/raft.proto",
];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = env::temp_dir().join(format!("quorate-proto-{}", std::process::id()));
    fs::create_dir_all(&fresh).expect("a scratch directory");

    let descriptors = protox::compile(PROTOS, [root]).expect("the .proto files compile");
    tonic_prost_build::configure()
        .out_dir(&fresh)
        .bytes(".")
        .file_descriptor_set_path(fresh.join("descriptors.bin"))
        .compile_fds(descriptors.clone())
        .expect("code generation");
    fs::write(fresh.join("descriptors.bin"), prost_bytes(&descriptors)).expect("descriptors");

    let kept = root.join("src/generated");
    let update = env::var_os("UPDATE_GENERATED").is_some();
    let mut stale = Vec::new();
    for name in [
        "quorate.api.v1.rs",
        "quorate.host.v1.rs",
        "quorate.member.v1.rs",
        "quorate.raft.v1.rs",
        "descriptors.bin",
    ] {
        let new = fs::read(fresh.join(name)).expect("generated file");
        if update {
            fs::write(kept.join(name), &new).expect("rewrite");
        } else if fs::read(kept.join(name)).ok().as_ref() != Some(&new) {
            stale.push(name);
        }
    }
    fs::remove_dir_all(&fresh).expect("clean up");
    assert!(
        stale.is_empty(),
        "{stale:?} differ from the .proto files: run `make fix`"
    );
}

fn prost_bytes(set: &prost_types::FileDescriptorSet) -> Vec<u8> {
    prost::Message::encode_to_vec(set)
}

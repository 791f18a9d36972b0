//! The program itself, as a pod runs it.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::world::{NAMESPACE, World, network};

/// What is answered at `path`; nothing while nobody listens.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_shows_its_health_and_figures_and_hands_the_lease_over_when_it_ends() {
    let world = World::without_replica().await;
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("config.yaml");
    let clusters = json!({"clusters": [{
        "name": "east", "endpoints": [world.cluster.address()], "credentialsSecret": "quorate-east",
    }]});
    fs::write(&config, clusters.to_string()).expect("written");
    let kubeconfig = home.path().join("kubeconfig");
    let server = format!("http://{}", world.kube.address);
    let contexts = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    fs::write(&kubeconfig, contexts.to_string()).expect("written");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = free.local_addr().expect("its address");
    drop(free);

    let mut program = Command::new(env!("CARGO_BIN_EXE_quorate-operator"))
        .args(["--namespace", NAMESPACE, "--identity", "pod-1"])
        .args(["--listen", &listen.to_string(), "--config"])
        .arg(&config)
        .env("KUBECONFIG", &kubeconfig)
        .env("QUORATE_LOG", "error")
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    world.apply("networks", network("lan", json!({})));
    world.kube.until_synced("networks", "lan", "Synced").await;

    let ready = get(listen, "/readyz").expect("it listens");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let figures = get(listen, "/metrics").expect("it listens");
    for line in [
        "quorate_operator_leader 1",
        r#"quorate_operator_writes_total{side="cluster",kind="Network",verb="apply"} 1"#,
        r#"quorate_operator_objects{cluster="east",kind="Network",synced="True",reason="Synced"} 1"#,
    ] {
        assert!(
            figures.lines().any(|it| it == line),
            "{line} is not in\n{figures}"
        );
    }

    let asked = Command::new("kill").arg(program.id().to_string()).status();
    assert!(asked.expect("kill is there").success());
    assert!(program.wait().expect("it ends").success());
    let free = |lease: &Value| lease["spec"].get("holderIdentity").is_none();
    assert!(
        world.kube.find("leases", free).is_some(),
        "the lease is free"
    );
}

//! The program itself, as pods run it.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{NAMESPACE, World, network};

/// One replica in a process of its own.
struct Pod {
    process: Child,
    listen: SocketAddr,
    _home: TempDir,
}

impl Pod {
    fn start(world: &World, name: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let write = |file: &str, content: Value| {
            let path = home.path().join(file);
            fs::write(&path, content.to_string()).expect("written");
            path
        };
        let endpoints = [world.cluster.address()];
        let config = json!({"clusters": [{
            "name": "east", "endpoints": endpoints, "credentialsSecret": "quorate-east",
        }]});
        let server = format!("http://{}", world.kube.address);
        let contexts = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listen = free.local_addr().expect("its address");
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_quorate-operator"))
            .args(["--namespace", NAMESPACE, "--identity", name])
            .args(["--listen", &listen.to_string(), "--config"])
            .arg(write("config.yaml", config))
            .env("KUBECONFIG", write("kubeconfig", contexts))
            .env("QUORATE_LOG", "error")
            .stdin(Stdio::null())
            .spawn()
            .expect("it starts");
        Self {
            process,
            listen,
            _home: home,
        }
    }

    /// What is answered at `path`; nothing while nobody listens.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.listen).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    async fn until_ready(&self) {
        let ready = |answer: String| answer.starts_with("HTTP/1.1 200");
        while !self.get("/readyz").is_some_and(ready) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    fn figures(&self) -> String {
        self.get("/metrics").expect("it listens")
    }

    /// Asks it to end, as kubelet does; it must end well.
    fn end(&mut self) {
        let asked = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        assert!(asked.expect("kill is there").success());
        assert!(self.process.wait().expect("it ends").success());
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn has(figures: &str, line: &str) -> bool {
    figures.lines().any(|it| it == line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_shows_its_health_and_figures_and_hands_the_lease_over_when_it_ends() {
    let world = World::without_replica().await;
    let mut pod = Pod::start(&world, "pod-1");
    world.apply("networks", network("lan", json!({})));
    world.kube.until_synced("networks", "lan", "Synced").await;

    pod.until_ready().await;
    let figures = pod.figures();
    for line in [
        "quorate_operator_leader 1",
        r#"quorate_operator_writes_total{side="cluster",kind="Network",verb="apply"} 1"#,
        r#"quorate_operator_objects{cluster="east",kind="Network",synced="True",reason="Synced"} 1"#,
    ] {
        assert!(has(&figures, line), "{line} is not in\n{figures}");
    }

    pod.end();
    let free = |lease: &Value| lease["spec"].get("holderIdentity").is_none();
    assert!(
        world.kube.find("leases", free).is_some(),
        "the lease is free"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_is_killed_the_other_one_takes_over_and_writes_nothing_again() {
    let world = World::without_replica().await;
    let mut first = Pod::start(&world, "pod-1");
    world.apply("networks", network("lan", json!({"mtu": 2000})));
    world.kube.until_synced("networks", "lan", "Synced").await;
    let second = Pod::start(&world, "pod-2");
    second.until_ready().await;
    assert!(has(&second.figures(), "quorate_operator_leader 0"));
    let before = world.writes_about("lan");

    first.process.kill().expect("killed");
    world.settle("other").await;

    let figures = second.figures();
    assert!(has(&figures, "quorate_operator_leader 1"), "{figures}");
    assert!(
        has(
            &figures,
            r#"quorate_operator_writes_total{side="cluster",kind="Network",verb="apply"} 1"#
        ),
        "{figures}"
    );
    assert_eq!(world.writes_about("lan"), before);
}

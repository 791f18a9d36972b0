//! A person lets a member go on alone: on a real directory, with what is left behind for people.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use quorate_controller::takeover::by_person;
use quorate_identity::{MemberConfig, PkiDir};
use quorate_store::{
    Bucket, DiskWork, Genesis, Grant, Key, Member, Store, StoreConfig, Transaction, Write,
    disk::{RealDisk, sim::SimDisk},
    transport::sim::SimNet,
};
use serde_json::{Value, json};

/// Another user than whoever types the command.
const DAEMON: u32 = 4711;

fn member(id: u64) -> Member {
    Member {
        name: format!("m{id}"),
        addresses: vec![format!("m{id}:7443")],
        witness: false,
        feature_level: quorate_proto::FEATURE_LEVEL,
    }
}

/// The files of a member, but for its store.
fn machine(dir: &Path) -> MemberConfig {
    let config = MemberConfig {
        name: "m1".into(),
        data_dir: dir.join("data"),
        pki_dir: dir.join("pki"),
        listen: vec!["127.0.0.1:7443".parse().expect("an address")],
        addresses: vec!["m1:7443".into()],
        audit_dir: dir.join("audit"),
        agent_dirs: Vec::new(),
        election_timeout_ms: None,
    };
    fs::create_dir(&config.data_dir).expect("made");
    fs::create_dir(&config.pki_dir).expect("made");
    let pki = PkiDir::new(&config.pki_dir);
    for key in [pki.ca_certificate(), pki.ca_key(), pki.keyring()] {
        fs::write(key, "of the cluster").expect("written");
    }
    config
}

fn put(bucket: &str, name: &str, object: &Value) -> Write {
    Write::Put {
        key: Key::new(Bucket::new(bucket), name),
        value: object.to_string().into(),
        expires_at_ms: None,
    }
}

/// The lock of a directory goes when the last task of its store has ended.
async fn free(store: &Path) -> RealDisk {
    loop {
        match RealDisk::open(store) {
            Ok(disk) => return disk,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// A member that leads goes on to lead, however busy this machine is.
fn patient() -> StoreConfig {
    StoreConfig {
        propose_timeout: Duration::from_secs(60),
        ..StoreConfig::default().waiting_for_leaders(Duration::from_secs(30))
    }
}

/// One of a pair, in a real directory, that has lost the other.
async fn lost_its_peer(config: &MemberConfig) {
    let net = SimNet::new(3);
    let path = config.data_dir.join("store");
    let disk = Arc::new(RealDisk::open(&path).expect("a directory"));
    let genesis = Genesis {
        cluster_id: "cluster-1".to_owned(),
        history_id: "history-1".to_owned(),
        member: member(1),
    };
    let store = Store::create(patient(), disk, net.transport(1), genesis)
        .await
        .expect("a new cluster");
    net.attach(1, store.receiver());
    let id = store.allocate_member_id().await.expect("an id");
    let grant = Grant {
        member_id: id,
        cluster_id: "cluster-1".to_owned(),
        history_id: "history-1".to_owned(),
    };
    let settings = StoreConfig {
        disk_work: DiskWork::InPlace,
        ..patient()
    };
    let other = Store::join(settings, SimDisk::new(id).mount(), net.transport(id), grant)
        .await
        .expect("it joins");
    net.attach(id, other.receiver());
    store.add_learner(id, member(id)).await.expect("it learns");
    store.promote(id).await.expect("it votes");

    let object = |kind: &str, name: &str, spec: Value, status: Value| {
        json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": kind, "metadata": {"name": name},
            "spec": spec, "status": status,
        })
    };
    let members = json!([{"name": "m1", "node": "an1"}, {"name": "m2", "node": "an2"}]);
    let cluster = object("Cluster", "story", json!({"members": members}), json!({}));
    let node = object(
        "Node",
        "an2",
        json!({"number": 2}),
        json!({"incarnation": 4}),
    );
    let transaction = Transaction {
        conditions: Vec::new(),
        writes: vec![
            put("_cluster", "info", &json!({"name": "story"})),
            put("clusters", "story", &cluster),
            put("nodes", "an2", &node),
        ],
    };
    store.propose(transaction).await.expect("written");
    other.shutdown().await;
    store.shutdown().await;
    drop((store, other));
    drop(free(&path).await);
}

fn audited(config: &MemberConfig) -> Vec<Value> {
    let log = fs::read_to_string(config.audit_dir.join("audit.log")).unwrap_or_default();
    log.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Where the former store is kept.
fn aside(config: &MemberConfig) -> PathBuf {
    config.data_dir.join("store.of-history-history-1")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lets_a_member_go_on_alone_is_kept_with_what_was_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = machine(dir.path());
    lost_its_peer(&config).await;
    let handed_over = chown(&config.data_dir, Some(DAEMON), Some(DAEMON)).is_ok();
    if !handed_over {
        println!("who owns the files is not looked at: only root can give them away");
    }
    let file = dir.path().join("quorated.yaml");
    fs::write(&file, json!(config).to_string()).expect("written");

    let refused = by_person(&file, &[]).await.expect_err("nobody has looked");
    assert!(
        refused.to_string().contains("--i-verified-an2-is-off"),
        "{refused}"
    );
    assert!(audited(&config).is_empty() && !aside(&config).exists());

    let verified = ["an2".to_owned()];
    by_person(&file, &verified).await.expect("it is taken over");
    assert!(aside(&config).exists());
    let place = config.data_dir.join("store");
    if handed_over {
        for path in [
            place.clone(),
            place.join("member.json"),
            config.audit_dir.clone(),
        ] {
            let owner = fs::metadata(&path).expect("it is there").uid();
            assert_eq!(owner, DAEMON, "{}", path.display());
        }
    }
    let lines = audited(&config);
    let results: Vec<&Value> = lines.iter().map(|line| &line["result"]).collect();
    assert_eq!(results, ["Begun", "OK"], "{lines:?}");
    assert_eq!(lines[0]["verb"], "takeover");
    assert_eq!(lines[0]["name"], "an2");
    let said = lines[0]["message"].as_str().expect("what was shown");
    assert!(said.contains("everything up to term"), "{said}");

    // A crash between its last two renames leaves it like this, and the same command completes it.
    let successor = PathBuf::from(format!("{}.successor", aside(&config).display()));
    fs::rename(&place, &successor).expect("moved");
    by_person(&file, &[]).await.expect("it is completed");
    assert!(place.exists() && !successor.exists());

    let disk = Arc::new(free(&place).await);
    let net = SimNet::new(4);
    let slow = StoreConfig {
        propose_timeout: Duration::from_secs(60),
        ..StoreConfig::default()
    };
    let store = Store::open(slow, disk, net.transport(3))
        .await
        .expect("it starts");
    store.barrier().await.expect("it leads");
    assert_eq!(store.status().members.len(), 1);
    let view = store.view();
    let all = |bucket: &str| -> Vec<Value> {
        let found = view.list(&Bucket::new(bucket), None, usize::MAX);
        let read = |value: &[u8]| serde_json::from_slice(value).expect("JSON");
        found
            .iter()
            .map(|(_, stored)| read(&stored.value))
            .collect()
    };
    let proven = all("fenceoperations");
    assert_eq!(proven.len(), 1, "{proven:?}");
    assert_eq!(proven[0]["spec"]["node"], "an2");
    assert_eq!(proven[0]["status"]["phase"], "Succeeded");
    assert_eq!(proven[0]["status"]["evidence"]["kind"], "Person");
    assert_eq!(proven[0]["status"]["evidence"]["incarnation"], 4);
    let told = all("events");
    assert!(
        told.iter()
            .any(|event| event["spec"]["reason"] == "TakenOver"),
        "{told:?}"
    );
    drop(view);
    store.shutdown().await;
}

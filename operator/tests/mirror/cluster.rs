//! A real cluster of Quorate: `quorated dev` as a child process, and people who work on it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use quorate_identity::{
    Authority, Credentials, Dates, LiveCredentials, MEMBER_NAME, PkiDir, Subject, SystemClock,
    Trust,
};
use quorate_proto::api::v1::{self as pb, objects_client::ObjectsClient};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Uri},
};

const ASK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Cluster {
    home: TempDir,
    program: PathBuf,
    process: Option<Child>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut cluster = Self {
            home: tempfile::tempdir().expect("a directory"),
            program: quorated(),
            process: None,
        };
        cluster.resume().await;
        cluster
    }

    /// Starts it, or starts it again.
    pub(crate) async fn resume(&mut self) {
        let ready = self.home.path().join("config.yaml");
        // The file is written when the cluster is ready.
        if ready.exists() {
            fs::remove_file(&ready).expect("removed");
        }
        let process = Command::new(&self.program)
            .args(["dev", "--members", "1", "--dir"])
            .arg(self.home.path())
            .env("QUORATE_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("quorated starts");
        self.process = Some(process);
        while !ready.exists() {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Ends it and its member.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        // It stops its member before it ends.
        let pid = process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.expect("kill is there").success());
        process.wait().expect("it ends");
    }

    pub(crate) fn address(&self) -> String {
        let text = fs::read_to_string(self.home.path().join("config.yaml")).expect("contexts");
        let contexts: Value = serde_saphyr::from_str(&text).expect("YAML");
        let address = &contexts["contexts"][0]["endpoints"][0];
        address.as_str().expect("an address").to_owned()
    }

    fn authority(&self) -> Authority {
        let pki = PkiDir::new(self.home.path().join("m1/pki"));
        let clock = Arc::new(SystemClock);
        Authority::load(&pki.ca_certificate(), &pki.ca_key(), clock).expect("the authority")
    }

    /// The Kubernetes Secret with credentials that expire after `left`.
    pub(crate) fn credentials(&self, secret: &str, user: &str, left: SignedDuration) -> Value {
        let authority = self.authority();
        let key = KeyPair::from_pem(&authority.key_pem()).expect("its key");
        let issuer = Issuer::from_ca_cert_pem(&authority.certificate_pem(), key).expect("it signs");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(1970, 1, 1);
        let expires = (Timestamp::now() + left).to_zoned(TimeZone::UTC).date();
        let day = |number: i8| u8::try_from(number).expect("a date");
        let year = i32::from(expires.year());
        params.not_after = date_time_ymd(year, day(expires.month()), day(expires.day()));
        let own = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&own, &issuer).expect("signed");
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "type": "Opaque",
            "stringData": {
                "ca.crt": authority.certificate_pem(),
                "tls.crt": format!("{}{}", leaf.pem(), authority.certificate_pem()),
                "tls.key": own.serialize_pem(),
            },
        })
    }

    /// Somebody who may do everything.
    pub(crate) async fn admin(&self) -> Person {
        let authority = self.authority();
        let own = Credentials::issue(&authority, &Subject::admin(), &[]).expect("issued");
        let tls = Trust::from_pem(&authority.certificate_pem(), Arc::new(SystemClock))
            .and_then(|trust| trust.client_config(Some(LiveCredentials::new(own)), Dates::Checked))
            .expect("settings");
        Person {
            objects: ObjectsClient::new(connect(self.address(), tls).await),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.stop();
        }
    }
}

/// The program beside this test, where the whole workspace is built; otherwise it is built now.
fn quorated() -> PathBuf {
    let test = env::current_exe().expect("this program");
    let built = test.parent().and_then(Path::parent).expect("target/debug");
    let program = built.join("quorated");
    if !program.exists() {
        let made = Command::new(env!("CARGO"))
            .args([
                "build",
                "--locked",
                "-p",
                "quorate-controller",
                "--bin",
                "quorated",
            ])
            .status();
        assert!(made.expect("cargo runs").success());
    }
    program
}

async fn connect(address: String, tls: ClientConfig) -> Channel {
    let tls = TlsConnector::from(Arc::new(tls));
    Endpoint::from_static("http://member.quorate.internal")
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let (tls, address) = (tls.clone(), address.clone());
            async move {
                let tcp = tokio::net::TcpStream::connect(address).await?;
                let name = ServerName::try_from(MEMBER_NAME).expect("a name");
                tls.connect(name, tcp).await.map(TokioIo::new)
            }
        }))
        .await
        .expect("connected")
}

/// Somebody who works on the cluster itself.
#[derive(Clone)]
pub(crate) struct Person {
    objects: ObjectsClient<Channel>,
}

impl Person {
    pub(crate) async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let request = pb::GetRequest {
            object: reference(kind, name, ""),
            consistency: 0,
        };
        match self.objects.clone().get(request).await {
            Ok(reply) => Some(read(&reply.into_inner())),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{status:?}"),
        }
    }

    /// Waits until an object is as wanted.
    pub(crate) async fn until(
        &self,
        kind: &str,
        name: &str,
        is: impl Fn(Option<&Value>) -> bool,
    ) -> Option<Value> {
        for attempt in 1.. {
            let object = self.get(kind, name).await;
            if is(object.as_ref()) {
                return object;
            }
            // For whoever wonders what it is waiting for.
            if attempt % 600 == 0 {
                eprintln!("{kind}/{name} is {object:#?}");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        unreachable!("there is no last attempt")
    }

    pub(crate) async fn apply(&self, object: &Value) {
        let request = pb::ApplyRequest {
            manifest: object.to_string().into(),
            options: options("quorate"),
            ..pb::ApplyRequest::default()
        };
        self.objects.clone().apply(request).await.expect("applied");
    }

    /// Changes an object, as `quorate edit` does.
    pub(crate) async fn merge(&self, kind: &str, name: &str, part: &str, patch: &Value) -> Value {
        let request = pb::PatchRequest {
            object: reference(kind, name, part),
            r#type: pb::PatchType::Merge.into(),
            patch: patch.to_string().into(),
            options: options("alice"),
        };
        let patched = self.objects.clone().patch(request).await;
        read(&patched.expect("changed").into_inner())
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) -> Result<(), Status> {
        let request = pb::DeleteRequest {
            object: reference(kind, name, ""),
            options: options("alice"),
            ..pb::DeleteRequest::default()
        };
        self.objects.clone().delete(request).await.map(|_| ())
    }
}

fn reference(kind: &str, name: &str, part: &str) -> Option<pb::ObjectRef> {
    Some(pb::ObjectRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
        subresource: part.to_owned(),
    })
}

fn options(manager: &str) -> Option<pb::ChangeOptions> {
    Some(pb::ChangeOptions {
        field_manager: manager.to_owned(),
        ..pb::ChangeOptions::default()
    })
}

fn read(reply: &pb::ObjectReply) -> Value {
    serde_json::from_slice(&reply.object).expect("JSON")
}

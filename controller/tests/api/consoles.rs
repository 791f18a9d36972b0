//! People at the consoles of guests, by way of a member, and hosts that let them in.

use quorate_identity::Subject;
use quorate_proto::{
    api::v1::{
        ConsoleDevice, ConsoleInput, ConsoleOpen, ConsoleOutput, console_input::What as Typed,
        console_output::What as Shown, consoles_client::ConsolesClient,
    },
    host::v1::{
        Attendee, Device, FromGuest, Present, ToGuest, VisitEnd, Visitor, WaitRequest,
        from_guest::What, visit_end::Why, visits_client::VisitsClient,
    },
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::support::{TestCluster, details};

async fn cluster_with_web() -> TestCluster {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let domain = json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "Role", "metadata": {"name": "typist"},
        "spec": {"rules": [{"kinds": ["virtualmachines"], "verbs": ["get"]},
            {"kinds": ["virtualmachines"], "verbs": ["update"], "subresources": ["console"]}]}});
    admin.create(domain).await.expect("a role");
    for (user, role) in [("ann", "typist"), ("vera", "viewer"), ("otto", "operator")] {
        let binding = json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "RoleBinding", "metadata": {"name": user},
            "spec": {"role": role, "subjects": [{"kind": "User", "name": user}]}});
        admin.create(binding).await.expect("bound");
    }
    let web = json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "VirtualMachine", "metadata": {"name": "web"},
        "spec": {"memory": "64Mi"}});
    admin.create(web).await.expect("a guest");
    cluster
}

/// As the planner would write it.
async fn runs_on(cluster: &TestCluster, node: &str) {
    let admin = cluster.admin(0).await;
    let running = json!({"node": node, "state": "Running"});
    admin
        .write_status("VirtualMachine", "web", |web| {
            web["status"] = running.clone()
        })
        .await;
}

struct Host {
    visits: VisitsClient<Channel>,
    visitors: Streaming<Visitor>,
}

/// One that was let in, from the host's side.
struct Guest {
    say: mpsc::Sender<FromGuest>,
    hear: Streaming<ToGuest>,
}

impl Host {
    async fn waits(cluster: &TestCluster, at: usize, name: &str) -> Self {
        let credentials = cluster.credentials(&Subject::node(name).expect("a name"));
        let mut visits = VisitsClient::new(cluster.channel(at, Some(credentials)).await);
        let visitors = visits.wait(WaitRequest {}).await.expect("it may wait");
        Self {
            visits,
            visitors: visitors.into_inner(),
        }
    }

    async fn visitor(&mut self) -> Visitor {
        self.visitors.message().await.expect("told").expect("one")
    }

    async fn answers(&mut self, visit: u64, what: What) -> Result<Guest, Status> {
        let (say, said) = mpsc::channel(16);
        let what = Some(what);
        say.send(FromGuest { visit, what }).await.expect("open");
        let reply = self.visits.let_in(ReceiverStream::new(said)).await?;
        Ok(Guest {
            say,
            hear: reply.into_inner(),
        })
    }
}

impl Guest {
    async fn says(&self, what: What) {
        let message = FromGuest {
            visit: 0,
            what: Some(what),
        };
        self.say.send(message).await.expect("heard");
    }
}

struct Person {
    type_: mpsc::Sender<ConsoleInput>,
    shown: Streaming<ConsoleOutput>,
}

impl Person {
    async fn shown(&mut self) -> Shown {
        let message = self.shown.message().await.expect("shown");
        message.expect("something").what.expect("known")
    }

    async fn types(&self, text: &'static str) {
        let what = Some(Typed::Data(text.into()));
        self.type_.send(ConsoleInput { what }).await.expect("open");
    }
}

async fn attach(cluster: &TestCluster, user: &str, open: ConsoleOpen) -> Result<Person, Status> {
    let subject = Subject::person(user, &[]).expect("a name");
    let channel = cluster
        .channel(0, Some(cluster.credentials(&subject)))
        .await;
    let (type_, typed) = mpsc::channel(16);
    let what = Some(Typed::Open(open));
    type_.send(ConsoleInput { what }).await.expect("open");
    let reply = ConsolesClient::new(channel)
        .attach(ReceiverStream::new(typed))
        .await?;
    Ok(Person {
        type_,
        shown: reply.into_inner(),
    })
}

fn console() -> ConsoleOpen {
    ConsoleOpen {
        guest: "web".to_owned(),
        device: ConsoleDevice::Serial.into(),
        ..ConsoleOpen::default()
    }
}

#[tokio::test]
async fn a_person_and_a_guest_are_joined_until_the_guest_is_off() {
    let cluster = cluster_with_web().await;
    runs_on(&cluster, "an1").await;
    let mut an1 = Host::waits(&cluster, 0, "an1").await;
    let (ann, guest) = tokio::join!(attach(&cluster, "ann", console()), async {
        let visitor = an1.visitor().await;
        assert_eq!(
            (visitor.guest.as_str(), visitor.user.as_str()),
            ("web", "ann")
        );
        assert_eq!((visitor.device(), visitor.force), (Device::Serial, false));
        let others = vec![Attendee {
            user: "bob".to_owned(),
            device: Device::Screen.into(),
            seconds: 7,
        }];
        an1.answers(visitor.visit, What::Present(Present { others }))
            .await
            .expect("he is there")
    });
    let (mut ann, mut guest) = (ann.expect("she is let in"), guest);
    let Shown::Opened(opened) = ann.shown().await else {
        panic!("not opened")
    };
    assert_eq!(opened.node, "an1");
    assert_eq!(opened.others[0].user, "bob");
    assert_eq!(opened.others[0].device(), ConsoleDevice::Screen);

    guest.says(What::Data("login: ".into())).await;
    assert_eq!(ann.shown().await, Shown::Data("login: ".into()));
    ann.types("root\r").await;
    let heard = guest.hear.message().await.expect("heard").expect("typed");
    assert_eq!(heard.data, "root\r");

    let reason = "guest web is off".to_owned();
    let why = Why::Over.into();
    guest.says(What::End(VisitEnd { why, reason })).await;
    let Shown::End(end) = ann.shown().await else {
        panic!("not ended")
    };
    assert_eq!(end.reason, "guest web is off");
    assert_eq!(ann.shown.message().await.expect("in order"), None);

    let admin = cluster.admin(0).await;
    let told = async {
        loop {
            let request = quorate_proto::api::v1::ListRequest {
                kind: "Event".to_owned(),
                ..Default::default()
            };
            let events = admin.list(request).await.expect("listed");
            let text = format!("{events:?}");
            if text.contains("ConsoleOpened") {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(told.await.contains("serial console on host an1"));
}

#[tokio::test]
async fn who_may_not_type_does_not_get_as_far_as_the_host() {
    let cluster = cluster_with_web().await;
    runs_on(&cluster, "an1").await;
    let mut an1 = Host::waits(&cluster, 0, "an1").await;
    let refused = attach(&cluster, "vera", console()).await.err();
    let refused = refused.expect("she may only look");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert!(
        refused.message().contains("virtualmachines/console"),
        "{refused:?}"
    );

    // She may see who is there, and an operator may type.
    let looks = ConsoleOpen {
        only_look: true,
        ..console()
    };
    for (user, open) in [("vera", looks), ("otto", console())] {
        let only_looks = open.only_look;
        let (person, ()) = tokio::join!(attach(&cluster, user, open), async {
            let visitor = an1.visitor().await;
            assert_eq!(
                (visitor.user.as_str(), visitor.only_looks),
                (user, only_looks)
            );
            let present = What::Present(Present::default());
            an1.answers(visitor.visit, present).await.expect("there");
        });
        person.expect("let in");
    }
}

#[tokio::test]
async fn a_host_says_no_and_another_host_cannot_say_yes() {
    let cluster = cluster_with_web().await;
    let nowhere = attach(&cluster, "ann", console())
        .await
        .err()
        .expect("it is off");
    assert!(nowhere.message().contains("on no host"), "{nowhere:?}");
    runs_on(&cluster, "an1").await;
    let away = attach(&cluster, "ann", console())
        .await
        .err()
        .expect("nobody waits");
    assert_eq!(details(&away)["reason"], "ServiceUnavailable");
    assert!(
        away.message().contains("another one may reach it"),
        "{away:?}"
    );

    let mut an1 = Host::waits(&cluster, 0, "an1").await;
    let mut an2 = Host::waits(&cluster, 0, "an2").await;
    let (taken, ()) = tokio::join!(attach(&cluster, "ann", console()), async {
        let visit = an1.visitor().await.visit;
        let stolen = an2.answers(visit, What::Present(Present::default())).await;
        assert_eq!(stolen.err().expect("not his").code(), Code::NotFound);
        let end = VisitEnd {
            why: Why::Taken.into(),
            reason: "bob is at the console of guest web".to_owned(),
        };
        an1.answers(visit, What::End(end)).await.expect("heard");
    });
    let taken = taken.err().expect("bob is there");
    assert_eq!(details(&taken)["reason"], "Conflict");
    assert!(
        taken.message().contains("bob is at the console"),
        "{taken:?}"
    );

    let mut eve = VisitsClient::new(
        cluster
            .channel(0, Some(cluster.credentials(&Subject::admin())))
            .await,
    );
    let error = eve.wait(WaitRequest {}).await.expect_err("no host");
    assert_eq!(error.code(), Code::PermissionDenied);
}

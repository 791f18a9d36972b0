//! What hosts say to each other, by way of members.

use quorate_identity::Subject;
use quorate_proto::host::v1::{Parcel, relay_client::RelayClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::support::TestCluster;

#[derive(Debug)]
struct Host {
    say: mpsc::Sender<Parcel>,
    hear: Streaming<Parcel>,
}

impl Host {
    async fn connects(cluster: &TestCluster, at: usize, subject: Subject) -> Result<Self, Status> {
        let credentials = cluster.credentials(&subject);
        let channel = cluster.channel(at, Some(credentials)).await;
        let (say, said) = mpsc::channel(16);
        let reply = RelayClient::new(channel)
            .carry(ReceiverStream::new(said))
            .await?;
        Ok(Self {
            say,
            hear: reply.into_inner(),
        })
    }

    async fn at(cluster: &TestCluster, at: usize, name: &str) -> Self {
        let subject = Subject::node(name).expect("a name");
        Self::connects(cluster, at, subject)
            .await
            .expect("it is connected")
    }

    async fn says(&self, to: &str, content: &'static str) {
        let parcel = Parcel {
            host: to.to_owned(),
            content: content.into(),
        };
        self.say.send(parcel).await.expect("connected");
    }

    async fn hears(&mut self) -> (String, String) {
        let parcel = self.hear.message().await.expect("carried").expect("one");
        let content = String::from_utf8(parcel.content.to_vec()).expect("text");
        (parcel.host, content)
    }
}

fn from(host: &str, content: &str) -> (String, String) {
    (host.to_owned(), content.to_owned())
}

#[tokio::test]
async fn hosts_that_are_connected_to_a_member_hear_each_other_under_the_names_of_their_certificates()
 {
    let cluster = TestCluster::of_one().await;
    let mut one = Host::at(&cluster, 0, "an1").await;
    let mut two = Host::at(&cluster, 0, "an2").await;
    one.says("an2", "hello").await;
    assert_eq!(two.hears().await, from("an1", "hello"));
    two.says("an3", "nobody is there").await;
    two.says("an1", "welcome").await;
    assert_eq!(one.hears().await, from("an2", "welcome"));
}

#[tokio::test]
async fn a_host_that_comes_again_takes_its_own_place() {
    let cluster = TestCluster::of_one().await;
    let one = Host::at(&cluster, 0, "an1").await;
    let mut former = Host::at(&cluster, 0, "an2").await;
    let mut present = Host::at(&cluster, 0, "an2").await;
    one.says("an2", "hello").await;
    assert_eq!(present.hears().await, from("an1", "hello"));
    assert!(former.hear.message().await.expect("ended").is_none());
    // Its end is not the end of the present one.
    drop(former);
    one.says("an2", "still there?").await;
    assert_eq!(present.hears().await, from("an1", "still there?"));
}

#[tokio::test]
async fn only_hosts_are_carried_for() {
    let cluster = TestCluster::of_one().await;
    let subject = Subject::person("ann", &[]).expect("a name");
    let refused = Host::connects(&cluster, 0, subject).await;
    assert_eq!(
        refused.expect_err("a person").code(),
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn what_is_too_large_is_not_carried_and_ends_nothing_that_others_have() {
    let cluster = TestCluster::of_one().await;
    let one = Host::at(&cluster, 0, "an1").await;
    let mut two = Host::at(&cluster, 0, "an2").await;
    let huge = Parcel {
        host: "an2".to_owned(),
        content: vec![b'x'; 100 << 10].into(),
    };
    one.say.send(huge).await.expect("connected");
    one.says("an2", "hello").await;
    assert_eq!(two.hears().await, from("an1", "hello"));
}

//! One address in front of all members, as a load balancer gives it, whose connections can be broken.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::support::TestCluster;

/// Passes bytes on between callers and the first member of its list.
pub(super) struct Balancer {
    pub(super) address: String,
    members: watch::Sender<Vec<String>>,
    breaks: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Balancer {
    pub(super) async fn before(cluster: &TestCluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (members, known) = watch::channel(all(cluster));
        let (breaks, broken) = watch::channel(());
        let accepting = tokio::spawn(async move {
            loop {
                let (caller, _) = listener.accept().await.expect("a caller");
                tokio::spawn(relay(caller, known.clone(), broken.clone()));
            }
        });
        Self {
            address,
            members,
            breaks,
            accepting,
        }
    }

    /// Breaks all connections. New ones are passed on.
    pub(super) fn cut(&self) {
        self.breaks.send_replace(());
    }

    /// Breaks all connections. New ones wait.
    pub(super) fn hold(&self) {
        self.members.send_replace(Vec::new());
        self.cut();
    }

    /// Lets new connections through to these members.
    pub(super) fn let_through(&self, cluster: &TestCluster) {
        self.members.send_replace(all(cluster));
    }

    /// Sends nobody to the first member any more.
    pub(super) fn lose_the_first(&self) {
        self.members.send_modify(|members| {
            members.remove(0);
        });
        self.cut();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn all(cluster: &TestCluster) -> Vec<String> {
    let sites = cluster.sites.iter();
    sites.map(|site| site.config.addresses[0].clone()).collect()
}

async fn relay(
    mut caller: TcpStream,
    mut members: watch::Receiver<Vec<String>>,
    mut broken: watch::Receiver<()>,
) {
    broken.mark_unchanged();
    let member = match members.wait_for(|members| !members.is_empty()).await {
        Ok(members) => members[0].clone(),
        // The test is over.
        Err(_) => return,
    };
    // A member that is not there leaves its callers without an answer.
    let Ok(mut member) = TcpStream::connect(member).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut caller, &mut member) => {}
        _ = broken.changed() => {}
    }
}

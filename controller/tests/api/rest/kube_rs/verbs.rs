//! The verbs, lists in pages, and discovery.

use kube::{
    Api, Resource, ResourceExt,
    api::{
        DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
        VersionMatch,
    },
    core::GroupVersionKind,
    discovery::{Discovery, verbs},
};
use quorate_crds::Network;
use serde_json::json;

use super::{client, create, delete, secrets};
use crate::support::{TestCluster, network};

/// The code and the reason of a refusal.
fn refused<T: std::fmt::Debug>(answer: kube::Result<T>) -> (u16, String) {
    match answer {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_of_one_state() {
    let cluster = TestCluster::of_one().await;
    let secrets = secrets(&cluster, &cluster.sites[0].config.addresses[0]).await;
    let names: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    for name in &names {
        create(&secrets, name).await.expect("created");
    }

    let mut params = ListParams::default().limit(4);
    let (mut found, mut versions, mut left) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let page = secrets.list(&params).await.expect("a page");
        found.extend(page.items.iter().map(ResourceExt::name_any));
        versions.push(page.metadata.resource_version.expect("a version"));
        left.push(page.metadata.remaining_item_count);
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else {
            break;
        };
        // What happens meanwhile is not seen.
        if versions.len() == 1 {
            delete(&secrets, &found[0]).await;
        }
        params = params.continue_token(&token);
    }
    assert_eq!(found, names);
    assert_eq!(left, [Some(6), Some(2), None]);
    assert!(versions.iter().all(|version| *version == versions[0]));

    let exact = ListParams::default()
        .at(&versions[0])
        .matching(VersionMatch::Exact);
    assert_eq!(
        secrets.list(&exact).await.expect("that state").items.len(),
        10
    );
    let any = ListParams::default().match_any();
    assert_eq!(secrets.list(&any).await.expect("a state").items.len(), 9);
    let one = ListParams::default().fields("metadata.name=s3");
    let metadata = secrets.list_metadata(&one).await.expect("metadata");
    assert_eq!(metadata.items[0].name_any(), "s3");
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_do_what_kube_rs_expects_of_them() {
    let cluster = TestCluster::of_one().await;
    let client = client(&cluster, &cluster.sites[0].config.addresses[0]).await;
    let networks: Api<Network> = Api::all(client.clone());
    let wanted: Network = serde_json::from_value(network("a")).expect("a Network");
    let post = PostParams::default();

    assert!(networks.get_opt("a").await.expect("an answer").is_none());
    let created = networks.create(&post, &wanted).await.expect("created");
    let again = networks.create(&post, &wanted).await;
    assert_eq!(refused(again), (409, "AlreadyExists".to_owned()));
    let mut next = created.clone();
    next.spec.mtu = 9000;
    let updated = networks.replace("a", &post, &next).await.expect("updated");
    assert_eq!(updated.metadata.generation, Some(2));
    let late = networks.replace("a", &post, &next).await;
    assert_eq!(refused(late), (409, "Conflict".to_owned()));

    let patch = Patch::Merge(json!({"status": {"observedGeneration": 2}}));
    let params = PatchParams::default();
    let told = networks.patch_status("a", &params, &patch).await;
    let told = told.expect("patched");
    assert_eq!(told.status.expect("a status").observed_generation, Some(2));
    let strict = PatchParams::default().validation_strict();
    let misspelt = Patch::Merge(json!({"spec": {"mtoo": 1}}));
    let misspelt = networks.patch("a", &strict, &misspelt).await;
    assert_eq!(refused(misspelt), (422, "Invalid".to_owned()));
    let applied = json!({
        "apiVersion": Network::api_version(&()), "kind": Network::kind(&()),
        "metadata": {"name": "a"}, "spec": {"addressing": "None", "mtu": 1500},
    });
    let params = PatchParams::apply("other");
    let taken = networks.patch("a", &params, &Patch::Apply(&applied)).await;
    assert_eq!(refused(taken), (409, "Conflict".to_owned()));
    let force = PatchParams::apply("other").force();
    let taken = networks.patch("a", &force, &Patch::Apply(&applied)).await;
    assert_eq!(taken.expect("applied").spec.mtu, 1500);

    let another = DeleteParams::default().preconditions(Preconditions {
        uid: Some("another".into()),
        resource_version: None,
    });
    let kept = networks.delete("a", &another).await;
    assert_eq!(refused(kept), (409, "Conflict".to_owned()));
    let (options, all) = (DeleteParams::default(), ListParams::default());
    let rest = networks.delete_collection(&options, &all).await;
    rest.expect("deleted");
    let gone = networks.get("a").await;
    assert_eq!(refused(gone), (404, "NotFound".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_can_be_discovered_in_both_ways() {
    let cluster = TestCluster::of_one().await;
    let client = client(&cluster, &cluster.sites[0].config.addresses[0]).await;
    for found in [
        Discovery::new(client.clone()).run().await,
        Discovery::new(client.clone()).run_aggregated().await,
    ] {
        let found = found.expect("discovered");
        for kind in quorate_crds::kinds() {
            let named = GroupVersionKind::gvk("quorate.dev", "v1alpha1", kind.kind);
            let (resource, can) = found.resolve_gvk(&named).expect("it is served");
            assert_eq!(resource.plural, kind.plural);
            assert!(can.supports_operation(verbs::WATCH));
            let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let listed = objects.list(&ListParams::default()).await.expect("a list");
            assert_eq!(listed.types.kind, format!("{}List", kind.kind));
        }
    }
}

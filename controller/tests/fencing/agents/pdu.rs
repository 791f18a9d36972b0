//! `fence_apc_snmp` against outlet strips, alone and through the whole of fencing.

use std::time::Duration;

use quorate_controller::fencing::agents::{Action, AgentFailure, AgentRequest, LocalAgents, Power};
use quorate_crds::{FencePhase, PowerState};
use serde_json::json;

use super::{
    AGENTS, agents_in, ask,
    cluster::Cluster,
    have, request,
    strip::{COMMUNITY, Strip},
};

const NEEDED: [&str; 3] = ["fence_apc_snmp", "snmpget", "snmpset"];

fn agents(community: &str) -> LocalAgents {
    agents_in(AGENTS.as_ref(), &[("password", community)])
}

fn to(port: u16, outlet: &str) -> AgentRequest {
    let port = port.to_string();
    let parameters = [("ip", "127.0.0.1"), ("ipport", port.as_str())];
    AgentRequest {
        plug: outlet.into(),
        ..request("fence_apc_snmp", &parameters, Some("community"))
    }
}

#[tokio::test]
async fn it_switches_one_outlet_and_no_other() {
    if !have(&NEEDED) {
        return;
    }
    let (strip, agents) = (Strip::new().await, agents(COMMUNITY));
    let to = to(strip.port, "3");
    assert_eq!(ask(&agents, &to, Action::Status).await, Ok(Power::On));
    assert_eq!(ask(&agents, &to, Action::Off).await, Ok(Power::Unknown));
    let off: Vec<u32> = strip
        .outlets()
        .on
        .iter()
        .filter(|(_, on)| !**on)
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(off, [3]);
    assert_eq!(ask(&agents, &to, Action::Status).await, Ok(Power::Off));
    assert_eq!(
        ask(&agents, &to, Action::Off).await,
        Ok(Power::Unknown),
        "it is off already"
    );
    assert_eq!(ask(&agents, &to, Action::On).await, Ok(Power::Unknown));
    assert!(strip.outlets().on[&3]);
}

#[tokio::test]
async fn a_wrong_community_gets_no_answer_and_is_not_shown() {
    if !have(&NEEDED) {
        return;
    }
    let (strip, agents) = (Strip::new().await, agents("wrong-community"));
    let failure = ask(&agents, &to(strip.port, "3"), Action::Off)
        .await
        .expect_err("refused");
    assert!(matches!(failure, AgentFailure::Failed(_)), "{failure:?}");
    assert!(
        !failure.to_string().contains("wrong-community"),
        "{failure}"
    );
    println!("a wrong community: {failure}");
    assert!(strip.outlets().on[&3]);
}

#[tokio::test]
async fn a_strip_that_says_nothing_is_given_up_in_time() {
    if !have(&NEEDED) {
        return;
    }
    let (strip, agents) = (Strip::new().await, agents(COMMUNITY));
    strip.outlets().silent = true;
    let mut to = to(strip.port, "3");
    to.timeout = Duration::from_secs(2);
    assert_eq!(
        ask(&agents, &to, Action::Off).await,
        Err(AgentFailure::TimedOut(Duration::from_secs(2)))
    );
}

#[tokio::test]
async fn an_outlet_that_is_not_there_is_not_off() {
    if !have(&NEEDED) {
        return;
    }
    let (strip, agents) = (Strip::new().await, agents(COMMUNITY));
    let failure = ask(&agents, &to(strip.port, "9"), Action::Status)
        .await
        .expect_err("there are eight");
    assert!(matches!(failure, AgentFailure::Failed(_)), "{failure:?}");
}

#[tokio::test]
async fn two_strips_make_a_host_safe_only_when_both_outlets_are_off() {
    if !have(&NEEDED) {
        return;
    }
    let strips = [Strip::new().await, Strip::new().await];
    let cluster = Cluster::new(agents(COMMUNITY)).await;
    for (number, strip) in strips.iter().enumerate() {
        let device = json!({
            "type": "Agent",
            "agent": "fence_apc_snmp",
            "parameters": {"ip": "127.0.0.1", "ipport": strip.port.to_string()},
            "secretParameters": [{"name": "community", "from": {"secret": "pdu", "key": "password"}}],
            "timeout": "60s",
            "retries": 0,
        });
        cluster
            .put(
                "fencedevices",
                &format!("pdu{}", number + 1),
                device,
                json!({}),
            )
            .await;
    }
    let levels = json!([{"name": "power", "devices": [
        {"device": "pdu1", "plug": "1"}, {"device": "pdu2", "plug": "1"},
    ]}]);
    cluster
        .put(
            "clusters",
            "cluster",
            json!({"fencing": {"retryInitial": "1s", "retryMax": "1s"}}),
            json!({}),
        )
        .await;
    cluster
        .put(
            "nodes",
            "node1",
            json!({"fencing": {"levels": levels}}),
            json!({"state": "Fencing", "incarnation": 7}),
        )
        .await;
    strips[1].outlets().stuck = true;
    let wanted = json!({
        "node": "node1", "action": "PowerCycle", "incarnation": 7, "reason": "silent on all rings",
    });
    cluster
        .put("fenceoperations", "node1-7", wanted, json!({}))
        .await;

    let status = cluster
        .until("node1-7", |status| {
            status.phase == Some(FencePhase::Blocked)
        })
        .await;
    assert!(status.evidence.is_none());
    let said: Vec<_> = status.results.iter().map(|result| result.power).collect();
    assert_eq!(
        said,
        [Some(PowerState::PoweredOff), Some(PowerState::PoweredOn)]
    );
    assert!(strips[1].outlets().on[&1]);

    strips[1].outlets().stuck = false;
    let status = cluster
        .until("node1-7", |status| status.powered_on_at.is_some())
        .await;
    assert_eq!(status.phase, Some(FencePhase::Succeeded));
    assert_eq!(
        status.evidence.expect("evidence").level.as_deref(),
        Some("power")
    );
    assert!(
        strips.iter().all(|strip| strip.outlets().on[&1]),
        "both have power again"
    );
    assert!(
        !cluster.everything_stored().contains(COMMUNITY),
        "no secret was written"
    );
}

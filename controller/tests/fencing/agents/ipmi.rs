//! `fence_ipmilan` against OpenIPMI's board.

use std::time::Duration;

use quorate_controller::fencing::agents::{Action, AgentFailure, AgentRequest, LocalAgents, Power};

use super::{
    AGENTS, agents_in, ask,
    board::{Board, PASSWORD, USER},
    have, request,
};

const NEEDED: [&str; 3] = ["fence_ipmilan", "ipmitool", "ipmi_sim"];

fn agents(password: &str) -> LocalAgents {
    agents_in(AGENTS.as_ref(), &[("password", password)])
}

fn to(port: u16) -> AgentRequest {
    let port = port.to_string();
    let parameters = [
        ("ip", "127.0.0.1"),
        ("ipport", port.as_str()),
        ("lanplus", "1"),
        ("cipher", "3"),
        ("username", USER),
    ];
    request("fence_ipmilan", &parameters, Some("password"))
}

#[tokio::test]
async fn it_switches_the_machine_off_and_on_and_says_so() {
    if !have(&NEEDED) {
        return;
    }
    let (board, agents) = (Board::new().await, agents(PASSWORD));
    let to = to(board.port);
    assert_eq!(ask(&agents, &to, Action::Status).await, Ok(Power::On));
    assert_eq!(
        ask(&agents, &to, Action::Off).await,
        Ok(Power::Unknown),
        "an order is no evidence"
    );
    assert!(!board.machine_is_on());
    assert_eq!(ask(&agents, &to, Action::Status).await, Ok(Power::Off));
    assert_eq!(
        ask(&agents, &to, Action::Off).await,
        Ok(Power::Unknown),
        "it is off already"
    );
    assert_eq!(ask(&agents, &to, Action::Status).await, Ok(Power::Off));
    assert_eq!(ask(&agents, &to, Action::On).await, Ok(Power::Unknown));
    assert!(board.machine_is_on());
    assert_eq!(ask(&agents, &to, Action::Monitor).await, Ok(Power::Unknown));
}

#[tokio::test]
async fn a_wrong_password_fails_and_neither_password_is_shown() {
    if !have(&NEEDED) {
        return;
    }
    let (board, agents) = (Board::new().await, agents("wrong-password"));
    for action in [Action::Off, Action::Status] {
        let failure = ask(&agents, &to(board.port), action)
            .await
            .expect_err("refused");
        assert!(matches!(failure, AgentFailure::Failed(_)), "{failure:?}");
        assert!(!failure.to_string().contains("wrong-password"), "{failure}");
        println!("{action} with a wrong password: {failure}");
    }
    assert!(board.machine_is_on());
}

#[tokio::test]
async fn a_board_that_says_nothing_is_given_up_in_time_with_all_its_processes() {
    if !have(&NEEDED) {
        return;
    }
    let hole = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = hole.local_addr().expect("its number").port();
    let mut to = to(port);
    to.timeout = Duration::from_secs(3);
    let report = ask(&agents(PASSWORD), &to, Action::Status).await;
    assert_eq!(report, Err(AgentFailure::TimedOut(Duration::from_secs(3))));
    let port = port.to_string();
    let left = || processes().iter().any(|words| words.contains(&port));
    let gone = async {
        while left() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
    assert!(gone.is_ok(), "ipmitool was killed with the agent");
}

/// The arguments of every process of this machine that can be seen.
fn processes() -> Vec<Vec<String>> {
    let listed = std::fs::read_dir("/proc").expect("listed");
    listed
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| {
            line.split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect()
        })
        .collect()
}

#[tokio::test]
async fn its_own_metadata_names_what_it_takes() {
    if !have(&NEEDED) {
        return;
    }
    let agents = agents(PASSWORD);
    let described = agents.describe("fence_ipmilan").await.expect("described");
    assert_eq!(described.name.as_deref(), Some("fence_ipmilan"));
    assert!(described.parameters.iter().any(|name| name == "lanplus"));

    let mistyped = request(
        "fence_ipmilan",
        &[("ip", "127.0.0.1"), ("lan_plus", "1")],
        Some("password"),
    );
    let failure = ask(&agents, &mistyped, Action::Status)
        .await
        .expect_err("refused");
    assert!(matches!(failure, AgentFailure::Refused(_)));
    assert!(failure.to_string().contains("lanplus"), "{failure}");
}

/// Every agent of the package that describes itself is understood.
#[tokio::test]
async fn the_metadata_of_every_installed_agent_is_understood() {
    if !have(&NEEDED) {
        return;
    }
    let agents = agents(PASSWORD);
    // A selection over the kinds of connection: a call of each of them takes a second on a slow machine.
    for agent in [
        "fence_ilo4",
        "fence_redfish",
        "fence_virsh",
        "fence_drac5",
        "fence_apc",
        "fence_eaton_snmp",
    ] {
        if !std::path::Path::new(AGENTS).join(agent).exists() {
            continue;
        }
        let described = agents
            .describe(agent)
            .await
            .unwrap_or_else(|failure| panic!("{agent}: {failure}"));
        assert!(
            described.parameters.iter().any(|name| name == "ip"),
            "{agent}"
        );
    }
}

//! The same loss for Pacemaker: a cluster information base with the same guests on the same hosts, the
//! first host unclean, and its scheduler asked what to do.
//!
//! It is the easier task for Pacemaker: guests are plain primitives that may run on the two hosts that
//! keep their volume, memory counts, and there is a fence device; the volumes themselves, which our
//! planner decides as well, are left out.

use super::cluster::Cluster;
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

/// How often its scheduler runs; it prints the sum.
fn times(guests: usize) -> u32 {
    if guests > 5_000 { 1 } else { 3 }
}

/// A scheduler that takes longer is not waited for.
const PATIENCE: &str = "300";

/// How long one run takes; none when `crm_simulate` is not installed, or took too long.
pub(crate) fn schedule(cluster: &Cluster) -> Option<Duration> {
    let times = times(cluster.guests().len());
    let folder = std::env::temp_dir().join(format!("quorate-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).ok()?;
    std::fs::write(folder.join("cib.xml"), cib(cluster)).ok()?;
    let output = Command::new("timeout")
        .arg(PATIENCE)
        .arg("crm_simulate")
        .arg(format!("--profile={}", folder.display()))
        .arg(format!("--repeat={times}"))
        .output();
    let removed = std::fs::remove_dir_all(&folder);
    let output = output.ok()?;
    removed.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let seconds = text.lines().find_map(|line| {
        let (_, rest) = line.split_once("cib.xml")?;
        let digits = |c: char| !(c.is_ascii_digit() || c == '.');
        let mut words = rest.split(digits).filter(|word| word.contains('.'));
        words.find_map(|word| word.parse::<f64>().ok())
    });
    if seconds.is_none() {
        eprintln!(
            "crm_simulate gave no time ({}): {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Some(Duration::from_secs_f64(seconds? / f64::from(times)))
}

fn cib(cluster: &Cluster) -> String {
    let hosts = cluster.hosts();
    let guests = cluster.guests();
    let mut xml = String::from(
        "<cib crm_feature_set=\"3.16.2\" validate-with=\"pacemaker-3.9\" epoch=\"1\" num_updates=\"1\" \
         admin_epoch=\"0\" have-quorum=\"1\">\n<configuration>\n<crm_config>\
         <cluster_property_set id=\"options\">\
         <nvpair id=\"o1\" name=\"stonith-enabled\" value=\"true\"/>\
         <nvpair id=\"o2\" name=\"symmetric-cluster\" value=\"false\"/>\
         <nvpair id=\"o3\" name=\"placement-strategy\" value=\"balanced\"/>\
         <nvpair id=\"o4\" name=\"no-quorum-policy\" value=\"freeze\"/>\
         </cluster_property_set></crm_config>\n<nodes>\n",
    );
    let room = 4 * (2 * guests.len() / hosts.len() + 4);
    for (id, host) in hosts.iter().enumerate() {
        let id = id + 1;
        push(
            &mut xml,
            format_args!(
                "<node id=\"{id}\" uname=\"{host}\"><utilization id=\"u-{host}\">\
                 <nvpair id=\"m-{host}\" name=\"memory\" value=\"{room}\"/></utilization></node>\n"
            ),
        );
    }
    xml.push_str(
        "</nodes>\n<resources>\n<primitive id=\"fence\" class=\"stonith\" type=\"fence_dummy\"/>\n",
    );
    for (index, (guest, ..)) in guests.iter().enumerate() {
        let priority = index % 7;
        push(
            &mut xml,
            format_args!(
                "<primitive id=\"{guest}\" class=\"ocf\" provider=\"heartbeat\" type=\"VirtualDomain\">\
                 <meta_attributes id=\"a-{guest}\">\
                 <nvpair id=\"p-{guest}\" name=\"priority\" value=\"{priority}\"/>\
                 <nvpair id=\"s-{guest}\" name=\"resource-stickiness\" value=\"1000\"/>\
                 </meta_attributes>\
                 <operations><op id=\"op-{guest}\" name=\"monitor\" interval=\"10s\"/></operations>\
                 <utilization id=\"u-{guest}\">\
                 <nvpair id=\"m-{guest}\" name=\"memory\" value=\"4\"/></utilization>\
                 </primitive>\n"
            ),
        );
    }
    xml.push_str("</resources>\n<constraints>\n");
    if let Some(host) = hosts.last() {
        push(
            &mut xml,
            format_args!(
                "<rsc_location id=\"l-fence\" rsc=\"fence\" node=\"{host}\" score=\"100\"/>\n"
            ),
        );
    }
    for (guest, _, keepers) in &guests {
        for keeper in keepers {
            push(
                &mut xml,
                format_args!(
                    "<rsc_location id=\"l-{guest}-{keeper}\" rsc=\"{guest}\" node=\"{keeper}\" \
                     score=\"100\"/>\n"
                ),
            );
        }
    }
    xml.push_str("</constraints>\n</configuration>\n<status>\n");
    for (id, host) in hosts.iter().enumerate() {
        let state = match id {
            0 => "in_ccm=\"false\" crmd=\"offline\" join=\"down\" expected=\"member\"",
            _ => "in_ccm=\"true\" crmd=\"online\" join=\"member\" expected=\"member\"",
        };
        let id = id + 1;
        push(
            &mut xml,
            format_args!(
                "<node_state id=\"{id}\" uname=\"{host}\" {state}><lrm id=\"{id}\"><lrm_resources>\n"
            ),
        );
        for (guest, _, _) in guests.iter().filter(|(_, on, _)| on == host) {
            push(
                &mut xml,
                format_args!(
                    "<lrm_resource id=\"{guest}\" class=\"ocf\" provider=\"heartbeat\" \
                     type=\"VirtualDomain\"><lrm_rsc_op id=\"{guest}_last_0\" operation=\"start\" \
                     operation_key=\"{guest}_start_0\" crm-debug-origin=\"build\" \
                     crm_feature_set=\"3.16.2\" interval=\"0\" call-id=\"1\" rc-code=\"0\" \
                     op-status=\"0\" \
                     transition-key=\"1:0:0:00000000-0000-0000-0000-000000000000\" \
                     transition-magic=\"0:0;1:0:0:00000000-0000-0000-0000-000000000000\"/>\
                     <lrm_rsc_op id=\"{guest}_monitor_10000\" operation=\"monitor\" \
                     operation_key=\"{guest}_monitor_10000\" crm-debug-origin=\"build\" \
                     crm_feature_set=\"3.16.2\" interval=\"10000\" call-id=\"2\" rc-code=\"0\" \
                     op-status=\"0\" \
                     transition-key=\"2:0:0:00000000-0000-0000-0000-000000000000\" \
                     transition-magic=\"0:0;2:0:0:00000000-0000-0000-0000-000000000000\"/>\
                     </lrm_resource>\n"
                ),
            );
        }
        xml.push_str("</lrm_resources></lrm></node_state>\n");
    }
    xml.push_str("</status>\n</cib>\n");
    xml
}

fn push(xml: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = xml.write_fmt(text);
}

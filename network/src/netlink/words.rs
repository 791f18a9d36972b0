//! Our words for options, and the kernel's.

use crate::model::{
    ArpOptions, ArpValidate, BondMode, BondOptions, BridgeOptions, FailOverMac, HashPolicy,
    LacpRate, PrimaryReselect,
};
use netlink_packet_route::link::{
    BondArpValidate, BondFailOverMac, BondLacpRate, BondMode as KernelMode, BondPrimaryReselect,
    BondXmitHashPolicy, BridgeStpState, InfoBond, InfoBridge,
};

/// The kernel counts a bridge's times in hundredths of a second.
const TICK: u32 = 10;

/// A bond's options, with the number of the primary's interface.
pub(super) fn bond(data: &[InfoBond]) -> (BondOptions, Option<u32>) {
    let mut options = BondOptions {
        mode: BondMode::BalanceRr,
        ..BondOptions::default()
    };
    let mut arp = ArpOptions {
        interval: 0,
        targets: Vec::new(),
        validate: ArpValidate::None,
    };
    let mut lacp = None;
    let mut primary = None;
    for one in data {
        match one {
            InfoBond::Mode(mode) => options.mode = mode_of(*mode),
            InfoBond::MiiMon(value) => options.miimon = *value,
            InfoBond::UpDelay(value) => options.up_delay = *value,
            InfoBond::DownDelay(value) => options.down_delay = *value,
            InfoBond::UseCarrier(value) => options.use_carrier = *value,
            InfoBond::ArpInterval(value) => arp.interval = *value,
            InfoBond::ArpIpTarget(targets) => arp.targets.clone_from(targets),
            InfoBond::ArpValidate(value) => arp.validate = validate_of(*value),
            InfoBond::Primary(index) if *index != 0 => primary = Some(*index),
            InfoBond::PrimaryReselect(value) => options.primary_reselect = reselect_of(*value),
            InfoBond::FailOverMac(value) => options.fail_over_mac = fail_over_of(*value),
            InfoBond::XmitHashPolicy(value) => options.hash_policy = hash_of(*value),
            InfoBond::NumPeerNotif(value) => options.gratuitous_arps = *value,
            InfoBond::AdLacpRate(value) => lacp = Some(*value),
            _ => {}
        }
    }
    options.arp = (arp.interval > 0).then_some(arp);
    options.lacp_rate = match (options.mode, lacp) {
        (BondMode::Lacp, Some(BondLacpRate::Fast)) => Some(LacpRate::Fast),
        (BondMode::Lacp, _) => Some(LacpRate::Slow),
        _ => None,
    };
    (options, primary)
}

/// What the kernel is asked for. `making` sends what can only be set while the bond is down and empty.
pub(super) fn bond_data(
    options: &BondOptions,
    primary: Option<u32>,
    making: bool,
) -> Vec<InfoBond> {
    let mut data = Vec::new();
    if making {
        data.push(InfoBond::Mode(kernel_mode(options.mode)));
        data.push(InfoBond::FailOverMac(match options.fail_over_mac {
            FailOverMac::None => BondFailOverMac::None,
            FailOverMac::Active => BondFailOverMac::Active,
            FailOverMac::Follow => BondFailOverMac::Follow,
        }));
        if let (BondMode::Lacp, Some(rate)) = (options.mode, options.lacp_rate) {
            data.push(InfoBond::AdLacpRate(match rate {
                LacpRate::Slow => BondLacpRate::Slow,
                LacpRate::Fast => BondLacpRate::Fast,
            }));
        }
    }
    match &options.arp {
        // Each of the two ways of watching switches the other off.
        Some(arp) => {
            data.push(InfoBond::MiiMon(0));
            data.push(InfoBond::ArpInterval(arp.interval));
            data.push(InfoBond::ArpIpTarget(arp.targets.clone()));
            data.push(InfoBond::ArpValidate(match arp.validate {
                ArpValidate::None => BondArpValidate::None,
                ArpValidate::Active => BondArpValidate::Active,
                ArpValidate::Backup => BondArpValidate::Backup,
                ArpValidate::All => BondArpValidate::All,
            }));
        }
        None => {
            // The other modes cannot watch by ARP, are told so by their mode, and refuse to hear of it.
            let could = !matches!(
                options.mode,
                BondMode::Lacp | BondMode::BalanceTlb | BondMode::BalanceAlb
            );
            if could {
                data.push(InfoBond::ArpInterval(0));
            }
            data.push(InfoBond::MiiMon(options.miimon));
            data.push(InfoBond::UpDelay(options.up_delay));
            data.push(InfoBond::DownDelay(options.down_delay));
        }
    }
    // Newer kernels ask the driver always and refuse to be told otherwise.
    if !options.use_carrier {
        data.push(InfoBond::UseCarrier(false));
    }
    data.push(InfoBond::NumPeerNotif(options.gratuitous_arps));
    data.push(InfoBond::XmitHashPolicy(match options.hash_policy {
        HashPolicy::Layer2 | HashPolicy::Other => BondXmitHashPolicy::Layer2,
        HashPolicy::Layer23 => BondXmitHashPolicy::Layer23,
        HashPolicy::Layer34 => BondXmitHashPolicy::Layer34,
    }));
    let chooses = matches!(
        options.mode,
        BondMode::ActiveBackup | BondMode::BalanceTlb | BondMode::BalanceAlb
    );
    if chooses {
        data.push(InfoBond::PrimaryReselect(match options.primary_reselect {
            PrimaryReselect::Always => BondPrimaryReselect::Always,
            PrimaryReselect::Better => BondPrimaryReselect::Better,
            PrimaryReselect::Failure => BondPrimaryReselect::Failure,
        }));
        data.push(InfoBond::Primary(primary.unwrap_or(0)));
    }
    data
}

pub(super) fn bridge(data: &[InfoBridge]) -> BridgeOptions {
    let mut options = BridgeOptions::default();
    for one in data {
        match one {
            InfoBridge::StpState(state) => options.stp = *state != BridgeStpState::Disabled,
            InfoBridge::ForwardDelay(value) => options.forward_delay = value * TICK,
            InfoBridge::HelloTime(value) => options.hello_time = value * TICK,
            InfoBridge::MaxAge(value) => options.max_age = value * TICK,
            _ => {}
        }
    }
    options
}

pub(super) fn bridge_data(options: &BridgeOptions) -> Vec<InfoBridge> {
    vec![
        InfoBridge::ForwardDelay(options.forward_delay / TICK),
        InfoBridge::HelloTime(options.hello_time / TICK),
        InfoBridge::MaxAge(options.max_age / TICK),
        InfoBridge::StpState(if options.stp {
            BridgeStpState::KernelStp
        } else {
            BridgeStpState::Disabled
        }),
    ]
}

fn mode_of(mode: KernelMode) -> BondMode {
    match mode {
        KernelMode::ActiveBackup => BondMode::ActiveBackup,
        KernelMode::BalanceXor => BondMode::BalanceXor,
        KernelMode::Broadcast => BondMode::Broadcast,
        KernelMode::Ieee8023Ad => BondMode::Lacp,
        KernelMode::BalanceTlb => BondMode::BalanceTlb,
        KernelMode::BalanceAlb => BondMode::BalanceAlb,
        _ => BondMode::BalanceRr,
    }
}

fn kernel_mode(mode: BondMode) -> KernelMode {
    match mode {
        BondMode::BalanceRr => KernelMode::BalanceRr,
        BondMode::ActiveBackup => KernelMode::ActiveBackup,
        BondMode::BalanceXor => KernelMode::BalanceXor,
        BondMode::Broadcast => KernelMode::Broadcast,
        BondMode::Lacp => KernelMode::Ieee8023Ad,
        BondMode::BalanceTlb => KernelMode::BalanceTlb,
        BondMode::BalanceAlb => KernelMode::BalanceAlb,
    }
}

fn validate_of(value: BondArpValidate) -> ArpValidate {
    match value {
        BondArpValidate::Active => ArpValidate::Active,
        BondArpValidate::Backup => ArpValidate::Backup,
        BondArpValidate::All => ArpValidate::All,
        _ => ArpValidate::None,
    }
}

fn reselect_of(value: BondPrimaryReselect) -> PrimaryReselect {
    match value {
        BondPrimaryReselect::Better => PrimaryReselect::Better,
        BondPrimaryReselect::Failure => PrimaryReselect::Failure,
        _ => PrimaryReselect::Always,
    }
}

fn fail_over_of(value: BondFailOverMac) -> FailOverMac {
    match value {
        BondFailOverMac::Active => FailOverMac::Active,
        BondFailOverMac::Follow => FailOverMac::Follow,
        _ => FailOverMac::None,
    }
}

fn hash_of(value: BondXmitHashPolicy) -> HashPolicy {
    match value {
        BondXmitHashPolicy::Layer2 => HashPolicy::Layer2,
        BondXmitHashPolicy::Layer23 => HashPolicy::Layer23,
        BondXmitHashPolicy::Layer34 => HashPolicy::Layer34,
        _ => HashPolicy::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux refuses the whole request otherwise, with "permission denied".
    #[test]
    fn a_mode_that_cannot_watch_by_arp_is_not_told_of_it() {
        let speaks_of_arp = |mode| {
            let options = BondOptions {
                mode,
                ..BondOptions::default()
            };
            bond_data(&options, None, true)
                .iter()
                .any(|one| matches!(one, InfoBond::ArpInterval(_)))
        };
        for mode in [BondMode::Lacp, BondMode::BalanceTlb, BondMode::BalanceAlb] {
            assert!(!speaks_of_arp(mode), "{mode:?}");
        }
        assert!(speaks_of_arp(BondMode::ActiveBackup));
    }
}

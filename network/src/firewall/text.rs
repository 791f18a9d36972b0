use super::{Guard, Opening, Transport};
use crate::model::Address;
use std::fmt::Write;
use std::net::IpAddr;

/// A network whose interface is guarded.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its name.
    pub network: &'a str,
    /// Its topmost interface.
    pub device: &'a str,
    /// The host's addresses on it.
    pub addresses: &'a [Address],
    /// What is open.
    pub guard: &'a Guard,
}

/// The whole table, as `nft` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name of the chain that says which table it is; none where no network is guarded, and no table is wanted.
    pub mark: Option<String>,
    /// What puts it in the place of whatever was there.
    pub text: String,
}

const FRESH: &str = "table inet quorate\ndelete table inet quorate\n";

impl Table {
    /// That for these networks.
    #[must_use]
    pub fn of(targets: &[Target<'_>]) -> Self {
        if targets.is_empty() {
            return Self {
                mark: None,
                text: FRESH.to_owned(),
            };
        }
        let mut body = String::new();
        for (number, target) in targets.iter().enumerate() {
            one(&mut body, number, target);
        }
        input(&mut body, targets);
        forward(&mut body, targets);
        let sum = body.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mark = format!("as_{sum:016x}");
        let text = format!("{FRESH}table inet quorate {{\n  chain {mark} {{\n  }}\n{body}}}\n");
        Self {
            mark: Some(mark),
            text,
        }
    }
}

/// What is open on one network.
fn one(body: &mut String, number: usize, target: &Target<'_>) {
    let mut line = |text: &str| _ = writeln!(body, "{text}");
    line(&format!("  # {}", target.network));
    line(&format!("  chain network_{number} {{"));
    // Whether it is there, what time it has, and who is next to it: no host works without.
    line("    icmp type { echo-request, timestamp-request } accept");
    line("    meta l4proto ipv6-icmp accept");
    for opening in &target.guard.openings {
        for rule in rules(opening) {
            line(&format!("    {rule}"));
        }
    }
    line("    drop");
    line("  }");
}

fn rules(opening: &Opening) -> Vec<String> {
    let protocol = match opening.protocol {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    let (first, last) = (opening.first, opening.last);
    let ports = match first == last {
        true => format!("{protocol} dport {first} accept"),
        false => format!("{protocol} dport {first}-{last} accept"),
    };
    if opening.sources.is_empty() {
        return vec![ports];
    }
    let sources = opening.sources.iter();
    sources
        .map(|source| match source.base() {
            IpAddr::V4(base) => format!("ip saddr {base}/{} {ports}", source.prefix),
            IpAddr::V6(base) => format!("ip6 saddr {base}/{} {ports}", source.prefix),
        })
        .collect()
}

fn input(body: &mut String, targets: &[Target<'_>]) {
    body.push_str("  chain input {\n    type filter hook input priority filter; policy accept;\n");
    body.push_str("    iifname \"lo\" accept\n    ct state established,related accept\n");
    // An address of the cluster's is reached over its own network, and not through the guests'.
    for target in targets
        .iter()
        .filter(|target| target.guard.closed_to_guests)
    {
        for address in target.addresses {
            let family = match address.ip {
                IpAddr::V4(_) => "ip",
                IpAddr::V6(_) => "ip6",
            };
            let _ = writeln!(
                body,
                "    iifname != \"{}\" {family} daddr {} drop",
                target.device, address.ip
            );
        }
    }
    for (number, target) in targets.iter().enumerate() {
        let device = target.device;
        let _ = writeln!(body, "    iifname \"{device}\" jump network_{number}");
    }
    body.push_str("  }\n");
}

fn forward(body: &mut String, targets: &[Target<'_>]) {
    let mut closed = targets
        .iter()
        .filter(|target| target.guard.closed_to_guests)
        .peekable();
    if closed.peek().is_none() {
        return;
    }
    body.push_str(
        "  chain forward {\n    type filter hook forward priority filter; policy accept;\n",
    );
    for target in closed {
        let device = target.device;
        let _ = writeln!(
            body,
            "    iifname != \"{device}\" oifname \"{device}\" drop"
        );
    }
    body.push_str("  }\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(protocol: Transport, ports: (u16, u16), sources: &[&str]) -> Opening {
        Opening {
            protocol,
            first: ports.0,
            last: ports.1,
            sources: sources
                .iter()
                .map(|source| source.parse().expect("a subnet"))
                .collect(),
        }
    }

    #[test]
    fn a_table_closes_everything_that_is_not_open() {
        let bcn = Guard {
            openings: vec![
                opening(Transport::Tcp, (7443, 7443), &["10.20.0.1/16", "fd00::/64"]),
                opening(Transport::Udp, (7443, 7443), &["10.20.0.0/16"]),
            ],
            closed_to_guests: true,
        };
        let ifn = Guard {
            openings: vec![opening(Transport::Tcp, (8000, 8010), &[])],
            closed_to_guests: false,
        };
        let own = ["10.20.0.1/16".parse().expect("an address")];
        let targets = [
            Target {
                network: "bcn",
                device: "bond-bcn",
                addresses: &own,
                guard: &bcn,
            },
            Target {
                network: "ifn",
                device: "br0",
                addresses: &[],
                guard: &ifn,
            },
        ];
        let table = Table::of(&targets);
        let mark = table.mark.clone().expect("there is one");
        let expected = "table inet quorate
delete table inet quorate
table inet quorate {
  chain MARK {
  }
  # bcn
  chain network_0 {
    icmp type { echo-request, timestamp-request } accept
    meta l4proto ipv6-icmp accept
    ip saddr 10.20.0.0/16 tcp dport 7443 accept
    ip6 saddr fd00::/64 tcp dport 7443 accept
    ip saddr 10.20.0.0/16 udp dport 7443 accept
    drop
  }
  # ifn
  chain network_1 {
    icmp type { echo-request, timestamp-request } accept
    meta l4proto ipv6-icmp accept
    tcp dport 8000-8010 accept
    drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname \"lo\" accept
    ct state established,related accept
    iifname != \"bond-bcn\" ip daddr 10.20.0.1 drop
    iifname \"bond-bcn\" jump network_0
    iifname \"br0\" jump network_1
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname != \"bond-bcn\" oifname \"bond-bcn\" drop
  }
}
";
        assert_eq!(table.text, expected.replace("MARK", &mark));
        assert_eq!(Table::of(&targets), table, "the same is the same");
        assert_ne!(Table::of(&targets[1..]).mark, table.mark);
    }

    #[test]
    fn without_a_guarded_network_there_is_no_table() {
        let table = Table::of(&[]);
        assert_eq!(table.mark, None);
        assert_eq!(table.text, FRESH);
    }
}

//! A host whose daemon can be killed, or whose power can fail, before any of its deeds.

use quorate_network::firewall::{NftError, Table};
use quorate_network::keeper::{Keeper, Records, Shelf, ShelfError};
use quorate_network::kernel::{Kernel, KernelError};
use quorate_network::model::{BondOptions, BridgeOptions, Host, Kind, Link, Mark, Seen};
use quorate_network::plan::{Step, steps};
use quorate_network::{Card, Wanted};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) host: Rc<RefCell<Host>>,
    pub(crate) disk: Rc<RefCell<Records>>,
    /// How many deeds are still done. Whoever is dead does none.
    pub(crate) deeds: Rc<Cell<usize>>,
    /// The kernel refuses to touch this interface.
    pub(crate) stubborn: Rc<RefCell<Option<String>>>,
    /// The text of the firewall; none where its program is not installed.
    pub(crate) firewall: Rc<RefCell<Option<Table>>>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            host: Rc::new(RefCell::new(bare())),
            disk: Rc::default(),
            deeds: Rc::new(Cell::new(usize::MAX)),
            stubborn: Rc::default(),
            firewall: Rc::new(RefCell::new(Some(Table::of(&[])))),
        }
    }

    pub(crate) fn keeper(&self, boot: &str, now: u64) -> Keeper<Self, Self> {
        Keeper::begin(self.clone(), self.clone(), boot, now).expect("it begins")
    }

    pub(crate) fn shown(&self) -> Host {
        self.host.borrow().clone()
    }

    pub(crate) fn power_cut(&self) {
        *self.host.borrow_mut() = bare();
        *self.firewall.borrow_mut() = Some(Table::of(&[]));
    }

    fn deed(&self) -> io::Result<()> {
        match self.deeds.get() {
            0 => Err(io::Error::other("killed")),
            left => {
                self.deeds.set(left - 1);
                Ok(())
            }
        }
    }
}

impl Kernel for Machine {
    fn observe(&self) -> Result<Host, KernelError> {
        Ok(self.shown())
    }

    fn carry_out(&self, step: &Step) -> Result<(), KernelError> {
        let refused = |source| KernelError {
            what: step.to_string(),
            source,
        };
        self.deed().map_err(refused)?;
        for change in &step.changes {
            if self.stubborn.borrow().as_ref() == Some(change.link()) {
                return Err(refused(io::Error::other("stubborn")));
            }
            self.host
                .borrow_mut()
                .change(change)
                .map_err(|error| refused(io::Error::other(error)))?;
        }
        Ok(())
    }

    fn firewall(&self) -> Result<Option<String>, NftError> {
        let table = self.firewall.borrow();
        let table = table.as_ref().ok_or(NftError::NotInstalled)?;
        Ok(table.mark.clone())
    }

    fn guard(&self, table: &Table) -> Result<(), NftError> {
        self.firewall()?;
        self.deed().map_err(NftError::NotRun)?;
        *self.firewall.borrow_mut() = Some(table.clone());
        Ok(())
    }
}

impl Shelf for Machine {
    fn load(&self) -> Result<Records, ShelfError> {
        Ok(self.disk.borrow().clone())
    }

    fn store(&self, records: &Records) -> Result<(), ShelfError> {
        self.deed().map_err(|source| ShelfError::Disk {
            path: "networks.json".into(),
            source,
        })?;
        *self.disk.borrow_mut() = records.clone();
        Ok(())
    }
}

pub(crate) fn bare() -> Host {
    let mut host = Host::default();
    for number in 0..6 {
        let card = Link {
            kind: Kind::Physical,
            mark: Mark::None,
            up: false,
            mtu: 1500,
            master: None,
            path_cost: None,
            addresses: Vec::new(),
            seen: Seen::default(),
        };
        host.links.insert(format!("eth{number}"), card);
    }
    host
}

/// A bond of two cards with an address, as every network here is.
pub(crate) fn bonded(name: &str, cards: [usize; 2], address: &str) -> Wanted {
    Wanted {
        network: name.to_owned(),
        cards: cards
            .iter()
            .map(|number| Card {
                name: format!("nic{number}"),
                mac: None,
                path: None,
                device: Some(format!("eth{number}")),
            })
            .collect(),
        parent: None,
        bond: Some((format!("bond-{name}"), BondOptions::default())),
        vlan: None,
        bridge: None,
        mtu: 1500,
        addresses: vec![address.parse().expect("an address")],
        gateway: None,
        guard: None,
        rollback_after: 30_000,
    }
}

/// The same in a VLAN, with a bridge, of other cards: about everything changes.
pub(crate) fn changed(name: &str) -> Wanted {
    Wanted {
        vlan: Some((format!("{name}.100"), 100)),
        bridge: Some((format!("br-{name}"), BridgeOptions::default(), 19)),
        mtu: 9000,
        ..bonded(name, [1, 2], "10.20.0.1/16")
    }
}

/// What a bare host is with these networks.
pub(crate) fn made(networks: &[&Wanted]) -> Host {
    let mut host = bare();
    for wanted in networks {
        let layout = wanted.layout(&host, &[]).expect("possible");
        for step in steps(&host, &layout.desired).expect("possible") {
            for change in &step.changes {
                host.change(change).expect("possible");
            }
        }
    }
    host
}

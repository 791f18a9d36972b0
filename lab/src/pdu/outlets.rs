//! The objects of a switched rack PDU of APC's second generation, as far as fencing uses them.

use std::cell::RefCell;

use super::ber::Oid;
use super::snmp::{Held, Objects};
use crate::description::{Feed, OUTLETS};
use crate::power::Power;

const SYS_DESCRIPTION: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 1, 0];
const SYS_OBJECT_ID: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 2, 0];
const SYS_NAME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 5, 0];
/// What says that the tables below are there.
const RACK_PDU: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 3, 4, 5];
const CONTROL: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 3, 1, 1, 4];
const NAME: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 5, 1, 1, 2];
const STATE: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 5, 1, 1, 4];
const ON: i32 = 1;
const OFF: i32 = 2;

/// One PDU as its management sees it; what it was told to switch is kept for the log.
pub(crate) struct Outlets<'a> {
    pub(crate) feed: Feed,
    pub(crate) power: &'a mut Power,
    pub(crate) switched: Vec<(u8, bool)>,
    /// The outlets whose state was asked for, and what was said.
    pub(crate) asked: RefCell<Vec<(u8, bool)>>,
}

impl Outlets<'_> {
    fn all(&self) -> Vec<Oid> {
        let tables = [CONTROL, NAME, STATE].into_iter().flat_map(|table| {
            (1..=u32::from(OUTLETS)).map(move |number| Oid([table, &[number]].concat()))
        });
        let system = [SYS_DESCRIPTION, SYS_OBJECT_ID, SYS_NAME]
            .into_iter()
            .map(|oid| Oid(oid.to_vec()));
        system.chain(tables).collect()
    }
}

fn outlet_in(oid: &Oid, table: &[u32]) -> Option<u8> {
    match oid.0.strip_prefix(table)? {
        [number] => u8::try_from(*number).ok(),
        _ => None,
    }
}

impl Objects for Outlets<'_> {
    fn get(&self, oid: &Oid) -> Option<Held> {
        match oid.0.as_slice() {
            SYS_DESCRIPTION => {
                return Some(Held::Text(
                    "Switched rack PDU of the lab, eight outlets".to_owned(),
                ));
            }
            SYS_OBJECT_ID => return Some(Held::ObjectId(Oid(RACK_PDU.to_vec()))),
            SYS_NAME => return Some(Held::Text(self.feed.pdu_name().to_owned())),
            _ => {}
        }
        if let Some(number) = outlet_in(oid, NAME) {
            self.power.reported(self.feed, number)?;
            return Some(Held::Text(crate::description::host_name(number)));
        }
        let number = outlet_in(oid, STATE).or_else(|| outlet_in(oid, CONTROL))?;
        let on = self.power.reported(self.feed, number)?;
        self.asked.borrow_mut().push((number, on));
        Some(Held::Integer(if on { ON } else { OFF }))
    }

    fn next(&self, oid: &Oid) -> Option<Oid> {
        self.all()
            .into_iter()
            .filter(|candidate| candidate > oid)
            .min()
    }

    fn set(&mut self, oid: &Oid, value: i32) -> bool {
        let Some(number) = outlet_in(oid, CONTROL) else {
            return false;
        };
        let on = match value {
            ON => true,
            OFF => false,
            _ => return false,
        };
        let known = self.power.switch(self.feed, number, on);
        if known {
            self.switched.push((number, on));
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(table: &[u32], number: u32) -> Oid {
        Oid([table, &[number]].concat())
    }

    #[test]
    fn off_opens_the_outlet_and_on_closes_it() {
        let mut power = Power::default();
        let mut pdu = Outlets {
            feed: Feed::B,
            power: &mut power,
            switched: Vec::new(),
            asked: RefCell::default(),
        };
        assert!(pdu.set(&oid(CONTROL, 3), OFF));
        assert_eq!(pdu.get(&oid(STATE, 3)), Some(Held::Integer(OFF)));
        assert!(pdu.set(&oid(CONTROL, 3), ON));
        assert_eq!(pdu.get(&oid(STATE, 3)), Some(Held::Integer(ON)));
        assert_eq!(pdu.switched, [(3, false), (3, true)]);
        assert_eq!(pdu.asked.into_inner(), [(3, false), (3, true)]);
    }

    #[test]
    fn what_is_not_there_cannot_be_set() {
        let mut power = Power::default();
        let mut pdu = Outlets {
            feed: Feed::A,
            power: &mut power,
            switched: Vec::new(),
            asked: RefCell::default(),
        };
        assert!(!pdu.set(&oid(CONTROL, 9), OFF));
        assert!(!pdu.set(&oid(CONTROL, 1), 7));
        assert!(!pdu.set(&oid(STATE, 1), OFF));
        assert!(pdu.switched.is_empty());
    }

    #[test]
    fn a_walk_finds_the_name_of_every_outlet() {
        let mut power = Power::default();
        let pdu = Outlets {
            feed: Feed::A,
            power: &mut power,
            switched: Vec::new(),
            asked: RefCell::default(),
        };
        let mut at = Oid(NAME.to_vec());
        let mut names = Vec::new();
        while let Some(next) = pdu.next(&at).filter(|next| next.0.starts_with(NAME)) {
            names.push(pdu.get(&next));
            at = next;
        }
        assert_eq!(names.len(), 8);
        assert_eq!(names[1], Some(Held::Text("node2".to_owned())));
    }
}

//! Who has power: two feeds, a PDU on each, one outlet of each PDU for each host.

use serde::{Deserialize, Serialize};

use crate::description::{Feed, OUTLETS};

/// Whether a PDU does what it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PduMood {
    /// Like a good one.
    #[default]
    Honest,
    /// Its network is dead: nothing is answered.
    Unreachable,
    /// Its relays are welded: it acknowledges and reports what was asked, and nothing is switched.
    Lying,
}

/// The power side of the room. Host `n` is plugged into outlet `n` of both PDUs.
#[derive(Debug, Clone)]
pub struct Power {
    pdus: [Pdu; 2],
}

#[derive(Debug, Clone, Default)]
struct Pdu {
    feed_dead: bool,
    mood: PduMood,
    outlets: [Outlet; OUTLETS as usize],
}

#[derive(Debug, Clone, Copy)]
struct Outlet {
    reported_on: bool,
    closed: bool,
    plugged: bool,
}

impl Default for Outlet {
    fn default() -> Outlet {
        Outlet {
            reported_on: true,
            closed: true,
            plugged: true,
        }
    }
}

impl Default for Power {
    /// Everything plugged in and on.
    fn default() -> Power {
        Power {
            pdus: [Pdu::default(), Pdu::default()],
        }
    }
}

impl Power {
    /// Whether this host gets power over this feed.
    #[must_use]
    pub fn supplied_by(&self, host: u8, feed: Feed) -> bool {
        let pdu = &self.pdus[feed.index()];
        let supplied = |outlet: &Outlet| !pdu.feed_dead && outlet.closed && outlet.plugged;
        self.outlet(feed, host).is_some_and(supplied)
    }

    /// Whether this host has power at all.
    #[must_use]
    pub fn has_mains(&self, host: u8) -> bool {
        Feed::BOTH
            .into_iter()
            .any(|feed| self.supplied_by(host, feed))
    }

    /// Whether the PDU of this feed answers.
    #[must_use]
    pub fn answers(&self, feed: Feed) -> bool {
        let pdu = &self.pdus[feed.index()];
        !pdu.feed_dead && pdu.mood != PduMood::Unreachable
    }

    /// What the PDU says about an outlet, 1 to 8; none where there is no such outlet.
    #[must_use]
    pub fn reported(&self, feed: Feed, outlet: u8) -> Option<bool> {
        self.outlet(feed, outlet).map(|outlet| outlet.reported_on)
    }

    /// The PDU is told to switch an outlet; false where there is no such outlet.
    pub fn switch(&mut self, feed: Feed, outlet: u8, on: bool) -> bool {
        let lying = self.pdus[feed.index()].mood == PduMood::Lying;
        let Some(outlet) = self.outlet_mut(feed, outlet) else {
            return false;
        };
        outlet.reported_on = on;
        if !lying {
            outlet.closed = on;
        }
        true
    }

    /// A whole feed dies or comes back, its PDU with it.
    pub fn set_feed(&mut self, feed: Feed, live: bool) {
        self.pdus[feed.index()].feed_dead = !live;
    }

    /// Somebody pulls or plugs a host's cord.
    pub fn set_cord(&mut self, feed: Feed, host: u8, plugged: bool) {
        if let Some(outlet) = self.outlet_mut(feed, host) {
            outlet.plugged = plugged;
        }
    }

    /// The PDU becomes honest or otherwise. One that is repaired switches to what it has reported.
    pub fn set_mood(&mut self, feed: Feed, mood: PduMood) {
        let pdu = &mut self.pdus[feed.index()];
        if pdu.mood == PduMood::Lying && mood != PduMood::Lying {
            for outlet in &mut pdu.outlets {
                outlet.closed = outlet.reported_on;
            }
        }
        pdu.mood = mood;
    }

    fn outlet(&self, feed: Feed, number: u8) -> Option<&Outlet> {
        self.pdus[feed.index()]
            .outlets
            .get(usize::from(number).checked_sub(1)?)
    }

    fn outlet_mut(&mut self, feed: Feed, number: u8) -> Option<&mut Outlet> {
        self.pdus[feed.index()]
            .outlets
            .get_mut(usize::from(number).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_lives_until_both_of_its_supplies_are_dead() {
        let mut power = Power::default();
        power.switch(Feed::A, 2, false);
        assert!(power.has_mains(2));
        power.switch(Feed::B, 2, false);
        assert!(!power.has_mains(2));
        assert!(power.has_mains(1), "other outlets are other hosts'");
        power.switch(Feed::B, 2, true);
        assert!(power.has_mains(2));
    }

    #[test]
    fn a_dead_feed_takes_its_pdu_along_but_the_outlets_keep_their_position() {
        let mut power = Power::default();
        power.switch(Feed::A, 1, false);
        power.set_feed(Feed::A, false);
        assert!(!power.answers(Feed::A) && power.answers(Feed::B));
        power.set_feed(Feed::A, true);
        assert!(!power.supplied_by(1, Feed::A) && power.supplied_by(2, Feed::A));
    }

    #[test]
    fn a_pdu_with_welded_relays_says_off_and_leaves_the_power_on() {
        let mut power = Power::default();
        for feed in Feed::BOTH {
            power.set_mood(feed, PduMood::Lying);
            assert!(power.switch(feed, 1, false));
            assert_eq!(power.reported(feed, 1), Some(false));
        }
        assert!(power.has_mains(1));
        power.set_mood(Feed::A, PduMood::Honest);
        power.set_mood(Feed::B, PduMood::Honest);
        assert!(!power.has_mains(1));
    }

    #[test]
    fn a_pulled_cord_is_not_seen_by_the_pdu() {
        let mut power = Power::default();
        power.set_cord(Feed::A, 1, false);
        assert_eq!(power.reported(Feed::A, 1), Some(true));
        assert!(!power.supplied_by(1, Feed::A));
    }

    #[test]
    fn there_is_no_outlet_nought_and_no_ninth() {
        let mut power = Power::default();
        assert!(!power.switch(Feed::A, 0, false) && !power.switch(Feed::A, 9, false));
        assert_eq!(power.reported(Feed::B, 9), None);
    }
}

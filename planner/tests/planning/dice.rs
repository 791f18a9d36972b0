//! Random commands for a cluster; the same seed gives the same ones, everywhere and for ever.

/// A splitmix64 generator.
pub(crate) struct Dice {
    state: u64,
    /// What happens to one host often happens to the same one again.
    host: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51_7c_c1_b7_27_22_0a_95;
        Self { state, host: 1 }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// The commands of one run: time passes after most of them.
    pub(crate) fn commands(&mut self) -> Vec<String> {
        let many = 5 + self.below(30);
        let mut commands = vec![format!("run {}s", self.below(10))];
        for _ in 0..many {
            commands.push(self.command());
            commands.push(format!("run {}s", self.below(7)));
        }
        commands
    }

    fn command(&mut self) -> String {
        if self.below(3) == 0 {
            self.host = 1 + self.below(3);
        }
        let (host, guest) = (self.host, 1 + self.below(5));
        let about_host = [
            "silent",
            "lose",
            "lose",
            "heard",
            "reboot",
            "rejoin",
            "rejoin",
            "void",
            "void",
            "break-fence",
            "repair-fence",
            "slow",
            "quick",
            "quick",
            "mute",
            "hear",
            "hear",
            "shut-down",
            "cut lan",
            "mend lan",
            "node drain",
            "node cordon",
            "node uncordon",
            "node uncordon",
        ];
        let about_guest = [
            "crash",
            "vm stop",
            "vm start",
            "vm start",
            "vm restart",
            "vm cancel",
        ];
        let others = [
            "leaves v1 h1",
            "leaves v1 h2",
            "leaves v2 h3",
            "cut-storage",
            "mend-storage",
            "mend-storage",
            "sending fails",
            "sending works",
            "sending takes 5s",
            "resync takes 4s",
            "resync takes 0s",
            "fencing takes 4s",
            "new-leader",
            "cluster stop",
            "cluster start",
            "cluster start",
            "delete VirtualMachine g5",
        ];
        match self.below(10) {
            0..4 => format!("{} h{host}", self.one_of(&about_host)),
            4..6 => format!("{} g{guest}", self.one_of(&about_guest)),
            6..8 => format!("vm migrate g{guest} h{}", 1 + self.below(3)),
            _ => self.one_of(&others).to_owned(),
        }
    }

    pub(crate) fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let many = u64::try_from(words.len()).expect("few words");
        let index = usize::try_from(self.below(many)).expect("a small number");
        words[index]
    }
}

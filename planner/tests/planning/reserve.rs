//! R9: whatever guests come and go between hosts of whatever size, those of lost hosts would find their memory.

use super::dice::Dice;
use super::world::World;

const HOSTS: [&str; 4] = ["h1", "h2", "h3", "h4"];

#[test]
fn after_every_loss_that_is_to_be_survived_everybody_finds_room() {
    let (mut placed, mut refused, mut moved) = (0, 0, 0);
    for seed in 0..16 {
        let mut dice = Dice::new(seed);
        let losses = 1 + usize::from(seed % 2 == 1);
        let mut world = World::new();
        world.command(&format!("cluster capacity.surviveNodeLosses={losses}"));
        for host in HOSTS {
            world.command(&format!("host {host} {}Gi", 8 + 4 * dice.below(4)));
        }
        world.command("domain home failback h1=1 h2=2 h3=3");
        for number in 0..12 {
            let field = dice.one_of(&[
                "domain=home",
                "placement.stickiness=0",
                "placement.stickiness=100",
                "priority=300",
            ]);
            let memory = 1 + dice.below(4);
            world.command(&format!("guest g{number} {memory}Gi {field}"));
            let host = dice.one_of(&HOSTS);
            world.command(&format!(
                "{} {host}",
                dice.one_of(&["node cordon", "node uncordon"])
            ));
            for _ in 0..1 + dice.below(12) {
                world.command("run 1s");
                world.memory_is_promised_once();
                if let Some(trouble) = world.lacks_room_after(losses) {
                    panic!("seed {seed}: {trouble}");
                }
            }
        }
        for host in HOSTS {
            world.command(&format!("node uncordon {host}"));
        }
        // Whoever may move does so, and then there is rest.
        world.command("run 90s");
        world.transcript.clear();
        world.command("run 20s");
        assert!(
            world.transcript.is_empty(),
            "seed {seed}: {:#?}",
            world.transcript
        );
        let trouble = world.lacks_room_after(losses);
        assert_eq!(trouble, None, "seed {seed}");
        placed += world.truth.running.len();
        refused += world.all_guests() - world.truth.running.len();
        moved += world.moves();
    }
    assert!(placed > 80, "hardly anything was placed: {placed}");
    assert!(refused > 8, "hardly anything was refused: {refused}");
    assert!(moved > 5, "hardly anything was moved: {moved}");
}

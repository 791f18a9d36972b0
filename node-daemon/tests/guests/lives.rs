//! One host: what its guests live through.

use crate::hosts::{LEAST, SOON, host, image, kill, name, target};
use futures_util::StreamExt;
use quorate_crds::ShutdownMethod;
use quorate_node_daemon::drivers::{
    DriverError, GuestDoing, Guests, Hint, HowEnded, Owner, SecretValue, StartAs, Trouble,
    WhyPaused,
};
use std::sync::Arc;
use std::time::Instant;

#[tokio::test]
async fn a_guest_is_defined_started_paused_resumed_and_switched_off() {
    let Some(host) = host("lives", None) else {
        return;
    };
    let (guests, web) = (&host.guests, name("web"));
    guests.define(&target(LEAST, &[])).await.expect("defined");
    assert_eq!(
        host.doing("web").await,
        GuestDoing::Off(HowEnded::NeverStarted)
    );
    assert!(
        !host
            .virsh(&["dominfo", "web"])
            .contains("Autostart:      enable")
    );

    guests.start(&web, StartAs::Running).await.expect("started");
    guests
        .start(&web, StartAs::Running)
        .await
        .expect("it runs already");
    let seen = host.seen("web").await.expect("here");
    assert_eq!(seen.doing, GuestDoing::Running);
    assert_eq!((seen.epoch, seen.generation), (Some(1), Some(1)));
    assert_eq!(seen.pending_changes, Vec::<String>::new());

    guests.pause(&web).await.expect("paused");
    guests.pause(&web).await.expect("it stands still already");
    assert_eq!(
        host.doing("web").await,
        GuestDoing::Paused(WhyPaused::Asked)
    );
    guests.resume(&web).await.expect("resumed");
    guests.resume(&web).await.expect("it runs already");
    assert_eq!(host.doing("web").await, GuestDoing::Running);

    guests
        .shut_down(&web, ShutdownMethod::Any)
        .await
        .expect("asked");
    let error = guests
        .forget(&web)
        .await
        .expect_err("it has no system that would obey");
    assert_eq!(error.trouble(), Trouble::InUse);
    guests.destroy(&web).await.expect("off");
    guests.destroy(&web).await.expect("it is off already");
    assert_eq!(
        host.doing("web").await,
        GuestDoing::Off(HowEnded::Destroyed)
    );
    guests.forget(&web).await.expect("forgotten");
    guests.forget(&web).await.expect("it is not here");
    guests.destroy(&web).await.expect("it is not here");
    assert_eq!(host.seen("web").await, None);
    assert_eq!(
        std::fs::read_dir(host.daemon.path("definitions/web"))
            .expect("kept")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_guest_that_dies_is_noticed_at_once_and_not_started_again() {
    let Some(host) = host("dies", None) else {
        return;
    };
    let (guests, web) = (&host.guests, name("web"));
    guests.define(&target(LEAST, &[])).await.expect("defined");
    guests.start(&web, StartAs::Running).await.expect("started");
    let mut hints = host.listening("web").await;

    kill(host.qemu("web").expect("it runs"));
    assert_eq!(hints.next().await, Some(Hint::Object(web.clone())));
    host.until("web", GuestDoing::Off(HowEnded::Crashed)).await;
    // Under the same epoch its end is still known after it was defined anew.
    guests.define(&target(LEAST, &[])).await.expect("defined");
    assert_eq!(host.doing("web").await, GuestDoing::Off(HowEnded::Crashed));
    let mut next = target(LEAST, &[]);
    next.epoch = 2;
    guests.define(&next).await.expect("defined");
    assert_eq!(
        host.doing("web").await,
        GuestDoing::Off(HowEnded::NeverStarted)
    );
}

#[tokio::test]
async fn a_libvirt_that_is_killed_changes_nothing_that_runs() {
    let Some(mut host) = host("killed", None) else {
        return;
    };
    let web = name("web");
    host.guests
        .define(&target(LEAST, &[]))
        .await
        .expect("defined");
    host.guests
        .start(&web, StartAs::Running)
        .await
        .expect("started");
    let before = host.qemu("web").expect("it runs");
    let mut hints = host.listening("web").await;
    kill(host.daemon.process());
    while hints.next().await.is_some() {}
    let begun = std::time::Instant::now();
    while let Err(error) = host.guests.observe().await {
        assert!(matches!(error, DriverError::Passing { .. }), "{error:?}");
        assert!(begun.elapsed() < crate::hosts::SOON, "{error:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    host.restart(None);
    assert_eq!(host.doing("web").await, GuestDoing::Running);
    assert_eq!(host.qemu("web"), Some(before));
    host.guests
        .define(&target(LEAST, &[]))
        .await
        .expect("adopted");
    host.guests
        .start(&web, StartAs::Running)
        .await
        .expect("it runs already");
    assert_eq!(host.qemu("web"), Some(before));
}

#[tokio::test]
async fn a_guest_that_cannot_be_started_has_not_been() {
    let Some(host) = host("refuses", None) else {
        return;
    };
    let (guests, web) = (&host.guests, name("web"));
    let nowhere = host.daemon.path("nowhere");
    let spec = "{memory: 32Mi, machine: pc, hypervisor: Qemu, display: {protocol: None}, disks: [{name: data, volume: v}]}";
    guests
        .define(&target(spec, &[("data", &nowhere)]))
        .await
        .expect("defined");
    let error = guests
        .start(&web, StartAs::Running)
        .await
        .expect_err("no disk");
    assert!(matches!(error, DriverError::Passing { .. }), "{error:?}");
    assert_eq!(
        host.doing("web").await,
        GuestDoing::Off(HowEnded::NeverStarted)
    );
}

#[tokio::test]
async fn a_foreign_domain_is_left_alone_until_it_is_taken_over() {
    let Some(host) = host("foreign", None) else {
        return;
    };
    let (guests, web) = (&host.guests, name("web"));
    let xml = host.daemon.path("foreign.xml");
    std::fs::write(
        &xml,
        "<domain type='qemu'><name>web</name><memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>\
         <devices><memballoon model='none'/></devices></domain>",
    )
    .expect("written");
    host.virsh(&["define", &xml.display().to_string()]);
    host.virsh(&["start", "web"]);
    let before = host.qemu("web").expect("it runs");

    let error = guests
        .define(&target(LEAST, &[]))
        .await
        .expect_err("not ours");
    assert_eq!(error.trouble(), Trouble::ForeignInTheWay);
    guests.destroy(&web).await.expect("none of ours is here");
    guests.forget(&web).await.expect("none of ours is here");
    assert!(guests.start(&web, StartAs::Running).await.is_err());
    let all = guests.observe().await.expect("observed");
    assert_eq!(all.len(), 1);
    assert_eq!(
        (&all[0].owner, all[0].doing),
        (&Owner::Foreign, GuestDoing::Running)
    );
    assert_eq!(host.qemu("web"), Some(before));

    let adopting = LEAST.replace("memory:", "adopt: web, memory:");
    let taken = target(&adopting, &[]);
    guests.define(&taken).await.expect("taken over");
    assert_eq!(host.doing("web").await, GuestDoing::Running);
    assert_eq!(host.qemu("web"), Some(before));
    let error = guests
        .receive(&taken, &name("peer"))
        .await
        .expect_err("its identity is the host's");
    assert_eq!(error.trouble(), Trouble::NotSupported);
    guests.destroy(&web).await.expect("ours now");
    guests.define(&taken).await.expect("defined by us");
    guests.start(&web, StartAs::Running).await.expect("started");
    assert_eq!(host.doing("web").await, GuestDoing::Running);
}

#[tokio::test]
async fn hardware_comes_and_goes_while_it_runs_and_the_rest_is_pending() {
    let Some(host) = host("changes", None) else {
        return;
    };
    let guests = &host.guests;
    let (first, second) = (image(&host, "first"), image(&host, "second"));
    let medium = image(&host, "medium.iso");
    let common = "memory: 64Mi, machine: pc, hypervisor: Qemu, display: {protocol: None}";
    let before = format!(
        "{{{common}, maxCpus: 2, disks: [{{name: a, file: {{filesystem: f, path: first}}, io: Threads}}, {{name: cd, device: Cdrom, empty: true}}]}}"
    );
    guests
        .define(&target(&before, &[("a", &first)]))
        .await
        .expect("defined");
    guests
        .start(&name("web"), StartAs::Paused)
        .await
        .expect("started");
    guests.resume(&name("web")).await.expect("resumed");
    // A tray that is opened just when the firmware resets its drives is closed again, and QEMU does not tell libvirt.
    host.firmware_rests("web").await;

    let after = format!(
        "{{{common}, maxCpus: 2, cpus: 2, clock: Localtime, disks: [{{name: a, file: {{filesystem: f, path: first}}, io: Threads}}, \
          {{name: cd, device: Cdrom, media: 'media://medium.iso'}}, {{name: b, file: {{filesystem: f, path: second}}, io: Threads}}]}}"
    );
    let mut changed = target(&after, &[("a", &first), ("cd", &medium), ("b", &second)]);
    changed.generation = 2;
    guests.define(&changed).await.expect("changed");
    let mut seen = host.seen("web").await.expect("here");
    assert_eq!(seen.generation, Some(2));
    // A busy machine takes longer than the driver waits for it.
    let deadline = Instant::now() + SOON;
    while seen.pending_changes != ["clock"] {
        let why = std::fs::read_to_string(host.daemon.path("log")).unwrap_or_default();
        let pending = &seen.pending_changes;
        assert!(Instant::now() < deadline, "{pending:?} wait:\n{why}");
        guests.define(&changed).await.expect("changed");
        seen = host.seen("web").await.expect("here");
    }
    assert_eq!(seen.resources.expect("known").cpus, Some(2));
    let blocks = host.virsh(&["domblklist", "web"]);
    for path in [&first, &second, &medium] {
        assert!(blocks.contains(&path.display().to_string()), "{blocks}");
    }

    // Nothing changes when nothing has changed.
    guests.define(&changed).await.expect("as it is");
    assert_eq!(host.virsh(&["domblklist", "web"]), blocks);
    assert_eq!(
        std::fs::read_dir(host.daemon.path("definitions/web"))
            .expect("kept")
            .count(),
        1
    );
}

#[tokio::test]
async fn the_password_of_a_screen_is_given_to_what_runs_and_to_no_file() {
    let Some(host) = host("screen", None) else {
        return;
    };
    let spec = "{memory: 32Mi, machine: pc, hypervisor: Qemu, display: {password: {secret: screens, key: web}}}";
    let mut shown = target(spec, &[]);
    shown.display_password = Some(SecretValue(Arc::from(&b"hush-hush"[..8])));
    host.guests.define(&shown).await.expect("defined");
    host.guests
        .start(&name("web"), StartAs::Running)
        .await
        .expect("started");
    let seen = host.seen("web").await.expect("here");
    assert_eq!(seen.doing, GuestDoing::Running);
    assert!(
        seen.display
            .expect("a screen")
            .port
            .is_some_and(|port| port >= 5900)
    );
    assert!(
        host.virsh(&["dumpxml", "--security-info", "web"])
            .contains("hush-hus")
    );
    let on_disk = host.virsh(&["dumpxml", "--inactive", "--security-info", "web"]);
    assert!(!on_disk.contains("hush"), "{on_disk}");
}

/// As every golden file of the renderer has it, but without KVM, which machines that run tests seldom have.
#[tokio::test]
async fn libvirt_takes_every_definition_that_is_rendered() {
    let Some(host) = host("golden", None) else {
        return;
    };
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/drivers/libvirt/render/golden"
    );
    let mut taken = 0;
    for entry in std::fs::read_dir(golden).expect("a directory") {
        let path = entry.expect("readable").path();
        // Xen's needs Xen, and signed firmware its package.
        let elsewhere = ["xen.xml", "secure-boot.xml"];
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        if !name.ends_with(".xml") || elsewhere.contains(&name) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("readable");
        let text = text
            .replace("<domain type='kvm'", "<domain type='qemu'")
            .replace(
                "<cpu mode='host-passthrough' check='none' migratable='on'>",
                "<cpu mode='maximum'>",
            );
        let emulated = host.daemon.path(name);
        std::fs::write(&emulated, text).expect("written");
        println!("{name}");
        host.virsh(&["define", "--validate", &emulated.display().to_string()]);
        host.virsh(&["undefine", "web"]);
        taken += 1;
    }
    assert!(taken >= 9, "{taken}");
}

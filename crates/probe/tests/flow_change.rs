// SPDX-License-Identifier: Apache-2.0
//! Interfaces and namespaces that come and go, and programs of others.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod net;

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use net::pcap::Capture;
use net::{Space, Tracing, config, eventually, join, offload, sums, total};
use vor_probe::flows::{Backend, FlowConfig, Source};

const SOURCES: [Source; 2] = [Source::SocketFilter, Source::Tc];

/// One test at a time: the first one counts the descriptors of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
#[ignore = "needs root"]
fn root_interfaces_come_and_go_two_hundred_times() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for source in SOURCES {
        let space = Space::new();
        let mut injector = space.serve_lines("inject");
        let tracing = Tracing::start(&space, config(source));
        let before = open_files();
        for n in 0..100 {
            let (near, far) = (format!("n{n}"), format!("f{n}"));
            space.ip(&format!("link add {near} type veth peer name {far}"));
            space.ip(&format!("link set {near} up"));
            space.ip(&format!("link set {far} up"));
            eventually("both are watched", || tracing.count("interfaces") == 2);
            eventually("it sends", || space.sends(&near));
            injector.say(&near);
            space.ip(&format!("link del {near}"));
            eventually("none is watched", || tracing.count("interfaces") == 0);
        }
        assert_eq!(open_files(), before, "{source:?}: descriptors stay open");
        let (flows, _) = tracing.stop();
        let ours: Vec<_> = flows.iter().filter(|flow| flow.key.dst.port == 220).collect();
        // Each frame passes the near end and the far end, unless it was taken down before it had arrived.
        let near = |flow: &&&vor_model::Flow| flow.iface_name.as_deref().unwrap().starts_with('n');
        assert_eq!(
            total(&sums(ours.iter().copied().filter(|flow| near(&flow)))).0,
            500,
            "{source:?}"
        );
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_namespace_that_is_deleted_is_let_go() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for source in SOURCES {
        let home = Space::new();
        let only_ours = serde_json::from_str(r#""/^vfx/""#).unwrap();
        let everywhere = FlowConfig {
            all_namespaces: true,
            interfaces: only_ours,
            poll_period: std::time::Duration::from_secs(1),
            ..config(source)
        };
        let tracing = Tracing::start(&home, everywhere);
        for n in 0..3 {
            let guest = Space::new();
            home.ip(&format!("link add vfxh{n} type veth peer name vfxg{n} netns {}", guest.0));
            home.ip(&format!("link set vfxh{n} up"));
            guest.ip(&format!("link set vfxg{n} up"));
            eventually("both ends are watched", || tracing.count("interfaces") == 2);
            eventually("it sends", || guest.sends(&format!("vfxg{n}")));
            let mut injector = guest.serve_lines("inject");
            injector.say(&format!("vfxg{n}"));
            // Deleted while it sends and is watched.
            Command::new("ip").args(["netns", "del", &guest.0]).status().unwrap();
            injector.say(&format!("vfxg{n}"));
            drop(injector);
            let there = || home.has(&format!("vfxh{n}"));
            eventually("the namespace and its interfaces end", || !there());
            eventually("nothing is watched", || tracing.count("interfaces") == 0);
        }
        let (flows, _) = tracing.stop();
        let in_guest = |flow: &&vor_model::Flow| {
            flow.key.dst.port == 220 && flow.iface_name.as_deref().unwrap().starts_with("vfxg")
        };
        assert_eq!(total(&sums(flows.iter().filter(in_guest))).0, 30, "{source:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn root_programs_of_others_stay_and_hide_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for backend in [Backend::Tcx, Backend::Tc] {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        offload(&a, "va", false);
        offload(&b, "vb", false);
        let _server = b.serve("serve 7000");
        // Each ends the run of programs for every packet, as a program that has decided does.
        let others = a.within(move || net::others::attach("va", backend));
        let capture = Capture::start(&a, "va");
        let tracing = Tracing::start(&a, FlowConfig { backend, ..config(Source::Tc) });
        a.traffic("udp 10.9.0.2 7000 50 100");
        a.traffic("tcp 10.9.0.2 7000 2 50000");
        let (expected, _) = capture.stop();
        let (flows, _) = tracing.stop();
        assert_eq!(sums(&flows), expected, "{backend:?}");
        a.within(move || net::others::are_there("va", &others));
        let filters = Command::new("tc")
            .args(["-n", &a.0, "filter", "show", "dev", "va", "egress"])
            .output()
            .unwrap();
        let filters = String::from_utf8(filters.stdout).unwrap();
        assert!(!filters.contains("flow_eth"), "{filters}");
    }
}

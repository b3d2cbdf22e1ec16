// SPDX-License-Identifier: Apache-2.0
//! Every object of every unit, on the kernel that this runs on.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;

use vor_probe::kernel::{Finding, Report};
use vor_probe::runtimes;
use vor_probe::tracers::{self, propagate};

mod settings;

#[test]
#[ignore = "needs root"]
fn root_every_object_loads_or_says_why_not() {
    let report = Report::gather(&settings::defaults());
    eprintln!("{}", serde_json::to_string_pretty(&report).unwrap());
    for unit in &report.units {
        // It loads exactly where the kernel lets it write into programs.
        let expected = unit.unit != "go_write" || report.probe_write_user.is_there();
        assert_eq!(unit.loads.is_there(), expected, "{}: {:?}", unit.unit, unit.loads);
    }
    for door in &report.doors {
        match &door.opens {
            Finding::There => {}
            // A name that is not in the object, or a program that the verifier refuses, is a defect here.
            Finding::Missing(why) => {
                let here = why.contains("not in the object") || why.contains("processed");
                assert!(!here, "{} {}: {why}", door.unit, door.door);
            }
        }
    }
    assert_eq!(report.doors.iter().filter(|door| door.taken).count(), 1, "{report:#?}");
    assert!(report.btf.is_there() && report.tracefs.is_there(), "{report:#?}");
}

#[test]
fn every_name_in_a_unit_is_in_all_its_objects() {
    for unit in tracers::ALL.iter().chain(propagate::ALL).chain(runtimes::ALL) {
        for object in unit.objects {
            let open = object.file.open(unit.name).unwrap();
            let programs: Vec<_> = open.progs().map(|program| program.name().to_owned()).collect();
            let maps: Vec<_> = open.maps().map(|map| map.name().to_owned()).collect();
            let sized = (unit.sizes)(&settings::defaults()).into_iter().map(|(map, _)| map);
            for map in sized
                .chain(unit.ring)
                .chain(unit.code.and_then(|code| code.facts))
                .chain(["counters", "vor_admit"])
            {
                assert!(maps.iter().any(|name| name == map), "map {map} of {}", unit.name);
            }
            let ran = unit.sweep.iter().map(|sweep| sweep.program);
            let ran = ran.chain(unit.judge.iter().map(|judge| judge.program));
            let code = unit.code.iter().flat_map(|code| (code.programs)());
            let hooks = object.hooks.iter().map(|hook| hook.program);
            let named: Vec<_> = hooks.chain(ran).chain(code).collect();
            for program in &named {
                assert!(programs.iter().any(|name| name == program), "{program} of {}", unit.name);
            }
            for program in &programs {
                assert!(named.iter().any(|name| program == name), "{program:?} is never attached");
            }
            // The kernel keeps 15 characters: twins would be told apart by nobody.
            let kept = programs.iter().map(|name| name.as_bytes().iter().take(15).collect());
            let kept: BTreeSet<Vec<_>> = kept.collect();
            assert_eq!(kept.len(), programs.len(), "{programs:?}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! `vor check`: what this machine allows, what is missing, and what that costs.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use vor_probe::kernel::{Finding, Report};

use crate::{
    USAGE,
    cli::CheckArgs,
    config::{self, no_color},
    log,
};

/// Writes the report; the exit code says whether vor can observe programs here.
pub(crate) fn check(args: &CheckArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = config::load(&args.settings)?.settings;
    log::start(config.log_level);
    let report = Report::gather(&config.ebpf);
    if args.json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        let colour = std::io::stdout().is_terminal() && !no_color();
        Page { out, colour }.write(&report)?;
    }
    let can_run = report.can_run(config.ebpf.door);
    if !args.json {
        writeln!(out, "\n{}", if can_run { "vor can observe programs here." } else { CANNOT })?;
    }
    Ok(if can_run { ExitCode::SUCCESS } else { ExitCode::from(USAGE) })
}

const CANNOT: &str = "vor cannot observe programs here: see what is missing above. It needs root or capabilities,\n\
                      a kernel with type information (BTF), and one door that opens. The capabilities: CAP_BPF and\n\
                      CAP_PERFMON to load programs, CAP_DAC_READ_SEARCH to read tracefs, CAP_SYS_PTRACE to look at\n\
                      other users' processes, CAP_SYS_ADMIN only where tracefs is mounted nowhere.";

struct Page<'a> {
    out: &'a mut dyn Write,
    colour: bool,
}

impl Page<'_> {
    fn write(&mut self, report: &Report) -> std::io::Result<()> {
        let Report { release, machine, lockdown, .. } = report;
        writeln!(self.out, "Linux {release} on {machine}, lockdown {lockdown}")?;
        let user = if report.root { "root" } else { "not root" };
        let all = report.capabilities.iter().any(|name| name == "SYS_ADMIN");
        let capabilities = if all {
            "all that is needed (SYS_ADMIN)".to_owned()
        } else if report.capabilities.is_empty() {
            "none".to_owned()
        } else {
            report.capabilities.join(", ")
        };
        writeln!(self.out, "running as {user}, capabilities: {capabilities}\n")?;

        self.line("type information (BTF)", &report.btf, "nothing works")?;
        self.line("ring buffer", &report.ring_buffer, "nothing works")?;
        self.line("task storage", &report.task_storage, "nothing works")?;
        self.line("tracefs", &report.tracefs, "the doors kprobe and syscall stay closed")?;
        self.line("kprobes", &report.kprobes, "the door kprobe stays closed")?;
        self.line(
            "writing to memory of programs",
            &report.probe_write_user,
            "go_write is refused",
        )?;
        writeln!(self.out, "\ndoors, cheapest first:")?;
        for found in &report.doors {
            let taken = if found.taken { "  <- taken" } else { "" };
            let name = format!("{} {}", found.unit, found.door);
            self.line(&format!("{name}{taken}"), &found.opens, "")?;
        }
        for unit in &report.units {
            self.line(unit.unit, &unit.loads, cost(unit.unit))?;
        }
        Ok(())
    }

    fn line(&mut self, what: &str, finding: &Finding, cost: &str) -> std::io::Result<()> {
        let (mark, colour, why) = match finding {
            Finding::There => ("yes", "\x1b[32m", ""),
            Finding::Missing(why) => ("no ", "\x1b[31m", why.as_str()),
        };
        let (on, off) = if self.colour { (colour, "\x1b[0m") } else { ("", "") };
        writeln!(self.out, "  {on}{mark}{off}  {what}")?;
        if !why.is_empty() {
            writeln!(self.out, "       why:  {}", why.replace('\n', "\n             "))?;
            if !cost.is_empty() {
                writeln!(self.out, "       cost: {cost}")?;
            }
        }
        Ok(())
    }
}

/// What is missed without a unit.
fn cost(unit: &str) -> &'static str {
    match unit {
        "life" => "processes are found by listing them only",
        "wire_tcp" => "ebpf.context_propagation: tcp does nothing here",
        "wire_http" => "ebpf.context_propagation: headers is for Go programs only here",
        "go_write" => {
            "ebpf.context_propagation: headers does for Go programs what it does for others"
        }
        _ => "network flows are not to be had this way",
    }
}

// SPDX-License-Identifier: Apache-2.0
//! A small shop of unmodified services: nginx → Python → Node.js → Go → Go by HTTPS, which calls itself by gRPC. What
//! is not installed is left out of the chain; without Go, a C program takes the last place.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::apps::{Apps, find};
use crate::ports;
use crate::program::Program;

/// A running service.
pub struct Service {
    /// Its name, told to it as `OTEL_SERVICE_NAME`; nginx writes over its environment, so its is the program's.
    pub name: &'static str,
    /// What it is written in.
    pub made_of: &'static str,
    /// Its port.
    pub port: u16,
    program: Program,
}

/// All of them, in the order in which a request passes through.
pub struct Shop {
    /// The services; customers ask the first.
    pub services: Vec<Service>,
}

type Start = fn(&Apps, &Path, u16, u16) -> Result<Command>;

const CHAIN: [(&str, &str, &str, Start); 3] = [
    ("nginx", "nginx", "nginx", gateway),
    ("orders", "python3", "Python", orders),
    ("catalog", "node", "Node.js", catalog),
];

impl Shop {
    /// Starts the services and waits until each listens.
    pub fn open(apps: &Apps, dir: &Path, limit: Duration) -> Result<Self> {
        let mut services = Vec::new();
        let mut next = ports::free()?;
        let (program, made_of) = if apps.has("stock") { ("stock", "Go") } else { ("epoll", "C") };
        let mut stock = apps.program(program);
        stock.arg(next.to_string());
        if made_of == "Go" && apps.has("prices") {
            let (port, tax) = (ports::free()?, ports::free()?);
            let mut command = apps.program("prices");
            command.args([port, tax].map(|port| port.to_string()));
            services.push(Service::start("prices", "Go", port, command, dir, limit)?);
            stock.arg(port.to_string());
        }
        services.push(Service::start("stock", made_of, next, stock, dir, limit)?);
        for (name, _, made_of, start) in
            CHAIN.into_iter().rev().filter(|(_, needs, _, _)| find(needs).is_some())
        {
            let port = ports::free()?;
            let command = start(apps, dir, port, next)?;
            services.push(Service::start(name, made_of, port, command, dir, limit)?);
            next = port;
        }
        services.reverse();
        Ok(Self { services })
    }

    /// Where customers ask.
    pub fn front(&self) -> Result<u16> {
        Ok(self.services.first().context("the shop is empty")?.port)
    }

    /// The services' ports, as a setting lists them.
    #[must_use]
    pub fn ports(&self) -> String {
        let ports: Vec<_> = self.services.iter().map(|service| service.port.to_string()).collect();
        ports.join(",")
    }

    /// Fails when a service has ended.
    pub fn is_open(&mut self) -> Result<()> {
        for service in &mut self.services {
            if let Some(status) = service.program.ended()? {
                let said = service.program.stderr()?;
                anyhow::bail!("{} ended by itself: {status}\n{said}", service.name);
            }
        }
        Ok(())
    }
}

impl Service {
    fn start(
        name: &'static str,
        made_of: &'static str,
        port: u16,
        mut command: Command,
        dir: &Path,
        limit: Duration,
    ) -> Result<Self> {
        let program = Program::start(name, command.env("OTEL_SERVICE_NAME", name), dir)?;
        ports::open(port, limit)
            .with_context(|| format!("{name}: {}", program.stderr().unwrap_or_default()))?;
        Ok(Self { name, made_of, port, program })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }
}

fn gateway(_: &Apps, dir: &Path, port: u16, next: u16) -> Result<Command> {
    let block = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{next}; }} }}"
    );
    nginx(dir, &block)
}

fn orders(apps: &Apps, _: &Path, port: u16, next: u16) -> Result<Command> {
    let mut command = apps.python("shop/orders.py")?;
    command.args([port.to_string(), next.to_string()]);
    Ok(command)
}

fn catalog(apps: &Apps, _: &Path, port: u16, next: u16) -> Result<Command> {
    let mut command = apps.node("shop/catalog.js")?;
    command.args([port.to_string(), next.to_string()]);
    Ok(command)
}

/// nginx in `dir`, with one worker and this server block.
pub fn nginx(dir: &Path, block: &str) -> Result<Command> {
    let conf = format!(
        "daemon off; worker_processes 1; user root; pid nginx.pid; error_log stderr;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;\n\
         uwsgi_temp_path u; scgi_temp_path s; sendfile on;\n{block}\n}}\n"
    );
    fs::write(dir.join("nginx.conf"), conf)?;
    let mut command = Command::new(find("nginx").context("nginx is not installed")?);
    command.arg("-e").arg("stderr").arg("-p").arg(dir).args(["-c", "nginx.conf"]);
    Ok(command)
}

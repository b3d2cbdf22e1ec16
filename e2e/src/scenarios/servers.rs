// SPDX-License-Identifier: Apache-2.0
//! Servers in many languages and forms: one server span per request, with the right words.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::apps::python;
use crate::ports;
use crate::scenario::{Expected, Scenario, Skip};
use crate::scene::Scene;
use crate::shop;
use crate::until::until;
use crate::vor::Settings;
use crate::web::{self, Talk};

/// Workers of the pool.
const POOL: usize = 4;

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("python-http-server", python_http_server).needs(&["python3"]).smoke(),
        Scenario::new("nginx-server", nginx_server).needs(&["nginx"]).smoke(),
        Scenario::new("nginx-proxy", nginx_proxy).needs(&["nginx", "python3"]).smoke(),
        Scenario::new("node-server", node_server).needs(&["node"]),
        Scenario::new("go-server", go_server).needs(&["web"]).smoke(),
        Scenario::new("epoll-server", epoll_server).smoke(),
        Scenario::new("io-uring-server", io_uring_server).tcp_level().smoke(),
        Scenario::new("prefork-pool", |scene| prefork(scene, &["pool", &POOL.to_string()])).smoke(),
        Scenario::new("prefork-each", |scene| prefork(scene, &["each"])).smoke(),
        Scenario::new("unix-socket", unix_socket).needs(&["curl"]).smoke(),
        Scenario::new("ipv6", ipv6).smoke(),
        Scenario::new("service-name", service_name),
    ]
}

fn python_http_server(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    fs::write(scene.dir().join("page.html"), "hello")?;
    let mut command = python()?;
    command.args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"]);
    command.arg(scene.dir());
    let server = scene.serve(command, port)?;
    scene.observe(&Settings::port(port), &[server.pid])?;
    ensure!(web::get(port, "/page.html")?.status == 200, "the page is there");
    ensure!(web::get(port, "/nowhere")?.status == 404, "the other page is not");
    ensure!(Talk::to(port)?.ask("HEAD", "/page.html")?.status == 200, "HEAD is answered");
    let spans = scene.spans(3)?;
    let found = spans.iter().find(|span| span.attr("url.path") == "/page.html");
    let found = found.context("no span has the path")?;
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("server.port", port.to_string().as_str()),
        ("client.address", "127.0.0.1"),
        ("http.response.body.size", "5"),
    ] {
        ensure!(found.attr(name) == value, "{name} is {:?}, not {value:?}", found.attr(name));
    }
    let language = found.resource.get("telemetry.sdk.language").map(String::as_str);
    ensure!(language == Some("python"), "the language is {language:?}");
    ensure!(found.service().starts_with("python3"), "the service is {:?}", found.service());
    let missing = spans.iter().find(|span| span.attr("url.path") == "/nowhere");
    let missing = missing.context("no span of the missing page")?;
    ensure!(missing.attr("http.response.status_code") == "404", "its status is wrong");
    ensure!(missing.status != 2, "404 is no error of a server");
    Ok(Expected::server(3))
}

/// The children of a process, once it has so many.
pub(super) fn children(scene: &Scene<'_>, pid: u32, count: usize) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    until(format!("{count} children of {pid}"), scene.limit(), || {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        found = list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        Ok(found.len() == count)
    })?;
    Ok(found)
}

fn nginx_server(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    fs::write(scene.dir().join("page.html"), "x".repeat(100_000))?;
    let block = format!("server {{ listen 127.0.0.1:{port}; root .; }}");
    let command = shop::nginx(scene.dir(), &block)?;
    let master = scene.serve(command, port)?;
    let workers = children(scene, master.pid, 1)?;
    scene.observe(&Settings::port(port), &workers)?;
    let mut talk = Talk::to(port)?;
    for _ in 0..5 {
        ensure!(talk.get("/page.html")?.len == 100_000, "the whole page arrives");
    }
    let spans = scene.spans(5)?;
    let sizes_right = spans.iter().all(|span| span.attr("http.response.body.size") == "100000");
    ensure!(sizes_right, "sendfile's bytes are not counted");
    Ok(Expected::server(5))
}

fn nginx_proxy(scene: &mut Scene<'_>) -> Result<Expected> {
    let (front, back) = (ports::free()?, ports::free()?);
    let mut command = scene.world.apps.python("python/server.py")?;
    command.arg(back.to_string());
    let server = scene.serve(command, back)?;
    let block = format!(
        "server {{ listen 127.0.0.1:{front}; location / {{ proxy_pass http://127.0.0.1:{back}; }} }}"
    );
    let command = shop::nginx(scene.dir(), &block)?;
    let master = scene.serve(command, front)?;
    let mut pids = children(scene, master.pid, 1)?;
    pids.push(server.pid);
    scene.observe(
        &Settings::port(front).with("BEYLA_OPEN_PORT", format!("{front},{back}")),
        &pids,
    )?;
    let mut talk = Talk::to(front)?;
    for n in 0..10 {
        ensure!(talk.get(&format!("/item/{n}"))?.status == 200, "the proxy passes it on");
    }
    let spans = scene.spans(30)?;
    let clients = spans.iter().filter(|span| !span.server);
    let to_back = clients.filter(|span| span.attr("server.port") == back.to_string()).count();
    ensure!(to_back == 10, "{to_back} of 10 client spans name the server behind the proxy");
    Ok(Expected::both(20, 10))
}

/// Ten requests with bodies on one connection, and one span each.
fn ten_posts(scene: &mut Scene<'_>, command: Command, port: u16) -> Result<Expected> {
    let server = scene.serve(command, port)?;
    scene.observe(&Settings::port(port), &[server.pid])?;
    let mut talk = Talk::to(port)?;
    for n in 0..10 {
        let head = web::request("POST", &format!("/item/{n}"), "Content-Length: 8\r\n");
        talk.say(format!("{head}question").as_bytes())?;
        ensure!(talk.hear(false)?.status == 200, "it is answered");
    }
    let spans = scene.spans(10)?;
    let sized = spans.iter().filter(|span| span.attr("http.request.body.size") == "8").count();
    ensure!(sized == 10, "{sized} of 10 spans have the right size");
    Ok(Expected::server(10))
}

fn node_server(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    let mut command = scene.world.apps.node("node/server.js")?;
    command.arg(port.to_string());
    ten_posts(scene, command, port)
}

fn go_server(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    let mut command = scene.world.apps.program("web");
    command.args(["server", &port.to_string()]);
    ten_posts(scene, command, port)
}

fn epoll_server(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    let mut command = scene.world.apps.program("epoll");
    command.arg(port.to_string());
    ten_posts(scene, command, port)
}

fn io_uring_server(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    let mut command = scene.world.apps.program("uring");
    command.arg(port.to_string());
    let server = scene.start(command)?;
    if let Err(error) = ports::open(port, scene.limit()) {
        // Its exit code for a kernel without io_uring.
        let ended = scene.program(server)?.ended()?.and_then(|status| status.code());
        return Err(if ended == Some(3) {
            Skip("no io_uring here".to_owned()).into()
        } else {
            error
        });
    }
    scene.observe(&Settings::port(port), &[server.pid])?;
    let mut talk = Talk::to(port)?;
    for n in 0..10 {
        ensure!(talk.get(&format!("/item/{n}"))?.status == 200, "it is answered");
    }
    Ok(Expected::server(10))
}

fn prefork(scene: &mut Scene<'_>, how: &[&str]) -> Result<Expected> {
    let port = ports::free()?;
    let mut command = scene.world.apps.program("prefork");
    command.arg(port.to_string()).args(how);
    let parent = scene.serve(command, port)?;
    let mut pids = vec![parent.pid];
    if how.contains(&"pool") {
        pids.extend(children(scene, parent.pid, POOL)?);
    }
    scene.observe(&Settings::port(port), &pids)?;
    for n in 0..12 {
        ensure!(web::get(port, &format!("/item/{n}"))?.status == 200, "it is answered");
    }
    Ok(Expected::server(12))
}

fn unix_socket(scene: &mut Scene<'_>) -> Result<Expected> {
    let path = scene.dir().join("shop.sock");
    let mut command = scene.world.apps.program("epoll");
    command.arg(&path);
    let server = scene.start(command)?;
    until("the socket exists", scene.limit(), || Ok(path.exists()))?;
    let settings = scene.executable("/epoll$")?;
    scene.observe(&settings, &[server.pid])?;
    for n in 0..5 {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--unix-socket"]).arg(&path).arg(format!("http://shop.example/item/{n}"));
        let client = scene.start(curl)?;
        let limit = scene.limit();
        scene.program(client)?.succeed(limit)?;
    }
    let spans = scene.spans(5)?;
    ensure!(
        spans.iter().all(|span| span.attr("url.path").starts_with("/item/")),
        "paths are wrong"
    );
    Ok(Expected::server(5))
}

fn ipv6(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    let mut command = scene.world.apps.program("epoll");
    command.arg(format!("6:{port}"));
    let server = scene.serve(command, port)?;
    scene.observe(&Settings::port(port), &[server.pid])?;
    let mut six = Talk::at(&format!("[::1]:{port}"))?;
    let mut four = Talk::to(port)?;
    six.get("/six")?;
    four.get("/four")?;
    let spans = scene.spans(2)?;
    for (path, address) in [("/six", "::1"), ("/four", "127.0.0.1")] {
        let span = spans.iter().find(|span| span.attr("url.path") == path);
        let span = span.with_context(|| format!("no span of {path}"))?;
        let client = span.attr("client.address");
        ensure!(client == address, "{path} came from {client}, expected {address}");
    }
    Ok(Expected::server(2))
}

fn service_name(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    let mut command = scene.world.apps.program("epoll");
    command.arg(port.to_string()).env("OTEL_SERVICE_NAME", "cart");
    command.env("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop,team=green");
    let server = scene.serve(command, port)?;
    scene.observe(&Settings::port(port), &[server.pid])?;
    web::get(port, "/")?;
    let spans = scene.spans(1)?;
    let span = spans.first().context("no span")?;
    for (name, value) in
        [("service.name", "cart"), ("service.namespace", "shop"), ("team", "green")]
    {
        let got = span.resource.get(name).map_or("", String::as_str);
        ensure!(got == value, "{name} is {got:?}, not {value:?}");
    }
    Ok(Expected::server(1))
}

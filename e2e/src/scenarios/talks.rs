// SPDX-License-Identifier: Apache-2.0
//! What can happen on a connection.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{epoll, observed_epoll};
use crate::collector::Span;
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene, only};
use crate::vor::Settings;
use crate::web::{self, Talk};

const PAUSE: Duration = Duration::from_millis(300);
const LARGE: usize = 10 << 20;

pub(super) fn list() -> Vec<Scenario> {
    let python = |name: &str, act: fn(&mut Scene<'_>) -> Result<Expected>| {
        Scenario::new(name, act).needs(&["python3"])
    };
    vec![
        Scenario::new("open-before-start", open_before).smoke(),
        Scenario::new("keep-alive", keep_alive).smoke(),
        Scenario::new("pipelining", pipelining).smoke(),
        Scenario::new("split-request", split_request).smoke(),
        python("chunked", chunked).smoke(),
        python("head", head),
        python("continue-100", continue_100).smoke(),
        python("upgrade", upgrade).smoke(),
        python("large-bodies", large_bodies),
        python("trickle", trickle),
        python("request-timeout", request_timeout).smoke(),
        python("server-dies", server_dies).smoke(),
        python("client-leaves", client_leaves).smoke(),
    ]
}

/// The server that misbehaves on request, observed.
fn python(scene: &mut Scene<'_>) -> Result<(Actor, u16)> {
    python_with(scene, &Settings::default())
}

fn python_with(scene: &mut Scene<'_>, settings: &Settings) -> Result<(Actor, u16)> {
    let port = ports::free()?;
    let mut command = scene.world.apps.python("python/server.py")?;
    command.arg(port.to_string());
    let server = scene.serve(command, port)?;
    scene.observe(&settings.clone().with("BEYLA_OPEN_PORT", port), &[server.pid])?;
    Ok((server, port))
}

fn ensure_code(span: &Span, code: &str) -> Result<()> {
    let got = span.attr("http.response.status_code");
    ensure!(got == code, "the status is {got:?}, not {code:?}");
    Ok(())
}

fn open_before(scene: &mut Scene<'_>) -> Result<Expected> {
    let (server, port) = epoll(scene)?;
    let mut idle = Talk::to(port)?;
    let mut used = Talk::to(port)?;
    used.get("/before")?;
    scene.observe(&Settings::port(port), &[server.pid])?;
    for n in 0..3 {
        idle.get(&format!("/idle/{n}"))?;
        used.get(&format!("/used/{n}"))?;
    }
    Ok(Expected::server(6))
}

fn keep_alive(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = observed_epoll(scene, &Settings::default())?;
    let mut talk = Talk::to(port)?;
    for n in 0..100 {
        talk.get(&format!("/item/{n}"))?;
    }
    let spans = scene.spans(100)?;
    for n in 0..100 {
        let path = format!("/item/{n}");
        let count = spans.iter().filter(|span| span.attr("url.path") == path).count();
        ensure!(count == 1, "{path} has {count} spans");
    }
    Ok(Expected::server(100))
}

fn pipelining(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = observed_epoll(scene, &Settings::default())?;
    let mut talk = Talk::to(port)?;
    let all: String = (0..5).map(|n| web::request("GET", &format!("/item/{n}"), "")).collect();
    for _ in 0..3 {
        talk.say(all.as_bytes())?;
        for _ in 0..5 {
            ensure!(talk.hear(false)?.status == 200, "each is answered");
        }
    }
    let spans = scene.spans(15)?;
    for n in 0..5 {
        let path = format!("/item/{n}");
        let count = spans.iter().filter(|span| span.attr("url.path") == path).count();
        ensure!(count == 3, "{path} has {count} spans, not 3");
    }
    Ok(Expected::server(15))
}

fn split_request(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = observed_epoll(scene, &Settings::default())?;
    let mut talk = Talk::to(port)?;
    let request = web::request("POST", "/in/pieces", "Content-Length: 4\r\n") + "body";
    for piece in request.as_bytes().chunks(7) {
        talk.say(piece)?;
        sleep(Duration::from_millis(5));
    }
    talk.hear(false)?;
    talk.get("/whole")?;
    let spans = scene.spans(2)?;
    let split = spans.iter().find(|span| span.attr("url.path") == "/in/pieces");
    ensure_code(split.context("no span of the split request")?, "200")?;
    Ok(Expected::server(2))
}

fn chunked(scene: &mut Scene<'_>) -> Result<Expected> {
    let (_, port) = python(scene)?;
    let mut talk = Talk::to(port)?;
    for _ in 0..3 {
        ensure!(talk.get("/chunked/50")?.len == 300, "all chunks arrive");
    }
    talk.get("/after")?;
    Ok(Expected::server(4))
}

fn head(scene: &mut Scene<'_>) -> Result<Expected> {
    let (_, port) = python(scene)?;
    let mut talk = Talk::to(port)?;
    for method in ["HEAD", "GET", "HEAD", "OPTIONS", "PATCH", "DELETE", "PUT"] {
        talk.ask(method, "/thing")?;
    }
    let spans = scene.spans(7)?;
    let heads = spans.iter().filter(|span| span.attr("http.request.method") == "HEAD").count();
    ensure!(heads == 2, "{heads} spans of HEAD, not 2");
    Ok(Expected::server(7))
}

fn continue_100(scene: &mut Scene<'_>) -> Result<Expected> {
    let (_, port) = python(scene)?;
    let mut talk = Talk::to(port)?;
    let more = "Content-Length: 8\r\nExpect: 100-continue\r\n";
    talk.say(web::request("POST", "/item", more).as_bytes())?;
    ensure!(talk.hear(false)?.status == 100, "it says continue");
    talk.say(b"question")?;
    ensure!(talk.hear(false)?.status == 200, "then it answers");
    talk.get("/after")?;
    let spans = scene.spans(2)?;
    spans.iter().try_for_each(|span| ensure_code(span, "200"))?;
    Ok(Expected::server(2))
}

fn upgrade(scene: &mut Scene<'_>) -> Result<Expected> {
    let (_, port) = python(scene)?;
    let mut talk = Talk::to(port)?;
    let more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n";
    talk.say(web::request("GET", "/upgrade", more).as_bytes())?;
    ensure!(talk.hear(false)?.status == 101, "it switches protocols");
    for n in 0..20 {
        // A text frame whose payload looks like a request.
        let frame = format!("\u{1}\u{10}GET /frame/{n:02} ");
        talk.say(frame.as_bytes())?;
        talk.read(frame.len())?;
    }
    talk.hush()?;
    web::get(port, "/after")?;
    let spans = scene.spans(2)?;
    let switched = spans.iter().find(|span| span.attr("url.path") == "/upgrade");
    ensure_code(switched.context("no span of the upgrade")?, "101")?;
    Ok(Expected::server(2))
}

fn large_bodies(scene: &mut Scene<'_>) -> Result<Expected> {
    let (_, port) = python(scene)?;
    let mut talk = Talk::to(port)?;
    let body = vec![b'x'; LARGE];
    let (first, rest) = body.split_at(LARGE / 2);
    let start = Instant::now();
    let more = format!("Content-Length: {LARGE}\r\n");
    talk.say(web::request("POST", "/echo", &more).as_bytes())?;
    talk.say(first)?;
    sleep(PAUSE);
    talk.say(rest)?;
    // While nobody reads, the answer does not fit into the buffers.
    sleep(PAUSE);
    ensure!(talk.hear(false)?.len == LARGE, "as much comes back");
    let whole = start.elapsed();
    talk.get("/after")?;
    let spans = scene.spans(2)?;
    let echo = spans.iter().find(|span| span.attr("url.path") == "/echo");
    let echo = echo.context("no span of the large request")?;
    for name in ["http.request.body.size", "http.response.body.size"] {
        ensure!(echo.attr(name) == LARGE.to_string(), "{name} is {}", echo.attr(name));
    }
    ensure!(
        echo.time >= PAUSE * 2 && echo.time <= whole + PAUSE / 10,
        "it took {whole:?}, the span says {:?}",
        echo.time
    );
    Ok(Expected::server(2))
}

fn trickle(scene: &mut Scene<'_>) -> Result<Expected> {
    let (_, port) = python(scene)?;
    web::get(port, "/trickle/20/25")?;
    let span = only(&scene.spans(1)?)?;
    // The pause after the last piece is not part of it.
    let least = Duration::from_millis(19 * 25);
    ensure!(span.time >= least, "it took at least {least:?}, the span says {:?}", span.time);
    Ok(Expected::server(1))
}

fn request_timeout(scene: &mut Scene<'_>) -> Result<Expected> {
    let settings = Settings::default().with("BEYLA_BPF_HTTP_REQUEST_TIMEOUT", "1s");
    let (_, port) = python_with(scene, &settings)?;
    let mut talk = Talk::to(port)?;
    talk.say(web::request("GET", "/silent", "").as_bytes())?;
    let span = only(&scene.spans(1)?)?;
    ensure_code(&span, "408")?;
    let second = Duration::from_secs(1);
    // vor looks once a second.
    ensure!(
        span.time >= second && span.time < second * 3,
        "the limit is {second:?}, the span says {:?}",
        span.time
    );
    Ok(Expected::server(1))
}

fn server_dies(scene: &mut Scene<'_>) -> Result<Expected> {
    let (server, port) = python(scene)?;
    web::get(port, "/fine")?;
    let mut talk = Talk::to(port)?;
    talk.say(web::request("GET", "/silent", "").as_bytes())?;
    sleep(PAUSE);
    scene.program(server)?.signal(Signal::KILL)?;
    let spans = scene.spans(2)?;
    let open = spans.iter().find(|span| span.attr("url.path") == "/silent");
    ensure!(open.context("no span of the open request")?.status == 2, "it is an error");
    Ok(Expected::server(2))
}

fn client_leaves(scene: &mut Scene<'_>) -> Result<Expected> {
    let (_, port) = python(scene)?;
    let mut talk = Talk::to(port)?;
    talk.say(web::request("GET", "/delay/300", "").as_bytes())?;
    sleep(PAUSE / 3);
    drop(talk);
    web::get(port, "/after")?;
    Ok(Expected::server(2))
}

// SPDX-License-Identifier: Apache-2.0
//! Answers /case/N after it has asked /down/N elsewhere: `truth-tokio PATTERN PORT DOWN`.

use std::io;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

const TASKS: usize = 4;

type Job = (String, oneshot::Sender<Vec<u8>>);

/// The way from the task that serves the request to the one that makes the call.
#[derive(Clone)]
enum Pattern {
    /// A new task.
    Spawn,
    /// One of several tasks that were there before the request.
    Mpsc(Vec<mpsc::Sender<Job>>),
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [pattern, port, down] = args.as_slice() else { bail!("PATTERN PORT DOWN") };
    let down: u16 = down.parse()?;
    let pattern = match pattern.as_str() {
        "spawn" => Pattern::Spawn,
        "mpsc" => Pattern::Mpsc((0..TASKS).map(|_| worker(down)).collect()),
        other => bail!("no pattern {other}"),
    };
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    loop {
        let (conn, _) = listener.accept().await?;
        // A client that hangs up ends its own task, nothing else.
        tokio::spawn(serve(conn, pattern.clone(), down));
    }
}

fn worker(down: u16) -> mpsc::Sender<Job> {
    let (todo, mut jobs) = mpsc::channel::<Job>(64);
    tokio::spawn(async move {
        while let Some((n, said)) = jobs.recv().await {
            // The one who asked may be gone.
            let _ = said.send(call(&n, down).await.unwrap_or_default());
        }
    });
    todo
}

async fn serve(conn: TcpStream, pattern: Pattern, down: u16) -> Result<()> {
    let mut conn = BufReader::new(conn);
    while let Some((first, _)) = head(&mut conn).await? {
        let n = first.split(' ').nth(1).and_then(|path| path.rsplit('/').next());
        let n = n.context("no path")?.to_owned();
        let body = match &pattern {
            Pattern::Spawn => tokio::spawn(async move { call(&n, down).await }).await??,
            Pattern::Mpsc(workers) => {
                let (say, said) = oneshot::channel();
                let at = n.parse::<usize>()? % workers.len();
                workers.get(at).context("no worker")?.send((n, say)).await?;
                said.await?
            }
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        conn.get_mut().write_all(&[head.as_bytes(), &body].concat()).await?;
    }
    Ok(())
}

/// The outgoing request, on a connection of its own.
async fn call(n: &str, down: u16) -> Result<Vec<u8>> {
    let mut conn = BufReader::new(TcpStream::connect(("127.0.0.1", down)).await?);
    let request = format!("GET /down/{n} HTTP/1.1\r\nHost: down\r\n\r\n");
    conn.get_mut().write_all(request.as_bytes()).await?;
    let (_, length) = head(&mut conn).await?.context("no answer")?;
    let mut body = vec![0; length];
    conn.read_exact(&mut body).await?;
    Ok(body)
}

/// The first line, and the length of the body that follows; `None` at the end.
async fn head(conn: &mut BufReader<TcpStream>) -> io::Result<Option<(String, usize)>> {
    let (mut first, mut length) = (String::new(), 0);
    if conn.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    loop {
        let mut line = String::new();
        conn.read_line(&mut line).await?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(Some((first, length)));
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
}

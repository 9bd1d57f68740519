//! An HTTP/1.1 server that answers with what it was asked, and two clients. It serves one connection after the other.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use anyhow::Context as _;

use super::stage::Stage;

const PORT: u16 = 6789;
const CLIENTS: usize = 2;

pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let listener = match TcpListener::bind(("127.0.0.1", PORT)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            stage.say(format!("   port {PORT} is in use: another is taken"));
            TcpListener::bind(("127.0.0.1", 0))
        }
        bound => bound,
    }
    .context("bind")?;
    let server = listener.local_addr()?;
    stage.say(format!("1. socket(), bind(\"{server}\"), listen()"));
    stage.pause(2);

    stage.start("server", || {
        for _ in 0..CLIENTS {
            stage.say("   server: accept()");
            let (connection, client) = listener.accept()?;
            stage.say(format!("   server: connection from {client}"));
            serve(stage, connection)?;
        }
        Ok(())
    })?;
    // The server has it.
    drop(listener);
    stage.pause(2);

    stage.say("2. client: three requests on one connection");
    stage.start("client", || {
        let mut connection = TcpStream::connect(server).context("connect")?;
        connection.set_nodelay(true)?;
        for (method, path, body) in [("GET", "/hello", ""), ("POST", "/echo", "How are you?"), ("GET", "/missing", "")]
        {
            stage.pause(2);
            ask(stage, "client", &mut connection, (method, path, body), server)?;
        }
        stage.pause(2);
        Ok(())
    })?;
    stage.pause(4);
    stage.say("3. client2: connected, but not accepted yet: it waits its turn");
    stage.start("client2", || {
        let mut connection = TcpStream::connect(server).context("connect")?;
        ask(stage, "client2", &mut connection, ("GET", "/late", ""), server)
    })?;
    stage.wait_for(1 + CLIENTS)?;
    stage.say("4. over");
    Ok(())
}

/// Sends a request and waits for its answer.
fn ask(
    stage: &Stage,
    client: &str,
    connection: &mut TcpStream,
    (method, path, body): (&str, &str, &str),
    server: SocketAddr,
) -> anyhow::Result<()> {
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {length}\r\n\r\n{body}");
    connection.write_all(request.as_bytes())?;
    let answer = receive(connection)?.context("the server closed the connection")?;
    let status = answer.lines().next().unwrap_or_default();
    stage.say(format!("   {client}: {method} {path}: {status}"));
    Ok(())
}

/// Answers until the client closes the connection.
fn serve(stage: &Stage, mut connection: TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    while let Some(request) = receive(&mut connection)? {
        stage.pause(1);
        let status = if request.contains(" /missing ") { "404 Not Found" } else { "200 OK" };
        let length = request.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{request}");
        connection.write_all(answer.as_bytes())?;
    }
    stage.say("   server: end-of-file: the client has closed; close()");
    Ok(())
}

/// A message: its head up to the empty line, and as many bytes as its Content-Length says. `None`: end-of-file.
fn receive(connection: &mut TcpStream) -> anyhow::Result<Option<String>> {
    let mut message = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let got = connection.read(&mut buffer)?;
        if got == 0 {
            return Ok(None);
        }
        message.extend_from_slice(buffer.get(..got).unwrap_or_default());
        let text = String::from_utf8_lossy(&message);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(Ok(0), str::parse)? {
                return Ok(Some(text.into_owned()));
            }
        }
    }
}

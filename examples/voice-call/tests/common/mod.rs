//! A server in this process, and clients of it.
#![allow(dead_code)] // Not every test uses all of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use voice_call::config::{Config, ServeArgs};
use voice_call::serve::{bind, serve};
use voice_call::state::Server;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Server that ends with the test.
pub struct TestServer {
    pub address: SocketAddr,
    pub server: Arc<Server>,
}

impl TestServer {
    pub async fn start(args: &[&str]) -> Self {
        let own = ["test", "--listen", "127.0.0.1:0", "--media-address", "127.0.0.1"];
        let args = Command::try_parse_from([&own, args].concat()).unwrap().serve;
        let listener = bind(args.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::start(Config::from(args)).await.unwrap();
        tokio::spawn(serve(listener, Arc::clone(&server), std::future::pending()));
        Self { address, server }
    }

    pub async fn client(&self) -> Client {
        self.try_client().await.unwrap()
    }

    pub async fn try_client(&self) -> Result<Client, Error> {
        let (socket, _) = connect_async(format!("ws://{}/ws", self.address)).await?;
        Ok(Client { socket, id: String::new() })
    }

    /// Client that has joined, with the rest of the answer.
    pub async fn joined(&self, room: &str, name: &str) -> (Client, Value) {
        let mut client = self.client().await;
        let answer = client.join(room, name, &session()).await;
        assert_eq!(answer["type"], "joined", "{answer}");
        (client, answer)
    }

    /// Status and body of a request.
    pub async fn request(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

/// Secret of a new session.
pub fn session() -> String {
    format!("{:032x}", fastrand::u128(..))
}

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub id: String,
}

impl Client {
    pub async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await.unwrap();
    }

    pub async fn send_text(&mut self, text: String) -> Result<(), Error> {
        self.socket.send(Message::Text(text.into())).await
    }

    /// Next message; `null` at the end.
    pub async fn next(&mut self) -> Value {
        loop {
            let message = timeout(Duration::from_secs(20), self.socket.next()).await.expect("an answer");
            match message {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Value::Null,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Next message of a type, or the end; levels and the like are passed over.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message.is_null() || message["type"] == kind {
                return message;
            }
        }
    }

    pub async fn join(&mut self, room: &str, name: &str, session: &str) -> Value {
        self.send(json!({ "type": "join", "room": room, "name": name, "session": session })).await;
        let answer = self.next().await;
        self.id = answer["id"].as_str().unwrap_or_default().into();
        answer
    }

    /// Code of the error that a message is answered with.
    pub async fn error(&mut self, message: Value) -> String {
        self.send(message).await;
        self.next_of("error").await["code"].as_str().unwrap_or("closed").into()
    }

    /// Asserts that nothing came but the answer to a ping.
    pub async fn assert_quiet(&mut self) {
        self.send(json!({ "type": "ping" })).await;
        assert_eq!(self.next().await, json!({ "type": "pong" }));
    }
}

/// Session description that a page might send.
pub fn sdp() -> String {
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n".into()
}

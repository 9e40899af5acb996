//! 200 clients that join, leave and send garbage: memory stays flat, nobody hears of another room, nothing panics.
//!
//! Takes 8 s, or as many as `VOICE_CALL_STORM_SECONDS` says.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{TestServer, sdp, session};
use serde_json::{Value, json};

const CLIENTS: usize = 200;
const ROOMS: usize = 40;

static PANICS: AtomicUsize = AtomicUsize::new(0);
static MESSAGES: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_leaves_nothing_behind() {
    let seconds = std::env::var("VOICE_CALL_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Relaxed);
        report(info);
    }));
    let server = std::sync::Arc::new(TestServer::start(&[]).await);
    let end = Instant::now() + Duration::from_secs(seconds);
    let storm: Vec<_> = (0..CLIENTS)
        .map(|index| {
            let server = std::sync::Arc::clone(&server);
            tokio::spawn(async move { client(&server, index, end).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds / 2)).await;
    let half = memory_kb();
    for task in storm {
        task.await.unwrap();
    }
    let whole = memory_kb();
    for _ in 0..100 {
        if server.request("GET", "/api/rooms", "").await.1 == json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, rooms) = server.request("GET", "/api/rooms", "").await;
    let (messages, panics) = (MESSAGES.load(Relaxed), PANICS.load(Relaxed));
    println!("{seconds} s: {messages} messages heard, memory {half} to {whole} kB, {panics} panics");
    assert_eq!((rooms, panics), (json!([]), 0));
    assert!(messages > CLIENTS * 10, "{messages}");
    assert!(whole < half + half / 10 + 4096, "{half} to {whole} kB");
}

/// Joins, talks, sends garbage and leaves, again and again.
async fn client(server: &TestServer, index: usize, end: Instant) {
    let mut random = fastrand::Rng::with_seed(index as u64);
    let mut members: Vec<String> = Vec::new();
    while Instant::now() < end {
        // Everyone is called by the room, so that whoever hears another name hears of another room.
        let room = format!("room-{}", random.usize(..ROOMS));
        let Ok(mut client) = server.try_client().await else { continue };
        let answer = client.join(&room, &room, &session()).await;
        check(&answer, &room, &mut members);
        for _ in 0..random.usize(3..12) {
            let to = members.get(random.usize(..=members.len())).cloned().unwrap_or("server".into());
            let text = match random.u8(..8) {
                0 => "garbage".into(),
                1 => "{\"type\":\"offer\",\"to\":7}".into(),
                2 => json!({ "type": "offer", "to": to, "sdp": sdp() }).to_string(),
                3 => json!({ "type": "mute", "muted": random.bool() }).to_string(),
                4 => json!({ "type": "mode", "mode": "server" }).to_string(),
                5 => json!({ "type": "stats", "peer": to, "send": { "loss": 0.01 } }).to_string(),
                6 => "x".repeat(random.usize(1..20_000)),
                _ => json!({ "type": "ping" }).to_string(),
            };
            if client.send_text(text).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(random.u64(5..40))).await;
        }
        client.send(json!({ "type": "leave" })).await;
        loop {
            let message = client.next().await;
            // In a full room one never was.
            if message.is_null() || message["type"] == "left" || message["code"] == "not-joined" {
                break;
            }
            check(&message, &room, &mut members);
        }
        // Some go without a good-bye.
        if random.bool() {
            let _ = client.socket.close(None).await;
        }
    }
}

fn check(message: &Value, room: &str, members: &mut Vec<String>) {
    MESSAGES.fetch_add(1, Relaxed);
    let users = match message["type"].as_str() {
        Some("joined") => {
            members.clear();
            message["members"].as_array().cloned().unwrap_or_default()
        }
        Some("user-joined") => vec![message["user"].clone()],
        _ => Vec::new(),
    };
    for user in users {
        assert_eq!(user["name"], room, "somebody of another room");
        members.push(user["id"].as_str().unwrap().into());
    }
}

/// Memory of this process, in kB.
fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

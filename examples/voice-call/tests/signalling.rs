//! Signalling: who hears what, and what is refused.

mod common;

use common::{Client, TestServer, sdp, session};
use serde_json::{Value, json};
use voice_call::signalling::protocol::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};

#[tokio::test]
async fn users_meet_exchange_and_part() {
    let server = TestServer::start(&["--turn", "turn:127.0.0.1:3478", "--turn-secret", "north"]).await;
    let (mut ann, answer) = server.joined("kitchen", "Ann").await;
    assert_eq!((&answer["mode"], &answer["members"]), (&json!("p2p"), &json!([])));
    let turn = &answer["iceServers"][0];
    assert!(turn["username"].as_str().unwrap().ends_with(&ann.id), "{turn}");
    assert!(!answer.to_string().contains("north"));

    let (mut bob, answer) = server.joined("kitchen", "Bob").await;
    assert_eq!(answer["members"], json!([{ "id": ann.id, "name": "Ann", "muted": false }]));
    let expected = json!({ "type": "user-joined", "user": { "id": bob.id, "name": "Bob", "muted": false } });
    assert_eq!(ann.next().await, expected);

    bob.send(json!({ "type": "offer", "to": ann.id, "sdp": sdp() })).await;
    assert_eq!(ann.next().await, json!({ "type": "offer", "from": bob.id, "sdp": sdp(), "restart": false }));
    ann.send(json!({ "type": "answer", "to": bob.id, "sdp": sdp() })).await;
    assert_eq!(bob.next().await, json!({ "type": "answer", "from": ann.id, "sdp": sdp() }));
    let candidate = json!({
        "candidate": "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host", "sdpMid": "0", "sdpMLineIndex": 0,
        "usernameFragment": "abcd",
    });
    ann.send(json!({ "type": "candidate", "to": bob.id, "candidate": candidate })).await;
    assert_eq!(bob.next().await, json!({ "type": "candidate", "from": ann.id, "candidate": candidate }));

    ann.send(json!({ "type": "mute", "muted": true })).await;
    assert_eq!(bob.next_of("muted").await, json!({ "type": "muted", "id": ann.id, "muted": true }));
    bob.send(json!({ "type": "mode", "mode": "server" })).await;
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.next_of("mode").await["mode"], "server");
    }
    let (status, room) = server.request("GET", "/api/rooms/kitchen", "").await;
    assert_eq!((status, &room["mode"]), (200, &json!("server")));
    assert_eq!(room["users"].as_array().unwrap().iter().filter(|user| user["muted"] == true).count(), 1);

    ann.send(json!({ "type": "leave" })).await;
    assert_eq!(ann.next().await["type"], "left");
    assert_eq!(bob.next().await, json!({ "type": "user-left", "id": ann.id, "lost": false }));
    drop(bob);
    for _ in 0..100 {
        if server.request("GET", "/api/rooms", "").await.1 == json!([]) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the room stays");
}

#[tokio::test]
async fn statistics_are_answered_with_advice() {
    let server = TestServer::start(&[]).await;
    let (mut ann, _) = server.joined("kitchen", "Ann").await;
    let peer = "0123456789abcdef";
    ann.send(json!({ "type": "stats", "peer": peer, "send": { "loss": 0.1 }, "receive": { "jitter_ms": 5.0 } })).await;
    let answer = ann.next().await;
    assert_eq!((&answer["type"], &answer["peer"]), (&json!("connection"), &json!(peer)));
    assert_eq!(answer["receive"]["quality"], "excellent");
    assert_eq!(answer["send"]["reasons"].as_array().unwrap().len(), 4);
    assert_eq!(ann.error(json!({ "type": "stats", "peer": "x" })).await, "no-such-user");
    assert_eq!(ann.error(json!({ "type": "stats", "peer": peer, "send": { "loss": "much" } })).await, "malformed");
}

#[tokio::test]
async fn nothing_of_one_room_reaches_another() {
    let server = TestServer::start(&[]).await;
    let (mut ann, _) = server.joined("kitchen", "Ann").await;
    let (mut eve, _) = server.joined("cellar", "Eve").await;
    let candidate = json!({ "candidate": "candidate:1 1 udp 1 192.0.2.7 50000 typ host" });
    for message in [
        json!({ "type": "offer", "to": ann.id, "sdp": sdp() }),
        json!({ "type": "answer", "to": ann.id, "sdp": sdp() }),
        json!({ "type": "candidate", "to": ann.id, "candidate": candidate }),
    ] {
        assert_eq!(eve.error(message).await, "no-such-user");
    }
    eve.send(json!({ "type": "mode", "mode": "server" })).await;
    eve.next_of("mode").await;
    eve.send(json!({ "type": "mute", "muted": true })).await;
    // Whoever the message says it is from: the server says so itself.
    let forged = json!({ "type": "offer", "to": ann.id, "from": ann.id, "sdp": sdp() });
    assert_eq!(eve.error(forged).await, "malformed");
    let other = json!({ "type": "join", "room": "kitchen", "name": "Eve", "session": session() });
    assert_eq!(eve.error(other).await, "already-joined");
    ann.assert_quiet().await;
}

#[tokio::test]
async fn wrong_rooms_and_forged_candidates_are_refused() {
    let server = TestServer::start(&[]).await;
    let mut ann = server.client().await;
    assert_eq!(ann.error(json!({ "type": "leave" })).await, "not-joined");
    assert_eq!(ann.error(json!({ "type": "offer", "to": "server", "sdp": sdp() })).await, "not-joined");
    let join = |room: &str, name: &str, session: &str| json!({ "type": "join", "room": room, "name": name, "session": session });
    let secret = session();
    assert_eq!(ann.error(join("../etc", "Ann", &secret)).await, "bad-room");
    assert_eq!(ann.error(join(&"x".repeat(65), "Ann", &secret)).await, "bad-room");
    assert_eq!(ann.error(join("kitchen", &"n".repeat(41), &secret)).await, "bad-name");
    assert_eq!(ann.error(join("kitchen", "Ann", "1234")).await, "bad-session");
    assert_eq!(ann.join("kitchen", "Ann", &secret).await["type"], "joined");
    for to in ["server", &ann.id.clone()] {
        for text in
            ["candidate:1 1 udp 1 224.0.0.1 50000 typ host", "candidate:1 1 udp 1 evil.example 50000 typ host", "x"]
        {
            let message = json!({ "type": "candidate", "to": to, "candidate": { "candidate": text } });
            assert_eq!(ann.error(message).await, "bad-candidate");
        }
    }
    let video = format!("{}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", sdp());
    assert_eq!(ann.error(json!({ "type": "offer", "to": "server", "sdp": video })).await, "bad-sdp");
    assert_eq!(ann.error(json!({ "type": "offer", "to": "server", "sdp": sdp() })).await, "bad-sdp", "no ICE in it");
    let restart = json!({ "type": "offer", "to": "server", "sdp": sdp(), "restart": true });
    assert_eq!(ann.error(restart).await, "no-session");
}

#[tokio::test]
async fn garbage_is_answered_and_then_closed() {
    let server = TestServer::start(&[]).await;
    let (mut ann, _) = server.joined("kitchen", "Ann").await;
    let (mut eve, _) = server.joined("kitchen", "Eve").await;
    ann.next_of("user-joined").await;
    let garbage = [
        "",
        "{",
        "null",
        "[]",
        "{\"type\":\"dance\"}",
        "{\"type\":\"offer\"}",
        "\u{0}",
        "{\"type\":\"ping\",\"type\":7}",
    ];
    let (mut answers, mut code) = (0, String::new());
    'all: loop {
        for text in garbage {
            if eve.send_text(text.into()).await.is_err() {
                break 'all;
            }
            let answer = eve.next().await;
            if answer.is_null() {
                break 'all;
            }
            answers += 1;
            code = answer["code"].as_str().unwrap().into();
        }
    }
    assert_eq!((answers, &*code), (21, "abuse"), "20 refusals, and a good-bye");
    assert_eq!(ann.next().await["type"], "user-left");
    ann.assert_quiet().await;
}

#[tokio::test]
async fn large_messages_are_refused_unread() {
    let server = TestServer::start(&[]).await;
    let (mut ann, _) = server.joined("kitchen", "Ann").await;
    let large = |bytes| json!({ "type": "offer", "to": "server", "sdp": "v".repeat(bytes) });
    assert_eq!(ann.error(large(MAX_MESSAGE_BYTES)).await, "too-large");
    ann.assert_quiet().await;

    let before = memory_kb();
    for bytes in [MAX_FRAME_BYTES + 1, 10 << 20] {
        let (mut eve, _) = server.joined("cellar", "Eve").await;
        // The server does not read it to its end, so that writing may fail.
        let _ = eve.send_text(large(bytes).to_string()).await;
        let answer = eve.next().await;
        assert!(answer.is_null() || answer["code"] == "too-large", "{answer}");
        assert_eq!(eve.next_of("never").await, Value::Null);
    }
    assert!(memory_kb() < before + (64 << 10), "{before} to {} kB", memory_kb());
    ann.assert_quiet().await;
}

#[tokio::test]
async fn too_many_messages_are_refused() {
    let server = TestServer::start(&[]).await;
    let mut ann = server.client().await;
    for _ in 0..135 {
        ann.send(json!({ "type": "ping" })).await;
    }
    let mut answers = Vec::new();
    for _ in 0..135 {
        answers.push(ann.next().await);
    }
    let refused = answers.iter().filter(|answer| answer["code"] == "too-frequent").count();
    assert!((1..=15).contains(&refused), "{refused}");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    ann.assert_quiet().await;
}

#[tokio::test]
async fn one_address_has_so_many_rooms_and_connections() {
    let server = TestServer::start(&["--rooms-per-address", "20", "--connections-per-address", "100"]).await;
    let mut clients: Vec<Client> = Vec::new();
    let (mut rooms, mut full, mut refused) = (0, 0, 0);
    for index in 0..1000 {
        let Ok(mut client) = server.try_client().await else {
            refused += 1;
            continue;
        };
        match client.join(&format!("room-{index}"), "Eve", &session()).await["code"].as_str() {
            None => rooms += 1,
            Some("too-many-rooms") => full += 1,
            Some(other) => panic!("{other}"),
        }
        clients.push(client);
    }
    assert_eq!((rooms, full, refused), (20, 80, 900));
    assert_eq!(server.request("GET", "/api/rooms", "").await.1.as_array().unwrap().len(), 20);
    // A room that there is can be joined, and places come back.
    assert_eq!(clients[99].join("room-3", "Bob", &session()).await["type"], "joined");
    clients[0].send(json!({ "type": "leave" })).await;
    clients[0].next().await;
    assert_eq!(clients[98].join("room-new", "Bob", &session()).await["type"], "joined");
}

#[tokio::test]
async fn a_room_has_so_many_users() {
    let server = TestServer::start(&["--users", "3"]).await;
    let mut clients = Vec::new();
    for name in ["Ann", "Bob", "Cid"] {
        clients.push(server.joined("kitchen", name).await.0);
    }
    let mut dan = server.client().await;
    assert_eq!(dan.join("kitchen", "Dan", &session()).await["code"], "room-full");
}

#[tokio::test]
async fn a_session_that_comes_back_is_the_same_user() {
    let server = TestServer::start(&[]).await;
    let (mut bob, _) = server.joined("kitchen", "Bob").await;
    let (secret, mut first, mut second) = (session(), server.client().await, server.client().await);
    first.join("kitchen", "Ann", &secret).await;
    assert_eq!(bob.next().await["user"]["id"], json!(first.id));
    second.join("kitchen", "Ann", &secret).await;
    assert_eq!(first.next().await["code"], "replaced");
    assert_eq!(first.id, second.id);
    assert_eq!(bob.next().await["user"]["id"], json!(second.id), "back, and has never left");
    bob.assert_quiet().await;
    bob.send(json!({ "type": "offer", "to": second.id, "sdp": sdp() })).await;
    assert_eq!(second.next().await["type"], "offer");
    // Without a good-bye one is lost.
    drop(second);
    assert_eq!(bob.next().await["lost"], true);
}

#[tokio::test]
async fn the_rest_interface_tells_of_rooms_and_health() {
    let server = TestServer::start(&[]).await;
    let (_ann, _) = server.joined("kitchen", "Ann").await;
    let (status, health) = server.request("GET", "/health", "").await;
    assert_eq!((status, &health["status"]), (200, &json!("ok")));
    assert!(health["time"].as_f64().unwrap() > 1.7e9 && health["uptime"].as_f64().unwrap() < 60.0);
    let (status, rooms) = server.request("GET", "/api/rooms", "").await;
    assert_eq!((status, rooms), (200, json!([{ "id": "kitchen", "mode": "p2p", "users": 1 }])));
    let (status, room) = server.request("GET", "/api/rooms/kitchen", "").await;
    assert_eq!((status, &room["users"][0]["name"]), (200, &json!("Ann")));
    assert_eq!(server.request("GET", "/api/rooms/attic", "").await.0, 404);
    assert_eq!(server.request("GET", "/api/rooms/a%20b", "").await.0, 400);
    assert_eq!(server.request("GET", "/ready", "").await.0, 200);
    assert_eq!(server.request("GET", "/", "").await.0, 200);
    assert_eq!(server.request("POST", "/api/rooms/kitchen/network", "{}").await.0, 404, "only for tests");

    let testing = TestServer::start(&["--simulation"]).await;
    assert_eq!(testing.request("POST", "/api/rooms/kitchen/network", "{\"loss\":0.1}").await.0, 204);
    assert_eq!(testing.request("POST", "/api/rooms/kitchen/network", "{\"loss\":7}").await.0, 400);
}

/// Memory of this process, in kB.
fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

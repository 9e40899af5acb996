//! Rooms of two servers that share a Redis: skipped, and said so, where `VOICE_CALL_TEST_REDIS` names none.

mod common;

use std::time::Duration;

use common::{TestServer, sdp, session};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_their_rooms() {
    let Ok(url) = std::env::var("VOICE_CALL_TEST_REDIS") else {
        println!("skipped: VOICE_CALL_TEST_REDIS is not set");
        return;
    };
    let args = ["--redis", &url, "--users", "3"];
    let (first, second) = (TestServer::start(&args).await, TestServer::start(&args).await);
    // Subscriptions take a moment.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let room = format!("room-{}", fastrand::u32(..));

    let (mut ann, _) = first.joined(&room, "Ann").await;
    let (secret, mut bob) = (session(), second.client().await);
    let answer = bob.join(&room, "Bob", &secret).await;
    assert_eq!(answer["members"][0]["id"], json!(ann.id), "{answer}");
    assert_eq!(ann.next_of("user-joined").await["user"]["name"], "Bob");

    bob.send(json!({ "type": "offer", "to": ann.id, "sdp": sdp() })).await;
    assert_eq!(ann.next_of("offer").await["from"], json!(bob.id));
    ann.send(json!({ "type": "answer", "to": bob.id, "sdp": sdp() })).await;
    assert_eq!(bob.next_of("answer").await["from"], json!(ann.id));
    ann.send(json!({ "type": "mode", "mode": "server" })).await;
    assert_eq!(bob.next_of("mode").await["mode"], "server");
    // A media server takes the offer, wherever it is: this one has no ICE in it.
    assert_eq!(bob.error(json!({ "type": "offer", "to": "server", "sdp": sdp() })).await, "bad-sdp");
    assert_eq!(ann.error(json!({ "type": "offer", "to": "server", "sdp": sdp() })).await, "bad-sdp");

    // Nothing reaches another room; limits hold over both.
    let (mut eve, answer) = second.joined(&format!("{room}-2"), "Eve").await;
    assert_eq!((answer["mode"].as_str(), answer["members"].as_array().map(Vec::len)), (Some("p2p"), Some(0)));
    assert_eq!(eve.error(json!({ "type": "offer", "to": ann.id, "sdp": sdp() })).await, "no-such-user");
    let (_cid, _) = first.joined(&room, "Cid").await;
    let mut dan = second.client().await;
    assert_eq!(dan.join(&room, "Dan", &session()).await["code"], "room-full");

    // The same session on the other server is the same user.
    let mut again = first.client().await;
    assert_eq!(again.join(&room, "Bob", &secret).await["mode"], "server");
    assert_eq!(again.id, bob.id);
    assert_eq!(bob.next_of("error").await["code"], "replaced");
    ann.send(json!({ "type": "offer", "to": again.id, "sdp": sdp() })).await;
    assert_eq!(again.next_of("offer").await["from"], json!(ann.id));

    for server in [&first, &second] {
        let (status, found) = server.request("GET", &format!("/api/rooms/{room}"), "").await;
        assert_eq!((status, found["users"].as_array().unwrap().len()), (200, 3), "{found}");
        assert_eq!(server.request("GET", "/ready", "").await.0, 200);
    }
    again.send(json!({ "type": "leave" })).await;
    assert_eq!(ann.next_of("user-left").await["id"], json!(again.id));
}

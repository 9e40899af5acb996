//! REST interface, and the page's files.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::media::MediaCommand;
use crate::media::network::NetworkCondition;
use crate::signalling::error::Refusal;
use crate::signalling::{check, upgrade};
use crate::state::Server;

/// Files of the page: path, type, content. They are part of the program.
const FILES: [(&str, &str, &str); 7] = [
    ("/", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("../page/app.js")),
    ("/signalling.js", "text/javascript; charset=utf-8", include_str!("../page/signalling.js")),
    ("/connection.js", "text/javascript; charset=utf-8", include_str!("../page/connection.js")),
    ("/statistics.js", "text/javascript; charset=utf-8", include_str!("../page/statistics.js")),
    ("/view.js", "text/javascript; charset=utf-8", include_str!("../page/view.js")),
];

/// Headers of all answers: nothing but the page's own files runs in it, and nobody frames it.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("permissions-policy"), "microphone=(self), camera=(), geolocation=()"),
];

/// Routes of the server.
pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new()
        .route("/ws", get(upgrade))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/api/rooms", get(rooms))
        .route("/api/rooms/{id}", get(room));
    if server.config.simulation {
        router = router.route("/api/rooms/{id}/network", post(set_network));
    }
    for (path, kind, content) in FILES {
        router = router.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], content) }));
    }
    router.with_state(server).layer(axum::middleware::map_response(with_headers))
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the process lives.
async fn health(State(server): State<Arc<Server>>) -> impl IntoResponse {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let (uptime, media_rooms) = (server.uptime().as_secs_f64(), server.media_rooms());
    Json(json!({ "status": "ok", "time": time, "uptime": uptime, "mediaRooms": media_rooms }))
}

/// Whether it can serve: the shared directory answers.
async fn ready(State(server): State<Arc<Server>>) -> Response {
    match server.rooms.is_reachable().await {
        true => Json(json!({ "status": "ok" })).into_response(),
        false => refuse(Refusal::Unavailable),
    }
}

async fn rooms(State(server): State<Arc<Server>>) -> Response {
    match server.rooms.list().await {
        Ok(rooms) => {
            let rooms: Vec<_> = rooms
                .into_iter()
                .map(|room| json!({ "id": room.id, "mode": room.mode, "users": room.users.len() }))
                .collect();
            Json(rooms).into_response()
        }
        Err(refusal) => refuse(refusal),
    }
}

async fn room(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Response {
    if let Err(refusal) = check::room(&id) {
        return refuse(refusal);
    }
    match server.rooms.room(&id).await {
        Ok(Some(room)) => Json(room).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, Json(json!({ "error": "no-such-room" }))).into_response(),
        Err(refusal) => refuse(refusal),
    }
}

async fn set_network(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    Json(condition): Json<NetworkCondition>,
) -> Response {
    if !condition.is_valid() {
        return refuse(Refusal::Malformed);
    }
    match server.media(&id, MediaCommand::Network(condition)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refuse(refusal),
    }
}

fn refuse(refusal: Refusal) -> Response {
    let status =
        if refusal == Refusal::Unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST };
    (status, Json(json!({ "error": refusal.code(), "message": refusal.to_string() }))).into_response()
}

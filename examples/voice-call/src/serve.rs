//! `voice-call serve`: listens until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing::info;

use crate::rest::router;
use crate::rooms::RedisError;
use crate::state::Server;

/// Time in which connections may end.
const GRACE: Duration = Duration::from_secs(5);

/// Error of the server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Address that cannot be listened on, or a socket that failed.
    #[error("{address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Redis.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

/// Binds `address`.
///
/// # Errors
/// [`ServeError::Listen`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Listen { address, error })
}

/// Serves on `listener` until `stop` is through; connections then have some time to end.
///
/// # Errors
/// [`ServeError::Listen`].
pub async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let address = listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
    info!("listening on http://{address}");
    let service = router(Arc::clone(&server)).into_make_service_with_connect_info::<SocketAddr>();
    let stopping = Arc::clone(&server);
    let graceful = axum::serve(listener, service).with_graceful_shutdown(async move {
        stop.await;
        stopping.stop();
    });
    let overdue = async {
        server.stopping().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = graceful.into_future() => result.map_err(|error| ServeError::Listen { address, error }),
        () = overdue => Ok(()),
    }
}

/// Asks a server on this machine whether it lives: for container engines whose image has no other program.
///
/// # Errors
/// [`ServeError::Listen`] where there is no answer, or another one.
pub async fn health(address: SocketAddr) -> Result<(), ServeError> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        match &answer {
            b"HTTP/1.1 200" => Ok(()),
            _ => Err(std::io::Error::other("the server is not well")),
        }
    };
    let answer = tokio::time::timeout(GRACE, ask).await;
    let result = answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    result.map_err(|error| ServeError::Listen { address, error })
}

/// Ends with SIGINT or SIGTERM.
pub async fn signal() {
    let interrupt = async {
        // Where signals cannot be had, there is none to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

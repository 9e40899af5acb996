//! The program: `voice-call serve` and `voice-call join`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use voice_call::config::{Config, ServeArgs};
use voice_call::join::{JoinArgs, join};
use voice_call::serve::{ServeError, bind, health, serve, signal};
use voice_call::state::Server;

/// A voice call between browsers and Rust.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the page, signalling and media
    Serve(ServeArgs),
    /// Asks a server on this machine whether it lives
    Health {
        /// Its address
        #[arg(default_value = "127.0.0.1:8080")]
        address: SocketAddr,
    },
    /// Takes part in a call, with WAV files or (feature `device`) microphone and loudspeaker
    Join(JoinArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("VOICE_CALL_LOG").unwrap_or_else(|_| EnvFilter::new("voice_call=info,warn"));
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal).init();
    let result = match Args::parse().command {
        Command::Serve(args) => run_server(args).await.map_err(|error| error.to_string()),
        Command::Health { address } => health(address).await.map_err(|error| error.to_string()),
        Command::Join(args) => join(args, signal()).await.map_err(|error| error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("voice-call: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_server(args: ServeArgs) -> Result<(), ServeError> {
    let listener = bind(args.listen).await?;
    let server = Server::start(Config::from(args)).await?;
    serve(listener, server, signal()).await
}

//! The simulator as a program.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use digitalocean_simulator::{Options, RateLimits, Simulator};

/// Behaves as the DigitalOcean API does, for tests and for trying things out
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8089")]
    listen: SocketAddr,
    /// The only accepted token [default: every caller is accepted]
    #[arg(long)]
    token: Option<String>,
    /// Initial inventory, as JSON: {"droplets": [..], "domains/example.com/records": [..]}
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// Number of droplets to generate
    #[arg(long, value_name = "N", default_value_t = 0)]
    droplets: usize,
    /// Duration of actions, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    action_seconds: f64,
    /// Requests per token and minute (0: unlimited)
    #[arg(long, value_name = "N", default_value_t = 250)]
    per_minute: u32,
    /// Requests per token and hour (0: unlimited)
    #[arg(long, value_name = "N", default_value_t = 5000)]
    per_hour: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let simulator = Simulator::start(Options {
        listen: arguments.listen,
        token: arguments.token,
        load: arguments.load,
        droplets: arguments.droplets,
        rate_limits: RateLimits {
            per_minute: arguments.per_minute,
            per_hour: arguments.per_hour,
            ..RateLimits::default()
        },
        action_seconds: arguments.action_seconds,
    })
    .await?;
    println!("listening on {}", simulator.url());
    tokio::select! {
        () = simulator.run() => {}
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    Ok(())
}

//! What a user would write instead of an exchange: two small servers that run the same auctions and store nothing.
//!
//! They answer `POST /v1/route` as far as a carrier of [`crate::carriers`] reads it, so that the same calls, bidders and
//! clocks measure them and the exchange. `minimal` is about the least a server can do with tokio; `afternoon` is what
//! somebody writes in one. Neither has caps, records, health or any care for hostile buyers.

mod afternoon;
mod minimal;

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Raw tokio sockets, preformatted pings, `httparse`.
    Minimal,
    /// `axum`, `reqwest`, `join_all`, `serde_json`.
    Afternoon,
}

/// What a yardstick asks, in the order of the bidders.
#[derive(Clone, Debug)]
pub struct Bidder {
    /// Its bid endpoint.
    pub addr: SocketAddr,
    /// Where its calls go.
    pub address: String,
}

/// Serves until killed, after saying on standard output where: `listening 127.0.0.1:40001`.
pub fn serve(kind: Kind, bidders: Vec<Bidder>, deadline: Duration) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening {}", listener.local_addr()?);
        match kind {
            Kind::Minimal => minimal::serve(listener, bidders, deadline).await,
            Kind::Afternoon => afternoon::serve(listener, bidders, deadline).await,
        }
    })
}

/// Reads `127.0.0.1:40001=+15125550001`.
pub fn read_bidder(text: &str) -> Result<Bidder, String> {
    let (addr, address) =
        text.split_once('=').ok_or("a bidder is its socket, `=`, and where its calls go")?;
    let addr = addr.parse().map_err(|_| format!("{addr} is no socket address such as 127.0.0.1:40001"))?;
    Ok(Bidder { addr, address: address.to_owned() })
}

/// What of a route request goes into a ping.
#[derive(Deserialize)]
struct Asked<'a> {
    carrier_call_id: &'a str,
    #[serde(borrow)]
    tags: Tags<'a>,
}

#[derive(Deserialize)]
struct Tags<'a> {
    load_call: &'a str,
}

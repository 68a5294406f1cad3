//! What one ping costs the simulated bidders in CPU time: ten kept connections, hammered from another thread.
//!
//! `cargo run --release -p load --example ping_cost [pings per connection] [latency ms]`. It prints numbers and
//! judges nothing; the bidders' instructions are counted by running it under `valgrind --tool=callgrind
//! --separate-threads=yes`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a measurement is threads and sockets"
)]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use load::bidders::{Behaviour, Bidders, Latency, Script};

const CONNECTIONS: usize = 10;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let rounds = args.next().unwrap_or(20_000).min(10_000_000);
    let latency = Latency::Fixed(args.next().unwrap_or(0));
    let bid = Behaviour::Bid { latency, price_cents: (1_000, 9_000), no_bid_bps: 500, ttl_s: Some(30) };
    let names: Vec<String> = (0..CONNECTIONS).map(|n| format!("bidder-{n}")).collect();
    let scripts = names.iter().map(|name| Script::new(name.clone(), bid.clone())).collect();
    let bidders = Bidders::start(7, scripts)?;
    bidders.remember(0);
    let mut streams = Vec::new();
    for name in &names {
        let url = bidders.url(name);
        let addr = url.trim_start_matches("http://").trim_end_matches("/bid");
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let tid = thread_named("bidders")?;
    let (cpu, [user, system], start) = (bidders.cpu()?, ticks(&tid)?, Instant::now());
    let mut buffer = [0; 4_096];
    for call in 0..rounds {
        let ping = ping(call);
        for stream in &mut streams {
            stream.write_all(&ping)?;
        }
        for stream in &mut streams {
            // A reply is one write, far below a segment: one read takes it whole.
            if stream.read(&mut buffer)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    let pings = rounds * CONNECTIONS as u64;
    let per_ping = (bidders.cpu()? - cpu).as_secs_f64() * 1e6 / pings as f64;
    let [user_now, system_now] = ticks(&tid)?;
    let user_share = (user_now - user) as f64 / ((user_now - user) + (system_now - system)).max(1) as f64;
    println!(
        "{pings} pings in {:.2} s: {per_ping:.2} µs CPU per ping, of which user {:.2} µs ({:.0} %)",
        start.elapsed().as_secs_f64(),
        per_ping * user_share,
        user_share * 100.0
    );
    Ok(())
}

/// A ping as an exchange sends it.
fn ping(call: u64) -> Vec<u8> {
    let body = format!(
        r#"{{"version":1,"ping_id":"01J{call:023}","deadline_ms":180,"test":false,"campaign":"auto-insurance","vertical":"auto","publisher":"p:8c1d2e","target":"acme-ca","received_at":"2026-03-02T17:04:05Z","caller":{{"area_code":"512","state":"TX","zip3":"787","token":"k1:9f86d081884c7d659a2feaa0c55ad015"}},"stir":"A","consent":true,"tags":{{"load_call":"{call}","case":"collision","insured":"yes"}},"call":{{"repeat":false,"number_type":"mobile"}},"currency":"USD","min_duration_s":90}}"#
    );
    let head = format!(
        "POST /bid HTTP/1.1\r\nhost: 127.0.0.1:40000\r\ncontent-type: application/json\r\nuser-agent: outcry/0.1\r\n\
         webhook-id: 01J{call:023}\r\nwebhook-timestamp: 1772471045\r\n\
         webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// The id of this process's thread of that name.
fn thread_named(name: &str) -> io::Result<String> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?;
        if std::fs::read_to_string(task.path().join("comm"))?.trim() == name {
            return Ok(task.file_name().to_string_lossy().into_owned());
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// User and system time of a thread so far, in the kernel's ticks.
fn ticks(tid: &str) -> io::Result<[u64; 2]> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat"))?;
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let mut fields = after_name.split_whitespace().skip(11).map(|field| field.parse().unwrap_or(0));
    Ok([fields.next().unwrap_or(0), fields.next().unwrap_or(0)])
}

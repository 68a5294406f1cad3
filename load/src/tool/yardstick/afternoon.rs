//! An exchange as written in an afternoon: `axum`, `reqwest`, `join_all`, `serde_json`.
//!
//! Idiomatic, correct for buyers that behave, and nothing more. What it costs beyond `minimal` is what convenience costs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Bidder;

struct Market {
    client: reqwest::Client,
    bidders: Vec<(String, String)>,
    deadline: Duration,
}

pub(super) async fn serve(
    listener: TcpListener,
    bidders: Vec<Bidder>,
    deadline: Duration,
) -> std::io::Result<()> {
    let bidders = bidders.into_iter().map(|b| (format!("http://{}/bid", b.addr), b.address)).collect();
    // What anybody who measured once would set: pings are small and wait for nothing.
    let client = reqwest::Client::builder().tcp_nodelay(true).build().map_err(std::io::Error::other)?;
    let market = Arc::new(Market { client, bidders, deadline });
    let router = Router::new().route("/v1/route", post(route)).with_state(market);
    axum::serve(listener, router).await
}

async fn route(State(market): State<Arc<Market>>, Json(asked): Json<Value>) -> Json<Value> {
    let id = asked["carrier_call_id"].as_str().unwrap_or_default();
    let deadline_ms = market.deadline.as_millis() as u64 - 3;
    let pings = market.bidders.iter().enumerate().map(|(at, (url, address))| {
        let ping_id = format!("{id}-{at}");
        let ping = json!({
            "version": 1, "ping_id": ping_id, "deadline_ms": deadline_ms, "test": false, "campaign": "auto-us",
            "vertical": "auto", "caller": {"area_code": "512", "state": "TX"}, "currency": "USD",
            "min_duration_s": 90, "tags": asked["tags"],
        });
        let asked = market.client.post(url).json(&ping).timeout(market.deadline).send();
        async move {
            let reply: Value = asked.await.ok()?.json().await.ok()?;
            let bid: f64 = reply["bid"].as_str()?.parse().ok()?;
            (reply["ping_id"] == ping_id).then_some((bid, address))
        }
    });
    let bids = join_all(pings).await.into_iter().flatten();
    let best = bids.max_by(|a, b| a.0.total_cmp(&b.0));
    Json(match best {
        Some((_, address)) => {
            json!({"call_id": id, "step": 1, "action": "dial", "basis": "auction", "reason": "won",
            "targets": [{"attempt": 1, "address": address}]})
        }
        None => {
            json!({"call_id": id, "step": 1, "action": "hangup", "basis": "terminal", "reason": "no_bids"})
        }
    })
}

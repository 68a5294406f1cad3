//! What buyers may do on the listener of call traffic: hand a call back. Thin: reads, asks the exchange, answers.

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use super::Served;
use super::reply::{Answer, body, json};
use crate::bidder::hand_back::{HandBackFault, read};
use crate::exchange::hand_back::{NotHandedBack, buyer_of_key};
use crate::listener::bearer;
use crate::problem::{Code, Fault, Problem};

/// `POST /v1/hand-back`: the buyer does not want a call it was given. 200 once that is on disk.
pub(super) async fn hand_back(served: &Served, request: Request<Incoming>) -> Result<Answer, Problem> {
    let exchange = &served.worker.exchange;
    let in_force = exchange.in_force.load_full();
    let key = bearer(request.headers());
    let digest: Option<[u8; 32]> = key.map(|key| Sha256::digest(key.as_bytes()).into());
    let buyer = digest.and_then(|digest| buyer_of_key(&in_force.snapshot.catalog, &digest));
    let buyer = buyer.ok_or_else(|| {
        Problem::new(Code::Unauthorized, "Send the buyer's key as `Authorization: Bearer <key>`.")
    })?;
    let body = body(request.into_body(), served.limits).await?;
    let asked = read(&body).map_err(invalid)?;
    let buyer = in_force.snapshot.catalog.buyer(buyer).id.clone();
    exchange.hand_back(buyer, asked).await.map_err(refused)?;
    Ok(json(Bytes::from_static(b"{}")))
}

fn invalid(fault: HandBackFault) -> Problem {
    Problem::invalid(vec![Fault::new(fault.at, None, fault.allowed)])
}

fn refused(why: NotHandedBack) -> Problem {
    match why {
        NotHandedBack::Unknown => Problem::new(Code::NotFound, "No such call is with you now."),
        NotHandedBack::Several => {
            Problem::new(Code::Conflict, "Several calls of this caller are with you: send the `call_id`.")
        }
        NotHandedBack::Busy => {
            Problem::new(Code::TooMany, "Another call is being looked for: try again, or send the `call_id`.")
        }
        NotHandedBack::TooLate => {
            Problem::new(Code::Conflict, "The call was answered too long ago to be handed back.")
        }
        NotHandedBack::Billable => {
            Problem::new(Code::Conflict, "The call has lasted its minimum duration: it is billable.")
        }
        NotHandedBack::NotDurable(_) => {
            Problem::new(Code::Unavailable, "It is not known to be on disk yet: send the same again.")
        }
    }
}

//! Bodies in within their bounds, JSON and problem documents out.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::Limits;
use crate::carrier::generic;
use crate::carrier::twilio::twiml::{self, Callbacks};
use crate::problem::{Code, Problem};
use crate::state::calls::Answer as Told;
use crate::telemetry::event;

/// What every handler returns.
pub type Answer = Response<Full<Bytes>>;

/// 200 with JSON.
pub fn json(body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// 200 with a document of Twilio's.
pub fn xml(body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(twiml::CONTENT_TYPE));
    answer
}

/// 200 with what a generic carrier is told.
pub fn told(answer: &Told) -> Answer {
    json(generic::reply(&answer.reply, &answer.base).into())
}

/// 200 with what Twilio is told.
pub fn document(answer: &Told) -> Answer {
    let callbacks = Callbacks { base: &answer.base, token: answer.reply.token.unwrap_or_default() };
    xml(twiml::reply(&answer.reply, &callbacks).into())
}

/// 204: taken, and there is nothing to say.
pub fn nothing() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// A problem document, counted. `methods` are those that the path takes.
pub fn problem(problem: &Problem, methods: &'static str) -> Answer {
    event::request_refused("call_traffic", problem.code);
    let mut answer = Response::new(Full::new(Bytes::from(problem.to_json())));
    *answer.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let more = match problem.status {
        401 => Some((WWW_AUTHENTICATE, "Bearer")),
        405 => Some((ALLOW, methods)),
        503 => Some((RETRY_AFTER, "1")),
        _ => None,
    };
    if let Some((name, value)) = more {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if matches!(problem.status, 408 | 413) {
        // What is left of the body was not read: the connection is of no more use.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The whole body, within the limits of size and time.
pub async fn body(body: Incoming, limits: Limits) -> Result<Bytes, Problem> {
    let most = limits.body_bytes;
    let too_large = || Problem::new(Code::TooLarge, format!("The body may have at most {most} bytes."));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let read = async {
        let mut body = body;
        // Nearly every body comes in one piece, which is not copied.
        let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::new(Code::Invalid, "The body ended before its end."))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len() + rest.len() + data.len() > most {
                return Err(too_large());
            }
            if first.is_empty() { first = data } else { rest.extend_from_slice(&data) }
        }
        Ok(if rest.is_empty() { first } else { [first, rest.freeze()].concat().into() })
    };
    let late = || {
        let detail =
            format!("The body did not arrive within {} ms; nothing was changed.", limits.body.as_millis());
        Problem::new(Code::Timeout, detail)
    };
    tokio::time::timeout(limits.body, read).await.unwrap_or_else(|_| Err(late()))
}

//! The native dialect of the bid contract: what a ping says, and to whom it says how much.
//!
//! Pure: facts in, bytes out. It opens no connection, reads no clock and draws no ids; when to ask and how long to
//! wait is in `ping`, what an answer means is in `reply`, signatures are in `sign`. The disclosure policy is applied
//! here and nowhere else: what this file does not write, a buyer that is not dialled never learns.

mod decimal;
mod document;
pub mod hand_back;
pub mod pseudonym;
pub mod reply;
pub mod request;
pub mod sign;

use std::io::Write;
use std::time::Duration;

use crate::domain::caller::PERSONAL_TAGS;
use crate::domain::catalog::{Buyer, Disclosure, Endpoint};
use crate::domain::{CampaignId, E164, Money, PingId, Tag, TagValue, Tags, Tail, Target, Timestamp};
use crate::json::{Object, put, quote};
use decimal::Decimal;
use pseudonym::Pseudonyms;
use request::Request;

/// Version of the bid contract; the first key of every ping.
pub const CONTRACT_VERSION: u32 = 1;
/// Room made for what of a request depends on the call; more is taken where a call says more.
const REQUEST_ROOM: usize = 768;

/// The facts of one ping. Everything about the caller is here whole: `Asking` decides what of it leaves.
#[derive(Clone, Copy)]
pub struct Ping<'a> {
    /// Its id, which the reply may echo.
    pub ping_id: PingId,
    /// Milliseconds the buyer has: what is left when the ping leaves, less 3 ms for the way. See [`Request::retime`].
    pub deadline_ms: u32,
    /// A test call: never billed, no live target dialled.
    pub test: bool,
    /// The campaign.
    pub campaign: &'a CampaignId,
    /// The campaign's vertical.
    pub vertical: &'a str,
    /// The publisher as this buyer knows it: see [`Pseudonyms::publisher`].
    pub publisher_code: &'a str,
    /// The caller's area code.
    pub area_code: Option<u16>,
    /// The caller's state, two letters.
    pub state: Option<&'a str>,
    /// The caller's ZIP, whole.
    pub zip: Option<&'a str>,
    /// The caller's number, if it has a valid one.
    pub number: Option<E164>,
    /// How text that spells the caller's number is known, withheld ones included.
    pub tail: Option<Tail>,
    /// The caller as this buyer knows it: see [`Pseudonyms::caller`].
    pub token: Option<&'a str>,
    /// Where state and ZIP come from.
    pub geo_source: &'a str,
    /// STIR attestation, `A` to `C`.
    pub stir: Option<&'a str>,
    /// Whether the call came with a consent record.
    pub consent: bool,
    /// All tags of the call.
    pub tags: &'a Tags,
    /// Keys of the tags that leave in pings of this campaign.
    pub ping_tags: &'a [String],
    /// The deployment's currency.
    pub currency: &'a str,
    /// Lowest price accepted; leaves only if the buyer's policy shows it.
    pub floor: Option<Money>,
    /// When the call came.
    pub at: Timestamp,
}

/// How one target is asked: the buyer's policy and the head of the request, compiled when the catalog is loaded.
#[derive(Debug)]
pub struct Asking {
    disclosure: Disclosure,
    /// Those of `PERSONAL_TAGS` that may leave, in lower case.
    personal_tags: Vec<String>,
    show_floor: bool,
    min_duration: Duration,
    /// The request up to the number that says how long its body is.
    head: Vec<u8>,
    pseudonyms: Pseudonyms,
}

impl Asking {
    /// Compiles the policy of `buyer` and the head of requests to `endpoint`, which is the one of `target`. `key` is the
    /// exchange's own, which pseudonyms are made from.
    pub fn compile(key: &[u8], buyer: &Buyer, target: &Target, endpoint: &Endpoint) -> Asking {
        Asking {
            disclosure: buyer.disclosure,
            personal_tags: buyer.personal_tags.iter().map(|key| key.to_ascii_lowercase()).collect(),
            show_floor: buyer.show_floor,
            min_duration: target.min_duration,
            head: format!(
                "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept-encoding: identity\r\n\
                 user-agent: outcry/{}\r\ncontent-length: ",
                endpoint.path,
                host_header(endpoint),
                env!("CARGO_PKG_VERSION")
            )
            .into_bytes(),
            pseudonyms: Pseudonyms::new(key, &buyer.id),
        }
    }

    /// What callers and publishers are called towards this buyer.
    pub fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    /// The whole request as it goes on the wire, in one piece of memory; with a secret it is signed as sent at `now`.
    ///
    /// ```text
    /// POST /v2/bid HTTP/1.1
    /// host: bids.example.com
    /// content-type: application/json
    /// accept-encoding: identity
    /// user-agent: outcry/0.1.0
    /// content-length: 417
    /// webhook-id: 01J…
    /// webhook-timestamp: 1795165200
    /// webhook-signature: v1,g0hM9SsE…
    /// ```
    pub fn request(&self, ping: &Ping<'_>, secret: Option<&[u8]>, now: Timestamp) -> Request {
        let mut request = Vec::with_capacity(self.head.len() + REQUEST_ROOM);
        request.extend_from_slice(&self.head);
        // What depends on the body is written over once the body is there: nearly all have three digits of bytes.
        let length = request.len();
        request.extend_from_slice(b"000\r\n");
        let signed = secret.map(|secret| {
            let id = format_args!("webhook-id: {}\r\n", ping.ping_id);
            let at = format_args!("webhook-timestamp: {}\r\nwebhook-signature: ", now.seconds());
            write!(request, "{id}{at}").expect("memory takes every write");
            let signature = request.len();
            request.extend_from_slice(&[b'-'; sign::SIGNATURE_LEN]);
            request.extend_from_slice(b"\r\n");
            (secret, signature)
        });
        request.extend_from_slice(b"\r\n");
        let body = request.len();
        self.render(ping, &mut request);
        if let Some((secret, signature)) = signed {
            let of_body = sign::sign(secret, &ping.ping_id.to_string(), now.seconds(), &request[body..]);
            request[signature..signature + sign::SIGNATURE_LEN].copy_from_slice(&of_body);
        }
        let bytes = request.len() - body;
        match u16::try_from(bytes) {
            Ok(few @ 100..1_000) => {
                request[length..length + 3].copy_from_slice(&three_digits(few));
            }
            _ => drop(request.splice(length..length + 3, bytes.to_string().into_bytes())),
        }
        Request::new(request, bytes, ping.ping_id, now)
    }

    /// Appends the JSON body of the ping, keys in the order of the bid contract, absent facts left out.
    ///
    /// ```json
    /// {"version":1,"ping_id":"01J…","deadline_ms":487,"test":false,"campaign":"auto-us","vertical":"auto",
    ///  "publisher":"p7k2…","geo_source":"area_code","caller":{"area_code":"512","state":"TX","zip3":"787","token":"k1:9f…"},
    ///  "stir":"A","consent":true,"tags":{"case":"collision"},"currency":"USD","min_duration_s":90,"at":"2026-11-20T09:00:00Z"}
    /// ```
    pub fn render(&self, ping: &Ping<'_>, into: &mut Vec<u8>) {
        let mut body = Object::open(into);
        body.number("version", CONTRACT_VERSION);
        body.plain("ping_id", ping.ping_id);
        body.number("deadline_ms", ping.deadline_ms);
        body.flag("test", ping.test);
        body.text("campaign", ping.campaign.as_str());
        body.text("vertical", ping.vertical);
        body.text("publisher", ping.publisher_code);
        body.text("geo_source", ping.geo_source);
        self.render_caller(ping, body.key("caller"));
        body.text_if("stir", ping.stir);
        body.flag("consent", ping.consent);
        self.render_tags(ping, body.key("tags"));
        body.text("currency", ping.currency);
        if let Some(floor) = ping.floor.filter(|_| self.show_floor) {
            body.plain("floor", floor);
        }
        body.number("min_duration_s", self.min_duration.as_secs());
        ping.at.at_the_second(|at| body.text("at", at));
        body.close();
    }

    fn render_caller(&self, ping: &Ping<'_>, into: &mut Vec<u8>) {
        let mut caller = Object::open(into);
        if self.disclosure != Disclosure::None {
            if let Some(area_code) = ping.area_code {
                put(caller.key("area_code"), &[b"\"", &three_digits(area_code), b"\""]);
            }
            caller.text_if("state", ping.state);
            caller.text_if("zip3", ping.zip.and_then(zip3));
            caller.text_if("token", ping.token);
        }
        if self.disclosure == Disclosure::Full {
            if let Some(number) = ping.number {
                number.revealed(|number| caller.text("number", number));
            }
            caller.text_if("zip", ping.zip);
        }
        caller.close();
    }

    fn render_tags(&self, ping: &Ping<'_>, into: &mut Vec<u8>) {
        let mut tags = Object::open(into);
        for tag in ping.tags.iter().filter(|tag| self.may_leave(tag, ping)) {
            let value = tags.foreign_key(&tag.key);
            match &tag.value {
                // What is no number by the grammar leaves as text.
                TagValue::Number(text) if Decimal::read(text.as_bytes()).is_none() => quote(text, value),
                TagValue::Text(text) => quote(text, value),
                TagValue::Number(_) | TagValue::Bool(_) => {
                    value.extend_from_slice(tag.value.as_text().as_bytes())
                }
            }
        }
        tags.close();
    }

    /// Named by the campaign; if personal, by the buyer's policy too; and never the caller's number in disguise.
    fn may_leave(&self, tag: &Tag, ping: &Ping<'_>) -> bool {
        let is_personal = PERSONAL_TAGS.iter().any(|key| key.eq_ignore_ascii_case(&tag.key));
        let is_permitted = self.personal_tags.iter().any(|key| key.eq_ignore_ascii_case(&tag.key));
        ping.ping_tags.iter().any(|key| **key == *tag.key)
            && (!is_personal || is_permitted)
            && ((self.disclosure == Disclosure::Full && ping.number.is_some())
                || !ping.tail.is_some_and(|tail| tail.is_in(tag.value.as_text())))
    }
}

fn host_header(endpoint: &Endpoint) -> String {
    let bare_v6 = endpoint.host.contains(':') && !endpoint.host.starts_with('[');
    let host = if bare_v6 { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    let own_port = if endpoint.tls { 443 } else { 80 };
    if endpoint.port == own_port { host } else { format!("{host}:{}", endpoint.port) }
}

/// A number below 1,000 in three digits.
fn three_digits(number: u16) -> [u8; 3] {
    [100, 10, 1].map(|place| b'0' + (number / place % 10) as u8)
}

/// The first three characters of a ZIP, never all of what was given as one.
fn zip3(zip: &str) -> Option<&str> {
    let start = zip.get(..3).filter(|start| start.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    (zip.len() >= 5).then_some(start)
}

#[cfg(test)]
mod tests;

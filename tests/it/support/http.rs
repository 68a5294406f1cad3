//! HTTP as plainly as it goes: one connection, one request, bytes in and out. No cleverness that could hide a fault.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header's value, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One request on a connection of its own.
pub fn request(address: &str, method: &str, path: &str, key: Option<&str>, body: &[u8]) -> Answer {
    raw(address, &bytes(address, method, path, key, body))
}

fn bytes(address: &str, method: &str, path: &str, key: Option<&str>, body: &[u8]) -> Vec<u8> {
    let auth = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{auth}content-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends bytes as they are and reads until the peer closes.
pub fn raw(address: &str, bytes: &[u8]) -> Answer {
    let mut stream = connect(address);
    // A peer that answers and closes before it read everything is judged by its answer.
    let _ = stream.write_all(bytes);
    read(&mut stream)
}

/// One request; `None` when the peer was gone before it had answered whole.
pub fn try_request(
    address: &str,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: &[u8],
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(&bytes(address, method, path, key, body)).ok()?;
    let mut seen = Vec::new();
    // Ended by a reset or in order: what came says whether it is whole.
    let _ = stream.read_to_end(&mut seen);
    let answer = parse(seen)?;
    let length: usize = answer.header("content-length").map_or(Some(0), |text| text.parse().ok())?;
    (answer.body.len() == length).then_some(answer)
}

/// A connection with limits on how long anything may take.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads one answer to the end of the connection.
pub fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer is the peer's way of not reading what it refused.
    let _ = stream.read_to_end(&mut bytes);
    let said = String::from_utf8_lossy(&bytes).into_owned();
    parse(bytes).unwrap_or_else(|| panic!("no answer: {said:?}"))
}

fn parse(mut bytes: Vec<u8>) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: bytes.split_off(end + 4) })
}

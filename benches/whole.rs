//! A decision in whole on the largest plan: from the question read to the answer written, as the answer itself says it.
//!
//! Ten thousand targets at fixed prices, of which the last alone may take the call, so that each is listed, screened and
//! has its outcome. The program itself is started and asked. Only for who asks for it by name: `cargo bench -- whole`.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::rules::Folder;

/// Targets of the plan.
const TARGETS: usize = 10_000;
/// Calls; the median of their decisions counts. The first, which finds nothing in any cache, is not counted.
const CALLS: usize = 11;
/// Longest that a decision may take, in milliseconds: a worker does nothing else meanwhile.
const MOST_MS: f64 = 10.0;

const KEY: &str = "bench-key-0123456789-0123456789-abcdef";
const KEY_DIGEST: &str = "5f5fbfac88e801008238a5c925b8575b993f2020f9e384625bd25607028ce2da";
const SETTINGS: &str = "[call_traffic]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
    [store]\npath = \"store/outcry.db\"\n[journal]\nsegment_mb = 64\nfree_percent = 0\n[log]\nformat = \"json\"\n";

/// The program; it ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // By its own handle; it may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn catalog() -> String {
    let ids: Vec<String> = (0..TARGETS).map(|at| format!("\"t{at:05}\"")).collect();
    let mut text = format!(
        "default_plan = \"main\"\n[carrier.sw]\nkey_digest = \"sha256:{KEY_DIGEST}\"\n\
         [campaign.auto]\nvertical = \"auto\"\nplan = \"main\"\npayout = {{ fixed = \"5.00\" }}\n\
         [publisher.pub]\nname = \"p\"\nzone = \"UTC\"\n\
         [[number]]\nnumber = \"+18005550100\"\ncampaign = \"auto\"\npublisher = \"pub\"\n\
         [buyer.acme]\nname = \"a\"\nzone = \"UTC\"\n\
         [plan.main]\nroot = {{ sequential = [{}] }}\nterminal = {{ hangup = \"busy\" }}\n",
        ids.join(", ")
    );
    for at in 0..TARGETS {
        let state = if at + 1 < TARGETS { "AK" } else { "TX" };
        let written = write!(
            text,
            "[target.t{at:05}]\nbuyer = \"acme\"\naddress = \"+1512555{at:04}\"\nprice = \"20.00\"\n\
             filters = [{{ state = [\"{state}\"] }}]\n"
        );
        written.expect("a string takes all");
    }
    text
}

/// How long the decision of the call with this number took, in milliseconds.
fn ask(address: &str, call: usize) -> f64 {
    let body =
        format!("{{\"carrier_call_id\":\"CA{call}\",\"to\":\"+18005550100\",\"from\":\"+15125550123\"}}");
    let mut stream = TcpStream::connect(address).expect("it takes calls");
    let request = format!(
        "POST /v1/route HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("+15125559999"), "the last target takes the call: {answer}");
    let (_, took) = answer.split_once("\"decided_in_ms\":").expect("how long it took");
    took.split([',', '}']).next().and_then(|ms| ms.trim().parse().ok()).expect("a number")
}

pub fn run(is_quick: bool) {
    let folder = Folder::with("whole", &catalog(), 0);
    fs::write(folder.settings(), SETTINGS).expect("written");
    let child = Command::new(env!("CARGO_BIN_EXE_outcry"))
        .args(["serve", "--config"])
        .arg(folder.settings())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stderr.take().expect("its log")).lines().map_while(Result::ok);
    let ready = lines.find(|line| line.contains("the exchange takes calls")).expect("it starts");
    let (_, address) = ready.split_once("\"call_traffic\":\"").expect("where it listens");
    let address = address.split('"').next().expect("the address ends");
    let mut took: Vec<f64> =
        (0..if is_quick { 2 } else { CALLS }).map(|call| ask(address, call)).skip(1).collect();
    took.sort_by(f64::total_cmp);
    let median = took[took.len() / 2];
    let word = if median <= MOST_MS { "met" } else { "missed" };
    println!(
        "whole: a decision among {TARGETS} targets    median {median:.2} ms; at most {MOST_MS} ms: {word}"
    );
}

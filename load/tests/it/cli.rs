//! The program `load` as a process: what bad input gets, and what its verbs leave behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use load::client::Client;
use load::seen::Seen;
use load::tool::glossary::FIGURES;
use load::tool::shipped::{SHIPPED, Source};

use crate::bidders::ping;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("load-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(args).stdin(Stdio::null()).env_remove("OUTCRY_KEY");
    command
}

fn load(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What it said on standard error, after it ended with this code.
fn fault(args: &[&str], code: i32) -> String {
    let output = load(args);
    let said = text(&output.stderr).to_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    said
}

/// Answers every request on every connection with these bytes.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(bytes); // dropping it closes it
        }
    });
    url
}

const GOOD: &str = r#"about = "x"
[market]
deadline_ms = 100
bidders = [{ name = "b", does = { kind = "bid", price_cents = [100, 900] } }]
[[phase]]
name = "calm"
servers = ["exchange"]
arrivals = { poisson = 20.0 }
seconds = 1
[[bar]]
say = "few"
figure = "calm.exchange.wrong"
at_most = 0.0
"#;

#[test]
fn a_wrong_scenario_is_named_with_what_is_allowed() {
    let folder = Folder::new();
    let file = folder.file("mine.toml");
    // what is replaced | by what | what is said
    let table: [(&str, &str, &[&str]); 19] = [
        ("about", "abuot", &["unknown field `abuot`", "expected one of `about`", "line 1"]),
        ("deadline_ms = 100", "deadline_ms = 20", &["market.deadline_ms: 20; 50 to 900 are allowed"]),
        ("deadline_ms = 100", "deadline_ms = \"x\"", &["line 3", "invalid type: string \"x\"", "u64"]),
        ("about = \"x\"", "about = \"x\"\nrounds = 0", &["rounds: 0; 1 to 100 are allowed"]),
        ("seconds = 1", "seconds = 0", &["phase calm: seconds is 0; 1 to 86400 are allowed"]),
        (
            "seconds = 1",
            "seconds = 1\nwarm_up_s = 601",
            &["phase calm: warm_up_s is 601; at most 600 is allowed"],
        ),
        (
            "seconds = 1",
            "seconds = 1\ntime_scale = 0.0",
            &["phase calm: time_scale is 0; 0.001 or more is allowed"],
        ),
        (
            "poisson = 20.0",
            "poisson = -1.0",
            &["phase calm: arrivals: poisson is -1; it must be 0 to 1000000"],
        ),
        (
            "{ poisson = 20.0 }",
            "{ constant = 20.0 }\nwarm_up_share = 0.5",
            &["phase calm: warm_up_share is for arrivals = { poisson = … } only"],
        ),
        (
            "{ poisson = 20.0 }",
            "{ closed = { in_flight = 2 } }\nafter = { share = 1.0, seconds = 1 }",
            &["phase calm: after is for arrivals = { poisson = … } only; give these, or leave after out"],
        ),
        (
            "{ poisson = 20.0 }",
            "{ constant = 2.0 }\nrate_of = \"calm.exchange.per_s\"",
            &["phase calm: rate_of is for arrivals = { poisson = … } only"],
        ),
        (
            "{ poisson = 20.0 }",
            "{ poisson = 2.0 }\nrate_of = \"calm.exchange.per_s\"",
            &["phase calm: rate_of names a figure of an earlier phase"],
        ),
        (
            "[[phase]]\nname = \"calm\"\n",
            "[[phase]]\nname = \"first\"\nservers = [\"exchange\"]\narrivals = { poisson = 1.0 }\nseconds = 1\n\
             [[phase]]\nname = \"calm\"\nsearch = true\noverloads = true\nrate_of = \"first.exchange.per_s\"\n",
            &["phase calm: rate_of and search both say what the rate is; leave one of them out"],
        ),
        (
            "seconds = 1",
            "seconds = 1\nsearch = true",
            &["phase calm: search tries rates that are too high, and is judged so: give overloads = true"],
        ),
        ("poisson = 20.0", "possion = 20.0", &["unknown variant `possion`", "`poisson`"]),
        ("\"exchange\"", "\"exchnage\"", &["unknown variant `exchnage`", "`exchange`"]),
        ("\"bid\"", "\"bit\"", &["unknown variant `bit`", "`bid`"]),
        ("calm.exchange.wrong", "warm.exchange.wrong", &["bar \"few\": warm.exchange.wrong is not <phase>"]),
        (
            "exchange.wrong",
            "exchange.wrnog",
            &["calm.exchange.wrnog: there is no such figure", "wrong,", "net_p50_us"],
        ),
    ];
    for (from, to, expected) in table {
        assert!(GOOD.contains(from), "{from:?} is not in the scenario");
        std::fs::write(&file, GOOD.replacen(from, to, 1)).unwrap();
        for verb in ["run", "straight"] {
            let said = fault(&[verb, &file], 64);
            assert!(said.starts_with(&format!("load: {file}:\n")), "{said}");
            for expected in expected {
                assert!(said.contains(expected), "{expected:?} is not in {said}");
            }
        }
    }
    // Every fault at once.
    std::fs::write(&file, GOOD.replace("= 100", "= 9").replace("seconds = 1", "seconds = 0")).unwrap();
    let said = fault(&["bidders", &file], 64);
    assert!(said.contains("deadline_ms: 9") && said.contains("seconds is 0"), "{said}");
}

#[test]
fn a_scenario_is_found_by_name_anywhere_or_by_its_path() {
    let folder = Folder::new();
    let listed = command(&["scenarios"]).current_dir(&folder.0).output().unwrap();
    assert_eq!(listed.status.code(), Some(0));
    for (name, _) in SHIPPED {
        let about = Source::find(Path::new(name)).unwrap().scenario().unwrap().about;
        let row = text(&listed.stdout).lines().find(|line| line.starts_with(&format!("{name} ")));
        assert!(row.unwrap_or_else(|| panic!("{name} is not listed")).ends_with(&about));
    }
    let said = fault(&["run", "stedy"], 64);
    assert!(said.contains("no scenario is named \"stedy\"; there are big-market, "), "{said}");
    let said = fault(&["run", "./none.toml"], 64);
    assert!(said.contains("./none.toml") && said.contains("No such file"), "{said}");
    // Found and read: only the exchange's binary is missing.
    let outcry = folder.file("no-outcry");
    let said = command(&["run", "steady", "--outcry", &outcry]).current_dir(&folder.0).output().unwrap();
    assert!(text(&said.stderr).contains("no-outcry is not the exchange"), "{said:?}");
    std::fs::write(folder.0.join("mine.toml"), GOOD).unwrap();
    let said = command(&["run", "mine.toml", "--outcry", &outcry]).current_dir(&folder.0).output().unwrap();
    assert!(text(&said.stderr).contains("no-outcry is not the exchange"), "{said:?}");
    assert_eq!(said.status.code(), Some(65));
}

#[test]
fn an_unknown_phase_is_named_with_those_there_are() {
    let nobody = ["--to", "http://127.0.0.1:1", "--admin", "http://127.0.0.1:1"];
    for (args, expected) in [
        (vec!["run", "steady", "--only", "clam"], "no phase is named clam; there are calm, saturated"),
        (
            [&["calls", "steady", "--phase", "clam"], &nobody[..]].concat(),
            "no phase \"clam\"; its phases are calm, saturated",
        ),
        (
            [&["calls", "overload", "--phase", "double"], &nobody[..]].concat(),
            "only `load run` knows; give one with --rate",
        ),
        (
            vec![
                "judge",
                "steady",
                "--phase",
                "x",
                "--admin",
                "http://127.0.0.1:1",
                "--sent",
                "a",
                "--seen",
                "b",
            ],
            "its phases are calm, saturated",
        ),
    ] {
        let said = fault(&args, 2);
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
}

#[test]
fn what_is_not_the_exchange_is_refused_before_anything_is_sent() {
    let web = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    let mute = answering(b"");
    let ssh = answering(b"SSH-2.0-x\r\n");
    let nobody = "http://127.0.0.1:1".to_owned();
    let is_none = "is not an Outcry exchange";
    // --to | --admin | code | what is said
    let table = [
        (&nobody, &*web, 65, "/metrics answers 200 without outcry_build_info"),
        (&nobody, &*mute, 65, is_none),
        (&nobody, &*ssh, 65, is_none),
        (&nobody, &*nobody, 65, "Connection refused"),
        (&nobody, "http://192.0.2.1:8081", 2, "192.0.2.1 is not this machine"),
        (&nobody, "http://exchange.example", 2, "exchange.example is not this machine"),
        (&nobody, "ftp://127.0.0.1", 2, "is no URL such as http://127.0.0.1:8081"),
        (&nobody, "8081", 2, "is no URL such as http://127.0.0.1:8081"),
        (&"http://192.0.2.1:8080".to_owned(), &*web, 2, "192.0.2.1 is not this machine"),
    ];
    for (to, admin, code, expected) in table {
        let said = fault(&["calls", "steady", "--to", to, "--admin", admin], code);
        assert!(said.contains(expected), "{expected:?} is not in {said}");
        assert_eq!(code == 2 && said.contains("not this machine"), said.contains("--i-own-this"), "{said}");
        if code == 65 {
            assert!(said.contains("load bidders SCENARIO --config DIR"), "{said}");
        }
    }
    // Whoever owns it gets further: there is nobody.
    let said =
        fault(&["calls", "steady", "--to", &nobody, "--admin", "http://load.invalid:1", "--i-own-this"], 65);
    assert!(said.contains("load.invalid") && said.contains(is_none), "{said}");
}

#[test]
fn a_wrong_log_is_named_with_its_line() {
    let folder = Folder::new();
    let (sent, seen) = (folder.file("sent"), folder.file("seen"));
    let judge = |code| {
        fault(&["judge", "steady", "--admin", "http://127.0.0.1:1", "--sent", &sent, "--seen", &seen], code)
    };
    let said = judge(65);
    assert!(said.contains(&sent) && said.contains("No such file"), "{said}");
    std::fs::write(&sent, "").unwrap();
    assert!(judge(65).contains("there is no call in it"));
    std::fs::write(&sent, "{}\n").unwrap();
    let said = judge(65);
    assert!(said.contains(&format!("{sent}: line 1 is no record of a call")), "{said}");
    let call = load::sent::Sent {
        number: 7,
        carrier: "sw".into(),
        carrier_call_id: "nameless".into(),
        ..load::sent::Sent::default()
    };
    let mut line = Vec::new();
    load::sent::write(&mut line, std::slice::from_ref(&call)).unwrap();
    std::fs::write(&sent, line).unwrap();
    assert!(judge(2).contains("do not tell their run; name it with --run"));
    let named = load::sent::Sent { carrier_call_id: "sw-a-b-7".into(), ..call };
    let mut line = Vec::new();
    load::sent::write(&mut line, &[named]).unwrap();
    std::fs::write(&sent, line).unwrap();
    std::fs::write(&seen, "\n{\"call\":1}\n").unwrap();
    let said = judge(65);
    assert!(said.contains(&format!("{seen}:2: missing field `bidder`")), "{said}");
    std::fs::write(&seen, "").unwrap();
    assert!(judge(65).contains("Connection refused"), "both logs are good");
}

/// A bidders' process, and the lines it begins with.
fn bidders(
    args: &[&str],
    lines: usize,
) -> (Child, Vec<(String, String)>, BufReader<std::process::ChildStdout>) {
    let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut named = Vec::new();
    for _ in 0..lines {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let (name, url) = line.trim_end().split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        named.push((name.to_owned(), url.to_owned()));
    }
    (child, named, out)
}

fn post(url: &str, body: Bytes) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Client::new(LIMIT).post(url, None, body).await.unwrap().status })
}

#[test]
fn bidders_answer_write_a_configuration_and_leave_a_log() {
    let folder = Folder::new();
    let (config, log) = (folder.file("config"), folder.file("seen.jsonl"));
    let args = ["bidders", "steady", "--config", &config, "--log", &log, "--traffic", "127.0.0.1:0"];
    let (mut child, named, mut out) = bidders(&[&args[..], &["--seconds", "1"]].concat(), 10);
    assert_eq!((named[0].0.as_str(), named[9].0.as_str()), ("b-1", "b-10"));
    for (nth, (_, url)) in named.iter().enumerate().take(3) {
        assert!([200, 204].contains(&post(url, ping(nth as u64 + 1))));
    }
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(rest.contains("µs per ping") && rest.contains(&format!("wrote 3 pings to {log}")), "{rest}");
    let all: Vec<&str> =
        rest.lines().find(|line| line.starts_with("all ")).unwrap().split_whitespace().collect();
    assert_eq!((all[1], all[2], all[4]), ("3", "3", "3"), "{rest}");
    let seen: Vec<Seen> = load::log::read_log(Path::new(&log)).unwrap();
    let calls: Vec<(u64, u16)> = seen.iter().map(|ping| (ping.call, ping.bidder)).collect();
    assert_eq!(calls, [(1, 0), (2, 1), (3, 2)]);
    assert!(seen.iter().all(|ping| ping.replied_us.is_some()));

    let settings = std::fs::read_to_string(format!("{config}/outcry.toml")).unwrap();
    let catalog = std::fs::read_to_string(format!("{config}/catalog/market.toml")).unwrap();
    assert!(settings.contains("\"127.0.0.1:0\"") && settings.contains("\"127.0.0.1:8081\""), "{settings}");
    assert!(named.iter().all(|(_, url)| catalog.contains(&format!("\"{url}\""))), "{catalog}");

    // It replaces what it wrote, and nobody else's settings.
    assert_eq!(load(&[&args[..4], &["--seconds", "1"]].concat()).status.code(), Some(0));
    std::fs::write(format!("{config}/outcry.toml"), "[admin]\n").unwrap();
    let said = fault(&args, 2);
    assert!(said.contains("is not replaced; name another folder"), "{said}");
    assert_eq!(std::fs::read_to_string(format!("{config}/outcry.toml")).unwrap(), "[admin]\n");
}

#[test]
fn bidders_stop_when_they_are_told_to() {
    let (mut child, named, mut out) = bidders(&["bidders", "slow-buyer"], 10);
    assert_eq!(post(&named[8].1, ping(1)), 500, "the bidder named {}", named[8].0);
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("all "), "{rest}");
}

#[test]
fn ports_that_are_taken_or_not_ours_are_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = fault(&["bidders", "steady", "--first-port", &port], 2);
    assert!(said.contains(&format!("port {port} for bidder \"b-1\"")) && said.contains("in use"), "{said}");
    let said = fault(&["bidders", "steady", "--first-port", "65530"], 2);
    assert!(said.contains("10 bidders from port 65530 on; there are 6 left"), "{said}");
    for (option, value, expected) in [
        ("--first-port", "0", "1..=65535"),
        ("--traffic", "0.0.0.0:8080", "an address of this machine only"),
        ("--threads", "0", "1..=64"),
        ("--seconds", "x", "invalid"),
    ] {
        let said = fault(&["bidders", "steady", option, value], 2);
        assert!(said.contains(option) && said.contains(expected), "{said}");
    }
}

#[test]
fn straight_tells_what_the_harness_adds() {
    let folder = Folder::new();
    let hgrm = folder.file("out");
    let output = load(&["straight", "steady", "--seconds", "1", "--rate", "50", "--hgrm", &hgrm]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said.starts_with("straight at bidder b-1, 50 pings per second for 1 s: "), "{said}");
    assert!(said.contains(" 0 without a good answer"), "{said}");
    let row = |name: &str| -> Vec<f64> {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(|cell| cell.parse().unwrap()).collect()
    };
    let (added, since_sent) = (row("added "), row("since sent"));
    assert!((15.0..120.0).contains(&added[0]) && added[0] == since_sent[0], "{said}");
    // The bidder thinks for about 20 ms, which is in the one and not in the other.
    assert!(added[1] < since_sent[1] && since_sent[1] >= 8.0, "{said}");
    for name in ["added", "since_sent"] {
        let file = std::fs::read_to_string(format!("{hgrm}/{name}.hgrm")).unwrap();
        assert!(file.contains(&format!("Total count    = {:12}]", added[0])), "{file}");
    }
    let said = fault(&["straight", "steady", "--rate", "0"], 2);
    assert!(said.contains("a number from 0.1 to 100000"), "{said}");
}

#[test]
fn every_verb_tells_examples_and_exit_codes() {
    for verb in ["run", "bidders", "calls", "straight", "judge", "scenarios", "yardstick"] {
        let output = load(&[verb, "--help"]);
        let said = text(&output.stdout);
        let examples = said.lines().filter(|line| line.starts_with(&format!("  load {verb}"))).count();
        assert_eq!((output.status.code(), examples), (Some(0), 2), "{said}");
        assert!(said.contains("Exit codes: 0 good; 1 ") && said.contains("65"), "{said}");
    }
    assert_eq!(load(&["calls"]).status.code(), Some(2));
}

#[test]
fn the_page_tells_every_figure_and_scenario() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/load.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (name, meaning) in FIGURES {
        let row = format!("| `{name}` | {meaning} |\n");
        assert!(page.contains(&row), "docs/load.md lacks the row {row}");
    }
    for (name, _) in SHIPPED {
        assert!(page.contains(&format!("| `{name}` |")), "docs/load.md does not tell of {name}");
    }
}

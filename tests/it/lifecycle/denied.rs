//! A system that denies io_uring by a seccomp filter, as containers do: threads write then, and it says so; nothing else
//! changes. The filter is `tests/tools/deny_io_uring.py`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::carriers::{market, written_by};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Folder, eventually};

/// `outcry serve` under a filter that answers so.
fn denied(answer: &str) -> Command {
    let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tools/deny_io_uring.py");
    let mut command = Command::new("python3");
    command.arg(tool).args([answer, env!("CARGO_BIN_EXE_outcry"), "serve"]);
    command
}

#[test]
fn a_system_without_io_uring_is_served_by_threads() {
    for answer in ["EPERM", "ENOSYS"] {
        let mut left = Folder::new();
        market(1_000).write(left.path(), "");
        let mut talked = Vec::new();
        // A first start, one after a kill, and one after another kill that has what the ring would have.
        for round in 0..2 {
            let exchange =
                Exchange::try_run(denied(answer), left).unwrap_or_else(|(_, log)| panic!("{log:#?}"));
            let says = |line: &String| line.contains("refuses io_uring");
            assert!(exchange.log().iter().any(says), "{answer}: {:#?}", exchange.log());
            eventually("the metric says so", || {
                let label = "backend=\"thread\",why=\"denied\"";
                (exchange.metric("outcry_journal_backend", label) == 1.0).then_some(())
            });
            assert_eq!(exchange.metric("outcry_journal_backend", "backend=\"uring\""), 0.0);
            let name = format!("CA{round}");
            let told = exchange.decide(&json!({"carrier_call_id": name, "to": NUMBER, "from": CALLER}));
            exchange.talk(&told, 90_000);
            talked.push(told["call_id"].as_str().unwrap().to_owned());
            talked.iter().for_each(|call| assert_eq!(exchange.ledger(call).len(), 3, "{answer}"));
            left = exchange.crash();
        }
        let exchange = Exchange::run(left);
        talked.iter().for_each(|call| assert_eq!(exchange.ledger(call).len(), 3, "{answer}"));
        let left = exchange.finish();
        // Asked for in so many words it is not given: no start, one line, and the journal is as it was.
        written_by(&left, "uring");
        let journal = left.path().join("store/outcry.journal");
        let names = || {
            let names = fs::read_dir(&journal).unwrap().map(|file| file.unwrap().file_name());
            names.collect::<std::collections::BTreeSet<_>>()
        };
        let before = names();
        let settings = left.path().join("outcry.toml");
        let output = denied(answer).arg("--config").arg(&settings).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains("the system refuses io_uring") && said.contains("\"thread\""), "{said}");
        assert_eq!(names(), before);
    }
}

//! The demo as a newcomer runs it, without a terminal.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{Folder, outcry};

#[test]
fn it_runs_shows_money_and_leaves_commands_that_work() {
    let folder = Folder::new();
    let place = folder.path().join("market");
    let place = place.to_str().unwrap();
    let args = ["demo", "--for", "3s", "--port", "0", "--folder", place];
    // A second run replaces the store of the first.
    for _ in 0..2 {
        let output = outcry(&args);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!printed.contains('\u{1b}'), "{printed}");
        let first = printed.lines().find(|line| line.starts_with("first decision ")).unwrap();
        assert!(first.ends_with(" s after the start"), "{first}");
        assert!(printed.contains("profit and loss by buyer:"), "{printed}");
        assert!(
            printed.contains("revenue") && printed.contains("margin") && printed.contains("total"),
            "{printed}"
        );
        assert!(printed.contains("every group of entries sums to zero."), "{printed}");
        let (_, commands) = printed.split_once("Look further:\n").unwrap();
        let commands: Vec<&str> = commands.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(commands.len(), 3, "{commands:?}");
        for command in commands {
            let words: Vec<&str> = command.split(' ').collect();
            let told = Command::new(words[0]).args(&words[1..]).output().unwrap();
            let said = String::from_utf8_lossy(&told.stderr).into_owned();
            assert!(told.status.success(), "{command}: {said}");
            assert!(!told.stdout.is_empty(), "{command}");
        }
    }
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let folder = Folder::new();
    let diary = folder.path().join("diary.txt");
    fs::write(&diary, "mine").unwrap();
    let place = folder.path().to_str().unwrap();
    let output = outcry(&["demo", "--for", "1s", "--port", "0", "--folder", place]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is not a folder of an earlier demo; choose another with --folder"), "{said}");
    assert_eq!(fs::read(&diary).unwrap(), b"mine");
    assert!(!folder.path().join("config").exists());
}

/// Two demos on one folder: the second is told so, and the first keeps its store.
#[test]
fn a_running_demo_keeps_its_store() {
    let folder = Folder::new();
    let place = folder.path().join("market");
    let place = place.to_str().unwrap();
    let mut first = Command::new(env!("CARGO_BIN_EXE_outcry"))
        .args(["demo", "--for", "5s", "--port", "0", "--folder", place])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let runs = lines.by_ref().any(|line| line.unwrap().starts_with("first decision "));
    assert!(runs, "the first demo decides");
    let second = outcry(&["demo", "--for", "1s", "--port", "0", "--folder", place]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("a demo is running on") && said.contains("--folder"), "{said}");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(first.wait().unwrap().success());
    assert!(rest.iter().any(|line| line.starts_with("total ")), "{rest:?}");
}

#!/usr/bin/env bash
# Everything that must hold before a change lands: format, lints, all tests, docs, the shipped configuration.
#
#   tests/run.sh          the gate
#   tests/run.sh --deep   also what is slow: the tests in release and again and again, a hundred thousand further simulated
#                         calls, a million calls to generated catalogs judged twice, every day of every time zone, 200
#                         kills, 20,000 power cuts and 100,000 corruptions of the journal, file systems that are filled up,
#                         starved and shut down in mid-write, bugs planted on purpose, a demo that is audited, four load
#                         scenarios, full benches, instruction counts
#
# Needs Rust and a C compiler, and root for --deep: it mounts file systems. What else it needs it installs, saying so (Python
# 3 and strace by the system's packages, and Python's packages into target/; valgrind and e2fsprogs for --deep); what it
# cannot install fails by name. It stops itself after 60 minutes, with --deep after six hours, naming the step.
set -u
cd "$(dirname "$0")/.." || exit 1

deep=no
for argument in "$@"; do
  case "$argument" in
    --deep) deep=yes ;;
    *) echo "usage: tests/run.sh [--deep]" >&2; exit 2 ;;
  esac
done

limit=3600
[ "$deep" = no ] || limit=21600
began=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs one step within what is left of the time; prints its output only when it fails, and a line when it passes.
step() {
  local name=$1 left start=$SECONDS code
  shift
  left=$((limit - (SECONDS - began)))
  if [ "$left" -le 0 ]; then
    echo "STOPPED  $name: $((limit / 60)) minutes are over" >&2
    exit 1
  fi
  timeout --kill-after=10 "$left" "$@" >"$log" 2>&1
  code=$?
  if [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
    tail -n 40 "$log" >&2
    echo "STOPPED  $name: $((limit / 60)) minutes are over" >&2
    exit 1
  elif [ "$code" -ne 0 ]; then
    cat "$log" >&2
    echo "FAILED   $name (exit $code)" >&2
    exit 1
  fi
  printf 'passed   %-42s %4s s  %s\n' "$name" "$((SECONDS - start))" "$(tests_in "$log")"
}

# "n tests" of everything cargo ran in a step; nothing where it ran none.
tests_in() {
  awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
       END { if (passed + failed + ignored) printf "%d tests, %d failed, %d ignored", passed, failed, ignored }' "$1"
}

# A program of the Rust toolchain, installed as a component where it is missing.
component() {
  local name=$1
  cargo "$2" --version >/dev/null 2>&1 && return
  echo "installing the Rust component $name"
  if ! command -v rustup >/dev/null 2>&1 || ! rustup component add "$name"; then
    echo "FAILED   $name is missing and could not be installed: install it beside cargo" >&2
    exit 1
  fi
}

# Packages of the system, where that is Debian or a child of it and we may; whoever needs them says what is missing.
system_packages() {
  local as_root=
  command -v apt-get >/dev/null 2>&1 || return
  [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
  echo "installing the system's packages $*"
  { $as_root apt-get update && $as_root apt-get install --yes --no-install-recommends "$@"; } >"$log" 2>&1 || cat "$log" >&2
}

# A Python with the packages that judge our answers, in a folder of its own.
python_tools() {
  local folder=target/tools/python
  # Each package in its wanted version, or the name of the first that is not.
  "$folder/bin/python" - tests/tools/requirements.txt 2>/dev/null <<'EOF' && return
import sys
from importlib.metadata import version
wanted = [line.strip().split("==") for line in open(sys.argv[1]) if line.strip()]
sys.exit(any(version(name) != number for name, number in wanted))
EOF
  echo "installing $(tr '\n' ' ' <tests/tools/requirements.txt)for Python into $folder"
  rm -rf "$folder"
  if ! timeout 60 python3 -m venv "$folder" >"$log" 2>&1; then
    system_packages python3 python3-venv
    rm -rf "$folder"
    timeout 60 python3 -m venv "$folder" >"$log" 2>&1 \
      || { cat "$log" >&2; missing "python3 with venv" "some tests ask other programs' libraries about our answers"; }
  fi
  timeout 300 "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/tools/requirements.txt \
    >"$log" 2>&1 || { cat "$log" >&2; missing "a package of tests/tools/requirements.txt" "pip could not install it"; }
}

missing() {
  echo "FAILED   $1 is missing: $2" >&2
  exit 1
}

command -v cargo >/dev/null 2>&1 || missing cargo "install Rust from https://rustup.rs"
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 \
  || missing "a C compiler" "SQLite is compiled from source; install gcc or clang"
command -v timeout >/dev/null 2>&1 || missing timeout "it belongs to the GNU core utilities"
component rustfmt fmt
component clippy clippy
python_tools
if ! command -v strace >/dev/null 2>&1; then
  system_packages strace
  command -v strace >/dev/null 2>&1 || missing strace "tests kill and slow the exchange in its system calls with it; install it with the system's packages"
fi
if [ "$deep" = yes ] && ! command -v valgrind >/dev/null 2>&1; then
  system_packages valgrind
  command -v valgrind >/dev/null 2>&1 || missing valgrind "instructions are counted with it; install it with the system's packages"
fi
if [ "$deep" = yes ]; then
  [ "$(id -u)" -eq 0 ] || missing root "file systems are mounted, filled up and shut down; run --deep as root"
  command -v mkfs.ext4 >/dev/null 2>&1 || system_packages e2fsprogs
  command -v mkfs.ext4 >/dev/null 2>&1 || missing mkfs.ext4 "file systems are made with it; install e2fsprogs"
  command -v unshare >/dev/null 2>&1 || missing unshare "what is mounted goes with the step; install util-linux"
  unshare --mount --propagation private true || missing "the right to mount" "a container may need to be privileged"
fi

step "format"                           cargo fmt --all --check
# Each by itself, as they are planted; whether they are found, only --deep asks.
step "planted bugs still apply"         sh -c 'for bug in tests/planted/*.patch; do
  git apply --check --whitespace=nowarn "$bug" || exit 1; done'
step "lints (warnings denied)"          cargo clippy --workspace --all-targets --locked -- -D warnings
step "tests"                            cargo test --workspace --locked --no-fail-fast
step "benches run"                      cargo bench --profile dev --locked --bench bench -- --quick
step "outcry check on config/"          cargo run --locked -- check --config config/outcry.toml
step "docs (warnings denied)"           env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --locked

if [ "$deep" = yes ]; then
  # Release has other timing and no overflow checks; a flake shows itself by being asked often.
  step "deep: tests in release"         cargo test --release --workspace --locked --no-fail-fast
  for round in 1 2 3 4 5; do
    step "deep: whole exchange, round $round of 5" cargo test --release --locked --test it -- --skip sim::every
  done
  # A hundred thousand calls of worlds that the gate does not go through, in the build that carriers meet.
  step "deep: simulation, other worlds"  env SIM_FIRST=1001 SIM_SEEDS=50 \
    cargo test --release --locked --test it sim::every_promise -- --nocapture
  cat "$log"
  # A million pairs of a catalog and a call, judged by two implementations.
  step "deep: rules, a million pairs"    env RULES_SEED=2 RULES_MARKETS=10000 \
    cargo test --release --locked --test it rules::two -- --nocapture
  cat "$log"
  step "deep: 200 kills under load"      env OUTCRY_KILLS=200 \
    cargo test --release --locked --test it lifecycle::kills -- --nocapture
  cat "$log"
  # In a name space of its own: what it mounts is gone after it, however it ends.
  step "deep: file systems full, starved, shut down" env OUTCRY_DISKS=4 unshare --mount --propagation private \
    cargo test --release --locked --test it lifecycle::disks -- --nocapture
  cat "$log"
  # Four cuts of every history; corruptions of every kind.
  step "deep: journal, 20,000 power cuts" env OUTCRY_JOURNAL_SEEDS=5000 \
    cargo test --release --locked --lib journal::tests::power -- --nocapture
  cat "$log"
  step "deep: journal, 100,000 corruptions" env OUTCRY_JOURNAL_SEEDS=2000 \
    cargo test --release --locked --lib journal::tests::corrupt -- --nocapture
  cat "$log"
  step "deep: planted bugs are found"    tests/planted.sh
  cat "$log"
  # Every day of every zone from 1990 to 2040, and each half hour around every change of its clocks.
  step "deep: all zones, all days"       env OUTCRY_ZONES=all \
    cargo test --release --locked --test it zones:: -- --nocapture
  cat "$log"
  demo=$(mktemp -d)
  trap 'rm -rf "$log" "$demo"' EXIT
  step "deep: a demo of 30 s"           target/release/outcry demo --for 30s --port 0 --folder "$demo/market"
  cat "$log"
  # Of the load scenarios those that ask whether it is right, not how fast: their bars decide, whatever else runs here.
  step "deep: build of the load tool"   cargo build --release --workspace --bins --locked
  for scenario in cap-race reload-under-fire slow-buyer burst; do
    step "deep: load run $scenario"     target/release/load run "$scenario" --outcry target/release/outcry
    cat "$log"
  done
  step "deep: benches at full length"   cargo bench --locked --bench bench
  cat "$log"
  step "deep: instruction counts"       benches/count.sh
  cat "$log"
fi

echo "all passed in $((SECONDS - began)) s"

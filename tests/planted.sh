#!/usr/bin/env bash
# Plants bugs, each by itself, and demands that the tests find it and name the promise it breaks: the simulation of whole
# exchanges, the second implementation of the rules, the campaign of the journal, a kill at the place that matters, or the
# oracle of time zones.
#
#   tests/planted.sh            every bug of tests/planted
#   tests/planted.sh late-bid   those whose name contains this
#
# A patch is named after its bug; the table below says which promise must be named, and by which tests of the gate. The
# sources are copied to a folder of their own, so the working tree is never touched. A patch that no longer applies fails:
# bugs move with the code.
set -u
cd "$(dirname "$0")/.." || exit 1

# Worlds that each bug may take to be found, and their calls.
seeds=24
calls=1000

promise_of() {
  case "$1" in
    hold-not-released)       echo AtRest Caps ;;
    abandon-billed)          echo Money ;;
    second-hold-on-retry)    echo SameBytes ;;
    late-bid-wins)           echo LateBid ;;
    closes-with-the-campaign) echo LateBid ;;
    connection-owes-a-reply) echo Owing ;;
    ping-out-of-sight)       echo LateBid ;;
    ack-before-disk)         echo Durable ;;
    forgotten-too-soon)      echo Durable ;;
    step-past-its-close)     echo InTime LateBid ;;
    unproven-talk)           echo Money OneEnd ;;
    price-of-the-bid)        echo Money ;;
    step-before-decision)    echo Durable ;;
    restore-forgets-a-hold)  echo Restart ;;
    late-bid-not-written)    echo Restart ;;
    draw-not-recorded)       echo Replays ;;
    hand-back-of-anybody)    echo HandBack ;;
    hand-back-voids-a-talk)  echo HandBack Money ;;
    screen-not-asked)        echo Agrees ;;
    stir-failed-counts)      echo OneOutcome ;;
    journal-*)               echo Durable Start Content Honest ;;
    dedupe-dropped-*)        echo Once ;;
    place-*)                 echo Together ;;
    rules-takeover-*)        echo Order ;;
    rules-*)                 echo Verdict ;;
    zone-*)                  echo Clocks Days ;;
    *) return 1 ;;
  esac
}

# The tests that must find it, as cargo is told. What no table names is found by the simulation.
tests_of() {
  case "$1" in
    journal-*)                 echo --lib journal::tests::power ;;
    step-before-decision)      echo --test it sim::order ;;
    dedupe-dropped-at-restart) echo --test it lifecycle::restart::a_call_goes_on ;;
    dedupe-dropped-in-store)   echo --lib records::sqlite::tests::a_batch_applied_twice ;;
    place-*)                   echo --test it lifecycle::faults::a_kill_in_any_call_that_writes ;;
    rules-*)                   echo --test it rules::two ;;
    zone-*)                    echo --test it zones::every_change ;;
    *)                         echo --test it sim::every_promise ;;
  esac
}

command -v git >/dev/null 2>&1 || { echo "FAILED   git is missing: it applies the patches" >&2; exit 1; }
copy=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$copy"' EXIT
target=${CARGO_TARGET_DIR:-$PWD/target}/planted
# What judges with Python does not look for it in the copy.
export OUTCRY_PYTHON=${OUTCRY_PYTHON:-$PWD/target/tools/python/bin/python}

# Plants one bug in a copy of the sources, the one of this place, and looks whether it is found.
hunt() {
  local place=$1 patch=$2 bug promises tree log asked said
  bug=$(basename "$patch" .patch)
  tree=$copy/$place/tree
  log=$copy/$place/log
  if ! promises=$(promise_of "$bug"); then
    echo "FAILED   $bug: this script does not say which promise it breaks" >&2
    return 1
  fi
  rm -rf "$tree"
  mkdir -p "$tree"
  cp -R Cargo.toml Cargo.lock clippy.toml rustfmt.toml src tests load benches config grafana docs "$tree"
  if ! git -C "$tree" apply --whitespace=nowarn "$PWD/$patch"; then
    echo "FAILED   $bug: the patch no longer applies; plant the bug anew" >&2
    return 1
  fi
  read -ra asked <<<"$(tests_of "$bug")"
  export CARGO_TARGET_DIR=$target/$place
  if ! cargo test --quiet --manifest-path "$tree/Cargo.toml" --locked "${asked[@]}" --no-run >"$log" 2>&1; then
    { tail -n 40 "$log"; echo "FAILED   $bug: what is planted does not compile"; } >&2
    return 1
  fi
  if SIM_SEEDS=$seeds SIM_CALLS=$calls cargo test --quiet --manifest-path "$tree/Cargo.toml" --locked "${asked[@]}" \
    >"$log" 2>&1; then
    echo "FAILED   $bug: nobody noticed" >&2
    return 1
  fi
  # "seed 7: Money broken: …" of a campaign; "…: Once broken: …" of an assertion.
  said=$(grep -oE "(seed [0-9]+: )?(${promises// /|}) broken.*" "$log" | head -n 1 | cut -c 1-160)
  if [ -z "$said" ]; then
    { tail -n 40 "$log"; echo "FAILED   $bug: no test names one of: $promises"; } >&2
    return 1
  fi
  echo "found    $bug: $said"
}

# Every second of the bugs that are asked for.
hunt_from() {
  local place=$1 failed=0 number=0 patch
  for patch in tests/planted/*.patch; do
    case "$(basename "$patch" .patch)" in *"$asked_for"*) ;; *) continue ;; esac
    number=$((number + 1))
    [ $((number % 2)) -ne "$place" ] || hunt "$place" "$patch" || failed=1
  done
  return "$failed"
}

# Two at a time: while one is compiled the other is looked for.
asked_for=${1:-}
ls tests/planted/*"$asked_for"*.patch >/dev/null 2>&1 || { echo "FAILED   no bug is called $asked_for" >&2; exit 1; }
hunt_from 0 &
first=$!
hunt_from 1 &
second=$!
failed=0
wait "$first" || failed=1
wait "$second" || failed=1
exit "$failed"

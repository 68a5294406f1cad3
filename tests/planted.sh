#!/usr/bin/env bash
# Plants one bug at a time and demands that the tests find it and name the promise it breaks: the simulation of whole
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
trap 'rm -rf "$copy"' EXIT
target=${CARGO_TARGET_DIR:-$PWD/target}/planted
# What judges with Python does not look for it in the copy.
export OUTCRY_PYTHON=${OUTCRY_PYTHON:-$PWD/target/tools/python/bin/python}
failed=0

for patch in tests/planted/*.patch; do
  bug=$(basename "$patch" .patch)
  case "$bug" in *"${1:-}"*) ;; *) continue ;; esac
  if ! promises=$(promise_of "$bug"); then
    echo "FAILED   $bug: this script does not say which promise it breaks" >&2
    failed=1
    continue
  fi
  rm -rf "${copy:?}/tree"
  mkdir "$copy/tree"
  cp -R Cargo.toml Cargo.lock clippy.toml rustfmt.toml src tests load benches config grafana docs "$copy/tree"
  if ! git -C "$copy/tree" apply --whitespace=nowarn "$PWD/$patch"; then
    echo "FAILED   $bug: the patch no longer applies; plant the bug anew" >&2
    failed=1
    continue
  fi
  read -ra asked <<<"$(tests_of "$bug")"
  if ! CARGO_TARGET_DIR=$target cargo test --quiet --manifest-path "$copy/tree/Cargo.toml" --locked "${asked[@]}" \
    --no-run >"$copy/log" 2>&1; then
    tail -n 40 "$copy/log" >&2
    echo "FAILED   $bug: what is planted does not compile" >&2
    failed=1
    continue
  fi
  if SIM_SEEDS=$seeds SIM_CALLS=$calls CARGO_TARGET_DIR=$target cargo test --quiet \
    --manifest-path "$copy/tree/Cargo.toml" --locked "${asked[@]}" >"$copy/log" 2>&1; then
    echo "FAILED   $bug: nobody noticed" >&2
    failed=1
    continue
  fi
  # "seed 7: Money broken: …" of a campaign; "…: Once broken: …" of an assertion.
  said=$(grep -oE "(seed [0-9]+: )?(${promises// /|}) broken.*" "$copy/log" | head -n 1 | cut -c 1-160)
  if [ -z "$said" ]; then
    tail -n 40 "$copy/log" >&2
    echo "FAILED   $bug: no test names one of: $promises" >&2
    failed=1
    continue
  fi
  echo "found    $bug: $said"
done
exit "$failed"

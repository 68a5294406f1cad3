#!/usr/bin/env bash
# Counts the instructions of the benches' operations and holds them against the baseline, benches/instructions.txt.
#
#   benches/count.sh            a table; fails, by name, where an operation needs more than it may
#   benches/count.sh --update   writes the baseline of this compiler and CPU anew: look at the difference, then commit it
#
# Needs valgrind. A count says how much is done, not how long it takes: caches, waiting and several threads are not in it.
# Wall time is `cargo bench`, read by a person on a quiet machine.
set -u
cd "$(dirname "$0")/.." || exit 1

# What an operation may grow by, in per cent. Runs of one build differ by at most 0.5 % (seeds of hash maps), most by nothing;
# changes elsewhere move an operation by 0.1 %, other allocations before it by up to 1.8 %.
tolerance=3
baseline=benches/instructions.txt
# Functions of benches/main.rs: where callgrind collects, and where it dumps.
collect=bench::counted
dump=bench::told

update=no
for argument in "$@"; do
  case "$argument" in
    --update) update=yes ;;
    *) echo "usage: benches/count.sh [--update]" >&2; exit 2 ;;
  esac
done

fail() {
  echo "FAILED   instruction counts: $1" >&2
  exit 1
}

command -v valgrind >/dev/null 2>&1 || fail "valgrind is missing: install it with the system's packages"

# Compiler, CPU, C library and valgrind: where one of them is another, so are the counts.
key() {
  local compiler cpu features feature
  compiler=$(rustc --version --verbose | awk -F': ' 'NR == 1 { version = $0 } /^host:/ { host = $2 } /^LLVM/ { llvm = $2 }
    END { print version " " host ", LLVM " llvm }')
  cpu=$(awk -F'\t*: ' '/^model name/ { print $2; exit }' /proc/cpuinfo 2>/dev/null)
  # Code that looks for these at run time goes another way without them.
  for feature in avx2 bmi2 sha_ni; do
    if grep -q -m 1 -w "^flags.*$feature" /proc/cpuinfo 2>/dev/null; then features="${features:-} $feature"; fi
  done
  echo "$compiler; ${cpu:-$(uname -m)}${features:+,}${features:-}; $(getconf GNU_LIBC_VERSION 2>/dev/null || uname -s); $(valgrind --version)"
}

key=$(key)
host=$(rustc --version --verbose | awk '/^host:/ { print $2 }')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# cargo builds it and says where it is.
built=$(env "CARGO_TARGET_$(echo "$host" | tr 'a-z.-' 'A-Z__')_RUNNER=echo" cargo bench --quiet --locked --bench bench) \
  || fail "the benches do not compile"
ln -s "${built% --bench}" "$work/bench"

# One name, one environment and one layout of memory, wherever it lies: what is allocated before shows in the counts.
fixed=(env -i "PATH=$PATH")
if setarch -R true 2>/dev/null; then fixed+=(setarch -R); fi
if ! (cd "$work" && "${fixed[@]}" valgrind --tool=callgrind --log-file=log --callgrind-out-file=dump \
  --toggle-collect="$collect" --dump-after="$dump" ./bench --count) >"$work/names" 2>"$work/errors"; then
  tail -n 20 "$work/errors" "$work/log" >&2
  fail "the benches do not run under valgrind"
fi

# A line `operation = instructions` for each.
place=0
while read -r times name; do
  place=$((place + 1))
  total=$(awk '/^totals:/ { print $2 }' "$work/dump.$place" 2>/dev/null)
  [ "${total:-0}" -gt 0 ] || fail "no count of \"$name\": callgrind did not see $collect and $dump"
  echo "$name = $(((total + times / 2) / times))" >>"$work/now"
done <"$work/names"
[ "$place" -gt 0 ] || fail "no operation was counted"
[ ! -e "$work/dump.$((place + 1))" ] || fail "there are more dumps than operations"

# The lines of this key's section.
awk -v key="[$key]" '/^\[/ { inside = $0 == key; next } inside && / = /' "$baseline" >"$work/before" 2>/dev/null

awk -v tolerance="$tolerance" -F' = ' '
  BEGIN { printf "%-42s %12s %12s %9s\n", "instructions of one operation", "baseline", "now", "change" }
  FILENAME == ARGV[1] { before[$1] = $2; next }
  {
    seen[$1] = 1
    if (!($1 in before)) { printf "%-42s %12s %12d %9s\n", $1, "-", $2, "-"; next }
    change = ($2 / before[$1] - 1) * 100
    word = change > tolerance ? "  GREW" : change < -tolerance ? "  fell" : ""
    printf "%-42s %12d %12d %+8.2f%%%s\n", $1, before[$1], $2, change, word
  }
  END { for (name in before) if (!(name in seen)) printf "%-42s %12d %12s %9s\n", name, before[name], "-", "-" }
' "$work/before" "$work/now" | tee "$work/table"

if [ "$update" = yes ]; then
  {
    # Everything but this key's section, without the empty lines at its end.
    awk -v key="[$key]" '/^\[/ { skip = $0 == key } !skip { if ($0 == "") empty++; else { while (empty) { print ""; empty-- } print } }' \
      "$baseline"
    printf '\n[%s]\n' "$key"
    cat "$work/now"
  } >"$work/baseline" || fail "$baseline cannot be read"
  cp "$work/baseline" "$baseline" || fail "$baseline cannot be written"
  echo "written to $baseline: [$key]"
elif [ ! -s "$work/before" ]; then
  echo "NO BASELINE for [$key]: nothing was compared."
  echo "Write one with benches/count.sh --update, on a commit whose counts are known to be good."
elif grep -q 'GREW$' "$work/table"; then
  grep 'GREW$' "$work/table" | sed 's/  *[0-9].*//; s/^/grew by more than '"$tolerance"' %: /' >&2
  fail "find out why; where it is worth it, benches/count.sh --update and commit the baseline with the reason"
fi

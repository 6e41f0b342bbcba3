#!/usr/bin/env bash
# Tunes a model according to a configuration, measures it before and after, and exports it for transformers.
#   examples/tune_own_model.sh CONFIG OUT [--set KEY=VALUE …]
# CONFIG: a copy of examples/own_model.yaml. OUT gets run/, cache/, result.json, report.html and model/. Run it again
# after a kill: it resumes where it stopped. SAFERCLIP names the program (default: build/release/saferclip).
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
program=${SAFERCLIP:-$(dirname "$0")/../build/release/saferclip}
config=$1 out=$2
shift 2

settings=(--set "data.cache_dir=$out/cache" --set "run.dir=$out" --set run.name=run "$@")
"$program" config check "$config" "${settings[@]}"
"$program" train "$config" "${settings[@]}" --resume auto
"$program" evaluate "$out/run" --out "$out/result.json"
"$program" report "$out/run" --out "$out/report.html"
[ -d "$out/model" ] || "$program" export "$out/run" --to hf --out "$out/model"
echo "safe model: $out/model, report: $out/report.html"

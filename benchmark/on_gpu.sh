#!/usr/bin/env bash
# What a machine with a CUDA GPU has to say, within 8 minutes and without a network: the tests that
# need one, engines and precisions beside each other, the growth with size and batch, and the node.
#
#   benchmark/on_gpu.sh [--device cuda] [--quick] [--output FOLDER] [--python .venv/bin/python]
#
# Each part has a time limit of its own, and a part that fails costs no other. JSON and logs go to
# the folder, and a table of all is printed at the end. --device cpu --quick tries that it all runs.
set -uo pipefail
cd "$(dirname "$0")/.."

device=cuda output=out/on_gpu quick="" python=.venv/bin/python
while [ $# -gt 0 ]; do
  case "$1" in
    --device) device=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    --python) python=$2; shift 2 ;;
    --quick) quick=1; shift ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
[ -x "$python" ] || { echo "there is no $python: run make install, or give --python" >&2; exit 2; }
mkdir -p "$output"
output=$(cd "$output" && pwd)

models=depth_anything_v2_small,depth_anything_v2_large,da3_metric_large,tiny
sizes=0 engines=auto,torch,compiled,onnxruntime,tensorrt precisions=fp32,bf16,fp16 runs=20
node_seconds=10 node_warm_up=5 scaling_runs=10 parts="pictures cameras" slower=1
if [ -n "$quick" ]; then
  models=tiny sizes=64 engines=auto,torch precisions=fp32,bf16 runs=2
  node_seconds=2 node_warm_up=1 scaling_runs=1 parts=cameras
fi
[ "$device" != cpu ] || slower=5  # and other work may go on beside it

failed=""
part() {  # NAME SECONDS COMMAND...
  local name=$1 seconds=$(($2 * slower)) start=$SECONDS
  shift 2
  echo "== $name (at most $seconds s)"
  if timeout "$seconds" "$@" > "$output/$name.log" 2>&1; then
    echo "   done in $((SECONDS - start)) s"
  else
    echo "   FAILED: the end of $output/$name.log:"
    tail -n 5 "$output/$name.log" | sed 's/^/   | /'
    failed="$failed $name"
  fi
}

tests=(-m cuda -n 0 -p no:cacheprovider test/engines test/models)
# Without a device all of them are skipped, which is no failure.
part tests 120 "$python" -m pytest -q "${tests[@]}"
part model 210 "$python" -m depth_anything_ros benchmark model --device "$device" \
  --models "$models" --sizes "$sizes" --engines "$engines" --precisions "$precisions" \
  --runs "$runs" --output "$output/model.json"
part scaling 60 "$python" benchmark/scaling.py --device "$device" --parts $parts \
  --runs "$scaling_runs" --output "$output/scaling.json"
part node 90 "$python" -m depth_anything_ros benchmark node --device "$device" --sizes 640x480 \
  --transports profile --rounds 1 --transport-rounds 0 --seconds "$node_seconds" \
  --warm-up "$node_warm_up" --output "$output/node.json"

"$python" benchmark/on_gpu_table.py "$output" || failed="$failed table"
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }

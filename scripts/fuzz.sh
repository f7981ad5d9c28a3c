#!/usr/bin/env bash
# Fuzzes every parser of outside bytes for SECONDS_EACH seconds (default 60), one target after the other.
# Builds with libFuzzer's instrumentation on the stable toolchain; findings are left in fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${SECONDS_EACH:-60}
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=../target/fuzz
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1"
targets=${TARGETS:-$(ls targets | sed 's/\.rs$//')}
# --target keeps the flags away from build scripts and procedural macros.
triple=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --release --target "$triple"
for target in $targets; do
    echo "==> $target, $seconds s"
    mkdir -p "corpus/$target" "artifacts/$target"
    # Inputs that are stored here; what is found beyond them goes into the corpus, which is not.
    seeds=()
    [ ! -d "seeds/$target" ] || seeds=("seeds/$target")
    "../target/fuzz/$triple/release/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
        -print_final_stats=1 -artifact_prefix="artifacts/$target/" "corpus/$target" ${seeds[@]+"${seeds[@]}"} 2>&1 | tail -n 8
done

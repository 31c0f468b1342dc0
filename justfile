# The commands of a working day: https://just.systems. Each is one line, to be typed as well without just.

# Lists the recipes.
_default:
    @just --list

# Everything that must hold before a change lands.
ci:
    bash .ci/run

# The whole job on two simulated directories.
demo:
    cargo run --release -- demo

# All tests, or those whose name contains a word: `just test leavers::`.
test *filter:
    cargo test --locked {{ filter }}

# The tests that mount file systems, trace the program or need a tool. As root.
test-privileged:
    cargo nextest run --locked --profile privileged --run-ignored all

# What clippy and rustfmt say.
lint:
    cargo fmt --all -- --check
    cargo clippy --all-targets --locked -- -D warnings

# Advisories, licences, duplicates and sources of the dependencies.
deny:
    cargo deny check

# Runs one fuzz target: `just fuzz link_header 600`.
fuzz target seconds="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz {{ target }} -- -max_total_time={{ seconds }}

# Builds the Debian package into target/debian.
package:
    deploy/package

# Opens the documentation of every module.
doc:
    cargo doc --no-deps --document-private-items --open

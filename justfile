# `just` lists these. Each is one line that can be typed by hand.
bin := ".venv/bin"

default:
    @just --list

# Everything installed into .venv
install:
    python3 -m venv .venv && {{bin}}/pip install -q -U pip && {{bin}}/pip install -q -e '.[uploads,postgres,metrics,completion,worker]' --group dev

# The fast tests, on one event loop and the newer protocol: under a minute
quick *arguments:
    {{bin}}/pytest -n auto --dist worksteal -q -m "not medium and not slow and not browser and not services" -k "not trio and not legacy" {{arguments}}

# The fast tests, whose clocks start half a minute before midnight
midnight *arguments:
    just quick --clock-start 23:59:30 {{arguments}}

# All tests that need nothing but Python
test *arguments:
    {{bin}}/pytest -n auto --dist worksteal {{arguments}}

# Style, types and the direction of imports
lint:
    {{bin}}/ruff check . && {{bin}}/ruff format --check . && {{bin}}/pyright --pythonpath {{bin}}/python && {{bin}}/lint-imports

# The player in a real browser; needs Node.js and Chromium
browser *arguments:
    npm --prefix tests/mcp/app install --no-audit --no-fund --no-package-lock --silent && npm --prefix tests/mcp/app run --silent bundle
    {{bin}}/pytest -n 2 -m browser tests/mcp/app {{arguments}}

# Ten thousand calls that nobody would make, to the server and to the emulator
fuzz:
    {{bin}}/pytest -n 2 tests/mcp/test_fuzz.py tests/emulator/test_openapi.py --calls 10000

# Fifty films whose servers are killed again and again, in two minutes
killed:
    {{bin}}/pytest -n 0 tests/film/test_killed.py --films 50

# Half an hour of use, with everything that goes wrong
soak *arguments:
    {{bin}}/python -m benchmarks.soak {{arguments}}

# Five hundred wishes of clients that give up, at three replicas: as many bought
impatient *arguments:
    {{bin}}/python -m benchmarks.impatient {{arguments}}

# PostgreSQL and three replicas behind nginx; needs both programs
services *arguments:
    npm --prefix tests/support/oidc install --no-audit --no-fund --no-package-lock --silent
    {{bin}}/pytest -n 2 -m services {{arguments}}

# Mutants in the code that spends money: each must make a test fail, or stand in tests/survivors.toml. It takes an hour.
mutants *modules:
    {{bin}}/pip install -q --group mutation
    {{bin}}/python -m tests.mutation {{modules}}

# What CI runs, in a folder of its own; it says which programs are missing
check:
    .ci/run

# Mend what a machine can mend
format:
    {{bin}}/ruff check --fix . && {{bin}}/ruff format .

# Take the tool definitions as they are now
snapshots:
    {{bin}}/pytest -n 0 tests/mcp/test_adapter.py --update-snapshots

# Write the tables of the README and of the documents again from the code
tables:
    {{bin}}/python docs/tables.py

# Write the tool reference anew from the code and the emulator
reference:
    {{bin}}/python docs/reference.py

# The pages of docs as a site, strict about links, in site/
site:
    {{bin}}/pip install -q --group site && {{bin}}/mkdocs build --strict

# Write every manifest anew from the code
manifests:
    {{bin}}/python manifests/generate.py

# Make the README's picture from the demo's own files
picture:
    {{bin}}/python docs/picture.py

# How fast it is, as ratios
benchmark:
    {{bin}}/python -m benchmarks

# The main job, for nothing
demo:
    {{bin}}/dream-machine-mcp demo --keep out

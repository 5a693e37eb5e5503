# `make` alone explains the targets. Every target does the set-up it needs.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test check bench up down study-worlds study-capacity study-exactness study-failover study-detection study-nab study-sink study-dashboards study-incidents study-trend study-alerts study-memory study-experiments study-ope study-backtest dashboards pictures notebooks docs format lock clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | column -t -s "$$(printf '\t')"

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## a fleet on recorded traffic, six policies compared; ARGS="--seed 2 --json"
	@$(BIN)/routecast demo $(ARGS)

test: $(READY) ## all tests, with coverage: two processes, then those that need the machine alone; ARGS="-k fold"
	@$(BIN)/python -m pytest --cov --cov-report= -q -n 2 --dist loadfile -m "not alone" $(ARGS); first=$$?; \
	[ $$first -eq 0 ] || [ $$first -eq 5 ] || exit $$first; \
	$(BIN)/python -m pytest --cov --cov-append --cov-report=term -q -n 0 -m alone $(ARGS); second=$$?; \
	[ $$second -eq 5 ] || exit $$second; \
	[ $$first -eq 0 ] || { echo "no test was run: nothing matches ARGS='$(ARGS)'"; exit 5; }

check: $(READY) ## ruff, mypy, pyright, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(READY) ## the measured figures, each beside its target; ARGS="decision"
	$(BIN)/python benchmarks/run.py $(ARGS)

SECRETS := .secrets/influx-password .secrets/influx-admin .secrets/grafana-password

up: $(SECRETS) ## Kafka, workers, InfluxDB, Grafana in containers (docker-compose.yml); COMPOSE_PROFILES=demo adds traffic, CONFIG=FILE your targets
	docker compose up --detach --build
	@echo "Grafana: http://localhost:$${GRAFANA_PORT:-3000}, user admin, password: cat .secrets/grafana-password"

$(SECRETS): # readable in containers, whose users are others; nobody else gets into the folder
	@mkdir -p -m 700 .secrets
	@$(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(32), end="")' > $@

down: ## stop them; ARGS="--volumes" also forgets what Kafka has kept
	docker compose --profile demo down $(ARGS)

study-worlds: $(READY) ## policies in all worlds with intervals, up to 30 minutes on two cores
	$(BIN)/python benchmarks/study_worlds.py $(ARGS)

study-capacity: $(READY) ## how much load fits, from events at a moderate load, beside the truth of laws hidden from the fit, 12 minutes; needs ROUTECAST_TRACES
	$(BIN)/python benchmarks/study_capacity.py $(ARGS)

study-exactness: $(READY) ## counts through kills, a broker restart and a stalled worker, ten seeds on a real Kafka, 20 minutes; ARGS="--seeds 3 4"
	$(BIN)/python benchmarks/study_exactness.py $(ARGS)

study-failover: $(READY) ## one alert and one change through the deaths of three leaders on a real Kafka, 15 minutes
	$(BIN)/python benchmarks/study_failover.py $(ARGS)

study-sink: $(READY) ## 300,000 points through kills of the sink and of InfluxDB and every fault of a proxy, 10 minutes; ARGS="--points 12000 --outage 6"
	$(BIN)/python benchmarks/study_sink.py $(ARGS)

study-dashboards: $(READY) ## every query of the dashboards and alert rules on a day of twenty targets, timed, 3 minutes; ARGS="--live 1450" plays the demonstration beside it, 30 minutes
	$(BIN)/python benchmarks/study_dashboards.py $(ARGS)

study-incidents: $(READY) ## the troubles of the demonstration over ten seeds: what was noticed, how soon, and what else, 2 minutes; ARGS="--seeds 20"
	$(BIN)/python benchmarks/study_incidents.py $(ARGS)

study-trend: $(READY) ## trends right and false over noise and autocorrelation, beside two other rules, seconds
	$(BIN)/python benchmarks/study_trend.py $(ARGS)

study-backtest: $(READY) ## all policies on real traces by backtests, and what is foretold from a recording beside what comes, 20 minutes; needs ROUTECAST_TRACES
	$(BIN)/python benchmarks/study_backtest.py $(ARGS)

study-alerts: $(READY) ## months with incidents and blips: pages, missed, false, delays, beside fixed thresholds, 10 minutes; ARGS="--seeds 1"
	$(BIN)/python benchmarks/study_alerts.py $(ARGS)

study-memory: $(READY) ## what a fold and a leader keep through a month of virtual time, and whether it grows, 15 minutes; ARGS="--days 17"
	$(BIN)/python benchmarks/study_memory.py $(ARGS)

study-ope: $(READY) ## policies evaluated from 2,000 logs whose truth is known, beside naive ways, 10 minutes; ARGS="--replications 200"
	$(BIN)/python benchmarks/study_ope.py $(ARGS)

study-detection: $(READY) ## answers until a change is found, beside river and the least possible, at equal false alarms, 10 minutes; ARGS="--answers 1000000"
	$(BIN)/python benchmarks/study_detection.py $(ARGS)

study-nab: $(READY) ## anomalies in labelled real series, scored beside the windowed Gaussian, a minute; needs ROUTECAST_TRACES
	$(BIN)/python benchmarks/study_nab.py $(ARGS)

dashboards: $(READY) ## the dashboards for Grafana, generated anew from dashboards/grafana/boards
	$(BIN)/python -m routecast.dashboards.grafana.boards

study-experiments: $(READY) ## false verdicts, power and stopping times of experiments that are looked at every hundred requests, 2 minutes; ARGS="--runs 200"
	$(BIN)/python benchmarks/study_experiments.py $(ARGS)

pictures: $(READY) ## the pictures of the documentation, computed anew, a minute
	cd benchmarks && ../$(BIN)/python pictures.py && ../$(BIN)/python pictures_terminal.py

notebooks: $(READY) ## the notebooks of the documentation, executed anew, a minute
	$(BIN)/ruff format docs/notebooks
	$(BIN)/python benchmarks/notebooks.py $(ARGS)

docs: $(READY) ## the documentation as a site in build/docs
	$(BIN)/mkdocs build --quiet --strict --site-dir build/docs

format: $(READY) ## put the code into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY) ## pin requirements-dev.txt anew
	$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-package routecast --universal \
		--python-version 3.11 requirements-dev.in -o requirements-dev.txt

clean: ## remove everything that was made
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .coverage .import_linter_cache

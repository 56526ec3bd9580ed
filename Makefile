# SPDX-License-Identifier: GPL-2.0-only
# One word for each thing that a person does here; `make help` lists them.

MAKEFLAGS += --no-print-directory
export DRBD_LAB ?= $(HOME)/.cache/drbd-lab

.PHONY: module help install lab test-host gates rust-analyzer guest clean demo pair matrix bench test sim lab-debug module-debug sim-mutants fuzz

module: ## build drbd.ko (the default)
	@scripts/build-module modules

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

install: ## install drbd.ko for the running kernel (Debian 13 with the 7.3 of backports; as root)
	@scripts/install-module

lab: ## make the lab: root file system, toolchain, stock kernel, guests (once, about 6 minutes)
	@scripts/lab/setup

lab-debug: lab ## make the debug kernel for guests: lockdep and the like (once, 30 minutes of processor time, 3 GB)
	@scripts/lab/setup-debug

module-debug: lab-debug
	@DRBD_KERNEL=debug scripts/build-module modules

guest: ## start a guest with drbd.ko and open a shell in it
	@scripts/guest shell

test: ## everything that a change has to pass; the last line counts
	@.ci/run

test-host: ## run the tests of the core on the host
	@scripts/cargo test --workspace -q

sim: ## the engine against random disasters: for a minute or SIM_SECONDS, or SEED=n with its story, or SEEDS=n
	@scripts/cargo run -q --release -p drbd-sim -- $(if $(SEED),--seed $(SEED)) $(if $(WITHOUT),--without $(WITHOUT)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM)) $(if $(SIM_SECONDS),--seconds $(SIM_SECONDS))

sim-mutants: ## deliberate faults in a copy of the engine: the simulator has to find each; QUICK=1, NAMES='uuid barrier'
	@scripts/cargo run -q -p drbd-mutants -- $(if $(QUICK),--quick) $(if $(TABLE),--table $(TABLE)) $(NAMES)

fuzz: ## bytes that a fuzzer invents, for every decoder and from a hostile peer; FUZZ_SECONDS=60 in all
	@scripts/fuzz $(TARGETS)

demo: lab module ## two stock machines mirror a disk, lose one, and become whole again: the story, as it happens
	@scripts/demo

pair: lab module$(if $(filter debug,$(KERNEL)),-debug) ## scenarios on two guests; A=rust|c B=rust|c choose the drivers, SCENARIO='loop resync' what is run, LOOK=1 takes commands afterwards, KERNEL=watched|debug a kernel that checks memory, or locks
	@python3 -m tests.pair --kernel $(or $(KERNEL),stock) --a $(or $(A),rust) --b $(or $(B),rust) $(if $(FOLDER),--folder $(FOLDER)) $(if $(PART),--part $(PART)) $(if $(UNTIL),--until $(UNTIL)) $(if $(LOOK),--look) $(SCENARIO) $(SCENARIOS)

matrix: lab module ## every scenario in every role: ours with ours, with the kernel's own as the peer, and the other way round (hours); SCENARIO='loop resync'
	@code=0; for roles in '--a rust --b rust' '--a rust --b c' '--a c --b rust'; do python3 -m tests.pair $$roles $(SCENARIO) || code=1; done; exit $$code

bench: lab module ## the same work on the kernel's own driver and on ours; ratios to bench/out/latest.json; ROWS=all for every row
	@python3 -m bench $(if $(ROWS),--rows $(ROWS))

gates: ## check style, lints, unsafe code, panic paths, licence lines
	@scripts/gates

rust-analyzer: ## write rust-project.json for editors
	@scripts/rust-analyzer

clean: ## remove what was built (the lab stays)
	@scripts/clean

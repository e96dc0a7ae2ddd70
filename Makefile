# Talon: collect files from many FTP servers, decompress the archives on another host, account for every file.
# `make help` lists the targets.

SHELL := /bin/bash
export CGO_ENABLED := 0
# Tools are built once from tools/go.mod, which pins them, into this cache.
TOOLS := $(CURDIR)/.cache/bin
PACKAGES := ./...
FUZZTIME := 5m
ROUNDS := 5

.PHONY: help build run images test-compose temporal gateway ftp-servers archive-tools chromium prometheus test race fuzz bench-extract bench-transfer lint fmt histories screenshots clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What two hosts need beside worker and starter.
BETWEEN := ./internal/gateway/cmd/gateway ./internal/pki/cmd/pki ./internal/temporalproxy/cmd/temporalproxy

build: ## build bin/worker and bin/starter, and for two hosts bin/gateway, bin/pki and bin/temporalproxy (static)
	go build -trimpath -o bin/ ./worker ./starter $(BETWEEN)

run: build ## collect and decompress on an embedded demo; ONCE=1: then stop; CONFIG=my.yaml: your servers
	go build -trimpath -o bin/ ./internal/devstack/cmd/devstack
	bin/devstack $(if $(ONCE),--once) $(if $(CONFIG),--config $(CONFIG))

# Build contexts of the images; the names are those of the Dockerfile's stages.
CONTEXTS := .cache/images
IMAGES := setup temporal temporal-front gateway worker starter branch
# With the zones of the world in it: an image has no /usr/share/zoneinfo.
STATIC := go build -trimpath -tags timetzdata -ldflags "-s -w"

images: ## build the images of docker-compose.yml out of static programs compiled here (needs Docker, no registry; minutes the first time)
	@docker version --format 'Docker Engine {{.Server.Version}}'
	rm -rf $(CONTEXTS)
	mkdir -p $(addprefix $(CONTEXTS)/,$(IMAGES)) $(CONTEXTS)/setup/{private,empty} $(CONTEXTS)/temporal/private \
		$(CONTEXTS)/{worker,gateway}/{private,warehouse/{zip,unzip,state,stage/bundles}}
	chmod 700 $(CONTEXTS)/*/private
	chmod 750 $(CONTEXTS)/setup/empty $$(find $(CONTEXTS)/*/warehouse -type d)
	$(STATIC) -o $(CONTEXTS)/setup/ ./internal/compose/cmd/setup
	$(STATIC) -o $(CONTEXTS)/temporal/ ./internal/healthcheck/cmd/healthcheck
	cp "$$(go run ./internal/devstack/cmd/devstack --cli | sed -n 's/^Temporal CLI: //p')" $(CONTEXTS)/temporal/temporal
	$(STATIC) -o $(CONTEXTS)/temporal-front/ ./internal/temporalproxy/cmd/temporalproxy ./internal/healthcheck/cmd/healthcheck
	$(STATIC) -o $(CONTEXTS)/gateway/ ./internal/gateway/cmd/gateway ./internal/healthcheck/cmd/healthcheck
	cp "$$(go run ./internal/gateway/cmd/gateway find)" $(CONTEXTS)/gateway/versitygw
	$(STATIC) -o $(CONTEXTS)/worker/ ./worker ./internal/healthcheck/cmd/healthcheck
	$(STATIC) -o $(CONTEXTS)/starter/ ./starter
	$(STATIC) -o $(CONTEXTS)/branch/ ./internal/devstack/cmd/ftpdemo ./internal/healthcheck/cmd/healthcheck
	find $(CONTEXTS) -type f -exec chmod 755 {} +
	chmod a+r internal/compose/*.yaml
	@set -e; for image in $(IMAGES); do \
		echo "image localhost/talon-$$image"; \
		sed -n "/ AS $$image\$$/,/^\$$/p" Dockerfile | docker build --quiet --tag localhost/talon-$$image --file - $(CONTEXTS)/$$image; \
	done

test-compose: ## run docker-compose.yml as README says, with faults in it, and compare every file (10 minutes; skipped without Docker)
	TALON_TEST_COMPOSE=1 go test -count=1 -timeout 60m -v -run 'TestCompose' ./internal/compose/

temporal: ## find the Temporal command line, or build it (about 4 minutes, once)
	go run ./internal/devstack/cmd/devstack --cli

gateway: ## find versitygw, the S3 gateway between tiger and eagle, or build it (1 to 2 minutes, once)
	go run ./internal/gateway/cmd/gateway find

ftp-servers: ## fetch Debian's FTP servers for the interoperability tests (5 MB, once; root on Debian, else those tests are skipped)
	go run ./internal/ftpservers/cmd/ftpservers

archive-tools: ## fetch Debian's archive programs for the tests of the extraction engine (10 MB, once; else what needs them is skipped)
	go run ./internal/archivetools/cmd/archivetools

chromium: ## find a browser for the tests of the Web UI, or fetch Debian's (100 MB, once; root on Debian, else those tests are skipped)
	go run ./internal/chromium/cmd/chromium

prometheus: ## fetch Debian's Prometheus for the tests of the alert rules (23 MB, once; else they are skipped)
	go run ./internal/prometheus/cmd/prometheus

test: build temporal gateway ftp-servers archive-tools chromium prometheus ## run every test: units, workflows, replay of recorded histories, end to end with a real Temporal server
	go test -count=1 -timeout 25m $(PACKAGES)

race: build temporal gateway ftp-servers archive-tools chromium prometheus ## run every test under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -timeout 40m $(PACKAGES)

fuzz: ## run every fuzz target for FUZZTIME (5m); what fails is kept in testdata/fuzz and from then on part of the tests
	@set -e; for package in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package; \
		done; \
	done

bench-extract: build ## measure worker extract beside unzip, 7zz, bsdtar, unar and tar; CASES=zip,7z: only these; ROUNDS=5
	go run ./internal/extractbench/cmd/extractbench --rounds $(ROUNDS) $(if $(CASES),--cases $(CASES)) $(if $(OUTPUT),-o $(OUTPUT))

bench-transfer: gateway ## measure what eagle delivers to tiger beside rclone over S3 and SFTP, and tar | zstd | ssh; CASES=files,tiny: only these; MEMORY=1: memory instead; DIR=/mnt: on that disk
	go run ./internal/transferbench/cmd/transferbench --rounds $(ROUNDS) $(if $(CASES),--cases $(CASES)) $(if $(MEMORY),--memory) $(if $(DIR),--dir $(DIR)) $(if $(OUTPUT),-o $(OUTPUT))

lint: $(TOOLS)/staticcheck $(TOOLS)/gofumpt $(TOOLS)/workflowcheck ## go vet, staticcheck, gofumpt, workflowcheck
	go vet $(PACKAGES)
	$(TOOLS)/staticcheck $(PACKAGES)
	@unformatted=$$($(TOOLS)/gofumpt -l .); if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	$(TOOLS)/workflowcheck -show-pos ./workflows/...

fmt: $(TOOLS)/gofumpt ## format the code
	$(TOOLS)/gofumpt -w .

histories: build temporal ## record new workflow histories for the replay tests, from a real server (see workflows/testdata/README.md)
	TALON_RECORD_HISTORIES=1 go test -count=1 -timeout 20m -run TestRecordHistories -v ./internal/e2e/

screenshots: build temporal chromium ## take the pictures of docs/web-ui.md anew, from a real run
	TALON_SCREENSHOTS=1 go test -count=1 -timeout 10m -run TestWebUI -v ./internal/e2e/

$(TOOLS)/staticcheck: tools/go.mod
	go build -C tools -o $@ honnef.co/go/tools/cmd/staticcheck
$(TOOLS)/gofumpt: tools/go.mod
	go build -C tools -o $@ mvdan.cc/gofumpt
$(TOOLS)/workflowcheck: tools/go.mod
	go build -C tools -o $@ go.temporal.io/sdk/contrib/tools/workflowcheck

clean: ## remove what was built here (the demo's data in ./data stays)
	rm -rf bin .cache
